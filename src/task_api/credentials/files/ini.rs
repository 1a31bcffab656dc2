//! The credentials file of the vendor's SDKs, an ini file with a section for each profile.

use std::path::Path;

use ini::{Ini, ParseOption};

use super::{
    super::{
        error::{FileProblem, shown},
        plan::Plan,
        source::Environment,
    },
    profile::{Keys, Profile, Values},
};

const KEYS: Keys = Keys {
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
    let file = parse(&super::read(path)?)?;
    let name = environment
        .get("ALIBABA_CLOUD_PROFILE")
        .unwrap_or("default");
    let Some(section) = file.section(Some(name)) else {
        let names = file.sections().flatten().map(shown).collect();
        let wanted = shown(name);
        return Err(FileProblem::NoProfile { wanted, names });
    };
    let entries = section
        .iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let values: Values = entries.collect();
    let (values, keys) = (&values, &KEYS);
    let profile = Profile { name, values, keys };
    if profile
        .get("enable")
        .is_some_and(|value| value.eq_ignore_ascii_case("false"))
    {
        return Err(FileProblem::Disabled(shown(name)));
    }
    plan(&profile, environment)
}

fn parse(text: &str) -> Result<Ini, FileProblem> {
    let options = ParseOption {
        enabled_escape: false,
        ..ParseOption::default()
    };
    let parsed = Ini::load_from_str_opt(text, options);
    parsed.map_err(|error| FileProblem::NotIni { line: error.line })
}

fn plan(profile: &Profile, environment: &Environment) -> Result<Plan, FileProblem> {
    match kind(profile)? {
        "access_key" => Ok(Plan::Ready(profile.key()?)),
        "sts" => Ok(Plan::Ready(profile.temporary_key()?)),
        "ram_role_arn" => profile.assume(Plan::Ready(profile.key()?), environment),
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

/// The profile's type. Without one, a profile that has no more than a key can only mean that.
fn kind(profile: &Profile) -> Result<&'static str, FileProblem> {
    let Some(kind) = profile.get("type") else {
        let others = [
            "security_token",
            "role_arn",
            "role_name",
            "private_key_file",
        ];
        let is_key_alone = others.iter().all(|key| profile.get(key).is_none());
        return if is_key_alone {
            Ok("access_key")
        } else {
            Err(FileProblem::NoMode {
                profile: shown(profile.name),
                modes: TYPES,
            })
        };
    };
    let known = TYPES.iter().find(|known| known.eq_ignore_ascii_case(kind));
    known.copied().ok_or_else(|| FileProblem::UnknownMode {
        profile: shown(profile.name),
        mode: format!("type {}", shown(kind)),
        modes: TYPES,
    })
}
