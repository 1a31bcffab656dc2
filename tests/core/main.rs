//! The functional core against its contract: what each answer and each trouble makes an object
//! show, when it is asked about again, and what never happens whatever the history.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod accounts;
mod clusters;
mod conditions;
mod crossings;
mod deletions;
mod endings;
mod events;
mod fields;
mod fixtures;
mod histories;
mod leases;
mod polls;
mod properties;
mod simulation;
mod timeouts;
mod trouble;
