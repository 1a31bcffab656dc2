//! What tests and benchmarks of the controller share.
//!
//! - [`world`]: a namespace on a real API server, a simulated task API, and a controller that sees
//!   only that namespace; [`controller`] is the controller as a process.
//! - [`witness`]: sees every status and holds it against what GitOps tools are promised.
//! - [`render`]: the chart as Helm renders it.
//! - [`objects`] creates and edits many objects, [`admission`] and [`hanging`] stand in one
//!   namespace's way, [`newcomers`] and [`polls`] measure what others have of it.
//! - [`harness`]: what benchmarks have: a cluster, the controller as it is shipped, figures, tables.
//!
//! What goes wrong in [`world`], [`controller`], [`witness`] and [`render`] fails the test by a
//! panic; the others return errors.

// A test that can't go on says so by a panic, and so does what it uses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate)]

use std::path::Path;

pub use whole_object::WholeObject;

pub mod admission;
pub mod alias;
pub mod controller;
pub mod hanging;
pub mod harness;
pub mod newcomers;
pub mod objects;
pub mod polls;
pub mod render;
pub mod whole_object;
pub mod witness;
pub mod world;

/// The repository's directory.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
