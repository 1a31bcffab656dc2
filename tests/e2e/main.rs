//! The controller as a process of its own, on a real etcd and kube-apiserver, with a simulated
//! task API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bad_responses;
mod credentials;
mod fairness;
mod kubectl;
mod leaders;
mod lifecycle;
mod pipeline;
mod process;
mod promises;
mod raw_server;
mod secrets;
mod shards;
mod specs;
mod trouble;
