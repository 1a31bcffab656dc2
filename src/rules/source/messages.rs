//! What people read of a source.

use crate::rules::{
    Abnormal, Denial, Ready, Reason, Summary,
    messages::{self, stall},
};

pub fn listing(unmakeable: i64) -> Summary {
    let note = match unmakeable {
        0 => String::new(),
        count => format!("; {count} of them can't become objects, for their IDs can't be a taskId"),
    };
    Summary {
        ready: Ready::True,
        abnormal: Abnormal::None,
        reason: Reason::Listing,
        message: format!("The tasks of the cluster are listed{note}"),
    }
}

pub fn suspended(ready: Ready) -> Summary {
    Summary {
        message: "Listing is suspended: set spec.suspend to false to go on".to_owned(),
        ..messages::suspended(ready)
    }
}

pub fn not_allowed(denial: Denial) -> Summary {
    let summary = messages::not_allowed(denial);
    match denial {
        Denial::Cluster => Summary {
            message:
                "The operator doesn't allow this cluster here: create the source again with a \
                      spec.clusterId that is allowed"
                    .to_owned(),
            ..summary
        },
        _ => summary,
    }
}

pub fn cluster_not_allowed() -> Summary {
    stall(
        Reason::ClusterMismatch,
        "The controller doesn't show tasks of this cluster: check spec.clusterId and the controller's \
         --allowed-cluster-id"
            .to_owned(),
    )
}

/// `refusal`: why.
pub fn cannot_make(refusal: &str) -> Summary {
    stall(
        Reason::RequestRejected,
        format!("Tasks are listed, but not all their ScaleOutTasks can be created: {refusal}"),
    )
}
