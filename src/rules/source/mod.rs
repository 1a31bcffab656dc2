//! The rules for one `ScaleOutTaskSource`: which tasks of a list become objects, and what the source shows.

mod kept;
mod listing;
mod manifest;
mod messages;
mod observe;

pub use kept::{LastTask, Recent, Source, SourcePatch, SourceSpec, SourceStatus, TaskTypes};
pub use listing::{Candidate, Listing, PAGE_SIZE, PAGES_MAX, Progress, remembers};
pub use manifest::manifest;
pub use observe::{
    Heard, LookAfter, Made, SourceCase, SourceVerdict, look_after, look_interval, observe_source,
};
