//! Label selectors in the syntax of kubectl, checked before they are sent to the API server.

use thiserror::Error;

/// A label selector, such as `team=web,env in (test,prod),!legacy`. An empty one selects all objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    text: String,
    sorted: String,
}

/// The text is not a label selector.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no requirement on labels: write such as team=web, team!=web, env in (test,prod), env notin (test), team or !team, separated by commas"
)]
pub struct SelectorError(String);

impl Selector {
    /// The selector as the API server expects it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The selector with its requirements sorted, so that their order makes no difference.
    #[must_use]
    pub fn sorted(&self) -> &str {
        &self.sorted
    }

    /// The labels that it asks for.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let of = |requirement: &str| {
            let text = requirement.strip_prefix('!').unwrap_or(requirement);
            let end = text.find(|c: char| matches!(c, '=' | '!' | '<' | '>') || c.is_whitespace());
            text[..end.unwrap_or(text.len())].to_owned()
        };
        split(&self.text)
            .map(of)
            .filter(|key| !key.is_empty())
            .collect()
    }

    /// Whether it selects all objects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl std::str::FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let requirements: Result<Vec<String>, _> = split(text).map(requirement).collect();
        let mut requirements = requirements?;
        let text = requirements.join(",");
        requirements.sort_unstable();
        let sorted = requirements.join(",");
        Ok(Self { text, sorted })
    }
}

/// Splits at the commas that aren't within parentheses.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |character| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        character == ',' && depth == 0
    })
}

/// Normalises one requirement.
fn requirement(text: &str) -> Result<String, SelectorError> {
    let text = text.trim();
    parse(text).ok_or_else(|| SelectorError(text.to_owned()))
}

fn parse(text: &str) -> Option<String> {
    if let Some(name) = text.strip_prefix('!') {
        return key(name).map(|key| format!("!{key}"));
    }
    if let Some(inner) = text.strip_suffix(')') {
        let (head, values) = inner.split_once('(')?;
        let (name, operator) = head.trim_end().rsplit_once(char::is_whitespace)?;
        let values: Option<Vec<&str>> = values.split(',').map(value).collect();
        let known = matches!(operator, "in" | "notin");
        return known.then_some(format!("{} {operator} ({})", key(name)?, values?.join(",")));
    }
    for operator in ["!=", "==", "="] {
        if let Some((name, wanted)) = text.split_once(operator) {
            let operator = if operator == "!=" { "!=" } else { "=" };
            return Some(format!("{}{operator}{}", key(name)?, value(wanted)?));
        }
    }
    for operator in ['<', '>'] {
        if let Some((name, bound)) = text.split_once(operator) {
            let bound: i64 = bound.trim().parse().ok()?;
            return Some(format!("{}{operator}{bound}", key(name)?));
        }
    }
    key(text).map(str::to_owned)
}

/// Parses a label's key: a name, with a DNS domain and a slash before it if there is one.
fn key(text: &str) -> Option<&str> {
    let text = text.trim();
    let (domain, name) = match text.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, text),
    };
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_domain =
        domain.is_none_or(|domain| domain.len() <= 253 && domain.split('.').all(is_label));
    (is_domain && is_name(name)).then_some(text)
}

/// Parses a label's value, which may be empty.
fn value(text: &str) -> Option<&str> {
    let text = text.trim();
    (text.is_empty() || is_name(text)).then_some(text)
}

fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= 63
        && bytes.iter().all(|byte| inner(*byte))
        && edge(bytes.first())
        && edge(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_of_kubectl_are_accepted() {
        let rows = [
            ("", ""),
            (" ", ""),
            ("team=web", "team=web"),
            (" team == web ", "team=web"),
            ("team!=web", "team!=web"),
            ("team=", "team="),
            ("team", "team"),
            ("!team", "!team"),
            ("example.com/team=Web_1.x", "example.com/team=Web_1.x"),
            (
                "env in (test, prod),team=web,!old",
                "env in (test,prod),team=web,!old",
            ),
            ("env notin (test)", "env notin (test)"),
            ("env in (,test)", "env in (,test)"),
            ("size > 5,size<10", "size>5,size<10"),
        ];
        for (text, expected) in rows {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(selector.as_str(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_labels_that_a_selector_asks_for_are_known() {
        let text = "a/env in (test,prod),team=web,!old,x!=1,y,size>5";
        let selector: Selector = text.parse().unwrap();
        assert_eq!(selector.keys(), ["a/env", "team", "old", "x", "y", "size"]);
        assert!(Selector::default().keys().is_empty());
    }

    #[test]
    fn selectors_that_the_api_server_refuses_are_refused() {
        let long = "x".repeat(64);
        for text in [
            ",",
            "a,",
            "=web",
            "a b",
            "a in",
            "a in test",
            "a in (test",
            "a in test)",
            "a within (test)",
            "a=b=c",
            "a>b",
            "a<",
            "a=(b)",
            "-a",
            "a-=b",
            "a=-b",
            "/a",
            "Example.com/a",
            "a//b",
            "a=b c",
            "a&limit=1",
            "ä=b",
            &long,
        ] {
            assert!(text.parse::<Selector>().is_err(), "{text:?}");
        }
    }
}
