//! The rules for one `ScaleOutTaskSource`: which tasks of a list become objects, and what the source shows.

mod kept;
mod listing;
mod manifest;
mod messages;
mod observe;

pub use kept::{LastTask, Recent, Source, SourcePatch, SourceSpec, SourceStatus, TaskTypes};
pub use listing::{
    Candidate, Listing, OUTDATED, Progress, TASKS_PER_PAGE, remembers, until_settled,
};
pub use manifest::manifest;
pub use observe::{
    Heard, Made, ObserveSource, SourceCase, SourceVerdict, is_listed_as_answered, is_looked_after,
    look_interval, observe_source,
};
