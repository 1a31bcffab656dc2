//! Each source, with real files and local servers.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::super::SharedCredentials;
use super::*;

/// An HTTP server that answers its `n`th request with the `n`th response, repeats the last response
/// from then on, and records the requests.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(responses: Vec<String>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::default();
        tokio::spawn(serve(listener, responses.into(), Arc::clone(&requests)));
        Self { url, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(
    listener: TcpListener,
    mut responses: VecDeque<String>,
    requests: Arc<Mutex<Vec<String>>>,
) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let request = read_request(&mut stream).await;
        requests.lock().unwrap().push(request);
        let response = match responses.len() {
            1 => responses[0].clone(),
            _ => responses.pop_front().unwrap(),
        };
        let _ = stream.write_all(response.as_bytes()).await;
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).await.unwrap();
        request.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return text.into_owned();
            }
        }
        assert_ne!(n, 0, "request cut short");
    }
}

fn response(status: &str, body: &str) -> String {
    let mut response = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    let _ = write!(response, "Content-Length: {}\r\n\r\n{body}", body.len());
    response
}

/// A response of STS: credentials that are valid for an hour from `at`.
fn granted(id: &str, at: Timestamp) -> String {
    let end = at + SignedDuration::from_hours(1);
    let body = format!(
        r#"{{"Credentials":{{"AccessKeyId":"{id}","AccessKeySecret":"s","SecurityToken":"t","Expiration":"{end}"}}}}"#
    );
    response("200 OK", &body)
}

/// A response of the metadata service or a credentials URI.
fn local(id: &str) -> String {
    let body = format!(
        r#"{{"Code":"Success","AccessKeyId":"{id}","AccessKeySecret":"s","SecurityToken":"t","Expiration":"2999-01-01T00:00:00Z"}}"#
    );
    response("200 OK", &body)
}

fn provider(variables: &[(&str, &str)]) -> Provider {
    let variables = variables
        .iter()
        .map(|(name, value)| (format!("ALIBABA_CLOUD_{name}"), (*value).to_owned()));
    Provider::new(Environment::new(variables, None), false).unwrap()
}

fn rrsa(token_file: &Path, sts: &str) -> Provider {
    provider(&[
        ("ROLE_ARN", "acs:ram::1:role/r"),
        ("OIDC_PROVIDER_ARN", "acs:ram::1:oidc-provider/p"),
        ("OIDC_TOKEN_FILE", token_file.to_str().unwrap()),
        ("STS_ENDPOINT", sts),
    ])
}

fn file(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

/// An address where nothing listens.
async fn unused_address() -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn oidc_token_is_read_again_at_each_refresh_and_refreshed_before_expiry() {
    let start = Timestamp::from_second(1_700_000_000).unwrap();
    let at = move |minutes| start + SignedDuration::from_mins(minutes);
    let sts = Server::start(vec![granted("first", at(0)), granted("second", at(46))]).await;
    let token = file("token-1\n");
    let minutes = Arc::new(AtomicI64::new(0));
    let clock = {
        let minutes = Arc::clone(&minutes);
        move || at(minutes.load(Ordering::SeqCst))
    };
    let shared = SharedCredentials::from_provider(rrsa(token.path(), &sts.url), clock);
    assert_eq!(shared.get().await.unwrap().access_key_id, "first");

    std::fs::write(token.path(), "token-2\n").unwrap();
    minutes.store(46, Ordering::SeqCst);
    // The old credentials are used until the new ones are there.
    assert_eq!(shared.get().await.unwrap().access_key_id, "first");
    let renewed = async {
        while shared.get().await.unwrap().access_key_id != "second" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), renewed)
        .await
        .unwrap();

    let requests = sts.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].starts_with("POST /?Action=AssumeRoleWithOIDC&"));
    assert!(requests[0].ends_with("&OIDCToken=token-1"));
    assert!(requests[0].contains("RoleArn=acs%3Aram%3A%3A1%3Arole%2Fr"));
    assert!(requests[0].contains("RoleSessionName=scaleouttask-controller"));
    assert!(requests[1].ends_with("&OIDCToken=token-2"));
}

#[tokio::test]
async fn responses_of_sts_are_classified_and_not_quoted() {
    let by = CredentialSource::Oidc;
    let code = |code: &str| Some(code.to_owned());
    let huge = format!(r#"{{"a":"{}"}}"#, "x".repeat(70_000));
    let bad = "AuthenticationFail.NoPermission";
    let refused = |status, code| CredentialsError::Refused { by, status, code };
    let failing = |status, code| CredentialsError::Unavailable { by, status, code };
    for (status, body, expected, transient) in [
        (
            "400 Bad Request",
            r#"{"Code":"Throttling.User"}"#,
            CredentialsError::Throttled(by),
            true,
        ),
        ("429 Slow Down", "", CredentialsError::Throttled(by), true),
        (
            "400 Bad Request",
            r#"{"Code":"ServiceUnavailable"}"#,
            failing(400, code("ServiceUnavailable")),
            true,
        ),
        ("503 Trouble", "hunter2", failing(503, None), true),
        ("408 Timeout", "hunter2", failing(408, None), true),
        (
            "403 Forbidden",
            r#"{"Code":"AuthenticationFail.NoPermission","Message":"hunter2"}"#,
            refused(403, code(bad)),
            false,
        ),
        (
            "400 Bad Request",
            r#"{"Code":"hunter2 said"}"#,
            refused(400, None),
            false,
        ),
        (
            "302 Found\r\nLocation: http://127.0.0.1:1/hunter2",
            "",
            refused(302, None),
            false,
        ),
        (
            "200 OK",
            "hunter2",
            CredentialsError::InvalidResponse(by),
            true,
        ),
        ("200 OK", "{}", CredentialsError::InvalidResponse(by), true),
        ("200 OK", &huge, CredentialsError::InvalidResponse(by), true),
    ] {
        let sts = Server::start(vec![response(status, body)]).await;
        let token = file("hunter2");
        let error = rrsa(token.path(), &sts.url).provide().await.unwrap_err();
        assert_eq!(error, expected, "{status} {body:.80}");
        assert_eq!(error.is_transient(), transient, "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn unreachable_sts_is_transient_and_its_url_is_not_shown() {
    let sts = unused_address().await;
    let token = file("hunter2");
    let error = rrsa(token.path(), &sts).provide().await.unwrap_err();
    assert_eq!(error, CredentialsError::Unreachable(CredentialSource::Oidc));
    assert!(error.is_transient() && !error.to_string().contains("127.0.0.1"));
}

#[tokio::test]
async fn wrong_configuration_is_reported_before_any_call() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let oidc = CredentialSource::Oidc;
    let complete = [
        ("ROLE_ARN", "r"),
        ("OIDC_PROVIDER_ARN", "p"),
        ("OIDC_TOKEN_FILE", "/nowhere/token"),
    ];
    for (variables, expected) in [
        (
            &[("ACCESS_KEY_ID", "id")][..],
            CredentialsError::Incomplete(KEY_SECRET),
        ),
        (
            &[("ACCESS_KEY_SECRET", "s")],
            CredentialsError::Incomplete(KEY_ID),
        ),
        (
            &complete[1..],
            CredentialsError::Incomplete("ALIBABA_CLOUD_ROLE_ARN"),
        ),
        (&complete, CredentialsError::Unreadable(oidc)),
        (
            &[
                complete[0],
                complete[1],
                complete[2],
                ("STS_ENDPOINT", "http://sts.a.com"),
            ],
            CredentialsError::InsecureSts,
        ),
        (
            &[("ECS_METADATA_DISABLED", "true")],
            CredentialsError::NotConfigured,
        ),
        (
            &[("CONFIG_FILE", "/nowhere")],
            CredentialsError::Unusable(CredentialSource::CliProfile),
        ),
        (
            &[("CREDENTIALS_FILE", "/nowhere")],
            CredentialsError::Unusable(CredentialSource::CredentialsFile),
        ),
    ] {
        let error = provider(variables).provide().await.unwrap_err();
        assert_eq!(error, expected, "{variables:?}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn static_key_is_read_from_the_environment() {
    let key = [
        ("ACCESS_KEY_ID", "id"),
        ("ACCESS_KEY_SECRET", "s\n"),
        ("SECURITY_TOKEN", "t"),
    ];
    let credentials = provider(&key).provide().await.unwrap();
    assert_eq!(credentials.access_key_id, "id");
    assert_eq!(credentials.access_key_secret.expose_secret(), "s");
    assert_eq!(credentials.security_token.unwrap().expose_secret(), "t");
}

#[tokio::test]
async fn profiles_are_read_from_files() {
    let json = file(
        r#"{"current":"a","profiles":[
            {"name":"a","mode":"AK","access_key_id":"cli","access_key_secret":"s"},
            {"name":"b","mode":"RamRoleArn","access_key_id":"cli","access_key_secret":"s"}]}"#,
    );
    let ini = file("[default]\ntype = access_key\naccess_key_id = ini\naccess_key_secret = s\n");
    let (json, ini) = (json.path().to_str().unwrap(), ini.path().to_str().unwrap());
    for (variables, id) in [
        (&[("CONFIG_FILE", json)][..], Some("cli")),
        (&[("CONFIG_FILE", json), ("PROFILE", "b")], None),
        (&[("CONFIG_FILE", json), ("PROFILE", "c")], None),
        (&[("CREDENTIALS_FILE", ini)], Some("ini")),
        (&[("CREDENTIALS_FILE", ini), ("PROFILE", "c")], None),
        (&[("CREDENTIALS_FILE", json)], None),
        (&[("CONFIG_FILE", ini)], None),
    ] {
        let got = provider(variables).provide().await;
        if got.is_err() {
            assert!(matches!(got, Err(CredentialsError::Unusable(_))), "{got:?}");
        }
        assert_eq!(
            got.ok().map(|got| got.access_key_id).as_deref(),
            id,
            "{variables:?}"
        );
    }
}

#[tokio::test]
async fn credentials_uri_is_called() {
    let server = Server::start(vec![local("uri")]).await;
    let uri = format!("{}/path?token=hunter2", server.url);
    let credentials = provider(&[("CREDENTIALS_URI", &uri)])
        .provide()
        .await
        .unwrap();
    assert_eq!(credentials.access_key_id, "uri");
    assert!(credentials.expires_at.is_some());

    let uri = format!("{}/path?token=hunter2", unused_address().await);
    let error = provider(&[("CREDENTIALS_URI", &uri)])
        .provide()
        .await
        .unwrap_err();
    assert_eq!(
        error,
        CredentialsError::Unreachable(CredentialSource::CredentialsUri)
    );
    assert!(!error.to_string().contains("hunter2"));
}

#[tokio::test]
async fn metadata_service_is_called_with_a_token() {
    let responses = vec![
        response("200 OK", "imds"),
        response("200 OK", "role-1"),
        local("ecs"),
    ];
    let server = Server::start(responses).await;
    let provider = provider(&[("ECS_METADATA_SERVICE_ENDPOINT", &server.url)]);
    assert_eq!(provider.provide().await.unwrap().access_key_id, "ecs");
    let requests = server.requests();
    assert!(requests[0].starts_with("PUT /latest/api/token "));
    let path = "GET /latest/meta-data/ram/security-credentials/role-1 ";
    assert!(requests[2].starts_with(path));
    assert!(requests[2].contains("x-aliyun-ecs-metadata-token: imds"));
}

#[tokio::test]
async fn unreachable_metadata_service_means_no_credentials_unless_a_role_is_named() {
    let unused = unused_address().await;
    let endpoint = ("ECS_METADATA_SERVICE_ENDPOINT", &*unused);
    let error = provider(&[endpoint]).provide().await.unwrap_err();
    assert_eq!(error, CredentialsError::NotConfigured);
    let named = provider(&[endpoint, ("ECS_METADATA", "role")]);
    let error = named.provide().await.unwrap_err();
    assert_eq!(
        error,
        CredentialsError::Unreachable(CredentialSource::EcsRamRole)
    );
}

#[test]
fn sts_endpoint_follows_region_and_network() {
    let (region, vpc) = (("STS_REGION", "cn-x"), ("VPC_ENDPOINT_ENABLED", "true"));
    for (variables, expected) in [
        (&[][..], "https://sts.aliyuncs.com"),
        (&[region], "https://sts.cn-x.aliyuncs.com"),
        (&[region, vpc], "https://sts-vpc.cn-x.aliyuncs.com"),
        (&[vpc], "https://sts.aliyuncs.com"),
        (&[region, ("STS_ENDPOINT", "sts.a.com")], "sts.a.com"),
        (
            &[("STS_ENDPOINT", "http://localhost:1")],
            "http://localhost:1",
        ),
        (&[("STS_REGION", "a.evil.com/")], "https://sts.aliyuncs.com"),
    ] {
        let variables = variables
            .iter()
            .map(|(name, value)| (format!("ALIBABA_CLOUD_{name}"), (*value).to_owned()));
        let environment = Environment::new(variables, None);
        assert_eq!(sts_endpoint(&environment, false).unwrap(), expected);
    }
}
