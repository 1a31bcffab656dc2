//! The controller behind a proxy that disturbs single requests, on a real etcd and kube-apiserver:
//! killed at each, with each failing in each way, and with the API server away for a while.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bench;
mod crash;
mod each_request;
mod fence;
mod fleet;
mod matrix;
mod observer;
mod outage;
mod outcome;
mod proxy;
mod run;
mod scenario;
mod stage;
mod verbs;
