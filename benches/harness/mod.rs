//! What all benchmarks share: a cluster, the controller as a process, figures and tables.

mod cluster;
mod controller;
mod document;
mod machine;
mod process;
mod statistics;
mod table;

pub use cluster::{Cluster, Spec};
pub use controller::Controller;
pub use document::replace_section;
pub use machine::machine;
pub use process::Usage;
pub use statistics::{gaps, mean, most_within, number, percentile, seconds};
pub use table::Table;

/// What keeps a benchmark from running.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Error>;
