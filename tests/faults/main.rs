//! The controller behind a proxy that disturbs single requests, with a real etcd and kube-apiserver.
//! It is killed at each request, each request fails in each way, and the API server is down for a
//! while.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod cluster;
mod crash;
mod each_request;
mod fence;
mod fleet;
mod found;
mod matrix;
mod observer;
mod outage;
mod proxy;
mod result;
mod run;
mod scenario;
mod stage;
mod verbs;
