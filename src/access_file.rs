//! The file of `--access-file`: which namespace may ask what.

use std::{collections::BTreeSet, fs, io, path::Path, time::Duration};

use serde::{Deserialize, Deserializer, de::Error};

use crate::{
    api::parse_duration,
    rules::{AccessRule, AccessRules, CredentialsOf},
    task_api::endpoint::Region,
};

/// No file of rules is longer.
const MAX: u64 = 1024 * 1024;

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub enum AccessFileError {
    /// It isn't there, or can't be read.
    #[error("--access-file {path} can't be read: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// It isn't what it should be. The message names line and field.
    #[error("--access-file {path}: {problem}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

/// Reads the rules.
///
/// # Errors
/// If the file can't be read, or isn't valid.
pub fn read(path: &Path) -> Result<AccessRules, AccessFileError> {
    let shown = || path.display().to_string();
    let unreadable = |error| AccessFileError::Unreadable {
        path: shown(),
        error,
    };
    if fs::metadata(path).map_err(unreadable)?.len() > MAX {
        let problem = "it is larger than 1 MiB".to_owned();
        return Err(AccessFileError::Malformed {
            path: shown(),
            problem,
        });
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    parse(&text).map_err(|problem| AccessFileError::Malformed {
        path: shown(),
        problem,
    })
}

fn parse(text: &str) -> Result<AccessRules, String> {
    let file: File = serde_saphyr::from_str(text).map_err(|error| {
        let text = error.without_snippet().to_string();
        text.strip_prefix("error: ").unwrap_or(&text).to_owned()
    })?;
    Ok(AccessRules::new(
        file.rules.into_iter().map(Into::into).collect(),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    #[serde(deserialize_with = "namespaces")]
    namespaces: Vec<String>,
    #[serde(default, deserialize_with = "cluster_ids")]
    cluster_ids: Option<BTreeSet<String>>,
    #[serde(default, deserialize_with = "regions")]
    regions: Option<BTreeSet<String>>,
    #[serde(default, deserialize_with = "credentials")]
    credentials: Option<Vec<Credentials>>,
    #[serde(default, deserialize_with = "interval")]
    min_poll_interval: Option<Duration>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Credentials {
    Controller,
    Secret,
}

impl From<Rule> for AccessRule {
    fn from(rule: Rule) -> Self {
        let of = |one| match one {
            Credentials::Controller => CredentialsOf::Controller,
            Credentials::Secret => CredentialsOf::Secret,
        };
        Self {
            namespaces: rule.namespaces,
            cluster_ids: rule.cluster_ids,
            regions: rule.regions,
            credentials: rule
                .credentials
                .map(|all| all.into_iter().map(of).collect()),
            min_poll_interval: rule.min_poll_interval,
        }
    }
}

fn namespaces<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let patterns = Vec::<String>::deserialize(deserializer)?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    for pattern in &patterns {
        let name = pattern.strip_suffix('*').unwrap_or(pattern);
        if !name.chars().all(plain) || pattern.is_empty() {
            return Err(D::Error::custom(format_args!(
                "namespaces: {pattern:?} is neither the name of a namespace nor its beginning with a * behind"
            )));
        }
    }
    Ok(patterns)
}

fn cluster_ids<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeSet<String>>, D::Error> {
    let ids = BTreeSet::<String>::deserialize(deserializer)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    match ids
        .iter()
        .find(|id| id.is_empty() || !id.chars().all(plain))
    {
        None => Ok(Some(ids)),
        Some(id) => Err(D::Error::custom(format_args!(
            "clusterIds: {id:?} is no cluster's ID"
        ))),
    }
}

/// Null is no list: whoever emptied it didn't mean both.
fn credentials<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Credentials>>, D::Error> {
    Vec::deserialize(deserializer).map(Some)
}

fn regions<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeSet<String>>, D::Error> {
    let regions = BTreeSet::<String>::deserialize(deserializer)?;
    for region in &regions {
        region
            .parse::<Region>()
            .map_err(|error| D::Error::custom(format_args!("regions: {region:?}: {error}")))?;
    }
    Ok(Some(regions))
}

fn interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bounds = Duration::from_secs(1)..=Duration::from_hours(1);
    match parse_duration(&text) {
        Ok(interval) if bounds.contains(&interval) => Ok(Some(interval)),
        _ => Err(D::Error::custom(format_args!(
            "minPollInterval: {text:?} is no duration from 1s to 1h"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_documentation_is_read() {
        let rules = parse(
            "rules:
- namespaces: [team-a, \"team-a-*\"]
  clusterIds: [c1234]
  regions: [cn-hangzhou]
  credentials: [controller]
  minPollInterval: 15s
- namespaces: [\"*\"]
",
        )
        .unwrap();
        let rule = rules.rule("team-a-x").unwrap();
        assert_eq!(rule.min_poll_interval, Some(Duration::from_secs(15)));
        assert_eq!(rule.credentials, Some([CredentialsOf::Controller].into()));
        assert!(rule.cluster_ids.as_ref().unwrap().contains("c1234"));
        assert!(rules.rule("other").unwrap().regions.is_none());
    }

    #[test]
    fn malformed_files_are_refused_with_line_and_field() {
        for (text, parts) in [
            ("rules: 5", &["line 1"][..]),
            ("rule: []", &["line 1", "rule"]),
            (
                "rules:\n- namespaces: [a]\n  cluster: [b]",
                &["line 3", "cluster"],
            ),
            ("rules:\n- clusterIds: [b]", &["line 2", "namespaces"]),
            (
                "rules:\n- namespaces: [a]\n  regions: [CN]",
                &["line 3", "regions"],
            ),
            ("rules:\n- namespaces: [a*b]", &["line 2", "namespaces"]),
            (
                "rules:\n- namespaces: [a]\n  clusterIds: ['']",
                &["line 3", "clusterIds"],
            ),
            (
                "rules:\n- namespaces: [a]\n  minPollInterval: 5",
                &["line 3", "minPollInterval"],
            ),
            ("rules:\n- namespaces: [a]\n  credentials:", &["line 3"]),
            (
                "rules:\n- namespaces: [a]\n  credentials: [mine]",
                &["line 3", "mine"],
            ),
            (
                "rules:\n- namespaces: [a]\n  namespaces: [b]",
                &["line 3", "namespaces"],
            ),
            ("rules: [", &["line 1"]),
        ] {
            let problem = parse(text).unwrap_err();
            for part in parts {
                assert!(problem.contains(part), "{text}: {problem}");
            }
        }
    }

    #[test]
    fn a_file_without_rules_allows_nothing() {
        let rules = parse("rules: []").unwrap();
        assert!(rules.rule("any").is_none());
    }
}
