//! Which object it is, and which version of it: in little memory, for clusters have tens of
//! thousands.

use std::fmt;

use uuid::Uuid;

/// A `metadata.uid`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(Form);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Form {
    /// A UUID as API servers write them.
    Uuid(Uuid),
    /// Any other text.
    Text(Box<str>),
}

/// A `metadata.resourceVersion`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResourceVersion(Version);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Version {
    Number(u64),
    Text(Box<str>),
}

impl ResourceVersion {
    /// Whether this is surely older than `other`. Versions of one resource are numbers that grow;
    /// where they aren't, nothing is known.
    #[must_use]
    pub fn is_older_than(&self, other: &Self) -> bool {
        matches!((&self.0, &other.0), (Version::Number(one), Version::Number(other)) if one < other)
    }
}

impl Default for Uid {
    fn default() -> Self {
        "".into()
    }
}

impl Default for ResourceVersion {
    fn default() -> Self {
        "".into()
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        let uuid = Uuid::try_parse(text)
            .map(|uuid| Self(Form::Uuid(uuid)))
            .ok();
        // Only what is written back as it came.
        uuid.filter(|uid| uid.to_string() == text)
            .unwrap_or_else(|| Self(Form::Text(text.into())))
    }
}

impl From<&str> for ResourceVersion {
    fn from(text: &str) -> Self {
        let number = text.parse().map(|number| Self(Version::Number(number)));
        let number = number.ok().filter(|version| version.to_string() == text);
        number.unwrap_or_else(|| Self(Version::Text(text.into())))
    }
}

impl From<String> for Uid {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for ResourceVersion {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Uuid(uuid) => uuid.fmt(f),
            Form::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Version::Number(number) => number.fmt(f),
            Version::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uuid_takes_no_memory_of_its_own() {
        let uid = Uid::from("8d2f0c7e-1a2b-4c3d-9e8f-00112233aabb");
        assert!(matches!(uid.0, Form::Uuid(_)));
        assert!(size_of::<Uid>() <= 24 && size_of::<ResourceVersion>() <= 16);
    }

    #[test]
    fn versions_are_compared_as_numbers_where_both_are() {
        let older = |one: &str, other: &str| {
            ResourceVersion::from(one).is_older_than(&ResourceVersion::from(other))
        };
        assert!(older("9", "10"));
        assert!(!older("10", "9") && !older("9", "9"));
        assert!(!older("", "9") && !older("a", "b") && !older("007", "9"));
    }

    proptest! {
        #[test]
        fn every_uid_and_version_is_written_as_it_came(
            text in "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9A-F+-]{0,40}|[0-9]{1,21}|.*",
        ) {
            prop_assert_eq!(Uid::from(&*text).to_string(), text.clone());
            prop_assert_eq!(ResourceVersion::from(&*text).to_string(), text);
        }
    }
}
