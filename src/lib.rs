//! A Kubernetes controller that tracks the tasks of Alibaba Cloud's Container Service (ACK).
//!
//! [`rules`] decide about one object and the [`scheduler`] about whose turn it is, both without I/O;
//! [`controller`] watches, calls and writes; [`task_api`] speaks to the cloud; [`api`] is the custom
//! resource.

pub mod access_file;
pub mod admin;
pub mod api;
pub mod certificates;
pub mod check;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod kubeconfig;
pub mod logging;
pub mod metrics;
pub mod program;
pub mod proxy;
pub mod resolver;
pub mod rules;
pub mod scheduler;
pub mod selector;
pub mod settings;
pub mod task_api;

/// How this program calls itself where it asks for something.
pub const USER_AGENT: &str = concat!("scaleouttask-controller/", env!("CARGO_PKG_VERSION"));
