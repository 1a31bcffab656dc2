//! Which proxy a connection goes through, as curl and Go's programs read it from the environment.

use std::net::IpAddr;

use ipnet::IpNet;
use reqwest::Url;
use thiserror::Error;

use crate::task_api::endpoint::is_loopback_host;

/// The proxies of the environment, and the hosts that are reached without one.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    exceptions: Vec<Exception>,
}

/// A variable doesn't name a proxy. Its value may hold a password and isn't shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0} names no proxy: write it as http://HOST:PORT, or with https or socks5")]
pub struct ProxyError(&'static str);

/// An item of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    All,
    Network(IpNet),
    Address(IpAddr, Option<u16>),
    /// What is below the name, and the name itself unless it began with a dot.
    Name {
        name: String,
        only_below: bool,
        port: Option<u16>,
    },
}

impl Proxies {
    /// Those of the process.
    ///
    /// # Errors
    /// If a variable doesn't name a proxy.
    pub fn from_environment() -> Result<Self, ProxyError> {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyError> {
        let value = |upper: &'static str| {
            let lower = upper.to_ascii_lowercase();
            let values = [variable(upper), variable(&lower)];
            let mut given = values.into_iter().flatten();
            given.find(|value| !value.trim().is_empty())
        };
        let proxy = |name: &'static str| {
            let text = value(name);
            text.map(|text| proxy_url(text.trim()).ok_or(ProxyError(name)))
                .transpose()
        };
        let all = proxy("ALL_PROXY")?;
        let exceptions = value("NO_PROXY").unwrap_or_default();
        Ok(Self {
            http: proxy("HTTP_PROXY")?.or_else(|| all.clone()),
            https: proxy("HTTPS_PROXY")?.or(all),
            exceptions: exceptions
                .split([',', ' ', '\t', '\n'])
                .filter_map(Exception::parse)
                .collect(),
        })
    }

    /// The proxy for that URL. This machine is reached without one.
    #[must_use]
    pub fn of_url(&self, url: &Url) -> Option<&Url> {
        let host = url.host_str()?;
        let port = url.port_or_known_default();
        if is_loopback_host(host) || self.exceptions.iter().any(|one| one.is_for(host, port)) {
            return None;
        }
        match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        }
    }

    /// The same for a client of HTTP.
    #[must_use]
    pub fn for_client(&self) -> reqwest::Proxy {
        let proxies = self.clone();
        reqwest::Proxy::custom(move |url| proxies.of_url(url).cloned())
    }
}

/// Without a scheme it is http.
fn proxy_url(text: &str) -> Option<Url> {
    let text = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url: Url = text.parse().ok()?;
    let is_known = matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h");
    (is_known && url.host_str().is_some_and(|host| !host.is_empty())).then_some(url)
}

impl Exception {
    fn parse(item: &str) -> Option<Self> {
        let item = item.trim().to_ascii_lowercase();
        if item == "*" {
            return Some(Self::All);
        }
        if let Ok(network) = item.parse() {
            return Some(Self::Network(network));
        }
        if let Ok(address) = item.trim_matches(['[', ']']).parse() {
            return Some(Self::Address(address, None));
        }
        let (host, port) = match item.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (item.as_str(), None),
        };
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Some(Self::Address(address, port));
        }
        let below = host.strip_prefix('*').unwrap_or(host);
        let name = below.trim_start_matches('.').trim_end_matches('.');
        (!name.is_empty()).then(|| Self::Name {
            name: name.to_owned(),
            only_below: below.starts_with('.'),
            port,
        })
    }

    fn is_for(&self, host: &str, port: Option<u16>) -> bool {
        let host = host.trim_end_matches('.');
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let fits = |wanted: &Option<u16>| wanted.is_none_or(|wanted| port == Some(wanted));
        match self {
            Self::All => true,
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Self::Address(own, wanted) => address == Some(*own) && fits(wanted),
            Self::Name {
                name,
                only_below,
                port: wanted,
            } => {
                let is_below = host
                    .strip_suffix(name.as_str())
                    .is_some_and(|before| before.ends_with('.'));
                fits(wanted) && (is_below || !only_below && host == name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
        Proxies::of(|name| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn proxy_of(proxies: &Proxies, url: &str) -> Option<String> {
        proxies
            .of_url(&url.parse().unwrap())
            .map(ToString::to_string)
    }

    #[test]
    fn the_variable_for_the_scheme_goes_before_that_for_all() {
        let proxies = proxies(&[
            ("HTTPS_PROXY", "http://a:1"),
            ("all_proxy", "socks5://b:2"),
            ("HTTP_PROXY", " "),
        ]);
        let proxies = proxies.unwrap();
        assert_eq!(
            proxy_of(&proxies, "https://x.com").as_deref(),
            Some("http://a:1/")
        );
        assert_eq!(
            proxy_of(&proxies, "http://x.com").as_deref(),
            Some("socks5://b:2")
        );
        for own in ["https://127.0.0.1:9", "https://localhost", "http://[::1]:8"] {
            assert_eq!(proxy_of(&proxies, own), None, "{own}");
        }
    }

    #[test]
    fn what_names_no_proxy_is_an_error_that_does_not_show_it() {
        for value in ["ftp://user:hunter2@a", "http://", "socks4://a", "a b:c"] {
            let error = proxies(&[("https_proxy", value)]).unwrap_err();
            assert_eq!(error, ProxyError("HTTPS_PROXY"), "{value}");
            assert!(!error.to_string().contains("hunter2"));
        }
        let bare = proxies(&[("HTTPS_PROXY", "proxy:3128")]).unwrap();
        assert_eq!(
            proxy_of(&bare, "https://a").as_deref(),
            Some("http://proxy:3128/")
        );
    }

    #[test]
    fn hosts_of_no_proxy_are_reached_without_one() {
        for (no_proxy, host, is_direct) in [
            ("api.test", "api.test:6443", true),
            ("api.test", "sub.api.test:6443", true),
            ("api.test", "otherapi.test:6443", false),
            (".test", "api.test:6443", true),
            (".api.test", "api.test:6443", false),
            ("*.test", "api.test:6443", true),
            ("api.test:6443", "api.test:6443", true),
            ("api.test:443", "api.test:6443", false),
            ("api.test:443", "api.test", true),
            ("API.Test.", "api.test.", true),
            ("10.0.0.0/8", "10.1.2.3:6443", true),
            ("10.0.0.0/8", "11.1.2.3:6443", false),
            ("fd00::/8", "[fd00::1]:6443", true),
            ("10.1.2.3", "10.1.2.3:6443", true),
            ("10.1.2.3:443", "10.1.2.3:6443", false),
            ("[fd00::1]:6443", "[fd00::1]:6443", true),
            ("*", "anything", true),
            ("api.test,", "api.test", true),
            (",a", "a", true),
            ("a,,b", "b", true),
            ("a b", "b", true),
            (",", "a", false),
            (" ", "a", false),
            ("*.a.b:443,", "x.a.b", true),
            ("*.a.b:443,", "a.b", false),
            ("a:b", "a", false),
        ] {
            let variables = [
                ("HTTPS_PROXY", "http://127.0.0.1:9"),
                ("NO_PROXY", no_proxy),
            ];
            let proxies = proxies(&variables).unwrap();
            let direct = proxy_of(&proxies, &format!("https://{host}")).is_none();
            assert_eq!(direct, is_direct, "{no_proxy} {host}");
        }
    }
}
