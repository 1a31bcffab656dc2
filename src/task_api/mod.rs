//! The task API of Alibaba Cloud Container Service: one call, `GET /tasks/{task_id}`.
//!
//! [`TaskApi::describe`] ends in a [`PollResult`](crate::rules::PollResult): an error that
//! says what follows from it.

mod body;
mod classify;
mod client;
pub mod credentials;
pub mod endpoint;
pub mod sign;

pub use body::{BodyError, parse_task};
pub use client::{ClientOptions, TaskApi};
