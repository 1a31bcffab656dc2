//! New objects of the calm namespace: how long they wait.

use std::time::Duration;

use testbed::{
    harness::Result,
    newcomers::{Wait, newcomers},
};

use super::{Measured, Rows, ground::Ground, seconds};

/// How much longer any may wait beside the trouble, in seconds.
const DELAY: f64 = 1.0;
const PAUSE: Duration = Duration::from_secs(1);

/// What the slowest waited for, in seconds.
pub struct Slowest {
    status: f64,
    event: f64,
}

impl Slowest {
    /// Of thirty, one a second; of ten where it has to be quick.
    pub async fn of(ground: &Ground<'_>, prefix: &str, quick: bool) -> Result<Self> {
        let count = if quick { 10 } else { 30 };
        let client = ground.cluster.client();
        let waits = newcomers(client, &ground.calm, prefix, count, PAUSE).await?;
        let slowest = |which: fn(&Wait) -> Duration| {
            let waits = waits.iter().map(|wait| which(wait).as_secs_f64());
            waits.fold(0.0, f64::max)
        };
        Ok(Self {
            status: slowest(|wait| wait.status),
            event: slowest(|wait| wait.event),
        })
    }

    /// Reports both figures.
    pub fn compare(alone: &Self, beside: &Self, rows: &mut Rows) {
        let mut compare = |figure, alone, beside| {
            let measured = Measured {
                alone: Some(alone),
                beside,
            };
            rows.at_most(figure, measured, alone + DELAY, seconds);
        };
        compare("creation to status, slowest", alone.status, beside.status);
        compare("status to Event, slowest", alone.event, beside.event);
    }
}
