//! The proxy that the environment names for the API server, as kubectl reads it. It knows no `ALL_PROXY`, as the
//! controller does for the task API.

use std::{env, net::IpAddr};

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// The proxy of the environment for the API server. As for kubectl, this machine is reached without one.
pub fn by_environment(server: &Uri) -> Option<String> {
    let variable = |name: &str| {
        let values = [env::var(name), env::var(name.to_ascii_lowercase())];
        let mut given = values.into_iter().flatten();
        given.find(|value| !value.trim().is_empty())
    };
    for_server(server, variable)
}

fn for_server(server: &Uri, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let host = server.host()?.trim_matches(['[', ']']);
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return None;
    }
    let (scheme, port) = match server.scheme_str() {
        Some("http") => ("HTTP_PROXY", server.port_u16().unwrap_or(80)),
        _ => ("HTTPS_PROXY", server.port_u16().unwrap_or(443)),
    };
    let proxy = variable(scheme)?;
    // The library knows no ports in it.
    let exceptions = variable("NO_PROXY").unwrap_or_default();
    let suffix = format!(":{port}");
    let exceptions = exceptions.split(',').map(str::trim);
    let exceptions: Vec<&str> = exceptions
        .map(|one| one.strip_suffix(&suffix).unwrap_or(one))
        .collect();
    let matcher = Matcher::builder()
        .all(proxy.as_str())
        .no(exceptions.join(","))
        .build();
    matcher.intercept(server)?;
    let has_scheme = proxy.contains("://");
    Some(if has_scheme {
        proxy
    } else {
        format!("http://{proxy}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_is_that_of_the_api_servers_host_as_kubectl_reads_the_variables() {
        let proxy = "http://user:secret@proxy.example:3128";
        for (server, no_proxy, is_by_proxy) in [
            ("https://api.example.com:6443", "", true),
            (
                "https://api.example.com:6443",
                "other.example.com,,proxy.example",
                true,
            ),
            (
                "https://api.example.com:6443",
                "localhost, .example.com",
                false,
            ),
            (
                "https://api.example.com:6443",
                "api.example.com:6443",
                false,
            ),
            ("https://api.example.com:6443", "api.example.com:443", true),
            ("https://api.example.com:6443", "*", false),
            ("https://10.1.2.3:6443", "10.0.0.0/8", false),
            ("https://10.1.2.3:6443", "192.168.0.0/16", true),
            ("https://127.0.0.1:6443", "", false),
            ("https://[::1]:6443", "", false),
            ("https://localhost", "", false),
            ("http://api.example.com", "", false),
        ] {
            let variable = |name: &str| match name {
                "HTTPS_PROXY" => Some(proxy.to_owned()),
                "NO_PROXY" => Some(no_proxy.to_owned()),
                _ => None,
            };
            let found = for_server(&server.parse().unwrap(), variable);
            let wanted = is_by_proxy.then(|| proxy.to_owned());
            assert_eq!(found, wanted, "{server} with {no_proxy:?}");
        }
    }
}
