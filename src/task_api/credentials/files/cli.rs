//! The configuration of the vendor's CLI, `~/.aliyun/config.json`: profiles, one of them current.

use std::path::Path;

use serde_json::{Map, Value};

use super::{
    super::{
        error::{FileProblem, shown},
        plan::Plan,
        source::Environment,
        uri::check_uri,
    },
    profile::{Keys, Profile, Values},
};

const KEYS: Keys = Keys {
    kind: "mode",
    kinds: MODES,
    kinds_for_people: &["External", "CloudSSO", "OAuth"],
    of_other_kinds: &[
        "sts_token",
        "ram_role_arn",
        "ram_role_name",
        "source_profile",
        "oidc_token_file",
        "credentials_uri",
        "process_command",
    ],
    security_token: "sts_token",
    role_arn: "ram_role_arn",
    session_name: "ram_session_name",
    durations: &["expired_seconds"],
};

/// The modes that are supported, as the CLI writes them.
const MODES: &[&str] = &[
    "AK",
    "StsToken",
    "RamRoleArn",
    "EcsRamRole",
    "OIDC",
    "ChainableRamRoleArn",
    "CredentialsURI",
];

/// A chain of profiles is no longer.
const CHAIN_MAX: usize = 8;

/// What the chosen profile says. `ALIBABA_CLOUD_PROFILE` chooses it, else the file's `current`.
pub(in super::super) fn read(path: &Path, environment: &Environment) -> Result<Plan, FileProblem> {
    let profiles = Profiles::parse(&super::read(path)?)?;
    let name = profiles.choose(environment.get("ALIBABA_CLOUD_PROFILE"))?;
    profiles.plan(&name, environment, &mut Vec::new())
}

struct Profiles {
    current: Option<String>,
    /// By their names, in the file's order. One without a name can't be chosen, and hinders no other.
    profiles: Vec<(String, Values)>,
}

impl Profiles {
    fn parse(text: &str) -> Result<Self, FileProblem> {
        let file: Value = serde_json::from_str(text).map_err(|error| FileProblem::NotJson {
            line: error.line(),
            column: error.column(),
        })?;
        let list = file.get("profiles").and_then(Value::as_array);
        let objects = list.ok_or(FileProblem::NoProfiles)?.iter();
        let profiles = objects.filter_map(|profile| {
            let values = values(profile.as_object()?);
            Some((values.get("name")?.clone(), values))
        });
        let current = file.get("current").and_then(Value::as_str);
        Ok(Self {
            current: current
                .filter(|name| !name.is_empty())
                .map(ToOwned::to_owned),
            profiles: profiles.collect(),
        })
    }

    fn names(&self) -> Vec<String> {
        self.profiles.iter().map(|(name, _)| shown(name)).collect()
    }

    /// Where nothing says which, the only one is meant, or the one called `default`.
    fn choose(&self, named: Option<&str>) -> Result<String, FileProblem> {
        if let Some(name) = named.or(self.current.as_deref()) {
            return Ok(name.to_owned());
        }
        let default = self.profiles.iter().find(|(name, _)| name == "default");
        match (&*self.profiles, default) {
            ([(only, _)], _) | (_, Some((only, _))) => Ok(only.clone()),
            _ => Err(FileProblem::NoCurrent {
                names: self.names(),
            }),
        }
    }

    /// `before`: the profiles that lead to this one.
    fn plan(
        &self,
        name: &str,
        environment: &Environment,
        before: &mut Vec<String>,
    ) -> Result<Plan, FileProblem> {
        if before.iter().any(|one| one == name) {
            return Err(FileProblem::Loop(shown(name)));
        }
        if before.len() >= CHAIN_MAX {
            return Err(FileProblem::LongChain(CHAIN_MAX));
        }
        let found = self.profiles.iter().find(|(one, _)| one == name);
        let (_, values) = found.ok_or_else(|| match before.last() {
            Some(profile) => FileProblem::NoSource {
                profile: shown(profile),
                named: shown(name),
            },
            None => FileProblem::NoProfile {
                wanted: shown(name),
                names: self.names(),
            },
        })?;
        let keys = &KEYS;
        let profile = Profile { name, values, keys };
        match profile.kind()? {
            "AK" => Ok(Plan::Ready(profile.key()?)),
            "StsToken" => Ok(Plan::Ready(profile.temporary_key()?)),
            "RamRoleArn" => profile.assume(Plan::Ready(profile.base_key()?), environment),
            "EcsRamRole" => Ok(Plan::InstanceRole(
                profile.get("ram_role_name").map(ToOwned::to_owned),
            )),
            "OIDC" => profile.assume_with_token(profile.require("oidc_token_file")?, environment),
            "ChainableRamRoleArn" => {
                before.push(name.to_owned());
                let base = self.plan(profile.require("source_profile")?, environment, before)?;
                profile.assume(base, environment)
            }
            _ => uri(&profile, environment),
        }
    }
}

fn uri(profile: &Profile, environment: &Environment) -> Result<Plan, FileProblem> {
    const KEY: &str = "credentials_uri";
    let uri = profile.require(KEY)?;
    check_uri(uri, environment.allow_insecure).map_err(|problem| profile.value(KEY, problem))?;
    Ok(Plan::Uri(uri.to_owned()))
}

/// Texts, and numbers and truth values as text.
fn values(profile: &Map<String, Value>) -> Values {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    };
    let entries = profile.iter();
    entries
        .filter_map(|(key, value)| Some((key.clone(), text(value)?)))
        .collect()
}
