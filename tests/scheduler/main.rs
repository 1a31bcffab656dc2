//! The scheduler: whose turn it is to be asked about, written and reported, and what crosses what.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod accounts;
mod calendar;
mod crossings;
mod deletions;
mod deviations;
mod elections;
mod events;
mod fairness;
mod fixtures;
mod nodes;
mod sources;
mod terms;

mod simulation;
