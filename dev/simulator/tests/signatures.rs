//! Signed requests are accepted, all others refused. Keys of STS are valid until they expire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use common::{Answer, answer, get, send_request, start, task};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use simulator::{Fault, Simulator};

const KEYS: &str = "{tasks: [{id: T-1}], credentials: [
    {accessKeyId: id, accessKeySecret: secret},
    {accessKeyId: temporary, accessKeySecret: secret, securityToken: token}]}";

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

/// Signs requests as the API's documentation describes.
struct Signer {
    key: (String, String),
    headers: BTreeMap<String, String>,
}

impl Signer {
    fn new(id: &str, secret: &str) -> Self {
        static NONCE: AtomicUsize = AtomicUsize::new(0);
        let nonce = NONCE.fetch_add(1, Ordering::Relaxed).to_string();
        let empty = hex(&Sha256::digest(b""));
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let headers = [
            ("host", "localhost"),
            ("x-acs-action", "DescribeTaskInfo"),
            ("x-acs-content-sha256", &empty),
            ("x-acs-date", &now),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-version", "2015-12-15"),
        ];
        let headers = headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        Self {
            key: (id.to_owned(), secret.to_owned()),
            headers,
        }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    fn sign(self, path: &str) -> Vec<(String, String)> {
        let names: Vec<_> = self.headers.keys().cloned().collect();
        let names = names.join(";");
        let lines: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let empty = hex(&Sha256::digest(b""));
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let canonical = format!("GET\n{path}\n{query}\n{}\n{names}\n{empty}", lines.concat());
        let to_sign = format!("ACS3-HMAC-SHA256\n{}", hex(&Sha256::digest(canonical)));
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.1.as_bytes()).unwrap();
        mac.update(to_sign.as_bytes());
        let signature = hex(&mac.finalize().into_bytes());
        let authorization = format!(
            "ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signature}",
            self.key.0
        );
        let mut headers: Vec<_> = self.headers.into_iter().collect();
        headers.push(("authorization".to_owned(), authorization));
        headers
    }
}

fn send(simulator: &Simulator, headers: &[(String, String)]) -> Answer {
    answer(send_request(simulator, "GET", "/tasks/T-1", headers, "")).unwrap()
}

fn code(simulator: &Simulator, signer: Signer) -> String {
    let answer = send(simulator, &signer.sign("/tasks/T-1"));
    if answer.status == 200 {
        "accepted".to_owned()
    } else {
        answer.json()["code"].as_str().unwrap().to_owned()
    }
}

#[test]
fn signed_requests_are_accepted_and_recorded() {
    let simulator = start(KEYS);
    assert_eq!(code(&simulator, Signer::new("id", "secret")), "accepted");
    let temporary = Signer::new("temporary", "secret").with("x-acs-security-token", "token");
    assert_eq!(code(&simulator, temporary), "accepted");
    let typed = Signer::new("id", "secret").with("content-type", "application/json");
    assert_eq!(code(&simulator, typed), "accepted");
    let log = simulator.request_log();
    assert!(log.iter().all(|request| request.authorization));
    assert_eq!(log[1].access_key_id.as_deref(), Some("temporary"));
}

#[test]
fn other_requests_are_refused_with_the_codes_of_the_api() {
    let simulator = start(KEYS);
    let unsigned = task(&simulator, "T-1");
    assert_eq!(
        (unsigned.status, &unsigned.json()["code"]),
        (401, &"MissingAccessKeyId".into())
    );
    let good = || Signer::new("id", "secret");
    let cases = [
        (Signer::new("id", "wrong"), "SignatureDoesNotMatch"),
        (
            Signer::new("nobody", "secret"),
            "InvalidAccessKeyId.NotFound",
        ),
        (Signer::new("temporary", "secret"), "MissingSecurityToken"),
        (
            good().with("x-acs-security-token", "token"),
            "InvalidSecurityToken.Malformed",
        ),
        (
            good().with("x-acs-date", "2020-01-01T00:00:00Z"),
            "InvalidTimeStamp.Expired",
        ),
        (
            good().with("x-acs-date", "yesterday"),
            "InvalidTimeStamp.Format",
        ),
        (
            good().with("x-acs-action", "DescribeClusters"),
            "InvalidAction.NotFound",
        ),
        (good().with("x-acs-version", "2014-05-26"), "InvalidVersion"),
        (
            good().with("x-acs-content-sha256", "0"),
            "SignatureDoesNotMatch",
        ),
    ];
    for (signer, expected) in cases {
        assert_eq!(code(&simulator, signer), expected);
    }
}

#[test]
fn an_unsigned_header_and_another_path_are_refused() {
    let simulator = start(KEYS);
    let mut headers = Signer::new("id", "secret").sign("/tasks/T-1");
    headers.push(("x-acs-more".to_owned(), "1".to_owned()));
    assert_eq!(
        send(&simulator, &headers).json()["code"],
        "SignatureDoesNotMatch"
    );
    let other = Signer::new("id", "secret").sign("/tasks/T-2");
    assert_eq!(
        send(&simulator, &other).json()["code"],
        "SignatureDoesNotMatch"
    );
}

#[test]
fn lists_must_be_signed_with_their_action_and_query() {
    let simulator = start(KEYS);
    let cluster = "/clusters/c00000000000000000000000000000001/tasks";
    let path = format!("{cluster}?page_number=1&page_size=100");
    let signed = |action: &str, path: &str| {
        let signer = Signer::new("id", "secret").with("x-acs-action", action);
        signer.sign(path)
    };
    let send = |path: &str, headers: &[(String, String)]| {
        answer(send_request(&simulator, "GET", path, headers, "")).unwrap()
    };
    let good = signed("DescribeClusterTasks", &path);
    assert_eq!(send(&path, &good).json()["page_info"]["total_count"], 1);
    let log = simulator.list_log();
    assert!(log[0].authorization && log[0].access_key_id.as_deref() == Some("id"));

    assert_eq!(send(&path, &good).json()["code"], "SignatureNonceUsed");
    assert_eq!(send(&path, &[]).json()["code"], "MissingAccessKeyId");
    let of_a_task = signed("DescribeTaskInfo", &path);
    assert_eq!(
        send(&path, &of_a_task).json()["code"],
        "InvalidAction.NotFound"
    );
    let without_query = signed("DescribeClusterTasks", cluster);
    assert_eq!(
        send(&path, &without_query).json()["code"],
        "SignatureDoesNotMatch"
    );
    let of_a_list = Signer::new("id", "secret").with("x-acs-action", "DescribeClusterTasks");
    assert_eq!(code(&simulator, of_a_list), "InvalidAction.NotFound");
}

#[test]
fn a_nonce_is_valid_once() {
    let simulator = start(KEYS);
    let headers = Signer::new("id", "secret").sign("/tasks/T-1");
    assert_eq!(send(&simulator, &headers).status, 200);
    assert_eq!(
        send(&simulator, &headers).json()["code"],
        "SignatureNonceUsed"
    );
}

#[test]
fn a_revoked_key_is_unknown() {
    let simulator = start(KEYS);
    simulator.revoke("id");
    assert_eq!(
        code(&simulator, Signer::new("id", "secret")),
        "InvalidAccessKeyId.NotFound"
    );
}

const EXCHANGE: &str = "Action=AssumeRoleWithOIDC&OIDCProviderArn=acs%3Aram%3A%3A1%3Aoidc-provider%2Fp\
    &RoleArn=acs%3Aram%3A%3A1%3Arole%2Fr&RoleSessionName=s&Format=JSON&Version=2015-04-01&OIDCToken=a.b%2Bc";

/// A signer with the credentials from an exchange.
fn signer_of(exchange: &Answer) -> Signer {
    let body = exchange.json();
    let part = |name: &str| body["Credentials"][name].as_str().unwrap().to_owned();
    let expiration: Timestamp = part("Expiration").parse().unwrap();
    assert!(expiration <= Timestamp::now() + Duration::from_hours(1));
    Signer::new(&part("AccessKeyId"), &part("AccessKeySecret"))
        .with("x-acs-security-token", &part("SecurityToken"))
}

#[test]
fn sts_exchanges_a_token_for_keys_by_query_and_by_form() {
    let simulator = start("{tasks: [{id: T-1}], sts: {}}");
    let by_query = get(&simulator, &format!("/?{EXCHANGE}"));
    assert_eq!(code(&simulator, signer_of(&by_query)), "accepted");
    let by_form = answer(send_request(&simulator, "POST", "/", &[], EXCHANGE)).unwrap();
    assert_eq!(code(&simulator, signer_of(&by_form)), "accepted");

    let exchanges = simulator.sts_exchanges();
    assert_eq!(exchanges.len(), 2);
    assert!(
        exchanges
            .iter()
            .all(|one| one.oidc_token == "a.b+c" && one.answered == Some(200))
    );
    assert_eq!(exchanges[0].role_arn, "acs:ram::1:role/r");
    assert_ne!(exchanges[0].access_key_id, exchanges[1].access_key_id);
    assert_eq!(simulator.total_requests(), 2);
    assert_eq!(task(&simulator, "T-1").status, 401);
}

#[test]
fn keys_of_sts_expire_and_can_be_revoked() {
    let simulator = start("{tasks: [{id: T-1}], sts: {lifetime: 0s}}");
    let expired = get(&simulator, &format!("/?{EXCHANGE}"));
    assert_eq!(
        code(&simulator, signer_of(&expired)),
        "InvalidSecurityToken.Expired"
    );
    simulator.set_sts_lifetime(Duration::from_mins(1));
    let good = get(&simulator, &format!("/?{EXCHANGE}"));
    assert_eq!(code(&simulator, signer_of(&good)), "accepted");
    simulator.revoke(good.json()["Credentials"]["AccessKeyId"].as_str().unwrap());
    assert_eq!(
        code(&simulator, signer_of(&good)),
        "InvalidAccessKeyId.NotFound"
    );
}

#[test]
fn sts_fails_by_its_faults_and_if_parameters_are_missing() {
    let simulator = start("{sts: {faults: [{requests: '1', status: 400, code: Throttling.User}]}}");
    let exchange = || get(&simulator, &format!("/?{EXCHANGE}"));
    let throttled = exchange();
    assert_eq!(
        (throttled.status, &throttled.json()["code"]),
        (400, &"Throttling.User".into())
    );
    assert_eq!(exchange().status, 200);
    simulator.set_sts_fault(Fault::status(503));
    assert_eq!(exchange().status, 503);
    simulator.clear_faults();
    let missing = get(&simulator, "/?Action=AssumeRoleWithOIDC&RoleArn=r");
    assert_eq!(
        (missing.status, &missing.json()["code"]),
        (400, &"MissingParameter".into())
    );
    let given: Vec<_> = simulator
        .sts_exchanges()
        .iter()
        .map(|one| one.access_key_id.is_some())
        .collect();
    assert_eq!(given, [false, true, false, false]);
}
