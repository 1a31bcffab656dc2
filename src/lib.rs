//! A Kubernetes controller that tracks the tasks of Alibaba Cloud's Container Service (ACK).

pub mod api;
pub mod core;
pub mod task_api;
