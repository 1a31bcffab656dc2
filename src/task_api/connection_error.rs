//! Why a connection or an exchange on it failed, from the causes below the library's own text, which may
//! hold a URL with a token.

use std::{error::Error, fmt, io};

use rustls::CertificateError;

use crate::resolver::ResolveError;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionError {
    UnknownIssuer,
    CertificateExpired,
    CertificateNotYetValid,
    WrongName,
    BadCertificate,
    Tls,
    NoSuchHost,
    NameServer,
    Refused,
    Reset,
    NoRoute,
    ProxyAuthentication,
    ProxyRefused,
    Proxy,
    ConnectTimeout,
    AnswerTimeout,
    ReadTimeout,
    Closed,
    NotHttp,
    Other,
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ConnectionError {
    /// In words, which hold nothing of the request.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownIssuer => "the certificate's issuer is unknown",
            Self::CertificateExpired => "the certificate has expired",
            Self::CertificateNotYetValid => "the certificate is not valid yet",
            Self::WrongName => "the certificate is for another name",
            Self::BadCertificate => "the certificate can't be accepted",
            Self::Tls => "the TLS handshake failed",
            Self::NoSuchHost => "no such host",
            Self::NameServer => "the name server fails or doesn't answer",
            Self::Refused => "the connection was refused",
            Self::Reset => "the connection was reset",
            Self::NoRoute => "there is no route to the host",
            Self::ProxyAuthentication => "the proxy asks for a user and password (407)",
            Self::ProxyRefused => "the proxy refused to connect",
            Self::Proxy => "the connection to the proxy failed",
            Self::ConnectTimeout => "timed out while connecting",
            Self::AnswerTimeout => "timed out while sending the request or waiting for the answer",
            Self::ReadTimeout => "timed out while reading the answer",
            Self::Closed => "the connection was closed before the answer was complete",
            Self::NotHttp => "the answer isn't HTTP",
            Self::Other => "the connection failed",
        }
    }

    /// What is behind an error of the HTTP client.
    #[must_use]
    pub fn of(error: &reqwest::Error) -> Self {
        let by_cause = causes(error).find_map(Self::of_cause);
        let is_reading = error.is_body() || error.is_decode();
        match by_cause {
            Some(cause) => cause,
            None if error.is_timeout() && error.is_connect() => Self::ConnectTimeout,
            None if error.is_timeout() && is_reading => Self::ReadTimeout,
            None if error.is_timeout() => Self::AnswerTimeout,
            None if is_reading => Self::Closed,
            None => Self::Other,
        }
    }

    fn of_cause(cause: &(dyn Error + 'static)) -> Option<Self> {
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return Some(Self::of_tls(error));
        }
        if let Some(error) = cause.downcast_ref::<ResolveError>() {
            return Some(match error {
                ResolveError::NoSuchHost => Self::NoSuchHost,
                ResolveError::NameServer => Self::NameServer,
            });
        }
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return Self::of_io(error);
        }
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            return Self::of_http(error);
        }
        // These types are private to their crates: their fixed texts are all there is.
        match cause.to_string().as_str() {
            "tunnel error: proxy authorization required" => Some(Self::ProxyAuthentication),
            "tunnel error: unsuccessful" => Some(Self::ProxyRefused),
            "tunnel error: failed to create underlying connection"
            | "tunnel error: unexpected end of file"
            | "tunnel error: proxy response headers too long" => Some(Self::Proxy),
            _ => None,
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        let rustls::Error::InvalidCertificate(problem) = error else {
            return Self::Tls;
        };
        match problem {
            // A CA that was made anew under its old name signs with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Self::CertificateExpired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::CertificateNotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            _ => Self::BadCertificate,
        }
    }

    fn of_io(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Some(Self::Refused),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Some(Self::Reset),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Some(Self::NoRoute)
            }
            io::ErrorKind::UnexpectedEof => Some(Self::Closed),
            _ => None,
        }
    }

    fn of_http(error: &hyper::Error) -> Option<Self> {
        if error.is_incomplete_message() {
            Some(Self::Closed)
        } else if error.is_parse() {
            Some(Self::NotHttp)
        } else {
            None
        }
    }
}

/// An error and all below it. What an [`io::Error`] wraps isn't among its sources, for it counts as the
/// same error.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| below(*error))
}

fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let io = error.downcast_ref::<io::Error>();
    match io.and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
