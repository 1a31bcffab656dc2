//! What people read: one sentence for each summary, with the mend where there is one.

use super::{
    Abnormal, Denial, MAX_RESULTS, PollError, Ready, Reason, Service, Summary, node_wait::NodeLook,
};

/// What a call asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A task.
    Task,
    /// A cluster, whose tasks are listed.
    Cluster,
}

pub fn pending() -> Summary {
    Summary {
        ready: Ready::Unknown,
        abnormal: Abnormal::Reconciling,
        reason: Reason::Pending,
        message: "Waiting for the task API's first answer".to_owned(),
    }
}

pub fn suspended(ready: Ready) -> Summary {
    Summary {
        ready,
        abnormal: Abnormal::None,
        reason: Reason::Suspended,
        message: "Polling is suspended: set spec.suspend to false to go on".to_owned(),
    }
}

pub fn region_missing() -> Summary {
    stall(
        Reason::RegionMissing,
        "Neither spec.region nor the controller's --region says which region to ask: start the \
         controller with --region, or create the object again with spec.region"
            .to_owned(),
    )
}

pub fn not_allowed(denial: Denial) -> Summary {
    let message = match denial {
        Denial::Namespace => {
            "The operator's access rules have none for this namespace: ask the operator for one"
        }
        Denial::Region => {
            "The operator doesn't allow this region here: create the object again with a spec.region that \
             is allowed"
        }
        Denial::ControllerCredentials => {
            "The operator doesn't allow the controller's credentials here: set spec.credentialsSecretRef"
        }
        Denial::SecretCredentials => {
            "The operator doesn't allow credentials of Secrets here: remove spec.credentialsSecretRef"
        }
        Denial::Cluster => {
            "The operator allows tasks of some clusters only here: set spec.clusterId to one of them"
        }
    };
    stall(Reason::NotAllowed, message.to_owned())
}

pub fn nodes_not_watched() -> Summary {
    stall(
        Reason::NodesNotWatched,
        "spec.waitForNodes needs a controller that watches nodes: start it with --nodes (in the chart \
         nodes.enabled=true), or set the field to false to have the object end with its task"
            .to_owned(),
    )
}

pub fn nodes_elsewhere() -> Summary {
    stall(
        Reason::NodesElsewhere,
        "The task belongs to another cluster than the nodes that this controller sees: create the object \
         in the task's own cluster, or set spec.waitForNodes to false"
            .to_owned(),
    )
}

pub fn waiting_for_nodes(look: &NodeLook, are_listed: bool) -> Summary {
    let nodes = if are_listed {
        look.sentence()
    } else {
        "the cluster's nodes aren't known yet: where that lasts, the controller's log says why"
            .to_owned()
    };
    Summary {
        ready: Ready::False,
        abnormal: Abnormal::Reconciling,
        reason: Reason::WaitingForNodes,
        message: format!("The task succeeded; {nodes}{}", note_of_cut(look)),
    }
}

pub fn nodes_ready(look: &NodeLook) -> Summary {
    let nodes = match look.total {
        0 => "it has no instances to wait for".to_owned(),
        _ => look.sentence(),
    };
    Summary {
        ready: Ready::True,
        abnormal: Abnormal::None,
        reason: Reason::NodesReady,
        message: format!("The task succeeded; {nodes}{}", note_of_cut(look)),
    }
}

fn note_of_cut(look: &NodeLook) -> String {
    if look.total > MAX_RESULTS {
        format!("; taskResult lists the first {MAX_RESULTS}")
    } else {
        String::new()
    }
}

/// The task succeeded in time, but its nodes weren't all Ready.
pub fn timed_out_without_nodes(timeout: &str, look: Option<&NodeLook>) -> Summary {
    let nodes = look.map(|look| format!(": {}", look.sentence()));
    stall(
        Reason::TimedOut,
        format!(
            "The task succeeded, but its nodes weren't seen to be Ready within {timeout} of this object's \
             creation{}. Raise or remove spec.timeout to go on",
            nodes.unwrap_or_default()
        ),
    )
}

pub fn secret_credentials_off() -> Summary {
    stall(
        Reason::CredentialsInvalid,
        "spec.credentialsSecretRef isn't allowed by this controller: start it with \
         --secret-credentials, or remove the field to have the task read with the controller's own \
         credentials"
            .to_owned(),
    )
}

pub fn cluster_mismatch() -> Summary {
    stall(
        Reason::ClusterMismatch,
        "The task doesn't belong to the expected cluster, so nothing of it is shown: check \
         spec.taskId, spec.clusterId and the controller's --allowed-cluster-id"
            .to_owned(),
    )
}

pub fn timed_out(timeout: &str) -> Summary {
    stall(
        Reason::TimedOut,
        format!(
            "The task didn't end within {timeout} of this object's creation; status.state is its \
             last known state. Raise or remove spec.timeout to go on"
        ),
    )
}

/// An error that passes by itself. One fixed message for each reason and service, so that repeats write
/// nothing.
pub fn transient(error: &PollError, ready: Ready, subject: Subject) -> Summary {
    let reason = error.reason;
    let message = match reason {
        Reason::Throttled => "The task API asks for fewer calls; trying again later",
        Reason::InvalidResponse => "The task API's answer can't be used; trying again",
        Reason::TaskNotFound => match subject {
            Subject::Task => "The task API doesn't know the task yet; looking again",
            Subject::Cluster => "The task API doesn't know the cluster yet; looking again",
        },
        Reason::CredentialsInvalid => {
            "The Secret of spec.credentialsSecretRef isn't there or not complete yet; looking again"
        }
        _ => unavailable(error.service),
    };
    Summary {
        ready,
        abnormal: Abnormal::Reconciling,
        reason,
        message: message.to_owned(),
    }
}

fn unavailable(service: Service) -> &'static str {
    match service {
        Service::TaskApi => "The task API can't be reached or is in trouble; trying again",
        Service::Sts => {
            "STS, where the credentials come from, can't be reached or is in trouble; trying again"
        }
        Service::Metadata => {
            "The metadata service, where the credentials come from, can't be reached or is in trouble; \
             trying again"
        }
        Service::CredentialsUri => {
            "The service of ALIBABA_CLOUD_CREDENTIALS_URI, where the credentials come from, can't be \
             reached or is in trouble; trying again"
        }
        Service::File => {
            "The controller's credentials can't be read for now; its log says why; trying again"
        }
        Service::ApiServer => {
            "The Secret of spec.credentialsSecretRef can't be read, for the API server is in trouble; \
             trying again"
        }
    }
}

/// An error that somebody has to mend.
pub fn stalled(error: &PollError, subject: Subject) -> Summary {
    let (action, fields) = match subject {
        Subject::Task => ("cs:DescribeTaskInfo", "spec.taskId, spec.region"),
        Subject::Cluster => ("cs:DescribeClusterTasks", "spec.clusterId, spec.region"),
    };
    let code = error
        .code
        .as_ref()
        .map(|code| format!(" ({code})"))
        .unwrap_or_default();
    let message = match (error.reason, &error.detail) {
        (_, Some(detail)) => detail.clone(),
        (Reason::AccessDenied, None) => format!(
            "The task API denies access{code}: grant the credentials the RAM action {action}"
        ),
        (Reason::CredentialsInvalid, None) => format!(
            "The task API refuses the credentials{code}: check the access key, its secret and its \
             token"
        ),
        (Reason::ClockSkewed, None) => format!(
            "The task API refuses the time of the request{code}: synchronise the clock of the \
             controller's node"
        ),
        (Reason::TaskNotFound, None) => {
            let what = match subject {
                Subject::Task => "task",
                Subject::Cluster => "cluster",
            };
            format!(
                "The task API knows no such {what}: check {fields} and whose credentials are used"
            )
        }
        _ => format!(
            "The task API rejects the request{code}: check {fields} and the controller's --endpoint"
        ),
    };
    stall(error.reason, message)
}

pub fn stall(reason: Reason, message: String) -> Summary {
    Summary {
        ready: Ready::False,
        abnormal: Abnormal::Stalled,
        reason,
        message,
    }
}
