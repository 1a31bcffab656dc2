//! Bounding texts of others.

/// The first `max` characters of `text`.
#[must_use]
pub fn first_chars(text: &str, max: usize) -> &str {
    match text.char_indices().nth(max) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
