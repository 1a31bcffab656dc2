//! Shared code of all benchmarks: a cluster, the controller as a process, figures and tables.

mod cluster;
mod controller;
mod document;
mod machine;
mod metrics;
mod process;
mod program;
mod statistics;
mod table;

pub use cluster::{Cluster, Spec, Writes};
pub use controller::{Controller, Launch};
pub use document::replace_section;
pub use machine::machine;
pub use process::{Usage, find, own_usage, usage};
pub use program::program;
pub use statistics::{gaps, mean, most_within, number, percentile, seconds};
pub use table::Table;

/// Why a benchmark failed.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// The result of a benchmark.
pub type Result<T> = std::result::Result<T, Error>;
