//! What was measured, and what is promised of it.

use testbed::harness::Table;

#[derive(Clone, Copy)]
pub enum Unit {
    Count,
    Percent,
    Micros,
    Millis,
    Seconds,
    Bytes,
    Kibibytes,
    Mebibytes,
}

impl Unit {
    fn tell(self, value: f64) -> String {
        if value.is_nan() {
            return "none".to_owned();
        }
        match self {
            Self::Count => format!("{value:.0}"),
            Self::Percent => format!("{value:.1}%"),
            Self::Micros => format!("{value:.0} µs"),
            Self::Millis => format!("{value:.1} ms"),
            Self::Seconds => format!("{value:.2} s"),
            Self::Bytes => format!("{value:.0} B"),
            Self::Kibibytes => format!("{value:.2} KiB"),
            Self::Mebibytes => format!("{value:.1} MiB"),
        }
    }
}

/// One figure.
pub struct Line {
    scenario: String,
    what: String,
    measured: f64,
    unit: Unit,
    at_most: Option<f64>,
    other: Option<Other>,
}

/// What a figure is held against.
struct Other {
    what: &'static str,
    measured: f64,
    at_most: Option<f64>,
}

impl Line {
    /// Not a number where it can't be measured: that is none, and misses any promise.
    pub fn new(scenario: &str, what: &str, measured: f64) -> Self {
        Self {
            scenario: scenario.to_owned(),
            what: what.to_owned(),
            measured,
            unit: Unit::Count,
            at_most: None,
            other: None,
        }
    }

    pub fn unit(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    /// What is promised, if anything is.
    pub fn at_most(self, at_most: Option<f64>) -> Self {
        Self { at_most, ..self }
    }

    /// The ceiling beside it, and how many times of that are promised at most.
    pub fn bare(self, measured: f64, at_most: Option<f64>) -> Self {
        self.against("bare", measured, at_most)
    }

    /// Another figure beside it.
    pub fn against(self, what: &'static str, measured: f64, at_most: Option<f64>) -> Self {
        let other = Some(Other {
            what,
            measured,
            at_most,
        });
        Self { other, ..self }
    }

    fn cells(&self) -> [String; 7] {
        let other = self.other.as_ref();
        let ratio = other.map(|other| self.measured / other.measured);
        let ratio_promised = other.and_then(|other| other.at_most);
        let promised = [
            self.at_most.map(|most| self.unit.tell(most)),
            ratio_promised.map(|most| format!("{most:.2}×")),
        ];
        let promised: Vec<String> = promised.into_iter().flatten().collect();
        [
            self.scenario.clone(),
            self.what.clone(),
            self.unit.tell(self.measured),
            other.map_or(String::new(), |other| match other.what {
                "bare" => self.unit.tell(other.measured),
                what => format!("{}, {what}", self.unit.tell(other.measured)),
            }),
            ratio.map_or(String::new(), |ratio| format!("{ratio:.2}×")),
            promised.join(", "),
            self.verdict(ratio.zip(ratio_promised)),
        ]
    }

    fn verdict(&self, ratio: Option<(f64, f64)>) -> String {
        let absolute = self.at_most.map(|most| (self.measured, most));
        let exceeds = |(measured, most): &(f64, f64)| measured.is_nan() || measured > most;
        let missed = absolute.filter(exceeds);
        let missed_ratio = ratio.filter(exceeds);
        match (missed, missed_ratio) {
            (Some((measured, _)), _) | (None, Some((measured, _))) if measured.is_nan() => {
                "missed".to_owned()
            }
            (Some((measured, most)), _) => {
                format!("missed by {}", self.unit.tell(measured - most))
            }
            (None, Some((measured, most))) => format!("missed by {:.2}×", measured - most),
            _ if absolute.is_some() || ratio.is_some() => "holds".to_owned(),
            _ => String::new(),
        }
    }
}

/// All of them, in order.
#[derive(Default)]
pub struct Figures(Vec<Line>);

impl Figures {
    /// Keeps it, and shows it at once: all of them take a while.
    pub fn add(&mut self, line: Line) {
        let cells = line.cells();
        let told: Vec<&str> = cells.iter().map(String::as_str).collect();
        eprintln!("  {}", told.join(" | "));
        self.0.push(line);
    }

    pub fn table(&self) -> Table {
        let titles = [
            "scenario",
            "figure",
            "measured",
            "beside it",
            "ratio",
            "at most",
            "promise",
        ];
        let mut table = Table::new(&titles);
        for line in &self.0 {
            table.row(line.cells());
        }
        table
    }
}
