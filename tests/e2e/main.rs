//! The controller as a separate process, with a real etcd and kube-apiserver and a simulated task API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod access;
mod bad_responses;
mod clocks;
mod connections;
mod credentials;
mod kubeconfig;
mod kubectl;
mod kustomize;
mod leaders;
mod lifecycle;
mod memory;
mod mistakes;
mod nodes;
mod process;
mod promises;
mod proxies;
mod raw_server;
mod secrets;
mod shards;
mod source_specs;
mod sources;
mod specs;
mod task_api_errors;
mod throttling;
mod why;
