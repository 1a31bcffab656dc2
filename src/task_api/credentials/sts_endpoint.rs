//! Where STS is.

use reqwest::Url;

use super::{CredentialsError, error::ValueProblem, source::Environment};
use crate::task_api::endpoint::{Region, is_loopback};

const ENDPOINT: &str = "ALIBABA_CLOUD_STS_ENDPOINT";
const REGION: &str = "ALIBABA_CLOUD_STS_REGION";
const VPC: &str = "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED";

/// What a profile says of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StsSettings<'a> {
    /// A host or a URL.
    pub endpoint: Option<&'a str>,
    /// A region.
    pub region: Option<&'a str>,
    /// Whether it is asked within a VPC.
    pub vpc: bool,
}

/// A setting that can't be used, and who made it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A variable of the environment.
    Variable(&'static str, ValueProblem),
    /// A key of the profile.
    Profile(&'static str, ValueProblem),
}

/// Where no profile has a say, each setting is a variable's.
impl From<Wrong> for CredentialsError {
    fn from(wrong: Wrong) -> Self {
        let (Wrong::Variable(name, problem) | Wrong::Profile(name, problem)) = wrong;
        Self::Variable(name, problem)
    }
}

/// The endpoint of STS: the one that the environment names, else the profile; else by the profile's
/// region, or the environment's, as in the vendor's SDKs; else the central one.
pub(super) fn sts_endpoint(
    profile: &StsSettings<'_>,
    environment: &Environment,
) -> Result<Url, Wrong> {
    let allow_insecure = environment.allow_insecure;
    if let Some(endpoint) = environment.get(ENDPOINT) {
        return parse(endpoint, allow_insecure)
            .map_err(|problem| Wrong::Variable(ENDPOINT, problem));
    }
    if let Some(endpoint) = profile.endpoint {
        return parse(endpoint, allow_insecure)
            .map_err(|problem| Wrong::Profile("sts_endpoint", problem));
    }
    let vpc = if profile.vpc || environment.is_true(VPC) {
        "-vpc"
    } else {
        ""
    };
    let host = match (profile.region, environment.get(REGION)) {
        (Some(region), _) => {
            let region =
                region_of(region).map_err(|problem| Wrong::Profile("sts_region", problem))?;
            format!("sts{vpc}.{region}.aliyuncs.com")
        }
        (None, Some(region)) => {
            let region = region_of(region).map_err(|problem| Wrong::Variable(REGION, problem))?;
            format!("sts{vpc}.{region}.aliyuncs.com")
        }
        (None, None) => "sts.aliyuncs.com".to_owned(),
    };
    parse(&host, allow_insecure).map_err(|problem| Wrong::Variable(REGION, problem))
}

fn region_of(text: &str) -> Result<Region, ValueProblem> {
    text.parse().map_err(|_| ValueProblem::NotARegion)
}

/// A host or a URL, without anything behind the host.
fn parse(endpoint: &str, allow_insecure: bool) -> Result<Url, ValueProblem> {
    let url = if endpoint.contains("://") {
        Url::parse(endpoint)
    } else {
        Url::parse(&format!("https://{endpoint}"))
    };
    let url = url.map_err(|_| ValueProblem::NotAnEndpoint)?;
    let is_plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_plain || !is_anonymous {
        return Err(ValueProblem::NotAnEndpoint);
    }
    if url.host_str().is_some_and(|host| host.ends_with('.')) {
        return Err(ValueProblem::TrailingDot);
    }
    if url.scheme() == "http" && !is_loopback(&url) && !allow_insecure {
        return Err(ValueProblem::Insecure);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let variables = variables.iter();
        Environment::new(
            variables.map(|(name, value)| (format!("ALIBABA_CLOUD_{name}"), (*value).to_owned())),
            None,
        )
    }

    #[test]
    fn sts_endpoint_follows_region_and_network() {
        let (region, vpc) = (("STS_REGION", "cn-x"), ("VPC_ENDPOINT_ENABLED", "true"));
        let own = StsSettings {
            endpoint: Some("sts.own.com"),
            region: Some("cn-own"),
            vpc: true,
        };
        let own_region = StsSettings {
            endpoint: None,
            ..own
        };
        let none = StsSettings::default();
        for (variables, profile, expected) in [
            (&[][..], none, "https://sts.aliyuncs.com/"),
            (&[region], none, "https://sts.cn-x.aliyuncs.com/"),
            (&[region, vpc], none, "https://sts-vpc.cn-x.aliyuncs.com/"),
            (&[vpc], none, "https://sts.aliyuncs.com/"),
            (
                &[region, ("STS_ENDPOINT", "sts.a.com")],
                own,
                "https://sts.a.com/",
            ),
            (
                &[("STS_ENDPOINT", "http://localhost:1")],
                none,
                "http://localhost:1/",
            ),
            (
                &[("STS_ENDPOINT", "https://sts.a.com:8443")],
                none,
                "https://sts.a.com:8443/",
            ),
            (&[region], own, "https://sts.own.com/"),
            (
                &[region],
                own_region,
                "https://sts-vpc.cn-own.aliyuncs.com/",
            ),
        ] {
            let url = sts_endpoint(&profile, &environment(variables));
            assert_eq!(url.as_ref().map(Url::as_str), Ok(expected), "{variables:?}");
        }
    }

    #[test]
    fn settings_that_cannot_be_used_are_named() {
        use ValueProblem::{Insecure, NotARegion, NotAnEndpoint, TrailingDot};
        for (name, value, problem) in [
            (ENDPOINT, "http://sts.a.com", Insecure),
            (ENDPOINT, "http://128.0.0.1", Insecure),
            (ENDPOINT, "ftp://sts.a.com", NotAnEndpoint),
            (ENDPOINT, "https://sts.a.com/path", NotAnEndpoint),
            (ENDPOINT, "https://me:pw@sts.a.com", NotAnEndpoint),
            (ENDPOINT, "a b", NotAnEndpoint),
            (ENDPOINT, "sts.a.com.", TrailingDot),
            (ENDPOINT, "https://sts.a.com.:8443", TrailingDot),
            (REGION, "a.evil.com/", NotARegion),
            (REGION, "cn-x.", NotARegion),
        ] {
            let short = name.trim_start_matches("ALIBABA_CLOUD_");
            let got = sts_endpoint(&StsSettings::default(), &environment(&[(short, value)]));
            assert_eq!(got, Err(Wrong::Variable(name, problem)), "{value}");
        }
        let own = StsSettings {
            endpoint: Some("http://sts.a.com"),
            ..StsSettings::default()
        };
        let got = sts_endpoint(&own, &environment(&[]));
        assert_eq!(got, Err(Wrong::Profile("sts_endpoint", Insecure)));
    }
}
