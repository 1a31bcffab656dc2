//! Fields that no decision depends on: whatever type the API sends, the rest of the body counts.

use std::{fmt, marker::PhantomData};

use k8s_openapi::jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// How many objects of a list are collected before it is bounded.
const COLLECTED_MAX: usize = 256;

/// A value of any type.
#[derive(Debug, Default)]
pub enum Any<T> {
    Text(String),
    Number(i64),
    Object(T),
    /// The objects of an array.
    List(Vec<T>),
    #[default]
    Other,
}

/// An object in a list that is bounded while it is read: a body could be full of it.
pub trait Bounded: Sized {
    /// Drops what nobody would see.
    fn bound(_: &mut Vec<Self>) {}
}

impl Bounded for IgnoredAny {}

/// A text, or none where the API sends another type.
pub type AnyText = Any<IgnoredAny>;

impl<T> Any<T> {
    /// The text.
    pub fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The time that many milliseconds after 1970, as a number or its text.
    pub fn millis(&self) -> Option<Timestamp> {
        let millis = match self {
            Self::Text(text) => text.trim().parse().ok()?,
            Self::Number(number) => *number,
            _ => return None,
        };
        let time = Timestamp::from_millisecond(millis).ok();
        time.filter(|time| time.as_millisecond() >= 0)
    }

    /// The object.
    pub fn object(self) -> Option<T> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The objects of an array, or the one that stands alone.
    pub fn list(self) -> Vec<T> {
        match self {
            Self::Object(object) => vec![object],
            Self::List(objects) => objects,
            _ => Vec::new(),
        }
    }
}

impl<'de, T: Deserialize<'de> + Bounded> Deserialize<'de> for Any<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor(PhantomData))
    }
}

struct AnyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Bounded> Visitor<'de> for AnyVisitor<T> {
    type Value = Any<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Any<T>, E> {
        Ok(Any::Text(text.to_owned()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Any<T>, E> {
        Ok(Any::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Any<T>, E> {
        Ok(i64::try_from(number).map_or(Any::Other, Any::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Any<T>, E> {
        Ok(Any::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Any<T>, E> {
        Ok(Any::Other)
    }

    fn visit_unit<E>(self) -> Result<Any<T>, E> {
        Ok(Any::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Any<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Any::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Any<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element::<Any<T>>()? {
            all.extend(one.object());
            if all.len() >= COLLECTED_MAX {
                T::bound(&mut all);
            }
        }
        T::bound(&mut all);
        Ok(Any::List(all))
    }
}
