//! The rules for one object: what it shows next, and when it is looked at again.
//!
//! Nothing here does I/O or reads a clock. [`observe`] decides; the
//! [scheduler](crate::scheduler) says when.

mod access;
mod backoff;
mod conditions;
mod event_note;
mod fingerprint;
mod identity;
mod listed_task;
mod messages;
mod node_wait;
mod nodes;
mod object;
mod observe;
mod poll_result;
mod reason;
mod source;
mod spec;
mod status;
mod task;
mod task_events;
mod task_state;
mod task_status;
mod text;
mod time;
mod trouble;

pub use access::{AccessRule, AccessRules, CredentialsOf, Denial};
pub use backoff::{RETRY_AFTER_MAX, SLOW_RETRY, WriteFailure, write_retry_delay};
pub use conditions::{Abnormal, Conditions, Ready, Shown, Summary};
pub use event_note::EventNote;
pub use fingerprint::{Fingerprint, Mark};
pub use identity::{ResourceVersion, Uid};
pub use listed_task::{ListedTask, PageResult};
pub use node_wait::NodeWait;
pub use nodes::{Node, NodeChange, NodeInstance, Nodes};
pub use object::{Object, ObjectKey, Policy};
pub use observe::{
    CLOCK_WAIT, Case, Memory, Next, OVERDUE_AFTER, Observe, Occasion, Verdict, observe,
};
pub use poll_result::{PollError, PollResult, Service};
pub use reason::{Reason, Severity};
pub use source::{
    Candidate, Heard, LastTask, Listing, Made, OUTDATED, ObserveSource, Progress, Recent, Source,
    SourceCase, SourcePatch, SourceSpec, SourceStatus, SourceVerdict, TASKS_PER_PAGE, TaskTypes,
    is_listed_as_answered, is_looked_after, look_interval, manifest, observe_source, remembers,
    until_settled,
};
pub use spec::Spec;
pub use status::{NodesShown, ObjectStatus, StatusPatch, TaskChange};
pub use task::{
    Instance, Instances, MAX_OTHERS, MAX_RESULTS, MAX_STAGES, Stage, Target, Task, TaskEvent,
    WORD_CHARS,
};
pub use task_events::{MAX_EVENTS, keep_most_telling};
pub use task_state::TaskState;
pub use text::{first_chars, shorten, shown};
pub use trouble::GRACE;
