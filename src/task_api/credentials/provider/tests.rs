//! Each source, with real files and local servers.

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use secrecy::ExposeSecret as _;

use super::super::{
    SharedCredentials,
    error::{FileProblem, ValueProblem},
};
use super::*;
use crate::task_api::{
    connection_error::ConnectionError,
    test_server::{Server, response, unused_address},
};

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
    Provider::new(Environment::new(variables, None))
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
    let by = Issuer::AssumeRoleWithOidc;
    let code = |code: &str| Some(code.to_owned());
    let huge = format!(r#"{{"a":"{}"}}"#, "x".repeat(70_000));
    let bad = "AuthenticationFail.NoPermission";
    let throttled = |seconds: Option<u64>| CredentialsError::Throttled {
        by,
        wait: seconds.map(Duration::from_secs),
    };
    let refused = |status, code| CredentialsError::Refused { by, status, code };
    let failing = |status, code| CredentialsError::Unavailable { by, status, code };
    for (status, body, expected, transient) in [
        (
            "400 Bad Request",
            r#"{"Code":"Throttling.User"}"#,
            throttled(None),
            true,
        ),
        ("429 Slow Down", "", throttled(None), true),
        (
            "400 Bad Request\r\nx-acs-retry-after: 2000",
            r#"{"Code":"Anything"}"#,
            throttled(Some(2)),
            true,
        ),
        (
            "400 Bad Request",
            r#"{"Code":"InvalidTimeStamp.Expired"}"#,
            CredentialsError::ClockSkewed(by),
            false,
        ),
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
            CredentialsError::InvalidResponse(by),
            true,
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
    let refused = CredentialsError::Unreachable {
        by: Issuer::AssumeRoleWithOidc,
        cause: ConnectionError::Refused,
    };
    assert_eq!(error, refused);
    assert!(error.is_transient() && !error.to_string().contains("127.0.0.1"));
}

#[tokio::test]
async fn wrong_configuration_is_reported_before_any_call() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let missing = |by| CredentialsError::File {
        by,
        path: "/nowhere".to_owned(),
        problem: FileProblem::Missing,
    };
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
        (
            &complete,
            CredentialsError::TokenFile {
                path: "/nowhere/token".to_owned(),
                problem: FileProblem::Missing,
            },
        ),
        (
            &[
                complete[0],
                complete[1],
                complete[2],
                ("STS_ENDPOINT", "http://sts.a.com"),
            ],
            CredentialsError::Variable("ALIBABA_CLOUD_STS_ENDPOINT", ValueProblem::Insecure),
        ),
        (
            &[("ECS_METADATA_DISABLED", "true")],
            CredentialsError::NotConfigured,
        ),
        (
            &[("CONFIG_FILE", "/nowhere")],
            missing(CredentialSource::CliProfile),
        ),
        (
            &[("CREDENTIALS_FILE", "/nowhere")],
            missing(CredentialSource::CredentialsFile),
        ),
        (
            &[
                ("CREDENTIALS_URI", "http://a.com"),
                ("ECS_METADATA_DISABLED", "true"),
            ],
            CredentialsError::Variable(URI, ValueProblem::Insecure),
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

/// The parameters of a POST's query and body.
fn parameters(request: &str) -> std::collections::BTreeMap<String, String> {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let path = head.split(' ').nth(1).unwrap();
    let url: reqwest::Url = format!("http://a{path}&{body}").parse().unwrap();
    let pairs = url.query_pairs();
    pairs
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// The parameters are what the profile says, and the signature covers all of them.
#[tokio::test]
async fn role_is_assumed_with_all_that_the_profile_says() {
    let sts = Server::start(vec![granted("role", Timestamp::now())]).await;
    let json = file(&format!(
        r#"{{"current":"p","profiles":[{{"name":"p","mode":"RamRoleArn","access_key_id":"id",
            "access_key_secret":"s","ram_role_arn":"acs:ram::1:role/r","ram_session_name":"me",
            "expired_seconds":900,"policy":"{{\"Version\":\"1\"}}","external_id":"e&f",
            "sts_endpoint":"{}"}}]}}"#,
        sts.url
    ));
    let provider = provider(&[("CONFIG_FILE", json.path().to_str().unwrap())]);
    let credentials = provider.provide().await.unwrap();
    assert_eq!(credentials.access_key_id, "role");
    assert!(credentials.security_token.is_some() && credentials.expires_at.is_some());
    let sent = parameters(&sts.requests()[0]);
    for (name, value) in [
        ("Action", "AssumeRole"),
        ("Version", "2015-04-01"),
        ("RoleArn", "acs:ram::1:role/r"),
        ("RoleSessionName", "me"),
        ("DurationSeconds", "900"),
        ("Policy", r#"{"Version":"1"}"#),
        ("ExternalId", "e&f"),
        ("AccessKeyId", "id"),
    ] {
        assert_eq!(sent.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!sent.contains_key("SecurityToken"));
    assert!(sts.requests()[0].starts_with("POST /?Action=AssumeRole&"));
}

#[tokio::test]
async fn chain_of_profiles_assumes_one_role_with_the_other() {
    let now = Timestamp::now();
    let sts = Server::start(vec![granted("first", now), granted("second", now)]).await;
    let json = file(&format!(
        r#"{{"current":"c","profiles":[
            {{"name":"a","mode":"StsToken","access_key_id":"id","access_key_secret":"s","sts_token":"t0"}},
            {{"name":"b","mode":"ChainableRamRoleArn","source_profile":"a","ram_role_arn":"r1",
              "sts_endpoint":"{0}"}},
            {{"name":"c","mode":"ChainableRamRoleArn","source_profile":"b","ram_role_arn":"r2",
              "sts_endpoint":"{0}"}}]}}"#,
        sts.url
    ));
    let provider = provider(&[("CONFIG_FILE", json.path().to_str().unwrap())]);
    assert_eq!(provider.provide().await.unwrap().access_key_id, "second");
    let sent: Vec<_> = sts
        .requests()
        .iter()
        .map(|request| parameters(request))
        .collect();
    let of = |n: usize, name: &str| sent[n].get(name).cloned().unwrap_or_default();
    assert_eq!(
        [
            of(0, "AccessKeyId"),
            of(0, "SecurityToken"),
            of(0, "RoleArn")
        ],
        ["id", "t0", "r1"]
    );
    assert_eq!(
        [
            of(1, "AccessKeyId"),
            of(1, "SecurityToken"),
            of(1, "RoleArn")
        ],
        ["first", "t", "r2"]
    );
}

#[tokio::test]
async fn refused_role_names_what_to_check() {
    let refused = response(
        "403 Forbidden",
        r#"{"Code":"NoPermission","Message":"hunter2"}"#,
    );
    let sts = Server::start(vec![refused]).await;
    let ini = file(&format!(
        "[default]\ntype = ram_role_arn\naccess_key_id = id\naccess_key_secret = s\nrole_arn = r\n\
         sts_endpoint = {}\n",
        sts.url
    ));
    let provider = provider(&[("CREDENTIALS_FILE", ini.path().to_str().unwrap())]);
    let error = provider.provide().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "STS (AssumeRole) answered HTTP 403, NoPermission; check the role's ARN and its trust \
         policy, and that the key may call sts:AssumeRole"
    );
}

#[tokio::test(start_paused = true)]
async fn key_in_a_directory_is_read_again_when_its_files_change() {
    let directory = tempfile::tempdir().unwrap();
    let write =
        |name: &str, value: &str| std::fs::write(directory.path().join(name), value).unwrap();
    write("accessKeyId", "first\n");
    write("accessKeySecret", "s1");
    let environment = Environment {
        directory: Some(directory.path().to_owned()),
        ..Environment::default()
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let provider = Provider::new(environment);
    let shared = SharedCredentials::from_provider(provider, Timestamp::now);
    let id = async || shared.get().await.unwrap().access_key_id.clone();
    assert_eq!(id().await, "first");
    write("accessKeySecret", "s2");
    write("accessKeyId", "second");
    assert_eq!(id().await, "first");

    tokio::time::advance(Duration::from_secs(11)).await;
    let begin = std::time::Instant::now();
    while id().await != "second" {
        assert!(begin.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    // A file that is broken meanwhile costs nobody the key that works.
    std::fs::remove_file(directory.path().join("accessKeyId")).unwrap();
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(id().await, "second");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(id().await, "second");
}

#[tokio::test]
async fn refused_key_of_a_file_is_read_again_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let write =
        |name: &str, value: &str| std::fs::write(directory.path().join(name), value).unwrap();
    write("accessKeyId", "first");
    write("accessKeySecret", "s");
    let environment = Environment {
        directory: Some(directory.path().to_owned()),
        ..Environment::default()
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shared = SharedCredentials::from_provider(Provider::new(environment), Timestamp::now);
    let first = shared.get().await.unwrap();
    assert!(shared.refused(&first).await.is_none());
    write("accessKeyId", "second");
    let newer = shared.refused(&first).await.unwrap();
    assert_eq!(newer.access_key_id, "second");
    assert_eq!(shared.get().await.unwrap().access_key_id, "second");
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
        CredentialsError::Unreachable {
            by: Issuer::CredentialsUri,
            cause: ConnectionError::Refused,
        }
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

/// Credentials of an instance's role, from a service of these versions.
async fn of_instance(
    versions: &str,
    variables: &[(&str, &str)],
) -> Result<Credentials, CredentialsError> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let script = format!("{{metadata: {{{versions}}}}}");
    let simulator = simulator::Simulator::start(script.parse().unwrap()).unwrap();
    let url = simulator.url();
    let mut all = vec![("ECS_METADATA_SERVICE_ENDPOINT", &*url)];
    all.extend(variables);
    provider(&all).provide().await
}

#[tokio::test]
async fn version_1_of_the_metadata_service_is_used_only_where_version_2_is_missing_and_it_may_be() {
    let disabled = [("IMDSV1_DISABLED", "true")];
    let both = "version1: true, version2: true";
    for (versions, variables, is_there) in [
        ("version1: false, version2: true", &[][..], true),
        ("version1: false, version2: true", &disabled, true),
        (both, &disabled, true),
        ("version1: true, version2: false", &[], true),
        ("version1: true, version2: false", &disabled, false),
        ("version1: false, version2: false", &[], false),
    ] {
        let got = of_instance(versions, variables).await;
        assert_eq!(got.is_ok(), is_there, "{versions} {variables:?} {got:?}");
    }
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
        CredentialsError::Unreachable {
            by: Issuer::Metadata,
            cause: ConnectionError::Refused,
        }
    );
}
