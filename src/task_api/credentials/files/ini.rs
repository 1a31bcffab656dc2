//! The credentials file of the vendor's SDKs, an ini file with a section for each profile.

use std::{collections::BTreeMap, path::Path};

use super::{
    super::{
        error::{FileProblem, shown},
        plan::Plan,
        source::Environment,
    },
    profile::{Keys, Profile, Values},
};

const KEYS: Keys = Keys {
    kind: "type",
    kinds: TYPES,
    kinds_for_people: &[],
    of_other_kinds: &[
        "security_token",
        "role_arn",
        "role_name",
        "private_key_file",
    ],
    security_token: "security_token",
    role_arn: "role_arn",
    session_name: "role_session_name",
    durations: &[
        "role_session_expiration",
        "session_expiration",
        "duration_seconds",
    ],
};

/// The types that are supported.
const TYPES: &[&str] = &[
    "access_key",
    "sts",
    "ram_role_arn",
    "ecs_ram_role",
    "oidc_role_arn",
];

/// What the profile says that `ALIBABA_CLOUD_PROFILE` names, else `default`.
pub(in super::super) fn read(path: &Path, environment: &Environment) -> Result<Plan, FileProblem> {
    let sections = parse(&super::read(path)?)?;
    let name = environment
        .get("ALIBABA_CLOUD_PROFILE")
        .unwrap_or("default");
    let Some(values) = sections.get(name) else {
        let names = sections.keys().map(|name| shown(name)).collect();
        let wanted = shown(name);
        return Err(FileProblem::NoProfile { wanted, names });
    };
    let keys = &KEYS;
    let profile = Profile { name, values, keys };
    let enable = profile.get("enable");
    if enable.is_some_and(|value| value.eq_ignore_ascii_case("false")) {
        return Err(FileProblem::Disabled(shown(name)));
    }
    plan(&profile, environment)
}

/// Sections by name, as the vendor's Go library reads them: of two with one name, and of two values with
/// one key, the later counts. A line that is none is an error, and never part of the next: what follows
/// might be another profile's.
fn parse(text: &str) -> Result<BTreeMap<String, Values>, FileProblem> {
    let mut sections = BTreeMap::<String, Values>::new();
    // What comes before the first section belongs to no profile.
    let mut current = None;
    for (number, line) in text.lines().enumerate() {
        let invalid = || FileProblem::NotIni { line: number + 1 };
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            let (name, _) = rest.split_once(']').ok_or_else(invalid)?;
            current = Some(sections.entry(name.to_owned()).or_default());
            continue;
        }
        let (key, value) = line.split_once(['=', ':']).ok_or_else(invalid)?;
        let (key, value) = (key.trim(), value_of(value.trim()));
        // What goes on in the next line would be cut, and its rest be taken for another key.
        if !is_key(key) || value.ends_with('\\') {
            return Err(invalid());
        }
        if let Some(section) = &mut current {
            section.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(sections)
}

fn is_key(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !text.is_empty() && text.chars().all(plain)
}

/// A value without the comment behind it and the quotes around it.
fn value_of(text: &str) -> &str {
    let mut chars = text.chars();
    let quote = chars.next().filter(|c| matches!(c, '"' | '\'' | '`'));
    let quoted = quote.and_then(|quote| chars.as_str().split_once(quote));
    match quoted {
        Some((value, rest)) if is_comment(rest) => value,
        _ => text.split(['#', ';']).next().unwrap_or_default().trim_end(),
    }
}

fn is_comment(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with(['#', ';'])
}

fn plan(profile: &Profile, environment: &Environment) -> Result<Plan, FileProblem> {
    match profile.kind()? {
        "access_key" => Ok(Plan::Ready(profile.key()?)),
        "sts" => Ok(Plan::Ready(profile.temporary_key()?)),
        "ram_role_arn" => profile.assume(Plan::Ready(profile.base_key()?), environment),
        "ecs_ram_role" => Ok(Plan::InstanceRole(
            profile.get("role_name").map(ToOwned::to_owned),
        )),
        _ => {
            let own = profile.get("oidc_token_file_path");
            let file = own.or_else(|| environment.get("ALIBABA_CLOUD_OIDC_TOKEN_FILE"));
            let file = file.map_or_else(|| profile.require("oidc_token_file_path"), Ok)?;
            profile.assume_with_token(file, environment)
        }
    }
}
