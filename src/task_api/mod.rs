//! The task API of Alibaba Cloud Container Service: `GET /tasks/{task_id}` for a task, and
//! `GET /clusters/{cluster_id}/tasks` for a page of a cluster's tasks.
//!
//! [`TaskApi::describe`] returns a [`PollResult`](crate::rules::PollResult), [`TaskApi::list`] a
//! [`PageResult`](crate::rules::PageResult). Their errors say what the controller does next: retry
//! soon, retry slowly or wait.

mod body;
mod call_error;
mod classify;
mod client;
mod connection_error;
pub mod credentials;
pub mod endpoint;
mod lenient;
mod list_body;
mod questions;
mod response_body;
pub mod sign;
mod task_result;
#[cfg(test)]
mod test_server;
pub mod vendor;
mod waits;
mod xml;

pub use body::{BodyError, parse_task};
pub use call_error::no_credentials;
pub use client::{ClientOptions, TaskApi};
pub use list_body::parse_page;
pub use questions::{ListQuery, Query};
