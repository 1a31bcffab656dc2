//! Why there are no credentials, by what follows from it.

use super::source::CredentialSource;

/// Why there are no credentials. No message holds a URL, a token, a key or a response's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// No source of credentials is configured.
    #[error(
        "no credentials are configured: give the service account a RAM role (RRSA), or set \
         ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET"
    )]
    NotConfigured,
    /// A variable is missing whose companions are there.
    #[error("{0} is not set, though a variable that goes with it is: set both or neither")]
    Incomplete(&'static str),
    /// The token to be exchanged would travel unencrypted.
    #[error("ALIBABA_CLOUD_STS_ENDPOINT is plain http to another machine: use https")]
    InsecureSts,
    /// A file that the source needs can't be read.
    #[error("{0}: its file can't be read; {mend}", mend = .0.mend())]
    Unreadable(CredentialSource),
    /// The source is there, but what it holds is no access key.
    #[error("{0}: no usable access key in it; {mend}", mend = .0.mend())]
    Unusable(CredentialSource),
    /// The source said no.
    #[error("{by} answered HTTP {status}{}; {mend}", in_words(code.as_deref()), mend = .by.mend())]
    Refused {
        /// Who said so.
        by: CredentialSource,
        /// The HTTP status.
        status: u16,
        /// The answer's error code, where it is a plain word.
        code: Option<String>,
    },
    /// The source's credentials had expired when they came.
    #[error("{0}: the credentials had expired on arrival; check this machine's clock")]
    Expired(CredentialSource),
    /// No answer. Passes, or is a matter of network policy.
    #[error("{0} can't be reached or does not answer in time; trying again")]
    Unreachable(CredentialSource),
    /// The source has trouble of its own.
    #[error("{by} is in trouble (HTTP {status}{}); trying again", in_words(code.as_deref()))]
    Unavailable {
        /// Who is in trouble.
        by: CredentialSource,
        /// The HTTP status.
        status: u16,
        /// The answer's error code, where it is a plain word.
        code: Option<String>,
    },
    /// Too many calls for the source.
    #[error("{0} is throttling; trying again more slowly")]
    Throttled(CredentialSource),
    /// An answer that makes no sense.
    #[error("{0} gave an answer that can't be read; trying again")]
    InvalidResponse(CredentialSource),
    /// The HTTP client can't be made.
    #[error("no HTTPS client can be set up: check that CA certificates are installed")]
    NoHttpClient,
    /// A fault in this program.
    #[error("reading the credentials ended in a fault of this program: please report it")]
    Internal,
}

impl CredentialsError {
    /// Whether this may pass by itself, rather than ask for someone to mend something.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_)
                | Self::Unavailable { .. }
                | Self::Throttled(_)
                | Self::InvalidResponse(_)
                | Self::Internal
        )
    }
}

fn in_words(code: Option<&str>) -> String {
    code.map(|code| format!(", {code}")).unwrap_or_default()
}
