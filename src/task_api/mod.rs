//! The task API of Alibaba Cloud Container Service: one call, `GET /tasks/{task_id}`.
//!
//! [`TaskApi::describe`] returns a [`PollResult`](crate::rules::PollResult). Its error says what
//! the controller does next: retry soon, retry slowly or wait.

mod body;
mod call_error;
mod classify;
mod client;
mod connection_error;
pub mod credentials;
pub mod endpoint;
mod lenient;
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
pub use questions::Query;
