//! All objects that are watched: what changed, what is to be said, and whether all have ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;

use crate::{
    exit::Exit,
    failure::{Failure, Site, unanswered},
    row::{Outcome, Row},
    target::Target,
};

/// So long nothing may look at an object before that is said.
pub const UNSEEN_AFTER: Duration = Duration::from_secs(15);
/// So long the API server's first answer may take before that is said.
const SILENT_AFTER: Duration = Duration::from_secs(5);

/// What the watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// An object as it is now.
    Seen(Box<Row>),
    /// An object was deleted; as it was at last.
    Gone(Box<Row>),
    /// An object isn't among those that are watched any more.
    Left(String),
    /// All objects were listed: the UIDs of those that are there.
    Listed(BTreeSet<String>),
    /// The API server can't be asked, for that reason.
    Lost(String),
    /// It can be again.
    Back,
}

/// What a person is to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Row(Box<Row>),
    Note(String),
}

/// When something happens.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// As clocks show it.
    pub time: Timestamp,
    /// Since the program's start.
    pub since_start: Duration,
}

/// Which objects were asked for.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Their names, each of which must be there; none where they were chosen otherwise.
    pub names: Vec<String>,
    /// The labels that they must have.
    pub labels: Option<String>,
    /// Whether those that had ended before the first list was read are left out.
    pub leaves_out_ended: bool,
    /// What the words of a failure name.
    pub site: Site,
    /// What commands mean that are said to the person.
    pub target: Target,
}

/// All objects that are watched, by UID: one that is deleted and made again is another.
#[derive(Debug, Default)]
pub struct Board {
    entries: BTreeMap<String, Entry>,
    choice: Choice,
    left_out: BTreeSet<String>,
    is_listed: bool,
    /// Why the API server can't be asked, where that is so.
    lost: Option<String>,
    heard: Heard,
    /// Whether there ever was an object that counted.
    had_any: bool,
}

/// What the API server has said so far.
#[derive(Debug, Default, PartialEq, Eq)]
enum Heard {
    #[default]
    Nothing,
    /// Nothing yet, and that was told.
    Silence,
    Answer,
}

#[derive(Debug)]
struct Entry {
    row: Row,
    unseen_since: Option<Duration>,
    is_unseen_told: bool,
    is_suspension_told: bool,
}

impl Board {
    pub fn new(choice: Choice) -> Self {
        Self {
            choice,
            ..Self::default()
        }
    }

    /// Takes what the watch tells. Returns what is to be shown.
    pub fn take(&mut self, update: Update, now: Now) -> Vec<Change> {
        match update {
            Update::Seen(row) => {
                self.heard = Heard::Answer;
                let uid = row.uid.clone();
                let seen = self.see(*row, now);
                seen.into_iter().chain(self.suspension(&uid)).collect()
            }
            Update::Gone(row) => {
                let uid = row.uid.clone();
                let seen = self.see(*row, now);
                let gone = self.lose(&uid, now);
                gone.or(seen).into_iter().collect()
            }
            Update::Left(uid) => {
                self.entries.remove(&uid);
                Vec::new()
            }
            Update::Listed(uids) => {
                let known: Vec<String> = self.entries.keys().cloned().collect();
                let missing = known.iter().filter(|uid| !uids.contains(*uid));
                let changes = missing.filter_map(|uid| self.lose(uid, now)).collect();
                self.left_out.retain(|uid| uids.contains(uid));
                self.heard = Heard::Answer;
                self.is_listed = true;
                changes
            }
            Update::Lost(why) => {
                let is_told = self.lost.is_some();
                let text = unanswered(&self.choice.site.server, &why);
                self.lost = Some(why);
                if is_told {
                    return Vec::new();
                }
                vec![Change::Note(format!("{text}; going on as soon as it can"))]
            }
            Update::Back => {
                self.heard = Heard::Answer;
                if self.lost.take().is_none() {
                    return Vec::new();
                }
                // What the controller did meanwhile couldn't be seen, and perhaps it couldn't write it.
                for entry in self.entries.values_mut() {
                    entry.unseen_since = entry.unseen_since.map(|_| now.since_start);
                }
                vec![Change::Note("The API server answers again".to_owned())]
            }
        }
    }

    /// What time alone has to say: that nothing looks at some objects.
    pub fn tick(&mut self, now: Now) -> Option<Change> {
        // While nothing can be seen, nothing can be missed.
        if self.lost.is_some() {
            return None;
        }
        if self.heard == Heard::Nothing && now.since_start >= SILENT_AFTER {
            self.heard = Heard::Silence;
            let text = unanswered(&self.choice.site.server, "no answer yet");
            return Some(Change::Note(format!("{text}; waiting on")));
        }
        let is_due = |entry: &&mut Entry| {
            let due = entry.unseen_since.map(|since| since + UNSEEN_AFTER);
            !entry.is_unseen_told && due.is_some_and(|due| due <= now.since_start)
        };
        let mut names = Vec::new();
        for entry in self.entries.values_mut().filter(is_due) {
            entry.is_unseen_told = true;
            names.push(entry.row.name.clone());
        }
        let (first, others) = names.split_first()?;
        let others = match others.len() {
            0 => String::new(),
            1 => " and 1 other".to_owned(),
            others => format!(" and {others} others"),
        };
        Some(Change::Note(format!(
            "Nothing has looked at {first}{others} for {} s: no controller seems to run, or it doesn't watch this \
             namespace; going on",
            UNSEEN_AFTER.as_secs()
        )))
    }

    /// The exit code, once all objects were seen and none goes on.
    pub fn verdict(&self) -> Option<Exit> {
        let goes_on = |entry: &Entry| entry.row.outcome == Outcome::Ongoing;
        let is_over = self.is_listed && !self.entries.values().any(goes_on);
        is_over.then(|| self.worst())
    }

    /// The exit code where nobody waits any longer.
    ///
    /// # Errors
    /// If the API server hasn't told anything yet.
    pub fn verdict_at_timeout(&self) -> Result<Exit, Failure> {
        if self.heard == Heard::Answer {
            return Ok(self.worst().max(Exit::WaitTimedOut));
        }
        let why = self.lost.as_deref().unwrap_or("no answer in time");
        Err(Failure::unanswered(&self.choice.site, why))
    }

    /// What commands mean that are said to the person.
    pub fn target(&self) -> &Target {
        &self.choice.target
    }

    /// Whether the objects were read once.
    pub fn is_listed(&self) -> bool {
        self.is_listed
    }

    fn worst(&self) -> Exit {
        let exits = self.entries.values().map(|entry| entry.row.outcome.exit());
        exits.max().unwrap_or(Exit::Succeeded)
    }

    /// What was asked for and isn't there, once the first list was read.
    pub fn missing(&self) -> Option<Failure> {
        let has = |name: &String| self.entries.values().any(|entry| entry.row.name == *name);
        let place = &self.choice.site.place;
        if !self.is_listed {
            None
        } else if let Some(name) = self.choice.names.iter().find(|name| !has(name)) {
            Some(Failure::stuck(format!(
                "There is no ScaleOutTask {name} {place}"
            )))
        } else if self.entries.is_empty() && self.had_any {
            Some(Failure::stuck(format!(
                "The labels choose no ScaleOutTask {place} any more"
            )))
        } else if self.entries.is_empty() && self.left_out.is_empty() {
            let labels = self.choice.labels.as_ref();
            let labels = labels.map(|labels| format!(" with the labels {labels}"));
            Some(Failure::stuck(format!(
                "There is no ScaleOutTask {place}{}",
                labels.unwrap_or_default()
            )))
        } else {
            None
        }
    }

    /// The rows, by namespace and name.
    pub fn rows(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.entries.values().map(|entry| &entry.row).collect();
        rows.sort_by(|a, b| {
            (&a.namespace, &a.name, a.began).cmp(&(&b.namespace, &b.name, b.began))
        });
        rows
    }

    fn see(&mut self, row: Row, now: Now) -> Option<Change> {
        let is_new = !self.entries.contains_key(&row.uid);
        if is_new && self.is_left_out(&row) {
            self.left_out.insert(row.uid);
            return None;
        }
        let unseen = row.is_unseen().then_some(now.since_start);
        let shown = Change::Row(Box::new(row.clone()));
        if let Some(entry) = self.entries.get_mut(&row.uid) {
            // What is told late of an object that is gone brings it not back.
            if entry.row.outcome == Outcome::Deleted {
                return None;
            }
            entry.unseen_since = unseen.map(|since| entry.unseen_since.unwrap_or(since));
            entry.is_unseen_told &= unseen.is_some();
            let before = std::mem::replace(&mut entry.row, row);
            return (before != entry.row).then_some(shown);
        }
        let entry = Entry {
            row,
            unseen_since: unseen,
            is_unseen_told: false,
            is_suspension_told: false,
        };
        self.had_any = true;
        self.entries.insert(entry.row.uid.clone(), entry);
        Some(shown)
    }

    /// Of a suspended object that is waited for: who waits should know what for.
    fn suspension(&mut self, uid: &str) -> Option<Change> {
        let entry = self.entries.get_mut(uid)?;
        let row = &entry.row;
        let waits = row.is_suspended && row.outcome == Outcome::Ongoing;
        let is_told = std::mem::replace(&mut entry.is_suspension_told, waits);
        (waits && !is_told).then(|| {
            let typed = self
                .choice
                .target
                .typed("resume", &[&row.name], &row.namespace);
            Change::Note(format!(
                "{} is suspended, and nothing asks about its task until it is resumed: {typed}",
                row.name
            ))
        })
    }

    /// Whether it had ended before anybody watched. One that was left out and runs again counts.
    fn is_left_out(&self, row: &Row) -> bool {
        let has_ended = matches!(row.outcome, Outcome::Succeeded | Outcome::Failed);
        let was_there = !self.is_listed || self.left_out.contains(&row.uid);
        self.choice.leaves_out_ended && has_ended && was_there
    }

    /// An object was deleted. One that had ended is counted by its end.
    fn lose(&mut self, uid: &str, now: Now) -> Option<Change> {
        let entry = self.entries.get_mut(uid)?;
        entry.unseen_since = None;
        if matches!(
            entry.row.outcome,
            Outcome::Succeeded | Outcome::Failed | Outcome::Deleted
        ) {
            return None;
        }
        entry.row.outcome = Outcome::Deleted;
        entry.row.finished = Some(now.time);
        Some(Change::Row(Box::new(entry.row.clone())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::row::tests::{object, row};

    fn at(seconds: u64) -> Now {
        Now {
            time: "2026-01-15T08:05:00Z".parse().unwrap(),
            since_start: Duration::from_secs(seconds),
        }
    }

    fn seen(name: &str, reason: &str) -> Update {
        let (ready, others): (&str, &[&str]) = match reason {
            "TaskSucceeded" => ("True", &["Finished"]),
            "TaskFailed" => ("False", &["Stalled", "Finished"]),
            "AccessDenied" => ("False", &["Stalled"]),
            _ => ("False", &["Reconciling"]),
        };
        Update::Seen(Box::new(row(name, ready, reason, others, &json!({}))))
    }

    fn gone(name: &str, reason: &str) -> Update {
        match seen(name, reason) {
            Update::Seen(row) => Update::Gone(row),
            other => other,
        }
    }

    fn listed(names: &[&str]) -> Update {
        Update::Listed(names.iter().map(|name| format!("uid-{name}")).collect())
    }

    fn board(updates: Vec<Update>) -> Board {
        let mut board = Board::default();
        for update in updates {
            board.take(update, at(0));
        }
        board
    }

    #[test]
    fn the_worst_of_the_ends_is_the_exit_code() {
        for (updates, exit) in [
            (
                vec![seen("a", "TaskSucceeded"), listed(&["a"])],
                Some(Exit::Succeeded),
            ),
            (vec![seen("a", "TaskSucceeded")], None),
            (vec![seen("a", "TaskRunning"), listed(&["a"])], None),
            (
                vec![
                    seen("a", "TaskFailed"),
                    seen("b", "TaskSucceeded"),
                    listed(&["a", "b"]),
                ],
                Some(Exit::Failed),
            ),
            (
                vec![
                    seen("a", "TaskFailed"),
                    seen("b", "AccessDenied"),
                    listed(&["a", "b"]),
                ],
                Some(Exit::Stuck),
            ),
            (
                vec![
                    seen("a", "TaskFailed"),
                    seen("b", "TaskRunning"),
                    listed(&["a", "b"]),
                ],
                None,
            ),
            (
                vec![
                    seen("a", "TaskRunning"),
                    listed(&["a"]),
                    gone("a", "TaskRunning"),
                ],
                Some(Exit::Deleted),
            ),
            // It had ended first, as with a time to live of nothing.
            (
                vec![
                    seen("a", "TaskRunning"),
                    listed(&["a"]),
                    gone("a", "TaskSucceeded"),
                ],
                Some(Exit::Succeeded),
            ),
            (
                vec![
                    seen("a", "TaskFailed"),
                    listed(&["a"]),
                    gone("a", "TaskFailed"),
                ],
                Some(Exit::Failed),
            ),
            // The watch was too old, and the list doesn't have it any more.
            (
                vec![seen("a", "TaskRunning"), listed(&["a"]), listed(&[])],
                Some(Exit::Deleted),
            ),
        ] {
            assert_eq!(board(updates.clone()).verdict(), exit, "{updates:?}");
        }
        let late = board(vec![
            seen("a", "TaskRunning"),
            seen("b", "TaskFailed"),
            listed(&["a", "b"]),
        ]);
        assert_eq!(late.verdict_at_timeout(), Ok(Exit::WaitTimedOut));
        let unanswered = Board::default().verdict_at_timeout().unwrap_err();
        assert_eq!(unanswered.exit, Exit::Stuck);
    }

    #[test]
    fn an_object_that_is_made_again_is_another() {
        let mut again = row("a", "True", "TaskSucceeded", &["Finished"], &json!({}));
        again.uid = "uid-again".to_owned();
        let mut board = board(vec![
            seen("a", "TaskRunning"),
            listed(&["a"]),
            Update::Seen(Box::new(again)),
        ]);
        assert_eq!(board.verdict(), None);
        board.take(listed(&["again"]), at(1));
        assert_eq!(board.verdict(), Some(Exit::Deleted));
        let outcomes: Vec<_> = board.rows().iter().map(|row| row.outcome).collect();
        assert_eq!(outcomes, [Outcome::Deleted, Outcome::Succeeded]);
    }

    #[test]
    fn that_nothing_looks_at_objects_is_said_once_after_15_s() {
        let mut board = Board::default();
        for name in ["a", "b"] {
            let row = Row::of(&object(name, &json!({ "observedGeneration": -1 })));
            board.take(Update::Seen(Box::new(row)), at(10));
        }
        assert_eq!(board.tick(at(24)), None);
        let Some(Change::Note(text)) = board.tick(at(25)) else {
            panic!("nothing was said");
        };
        assert!(
            text.starts_with("Nothing has looked at a and 1 other for 15 s"),
            "{text}"
        );
        assert_eq!(board.tick(at(99)), None);
        board.take(seen("a", "TaskRunning"), at(100));
        assert_eq!(board.tick(at(200)), None);
        // Once somebody looked, it is said again.
        let mut edited = row("a", "False", "TaskRunning", &["Reconciling"], &json!({}));
        edited.is_looked_at = false;
        assert!(edited.is_unseen());
        board.take(Update::Seen(Box::new(edited)), at(200));
        assert!(board.tick(at(215)).is_some());
    }

    #[test]
    fn an_outage_of_the_api_server_is_no_absence_of_a_controller() {
        let mut board = Board::default();
        let unseen = Row::of(&object("a", &json!({ "observedGeneration": -1 })));
        board.take(Update::Seen(Box::new(unseen)), at(0));
        board.take(listed(&["a"]), at(0));
        board.take(Update::Lost("refused".to_owned()), at(5));
        assert_eq!(board.tick(at(60)), None);
        board.take(Update::Back, at(60));
        assert_eq!(board.tick(at(74)), None);
        assert!(board.tick(at(75)).is_some());
    }

    #[test]
    fn that_an_object_is_suspended_is_said_once() {
        let mut board = Board::default();
        let mut suspended = row("a", "False", "Suspended", &[], &json!({}));
        suspended.is_suspended = true;
        let update = Update::Seen(Box::new(suspended));
        let changes = board.take(update.clone(), at(0));
        let said = "a is suspended, and nothing asks about its task until it is resumed: kubectl scaleouttask resume a -n web";
        assert!(
            changes.contains(&Change::Note(said.to_owned())),
            "{changes:?}"
        );
        assert_eq!(board.take(update, at(1)), []);
    }

    #[test]
    fn an_api_server_that_says_nothing_is_told_once() {
        let mut board = Board::default();
        assert_eq!(board.tick(at(4)), None);
        assert!(board.tick(at(5)).is_some());
        assert_eq!(board.tick(at(6)), None);
        // A list that takes long is no silence.
        let mut board = Board::default();
        board.take(Update::Back, at(1));
        assert_eq!(board.tick(at(60)), None);
        assert_eq!(board.verdict_at_timeout(), Ok(Exit::WaitTimedOut));
    }

    #[test]
    fn that_the_last_object_lost_its_label_is_said() {
        let mut board = board(vec![
            seen("a", "TaskRunning"),
            listed(&["a"]),
            Update::Left("uid-a".to_owned()),
        ]);
        let missing = board.missing().unwrap().to_string();
        assert!(missing.contains("any more"), "{missing}");
        board.take(seen("b", "TaskRunning"), at(1));
        assert_eq!(board.missing(), None);
    }

    #[test]
    fn a_lost_connection_is_said_once_and_so_is_its_end() {
        let mut board = Board::default();
        assert_eq!(board.take(Update::Back, at(0)), []);
        assert_eq!(
            board.take(Update::Lost("refused".to_owned()), at(1)).len(),
            1
        );
        assert_eq!(board.take(Update::Lost("refused".to_owned()), at(2)), []);
        assert_eq!(board.take(Update::Back, at(3)).len(), 1);
        assert_eq!(board.take(Update::Back, at(4)), []);
    }

    #[test]
    fn what_had_ended_before_is_left_out_where_only_the_rest_is_asked_for() {
        let mut board = Board::new(Choice {
            leaves_out_ended: true,
            ..Choice::default()
        });
        board.take(seen("old", "TaskFailed"), at(0));
        board.take(seen("new", "TaskRunning"), at(0));
        board.take(listed(&["old", "new"]), at(0));
        board.take(seen("old", "TaskFailed"), at(1));
        assert_eq!(board.rows().len(), 1);
        board.take(seen("new", "TaskSucceeded"), at(2));
        assert_eq!(board.verdict(), Some(Exit::Succeeded));
    }

    #[test]
    fn each_name_that_was_asked_for_must_be_there() {
        let mut board = Board::new(Choice {
            names: vec!["a".to_owned(), "b".to_owned()],
            labels: None,
            leaves_out_ended: false,
            site: Site {
                place: "in namespace web".to_owned(),
                ..Site::default()
            },
            target: Target::default(),
        });
        board.take(seen("a", "TaskRunning"), at(0));
        assert_eq!(board.missing(), None);
        board.take(listed(&["a"]), at(0));
        let missing = board.missing().unwrap().to_string();
        assert_eq!(missing, "There is no ScaleOutTask b in namespace web");
    }

    proptest! {
        #[test]
        fn in_every_history_what_has_not_changed_is_not_shown_and_a_deletion_stays(
            steps in prop::collection::vec((0_usize..3, 0_usize..5, any::<bool>()), 0..60),
        ) {
            let reasons = ["TaskRunning", "TaskSucceeded", "TaskFailed", "AccessDenied", "Pending"];
            let names = ["a", "b", "c"];
            let mut board = board(vec![listed(&[])]);
            for (name, reason, is_gone) in steps {
                let (name, reason) = (names[name], reasons[reason]);
                let update = if is_gone { gone(name, reason) } else { seen(name, reason) };
                let before = board.worst();
                board.take(update.clone(), at(1));
                prop_assert_eq!(board.take(update, at(2)), []);
                prop_assert!(before != Exit::Deleted || board.worst() == Exit::Deleted);
            }
        }
    }
}
