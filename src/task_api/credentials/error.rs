//! Why there are no credentials, and whether a retry can help.

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
    /// A variable is not set, but another one that needs it is.
    #[error("{0} is not set, though a variable that goes with it is: set both or neither")]
    Incomplete(&'static str),
    /// The token would be sent unencrypted.
    #[error("ALIBABA_CLOUD_STS_ENDPOINT is plain http to another machine: use https")]
    InsecureSts,
    /// A file that the source needs can't be read.
    #[error("{0}: its file can't be read; {remedy}", remedy = .0.remedy())]
    Unreadable(CredentialSource),
    /// The source is there, but holds no usable access key.
    #[error("{0}: no usable access key in it; {remedy}", remedy = .0.remedy())]
    Unusable(CredentialSource),
    /// The source refused the request.
    #[error("{by} answered HTTP {status}{}; {remedy}", in_words(code.as_deref()), remedy = .by.remedy())]
    Refused {
        /// The source.
        by: CredentialSource,
        /// The HTTP status.
        status: u16,
        /// The response's error code, if it is a plain word.
        code: Option<String>,
    },
    /// The credentials had already expired when the source returned them.
    #[error("{0}: the credentials had expired on arrival; check this machine's clock")]
    Expired(CredentialSource),
    /// No answer: the source is down for now, or a network policy blocks it.
    #[error("{0} can't be reached or does not answer in time; retrying")]
    Unreachable(CredentialSource),
    /// The source reports an internal error.
    #[error("{by} is failing (HTTP {status}{}); retrying", in_words(code.as_deref()))]
    Unavailable {
        /// The source.
        by: CredentialSource,
        /// The HTTP status.
        status: u16,
        /// The response's error code, if it is a plain word.
        code: Option<String>,
    },
    /// The source throttles calls.
    #[error("{0} is throttling; retrying more slowly")]
    Throttled(CredentialSource),
    /// A response that can't be parsed.
    #[error("{0} gave a response that can't be parsed; retrying")]
    InvalidResponse(CredentialSource),
    /// The HTTP client can't be set up.
    #[error("no HTTPS client can be set up: check that CA certificates are installed")]
    NoHttpClient,
    /// A bug in this program.
    #[error("reading the credentials hit a bug in this program: please report it")]
    Internal,
}

impl CredentialsError {
    /// Whether a retry may help. Otherwise someone has to change the configuration.
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
