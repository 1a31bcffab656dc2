//! A simple HTTP client that shows what it received, even if it is broken.
#![allow(
    dead_code,
    reason = "every test file compiles its own copy and uses a part of it"
)]

use std::{
    fmt::Write as _,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use simulator::{Script, Simulator};

/// How long a test waits at most.
pub const LIMIT: Duration = Duration::from_secs(10);

/// A received answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// Whether the body has the length in `Content-Length`.
    pub whole: bool,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    pub fn state(&self) -> String {
        self.json()["state"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (this, value) = line.split_once(": ")?;
            this.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

pub fn start(script: &str) -> Simulator {
    let script: Script = script.parse().unwrap_or_else(|error| panic!("{error}"));
    Simulator::start(script).unwrap()
}

/// Sends a request and returns the connection.
pub fn send_request(
    simulator: &Simulator,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: &str,
) -> TcpStream {
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name == "host") {
        text.push_str("Host: localhost\r\n");
    }
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut stream = TcpStream::connect(simulator.address()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// Reads until the connection ends.
pub fn answer(mut stream: TcpStream) -> Result<Answer, ErrorKind> {
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .map_err(|error| error.kind())?;
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let split = split.ok_or(ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    let status = head[9..12].parse().unwrap();
    let mut answer = Answer {
        status,
        head,
        body: bytes[split + 4..].to_vec(),
        whole: true,
    };
    let promised = answer
        .header("content-length")
        .map(|length| length.parse::<usize>().unwrap());
    answer.whole = promised.is_none_or(|length| length == answer.body.len());
    Ok(answer)
}

pub fn get(simulator: &Simulator, path: &str) -> Answer {
    answer(send_request(simulator, "GET", path, &[], "")).unwrap()
}

pub fn task(simulator: &Simulator, id: &str) -> Answer {
    get(simulator, &format!("/tasks/{id}"))
}

/// A page of a cluster's list.
pub fn list(simulator: &Simulator, cluster_id: &str, query: &str) -> Answer {
    get(simulator, &format!("/clusters/{cluster_id}/tasks?{query}"))
}

/// Waits until `holds` returns true, or fails after [`LIMIT`].
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
