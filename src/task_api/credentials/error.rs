//! Why there are no credentials, and whether a retry can help.

use std::{io, time::Duration};

use super::{plan::Issuer, source::CredentialSource};
use crate::task_api::connection_error::ConnectionError;

/// Why there are no credentials. No message holds a URL, a token, a key or a response's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// No source of credentials is configured.
    #[error(
        "no credentials are configured: give the service account a RAM role (RRSA), or set \
         ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET"
    )]
    NotConfigured,
    /// A variable is not set, but another one that needs it is.
    #[error("{0} is not set, though a variable that goes with it is: set both or neither")]
    Incomplete(&'static str),
    /// A variable has a value that can't be used.
    #[error("{0} {1}")]
    Variable(&'static str, ValueProblem),
    /// A file that is there and can't be used, or one that is named and isn't there.
    #[error("{by} {path} {problem}")]
    File {
        /// The source whose file it is.
        by: CredentialSource,
        /// The file or directory.
        path: String,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// The file with the token of an identity provider can't be used. The kubelet may bring it yet.
    #[error("the OIDC token file {path} {problem}")]
    TokenFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// A variable that isn't text.
    #[error("{0} isn't UTF-8 text")]
    NotText(String),
    /// The profile asks what a variable forbids.
    #[error(
        "the profile says to use the instance's RAM role, and ALIBABA_CLOUD_ECS_METADATA_DISABLED forbids \
         it: change one of them"
    )]
    MetadataDisabled,
    /// The service refused the request.
    #[error("{by} answered HTTP {status}{}; {remedy}", in_words(code.as_deref()), remedy = .by.remedy(code.as_deref()))]
    Refused {
        /// The service.
        by: Issuer,
        /// The HTTP status.
        status: u16,
        /// The response's error code, if it is a plain word.
        code: Option<String>,
    },
    /// The credentials had already expired when the source returned them.
    #[error("{0}: the credentials had expired on arrival; check this machine's clock")]
    Expired(CredentialSource),
    /// No answer: the service is down for now, or a network policy blocks it.
    #[error("{by} can't be reached ({cause}); retrying")]
    Unreachable {
        /// The service.
        by: Issuer,
        /// Why.
        cause: ConnectionError,
    },
    /// All calls together took too long.
    #[error("{0}: no credentials in time; retrying")]
    TimedOut(CredentialSource),
    /// The service reports an internal error.
    #[error("{by} is failing (HTTP {status}{}); retrying", in_words(code.as_deref()))]
    Unavailable {
        /// The service.
        by: Issuer,
        /// The HTTP status.
        status: u16,
        /// The response's error code, if it is a plain word.
        code: Option<String>,
    },
    /// The service throttles calls.
    #[error("{by} is throttling; retrying more slowly")]
    Throttled {
        /// The service.
        by: Issuer,
        /// How long it asks to wait.
        wait: Option<Duration>,
    },
    /// The service refuses the time of the request.
    #[error("{0} refuses the time of the request: synchronise the clock of the controller's node")]
    ClockSkewed(Issuer),
    /// A response that can't be parsed.
    #[error("{0} gave a response that can't be used; retrying")]
    InvalidResponse(Issuer),
    /// The HTTP client can't be set up.
    #[error("no HTTPS client can be set up: check that CA certificates are installed")]
    NoHttpClient,
    /// A bug in this program.
    #[error("reading the credentials hit a bug in this program: please report it")]
    Internal,
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ValueProblem {
    #[error("is plain http to another machine: use https, or allow insecure endpoints")]
    Insecure,
    #[error("is no endpoint: write a host, as in sts.aliyuncs.com, or a URL")]
    NotAnEndpoint,
    #[error("has a dot at the end of its host: take it out")]
    TrailingDot,
    #[error("is no URL: write it as http://localhost:PORT/PATH")]
    NotAUrl,
    #[error("is no region: write it as in cn-hangzhou")]
    NotARegion,
    #[error("is no number of seconds")]
    NotSeconds,
}

/// What is wrong with a file of credentials. Names from the file are bounded, and hold nothing that could
/// disguise them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum FileProblem {
    #[error("doesn't exist: check the path")]
    Missing,
    #[error("is empty")]
    Empty,
    #[error("can't be read ({0}): check its permissions")]
    Unreadable(io::ErrorKind),
    #[error("isn't a file: check the path")]
    NotAFile,
    #[error("isn't a directory: check the path")]
    NotADirectory,
    #[error("is larger than 1 MiB")]
    TooLarge,
    #[error("isn't UTF-8 text")]
    NotText,
    #[error("isn't valid JSON (line {line}, column {column})")]
    NotJson { line: usize, column: usize },
    #[error("isn't a file of profiles: it needs \"profiles\", a list of objects")]
    NoProfiles,
    #[error("isn't a valid ini file (line {line})")]
    NotIni { line: usize },
    #[error("has no profile {wanted}: {}", choice(names))]
    NoProfile { wanted: String, names: Vec<String> },
    #[error("doesn't say which of its profiles to use: {}", choice(names))]
    NoCurrent { names: Vec<String> },
    #[error("has profile {0} switched off: set its enable to true, or choose another")]
    Disabled(String),
    #[error("has profile {profile} with {mode}, which needs a person to log in: {}", known(.modes))]
    NeedsPerson {
        profile: String,
        mode: String,
        modes: &'static [&'static str],
    },
    #[error("has profile {profile} with {mode}, which isn't supported: {}", known(.modes))]
    UnknownMode {
        profile: String,
        mode: String,
        modes: &'static [&'static str],
    },
    #[error("has profile {profile} without a {key}, and what it has fits more than one: {}", known(.modes))]
    NoMode {
        profile: String,
        key: &'static str,
        modes: &'static [&'static str],
    },
    #[error("has profile {profile} without {key}, which it needs")]
    MissingKey { profile: String, key: &'static str },
    #[error("has profile {profile}, whose {key} {problem}")]
    Value {
        profile: String,
        key: &'static str,
        problem: ValueProblem,
    },
    #[error("needs {0}, which {1}")]
    Variable(&'static str, ValueProblem),
    #[error(
        "has profile {0}, whose source_profile leads back to it: name one with a key of its own"
    )]
    Loop(String),
    #[error("has profile {profile} with source_profile {named}, which isn't there")]
    NoSource { profile: String, named: String },
    #[error("has a chain of more than {0} profiles: assume roles in fewer steps")]
    LongChain(usize),
    #[error("has no file {0}, or an empty one")]
    NoKeyFile(&'static str),
    #[error("has a file {0} that {1}")]
    Part(&'static str, Box<FileProblem>),
    #[error("changes all the time: it was never read twice alike")]
    Unsettled,
}

/// This many names are shown at most.
const NAMES_MAX: usize = 10;

fn choice(names: &[String]) -> String {
    if names.is_empty() {
        return "it has none".to_owned();
    }
    let more = if names.len() > NAMES_MAX {
        " and others"
    } else {
        ""
    };
    let names = names[..names.len().min(NAMES_MAX)].join(", ");
    format!("it has {names}{more}; name one of them in ALIBABA_CLOUD_PROFILE")
}

fn known(modes: &[&str]) -> String {
    format!("use one of {}", modes.join(", "))
}

/// A name from a file, as it may be shown: bounded, and without characters that could disguise it.
pub(super) fn shown(name: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() || c.is_alphanumeric();
    name.chars()
        .map(|c| if plain(c) { c } else { '?' })
        .take(64)
        .collect()
}

impl CredentialsError {
    /// Whether a retry may help. Otherwise someone has to change the configuration.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::TimedOut(_)
                | Self::Unavailable { .. }
                | Self::Throttled { .. }
                | Self::InvalidResponse(_)
                | Self::Internal
        )
    }

    /// How long the service asked to wait.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Throttled { wait, .. } => *wait,
            _ => None,
        }
    }

    /// Whether it is about a file of the operator's, which is no concern of those who see an object.
    #[must_use]
    pub fn is_about_file(&self) -> bool {
        matches!(self, Self::File { .. } | Self::TokenFile { .. })
    }

    /// Why a service can't be had, in words for the log.
    #[must_use]
    pub fn cause(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { cause, .. } => Some(cause.as_str()),
            Self::TimedOut(_) => Some("timed out"),
            Self::Unavailable { .. } => Some("it reports an error of its own"),
            Self::Throttled { .. } => Some("it throttles calls"),
            Self::InvalidResponse(_) => Some("its answer can't be used"),
            _ => None,
        }
    }

    /// The service that is in trouble, where one is.
    #[must_use]
    pub fn issuer(&self) -> Option<Issuer> {
        match self {
            Self::Refused { by, .. }
            | Self::Unreachable { by, .. }
            | Self::Unavailable { by, .. }
            | Self::Throttled { by, .. }
            | Self::ClockSkewed(by)
            | Self::InvalidResponse(by) => Some(*by),
            Self::TimedOut(source) => source.issuer(),
            _ => None,
        }
    }
}

fn in_words(code: Option<&str>) -> String {
    code.map(|code| format!(", {code}")).unwrap_or_default()
}
