//! The proxy does what its actions say.

use std::{
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use kube::{Client, Config};
use tokio::{net::TcpListener, time::timeout};

use super::{Action, Answer, Proxy, Side};

const PATH: &str = "apis/scaleout.dev/v1alpha1/namespaces/a/scaleouttasks";
const SOON: Duration = Duration::from_secs(10);
const LATE: Duration = Duration::from_millis(300);

/// A server that numbers its responses. The first has status 200, later ones 409.
struct Upstream {
    requests: Arc<AtomicUsize>,
    client: Client,
}

impl Upstream {
    async fn start() -> Self {
        let requests = Arc::new(AtomicUsize::default());
        let counter = requests.clone();
        let handler = move || async move {
            let number = counter.fetch_add(1, Ordering::Relaxed) + 1;
            let code = if number == 1 { 200 } else { 409 };
            let code = http::StatusCode::from_u16(code).unwrap();
            (code, format!("answer {number}"))
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(handler);
        tokio::spawn(async move { axum::serve(listener, router).await });
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let mut config = Config::new(url.parse().unwrap());
        config.default_retry = false;
        Self {
            requests,
            client: Client::try_from(config).unwrap(),
        }
    }
}

/// The status and body that a client gets, or `None` if the connection breaks.
async fn get(proxy: &Proxy) -> Option<(u16, String)> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/{PATH}", proxy.url());
    let response = http.get(url).send().await.ok()?;
    Some((response.status().as_u16(), response.text().await.ok()?))
}

#[tokio::test]
async fn each_action_is_seen_on_both_sides() {
    let answer = |code, body: &str| Some((code, body.to_owned()));
    let rows = [
        (Action::Pass, answer(200, "answer 1"), 1),
        (Action::Delay(LATE), answer(200, "answer 1"), 1),
        (Action::DropBefore, None, 0),
        (Action::DropAfter, None, 1),
        (Action::Replay(Answer::First), answer(200, "answer 1"), 2),
        (Action::Replay(Answer::Second), answer(409, "answer 2"), 2),
        (Action::CutBody(3), None, 1),
        (Action::CutBody(100), answer(200, "answer 1"), 1),
    ];
    for (action, expected, requests) in rows {
        let upstream = Upstream::start().await;
        let plan = action.clone();
        let plan = Box::new(move |_: &_| plan.clone());
        let proxy = Proxy::start(upstream.client.clone(), plan).await;
        let began = Instant::now();
        assert_eq!(get(&proxy).await, expected, "{action:?}");
        if action == Action::Delay(LATE) {
            assert!(began.elapsed() >= LATE);
        }
        let received = upstream.requests.load(Ordering::Relaxed);
        assert_eq!(received, requests, "{action:?}");
        assert_eq!(proxy.records()[0].answers.len(), requests, "{action:?}");
    }
}

#[tokio::test]
async fn its_own_responses_look_like_those_of_an_api_server() {
    let rows = [
        (Action::Fail(500, None), 500, "InternalError"),
        (Action::Fail(429, Some(1)), 429, "TooManyRequests"),
        (Action::GoneStatus, 410, "Expired"),
        (Action::Gone, 200, r#""type":"ERROR""#),
    ];
    for (action, code, part) in rows {
        let upstream = Upstream::start().await;
        let plan = action.clone();
        let plan = Box::new(move |_: &_| plan.clone());
        let proxy = Proxy::start(upstream.client.clone(), plan).await;
        let (status, body) = get(&proxy).await.unwrap();
        assert_eq!(status, code, "{action:?}");
        assert!(body.contains(part), "{action:?}: {body}");
        assert_eq!(upstream.requests.load(Ordering::Relaxed), 0, "{action:?}");
    }
}

#[tokio::test]
async fn a_held_request_is_passed_on_once_released() {
    let upstream = Upstream::start().await;
    let plan = Box::new(|_: &_| Action::Hold);
    let proxy = Proxy::start(upstream.client.clone(), plan).await;
    let release = async {
        proxy.until(|records| !records.is_empty()).await;
        assert_eq!(upstream.requests.load(Ordering::Relaxed), 0);
        assert_eq!(proxy.connections(), 1);
        proxy.release();
    };
    let (answer, ()) = tokio::join!(get(&proxy), release);
    assert_eq!(answer.unwrap().0, 200);
}

#[tokio::test]
async fn freezing_loses_what_is_in_flight_and_nothing_later() {
    for (side, requests) in [(Side::Before, 0), (Side::After, 1)] {
        let upstream = Upstream::start().await;
        let plan = Box::new(move |request: &super::Request| match request.number {
            1 => Action::Freeze(side),
            _ => Action::Pass,
        });
        let proxy = Proxy::start(upstream.client.clone(), plan).await;
        let thaw = async {
            timeout(SOON, proxy.frozen()).await.unwrap();
            let late = tokio::join!(get(&proxy), async {
                proxy.until(|records| records.len() == 2).await;
                assert_eq!(upstream.requests.load(Ordering::Relaxed), requests);
                proxy.thaw().await;
            });
            assert_eq!(late.0, None, "{side:?}");
        };
        let (answer, ()) = tokio::join!(get(&proxy), thaw);
        assert_eq!(answer, None, "{side:?}");
        let received = upstream.requests.load(Ordering::Relaxed);
        assert_eq!(received, requests, "{side:?}");
        assert!(get(&proxy).await.is_some());
        let record = proxy.records().pop().unwrap();
        assert_eq!((record.request.number, record.request.life), (3, 2));
        assert_eq!(record.request.point_in_life.ordinal, 1);
    }
}

#[tokio::test]
async fn what_the_last_process_sent_is_lost_however_late_it_is_read() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(upstream.client.clone(), Box::new(|_| Action::Pass)).await;
    proxy.shared.freeze(1);
    // It blocks this thread, so that nothing is accepted yet.
    let mut last = std::net::TcpStream::connect(proxy.address).unwrap();
    let request = format!("GET /{PATH} HTTP/1.1\r\nhost: proxy\r\nconnection: close\r\n\r\n");
    last.write_all(request.as_bytes()).unwrap();
    proxy.thaw().await;
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = String::new();
        last.read_to_string(&mut answer).ok();
        answer
    });
    assert_eq!(answer.await.unwrap(), "");
    assert_eq!(proxy.records()[0].request.life, 1);
    assert_eq!(upstream.requests.load(Ordering::Relaxed), 0);
}
