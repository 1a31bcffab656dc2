//! Texts on a terminal: their width, cut to it, and without what would move the cursor.

use scaleouttask_controller::rules::shown;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const CUT: &str = "..";

/// How many columns a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text without characters that would move the cursor, break the line or turn the text around.
pub fn clean(text: &str) -> String {
    shown(text, usize::MAX)
}

/// The text without the escape sequences of colours.
pub fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once('m').map_or("", |(_, rest)| rest)
    })
}

/// The text, cut to that many columns. What is cut ends with two dots, where there is room for them.
pub fn cut(text: &str, max: usize) -> String {
    if width(text) <= max {
        return text.to_owned();
    }
    if max < 2 * CUT.len() {
        return first_columns(text, max).to_owned();
    }
    format!("{}{CUT}", first_columns(text, max - CUT.len()))
}

/// The same with the cut in the middle: names that are made of IDs differ at their end.
pub fn cut_middle(text: &str, max: usize) -> String {
    if width(text) <= max || max < 4 * CUT.len() {
        return cut(text, max);
    }
    let head = first_columns(text, (max - CUT.len()).div_ceil(2));
    let room = max - CUT.len() - width(head);
    let mut starts = text.char_indices().map(|(start, _)| start);
    let tail = starts.find(|start| width(&text[*start..]) <= room);
    format!("{head}{CUT}{}", tail.map_or("", |start| &text[start..]))
}

/// As much of the text as fits; a wide character that doesn't fit is left out.
fn first_columns(text: &str, max: usize) -> &str {
    let mut end = 0;
    for (at, c) in text.char_indices() {
        let next = at + c.len_utf8();
        // Of the whole, as some characters join.
        if width(&text[..next]) > max && c.width() != Some(0) {
            break;
        }
        if width(&text[..next]) <= max {
            end = next;
        }
    }
    &text[..end]
}

/// Cut or filled up with blanks to exactly that many columns.
pub fn fit(text: &str, columns: usize) -> String {
    let mut fitted = cut(text, columns);
    let missing = columns - width(&fitted).min(columns);
    fitted.extend(std::iter::repeat_n(' ', missing));
    fitted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_cut_by_columns() {
        for (text, max, wanted) in [
            ("web-pool", 8, "web-pool"),
            ("web-pool", 7, "web-p.."),
            ("web-pool", 3, "web"),
            ("web-pool", 0, ""),
            ("正在加入节点", 12, "正在加入节点"),
            ("正在加入节点", 11, "正在加入.."),
            ("正在加入节点", 8, "正在加.."),
            ("正在加入节点", 3, "正"),
        ] {
            assert_eq!(cut(text, max), wanted, "{text} in {max}");
        }
        for (max, wanted) in [
            (38, "scaleout-system/t-6764d027be846d013100"),
            (20, "scaleout-..46d013100"),
            (8, "sca..100"),
            (7, "scale.."),
        ] {
            let name = "scaleout-system/t-6764d027be846d013100";
            assert_eq!(cut_middle(name, max), wanted, "{max}");
        }
        assert_eq!(cut_middle("web-pool", 8), "web-pool");
        assert_eq!(fit("正在", 5), "正在 ");
        assert_eq!(fit("正在", 3), "正 ");
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d"), "a [2Jb c d");
    }

    proptest! {
        #[test]
        fn no_text_takes_more_columns_than_it_may(text in ".{0,60}|[正加入a-z]{0,40}", max in 0_usize..80) {
            prop_assert!(width(&cut(&clean(&text), max)) <= max);
            prop_assert_eq!(width(&fit(&clean(&text), max)), max);
        }
    }
}
