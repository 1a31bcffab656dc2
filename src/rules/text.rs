//! Bounding and cleaning texts of others.

/// The first `max` characters of `text`.
#[must_use]
pub fn first_chars(text: &str, max: usize) -> &str {
    match text.char_indices().nth(max) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// Cuts a text of more than `max` characters to one more: what is too long stays too long, and never becomes equal to
/// what it isn't.
pub fn shorten(text: &mut String, max: usize) {
    if text.len() > max && first_chars(text, max).len() < text.len() {
        *text = first_chars(text, max).to_owned() + "\u{2026}";
    }
}

/// The first `max` characters of `text`, with a blank for each that would forge lines or turn text
/// around in a log or a terminal.
#[must_use]
pub fn shown(text: &str, max: usize) -> String {
    // Nearly all are short and plain.
    if text.len() <= max && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let shown = |c: char| if is_harmful(c) { ' ' } else { c };
    text.chars().take(max).map(shown).collect()
}

/// Control characters, line ends, and what Unicode calls bidirectional formatting (UAX 9).
fn is_harmful(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}
