//! Calls to local servers: what is asked, and what each answer becomes, alike for all that can be asked.

use secrecy::ExposeSecret as _;

use super::*;
use crate::{
    rules::PageResult,
    task_api::{
        ListQuery,
        credentials::Surroundings,
        test_server::{Server, response, unused_address},
    },
};

const PAGE: &str = r#"{"tasks":[{"task_id":"T-1","state":"running"}]}"#;
const TASK: &str = r#"{"task_id":"T-1","state":"running"}"#;

fn region() -> Region {
    "cn-hangzhou".parse().unwrap()
}

fn client(url: &str, credentials: Option<SharedCredentials>) -> TaskApi {
    TaskApi::new(&ClientOptions {
        endpoints: Endpoints::new(url, &[], false).unwrap(),
        request_timeout: Duration::from_secs(10),
        credentials,
        clock: Clock::start(),
        proxies: Proxies::default(),
    })
    .unwrap()
}

async fn describe(api: &TaskApi, own: Option<&Credentials>) -> PollResult {
    let query = Query {
        region: &region(),
        task_id: "T-1",
        only_cluster: None,
    };
    api.describe(query, own).await
}

async fn list(api: &TaskApi, own: Option<&Credentials>) -> PageResult {
    let query = ListQuery {
        region: &region(),
        cluster_id: "c1",
        page: 2,
    };
    api.list(query, own).await
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = request.lines().filter_map(|line| line.split_once(": "));
    fields.find_map(|(field, value)| field.eq_ignore_ascii_case(name).then_some(value))
}

/// Files with a key, and the credentials that are read from them.
struct KeyFiles(tempfile::TempDir);

impl KeyFiles {
    fn of(id: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write(id);
        files
    }

    fn write(&self, id: &str) {
        for (name, value) in [("accessKeyId", id), ("accessKeySecret", "hunter2")] {
            std::fs::write(self.0.path().join(name), value).unwrap();
        }
    }

    fn shared(&self) -> SharedCredentials {
        let directory = Some(self.0.path().to_owned());
        SharedCredentials::configured(directory, &Surroundings::default()).unwrap()
    }
}

fn own() -> Credentials {
    Credentials {
        access_key_id: "own".to_owned(),
        access_key_secret: "hunter2".into(),
        security_token: Some("t0ken".into()),
        expires_at: None,
    }
}

#[tokio::test]
async fn a_page_of_a_clusters_tasks_is_asked_for_and_signed_as_it_is_sent() {
    let server = Server::start(vec![response("200 OK", PAGE)]).await;
    let api = client(&format!("{}/prefix", server.url), None);
    let page = list(&api, Some(&own())).await.unwrap();
    assert_eq!((page.len(), &*page[0].task_id), (1, "T-1"));

    let request = &server.requests()[0];
    let path = "/prefix/clusters/c1/tasks?page_number=2&page_size=100";
    assert!(
        request.starts_with(&format!("GET {path} HTTP/1.1\r\n")),
        "{request}"
    );
    assert_eq!(
        header(request, "x-acs-action"),
        Some("DescribeClusterTasks")
    );
    assert_eq!(header(request, "x-acs-version"), Some("2015-12-15"));
    let at = header(request, "x-acs-date").unwrap().parse().unwrap();
    let again = sign(
        &sign::Request {
            method: &Method::GET,
            url: &format!("{}{path}", server.url).parse().unwrap(),
            action: "DescribeClusterTasks",
            version: "2015-12-15",
        },
        &own(),
        at,
        header(request, "x-acs-signature-nonce").unwrap(),
    )
    .unwrap();
    assert_eq!(
        header(request, "authorization"),
        Some(again["authorization"].to_str().unwrap())
    );
    let token = own().security_token.unwrap();
    assert_eq!(
        header(request, "x-acs-security-token"),
        Some(token.expose_secret())
    );
}

#[tokio::test]
async fn a_call_about_a_task_has_its_own_action() {
    let server = Server::start(vec![response("200 OK", TASK)]).await;
    let api = client(&server.url, None);
    assert_eq!(describe(&api, Some(&own())).await.unwrap().state, "running");
    let request = &server.requests()[0];
    assert!(
        request.starts_with("GET /tasks/T-1 HTTP/1.1\r\n"),
        "{request}"
    );
    assert_eq!(header(request, "x-acs-action"), Some("DescribeTaskInfo"));
}

/// What is looked at of an error.
type Shown = (
    Reason,
    Option<&'static str>,
    Option<u64>,
    Option<&'static str>,
);

#[tokio::test]
async fn all_that_can_be_asked_fails_alike() {
    let rows: [(&str, &str, Shown); 9] = [
        (
            "403 Forbidden",
            r#"{"code":"Forbidden.RAM","requestId":"R-1"}"#,
            (
                Reason::AccessDenied,
                Some("Forbidden.RAM"),
                None,
                Some("R-1"),
            ),
        ),
        (
            "404 Not Found\r\nx-acs-request-id: R-2",
            r#"{"code":"ErrorClusterNotFound","requestId":"R-1"}"#,
            (
                Reason::TaskNotFound,
                Some("ErrorClusterNotFound"),
                None,
                Some("R-2"),
            ),
        ),
        (
            "400 Bad Request\r\nx-acs-retry-after: 1500",
            r#"{"code":"Throttling.User"}"#,
            (Reason::Throttled, Some("Throttling.User"), Some(1500), None),
        ),
        (
            "503 Service Unavailable\r\nRetry-After: 7",
            "",
            (Reason::TaskApiUnavailable, None, Some(7000), None),
        ),
        (
            "400 Bad Request",
            r#"{"code":"InvalidTimeStamp.Expired"}"#,
            (
                Reason::ClockSkewed,
                Some("InvalidTimeStamp.Expired"),
                None,
                None,
            ),
        ),
        (
            "401 Unauthorized",
            "",
            (Reason::CredentialsInvalid, None, None, None),
        ),
        (
            "302 Found\r\nLocation: http://127.0.0.1/",
            "",
            (Reason::InvalidResponse, None, None, None),
        ),
        (
            "200 OK",
            r#"{"code":"Odd","requestId":"R-1"}"#,
            (Reason::InvalidResponse, None, None, Some("R-1")),
        ),
        (
            "200 OK\r\nx-acs-request-id: R-2",
            "<html/>",
            (Reason::InvalidResponse, None, None, Some("R-2")),
        ),
    ];
    for (status, body, (reason, code, wait, request_id)) in rows {
        let server = Server::start(vec![response(status, body)]).await;
        let api = client(&server.url, None);
        let expected = PollError {
            code: code.map(str::to_owned),
            retry_after: wait.map(Duration::from_millis),
            request_id: request_id.map(str::to_owned),
            ..PollError::new(reason)
        };
        assert_eq!(
            describe(&api, None).await,
            Err(expected.clone()),
            "{status}"
        );
        assert_eq!(list(&api, None).await, Err(expected), "{status}");
    }
}

#[tokio::test]
async fn silence_and_cut_and_too_large_bodies_are_told_alike() {
    let api = client(&unused_address().await, None);
    let silent = describe(&api, None).await.unwrap_err();
    assert!(silent.is_silence && silent.reason == Reason::TaskApiUnavailable);
    assert_eq!(list(&api, None).await, Err(silent));

    let ok = "200 OK\r\nx-acs-request-id: R-2";
    let mut cut = response(ok, PAGE);
    cut.truncate(cut.len() - 1);
    let server = Server::start(vec![cut]).await;
    let api = client(&server.url, None);
    let cut = describe(&api, None).await.unwrap_err();
    assert_eq!(cut.reason, Reason::TaskApiUnavailable);
    assert_eq!(cut.request_id.as_deref(), Some("R-2"));
    assert_eq!(list(&api, None).await, Err(cut));

    let large = PAGE.to_owned() + &" ".repeat(BODY_MAX);
    let server = Server::start(vec![response(ok, &large)]).await;
    let api = client(&server.url, None);
    let large = PollError {
        request_id: Some("R-2".to_owned()),
        ..PollError::new(Reason::InvalidResponse)
    };
    assert_eq!(describe(&api, None).await, Err(large.clone()));
    assert_eq!(list(&api, None).await, Err(large));
}

#[tokio::test]
async fn a_list_is_asked_for_again_with_credentials_that_were_rotated() {
    let refused = response(
        "400 Bad Request",
        r#"{"code":"InvalidAccessKeyId.NotFound"}"#,
    );
    let server = Server::start(vec![refused, response("200 OK", PAGE)]).await;
    let files = KeyFiles::of("first");
    let shared = files.shared();
    shared.get().await.unwrap();
    files.write("second");
    let api = client(&server.url, Some(shared));
    assert_eq!(list(&api, None).await.unwrap().len(), 1);
    let signed = |request: &String| {
        let authorization = header(request, "authorization").unwrap();
        ["first", "second"].map(|id| authorization.contains(&format!("Credential={id},")))
    };
    let requests = server.requests();
    let keys: Vec<_> = requests.iter().map(signed).collect();
    assert_eq!(keys, [[true, false], [false, true]]);
}

#[tokio::test]
async fn lists_tell_whether_the_credentials_are_taken_and_what_time_it_is() {
    let refused = response(
        "401 Unauthorized\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT",
        "",
    );
    let denied = response("403 Forbidden", r#"{"code":"Forbidden.RAM"}"#);
    let server = Server::start(vec![refused, denied]).await;
    let files = KeyFiles::of("first");
    let api = client(&server.url, Some(files.shared()));
    let is_taken = || api.credentials_up().map(|(_, taken)| taken);
    assert_eq!(is_taken(), None);
    list(&api, None).await.unwrap_err();
    assert_eq!(is_taken(), Some(false));
    assert!(!api.clock.skew().is_zero());
    list(&api, None).await.unwrap_err();
    assert_eq!(is_taken(), Some(true));
}
