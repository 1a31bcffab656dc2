//! Endpoints of the task API: a URL template for all regions, with the region in its host, and URLs
//! for single regions.
//!
//! Regions come from objects that users write, and requests carry signatures and tokens. So a region
//! may only fill a placeholder in front of a domain that the operator has set.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

use super::{
    sign::{encode, encode_path},
    vendor::{
        CENTRAL_ENDPOINT, DEFAULT_ENDPOINT, DOMAIN, Network, SPECIAL_REGIONS, VPC_ENDPOINT,
        is_region,
    },
};

const PLACEHOLDER: &str = "{region}";

/// The region that a template is checked with.
const SAMPLE: &str = "xx-sample-0";

/// A region's ID, such as `cn-hangzhou`. It is safe as a label of a host name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(String);

impl Region {
    /// The ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not the ID of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a region is 1 to 32 lower-case letters, digits and inner hyphens, such as cn-hangzhou")]
pub struct RegionError;

impl FromStr for Region {
    type Err = RegionError;

    fn from_str(text: &str) -> Result<Self, RegionError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let ok = (1..=32).contains(&text.len())
            && text.chars().all(allowed)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(RegionError)
        }
    }
}

/// An endpoint that can't be used. The URL is not shown, because it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The endpoint for all regions.
    #[error("the endpoint {0}")]
    Template(EndpointProblem),
    /// The endpoint for one region.
    #[error("the endpoint for {0} {1}")]
    ForRegion(Region, EndpointProblem),
    /// Below the vendor's domain, a host that is none of a region may be anybody's.
    #[error(
        "{0} is no region of the vendor's: check it, or have the operator give it an endpoint (--endpoint-for)"
    )]
    NotOfVendor(Region),
}

/// What is wrong with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum EndpointProblem {
    #[error("isn't a URL: write it as https://HOST or https://HOST/PREFIX")]
    NotAUrl,
    #[error("must begin with https://, or with http:// on loopback")]
    Scheme,
    #[error(
        "is plain http to another machine: use https, a loopback address, or allow insecure \
         endpoints"
    )]
    Insecure,
    #[error("holds a user name or a password: take them out, requests are signed instead")]
    UserInfo,
    #[error("has a query: take out everything from the question mark on")]
    Query,
    #[error("has a fragment: take out everything from the number sign on")]
    Fragment,
    #[error(
        "has a dot at the end of its host: take it out, for the server knows its name without one"
    )]
    TrailingDot,
    #[error("has braces other than {{region}}, which is the only placeholder")]
    UnknownPlaceholder,
    #[error(
        "has {{region}} outside its host: move it there, as in https://cs.{{region}}.aliyuncs.com"
    )]
    PlaceholderOutsideHost,
    #[error(
        "lets the region choose the domain: end the host with a fixed one of two labels, as in \
         https://cs.{{region}}.aliyuncs.com"
    )]
    PlaceholderInDomain,
    #[error("is for one region and still has {{region}}: write the region itself")]
    PlaceholderForOneRegion,
    #[error("is given more than once: keep one")]
    Duplicate,
    #[error("makes no valid host name with this region: give the region an endpoint of its own")]
    Expansion,
    #[error("can't name this task: a task ID is not empty and not made of dots only")]
    TaskId,
    #[error("can't name this cluster: a cluster ID is not empty and not made of dots only")]
    ClusterId,
}

/// The task API's endpoints, checked.
#[derive(Clone, Debug)]
pub struct Endpoints {
    template: String,
    /// Host and port of the template. Known beforehand: parsing a URL takes longer than all else that
    /// the scheduler does about a call.
    authority: String,
    for_region: BTreeMap<Region, Url>,
}

/// The vendor's endpoints, without those of special regions.
impl Default for Endpoints {
    fn default() -> Self {
        Self {
            template: DEFAULT_ENDPOINT.to_owned(),
            authority: authority(DEFAULT_ENDPOINT).to_owned(),
            for_region: BTreeMap::new(),
        }
    }
}

impl Endpoints {
    /// The regions with an endpoint of their own.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.for_region.keys()
    }

    /// Checks `template`, which may hold `{region}` in its host, and the endpoints of single regions.
    /// Plain http to another machine is refused unless `allow_insecure`.
    ///
    /// # Errors
    /// At the first endpoint that can't be used. The message says how to correct it.
    pub fn new(
        template: &str,
        for_region: &[(Region, String)],
        allow_insecure: bool,
    ) -> Result<Self, EndpointError> {
        let sample = check_template(template, allow_insecure).map_err(EndpointError::Template)?;
        let mut urls = BTreeMap::new();
        for (region, text) in for_region {
            let error = |problem| EndpointError::ForRegion(region.clone(), problem);
            if text.contains(PLACEHOLDER) {
                return Err(error(EndpointProblem::PlaceholderForOneRegion));
            }
            let url = check_template(text, allow_insecure).map_err(error)?;
            if urls.insert(region.clone(), url).is_some() {
                return Err(error(EndpointProblem::Duplicate));
            }
        }
        Ok(Self {
            template: template.to_owned(),
            authority: sample.authority().replace(SAMPLE, PLACEHOLDER),
            for_region: urls,
        })
    }

    /// The vendor's own endpoints, but for the given ones of single regions.
    ///
    /// # Errors
    /// As [`Endpoints::new`].
    pub fn of_vendor(
        network: Network,
        for_region: &[(Region, String)],
        allow_insecure: bool,
    ) -> Result<Self, EndpointError> {
        let template = match network {
            Network::Public => DEFAULT_ENDPOINT,
            Network::Vpc => VPC_ENDPOINT,
        };
        let mut endpoints = Self::new(template, for_region, allow_insecure)?;
        if network == Network::Public
            && let Ok(central) = Url::parse(CENTRAL_ENDPOINT)
        {
            for region in SPECIAL_REGIONS.iter().filter_map(|name| name.parse().ok()) {
                let for_region = &mut endpoints.for_region;
                for_region.entry(region).or_insert_with(|| central.clone());
            }
        }
        Ok(endpoints)
    }

    /// The host and port of a region's endpoint. Empty if it isn't a region's ID.
    #[must_use]
    pub fn host(&self, region: &str) -> String {
        let Ok(region) = region.parse::<Region>() else {
            return String::new();
        };
        match self.for_region.get(&region) {
            Some(url) => url.authority().to_owned(),
            None => self.authority.replace(PLACEHOLDER, region.as_str()),
        }
    }

    /// The URL of a task. Its path is encoded just as the signature encodes it.
    ///
    /// # Errors
    /// If the host is not valid with this region (`xn--` fits the pattern of a region, but not of a
    /// host name), or if the task ID can't be a segment of a path.
    pub fn task_url(&self, region: &Region, task_id: &str) -> Result<Url, EndpointError> {
        let task = segment(task_id).ok_or_else(|| self.error(region, EndpointProblem::TaskId))?;
        self.url(region, &format!("tasks/{task}"))
    }

    /// The URL of a cluster's tasks, likewise.
    ///
    /// # Errors
    /// As [`Endpoints::task_url`], of the cluster's ID.
    pub fn tasks_url(&self, region: &Region, cluster_id: &str) -> Result<Url, EndpointError> {
        let cluster =
            segment(cluster_id).ok_or_else(|| self.error(region, EndpointProblem::ClusterId))?;
        self.url(region, &format!("clusters/{cluster}/tasks"))
    }

    /// The URL with that encoded path below a region's endpoint.
    fn url(&self, region: &Region, path: &str) -> Result<Url, EndpointError> {
        let own = self.for_region.get(region);
        let mut url = match own {
            Some(url) => url.clone(),
            None => parse(&self.template, region.as_str())
                .map_err(|_| self.error(region, EndpointProblem::Expansion))?,
        };
        let is_vendors = url.host_str().is_some_and(|host| host.ends_with(DOMAIN));
        if own.is_none() && is_vendors && !is_region(region.as_str()) {
            return Err(EndpointError::NotOfVendor(region.clone()));
        }
        let prefix = encode_path(url.path());
        url.set_path(&format!("{}/{path}", prefix.trim_end_matches('/')));
        Ok(url)
    }

    fn error(&self, region: &Region, problem: EndpointProblem) -> EndpointError {
        if self.for_region.contains_key(region) {
            EndpointError::ForRegion(region.clone(), problem)
        } else {
            EndpointError::Template(problem)
        }
    }
}

/// An ID as a segment of a path, encoded; none where it would be no segment of its own.
fn segment(id: &str) -> Option<String> {
    let is_segment = !matches!(id, "" | "." | "..");
    is_segment.then(|| encode(id.as_bytes()))
}

/// Whether a URL's host is this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback_host)
}

/// Whether a host is this machine: a loopback address or `localhost`. A name under that may lead anywhere.
#[must_use]
pub fn is_loopback_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost",
    }
}

/// Checks an endpoint with a sample region, and returns the URL for it.
fn check_template(template: &str, allow_insecure: bool) -> Result<Url, EndpointProblem> {
    if template.replace(PLACEHOLDER, "").contains(['{', '}']) {
        return Err(EndpointProblem::UnknownPlaceholder);
    }
    let url = parse(template, SAMPLE)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(EndpointProblem::Scheme);
    }
    // The parser drops an empty user name, as in `https://@host`.
    if url.password().is_some() || authority(template).contains('@') {
        return Err(EndpointProblem::UserInfo);
    }
    if url.query().is_some() {
        return Err(EndpointProblem::Query);
    }
    if url.fragment().is_some() {
        return Err(EndpointProblem::Fragment);
    }
    check_placeholders(template, &url)?;
    if url.host_str().is_some_and(|host| host.ends_with('.')) {
        return Err(EndpointProblem::TrailingDot);
    }
    if url.scheme() == "http" && !allow_insecure && !is_loopback(&url) {
        return Err(EndpointProblem::Insecure);
    }
    Ok(url)
}

/// Checks that each placeholder is in the host, in front of a domain that no region can change: two labels,
/// for anyone may have a domain under a single one.
fn check_placeholders(template: &str, sample: &Url) -> Result<(), EndpointProblem> {
    let host = sample.host_str().ok_or(EndpointProblem::NotAUrl)?;
    if template.matches(PLACEHOLDER).count() != host.matches(SAMPLE).count() {
        return Err(EndpointProblem::PlaceholderOutsideHost);
    }
    let labels = host.trim_end_matches('.').rsplit('.');
    let fixed = labels.take_while(|label| !label.contains(SAMPLE)).count();
    if !template.contains(PLACEHOLDER) || fixed >= 2 {
        Ok(())
    } else {
        Err(EndpointProblem::PlaceholderInDomain)
    }
}

/// The part between `//` and the path.
fn authority(template: &str) -> &str {
    let rest = template.split_once("//").map_or(template, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Replaces the placeholder and parses the URL. Refuses what the parser would silently correct
/// (blanks, backslashes, missing or extra slashes), as the result would not be what a reader sees.
fn parse(template: &str, region: &str) -> Result<Url, EndpointProblem> {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    if template.contains(forbidden)
        || !template.contains("://")
        || (is_http(template) && authority(template).is_empty())
    {
        return Err(EndpointProblem::NotAUrl);
    }
    Url::parse(&template.replace(PLACEHOLDER, region)).map_err(|_| EndpointProblem::NotAUrl)
}

fn is_http(template: &str) -> bool {
    let (scheme, _) = template.split_once(':').unwrap_or_default();
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::EndpointProblem::{
        Fragment, Insecure, NotAUrl, PlaceholderInDomain, PlaceholderOutsideHost, Query, Scheme,
        TrailingDot, UnknownPlaceholder, UserInfo,
    };
    use super::*;

    fn region(text: &str) -> Region {
        text.parse().unwrap()
    }

    fn task_url(template: &str) -> String {
        Endpoints::new(template, &[], false)
            .unwrap()
            .task_url(&region("cn-hangzhou"), "T-1")
            .unwrap()
            .into()
    }

    #[test]
    fn the_vendors_endpoints_depend_on_region_and_network() {
        let own = [(region("cn-wuhan"), "https://own.example.com".to_owned())];
        let public = Endpoints::of_vendor(Network::Public, &own, false).unwrap();
        let vpc = Endpoints::of_vendor(Network::Vpc, &own, false).unwrap();
        let rows = [
            (
                "cn-hangzhou",
                "cs.cn-hangzhou.aliyuncs.com",
                "cs-anony-vpc.cn-hangzhou.aliyuncs.com",
            ),
            (
                "cn-zhangbei",
                "cs.aliyuncs.com",
                "cs-anony-vpc.cn-zhangbei.aliyuncs.com",
            ),
            ("cn-wuhan", "own.example.com", "own.example.com"),
        ];
        for (region, in_public, in_vpc) in rows {
            assert_eq!(public.host(region), in_public);
            assert_eq!(vpc.host(region), in_vpc);
        }
        for name in SPECIAL_REGIONS {
            assert_eq!(
                public.host(name) == "cs.aliyuncs.com",
                name != "cn-wuhan",
                "{name}"
            );
        }
    }

    /// Such as a bucket that is called as the API's hosts are.
    #[test]
    fn below_the_vendors_domain_only_hosts_of_regions_are_called() {
        let public = Endpoints::default();
        let vpc = Endpoints::of_vendor(Network::Vpc, &[], false).unwrap();
        for endpoints in [&public, &vpc] {
            for name in SPECIAL_REGIONS
                .iter()
                .chain(&["cn-hangzhou", "us-west-1", "me-east-1"])
            {
                assert!(endpoints.task_url(&region(name), "T-1").is_ok(), "{name}");
            }
            for name in ["oss-cn-hangzhou", "oss", "cn", "s3-cn-hangzhou"] {
                let error = endpoints.task_url(&region(name), "T-1").unwrap_err();
                assert_eq!(error, EndpointError::NotOfVendor(region(name)));
            }
        }
        let own = Endpoints::new("https://cs.{region}.example.com", &[], false).unwrap();
        assert!(own.task_url(&region("oss"), "T-1").is_ok());
    }

    #[test]
    fn template_is_expanded() {
        for (template, url) in [
            (
                "https://cs.{region}.aliyuncs.com",
                "https://cs.cn-hangzhou.aliyuncs.com/tasks/T-1",
            ),
            (
                "https://cs.{region}.aliyuncs.com/",
                "https://cs.cn-hangzhou.aliyuncs.com/tasks/T-1",
            ),
            (
                "https://cs-vpc.{region}.a.com:8443",
                "https://cs-vpc.cn-hangzhou.a.com:8443/tasks/T-1",
            ),
            (
                "https://{region}.x.{region}.b.com/a",
                "https://cn-hangzhou.x.cn-hangzhou.b.com/a/tasks/T-1",
            ),
            (
                "https://cs.aliyuncs.com",
                "https://cs.aliyuncs.com/tasks/T-1",
            ),
            (
                "HTTPS://CS.aliyuncs.com:443",
                "https://cs.aliyuncs.com/tasks/T-1",
            ),
            ("https://a.com/p/q/", "https://a.com/p/q/tasks/T-1"),
            (
                "https://a.com/p%20q!/~r",
                "https://a.com/p%20q%21/~r/tasks/T-1",
            ),
            ("https://a.com/p/@q", "https://a.com/p/%40q/tasks/T-1"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/tasks/T-1"),
            ("http://127.9.9.9", "http://127.9.9.9/tasks/T-1"),
            ("http://[::1]:8080/p", "http://[::1]:8080/p/tasks/T-1"),
            ("http://localhost:1", "http://localhost:1/tasks/T-1"),
        ] {
            assert_eq!(task_url(template), url, "{template}");
        }
    }

    #[test]
    fn unusable_endpoints_are_refused() {
        for (template, problem) in [
            ("", NotAUrl),
            ("cs.{region}.aliyuncs.com", NotAUrl),
            ("https:cs.aliyuncs.com", NotAUrl),
            ("https://", NotAUrl),
            ("https:///cs.aliyuncs.com", NotAUrl),
            ("https://:8080", NotAUrl),
            ("https://a.com:port", NotAUrl),
            ("https://a.com:{region}", NotAUrl),
            ("https:\\\\a.com", NotAUrl),
            ("https://a.com\\b", NotAUrl),
            (" https://a.com", NotAUrl),
            ("https://a.\tcom", NotAUrl),
            ("https://a b.com", NotAUrl),
            ("ftp://a.com", Scheme),
            ("file:///etc/passwd", Scheme),
            ("unix://{region}.a.com", Scheme),
            ("https://a.com.", TrailingDot),
            ("https://a.com./p", TrailingDot),
            ("https://a.com%2e", TrailingDot),
            ("https://a.com.:8443", TrailingDot),
            ("https://cs.{region}.a.com.", TrailingDot),
            ("http://localhost.", TrailingDot),
            ("https://me@a.com", UserInfo),
            ("https://me:hunter2@a.com", UserInfo),
            ("https://:hunter2@a.com", UserInfo),
            ("https://@a.com", UserInfo),
            ("https://{region}@a.com", UserInfo),
            ("https://a.com?x=1", Query),
            ("https://a.com/p?", Query),
            ("https://a.com#f", Fragment),
            ("https://a.com/{region}", PlaceholderOutsideHost),
            ("https://{region}.a.com/{region}", PlaceholderOutsideHost),
            ("https://cs.{Region}.a.com", UnknownPlaceholder),
            ("https://cs.{zone}.a.com", UnknownPlaceholder),
            ("https://cs.{region.a.com", UnknownPlaceholder),
            ("https://cs.{{region}}.a.com", UnknownPlaceholder),
            ("https://cs.a.com/{}", UnknownPlaceholder),
            ("https://{region}", PlaceholderInDomain),
            ("https://cs.{region}", PlaceholderInDomain),
            ("https://cs.{region}.", PlaceholderInDomain),
            ("https://cs.{region}.com", PlaceholderInDomain),
            ("https://{region}.com.", PlaceholderInDomain),
            ("https://{region}.a.{region}.com", PlaceholderInDomain),
            ("https://cs.a{region}:443", PlaceholderInDomain),
            ("http://a.com", Insecure),
            ("http://cs.{region}.a.com", Insecure),
            ("http://128.0.0.1", Insecure),
            ("http://0.0.0.0", Insecure),
            ("http://[::2]", Insecure),
            ("http://a.localhost", Insecure),
            ("https://{region}.localhost", PlaceholderInDomain),
            ("http://localhost.a.com", Insecure),
            ("http://notlocalhost", Insecure),
            ("http://127.0.0.1.a.com", Insecure),
        ] {
            let error = Endpoints::new(template, &[], false).unwrap_err();
            assert_eq!(error, EndpointError::Template(problem), "{template}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn plain_http_to_another_machine_must_be_allowed() {
        let endpoints = Endpoints::new("http://cs.{region}.a.com", &[], true).unwrap();
        let url = endpoints.task_url(&region("x"), "T-1").unwrap();
        assert_eq!(url.as_str(), "http://cs.x.a.com/tasks/T-1");
    }

    #[test]
    fn region_may_have_its_own_endpoint() {
        let own = [(region("eu-1"), "https://eu.a.com/p".to_owned())];
        let endpoints = Endpoints::new("https://{region}.a.com", &own, false).unwrap();
        for (name, url) in [
            ("eu-1", "https://eu.a.com/p/tasks/T-1"),
            ("eu-2", "https://eu-2.a.com/tasks/T-1"),
        ] {
            let got = endpoints.task_url(&region(name), "T-1").unwrap();
            assert_eq!(got.as_str(), url);
        }
    }

    #[test]
    fn unusable_endpoint_of_a_region_names_the_region() {
        let error = |own: &[&str]| {
            let own: Vec<_> = own
                .iter()
                .map(|u| (region("eu"), (*u).to_owned()))
                .collect();
            Endpoints::new("https://a.com", &own, false)
                .unwrap_err()
                .to_string()
        };
        assert!(error(&["http://b.com"]).starts_with("the endpoint for eu is plain http"));
        assert!(error(&["https://{region}.b.com"]).contains("write the region itself"));
        assert!(error(&["https://b.com."]).contains("has a dot at the end of its host"));
        assert!(error(&["https://b.com", "https://c.com"]).contains("more than once"));
    }

    #[test]
    fn region_follows_the_pattern() {
        for good in [
            "a",
            "7",
            "cn-hangzhou",
            "us-east-1",
            "a--b",
            &"a".repeat(32),
        ] {
            assert_eq!(region(good).as_str(), good);
        }
        for bad in [
            "",
            "-",
            "-a",
            "a-",
            "A",
            "a.b",
            "a_b",
            "a/b",
            "a@b",
            "a:1",
            "a#",
            "é",
            " a",
            "a\n",
            &"a".repeat(33),
        ] {
            assert_eq!(bad.parse::<Region>(), Err(RegionError), "{bad}");
        }
    }

    #[test]
    fn region_that_is_not_a_host_label_is_an_error_and_not_a_panic() {
        let endpoints = Endpoints::new("https://{region}.a.com", &[], false).unwrap();
        let error = endpoints.task_url(&region("xn--0"), "T-1").unwrap_err();
        assert_eq!(error, EndpointError::Template(EndpointProblem::Expansion));
    }

    #[test]
    fn task_id_stays_one_segment() {
        let endpoints = Endpoints::new("https://a.com/p", &[], false).unwrap();
        for (id, path) in [
            (
                "T-5faa48fb31b6b8078d000006",
                Some("/p/tasks/T-5faa48fb31b6b8078d000006"),
            ),
            (
                "install-addons-c3.x_y",
                Some("/p/tasks/install-addons-c3.x_y"),
            ),
            ("a/../b", Some("/p/tasks/a%2F..%2Fb")),
            ("a?b#c", Some("/p/tasks/a%3Fb%23c")),
            ("%2e%2e", Some("/p/tasks/%252e%252e")),
            ("..", None),
            (".", None),
            ("", None),
        ] {
            let url = endpoints.task_url(&region("x"), id).ok();
            assert_eq!(url.as_ref().map(Url::path), path, "{id}");
        }
    }

    #[test]
    fn a_clusters_tasks_are_below_the_same_prefix_of_the_same_host() {
        let own = [(region("eu-1"), "https://eu.a.com/p%20q/".to_owned())];
        let endpoints = Endpoints::new("https://{region}.a.com", &own, false).unwrap();
        for (name, id, url) in [
            ("eu-1", "c1", "https://eu.a.com/p%20q/clusters/c1/tasks"),
            ("eu-2", "c1", "https://eu-2.a.com/clusters/c1/tasks"),
            (
                "eu-2",
                "a/../b?c",
                "https://eu-2.a.com/clusters/a%2F..%2Fb%3Fc/tasks",
            ),
        ] {
            let got = endpoints.tasks_url(&region(name), id).unwrap();
            assert_eq!(got.as_str(), url);
        }
        for id in ["", ".", ".."] {
            let error = endpoints.tasks_url(&region("eu-1"), id).unwrap_err();
            let expected = EndpointError::ForRegion(region("eu-1"), EndpointProblem::ClusterId);
            assert_eq!(error, expected, "{id}");
        }
        let error = Endpoints::default()
            .tasks_url(&region("oss"), "c1")
            .unwrap_err();
        assert_eq!(error, EndpointError::NotOfVendor(region("oss")));
    }

    proptest! {
        #[test]
        fn a_dot_at_the_end_of_the_host_is_refused(
            host in "[a-z]{1,8}(\\.[a-z]{1,8}){1,3}",
            rest in "(:[1-9][0-9]{0,3})?(/[a-z]{0,8})?",
        ) {
            let new = |url: String| Endpoints::new(&url, &[], false).map(drop);
            prop_assert_eq!(new(format!("https://{host}{rest}")), Ok(()));
            let error = EndpointError::Template(TrailingDot);
            prop_assert_eq!(new(format!("https://{host}.{rest}")), Err(error));
        }

        #[test]
        fn no_region_changes_the_rest_of_the_url(
            name in "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?",
            id in "[A-Za-z0-9][A-Za-z0-9._-]{0,127}",
        ) {
            let region = region(&name);
            for (template, before, after) in [
                ("https://cs.{region}.example.com/p", "cs.", ".example.com"),
                ("https://x{region}y.1.a1:8443/p", "x", "y.1.a1"),
                ("https://{region}.a.b/p", "", ".a.b"),
            ] {
                let endpoints = Endpoints::new(template, &[], false).unwrap();
                if let Ok(url) = endpoints.task_url(&region, &id) {
                    prop_assert_eq!(url.host_str().unwrap(), format!("{before}{name}{after}"));
                    prop_assert_eq!(url.path(), format!("/p/tasks/{id}"));
                    prop_assert!(url.username().is_empty() && url.query().is_none());
                } else {
                    let host = format!("{before}{name}");
                    let label = host.rsplit('.').next().unwrap();
                    prop_assert!(label.starts_with("xn--"), "{}", host);
                }
            }
        }
    }
}
