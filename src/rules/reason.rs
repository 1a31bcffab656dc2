//! Why `Ready` is what it is.

/// A reason of the `Ready` condition. The names are part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No answer about the task yet.
    Pending,
    /// The task goes on.
    TaskRunning,
    /// The task was paused.
    TaskPaused,
    /// The task is in a state that this controller doesn't know.
    TaskStateUnknown,
    /// The task succeeded for every instance.
    TaskSucceeded,
    /// The task succeeded, and the object waits for its nodes.
    WaitingForNodes,
    /// All nodes of the task were Ready.
    NodesReady,
    /// The task ended well, but not for every instance.
    InstancesFailed,
    /// The task failed.
    TaskFailed,
    /// The task was canceled.
    TaskCanceled,
    /// Nothing says which region to ask.
    RegionMissing,
    /// The object waits for nodes, and the controller watches none.
    NodesNotWatched,
    /// The task belongs to a cluster whose nodes the controller doesn't see.
    NodesElsewhere,
    /// The operator's rules don't let the object ask.
    NotAllowed,
    /// The user asked not to poll.
    Suspended,
    /// No answer, or the API's own trouble.
    TaskApiUnavailable,
    /// The API asks for fewer calls.
    Throttled,
    /// An answer that can't be used.
    InvalidResponse,
    /// The API knows no such task.
    TaskNotFound,
    /// The credentials may not read the task.
    AccessDenied,
    /// Missing, refused or forbidden credentials.
    CredentialsInvalid,
    /// The API refuses our clock.
    ClockSkewed,
    /// The API refuses the call for another reason.
    RequestRejected,
    /// The task belongs to a cluster that isn't the expected one.
    ClusterMismatch,
    /// The task, or the wait for its nodes, didn't end within the timeout.
    TimedOut,
    /// The source lists the tasks of its cluster.
    Listing,
}

/// The type of an Event with this reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Things go as they should.
    Normal,
    /// Somebody should look.
    Warning,
}

impl Reason {
    /// All reasons of a `ScaleOutTask`, in the order of the documentation.
    pub const ALL: [Self; 25] = [
        Self::Pending,
        Self::TaskRunning,
        Self::TaskPaused,
        Self::TaskStateUnknown,
        Self::TaskSucceeded,
        Self::WaitingForNodes,
        Self::NodesReady,
        Self::InstancesFailed,
        Self::TaskFailed,
        Self::TaskCanceled,
        Self::RegionMissing,
        Self::NodesNotWatched,
        Self::NodesElsewhere,
        Self::NotAllowed,
        Self::Suspended,
        Self::TaskApiUnavailable,
        Self::Throttled,
        Self::InvalidResponse,
        Self::TaskNotFound,
        Self::AccessDenied,
        Self::CredentialsInvalid,
        Self::ClockSkewed,
        Self::RequestRejected,
        Self::ClusterMismatch,
        Self::TimedOut,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::TaskRunning => "TaskRunning",
            Self::TaskPaused => "TaskPaused",
            Self::TaskStateUnknown => "TaskStateUnknown",
            Self::TaskSucceeded => "TaskSucceeded",
            Self::WaitingForNodes => "WaitingForNodes",
            Self::NodesReady => "NodesReady",
            Self::InstancesFailed => "InstancesFailed",
            Self::TaskFailed => "TaskFailed",
            Self::TaskCanceled => "TaskCanceled",
            Self::RegionMissing => "RegionMissing",
            Self::NodesNotWatched => "NodesNotWatched",
            Self::NodesElsewhere => "NodesElsewhere",
            Self::NotAllowed => "NotAllowed",
            Self::Suspended => "Suspended",
            Self::TaskApiUnavailable => "TaskApiUnavailable",
            Self::Throttled => "Throttled",
            Self::InvalidResponse => "InvalidResponse",
            Self::TaskNotFound => "TaskNotFound",
            Self::AccessDenied => "AccessDenied",
            Self::CredentialsInvalid => "CredentialsInvalid",
            Self::ClockSkewed => "ClockSkewed",
            Self::RequestRejected => "RequestRejected",
            Self::ClusterMismatch => "ClusterMismatch",
            Self::TimedOut => "TimedOut",
            Self::Listing => "Listing",
        }
    }

    /// The reason of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter().chain([Self::Listing]);
        all.find(|reason| reason.as_str() == name)
    }

    /// Whether an object with this reason is finished: it costs nothing any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::TaskSucceeded
                | Self::NodesReady
                | Self::InstancesFailed
                | Self::TaskFailed
                | Self::TaskCanceled
                | Self::TimedOut
        )
    }

    /// Whether calls that end so are retried slowly, for only a person can mend that.
    #[must_use]
    pub const fn needs_a_person(self) -> bool {
        matches!(
            self,
            Self::AccessDenied
                | Self::CredentialsInvalid
                | Self::ClockSkewed
                | Self::RequestRejected
        )
    }

    /// Whether a call brought no answer about the task, or another cluster's.
    #[must_use]
    pub const fn is_trouble(self) -> bool {
        matches!(
            self,
            Self::TaskApiUnavailable
                | Self::Throttled
                | Self::InvalidResponse
                | Self::TaskNotFound
                | Self::AccessDenied
                | Self::CredentialsInvalid
                | Self::ClockSkewed
                | Self::RequestRejected
                | Self::ClusterMismatch
        )
    }

    /// Whether it is what was asked that the API refuses, and not who asked.
    #[must_use]
    pub const fn is_about_request(self) -> bool {
        matches!(self, Self::TaskNotFound | Self::RequestRejected)
    }

    /// Whether it is the nodes, or where they are, that an object is not Ready for.
    #[must_use]
    pub const fn is_about_nodes(self) -> bool {
        matches!(self, Self::WaitingForNodes | Self::NodesElsewhere)
    }

    /// The type of the Event that reports this reason; none for [`Reason::Pending`].
    #[must_use]
    pub const fn severity(self) -> Option<Severity> {
        match self {
            Self::Pending => None,
            Self::TaskRunning
            | Self::TaskPaused
            | Self::TaskStateUnknown
            | Self::TaskSucceeded
            | Self::WaitingForNodes
            | Self::NodesReady
            | Self::Suspended
            | Self::Listing => Some(Severity::Normal),
            _ => Some(Severity::Warning),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_name() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::parse("Nonsense"), None);
    }
}
