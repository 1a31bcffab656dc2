//! What `docs/reference.md` says, against the code: its tables, its examples of statuses, its links; and
//! the names in `docs/architecture.md` and `CONTRIBUTING.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod document;
mod links;
mod map;
mod statuses;
mod tables;

use scaleouttask_controller::rules::{Reason, Severity};
