//! Bad answers by the bytes on the wire, which no HTTP server would send.

use serde_json::json;

use super::row::{
    Answer, CREDENTIALS, DENIED, INVALID, NOT_FOUND, REJECTED, RUNNING, Row, THROTTLED,
    UNAVAILABLE, wires,
};
use crate::raw_server::{
    Part::{self, Bytes, Drip, Echo, Flood, Hang, Reset},
    Wire,
};

/// A good answer. Its unknown field must not be in any output.
const TASK: &str = r#"{"state":"running","outputs":"LEAK-000"}"#;
const DENIAL: &str = r#"{"code":"Forbidden.RAM","message":"LEAK-000"}"#;
/// Real gzip of a running task and of the error `Throttling`.
const TASK_IN_GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\x03\x01)\x00\xd6\xff\
    {\"state\":\"running\",\"outputs\":\"LEAK-gzip\"}\x8a)\x11Z)\x00\x00\x00";
const THROTTLING_IN_GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\x03\x01+\x00\xd4\xff\
    {\"code\":\"Throttling\",\"message\":\"LEAK-gzip\"}\xa7<5\x7f+\x00\x00\x00";

pub fn rows() -> Vec<Row> {
    [
        no_connection(),
        broken_off(),
        too_slow(),
        not_http(),
        wrong_heads(),
        wrong_lengths(),
        wrong_chunks(),
        without_end(),
        odd_statuses(),
        other_encodings(),
        errors(),
        echoes(),
        odd_but_good(),
    ]
    .concat()
}

/// An answer with these header lines.
fn answer(status: &str, lines: &str, body: impl AsRef<[u8]>) -> Vec<Part> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nx-leak-LEAK-000: LEAK-000\r\n{lines}content-length: {length}\r\n\r\n"
    );
    vec![Bytes([head.as_bytes(), body].concat())]
}

/// An answer with exactly this head.
fn raw(head: &str, body: impl AsRef<[u8]>) -> Vec<Part> {
    let head = head.replace('\n', "\r\n");
    vec![Bytes(
        [head.as_bytes(), b"\r\n\r\n", body.as_ref()].concat(),
    )]
}

fn text(text: &str) -> Part {
    Bytes(text.as_bytes().to_vec())
}

fn no_connection() -> Vec<Row> {
    let wire = |kind, wire, tls| Row::new(kind, UNAVAILABLE, Answer::Wire(wire, tls));
    let plain = answer("400 Bad Request", "", "LEAK-000 this is plain http");
    vec![
        wire("nothing listens", Wire::Refuse, false),
        wire("closed at once", Wire::Close, false),
        // The endpoint stays https, so these never recover.
        wire("no TLS", Wire::Send(plain), true).that_stays(),
        wire("closed within TLS", Wire::Send(vec![]), true).that_stays(),
        wire("silent within TLS", Wire::Send(vec![Hang]), true).that_stays(),
    ]
}

fn broken_off() -> Vec<Row> {
    wires(
        UNAVAILABLE,
        [
            ("closed instead of an answer", vec![]),
            ("reset instead of an answer", vec![Reset]),
            ("closed within the status", vec![text("HTTP/1.1 20")]),
            (
                "closed within a header",
                vec![text("HTTP/1.1 200 OK\r\nx-leak: LEAK-000")],
            ),
            (
                "reset within a header",
                vec![text("HTTP/1.1 200 OK\r\nx-leak: LEAK-000"), Reset],
            ),
            (
                "reset within the body",
                vec![
                    text("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"LEAK-000\""),
                    Reset,
                ],
            ),
            (
                "reset within a body of unknown length",
                vec![text("HTTP/1.1 200 OK\r\n\r\n{\"LEAK-000\""), Reset],
            ),
        ],
    )
}

fn too_slow() -> Vec<Row> {
    let head = "HTTP/1.1 200 OK\r\nx-leak: LEAK-000\r\ncontent-length: 100\r\n";
    wires(
        UNAVAILABLE,
        [
            ("silence", vec![Hang]),
            ("silence within the head", vec![text(head), Hang]),
            (
                "silence within the body",
                vec![text(head), text("\r\n{\"LEAK-000\""), Hang],
            ),
            (
                "silence after half an error",
                vec![
                    text("HTTP/1.1 503 x\r\ncontent-length: 100\r\n\r\n{\"code\":\"LEAK-000\""),
                    Hang,
                ],
            ),
            ("a head that drips", vec![Drip(head.into())]),
            (
                "a body that drips",
                vec![text(head), text("\r\n"), Drip(vec![b' '; 100])],
            ),
            (
                "interim answers, then silence",
                vec![
                    text("HTTP/1.1 100 Continue\r\nx-leak: LEAK-000\r\n\r\n"),
                    Hang,
                ],
            ),
        ],
    )
}

fn not_http() -> Vec<Row> {
    wires(
        UNAVAILABLE,
        [
            (
                "bytes of no protocol",
                vec![Bytes((0..=255).rev().collect())],
            ),
            ("a greeting of SMTP", vec![text("220 LEAK-000 ESMTP\r\n")]),
            ("a greeting of SSH", vec![text("SSH-2.0-LEAK-000\r\n")]),
            ("HTTP/0.9", vec![text(TASK)]),
            (
                "HTTP/2",
                vec![Bytes(
                    b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64LEAK-000".to_vec(),
                )],
            ),
            (
                "TLS instead of plain HTTP",
                vec![Bytes(b"\x15\x03\x01\0\x02\x02\x46LEAK-000".to_vec())],
            ),
            ("HTTP/3.0", raw("HTTP/3.0 200 OK\ncontent-length: 40", TASK)),
            (
                "HTTP in lower case",
                raw("http/1.1 200 OK\ncontent-length: 40", TASK),
            ),
            ("a status of two digits", raw("HTTP/1.1 20 OK", TASK)),
            ("a status of four digits", raw("HTTP/1.1 2000 OK", TASK)),
            ("a status of letters", raw("HTTP/1.1 LEAK-000 OK", TASK)),
            ("status 000", raw("HTTP/1.1 000 LEAK-000", TASK)),
        ],
    )
}

fn wrong_heads() -> Vec<Row> {
    let many = "x-leak: LEAK-000\r\n".repeat(1000);
    let large = format!("x-leak: {}\r\n", "LEAK-000".repeat(125_000));
    let name = format!("x-{}: 1\r\n", "LEAK-000".repeat(9000));
    wires(
        UNAVAILABLE,
        [
            ("1,000 headers", answer("200 OK", &many, TASK)),
            ("a header of 1 MB", answer("200 OK", &large, TASK)),
            ("a header's name of 70 kB", answer("200 OK", &name, TASK)),
            (
                "a header without a colon",
                answer("200 OK", "LEAK-000\r\n", TASK),
            ),
            (
                "a header without a name",
                answer("200 OK", ": LEAK-000\r\n", TASK),
            ),
            (
                "a blank in a header's name",
                answer("200 OK", "x leak: LEAK-000\r\n", TASK),
            ),
            (
                "a zero byte in a header",
                answer("200 OK", "x-leak: LEAK-000\0\r\n", TASK),
            ),
            (
                "a header over two lines",
                answer("200 OK", "x-leak: a\r\n LEAK-000\r\n", TASK),
            ),
            (
                "a lone return in a header",
                answer("200 OK", "x-leak: a\rLEAK-000\r\n", TASK),
            ),
            (
                "control characters in the status",
                raw("HTTP/1.1 200 \u{1b}[31mLEAK-000", TASK),
            ),
        ],
    )
}

fn wrong_lengths() -> Vec<Row> {
    let claim = |length: &str| raw(&format!("HTTP/1.1 200 OK\ncontent-length: {length}"), TASK);
    let short = raw("HTTP/1.1 200 OK\ncontent-length: 30", TASK);
    let bad = wires(
        UNAVAILABLE,
        [
            ("a length that is too long", claim("100")),
            ("a length of 16 EiB", claim("18446744073709551615")),
            ("a length of all but 16 EiB", claim("18446744073709551613")),
            (
                "a length of more than fits",
                claim("99999999999999999999999"),
            ),
            ("a length below nothing", claim("-1")),
            ("a length of nothing", claim("")),
            ("a length in hexadecimal", claim("0x28")),
            ("a length in letters", claim("LEAK-000")),
            ("two lengths in one", claim("40, 41")),
            ("two lengths", claim("40\ncontent-length: 41")),
        ],
    );
    [bad, wires(INVALID, [("a length that is too short", short)])].concat()
}

fn wrong_chunks() -> Vec<Row> {
    let chunked = |body: &str| raw("HTTP/1.1 200 OK\ntransfer-encoding: chunked", body);
    let old = raw(
        "HTTP/1.0 200 OK\ntransfer-encoding: chunked",
        "28\r\nLEAK-000",
    );
    let extension = format!("28;{}\r\n", "LEAK-000".repeat(10_000));
    let trailers = format!(
        "28\r\n{TASK}\r\n0\r\n{}",
        "x-leak: LEAK-000\r\n".repeat(10_000)
    );
    wires(
        UNAVAILABLE,
        [
            ("a chunk's size in letters", chunked("LEAK-000\r\n")),
            ("a chunk's size of nothing", chunked("\r\nLEAK-000\r\n")),
            (
                "a chunk's size of more than fits",
                chunked("fffffffffffffffff\r\nLEAK-000"),
            ),
            (
                "a chunk's size below nothing",
                chunked("-8\r\nLEAK-000\r\n0\r\n\r\n"),
            ),
            ("a chunk cut short", chunked("28\r\n{\"LEAK-000\"")),
            (
                "a chunk longer than its size",
                chunked("8\r\nLEAK-000LEAK-000\r\n0\r\n\r\n"),
            ),
            (
                "chunks without the last",
                chunked(&format!("28\r\n{TASK}\r\n")),
            ),
            ("a chunk's extension of 80 kB", chunked(&extension)),
            ("10,000 trailers", chunked(&trailers)),
            ("chunks in HTTP/1.0", old),
        ],
    )
}

/// Answers that never end.
fn without_end() -> Vec<Row> {
    let flood = |text: &str| Flood(text.repeat(64 * 1024 / text.len()).into_bytes());
    let interim = "HTTP/1.1 103 Early Hints\r\nx-leak: LEAK-000\r\n\r\n";
    let chunked = text("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("1000\r\n{}\r\n", "LEAK-000".repeat(512));
    let bad = wires(
        UNAVAILABLE,
        [
            (
                "headers without an end",
                vec![text("HTTP/1.1 200 OK\r\n"), flood("x-leak: LEAK-000\r\n")],
            ),
            (
                "a header without an end",
                vec![text("HTTP/1.1 200 OK\r\nx: "), flood("LEAK-000")],
            ),
            (
                "a reason without an end",
                vec![text("HTTP/1.1 200 "), flood("LEAK-000")],
            ),
            (
                "interim answers without an end",
                vec![Flood(interim.repeat(100).into())],
            ),
            (
                "a chunk's extension without an end",
                vec![chunked.clone(), text("28;"), flood("LEAK-000")],
            ),
            (
                "trailers without an end",
                vec![chunked.clone(), text("0\r\n"), flood("x: LEAK-000\r\n")],
            ),
        ],
    );
    let large = wires(
        INVALID,
        [
            ("chunks without an end", vec![chunked, flood(&chunk)]),
            (
                "a body without an end or a length",
                vec![text("HTTP/1.1 200 OK\r\n\r\n"), flood("LEAK-000")],
            ),
        ],
    );
    [bad, large].concat()
}

fn odd_statuses() -> Vec<Row> {
    let upgrade = "HTTP/1.1 101 Switching Protocols\nconnection: upgrade\nupgrade: LEAK-000";
    let invalid = wires(
        INVALID,
        [
            ("101", raw(upgrade, TASK)),
            ("600", answer("600 LEAK-000", "", TASK)),
            ("999", answer("999 LEAK-000", "", TASK)),
            ("204 with a body", answer("204 LEAK-000", "", TASK)),
            ("304 with a body", answer("304 LEAK-000", "", TASK)),
        ],
    );
    let reason = "503 LEAK-000 \u{ff}\u{fe}";
    let unavailable = wires(
        UNAVAILABLE,
        [("a reason in odd letters", answer(reason, "", ""))],
    );
    [invalid, unavailable].concat()
}

fn other_encodings() -> Vec<Row> {
    let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    };
    let little = utf16(&format!("\u{feff}{TASK}"), u16::to_le_bytes);
    let big = utf16(TASK, u16::to_be_bytes);
    let latin = b"{\"state\":\"running\",\"outputs\":\"LEAK-000 \xe9\"}";
    let overlong = b"{\"state\":\"running\",\"outputs\":\"LEAK-000 \xc0\xaf\"}";
    let gzip = "content-encoding: gzip\r\n";
    wires(
        INVALID,
        [
            ("UTF-16", answer("200 OK", "", little)),
            ("UTF-16 from the other end", answer("200 OK", "", big)),
            ("Latin-1", answer("200 OK", "", latin)),
            ("UTF-8 that is too long", answer("200 OK", "", overlong)),
            (
                "gzip that was not requested",
                answer("200 OK", gzip, TASK_IN_GZIP),
            ),
            ("gzip without a header", answer("200 OK", "", TASK_IN_GZIP)),
        ],
    )
}

fn errors() -> Vec<Row> {
    let retry = |value: &str| answer("429 x", &format!("retry-after: {value}\r\n"), "LEAK-000");
    let gzip = "content-encoding: gzip\r\n";
    let throttled = wires(
        THROTTLED,
        [
            ("Retry-After in odd letters", retry("\u{e9}")),
            ("two of Retry-After", retry("LEAK-000\r\nretry-after: 300")),
            (
                "Retry-After of 10,000 letters",
                retry(&"LEAK-000".repeat(1250)),
            ),
        ],
    );
    let rejected = wires(
        REJECTED,
        [
            (
                "an error in Latin-1",
                answer("400 x", "", b"{\"code\":\"LEAK-000 \xe9\"}"),
            ),
            (
                "an error in gzip",
                answer("400 x", gzip, THROTTLING_IN_GZIP),
            ),
        ],
    );
    let chunked = "HTTP/1.1 403 x\ntransfer-encoding: chunked";
    let trailer = format!(
        "{:x}\r\n{DENIAL}\r\n0\r\nx-leak: LEAK-000\r\n\r\n",
        DENIAL.len()
    );
    let denied = wires(
        DENIED,
        [("a trailer after an error", raw(chunked, trailer))],
    );
    let large = format!("x-leak: {}\r\n", "LEAK-000".repeat(12_500));
    let missing = wires(
        NOT_FOUND,
        [("404 with a header of 100 kB", answer("404 x", &large, ""))],
    );
    [throttled, rejected, denied, missing].concat()
}

/// Errors with an incomplete body. Where the missing error code would decide, they count as no answer.
pub fn broken_errors() -> Vec<Row> {
    let half = |status: &str| {
        text(&format!(
            "HTTP/1.1 {status} x\r\ncontent-length: 100\r\n\r\n{{\"code\":\"LEAK-000"
        ))
    };
    let chunked = raw("HTTP/1.1 400 x\ntransfer-encoding: chunked", "LEAK-000");
    let padding = "LEAK-000".repeat(10_000);
    let large = format!(r#"{{"code":"Throttling","message":"{padding}"}}"#);
    let unavailable = wires(
        UNAVAILABLE,
        [
            ("400 cut short", vec![half("400")]),
            ("401 cut short", vec![half("401")]),
            ("403 cut short", vec![half("403")]),
            ("404 cut short", vec![half("404")]),
            ("503 cut short", vec![half("503")]),
            ("400, then a reset", vec![half("400"), Reset]),
            ("400, then silence", vec![half("400"), Hang]),
            ("404, then silence", vec![half("404"), Hang]),
            ("400 in wrong chunks", chunked),
        ],
    );
    let throttled = wires(
        THROTTLED,
        [
            ("429 cut short", vec![half("429")]),
            ("429, then silence", vec![half("429"), Hang]),
            ("400 Throttling in 80 kB", answer("400 x", "", large)),
        ],
    );
    let invalid = wires(
        INVALID,
        [
            ("201 cut short", vec![half("201")]),
            ("302, then silence", vec![half("302"), Hang]),
        ],
    );
    [unavailable, throttled, invalid].concat()
}

/// Answers that echo the request with its signature and token.
fn echoes() -> Vec<Row> {
    let body = |status: &str| vec![text(&format!("HTTP/1.1 {status}\r\n\r\n")), Echo];
    let headers = |status: &str| vec![text(&format!("HTTP/1.1 {status}\r\nx-echo: ")), Echo];
    let quoted = |status: &str| {
        let head = format!("HTTP/1.1 {status}\r\n\r\n{{\"code\":\"");
        vec![text(&head), Echo, text("\"}")]
    };
    [
        wires(
            INVALID,
            [("the request as the answer's body", body("200 OK"))],
        ),
        wires(
            RUNNING,
            [(
                "the request as headers of a task",
                [headers("200 OK"), vec![text(TASK)]].concat(),
            )],
        ),
        wires(
            DENIED,
            [
                ("the request as an error's body", body("403 x")),
                ("the request as an error's headers", headers("403 x")),
                ("the request as an error's code", quoted("403 x")),
            ],
        ),
        wires(
            CREDENTIALS,
            [(
                "the request as a challenge",
                vec![text("HTTP/1.1 401 x\r\nwww-authenticate: "), Echo],
            )],
        ),
    ]
    .concat()
}

/// Answers that are odd, but describe the task.
fn odd_but_good() -> Vec<Row> {
    let large = format!("x-leak: {}\r\n", "LEAK-000".repeat(12_500));
    let interim = "HTTP/1.1 102 Processing\r\nx-leak: LEAK-000\r\n\r\n".repeat(1000);
    let chunked = "HTTP/1.1 200 OK\ntransfer-encoding: chunked\ncontent-length: 7";
    let chunks = format!("28;x=LEAK-000\r\n{TASK}\r\n0\r\nx-leak: LEAK-000\r\n\r\n");
    wires(
        RUNNING,
        [
            (
                "HTTP/1.0 without a length",
                raw("HTTP/1.0 200 OK\nx-leak: LEAK-000", TASK),
            ),
            ("a header of 100 kB", answer("200 OK", &large, TASK)),
            (
                "1,000 interim answers",
                [vec![text(&interim)], answer("200 OK", "", TASK)].concat(),
            ),
            (
                "chunks with extension, trailer and length",
                raw(chunked, chunks),
            ),
            (
                "the same length twice",
                answer("200 OK", "content-length: 40\r\n", TASK),
            ),
            (
                "more bytes than the length",
                [answer("200 OK", "", TASK), vec![text("LEAK-000")]].concat(),
            ),
            ("no reason", raw("HTTP/1.1 200\ncontent-length: 40", TASK)),
            (
                "lines without returns",
                vec![text(&format!("HTTP/1.1 200 OK\nx: LEAK-000\n\n{TASK}"))],
            ),
            (
                "an encoding that isn't true",
                answer("200 OK", "content-encoding: br\r\n", TASK),
            ),
            (
                "a transfer encoding of its own",
                raw("HTTP/1.1 200 OK\ntransfer-encoding: LEAK-000", TASK),
            ),
        ],
    )
    .into_iter()
    .map(|row| row.showing(json!({ "state": "running", "taskResult": null })))
    .collect()
}
