//! The address of a local service that gives credentials.

use std::net::IpAddr;

use reqwest::Url;

use super::error::ValueProblem;
use crate::task_api::endpoint::is_loopback;

/// Checks that what the service answers can't be read on its way: by plain http it stays on the machine or
/// its link.
pub(super) fn check_uri(uri: &str, allow_insecure: bool) -> Result<(), ValueProblem> {
    let url = Url::parse(uri).map_err(|_| ValueProblem::NotAUrl)?;
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&url) || is_link_local(&url) || allow_insecure => Ok(()),
        "http" => Err(ValueProblem::Insecure),
        _ => Err(ValueProblem::NotAUrl),
    }
}

fn is_link_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_unicast_link_local(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_the_machine_or_its_link() {
        for uri in [
            "http://localhost:1/a?b=c",
            "http://127.0.0.1",
            "http://[::1]:1/",
            "http://169.254.1.1/a",
            "http://[fe80::1]/a",
            "https://a.com",
        ] {
            assert_eq!(check_uri(uri, false), Ok(()), "{uri}");
        }
        for uri in [
            "http://a.com",
            "http://10.0.0.1",
            "http://169.254.1.1.a.com",
        ] {
            assert_eq!(check_uri(uri, false), Err(ValueProblem::Insecure), "{uri}");
            assert_eq!(check_uri(uri, true), Ok(()), "{uri}");
        }
        for uri in ["localhost:1", "/a", "", "file:///etc/passwd"] {
            assert_eq!(check_uri(uri, true), Err(ValueProblem::NotAUrl), "{uri}");
        }
    }
}
