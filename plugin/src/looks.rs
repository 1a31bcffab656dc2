//! What `poll` waits for: that the controller looked at each object.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;

use crate::{
    board::Update,
    exit::Exit,
    failure::{Site, unanswered},
    lines::{Format, line},
    row::Row,
    target::Target,
};

/// The objects that are still to be looked at.
pub struct Looks {
    /// Their names, and the UID of each that was seen.
    open: BTreeMap<String, Option<String>>,
    exit: Exit,
    /// Why the API server can't be asked, where that is so: at first it hasn't answered.
    lost: Option<String>,
    is_lost_told: bool,
    site: Site,
    target: Target,
}

/// What is told of one.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// What it is after the look.
    Line(String),
    Note(String),
}

impl Looks {
    pub fn new(names: Vec<String>, site: Site, target: Target) -> Self {
        Self {
            open: names.into_iter().map(|name| (name, None)).collect(),
            exit: Exit::Succeeded,
            lost: Some("no answer in time".to_owned()),
            is_lost_told: false,
            site,
            target,
        }
    }

    pub fn are_over(&self) -> bool {
        self.open.is_empty()
    }

    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Takes what the watch tells. Returns what is to be said.
    pub fn take(&mut self, update: Update, now: Timestamp) -> Vec<Said> {
        match update {
            Update::Seen(row) => self.see(&row, now).into_iter().collect(),
            Update::Gone(row) => self.lose(&row.name).into_iter().collect(),
            Update::Listed(uids) => self.lose_missing(&uids),
            Update::Left(_) => Vec::new(),
            Update::Back => {
                self.lost = None;
                self.is_lost_told = false;
                Vec::new()
            }
            Update::Lost(why) => {
                let text = unanswered(&self.site.server, &why);
                self.lost = Some(why);
                if std::mem::replace(&mut self.is_lost_told, true) {
                    return Vec::new();
                }
                vec![Said::Note(format!("{text}; waiting on"))]
            }
        }
    }

    /// Nobody waits any longer.
    pub fn give_up(&mut self) -> Said {
        self.exit = self.exit.max(Exit::WaitTimedOut);
        if let Some(why) = &self.lost {
            return Said::Note(unanswered(&self.site.server, why));
        }
        let names: Vec<&str> = self.open.keys().map(String::as_str).collect();
        Said::Note(format!(
            "Nothing has looked at {} in time: does a controller run that watches them {}? It looks on request once in 5 s \
             at most; the request stays",
            names.join(", "),
            self.site.place
        ))
    }

    fn see(&mut self, row: &Row, now: Timestamp) -> Option<Said> {
        let seen = self.open.get_mut(&row.name)?;
        *seen = Some(row.uid.clone());
        let name = &row.name;
        let said = if !row.awaits_look {
            Said::Line(line(row, Format::Plain, false, now))
        } else if row.is_suspended {
            self.exit = self.exit.max(Exit::Stuck);
            let typed = self.target.typed("resume", &[name], &row.namespace);
            Said::Note(format!(
                "{name} is suspended, and looked at once it is resumed: {typed}"
            ))
        } else if row.is_never_asked_about() {
            self.exit = self.exit.max(Exit::Stuck);
            Said::Note(format!(
                "Nothing asks about {name} as long as it is {}: {}",
                row.reason, row.message
            ))
        } else {
            return None;
        };
        self.open.remove(&row.name);
        Some(said)
    }

    fn lose(&mut self, name: &str) -> Option<Said> {
        self.open.remove(name)?;
        self.exit = self.exit.max(Exit::Deleted);
        Some(Said::Note(format!("{name} was deleted")))
    }

    fn lose_missing(&mut self, uids: &BTreeSet<String>) -> Vec<Said> {
        let is_there = |uid: &Option<String>| uid.as_ref().is_some_and(|uid| uids.contains(uid));
        let missing = self.open.iter().filter(|(_, uid)| !is_there(uid));
        let missing: Vec<String> = missing.map(|(name, _)| name.clone()).collect();
        missing.iter().filter_map(|name| self.lose(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    use crate::row::tests::row;

    fn seen(name: &str, reason: &str, awaits_look: bool, is_suspended: bool) -> Update {
        let mut row = row(name, "False", reason, &["Stalled"], &json!({}));
        (row.awaits_look, row.is_suspended) = (awaits_look, is_suspended);
        Update::Seen(Box::new(row))
    }

    fn looks(names: &[&str]) -> Looks {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Looks::new(names, Site::default(), Target::default())
    }

    fn listed(names: &[&str]) -> Update {
        Update::Listed(names.iter().map(|name| format!("uid-{name}")).collect())
    }

    #[test]
    fn each_object_is_waited_for_until_it_was_looked_at() {
        let mut looks = looks(&["a", "b"]);
        assert_eq!(looks.take(seen("a", "TaskRunning", true, false), NOW), []);
        assert_eq!(looks.take(seen("b", "TaskRunning", true, false), NOW), []);
        assert_eq!(looks.take(listed(&["a", "b"]), NOW), []);
        // Whoever's request it was that was acted on.
        let said = looks.take(seen("a", "TaskRunning", false, false), NOW);
        assert!(
            matches!(said.as_slice(), [Said::Line(line)] if line.contains(" a ")),
            "{said:?}"
        );
        assert!(!looks.are_over());
        assert_eq!(
            looks.take(seen("other", "TaskRunning", false, false), NOW),
            []
        );
        assert_eq!(
            looks
                .take(seen("b", "TaskRunning", false, false), NOW)
                .len(),
            1
        );
        assert!(looks.are_over());
        assert_eq!(looks.exit(), Exit::Succeeded);
    }

    #[test]
    fn what_will_never_be_looked_at_ends_the_wait() {
        for (update, exit, said) in [
            (
                seen("a", "Suspended", true, true),
                Exit::Stuck,
                "a is suspended",
            ),
            (
                seen("a", "RegionMissing", true, false),
                Exit::Stuck,
                "Nothing asks about a as long as it is RegionMissing: It is",
            ),
            (listed(&[]), Exit::Deleted, "a was deleted"),
        ] {
            let mut looks = looks(&["a"]);
            let notes = looks.take(update, NOW);
            assert!(
                matches!(notes.as_slice(), [Said::Note(note)] if note.starts_with(said)),
                "{notes:?}"
            );
            assert!(looks.are_over());
            assert_eq!(looks.exit(), exit);
        }
    }

    #[test]
    fn an_object_that_was_deleted_while_nobody_saw_it_ends_the_wait() {
        let mut looks = looks(&["a"]);
        looks.take(seen("a", "TaskRunning", true, false), NOW);
        looks.take(listed(&["a"]), NOW);
        assert_eq!(looks.take(Update::Lost("refused".to_owned()), NOW).len(), 1);
        assert_eq!(looks.take(Update::Lost("refused".to_owned()), NOW), []);
        assert_eq!(looks.take(listed(&["again"]), NOW).len(), 1);
        assert_eq!(looks.exit(), Exit::Deleted);
    }
}
