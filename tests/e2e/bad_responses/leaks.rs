//! Searches texts for what must not be in them.

/// The credentials that calls are signed with.
pub const KEY_ID: &str = "LTAI5tCanaryOfTheKeyId";
pub const KEY_SECRET: &str = "canary-of-the-secret-7Q2m";
pub const TOKEN: &str = "canary-of-the-token-9Zx4";

/// Texts that must not be in any output: the marks of all rows, the credentials, and parts of the
/// `Authorization` header.
const FORBIDDEN: [&str; 6] = [
    "LEAK-",
    KEY_ID,
    KEY_SECRET,
    TOKEN,
    "Credential=",
    "Signature=",
];
/// How much of the text around a leak is reported.
const AROUND: usize = 300;

/// Each leak in a text, with the text around it. Repeats are reported once.
pub fn leaks(place: &str, text: &str) -> Vec<String> {
    let plain = plain(text);
    let mut found = Vec::new();
    for needle in FORBIDDEN.iter().flat_map(|needle| encodings(needle)) {
        if let Some(at) = plain.find(&needle) {
            let from = plain.floor_char_boundary(at.saturating_sub(AROUND));
            let to = plain.ceil_char_boundary((at + AROUND).min(plain.len()));
            let times = plain.matches(&needle).count();
            found.push(format!(
                "{needle:?}, {times} times in {place}: …{}…",
                &plain[from..to]
            ));
        }
    }
    found
}

/// The text in lower case and without the zero bytes of UTF-16, raw or escaped.
fn plain(text: &str) -> String {
    let mut text = text.to_ascii_lowercase();
    for zero in ["\0", "\\u{0}", "\\u0000", "\\x00", "\\0"] {
        if text.contains(zero) {
            text = text.replace(zero, "");
        }
    }
    text
}

/// The forms in which a text may leak: as it is, as a list of bytes, in hexadecimal.
fn encodings(needle: &str) -> [String; 3] {
    let list = format!("{:?}", needle.as_bytes());
    let hex = needle.bytes().map(|byte| format!("{byte:02x}"));
    [
        needle.to_ascii_lowercase(),
        list.trim_matches(['[', ']']).to_owned(),
        hex.collect(),
    ]
}
