//! Checks ACS3-HMAC-SHA256 signatures of received requests.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use hyper::HeaderMap;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::percent;

const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// How much the time of a request may differ from the current time.
pub(crate) const SKEW: Duration = Duration::from_mins(15);

/// A received request.
#[derive(Clone, Copy)]
pub(crate) struct Received<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// The operation that the signature must be for.
#[derive(Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) action: &'static str,
    pub(crate) version: &'static str,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }
}

/// The parsed `Authorization` header.
#[derive(Debug)]
pub(crate) struct Authorization {
    pub(crate) access_key_id: String,
    signed_headers: String,
    signature: String,
}

impl Authorization {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let incomplete = |message: &str| Refusal::new(400, "IncompleteSignature", message);
        let Some(header) = headers.get("authorization") else {
            return Err(Refusal::new(
                401,
                "MissingAccessKeyId",
                "The Authorization header is missing.",
            ));
        };
        let parts = header
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix(ALGORITHM)?.strip_prefix(' '))
            .ok_or_else(|| incomplete("The Authorization header is not ACS3-HMAC-SHA256."))?;
        let part = |name: &str| {
            let value = parts.split(',').find_map(|part| {
                part.trim()
                    .strip_prefix(name)?
                    .strip_prefix('=')
                    .map(str::to_owned)
            });
            value.ok_or_else(|| incomplete(&format!("The Authorization header has no {name}.")))
        };
        Ok(Self {
            access_key_id: part("Credential")?,
            signed_headers: part("SignedHeaders")?,
            signature: part("Signature")?,
        })
    }
}

/// Checks everything but the nonce, and returns the nonce, which must be new.
pub(crate) fn verify(
    received: Received<'_>,
    authorization: &Authorization,
    secret: &str,
    operation: Operation,
    now: Timestamp,
) -> Result<String, Refusal> {
    check_signed_headers(received.headers, &authorization.signed_headers)?;
    check_date(header(received.headers, "x-acs-date")?, now)?;
    if header(received.headers, "x-acs-content-sha256")? != hex_sha256(received.body) {
        return Err(mismatch(
            "x-acs-content-sha256 is not the hash of the body.",
        ));
    }
    let canonical = canonical_request(received, &authorization.signed_headers);
    if signature(secret, &canonical) != authorization.signature {
        let expected = format!(
            "The canonical request here has the hash {}.",
            hex_sha256(canonical.as_bytes())
        );
        return Err(mismatch(&expected));
    }
    if header(received.headers, "x-acs-action")? != operation.action {
        return Err(Refusal::new(
            404,
            "InvalidAction.NotFound",
            "The API has no such action.",
        ));
    }
    if header(received.headers, "x-acs-version")? != operation.version {
        return Err(Refusal::new(
            400,
            "InvalidVersion",
            "The API has no such version.",
        ));
    }
    header(received.headers, "x-acs-signature-nonce").map(str::to_owned)
}

fn mismatch(message: &str) -> Refusal {
    Refusal::new(400, "SignatureDoesNotMatch", message)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refusal> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Refusal::new(400, "MissingParameter", format!("{name} is missing.")))
}

/// Checks that the signed headers are sorted and include `host`, every `x-acs-*`, and `content-type` if
/// it was sent.
fn check_signed_headers(headers: &HeaderMap, signed: &str) -> Result<(), Refusal> {
    let names: Vec<&str> = signed.split(';').collect();
    if !names.is_sorted() {
        return Err(mismatch("SignedHeaders is not sorted."));
    }
    if let Some(name) = names.iter().find(|name| !headers.contains_key(**name)) {
        return Err(mismatch(&format!("The signed header {name} is missing.")));
    }
    let must = |name: &str| matches!(name, "host" | "content-type") || name.starts_with("x-acs-");
    match headers
        .keys()
        .find(|name| must(name.as_str()) && !names.contains(&name.as_str()))
    {
        Some(name) => Err(mismatch(&format!("The header {name} is not signed."))),
        None => Ok(()),
    }
}

fn check_date(date: &str, now: Timestamp) -> Result<(), Refusal> {
    let format = Refusal::new(
        400,
        "InvalidTimeStamp.Format",
        "x-acs-date is not a UTC time.",
    );
    // The parser accepts longer formats, which the API refuses.
    if date.len() != "2023-10-26T10:22:32Z".len() || !date.ends_with('Z') {
        return Err(format);
    }
    let date: Timestamp = date.parse().map_err(|_| format)?;
    if now.duration_since(date).unsigned_abs() > SKEW {
        return Err(Refusal::new(
            400,
            "InvalidTimeStamp.Expired",
            "x-acs-date is more than 15 minutes off.",
        ));
    }
    Ok(())
}

fn canonical_request(received: Received<'_>, signed: &str) -> String {
    let headers: Vec<_> = signed
        .split(';')
        .map(|name| {
            let values: Vec<_> = received
                .headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
                .collect();
            format!("{name}:{}", values.join(","))
        })
        .collect();
    [
        received.method,
        &canonical_path(received.path),
        &canonical_query(received.query),
        &headers.join("\n"),
        "",
        signed,
        &hex_sha256(received.body),
    ]
    .join("\n")
}

fn canonical_path(path: &str) -> String {
    let segments: Vec<_> = path
        .split('/')
        .map(|segment| percent::encode(&percent::decode(segment)))
        .collect();
    segments.join("/")
}

fn canonical_query(query: &str) -> String {
    let again = |part: &str| percent::encode(&percent::decode(part));
    let mut pairs: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (again(name), again(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn signature(secret: &str, canonical_request: &str) -> String {
    let to_sign = format!("{ALGORITHM}\n{}", hex_sha256(canonical_request.as_bytes()));
    // Never fails: HMAC accepts keys of any length.
    Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map(|mac| hex(&mac.chain_update(to_sign).finalize().into_bytes()))
        .unwrap_or_default()
}

fn hex_sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    const SECRET: &str = "YourAccessKeySecret";
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn headers(more: &[(&str, &str)]) -> HeaderMap {
        let all = [
            ("x-acs-date", "2023-10-26T10:22:32Z"),
            ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
            ("x-acs-content-sha256", EMPTY),
        ];
        let pairs = all.iter().chain(more).map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                value.parse::<HeaderValue>().unwrap(),
            )
        });
        pairs.collect()
    }

    fn task_headers(more: &[(&str, &str)]) -> HeaderMap {
        let mut headers = headers(&[
            ("host", "cs.cn-hangzhou.aliyuncs.com"),
            ("x-acs-action", "DescribeTaskInfo"),
            ("x-acs-version", "2015-12-15"),
        ]);
        headers.extend(self::headers(more));
        headers
    }

    fn names(headers: &HeaderMap) -> String {
        let mut names: Vec<_> = headers
            .keys()
            .map(HeaderName::as_str)
            .filter(|name| *name != "authorization")
            .collect();
        names.sort_unstable();
        names.join(";")
    }

    fn task_request(headers: &HeaderMap) -> Received<'_> {
        Received {
            method: "GET",
            path: "/tasks/T-5faa48fb31b6b8078d000006",
            query: "",
            headers,
            body: b"",
        }
    }

    fn check(headers: &HeaderMap, signature: &str, now: &str) -> Result<String, Refusal> {
        let header = format!(
            "{ALGORITHM} Credential=YourAccessKeyId,SignedHeaders={},Signature={signature}",
            names(headers)
        );
        let mut headers = headers.clone();
        headers.insert("authorization", header.parse().unwrap());
        let authorization = Authorization::of(&headers).unwrap();
        assert_eq!(authorization.access_key_id, "YourAccessKeyId");
        let operation = Operation {
            action: "DescribeTaskInfo",
            version: "2015-12-15",
        };
        verify(
            task_request(&headers),
            &authorization,
            SECRET,
            operation,
            now.parse().unwrap(),
        )
    }

    const PLAIN: &str = "6dda33569a927dfd10fbc8c4f84fd333644b233e49163190d654faf971e70194";
    const SOON: &str = "2023-10-26T10:30:00Z";

    #[test]
    fn vendors_example_has_its_hash_and_signature() {
        let headers = headers(&[
            ("host", "ecs.cn-shanghai.aliyuncs.com"),
            ("x-acs-action", "RunInstances"),
            ("x-acs-version", "2014-05-26"),
        ]);
        let query =
            "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai";
        let received = Received {
            method: "POST",
            path: "/",
            query,
            headers: &headers,
            body: b"",
        };
        let canonical = canonical_request(received, &names(&headers));
        assert_eq!(
            hex_sha256(canonical.as_bytes()),
            "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259"
        );
        assert_eq!(
            signature(SECRET, &canonical),
            "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        );
    }

    #[test]
    fn task_request_is_accepted_and_returns_its_nonce() {
        let nonce = check(&task_headers(&[]), PLAIN, SOON);
        assert_eq!(nonce.as_deref(), Ok("3156853299f313e23d1673dc12e1703d"));
    }

    #[test]
    fn task_request_with_a_security_token_is_accepted() {
        let headers = task_headers(&[("x-acs-security-token", "YourSecurityToken")]);
        let signature = "66a24716afe2feba9c37147bc4fe732a792b30f4eb58e027bad7aa32c715c77f";
        assert!(check(&headers, signature, SOON).is_ok());
    }

    #[test]
    fn every_manipulation_is_refused_with_its_code() {
        let code = |headers: &HeaderMap, signature: &str, now: &str| {
            check(headers, signature, now).unwrap_err().code
        };
        let good = task_headers(&[]);
        assert_eq!(code(&good, EMPTY, SOON), "SignatureDoesNotMatch");
        assert_eq!(
            code(&good, PLAIN, "2023-10-26T10:37:33Z"),
            "InvalidTimeStamp.Expired"
        );
        assert_eq!(
            code(&good, PLAIN, "2023-10-26T10:07:31Z"),
            "InvalidTimeStamp.Expired"
        );
        let with = |name: &'static str, value: &str| {
            let mut headers = good.clone();
            headers.insert(name, value.parse().unwrap());
            headers
        };
        let other_host = with("host", "cs.cn-beijing.aliyuncs.com");
        assert_eq!(code(&other_host, PLAIN, SOON), "SignatureDoesNotMatch");
        let other_hash = with("x-acs-content-sha256", &"0".repeat(64));
        assert_eq!(code(&other_hash, PLAIN, SOON), "SignatureDoesNotMatch");
        for date in [
            "2023-10-26 10:22:32",
            "2023-10-26T10:22:32.0Z",
            "2023-10-26T10:22:32+00:00",
        ] {
            assert_eq!(
                code(&with("x-acs-date", date), PLAIN, SOON),
                "InvalidTimeStamp.Format"
            );
        }
    }

    #[test]
    fn unsigned_headers_that_must_be_signed_are_refused() {
        let mut headers = task_headers(&[]);
        let signed = names(&headers);
        assert_eq!(check_signed_headers(&headers, &signed), Ok(()));
        assert!(check_signed_headers(&headers, &signed.replace("host;", "")).is_err());
        assert!(check_signed_headers(&headers, &format!("{signed};x-acs-z")).is_err());
        assert!(check_signed_headers(&headers, &format!("x-acs-date;{signed}")).is_err());
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        assert!(check_signed_headers(&headers, &signed).is_err());
    }

    #[test]
    fn paths_and_queries_are_normalised() {
        assert_eq!(canonical_path("/tasks/a%2fb~c d"), "/tasks/a%2Fb~c%20d");
        assert_eq!(canonical_query("b=1&a=x%3d&c"), "a=x%3D&b=1&c=");
    }
}
