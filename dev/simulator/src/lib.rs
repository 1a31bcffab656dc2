//! A simulated ACK task API, scripted in YAML. It is a library for tests and a program.
//!
//! It answers `GET /tasks/{task_id}` on loopback with tasks that change along their timelines, and
//! `GET /clusters/{cluster_id}/tasks` with pages of lists of them. Faults can be set: any status, hangs,
//! resets, slow, cut, endless and garbled bodies, throttling. If access keys are given, it checks
//! `ACS3-HMAC-SHA256` signatures. A simulated STS gives temporary keys for OIDC tokens and signed calls,
//! and a simulated metadata service those of an instance's role. It counts and records every request.
//!
//! ```
//! use simulator::{Script, Simulator};
//!
//! let script: Script = "tasks: [{id: T-1, duration: 2s, outcome: fail}]".parse()?;
//! let simulator = Simulator::start(script)?;
//! assert!(simulator.url().starts_with("http://127.0.0.1:"));
//! assert_eq!(simulator.requests("T-1"), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod acs3;
mod body;
mod call;
mod decision;
mod fault;
mod keys;
mod limit;
mod list;
mod metadata;
mod page;
mod percent;
mod record;
mod reply;
mod rpc;
mod script;
mod server;
mod state;
mod sts;
mod task;
mod tasks;
mod timeline;
mod values;

pub use fault::{Fault, Kind, Requests, Slow};
pub use limit::{Per, RateLimit};
pub use list::{List, Listed, Order};
pub use metadata::Metadata;
pub use record::{ListCall, Request};
pub use script::{Credentials, DEMONSTRATION, Script, ScriptError};
pub use server::Simulator;
pub use sts::{Exchange, Sts};
pub use task::{
    Entry, Event, Format, Instance, ResultShape, Stage, Start, Step, Target, Task, TaskError,
};
