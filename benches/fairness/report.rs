//! Figures as tables, and whether what is promised holds.

use testbed::harness::Table;

use crate::{
    figures::{Figures, Lag, ThrottledRegion, WIDTHS},
    run::Windows,
    scenario::{ALLOWED, Name, Scenario},
    shares::Row,
};

/// How much above the allowed rate calls may be, within ten seconds.
const RATE_LIMIT: f64 = 1.10;
/// How much slower than the mean object the slowest may be.
const SLOWEST_LIMIT: f64 = 2.0;
/// Timers are no finer than that, in milliseconds.
pub const GRAIN: f64 = 1.0;

const METHOD: &str = "\
## Fairness on a throttling account

1,000 objects, each to be polled every 15 s, on an account that allows 20 calls a second: one poll
every 50 s is each object's fair share. Beside it 50 objects in a region that doesn't throttle,
polled every 5 s. Real etcd and kube-apiserver with RBAC, a simulated task API on loopback, and the
controller as a release build in a process of its own, all on one machine. All objects are due at
once, as after a restart; what comes while that settles isn't counted.

To run it again: `cargo bench --bench fairness -- --write`, on a machine that does nothing else;
`--only` takes single scenarios.
";

const METHOD_SHARES: &str = "\
### What one object, namespace or region costs the others

The same cluster and controller, with two namespaces: one has the trouble, the other is not to notice
it. *Alone* is what the other had before, *beside* what it has while the trouble lasts; what comes
while that settles isn't counted.

- *requests*: three objects whose annotation `scaleout.dev/poll-requested-at` gets a new value ten
  times a second each. 100 others, polled every 2 s, want more than the 20 calls a second that there
  are. The others keep half of their calls, and the three get at most every second one.
- *crowd*: 5,000 objects polled every second, and 50 every 15 s, with 20 calls a second for all. The
  50 want less than half of these, so their fair share is to be asked about every 15 s: promised is at
  most 1.2× that for each. All objects are due at once, as after a restart.
- *events*: 200 objects of which 40 a second change their reason, in a namespace where a
  ValidatingAdmissionPolicy refuses Events. Meanwhile an object a second is created in the other: its
  Event comes at most 1 s later after its status than the slowest did alone.
- *webhook*: 200 objects whose statuses can't be written, for a webhook takes each write and never
  answers. The same objects in the other namespace: status and Event come at most 1 s later.
- *regions*: 10,000 objects in 1,000 regions whose endpoints take connections and never answer.
  Beside them 50 objects of a healthy region, polled every 5 s: the lag is at most twice what it is
  alone, and a millisecond, the grain of timers; at most 256 connections hang, as `--max-calls` says.
  It needs 2,000 file descriptors (`ulimit -n`).
";

const NOTES_RATE: &str = "\
Calls are counted where they arrive, refused ones too. What counts for the promise is the most in any
10 s: no more than 110%. The API, a token bucket, itself lets a second's worth through at once, so
that 1 s could hold 200% without a refusal.
";

const NOTES_INTERVAL: &str = "\
An interval is the time between two *answered* polls of one object, where it ends in the measured
time; one still open at the end counts where that makes the object look slower. The slowest object is
the one with the greatest mean of its intervals: promised within 2× of the mean of all objects.
";

const NOTES_FREE: &str = "\
Lag is the time between two calls of one object less its poll interval, taken where the calls
arrive; below zero where a call follows one that was late. The noise is the highest in any third of
the time of A and of A again, and a millisecond, the grain of timers: what is promised holds where
neither p50 nor p99 is above that. `scaleouttask_poll_lag_seconds` can't tell, for it has no label
for the region.
";

pub struct Report {
    machine: String,
    results: Vec<(Scenario, Windows, Figures)>,
    shares: Vec<Row>,
}

impl Report {
    pub fn new(machine: String) -> Self {
        Self {
            machine,
            results: Vec::new(),
            shares: Vec::new(),
        }
    }

    pub fn add(&mut self, scenario: Scenario, windows: Windows, figures: Figures) {
        self.results.push((scenario, windows, figures));
    }

    pub fn add_shares(&mut self, rows: Vec<Row>) {
        self.shares.extend(rows);
    }

    /// The section of the document.
    pub fn document(&self) -> String {
        let machine = format!("On {}.\n", self.machine);
        let shares = self.shares().to_string();
        let parts = [METHOD, &machine, &self.throttling(), METHOD_SHARES, &shares];
        parts.join("\n")
    }

    /// What there is of the tables.
    pub fn tables(&self) -> String {
        let mut parts = vec![format!("On {}.\n", self.machine)];
        if !self.results.is_empty() {
            parts.push(self.throttling());
        }
        if !self.shares.is_empty() {
            parts.push(self.shares().to_string());
        }
        parts.join("\n")
    }

    fn shares(&self) -> Table {
        let titles = [
            "scenario", "figure", "alone", "beside", "promised", "verdict",
        ];
        let mut table = Table::new(&titles);
        for row in &self.shares {
            table.row([
                format!("{:?}", row.name).to_lowercase(),
                row.figure.to_owned(),
                row.alone.clone(),
                row.beside.clone(),
                row.promised.clone(),
                row.verdict.clone(),
            ]);
        }
        table
    }

    fn throttling(&self) -> String {
        [
            self.scenarios().to_string(),
            "Calls to the throttled region:\n".to_owned(),
            self.calls().to_string(),
            NOTES_RATE.to_owned(),
            "How evenly its objects are polled:\n".to_owned(),
            self.intervals().to_string(),
            NOTES_INTERVAL.to_owned(),
            "Poll lag of the free region beside it:\n".to_owned(),
            self.free_region().to_string(),
            NOTES_FREE.to_owned(),
            "The controller, in the measured time:\n".to_owned(),
            self.controller().to_string(),
        ]
        .join("\n")
    }

    fn scenarios(&self) -> Table {
        let mut table = Table::new(&["scenario", "what", "settled", "measured"]);
        for (scenario, windows, _) in &self.results {
            table.row([
                scenario.title.to_owned(),
                scenario.meaning(),
                format!("{} s", windows.settling.as_secs()),
                format!("{} s", windows.measured.as_secs()),
            ]);
        }
        table
    }

    fn calls(&self) -> Table {
        let most = WIDTHS.map(|width| format!("most in {width} s"));
        let [ten, five, one] = &most;
        let titles = [
            "scenario",
            "calls/s",
            "of 20/s",
            ten,
            five,
            one,
            "answered 429",
            "rate",
        ];
        let mut table = Table::new(&titles);
        for (scenario, region) in self.throttled() {
            let [ten, five, one] = region.peaks.map(percent);
            table.row([
                scenario.title.to_owned(),
                format!("{:.2}", region.rate),
                percent(region.rate / f64::from(ALLOWED)),
                ten,
                five,
                one,
                format!("{:.2}%", region.refused * 100.0),
                rate_verdict(region),
            ]);
        }
        table
    }

    fn intervals(&self) -> Table {
        let titles = [
            "scenario",
            "mean",
            "slowest object",
            "longest interval",
            "429 within it",
            "fairness",
        ];
        let mut table = Table::new(&titles);
        for (scenario, region) in self.throttled() {
            let ratio = |seconds: f64| format!("{seconds:.1} s, {:.2}×", seconds / region.interval);
            table.row([
                scenario.title.to_owned(),
                format!("{:.1} s", region.interval),
                ratio(region.slowest),
                ratio(region.longest),
                region.refused_in_longest.to_string(),
                fairness_verdict(region),
            ]);
        }
        table
    }

    fn throttled(&self) -> impl Iterator<Item = (&Scenario, &ThrottledRegion)> {
        let results = self.results.iter();
        results.filter_map(|(scenario, _, figures)| Some((scenario, figures.throttled.as_ref()?)))
    }

    fn free_region(&self) -> Table {
        let titles = [
            "scenario",
            "calls",
            "p50",
            "p99",
            "most",
            "p50, worst third",
            "p99, worst third",
            "lag",
        ];
        let mut table = Table::new(&titles);
        let noise = self.noise();
        for (scenario, _, figures) in &self.results {
            let lag = &figures.free.lag;
            let own = Lag::highest(&figures.free.parts);
            table.row([
                scenario.title.to_owned(),
                figures.free.calls.to_string(),
                millis(lag.median),
                millis(lag.p99),
                millis(lag.most),
                millis(own.median),
                millis(own.p99),
                lag_verdict(scenario, lag, noise.as_ref()),
            ]);
        }
        table
    }

    fn controller(&self) -> Table {
        let titles = [
            "scenario",
            "status writes",
            "processor",
            "memory at the end",
            "at most",
        ];
        let mut table = Table::new(&titles);
        for (scenario, _, figures) in &self.results {
            table.row([
                scenario.title.to_owned(),
                figures.status_writes.to_string(),
                format!("{:.1}% of one", figures.cpu * 100.0),
                format!("{:.1} MiB", figures.usage.resident),
                format!("{:.1} MiB", figures.usage.peak),
            ]);
        }
        table
    }

    /// The highest lag in any part of the baseline.
    fn noise(&self) -> Option<Lag> {
        let baselines = self
            .results
            .iter()
            .filter(|(scenario, ..)| scenario.name == Name::A);
        let parts: Vec<&Lag> = baselines
            .flat_map(|(_, _, figures)| &figures.free.parts)
            .collect();
        (!parts.is_empty()).then(|| Lag::highest(parts))
    }
}

fn rate_verdict(region: &ThrottledRegion) -> String {
    let over = region.peaks[0] - RATE_LIMIT;
    verdict(over, || percent(over))
}

fn fairness_verdict(region: &ThrottledRegion) -> String {
    let over = region.slowest / region.interval - SLOWEST_LIMIT;
    verdict(over, || format!("{over:.2}×"))
}

fn lag_verdict(scenario: &Scenario, lag: &Lag, noise: Option<&Lag>) -> String {
    let Some(noise) = noise else {
        return "no baseline".to_owned();
    };
    if scenario.name == Name::A {
        return "the baseline".to_owned();
    }
    let over = (lag.median - noise.median).max(lag.p99 - noise.p99) - GRAIN;
    verdict(over, || millis(over))
}

pub fn verdict(over: f64, missed_by: impl Fn() -> String) -> String {
    if over <= 0.0 {
        "holds".to_owned()
    } else {
        format!("missed by {}", missed_by())
    }
}

pub fn percent(part: f64) -> String {
    format!("{:.1}%", part * 100.0)
}

pub fn millis(millis: f64) -> String {
    format!("{millis:.2} ms")
}
