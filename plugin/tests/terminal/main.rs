//! The program as a person sees it, on a real API server with the controller: in terminals of 80 and 200 columns, and
//! without one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod commands;
mod completion;
mod connections;
mod endings;
mod pipeline;
mod stage;
mod troubles;
