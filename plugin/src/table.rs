//! The live table: a line an object, cut to the terminal's width and never wrapped.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::{
    row::{Outcome, Row},
    text::{cut, cut_middle, fit, width},
};

/// The terminal, and how it is drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub columns: usize,
    pub lines: usize,
    pub has_colours: bool,
    pub with_namespace: bool,
}

const BAR: usize = 10;
/// Nearly all reasons are no longer.
const REASON_MIN: usize = 15;
const REASON_MAX: usize = 18;
const INSTANCES_MAX: usize = 11;
const TIME: usize = 6;
const STAGE_MIN: usize = 6;

/// The widths of the columns; 0 where one is left out.
struct Columns {
    name: usize,
    bar: usize,
    instances: usize,
    stage: usize,

    reason: usize,
    message: usize,
}

/// The lines of the table: a title, the rows, and what the rest is where not all have room.
pub fn table(rows: &[&Row], view: &View, now: Timestamp) -> Vec<String> {
    // Beside the title, the rest and the cursor.
    let is_low = view.lines < 4;
    let beside = if is_low { 1 } else { 3 };
    let (shown, left_out) = chosen(rows, view.lines.saturating_sub(beside).max(1));
    let columns = Columns::of(&shown, view);
    let mut lines = Vec::new();
    lines.extend((!is_low).then(|| columns.title(view)));
    lines.extend(shown.iter().map(|row| columns.line(row, view, now)));
    if !left_out.is_empty() && !is_low {
        lines.push(cut(&rest(&left_out), view.columns));
    }
    lines
}

/// The rows that there is room for: those that went wrong first, then those that go on. They keep their order.
fn chosen<'a>(rows: &[&'a Row], room: usize) -> (Vec<&'a Row>, Vec<&'a Row>) {
    let mut by_need: Vec<usize> = (0..rows.len()).collect();
    by_need.sort_by_key(|index| match rows[*index].outcome {
        Outcome::Failed | Outcome::Stuck | Outcome::Deleted => 0,
        Outcome::Ongoing => 1,
        Outcome::Succeeded => 2,
    });
    let mut is_shown = vec![false; rows.len()];
    for index in by_need.into_iter().take(room) {
        is_shown[index] = true;
    }
    let mut shown = Vec::new();
    let mut left_out = Vec::new();
    for (row, is_shown) in rows.iter().zip(is_shown) {
        let list = if is_shown { &mut shown } else { &mut left_out };
        list.push(*row);
    }
    (shown, left_out)
}

fn rest(rows: &[&Row]) -> String {
    let outcomes = [
        (Outcome::Ongoing, "going on"),
        (Outcome::Succeeded, "succeeded"),
        (Outcome::Failed, "failed"),
        (Outcome::Stuck, "stuck"),
        (Outcome::Deleted, "deleted"),
    ];
    let counted = outcomes.map(|(outcome, word)| {
        let count = rows.iter().filter(|row| row.outcome == outcome).count();
        (count, word)
    });
    let some = counted.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = some
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    format!("and {} more: {}", rows.len(), parts.join(", "))
}

impl Columns {
    /// Reason and time come first, then the name, the bar, the stage, and the message.
    fn of(rows: &[&Row], view: &View) -> Self {
        let longest = |text: &dyn Fn(&Row) -> String| {
            rows.iter().map(|row| width(&text(row))).max().unwrap_or(0)
        };
        let is_wide = view.columns >= 120;
        let name = longest(&|row| row.name(view.with_namespace)).max(4);
        let instances = longest(&instances).clamp(1, INSTANCES_MAX);
        let reason = longest(&|row| row.reason().to_owned()).clamp(REASON_MIN, REASON_MAX);
        let mut left = view
            .columns
            .saturating_sub(reason + 1 + TIME + 1 + instances + 1);
        // The longest name that is made of a task's ID has 35 characters.
        let name = name.min(left).min(if is_wide { 60 } else { 36 });
        left = left.saturating_sub(name + 1);
        let bar = if left > BAR + 2 { BAR + 2 } else { 0 };
        left = left.saturating_sub(if bar > 0 { bar + 1 } else { 0 });
        let stage = longest(&stage)
            .max(5)
            .min(if is_wide { 28 } else { left.saturating_sub(1) });
        let stage = if left > STAGE_MIN { stage } else { 0 };
        left = left.saturating_sub(if stage > 0 { stage + 1 } else { 0 });
        let message = if is_wide { left.saturating_sub(1) } else { 0 };
        Self {
            name,
            bar,
            instances,
            stage,
            reason,
            message,
        }
    }

    fn title(&self, view: &View) -> String {
        let bar = if self.bar > 0 {
            fit("PROGRESS", self.bar + 1 + self.instances)
        } else {
            fit("", self.instances)
        };
        let cells = [
            fit("NAME", self.name),
            bar,
            fit("STAGE", self.stage),
            format!("{:>1$}", "TIME", TIME),
            fit("REASON", self.reason),
            fit("MESSAGE", self.message),
        ];
        joined(&cells, view.columns).trim_end().to_owned()
    }

    fn line(&self, row: &Row, view: &View, now: Timestamp) -> String {
        let elapsed = row.elapsed(now).map(duration).unwrap_or_default();
        let before = [
            fit(
                &cut_middle(&row.name(view.with_namespace), self.name),
                self.name,
            ),
            if self.bar > 0 {
                bar(row)
            } else {
                String::new()
            },
            format!(
                "{:>1$}",
                cut(&instances(row), self.instances),
                self.instances
            ),
            fit(&stage(row), self.stage),
            format!("{elapsed:>TIME$}"),
        ];
        let before = joined(&before, view.columns);
        let left = view.columns.saturating_sub(width(&before) + 1);
        let reason = cut(&fit(row.reason(), self.reason), left);
        if reason.is_empty() {
            return before;
        }
        let left = left.saturating_sub(width(&reason) + 1);
        let message = cut(row.message(), self.message.min(left));
        let (word, blanks) = reason.split_at(reason.trim_end().len());
        let word = if view.has_colours {
            coloured(word, row.outcome)
        } else {
            word.to_owned()
        };
        format!("{before} {word}{blanks} {message}")
            .trim_end()
            .to_owned()
    }
}

fn joined(cells: &[String], columns: usize) -> String {
    let cells: Vec<&str> = cells
        .iter()
        .map(String::as_str)
        .filter(|cell| !cell.is_empty())
        .collect();
    cut(&cells.join(" "), columns)
}

/// Ten steps of what succeeded or, while nodes are waited for, is Ready.
fn bar(row: &Row) -> String {
    let (done, total) = done(row);
    let steps = if row.outcome == Outcome::Succeeded {
        BAR
    } else {
        // What is begun counts only once it is done.
        (done * BAR).checked_div(total).unwrap_or(0).min(BAR)
    };
    format!("[{}{}]", "#".repeat(steps), ".".repeat(BAR - steps))
}

fn done(row: &Row) -> (usize, usize) {
    let number = |number: i32| usize::try_from(number).unwrap_or(0);
    let of_nodes = row.nodes.as_deref().and_then(|nodes| nodes.split_once('/'));
    let of_nodes = of_nodes.and_then(|(ready, all)| Some((ready.parse().ok()?, all.parse().ok()?)));
    let of_instances = row
        .instances
        .map(|counts| (number(counts.succeeded), number(counts.total)));
    of_nodes.or(of_instances).unwrap_or((0, 0))
}

fn instances(row: &Row) -> String {
    row.progress.clone().unwrap_or_else(|| "-".to_owned())
}

/// What the task does or, while nodes are waited for, how many there are.
fn stage(row: &Row) -> String {
    match &row.nodes {
        Some(nodes) => format!("nodes {nodes}"),
        None => row.stage.clone().unwrap_or_default(),
    }
}

/// The two largest units, in at most six columns.
pub fn duration(elapsed: SignedDuration) -> String {
    let seconds = elapsed.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

fn coloured(text: &str, outcome: Outcome) -> String {
    let colour = match outcome {
        Outcome::Ongoing => 36,
        Outcome::Succeeded => 32,
        Outcome::Failed | Outcome::Deleted => 31,
        Outcome::Stuck => 33,
    };
    format!("\u{1b}[{colour}m{text}\u{1b}[0m")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{row::tests::row, text::without_colours};

    fn now() -> Timestamp {
        "2026-01-15T08:02:05Z".parse().unwrap()
    }

    fn view(columns: usize) -> View {
        View {
            columns,
            lines: 24,
            has_colours: false,
            with_namespace: false,
        }
    }

    fn rows() -> Vec<Row> {
        let counts = |succeeded: i32, total: i32| json!({ "total": total, "succeeded": succeeded, "failed": 0, "pending": total - succeeded });
        vec![
            row(
                "gpu-pool",
                "False",
                "TaskFailed",
                &["Stalled", "Finished"],
                &json!({ "state": "fail", "progress": "0/2", "instances": counts(0, 2), "finishedAt": "2026-01-15T08:00:45Z" }),
            ),
            row(
                "web-pool",
                "False",
                "TaskRunning",
                &["Reconciling"],
                &json!({ "state": "running", "progress": "3/5", "instances": counts(3, 5), "currentStage": "正在加入节点" }),
            ),
            row(
                "app-pool",
                "False",
                "WaitingForNodes",
                &["Reconciling"],
                &json!({ "state": "success", "progress": "2/2", "instances": counts(2, 2), "nodes": "1/2" }),
            ),
        ]
    }

    #[test]
    fn at_80_columns_each_object_has_its_line() {
        let rows = rows();
        let rows: Vec<&Row> = rows.iter().collect();
        assert_eq!(
            table(&rows, &view(80), now()),
            [
                "NAME     PROGRESS         STAGE          TIME REASON",
                "gpu-pool [..........] 0/2                 45s TaskFailed",
                "web-pool [######....] 3/5 正在加入节点  2m05s TaskRunning",
                "app-pool [#####.....] 2/2 nodes 1/2     2m05s WaitingForNodes",
            ]
        );
    }

    #[test]
    fn at_200_columns_the_message_is_there_too() {
        let rows = rows();
        let rows: Vec<&Row> = rows.iter().collect();
        assert_eq!(
            table(&rows, &view(200), now())[2],
            "web-pool [######....] 3/5 正在加入节点  2m05s TaskRunning     It is TaskRunning"
        );
    }

    #[test]
    fn where_not_all_have_room_what_went_wrong_is_shown_first() {
        let mut rows = rows();
        rows.extend((0..20).map(|n| {
            row(
                &format!("z-{n:02}"),
                "True",
                "TaskSucceeded",
                &["Finished"],
                &json!({}),
            )
        }));
        let rows: Vec<&Row> = rows.iter().collect();
        let lines = table(
            &rows,
            &View {
                lines: 6,
                ..view(80)
            },
            now(),
        );
        assert_eq!(lines.len(), 5);
        assert!(lines[1].starts_with("gpu-pool"), "{lines:?}");
        assert_eq!(lines[4], "and 20 more: 20 succeeded");
    }

    #[test]
    fn times_have_at_most_six_columns() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (65, "1m05s"),
            (3599, "59m59s"),
            (3600, "1h00m"),
            (90_000, "1d01h"),
        ] {
            assert_eq!(duration(SignedDuration::from_secs(seconds)), text);
        }
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            columns in 1_usize..220, lines in 1_usize..30, name in "[a-z]{1,60}", stage in "[正在a-z ]{0,80}", has_colours: bool,
        ) {
            let mut rows = rows();
            rows.push(row(&name, "False", "TaskApiUnavailable", &["Reconciling"], &json!({ "currentStage": stage, "progress": "100/1000" })));
            let rows: Vec<&Row> = rows.iter().collect();
            let drawn = table(&rows, &View { columns, lines, has_colours, with_namespace: true }, now());
            for line in &drawn {
                let plain = without_colours(line);
                prop_assert!(width(&plain) <= columns, "{} in {columns}: {plain:?}", width(&plain));
            }
            prop_assert!(drawn.len() < lines.max(2));
        }
    }
}
