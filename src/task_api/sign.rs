//! ACS3-HMAC-SHA256, the signature of Alibaba Cloud's newer APIs: a pure function of the request,
//! the credentials, the time and a nonce.
//!
//! It signs requests without a body, as the controller sends no others.

use std::fmt::Write as _;

use k8s_openapi::jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use reqsign_core::hash::{hex_hmac_sha256, hex_sha256};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use rustls::crypto::CryptoProvider;
use secrecy::ExposeSecret as _;

use super::credentials::Credentials;

const ALGORITHM: &str = "ACS3-HMAC-SHA256";
const SECURITY_TOKEN: &str = "x-acs-security-token";

/// All but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The parts of a request that the signature covers.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The HTTP method.
    pub method: &'a Method,
    /// Where the request goes: host (with a port other than the scheme's), path and query.
    pub url: &'a Url,
    /// The API's action, such as `DescribeTaskInfo`.
    pub action: &'a str,
    /// The API's version, a date such as `2015-12-15`.
    pub version: &'a str,
}

/// A value that can't be sent in an HTTP header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} holds a character that no HTTP header can carry: look for a line break in it")]
pub struct SignError(&'static str);

/// Signs `request`, and returns the headers to add to it, including `Authorization`.
///
/// `Host` is signed but not returned, as the HTTP client sends it from the URL. `nonce` must be new
/// for every attempt: the API refuses one that it has seen before.
///
/// # Errors
/// If the access key ID or the security token can't be sent in a header.
pub fn sign(
    request: &Request<'_>,
    credentials: &Credentials,
    at: Timestamp,
    nonce: &str,
) -> Result<HeaderMap, SignError> {
    let signed = signed_headers(request, credentials, at, nonce);
    let names = signed
        .iter()
        .map(|(name, _)| *name)
        .collect::<Vec<_>>()
        .join(";");
    let hash = hex_sha256(canonical_request(request, &signed, &names).as_bytes());
    let signature = hex_hmac_sha256(
        credentials.access_key_secret.expose_secret().as_bytes(),
        format!("{ALGORITHM}\n{hash}").as_bytes(),
    );

    let mut headers = HeaderMap::with_capacity(signed.len());
    for (name, value) in &signed {
        if *name == "host" {
            continue;
        }
        let mut header = header_value(name, value)?;
        header.set_sensitive(*name == SECURITY_TOKEN);
        headers.insert(HeaderName::from_static(name), header);
    }
    let id = &credentials.access_key_id;
    let authorization =
        format!("{ALGORITHM} Credential={id},SignedHeaders={names},Signature={signature}");
    let mut authorization = header_value("authorization", &authorization)?;
    authorization.set_sensitive(true);
    headers.insert(AUTHORIZATION, authorization);
    Ok(headers)
}

/// The headers that the signature covers, sorted by name.
fn signed_headers(
    request: &Request<'_>,
    credentials: &Credentials,
    at: Timestamp,
    nonce: &str,
) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("host", host(request.url)),
        ("x-acs-action", request.action.to_owned()),
        ("x-acs-content-sha256", hex_sha256(b"")),
        ("x-acs-date", at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
    ];
    if let Some(token) = &credentials.security_token {
        headers.push((SECURITY_TOKEN, token.expose_secret().to_owned()));
    }
    headers.push(("x-acs-signature-nonce", nonce.to_owned()));
    headers.push(("x-acs-version", request.version.to_owned()));
    headers
}

fn canonical_request(
    request: &Request<'_>,
    headers: &[(&'static str, String)],
    names: &str,
) -> String {
    let mut canonical = format!(
        "{}\n{}\n{}\n",
        request.method,
        canonical_path(request.url),
        canonical_query(request.url)
    );
    for (name, value) in headers {
        // Writing to a string can't fail.
        let _ = writeln!(canonical, "{name}:{}", value.trim());
    }
    let _ = write!(canonical, "\n{names}\n{}", hex_sha256(b""));
    canonical
}

/// The `Host` header as HTTP clients send it: with the port if it isn't the scheme's default.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn canonical_path(url: &Url) -> String {
    encode_path(url.path())
}

/// Percent-encodes each segment of a path by RFC 3986. The path may already be encoded by laxer
/// rules.
pub(super) fn encode_path(path: &str) -> String {
    path.split('/')
        .map(|segment| encode(&percent_decode_str(segment).collect::<Vec<u8>>()))
        .collect::<Vec<_>>()
        .join("/")
}

fn canonical_query(url: &Url) -> String {
    let mut pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| (encode(name.as_bytes()), encode(value.as_bytes())))
        .collect();
    pairs.sort();
    pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("&")
}

/// 128 random bits in hex: the API refuses a nonce that it has seen before. None where the system gives no
/// random bits.
pub(super) fn nonce() -> Option<String> {
    let mut bytes = [0_u8; 16];
    let provider = CryptoProvider::get_default()?;
    provider.secure_random.fill(&mut bytes).ok()?;
    Some(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
pub(super) fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, RESERVED).to_string()
}

fn header_value(name: &'static str, value: &str) -> Result<HeaderValue, SignError> {
    HeaderValue::from_str(value.trim()).map_err(|_| {
        SignError(match name {
            "authorization" => "the access key ID",
            SECURITY_TOKEN => "the security token",
            other => other,
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONCE: &str = "3156853299f313e23d1673dc12e1703d";

    fn credentials(token: Option<&str>) -> Credentials {
        Credentials {
            access_key_id: "YourAccessKeyId".to_owned(),
            access_key_secret: "YourAccessKeySecret".into(),
            security_token: token.map(Into::into),
            expires_at: None,
        }
    }

    fn at() -> Timestamp {
        "2023-10-26T10:22:32Z".parse().unwrap()
    }

    fn url(url: &str) -> Url {
        url.parse().unwrap()
    }

    fn task_request(url: &Url) -> Request<'_> {
        Request {
            method: &Method::GET,
            url,
            action: "DescribeTaskInfo",
            version: "2015-12-15",
        }
    }

    fn authorization(headers: &HeaderMap) -> &str {
        headers[AUTHORIZATION].to_str().unwrap()
    }

    const TASK_URL: &str = "https://cs.cn-hangzhou.aliyuncs.com/tasks/T-5faa48fb31b6b8078d000006";

    #[test]
    fn signature_matches_the_vendors_example() {
        let url = url(
            "https://ecs.cn-shanghai.aliyuncs.com/?RegionId=cn-shanghai&\
             ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
        );
        let request = Request {
            method: &Method::POST,
            url: &url,
            action: "RunInstances",
            version: "2014-05-26",
        };
        let signed = signed_headers(&request, &credentials(None), at(), NONCE);
        let names = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;\
                     x-acs-version";
        assert_eq!(
            hex_sha256(canonical_request(&request, &signed, names).as_bytes()),
            "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259"
        );
        let headers = sign(&request, &credentials(None), at(), NONCE).unwrap();
        assert_eq!(
            authorization(&headers),
            format!(
                "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders={names},Signature=\
                 06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
            )
        );
    }

    #[test]
    fn task_request_is_signed() {
        let headers = sign(
            &task_request(&url(TASK_URL)),
            &credentials(None),
            at(),
            NONCE,
        )
        .unwrap();
        assert!(authorization(&headers).ends_with(
            "Signature=6dda33569a927dfd10fbc8c4f84fd333644b233e49163190d654faf971e70194"
        ));
        assert!(!headers.contains_key("host") && !headers.contains_key("x-acs-security-token"));
    }

    #[test]
    fn security_token_is_sent_and_signed() {
        let headers = sign(
            &task_request(&url(TASK_URL)),
            &credentials(Some("YourSecurityToken")),
            at(),
            NONCE,
        )
        .unwrap();
        assert!(authorization(&headers).ends_with(
            "Signature=66a24716afe2feba9c37147bc4fe732a792b30f4eb58e027bad7aa32c715c77f"
        ));
        assert_eq!(headers["x-acs-security-token"], "YourSecurityToken");
        assert!(headers["x-acs-security-token"].is_sensitive());
        assert!(headers[AUTHORIZATION].is_sensitive());
    }

    /// The hash and the signatures were computed by another implementation.
    #[test]
    fn list_is_signed_with_its_query_sorted() {
        let path =
            "https://cs.cn-hangzhou.aliyuncs.com/clusters/c78592bfe92244365b3c3ad47f1de0001/tasks";
        for query in ["page_number=2&page_size=100", "page_size=100&page_number=2"] {
            let url = url(&format!("{path}?{query}"));
            let request = Request {
                action: "DescribeClusterTasks",
                ..task_request(&url)
            };
            let signed = signed_headers(&request, &credentials(None), at(), NONCE);
            let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>();
            assert_eq!(
                hex_sha256(canonical_request(&request, &signed, &names.join(";")).as_bytes()),
                "13746c6ffd1e176a26289222e5082e44b2cc356f953df2e94c58a358d74d1ad1"
            );
            for (token, signature) in [
                (
                    None,
                    "2b9a1d182a2c55b8a2de8a3de27a008edf81b0d8f2e963d9a4444c3881822fa3",
                ),
                (
                    Some("YourSecurityToken"),
                    "905cdd3acbc3b1a5eb121c2e226c91a94376ff50b05e69f1d28f670a6e8d150e",
                ),
            ] {
                let headers = sign(&request, &credentials(token), at(), NONCE).unwrap();
                let signature = format!("Signature={signature}");
                assert!(authorization(&headers).ends_with(&signature), "{query}");
            }
        }
    }

    #[test]
    fn path_is_encoded_by_segment() {
        for (given, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("/tasks/T-1", "/tasks/T-1"),
            ("/a~b/c.d_e-f", "/a~b/c.d_e-f"),
            ("/a%7Eb", "/a~b"),
            ("/a b", "/a%20b"),
            ("/a+b", "/a%2Bb"),
            ("/a%2Fb/c", "/a%2Fb/c"),
            ("/a*b(c)'!", "/a%2Ab%28c%29%27%21"),
            ("/a:b@c=d,e;f&g$h", "/a%3Ab%40c%3Dd%2Ce%3Bf%26g%24h"),
            ("/prefix//tasks", "/prefix//tasks"),
            ("/ü", "/%C3%BC"),
            ("/%FF", "/%FF"),
        ] {
            let url = url(&format!("https://host.example{given}"));
            assert_eq!(canonical_path(&url), canonical, "{given}");
        }
    }

    #[test]
    fn query_is_sorted_and_encoded() {
        for (given, canonical) in [
            ("", ""),
            ("?b=2&a=1", "a=1&b=2"),
            ("?a=2&a=1", "a=1&a=2"),
            ("?flag", "flag="),
            ("?a=x+y%20z~*", "a=x%20y%20z~%2A"),
        ] {
            let url = url(&format!("https://host.example/{given}"));
            assert_eq!(canonical_query(&url), canonical, "{given}");
        }
    }

    #[test]
    fn host_is_what_the_client_sends() {
        for (given, sent) in [
            ("https://cs.example.com", "cs.example.com"),
            ("https://cs.example.com:443", "cs.example.com"),
            ("http://cs.example.com:443", "cs.example.com:443"),
            ("http://127.0.0.1:8080/p", "127.0.0.1:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("https://CS.Example.com", "cs.example.com"),
        ] {
            assert_eq!(host(&url(given)), sent, "{given}");
        }
    }

    #[test]
    fn signed_headers_are_sorted_and_dated_in_whole_seconds_of_utc() {
        let url = url(TASK_URL);
        for (at, date) in [
            ("2023-10-26T10:22:32Z", "2023-10-26T10:22:32Z"),
            ("2023-10-26T10:22:32.987654321Z", "2023-10-26T10:22:32Z"),
            ("2024-01-01T01:02:03+08:00", "2023-12-31T17:02:03Z"),
        ] {
            let headers = signed_headers(
                &task_request(&url),
                &credentials(Some("t")),
                at.parse().unwrap(),
                NONCE,
            );
            assert!(headers.is_sorted_by_key(|(name, _)| *name));
            assert!(headers.contains(&("x-acs-date", date.to_owned())), "{at}");
        }
    }

    #[test]
    fn value_that_no_header_can_carry_is_reported_and_not_shown() {
        let url = url(TASK_URL);
        let request = task_request(&url);
        let mut bad_id = credentials(None);
        bad_id.access_key_id = "LTAI\nevil".to_owned();
        let error = sign(&request, &bad_id, at(), NONCE).unwrap_err();
        assert!(error.to_string().starts_with("the access key ID holds"));
        let error = sign(&request, &credentials(Some("se\ncret")), at(), NONCE).unwrap_err();
        assert!(error.to_string().starts_with("the security token holds"));
        assert!(!error.to_string().contains("cret"));
    }

    proptest! {
        #[test]
        fn canonical_path_is_ascii_and_round_trips(
            segments in prop::collection::vec("[^/\\\\]{0,12}", 0..5),
        ) {
            // Dot segments are resolved when a URL is parsed, so the signature never sees them.
            prop_assume!(!segments.iter().any(|s| matches!(s.as_str(), "." | "..")));
            let raw: Vec<String> = segments.iter().map(|s| encode(s.as_bytes())).collect();
            let url = url(&format!("https://host.example/{}", raw.join("/")));
            let canonical = canonical_path(&url);
            prop_assert!(canonical.is_ascii());
            let decoded: Vec<String> = canonical[1..]
                .split('/')
                .map(|s| percent_decode_str(s).decode_utf8().unwrap().into_owned())
                .collect();
            prop_assert_eq!(decoded.join("/"), segments.join("/"));
            prop_assert_eq!(encode_path(&canonical), canonical);
        }
    }
}
