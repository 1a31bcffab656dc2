//! The controller under load, on a real etcd and kube-apiserver. These tests measure times, which other tests beside them
//! would make longer: they are a program of their own, and run one at a time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod fairness;
mod floods;
