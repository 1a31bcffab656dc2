//! XML without a root element, as the JSON that says the same.

use quick_xml::{Reader, escape::resolve_xml_entity, events::Event};
use serde_json::{Map, Value};

/// Elements within each other. The API has five.
const DEPTH_MAX: usize = 32;
/// Elements in a body: each may take a KiB. 1 MiB has room for 13,000 instances of three elements.
const ELEMENTS_MAX: usize = 40_000;
/// Where text stands beside elements.
const TEXT: &str = "$text";

/// An element that isn't closed yet.
#[derive(Default)]
struct Element {
    name: String,
    children: Map<String, Value>,
    text: String,
}

/// The elements as members of one object: an element with elements in it is an object, one with text
/// a string, an empty one null; what repeats is an array. Attributes don't count. None if it isn't
/// XML, refers to entities of its own, or is too deep or too long.
pub fn json_of(text: &str) -> Option<Value> {
    let mut reader = Reader::from_str(text);
    let mut open = vec![Element::default()];
    let mut elements = 0;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                elements += 1;
                if open.len() > DEPTH_MAX || elements > ELEMENTS_MAX {
                    return None;
                }
                open.push(Element::named(start.name().0));
            }
            Event::Empty(start) => {
                elements += 1;
                if elements > ELEMENTS_MAX {
                    return None;
                }
                let empty = Element::named(start.name().0);
                open.last_mut()?.add(empty);
            }
            Event::End(_) => {
                let closed = open.pop()?;
                open.last_mut()?.add(closed);
            }
            Event::Text(text) => open.last_mut()?.text += &text.xml10_content(),
            Event::CData(text) => open.last_mut()?.text += &text.xml10_content(),
            Event::GeneralRef(reference) => {
                let element = open.last_mut()?;
                match reference.resolve_char_ref().ok()? {
                    Some(char) => element.text.push(char),
                    None => element.text += resolve_xml_entity(&reference)?,
                }
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => break,
        }
    }
    let root = open.pop().filter(|_| open.is_empty())?;
    Some(Value::Object(root.children))
}

impl Element {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    fn add(&mut self, closed: Self) {
        let Self {
            name,
            mut children,
            text,
        } = closed;
        let has_text = !text.trim().is_empty();
        let value = match (children.is_empty(), has_text) {
            (true, true) => Value::String(text),
            (true, false) => Value::Null,
            (false, true) => {
                children.insert(TEXT.to_owned(), Value::String(text));
                Value::Object(children)
            }
            (false, false) => Value::Object(children),
        };
        match self.children.get_mut(&name) {
            None => drop(self.children.insert(name, value)),
            Some(Value::Array(all)) => all.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_become_what_json_would_have() {
        let rows = [
            ("", json!({})),
            ("<a/>", json!({ "a": null })),
            ("<a> </a>", json!({ "a": null })),
            (
                "<a>1 &lt; &#50;</a><b><![CDATA[<c>]]></b>",
                json!({ "a": "1 < 2", "b": "<c>" }),
            ),
            (
                "<a>1</a><b>2</b><a>3</a><a/>",
                json!({ "a": ["1", "3", null], "b": "2" }),
            ),
            ("<a>\n<b c='d'>1</b>\n</a>", json!({ "a": { "b": "1" } })),
            (
                "<a>x<b>1</b></a>",
                json!({ "a": { "b": "1", "$text": "x" } }),
            ),
        ];
        for (xml, json) in rows {
            assert_eq!(json_of(xml), Some(json), "{xml}");
        }
    }

    #[test]
    fn what_is_not_xml_or_has_no_end_in_sight_is_nothing() {
        let deep = "<a>".repeat(40) + &"</a>".repeat(40);
        let long = "<a/>".repeat(ELEMENTS_MAX + 1);
        for xml in [
            "<a>",
            "</a>",
            "<a></b>",
            "&own;",
            "<a>&#x110000;</a>",
            &deep,
            &long,
        ] {
            assert_eq!(json_of(xml), None, "{}", &xml[..xml.len().min(40)]);
        }
    }
}
