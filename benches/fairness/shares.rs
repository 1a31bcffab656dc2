//! What one object, namespace or region costs the others.

mod crowd;
mod events;
mod ground;
mod newcomers;
mod regions;
mod requests;
mod webhook;

use std::path::Path;

use testbed::harness::{Cluster, Result};

use crate::{report::verdict, scenario::Name};

pub const NAMES: [Name; 5] = [
    Name::Requests,
    Name::Crowd,
    Name::Events,
    Name::Webhook,
    Name::Regions,
];

/// A figure, without the trouble and beside it.
pub struct Row {
    pub name: Name,
    pub figure: &'static str,
    /// Without the trouble, where that was measured.
    pub alone: String,
    pub beside: String,
    pub promised: String,
    pub verdict: String,
}

/// Makes the rows of one scenario.
struct Rows {
    name: Name,
    rows: Vec<Row>,
}

pub async fn run(cluster: &Cluster, program: &Path, name: Name, quick: bool) -> Result<Vec<Row>> {
    let rows = Rows {
        name,
        rows: Vec::new(),
    };
    match name {
        Name::A | Name::B | Name::C | Name::D => Ok(Vec::new()),
        Name::Requests => requests::run(cluster, program, quick, rows).await,
        Name::Crowd => crowd::run(cluster, program, quick, rows).await,
        Name::Events => events::run(cluster, program, quick, rows).await,
        Name::Webhook => webhook::run(cluster, program, quick, rows).await,
        Name::Regions => regions::run(cluster, program, quick, rows).await,
    }
}

impl Name {
    /// What happens in a scenario of this kind.
    pub fn trouble(self) -> &'static str {
        match self {
            Self::A | Self::B | Self::C | Self::D => "an account that throttles",
            Self::Requests => "3 objects with ten poll requests a second each, beside 100",
            Self::Crowd => "5,000 objects polled every second, beside 50",
            Self::Events => "a namespace whose Events are refused, with 40 edits a second",
            Self::Webhook => "a namespace whose webhook hangs for the writes of 200 objects",
            Self::Regions => "10,000 objects in 1,000 regions that hang, beside 50",
        }
    }
}

impl Rows {
    fn done(self) -> Vec<Row> {
        self.rows
    }

    /// A figure that only shows what it was like.
    fn info(&mut self, figure: &'static str, alone: Option<f64>, beside: f64, show: Show) {
        self.push(figure, alone, beside, show, String::new(), String::new());
    }

    /// A figure that is promised not to be above the limit.
    fn at_most(&mut self, figure: &'static str, measured: Measured, limit: f64, show: Show) {
        let Measured { alone, beside } = measured;
        let over = beside - limit;
        let verdict = verdict(over, || show(over));
        let promised = format!("at most {}", show(limit));
        self.push(figure, alone, beside, show, promised, verdict);
    }

    /// A figure that is promised not to be below the limit.
    fn at_least(&mut self, figure: &'static str, measured: Measured, limit: f64, show: Show) {
        let Measured { alone, beside } = measured;
        let short = limit - beside;
        let verdict = verdict(short, || show(short));
        let promised = format!("at least {}", show(limit));
        self.push(figure, alone, beside, show, promised, verdict);
    }

    fn push(
        &mut self,
        figure: &'static str,
        alone: Option<f64>,
        beside: f64,
        show: Show,
        promised: String,
        verdict: String,
    ) {
        self.rows.push(Row {
            name: self.name,
            figure,
            alone: alone.map(show).unwrap_or_default(),
            beside: show(beside),
            promised,
            verdict,
        });
    }
}

/// What was measured of one figure.
#[derive(Clone, Copy)]
struct Measured {
    alone: Option<f64>,
    beside: f64,
}

type Show = fn(f64) -> String;

fn per_second(calls: f64) -> String {
    format!("{calls:.1}/s")
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.2} s")
}

fn count(count: f64) -> String {
    format!("{count:.0}")
}
