//! Chooses which of the vendor's sources of credentials to use.

use std::collections::HashMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::plan::Issuer;

const PREFIX: &str = "ALIBABA_CLOUD_";
/// The CLI's file of profiles, below the home directory.
const CLI_PROFILE: &str = ".aliyun/config.json";
/// The default credentials files, below the home directory: that of the vendor's Go SDK, that of its Java
/// and Python ones, and an older one.
const CREDENTIALS_FILES: [&str; 3] = [
    ".alibabacloud/credentials",
    ".alibabacloud/credentials.ini",
    ".aliyun/credentials.ini",
];

/// A source of credentials, in the vendor's order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// An access key in the files of a directory, such as a mounted Secret.
    Directory,
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
    /// The RAM role that an object's Secret names.
    SecretRole,
}

/// The source that is configured, and its file where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    Directory(PathBuf),
    Environment,
    Oidc,
    CliProfile(PathBuf),
    CredentialsFile(PathBuf),
    EcsRamRole,
    CredentialsUri,
}

impl Chosen {
    /// Chooses the first source that is configured, even incompletely. To try the next one would be
    /// to use another identity than the one that was meant. `is_there` says whether a file is, readable
    /// or not.
    ///
    /// The metadata service needs no configuration. It has its place in the order only if
    /// `ALIBABA_CLOUD_ECS_METADATA` names a role. Otherwise it comes last, after a credentials URI.
    /// It is never used if `ALIBABA_CLOUD_ECS_METADATA_DISABLED` is `true`.
    pub fn from(environment: &Environment, is_there: impl Fn(&Path) -> bool) -> Option<Self> {
        let env = environment;
        let ecs = !env.is_true("ALIBABA_CLOUD_ECS_METADATA_DISABLED");
        if let Some(directory) = &env.directory {
            Some(Self::Directory(directory.clone()))
        } else if env.has_any(&[
            "ALIBABA_CLOUD_ACCESS_KEY_ID",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        ]) {
            Some(Self::Environment)
        } else if env.has_any(&[
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
            "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
        ]) {
            Some(Self::Oidc)
        } else if let Some(file) = env.cli_profile(&is_there) {
            Some(Self::CliProfile(file))
        } else if let Some(file) = env.credentials_file(&is_there) {
            Some(Self::CredentialsFile(file))
        } else if env.has_any(&["ALIBABA_CLOUD_PROFILE"]) {
            // A profile is named, and no file that it could be in is there: the error says so.
            Some(if env.is_cli_disabled() {
                Self::CredentialsFile(env.home_or_tilde(CREDENTIALS_FILES[0]))
            } else {
                Self::CliProfile(env.home_or_tilde(CLI_PROFILE))
            })
        } else if ecs && env.has_any(&["ALIBABA_CLOUD_ECS_METADATA"]) {
            Some(Self::EcsRamRole)
        } else if env.has_any(&["ALIBABA_CLOUD_CREDENTIALS_URI"]) {
            Some(Self::CredentialsUri)
        } else {
            ecs.then_some(Self::EcsRamRole)
        }
    }

    /// Which source it is.
    pub fn source(&self) -> CredentialSource {
        match self {
            Self::Directory(_) => CredentialSource::Directory,
            Self::Environment => CredentialSource::Environment,
            Self::Oidc => CredentialSource::Oidc,
            Self::CliProfile(_) => CredentialSource::CliProfile,
            Self::CredentialsFile(_) => CredentialSource::CredentialsFile,
            Self::EcsRamRole => CredentialSource::EcsRamRole,
            Self::CredentialsUri => CredentialSource::CredentialsUri,
        }
    }
}

impl CredentialSource {
    /// Whether its credentials may change in a file, without an end that was known beforehand.
    pub(super) fn is_file(self) -> bool {
        matches!(
            self,
            Self::Directory | Self::CliProfile | Self::CredentialsFile
        )
    }

    /// Its label in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Environment => "environment",
            Self::Oidc => "oidc",
            Self::CliProfile => "cli_profile",
            Self::CredentialsFile => "credentials_file",
            Self::EcsRamRole => "ecs_ram_role",
            Self::CredentialsUri => "credentials_uri",
            Self::SecretRole => "secret_role",
        }
    }

    /// The service that is most likely slow where it takes too long.
    pub(super) fn issuer(self) -> Option<Issuer> {
        match self {
            Self::Directory | Self::Environment => None,
            Self::Oidc => Some(Issuer::AssumeRoleWithOidc),
            Self::CliProfile | Self::CredentialsFile | Self::SecretRole => Some(Issuer::AssumeRole),
            Self::EcsRamRole => Some(Issuer::Metadata),
            Self::CredentialsUri => Some(Issuer::CredentialsUri),
        }
    }
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "the credentials directory",
            Self::Environment => "the access key in the environment",
            Self::Oidc => "the service account's RAM role (RRSA)",
            Self::CliProfile => "the CLI's configuration",
            Self::CredentialsFile => "the credentials file",
            Self::EcsRamRole => "the instance's RAM role",
            Self::CredentialsUri => "the credentials URI",
            Self::SecretRole => "the role of the Secret",
        })
    }
}

/// What the process was given to find credentials by: environment variables as they were at the start,
/// without empty ones, and settings. It has no `Debug`, because it holds secrets.
#[derive(Clone, Default)]
pub(super) struct Environment {
    pub(super) variables: HashMap<String, String>,
    pub(super) home: Option<PathBuf>,
    /// `--credentials-directory`.
    pub(super) directory: Option<PathBuf>,
    /// Whether credentials may come by plain http from another machine.
    pub(super) allow_insecure: bool,
    /// A variable that isn't text. It may have meant something else than what is used without it.
    pub(super) not_text: Option<String>,
}

impl Environment {
    /// The environment of this process.
    pub(super) fn of_process(directory: Option<PathBuf>, allow_insecure: bool) -> Self {
        let mut not_text = None;
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let value = value.into_string();
            if value.is_err() && name.starts_with(PREFIX) {
                not_text = Some(name.clone());
            }
            Some((name, value.ok()?))
        });
        let environment = Self::new(variables, std::env::home_dir());
        Self {
            directory,
            allow_insecure,
            not_text,
            ..environment
        }
    }

    pub(super) fn new(
        variables: impl IntoIterator<Item = (String, String)>,
        home: Option<PathBuf>,
    ) -> Self {
        let variables = variables
            .into_iter()
            .filter(|(name, _)| name.starts_with(PREFIX))
            // A value from a file or a Secret often ends in a line break.
            .map(|(name, value)| (name, value.trim().to_owned()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        Self {
            variables,
            home,
            ..Self::default()
        }
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

    /// A file that a variable names, from the home directory where it begins with `~/`.
    fn named(&self, variable: &str) -> Option<PathBuf> {
        let path = self.get(variable)?;
        let in_home = path.strip_prefix("~/").zip(self.home.as_ref());
        Some(in_home.map_or_else(|| path.into(), |(rest, home)| home.join(rest)))
    }

    fn cli_profile(&self, is_there: impl Fn(&Path) -> bool) -> Option<PathBuf> {
        if self.is_cli_disabled() {
            return None;
        }
        let named = self.named("ALIBABA_CLOUD_CONFIG_FILE");
        named.or_else(|| self.home_file(CLI_PROFILE).filter(|file| is_there(file)))
    }

    fn credentials_file(&self, is_there: impl Fn(&Path) -> bool) -> Option<PathBuf> {
        self.named("ALIBABA_CLOUD_CREDENTIALS_FILE").or_else(|| {
            let mut files = CREDENTIALS_FILES.iter();
            files.find_map(|name| self.home_file(name).filter(|file| is_there(file)))
        })
    }

    fn is_cli_disabled(&self) -> bool {
        self.is_true("ALIBABA_CLOUD_CLI_PROFILE_DISABLED")
    }

    fn home_or_tilde(&self, name: &str) -> PathBuf {
        let home = self.home.clone();
        home.unwrap_or_else(|| "~".into()).join(name)
    }

    fn home_file(&self, name: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(name))
    }
}

/// Whether a file is there, also where it can't be read, or leads nowhere. A home directory that this
/// process may not look into is somebody else's, and has no file for it.
pub(super) fn is_there(path: &Path) -> bool {
    match path.symlink_metadata().map_err(|error| error.kind()) {
        Err(ErrorKind::NotFound | ErrorKind::NotADirectory) => false,
        Err(ErrorKind::PermissionDenied) => {
            let is_ours = path.parent().is_some_and(Path::exists);
            if !is_ours {
                let path = path.display();
                warn!(%path, "can't see whether this file of credentials is there: HOME may be another user's");
            }
            is_ours
        }
        Ok(_) | Err(_) => true,
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
        let chosen = Chosen::from(&environment, |path| {
            files
                .iter()
                .any(|file| path == Path::new("/home/me").join(file))
        });
        chosen.map(|chosen| chosen.source())
    }

    #[test]
    fn first_configured_source_is_chosen() {
        let cli = ".aliyun/config.json";
        let go_file = ".alibabacloud/credentials";
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
            (&[ROLE, URI], &[go_file], Some(CredentialsFile)),
            (&[ROLE, URI], &[old_ini], Some(CredentialsFile)),
            (&[ROLE, URI], &[], Some(EcsRamRole)),
            (&[ROLE, URI, NO_ECS], &[], Some(CredentialsUri)),
            (&[URI], &[], Some(CredentialsUri)),
            (&[], &[], Some(EcsRamRole)),
            (&[NO_CLI], &[cli], Some(EcsRamRole)),
            (&[NO_CLI, PROFILE], &[cli], Some(CredentialsFile)),
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
            Chosen::from(&environment, |_| true),
            Some(Chosen::EcsRamRole)
        );
    }
}
