//! Chooses which of the vendor's sources of credentials to use.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The CLI's file of profiles, below the home directory.
const CLI_PROFILE: &str = ".aliyun/config.json";
/// The default credentials files, below the home directory.
const CREDENTIALS_FILES: [&str; 2] = [".alibabacloud/credentials.ini", ".aliyun/credentials.ini"];

/// A source of credentials, in the vendor's order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// An access key in `ALIBABA_CLOUD_ACCESS_KEY_ID` and `ALIBABA_CLOUD_ACCESS_KEY_SECRET`, and
    /// `ALIBABA_CLOUD_SECURITY_TOKEN` if it is temporary.
    Environment,
    /// A service account's token, exchanged for credentials of a RAM role. ACK calls it RRSA.
    Oidc,
    /// The profile of the vendor's CLI in `~/.aliyun/config.json`, or in the file that
    /// `ALIBABA_CLOUD_CONFIG_FILE` names.
    CliProfile,
    /// The file that `ALIBABA_CLOUD_CREDENTIALS_FILE` names, or one in its default place.
    CredentialsFile,
    /// The RAM role of the ECS instance, from its metadata service.
    EcsRamRole,
    /// The local service that `ALIBABA_CLOUD_CREDENTIALS_URI` names.
    CredentialsUri,
}

impl CredentialSource {
    /// Chooses the first source that is configured, even incompletely. To try the next one would be
    /// to use another identity than the one that was meant.
    ///
    /// The metadata service needs no configuration. It has its place in the order only if
    /// `ALIBABA_CLOUD_ECS_METADATA` names a role. Otherwise it comes last, after a credentials URI.
    /// It is never used if `ALIBABA_CLOUD_ECS_METADATA_DISABLED` is `true`.
    pub(super) fn choose(
        environment: &Environment,
        exists: impl Fn(&Path) -> bool,
    ) -> Option<Self> {
        let env = environment;
        let ecs = !env.is_true("ALIBABA_CLOUD_ECS_METADATA_DISABLED");
        if env.has_any(&[
            "ALIBABA_CLOUD_ACCESS_KEY_ID",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        ]) {
            Some(Self::Environment)
        } else if env.has_any(&[
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
            "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
        ]) {
            Some(Self::Oidc)
        } else if env.has_cli_profile(&exists) {
            Some(Self::CliProfile)
        } else if env.has_any(&["ALIBABA_CLOUD_CREDENTIALS_FILE"])
            || CREDENTIALS_FILES
                .iter()
                .any(|path| env.in_home(path, &exists))
        {
            Some(Self::CredentialsFile)
        } else if env.has_any(&["ALIBABA_CLOUD_PROFILE"]) {
            // A profile is named, but neither kind of file exists: the error says so.
            Some(Self::CliProfile)
        } else if ecs && env.has_any(&["ALIBABA_CLOUD_ECS_METADATA"]) {
            Some(Self::EcsRamRole)
        } else if env.has_any(&["ALIBABA_CLOUD_CREDENTIALS_URI"]) {
            Some(Self::CredentialsUri)
        } else {
            ecs.then_some(Self::EcsRamRole)
        }
    }

    /// Whether reading it needs the network.
    pub(super) fn is_remote(self) -> bool {
        matches!(self, Self::Oidc | Self::EcsRamRole | Self::CredentialsUri)
    }

    /// What to check when it gives no credentials.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Environment => "check both variables",
            Self::Oidc => {
                "check that RRSA is enabled, that the role and its trust policy name this \
                 service account, and that the projected token is mounted"
            }
            Self::CliProfile => {
                "check the file and the profile's name; its mode must be AK or StsToken"
            }
            Self::CredentialsFile => {
                "check the file and the profile's name; its type must be access_key or sts"
            }
            Self::EcsRamRole => "check that the instance has a RAM role",
            Self::CredentialsUri => "check the service behind ALIBABA_CLOUD_CREDENTIALS_URI",
        }
    }
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "the access key in the environment",
            Self::Oidc => "STS (AssumeRoleWithOIDC)",
            Self::CliProfile => "the CLI's profile",
            Self::CredentialsFile => "the credentials file",
            Self::EcsRamRole => "the ECS metadata service",
            Self::CredentialsUri => "the credentials URI",
        })
    }
}

/// The environment variables that the sources read, as they were at the start, without empty ones.
/// It has no `Debug`, because it holds secrets.
#[derive(Clone, Default)]
pub(super) struct Environment {
    pub(super) variables: HashMap<String, String>,
    pub(super) home: Option<PathBuf>,
}

impl Environment {
    /// The environment of this process.
    pub(super) fn of_process() -> Self {
        Self::new(
            std::env::vars_os().filter_map(|(name, value)| {
                Some((name.into_string().ok()?, value.into_string().ok()?))
            }),
            std::env::home_dir(),
        )
    }

    pub(super) fn new(
        variables: impl IntoIterator<Item = (String, String)>,
        home: Option<PathBuf>,
    ) -> Self {
        let variables = variables
            .into_iter()
            .filter(|(name, _)| name.starts_with("ALIBABA_CLOUD_"))
            // A value from a file or a Secret often ends in a line break.
            .map(|(name, value)| (name, value.trim().to_owned()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        Self { variables, home }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.get(name).is_some())
    }

    fn in_home(&self, path: &str, exists: impl Fn(&Path) -> bool) -> bool {
        self.home
            .as_ref()
            .is_some_and(|home| exists(&home.join(path)))
    }

    fn has_cli_profile(&self, exists: impl Fn(&Path) -> bool) -> bool {
        if self.is_true("ALIBABA_CLOUD_CLI_PROFILE_DISABLED") {
            return false;
        }
        self.has_any(&["ALIBABA_CLOUD_CONFIG_FILE"]) || self.in_home(CLI_PROFILE, exists)
    }
}

#[cfg(test)]
mod tests {
    use super::CredentialSource::{
        CliProfile, CredentialsFile, CredentialsUri, EcsRamRole, Environment as Env, Oidc,
    };
    use super::*;

    const KEY: &[(&str, &str)] = &[
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "id"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "secret"),
    ];
    const RRSA: &[(&str, &str)] = &[
        ("ALIBABA_CLOUD_ROLE_ARN", "role"),
        ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "provider"),
        ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/token"),
    ];
    const CONFIG: &[(&str, &str)] = &[("ALIBABA_CLOUD_CONFIG_FILE", "/config.json")];
    const FILE: &[(&str, &str)] = &[("ALIBABA_CLOUD_CREDENTIALS_FILE", "/credentials.ini")];
    const ROLE: &[(&str, &str)] = &[("ALIBABA_CLOUD_ECS_METADATA", "role")];
    const URI: &[(&str, &str)] = &[("ALIBABA_CLOUD_CREDENTIALS_URI", "http://localhost:1")];
    const NO_ECS: &[(&str, &str)] = &[("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "True")];
    const NO_CLI: &[(&str, &str)] = &[("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "true")];
    const PROFILE: &[(&str, &str)] = &[("ALIBABA_CLOUD_PROFILE", "p")];

    fn choose(variables: &[&[(&str, &str)]], files: &[&str]) -> Option<CredentialSource> {
        let variables = variables
            .concat()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = Environment::new(variables, Some("/home/me".into()));
        CredentialSource::choose(&environment, |path| {
            files
                .iter()
                .any(|file| path == Path::new("/home/me").join(file))
        })
    }

    #[test]
    fn first_configured_source_is_chosen() {
        let cli = ".aliyun/config.json";
        let ini = ".alibabacloud/credentials.ini";
        let old_ini = ".aliyun/credentials.ini";
        for (variables, files, source) in [
            (
                &[KEY, RRSA, CONFIG, FILE, ROLE, URI][..],
                &[cli, ini][..],
                Some(Env),
            ),
            (&[RRSA, CONFIG, FILE, ROLE, URI], &[cli, ini], Some(Oidc)),
            (&[CONFIG, FILE, ROLE, URI], &[cli, ini], Some(CliProfile)),
            (&[FILE, ROLE, URI], &[cli, ini], Some(CliProfile)),
            (
                &[FILE, ROLE, URI, NO_CLI],
                &[cli, ini],
                Some(CredentialsFile),
            ),
            (&[FILE, ROLE, URI], &[], Some(CredentialsFile)),
            (&[FILE, PROFILE], &[], Some(CredentialsFile)),
            (&[PROFILE, ROLE, URI], &[], Some(CliProfile)),
            (&[ROLE, URI], &[ini], Some(CredentialsFile)),
            (&[ROLE, URI], &[old_ini], Some(CredentialsFile)),
            (&[ROLE, URI], &[], Some(EcsRamRole)),
            (&[ROLE, URI, NO_ECS], &[], Some(CredentialsUri)),
            (&[URI], &[], Some(CredentialsUri)),
            (&[], &[], Some(EcsRamRole)),
            (&[NO_CLI], &[cli], Some(EcsRamRole)),
            (&[NO_ECS], &[], None),
            (&[ROLE, NO_ECS], &[], None),
        ] {
            assert_eq!(choose(variables, files), source, "{variables:?} {files:?}");
        }
    }

    #[test]
    fn incompletely_configured_source_is_still_chosen() {
        for (variable, source) in [
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", Env),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", Env),
            ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", Oidc),
            ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", Oidc),
            // Other tools use these variables too, so they don't choose a source.
            ("ALIBABA_CLOUD_SECURITY_TOKEN", CredentialsUri),
            ("ALIBABA_CLOUD_ROLE_ARN", CredentialsUri),
        ] {
            assert_eq!(
                choose(&[&[(variable, "x")], URI], &[]),
                Some(source),
                "{variable}"
            );
        }
    }

    #[test]
    fn empty_variable_counts_as_unset() {
        for (name, _) in [KEY, RRSA, CONFIG, FILE, ROLE, NO_ECS].concat() {
            assert_eq!(
                choose(&[&[(name, " \n")], URI], &[]),
                Some(CredentialsUri),
                "{name}"
            );
        }
    }

    #[test]
    fn without_a_home_no_file_is_looked_for() {
        let environment = Environment::default();
        assert_eq!(
            CredentialSource::choose(&environment, |_| true),
            Some(EcsRamRole)
        );
    }
}
