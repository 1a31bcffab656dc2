//! A Kubernetes controller that tracks ACK tasks.
