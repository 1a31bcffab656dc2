//! One profile of a file: what it says, whatever the file's form.

use std::collections::BTreeMap;

use super::super::{
    Credentials,
    error::{FileProblem, ValueProblem, shown},
    plan::Plan,
    source::Environment,
    sts::Role,
    sts_endpoint::{StsSettings, Wrong, sts_endpoint},
};

/// A profile's values by their keys.
pub(super) type Values = BTreeMap<String, String>;

/// A profile, and what its file's form calls things.
#[derive(Clone, Copy)]
pub(super) struct Profile<'a> {
    pub name: &'a str,
    pub values: &'a Values,
    pub keys: &'static Keys,
}

/// What the forms call what both have.
pub(super) struct Keys {
    /// What says what kind of profile it is.
    pub kind: &'static str,
    /// The kinds that are supported, as the vendor's tools write them. The first is a key alone.
    pub kinds: &'static [&'static str],
    /// Kinds that need a person to log in.
    pub kinds_for_people: &'static [&'static str],
    /// What a profile with a key alone doesn't have.
    pub of_other_kinds: &'static [&'static str],
    pub security_token: &'static str,
    pub role_arn: &'static str,
    pub session_name: &'static str,
    pub durations: &'static [&'static str],
}

impl<'a> Profile<'a> {
    /// A value; none where it is empty, as the vendor's tools leave what isn't used.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        let value = self.values.get(key)?.trim();
        (!value.is_empty()).then_some(value)
    }

    pub fn require(&self, key: &'static str) -> Result<&'a str, FileProblem> {
        self.get(key).ok_or_else(|| FileProblem::MissingKey {
            profile: shown(self.name),
            key,
        })
    }

    /// Its mode or type, as the vendor's tools write it. Without one, a profile that has no more than a key can
    /// only mean that.
    pub fn kind(&self) -> Result<&'static str, FileProblem> {
        let (keys, profile, modes) = (self.keys, shown(self.name), self.keys.kinds);
        let Some(kind) = self.get(keys.kind) else {
            let mut others = keys.of_other_kinds.iter();
            return match modes {
                [key_alone, ..] if others.all(|key| self.get(key).is_none()) => Ok(key_alone),
                _ => Err(FileProblem::NoMode {
                    profile,
                    key: keys.kind,
                    modes,
                }),
            };
        };
        let is = |known: &&&'static str| known.eq_ignore_ascii_case(kind);
        if let Some(known) = modes.iter().find(is) {
            return Ok(known);
        }
        let mode = format!("{} {}", keys.kind, shown(kind));
        Err(if keys.kinds_for_people.iter().any(|one| is(&one)) {
            FileProblem::NeedsPerson {
                profile,
                mode,
                modes,
            }
        } else {
            FileProblem::UnknownMode {
                profile,
                mode,
                modes,
            }
        })
    }

    pub fn is_true(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The access key alone. A token that an earlier mode left behind isn't part of it.
    pub fn key(&self) -> Result<Credentials, FileProblem> {
        Ok(Credentials {
            access_key_id: self.require("access_key_id")?.to_owned(),
            access_key_secret: self.require("access_key_secret")?.into(),
            security_token: None,
            expires_at: None,
        })
    }

    /// The key that a role is assumed with. One of STS is none without its token.
    pub fn base_key(&self) -> Result<Credentials, FileProblem> {
        if self.require("access_key_id")?.starts_with("STS.") {
            self.temporary_key()
        } else {
            self.key()
        }
    }

    /// The access key with its token.
    pub fn temporary_key(&self) -> Result<Credentials, FileProblem> {
        let token = self.require(self.keys.security_token)?;
        Ok(Credentials {
            security_token: Some(token.into()),
            ..self.key()?
        })
    }

    /// The role assumed with the credentials of `base`.
    pub fn assume(&self, base: Plan, environment: &Environment) -> Result<Plan, FileProblem> {
        Ok(Plan::AssumeRole {
            base: Box::new(base),
            role: self.role(environment)?,
            sts: self.sts(environment)?,
        })
    }

    /// The role assumed with the token in that file.
    pub fn assume_with_token(
        &self,
        token_file: &str,
        environment: &Environment,
    ) -> Result<Plan, FileProblem> {
        Ok(Plan::AssumeRoleWithOidc {
            provider_arn: self.require("oidc_provider_arn")?.to_owned(),
            token_file: token_file.into(),
            role: self.role(environment)?,
            sts: self.sts(environment)?,
        })
    }

    fn role(&self, environment: &Environment) -> Result<Role, FileProblem> {
        let text = |key| self.get(key).map(ToOwned::to_owned);
        let of_all = environment.get("ALIBABA_CLOUD_ROLE_SESSION_NAME");
        Ok(Role {
            arn: self.require(self.keys.role_arn)?.to_owned(),
            session_name: text(self.keys.session_name).or(of_all.map(ToOwned::to_owned)),
            duration: self.duration()?,
            policy: text("policy"),
            external_id: text("external_id"),
        })
    }

    /// In seconds. The vendor's tools write 0 where nothing was said.
    fn duration(&self) -> Result<Option<u32>, FileProblem> {
        let keys = self.keys.durations.iter();
        let Some((key, text)) = keys.copied().find_map(|key| Some((key, self.get(key)?))) else {
            return Ok(None);
        };
        let seconds: u32 = text
            .parse()
            .map_err(|_| self.value(key, ValueProblem::NotSeconds))?;
        Ok((seconds > 0).then_some(seconds))
    }

    fn sts(&self, environment: &Environment) -> Result<reqwest::Url, FileProblem> {
        let settings = StsSettings {
            endpoint: self.get("sts_endpoint"),
            region: self.get("sts_region"),
            vpc: self.is_true("enable_vpc"),
        };
        sts_endpoint(&settings, environment).map_err(|wrong| match wrong {
            Wrong::Profile(key, problem) => self.value(key, problem),
            Wrong::Variable(name, problem) => FileProblem::Variable(name, problem),
        })
    }

    pub fn value(&self, key: &'static str, problem: ValueProblem) -> FileProblem {
        FileProblem::Value {
            profile: shown(self.name),
            key,
            problem,
        }
    }
}
