//! The address of a local service that gives credentials.

use std::net::IpAddr;

use reqwest::Url;

use super::error::ValueProblem;
use crate::task_api::endpoint::is_loopback;

/// Where the metadata service is in the vendor's network.
const METADATA_ADDRESS: &str = "100.100.100.200";

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

/// The same for the metadata service, which has an address of its own in the vendor's network.
pub(super) fn check_metadata(uri: &str, allow_insecure: bool) -> Result<(), ValueProblem> {
    let url = Url::parse(uri).map_err(|_| ValueProblem::NotAUrl)?;
    if url.host_str() == Some(METADATA_ADDRESS) {
        return Ok(());
    }
    check_uri(uri, allow_insecure)
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
    fn the_metadata_service_has_an_address_of_its_own() {
        assert_eq!(check_metadata("http://100.100.100.200", false), Ok(()));
        assert_eq!(check_metadata("http://127.0.0.1:1", false), Ok(()));
        let other = check_metadata("http://100.100.100.201", false);
        assert_eq!(other, Err(ValueProblem::Insecure));
    }

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
