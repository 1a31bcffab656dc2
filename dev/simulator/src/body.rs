//! Writes bodies in the two formats of the API, with the spacing of its samples.

use std::fmt::Write as _;

use serde_json::Value;

/// A value whose fields keep their order.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Text(String),
    /// A number, a boolean or null.
    Literal(String),
    List(Vec<Node>),
    Object(Fields),
}

pub(crate) type Fields = Vec<(String, Node)>;

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&Value> for Node {
    fn from(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(values) => Self::List(values.iter().map(Self::from).collect()),
            Value::Object(fields) => Self::Object(
                fields
                    .iter()
                    .map(|(name, value)| (name.clone(), Self::from(value)))
                    .collect(),
            ),
            literal => Self::Literal(literal.to_string()),
        }
    }
}

pub(crate) fn object<const N: usize>(fields: [(&str, Node); N]) -> Node {
    Node::Object(fields.map(|(name, node)| (name.to_owned(), node)).into())
}

/// Writes JSON with the spacing of the API's sample: `"name" : "value"`, `[ {` and `} ]` on one line.
pub(crate) fn json(fields: &Fields) -> String {
    let mut text = String::new();
    json_object(fields, 0, &mut text);
    text.push('\n');
    text
}

fn json_object(fields: &Fields, depth: usize, text: &mut String) {
    text.push('{');
    for (position, (name, node)) in fields.iter().enumerate() {
        let comma = if position == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\n{:1$}", "", 2 * depth + 2);
        let _ = write!(text, "{} : ", quoted(name));
        json_node(node, depth + 1, text);
    }
    let _ = write!(text, "\n{:1$}}}", "", 2 * depth);
}

fn json_node(node: &Node, depth: usize, text: &mut String) {
    match node {
        Node::Text(value) => text.push_str(&quoted(value)),
        Node::Literal(value) => text.push_str(value),
        Node::Object(fields) => json_object(fields, depth, text),
        Node::List(nodes) if nodes.is_empty() => text.push_str("[ ]"),
        Node::List(nodes) => {
            for (position, node) in nodes.iter().enumerate() {
                text.push_str(if position == 0 { "[ " } else { ", " });
                json_node(node, depth, text);
            }
            text.push_str(" ]");
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Writes XML without a root element. A list is its element, repeated.
pub(crate) fn xml(fields: &Fields) -> String {
    let mut text = String::new();
    xml_fields(fields, 0, &mut text);
    text
}

fn xml_fields(fields: &Fields, depth: usize, text: &mut String) {
    for (name, node) in fields {
        xml_element(name, node, depth, text);
    }
}

fn xml_element(name: &str, node: &Node, depth: usize, text: &mut String) {
    let indent = 4 * depth;
    match node {
        Node::List(nodes) => nodes
            .iter()
            .for_each(|node| xml_element(name, node, depth, text)),
        Node::Text(value) | Node::Literal(value) => {
            let _ = writeln!(text, "{:indent$}<{name}>{}</{name}>", "", escaped(value));
        }
        Node::Object(fields) => {
            let _ = writeln!(text, "{:indent$}<{name}>", "");
            xml_fields(fields, depth + 1, text);
            let _ = writeln!(text, "{:indent$}</{name}>", "");
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_valid_for_all_values() {
        let value = serde_json::json!({
            "a": "quote \" and \\ and \n", "b": [], "c": [1, [true, null], {"d": {}}], "e": 0.5,
        });
        let Node::Object(fields) = Node::from(&value) else {
            unreachable!()
        };
        assert_eq!(
            serde_json::from_str::<Value>(&json(&fields)).unwrap(),
            value
        );
    }

    #[test]
    fn xml_repeats_lists_and_escapes_text() {
        let value = serde_json::json!({"a": [{"b": "<&>"}, {"b": 2}], "c": []});
        let Node::Object(fields) = Node::from(&value) else {
            unreachable!()
        };
        let expected = "<a>\n    <b>&lt;&amp;&gt;</b>\n</a>\n<a>\n    <b>2</b>\n</a>\n";
        assert_eq!(xml(&fields), expected);
    }
}
