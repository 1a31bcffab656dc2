//! The vendor's own endpoints, as its SDKs of 2026 have them.

/// By which network the vendor's endpoints are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Network {
    /// The internet.
    #[default]
    Public,
    /// From within a VPC.
    Vpc,
}

/// The endpoint of the vendor's API.
pub const DEFAULT_ENDPOINT: &str = "https://cs.{region}.aliyuncs.com";
/// The same from within a VPC.
pub const VPC_ENDPOINT: &str = "https://cs-anony-vpc.{region}.aliyuncs.com";
/// The endpoint of [`SPECIAL_REGIONS`].
pub const CENTRAL_ENDPOINT: &str = "https://cs.aliyuncs.com";

/// What is below the vendor's domain.
pub const DOMAIN: &str = ".aliyuncs.com";
/// How the names of regions begin, by the part of the world. Names that begin otherwise may be somebody else's hosts
/// below that domain, such as buckets.
const AREAS: [&str; 9] = ["af", "ap", "cn", "eu", "me", "na", "rus", "sa", "us"];

/// Whether a name is one of a region.
#[must_use]
pub fn is_region(name: &str) -> bool {
    let area = name.split_once('-').map(|(area, _)| area);
    area.is_some_and(|area| AREAS.contains(&area))
}

/// Regions that have no public endpoint of their own.
pub const SPECIAL_REGIONS: [&str; 30] = [
    "ap-northeast-2-pop",
    "cn-beijing-finance-pop",
    "cn-beijing-gov-1",
    "cn-beijing-nu16-b01",
    "cn-edge-1",
    "cn-fujian",
    "cn-haidian-cm12-c01",
    "cn-hangzhou-bj-b01",
    "cn-hangzhou-internal-prod-1",
    "cn-hangzhou-internal-test-1",
    "cn-hangzhou-internal-test-2",
    "cn-hangzhou-internal-test-3",
    "cn-hangzhou-test-306",
    "cn-hongkong-finance-pop",
    "cn-qingdao-nebula",
    "cn-shanghai-et15-b01",
    "cn-shanghai-et2-b01",
    "cn-shanghai-inner",
    "cn-shanghai-internal-test-1",
    "cn-shenzhen-inner",
    "cn-shenzhen-st4-d01",
    "cn-shenzhen-su18-b01",
    "cn-wuhan",
    "cn-yushanfang",
    "cn-zhangbei",
    "cn-zhangbei-na61-b01",
    "cn-zhangjiakou-na62-a01",
    "cn-zhengzhou-nebula-1",
    "eu-west-1-oxs",
    "rus-west-1-pop",
];
