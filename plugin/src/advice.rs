//! What the documents say of a reason: what it means, what the controller does, and what a person can do.

const REFERENCE: &str = include_str!("../../docs/reference.md");
const REASONS: &str = "<!-- table: reasons -->";

macro_rules! runbook {
    ($name:literal) => {
        include_str!(concat!("../../docs/runbooks/", $name, ".md"))
    };
}

const STALLED: &str = runbook!("ScaleOutTaskTrackingStalled");
const FAILED: &str = runbook!("ScaleOutTaskFailed");
const NODES_MISSING: &str = runbook!("ScaleOutTaskNodesMissing");
const API_UNAVAILABLE: &str = runbook!("ScaleOutTaskApiUnavailable");
const API_THROTTLED: &str = runbook!("ScaleOutTaskApiThrottled");

/// What is said of a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    /// What it means, in a few words.
    pub meaning: String,
    /// What the controller does.
    pub controller: String,
    /// What a person can do, paragraph by paragraph.
    pub person: Vec<String>,
}

/// What is known of an object beside its reason.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// Instances have no Ready node.
    pub misses_nodes: bool,
    /// The object names a Secret.
    pub has_secret: bool,
    /// The task said what went wrong.
    pub has_error: bool,
}

/// What the reference and the runbooks say of that reason; none of one that they don't know.
pub fn advice(reason: &str, known: Known) -> Option<Advice> {
    let row = row(after(REFERENCE, REASONS)?, reason)?;
    let (meaning, anchor) = link(row.last()?)?;
    let section = section(anchor)?;
    let mut person: Vec<String> = paragraph(section, "**You can**").into_iter().collect();
    person.extend(by_runbook(reason, known));
    Some(Advice {
        meaning: plain(meaning),
        controller: paragraph(section, "**The controller**").unwrap_or_default(),
        person,
    })
}

/// What the reference says of an object that no controller has looked at.
pub fn not_looked_at() -> Option<Advice> {
    let section = section("not-looked-at-yet")?;
    Some(Advice {
        meaning: "no controller has looked at it as it is now".to_owned(),
        controller: paragraph(section, "**The controller**").unwrap_or_default(),
        person: paragraph(section, "**You can**").into_iter().collect(),
    })
}

/// What to mend, where a runbook says more than the reference.
fn by_runbook(reason: &str, known: Known) -> Vec<String> {
    match reason {
        // Its first sentence. The reference says the rest.
        "TaskFailed" | "InstancesFailed" if known.has_error => paragraph(FAILED, "**Mend.**")
            .and_then(|text| Some(format!("{}.", text.split_once(". ")?.0)))
            .into_iter()
            .collect(),
        "CredentialsInvalid" if known.has_secret => paragraph(STALLED, "Secrets of many objects")
            .map(|text| format!("Secrets of many objects {text}"))
            .into_iter()
            .collect(),
        "TaskApiUnavailable" | "InvalidResponse" => list(API_UNAVAILABLE),
        "Throttled" => list(API_THROTTLED),
        "AccessDenied" | "ClockSkewed" | "ClusterMismatch" | "RequestRejected" => {
            let cells = row(STALLED, reason);
            let mend = cells.and_then(|cells| cells.last().map(|cell| plain(cell)));
            mend.into_iter().collect()
        }
        _ if known.misses_nodes => list(NODES_MISSING),
        _ => Vec::new(),
    }
}

fn after<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    text.split_once(marker).map(|(_, after)| after)
}

/// The cells of the first row of a table that begins with that reason.
fn row<'a>(text: &'a str, reason: &str) -> Option<Vec<&'a str>> {
    let start = format!("| `{reason}` |");
    let line = text.lines().find(|line| line.starts_with(&start))?;
    Some(line.trim_matches('|').split(" | ").map(str::trim).collect())
}

/// Text and anchor of `[text](#anchor)`.
fn link(cell: &str) -> Option<(&str, &str)> {
    let (text, target) = cell.strip_prefix('[')?.split_once("](#")?;
    Some((text, target.strip_suffix(')')?))
}

/// The section whose heading has that anchor, as GitHub makes them.
fn section(anchor: &str) -> Option<&'static str> {
    let sections = REFERENCE.split("\n### ").skip(1);
    let mut sections = sections.filter_map(|section| section.split_once('\n'));
    let found = sections.find(|(title, _)| {
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
        let made: String = kept.collect::<String>().to_lowercase().replace(' ', "-");
        made == anchor
    });
    found.map(|(_, text)| text)
}

/// The paragraph that begins so, without its beginning.
fn paragraph(text: &str, start: &str) -> Option<String> {
    let mut paragraphs = text.split("\n\n");
    let found = paragraphs.find_map(|paragraph| paragraph.trim_start().strip_prefix(start))?;
    Some(plain(found))
}

/// The items of the list below `**Mend**`.
fn list(runbook: &str) -> Vec<String> {
    let list = after(runbook, "**Mend**\n\n- ").unwrap_or_default();
    let list = list.split("\n\n").next().unwrap_or_default();
    list.split("\n- ").map(plain).collect()
}

/// Markdown as a terminal shows it: one line, without links and emphasis.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut rest = words.join(" ").replace("**", "");
    let mut plain = String::new();
    while let Some((before, link)) = rest.split_once('[') {
        let parts = link
            .split_once("](")
            .and_then(|(text, after)| Some((text, after.split_once(')')?.1)));
        plain += before;
        let after = if let Some((text, after)) = parts {
            plain += text;
            after
        } else {
            plain.push('[');
            link
        };
        rest = after.to_owned();
    }
    plain + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Known = Known {
        misses_nodes: true,
        has_secret: true,
        has_error: true,
    };
    const NO_NODES: Known = Known {
        misses_nodes: false,
        ..ALL
    };

    /// The reasons of the reference, in its order.
    fn reasons() -> Vec<&'static str> {
        let table = after(REFERENCE, REASONS).unwrap();
        let rows = table
            .trim_start()
            .lines()
            .take_while(|line| line.starts_with('|'));
        rows.filter_map(|row| row.strip_prefix("| `")?.split_once('`'))
            .map(|(reason, _)| reason)
            .collect()
    }

    #[test]
    fn of_each_reason_the_documents_say_what_it_means_and_what_to_do() {
        let reasons = reasons();
        assert!(reasons.len() >= 25, "{reasons:?}");
        for reason in reasons {
            let advice =
                advice(reason, ALL).unwrap_or_else(|| panic!("nothing is said of {reason}"));
            assert!(!advice.meaning.is_empty(), "{reason}");
            assert!(!advice.controller.is_empty(), "{reason}");
            assert!(!advice.person.is_empty(), "{reason}");
            for text in advice.person {
                assert!(
                    text.len() > 5 && !text.contains("](") && !text.contains("**"),
                    "{reason}: {text}"
                );
            }
        }
        assert!(advice("Nonsense", ALL).is_none());
        assert!(not_looked_at().is_some_and(|advice| !advice.person.is_empty()));
    }

    #[test]
    fn each_runbook_has_what_it_is_read_for() {
        for (reason, said) in [
            ("AccessDenied", "grant `cs:DescribeTaskInfo`"),
            ("ClockSkewed", "synchronise the clock"),
            ("ClusterMismatch", "`--allowed-cluster-id`"),
            ("CredentialsInvalid", "`accessKeyId`"),
            ("RequestRejected", "`--endpoint`"),
            ("TaskFailed", "stock, quota, or a vSwitch"),
            ("InstancesFailed", "stock, quota, or a vSwitch"),
        ] {
            let advice = by_runbook(reason, NO_NODES);
            assert_eq!(advice.len(), 1, "{reason}");
            assert!(advice[0].contains(said), "{reason}: {advice:?}");
        }
        for reason in ["WaitingForNodes", "TimedOut"] {
            assert!(by_runbook(reason, ALL).len() >= 3, "{reason}");
        }
        assert!(by_runbook("TaskApiUnavailable", NO_NODES).len() >= 3);
        assert!(by_runbook("Throttled", NO_NODES).len() >= 3);
        for reason in ["CredentialsInvalid", "InstancesFailed"] {
            assert_eq!(by_runbook(reason, Known::default()), [""; 0], "{reason}");
        }
        for reason in ["TaskSucceeded", "TaskCanceled", "TaskNotFound", "TimedOut"] {
            assert_eq!(by_runbook(reason, NO_NODES), [""; 0], "{reason}");
        }
    }

    #[test]
    fn markdown_becomes_plain_text() {
        assert_eq!(
            plain("see [the\npage](a.md#b), **now**, at [x"),
            "see the page, now, at [x"
        );
    }
}
