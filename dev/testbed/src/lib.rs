//! Shared code of the tests and benchmarks of the controller.
//!
//! - [`world`]: a namespace on a real API server, a simulated task API, and a controller that sees
//!   only that namespace; [`controller`] is the controller as a process.
//! - [`witness`]: watches every status and checks it against the promises to GitOps tools.
//! - [`render`]: renders the chart with Helm.
//! - [`secrets`] are those of objects with credentials of their own.
//! - [`objects`] creates and edits many objects, [`admission`] and [`hanging`] disturb one
//!   namespace, [`newcomers`] and [`polls`] measure what that costs others.
//! - [`harness`]: for benchmarks: a cluster, the release build of the controller, figures, tables.
//!
//! Errors in [`world`], [`controller`], [`witness`], [`render`] and [`secrets`] panic, which fails the test. The
//! others return errors.

// Code for tests may panic, as the tests themselves do.
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
pub mod secrets;
pub mod whole_object;
pub mod witness;
pub mod world;

/// The root directory of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
