//! What the operator lets each namespace ask.

use std::{collections::BTreeSet, time::Duration};

use super::{Object, Policy, Source};

/// The rules, of which the first that matches a namespace counts. A namespace without one may ask nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRules(Vec<AccessRule>);

/// What some namespaces may ask. None stands for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRule {
    /// Names, and beginnings of names with a `*` behind.
    pub namespaces: Vec<String>,
    /// The clusters whose tasks they may see. Where it is set, an object must name one of them.
    pub cluster_ids: Option<BTreeSet<String>>,
    /// The regions that they may ask.
    pub regions: Option<BTreeSet<String>>,
    /// Whose credentials they may use.
    pub credentials: Option<BTreeSet<CredentialsOf>>,
    /// How often they may ask about an object at most.
    pub min_poll_interval: Option<Duration>,
}

/// Whose credentials calls are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CredentialsOf {
    /// The controller's own.
    Controller,
    /// A Secret's in the object's namespace.
    Secret,
}

/// What is asked of the operator's rules.
#[derive(Clone, Copy, Debug)]
struct Claim<'a> {
    namespace: &'a str,
    /// None where nothing says which.
    region: Option<&'a str>,
    credentials: CredentialsOf,
    /// None where it names none.
    cluster: Option<&'a str>,
}

impl CredentialsOf {
    fn with_secret(name: Option<&str>) -> Self {
        match name {
            Some(_) => Self::Secret,
            None => Self::Controller,
        }
    }
}

/// Why an object may not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// No rule is for its namespace.
    Namespace,
    /// Not in that region.
    Region,
    /// Not with the controller's credentials.
    ControllerCredentials,
    /// Not with a Secret's.
    SecretCredentials,
    /// Not about that cluster, or the object names none.
    Cluster,
}

impl AccessRules {
    /// Rules in the order in which they are tried.
    #[must_use]
    pub fn new(rules: Vec<AccessRule>) -> Self {
        Self(rules)
    }

    /// The rule for a namespace.
    #[must_use]
    pub fn rule(&self, namespace: &str) -> Option<&AccessRule> {
        self.0.iter().find(|rule| rule.matches(namespace))
    }
}

impl AccessRule {
    fn matches(&self, namespace: &str) -> bool {
        let mut patterns = self.namespaces.iter();
        patterns.any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => namespace.starts_with(beginning),
            None => pattern == namespace,
        })
    }

    fn denial(&self, claim: Claim<'_>) -> Option<Denial> {
        let is_out = |allowed: &Option<BTreeSet<String>>, value: &str| {
            allowed
                .as_ref()
                .is_some_and(|allowed| !allowed.contains(value))
        };
        if claim
            .region
            .is_some_and(|region| is_out(&self.regions, region))
        {
            return Some(Denial::Region);
        }
        let credentials = self.credentials.as_ref();
        if credentials.is_some_and(|allowed| !allowed.contains(&claim.credentials)) {
            return Some(match claim.credentials {
                CredentialsOf::Controller => Denial::ControllerCredentials,
                CredentialsOf::Secret => Denial::SecretCredentials,
            });
        }
        // A cluster that isn't named is none of them.
        let cluster = claim.cluster.unwrap_or_default();
        is_out(&self.cluster_ids, cluster).then_some(Denial::Cluster)
    }
}

impl Policy {
    /// The regions that the operator names.
    #[must_use]
    pub fn named_regions(&self) -> BTreeSet<String> {
        let rules = self.access.iter().flat_map(|access| &access.0);
        let of_rules = rules.flat_map(|rule| rule.regions.iter().flatten());
        self.default_region
            .iter()
            .chain(&self.allowed_regions)
            .chain(of_rules)
            .cloned()
            .collect()
    }

    /// Why the operator doesn't let that object ask; none where it may.
    #[must_use]
    pub fn denial(&self, object: &Object) -> Option<Denial> {
        self.denial_of(Claim {
            namespace: &object.key.namespace,
            region: object.region(self),
            credentials: CredentialsOf::with_secret(object.spec.secret_name()),
            cluster: object.spec.cluster_id(),
        })
    }

    /// Why the operator doesn't let that source list; none where it may.
    #[must_use]
    pub fn denial_of_source(&self, source: &Source) -> Option<Denial> {
        self.denial_of(Claim {
            namespace: &source.key.namespace,
            region: source.region(self),
            credentials: CredentialsOf::with_secret(source.spec.secret_name.as_deref()),
            cluster: Some(&source.spec.cluster_id),
        })
    }

    fn denial_of(&self, claim: Claim<'_>) -> Option<Denial> {
        let allowed = &self.allowed_regions;
        if !allowed.is_empty() && claim.region.is_some_and(|region| !allowed.contains(region)) {
            return Some(Denial::Region);
        }
        let access = self.access.as_ref()?;
        match access.rule(claim.namespace) {
            None => Some(Denial::Namespace),
            Some(rule) => rule.denial(claim),
        }
    }

    /// How often that namespace may ask about an object at most.
    #[must_use]
    pub fn min_poll_interval(&self, namespace: &str) -> Duration {
        let access = self.access.as_ref();
        let rule = access.and_then(|access| access.rule(namespace));
        rule.and_then(|rule| rule.min_poll_interval)
            .unwrap_or(self.min_poll_interval)
    }

    /// The one cluster whose task may be told from one that doesn't exist, where a rule says so.
    #[must_use]
    pub fn only_cluster<'a>(&self, object: &'a Object) -> Option<&'a str> {
        let access = self.access.as_ref()?;
        access.rule(&object.key.namespace)?.cluster_ids.as_ref()?;
        object.spec.cluster_id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{ScaleOutTaskSpec, SecretReference},
        rules::{ObjectKey, Spec},
    };

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn rule(namespaces: &[&str]) -> AccessRule {
        AccessRule {
            namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
            ..AccessRule::default()
        }
    }

    fn object(namespace: &str, spec: Spec) -> Object {
        Object {
            key: ObjectKey {
                namespace: namespace.into(),
                name: "one".into(),
            },
            spec,
            ..Object::default()
        }
    }

    fn spec(region: Option<&str>, cluster: Option<&str>, secret: Option<&str>) -> Spec {
        let spec = ScaleOutTaskSpec {
            region: region.map(Into::into),
            cluster_id: cluster.map(Into::into),
            credentials_secret_ref: secret.map(|name| SecretReference {
                name: name.to_owned(),
            }),
            ..ScaleOutTaskSpec::default()
        };
        spec.into()
    }

    fn policy(rules: Vec<AccessRule>) -> Policy {
        Policy {
            access: Some(AccessRules::new(rules)),
            ..Policy::default()
        }
    }

    #[test]
    fn the_first_rule_that_matches_a_namespace_counts_and_without_one_nothing_is_allowed() {
        let rules = vec![
            AccessRule {
                min_poll_interval: Some(Duration::from_mins(1)),
                ..rule(&["team-a", "team-a-*"])
            },
            rule(&["team-*"]),
        ];
        let policy = policy(rules);
        for (namespace, denial, interval) in [
            ("team-a", None, 60),
            ("team-a-x", None, 60),
            ("team-ab", None, 1),
            ("team-b", None, 1),
            ("other", Some(Denial::Namespace), 1),
            ("", Some(Denial::Namespace), 1),
        ] {
            let object = object(namespace, Spec::default());
            assert_eq!(policy.denial(&object), denial, "{namespace}");
            let least = policy.min_poll_interval(namespace);
            assert_eq!(least, Duration::from_secs(interval), "{namespace}");
        }
    }

    #[test]
    fn each_part_of_a_rule_denies_what_it_does_not_name() {
        let rule = AccessRule {
            cluster_ids: Some(set(&["c1", "c2"])),
            regions: Some(set(&["cn-a"])),
            credentials: Some([CredentialsOf::Controller].into()),
            ..rule(&["*"])
        };
        let policy = policy(vec![rule]);
        for (region, cluster, secret, denial) in [
            (Some("cn-a"), Some("c1"), None, None),
            (None, Some("c2"), None, None),
            (Some("cn-b"), Some("c1"), None, Some(Denial::Region)),
            (Some("cn-a"), Some("c3"), None, Some(Denial::Cluster)),
            (Some("cn-a"), None, None, Some(Denial::Cluster)),
            (
                Some("cn-a"),
                Some("c1"),
                Some("s"),
                Some(Denial::SecretCredentials),
            ),
        ] {
            let object = object("a", spec(region, cluster, secret));
            let case = (region, cluster, secret);
            assert_eq!(policy.denial(&object), denial, "{case:?}");
        }
    }

    #[test]
    fn an_allowed_region_holds_for_all_the_default_one_too() {
        let policy = Policy {
            allowed_regions: ["cn-a".to_owned()].into(),
            default_region: Some("cn-b".to_owned()),
            ..Policy::default()
        };
        let of = |region| policy.denial(&object("a", spec(region, None, None)));
        assert_eq!(of(Some("cn-a")), None);
        assert_eq!(of(Some("cn-b")), Some(Denial::Region));
        assert_eq!(of(None), Some(Denial::Region));
    }
}
