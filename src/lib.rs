//! A Kubernetes controller that tracks the tasks of Alibaba Cloud's Container Service (ACK).
//!
//! [`core`] decides, without I/O; [`controller`] watches, calls and writes; [`task_api`] speaks to
//! the cloud; [`api`] is the custom resource.

pub mod admin;
pub mod api;
pub mod check;
pub mod cli;
pub mod controller;
pub mod core;
pub mod logging;
pub mod metrics;
pub mod selector;
pub mod task_api;

/// How this program calls itself where it asks for something.
pub const USER_AGENT: &str = concat!("scaleouttask-controller/", env!("CARGO_PKG_VERSION"));
