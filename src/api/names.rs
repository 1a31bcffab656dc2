//! What objects that are made of tasks are called.

use reqsign_core::hash::hex_sha256;

/// The longest name, in characters. The API server takes 253.
const NAME_MAX: usize = 200;
/// The longest value of a label.
const LABEL_MAX: usize = 63;
const HASH_DIGITS: usize = 8;
/// The longest ID that a `ScaleOutTask` can have.
pub const TASK_ID_MAX: usize = 128;

/// Whether a `ScaleOutTask` can have that `taskId`: the rule of its CRD.
#[must_use]
pub fn is_task_id(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= TASK_ID_MAX
        && text
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(is_inner)
}

/// The name of the object of that task: its ID in lower case where that is a name, else what is left of it and a
/// hash.
#[must_use]
pub fn object_name(task_id: &str) -> String {
    let name = task_id.to_ascii_lowercase();
    let is_name = !name.is_empty() && name.len() <= NAME_MAX && name_part(&name) == name;
    if is_name {
        return name;
    }
    name_with_hash(task_id)
}

/// The name where another task's object has that of [`object_name`].
#[must_use]
pub fn name_with_hash(task_id: &str) -> String {
    let part = name_part(&task_id.to_ascii_lowercase());
    hashed(&part, NAME_MAX, task_id)
}

/// A label's value: the text where it is one, else what is left of it and a hash.
#[must_use]
pub fn label_value(text: &str) -> String {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let part: String = text.chars().filter(|c| is_inner(*c)).collect();
    let part = part.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if part == text && text.len() <= LABEL_MAX {
        return text.to_owned();
    }
    hashed(part, LABEL_MAX, text)
}

/// What of a text can stand in a name: between dots, letters, digits and inner dashes.
fn name_part(text: &str) -> String {
    let is_inner = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
    let labels = text.split('.').map(|label| -> String {
        let label: String = label.chars().filter(is_inner).collect();
        label.trim_matches('-').to_owned()
    });
    let labels: Vec<String> = labels.filter(|label| !label.is_empty()).collect();
    labels.join(".")
}

fn hashed(part: &str, max: usize, whole: &str) -> String {
    let hash = &hex_sha256(whole.as_bytes())[..HASH_DIGITS];
    let part = &part[..part.floor_char_boundary(max - HASH_DIGITS - 1)];
    let part = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    if part.is_empty() {
        return hash.to_owned();
    }
    format!("{part}-{hash}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_the_id_in_lower_case_or_what_is_left_of_it_and_a_hash() {
        // The digits are those of sha256sum.
        for (id, name) in [
            ("T-6764d027be846d01310006b1", "t-6764d027be846d01310006b1"),
            ("install-addons-c3xxxxxx", "install-addons-c3xxxxxx"),
            ("a.b-c", "a.b-c"),
            ("A_b", "ab-08eb65ad"),
            ("a..b", "a.b-f62b4241"),
            ("a-", "a-9baf4407"),
            ("", "e3b0c442"),
        ] {
            assert_eq!(object_name(id), name, "{id}");
        }
        assert_eq!(object_name(&"a".repeat(200)), "a".repeat(200));
        assert_eq!(object_name(&"a".repeat(201)).len(), 200);
        assert_eq!(object_name("t-1"), object_name("T-1"));
        assert_ne!(name_with_hash("t-1"), name_with_hash("T-1"));
    }

    #[test]
    fn only_what_the_crd_takes_is_the_id_of_a_task() {
        for (text, is_id) in [
            ("T-1", true),
            ("a_b.c-", true),
            ("", false),
            ("-a", false),
            ("a b", false),
            ("ä", false),
            (&"a".repeat(128), true),
            (&"a".repeat(129), false),
        ] {
            assert_eq!(is_task_id(text), is_id, "{text}");
        }
    }

    fn is_name(name: &str) -> bool {
        let is_label = |label: &str| {
            let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let ends = [label.bytes().next(), label.bytes().last()];
            ends.iter().all(|end| end.is_some_and(alphanumeric))
                && label.bytes().all(|byte| alphanumeric(byte) || byte == b'-')
        };
        name.len() <= NAME_MAX && name.split('.').all(is_label)
    }

    fn is_label(value: &str) -> bool {
        let ends = [value.bytes().next(), value.bytes().last()];
        value.len() <= LABEL_MAX
            && ends.iter().flatten().all(u8::is_ascii_alphanumeric)
            && value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    }

    proptest! {
        #[test]
        fn every_name_and_label_is_valid(text in "[A-Za-z0-9._-]{1,300}|.*") {
            prop_assert!(is_name(&object_name(&text)), "{}", object_name(&text));
            prop_assert!(is_name(&name_with_hash(&text)), "{}", name_with_hash(&text));
            prop_assert!(is_label(&label_value(&text)), "{}", label_value(&text));
        }

        #[test]
        fn ids_that_differ_in_more_than_case_have_other_names(
            one in "[A-Za-z0-9][A-Za-z0-9._-]{0,20}", other in "[A-Za-z0-9][A-Za-z0-9._-]{0,20}",
        ) {
            prop_assume!(!one.eq_ignore_ascii_case(&other));
            prop_assert_ne!(object_name(&one), object_name(&other));
        }
    }
}
