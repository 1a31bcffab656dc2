//! The command line: flags, and how they become settings.
#![expect(clippy::doc_markdown, reason = "the comments are what `--help` shows")]

use std::{ffi::OsStr, net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{
    CommandFactory, FromArgMatches, Parser, Subcommand,
    builder::{FalseyValueParser, Resettable},
    error::ErrorKind,
};

use crate::{
    api::parse_duration,
    rules::Policy,
    scheduler::{CallLimits, Config},
    selector::Selector,
    settings::{CredentialsMode, LeaseSettings, LogFormat, Scope, Settings},
    task_api::{
        endpoint::{EndpointError, Endpoints, Region},
        vendor::{DEFAULT_ENDPOINT, Network},
    },
};

/// Off for the client libraries: they log every failed attempt. The controller logs a failure once.
const LOG_FILTER: &str =
    "info,hickory_net=off,hickory_resolver=off,kube_client=off,kube_runtime=off";

/// Tracks the tasks of Alibaba Cloud's Container Service (ACK) as Kubernetes objects.
#[derive(Debug, Parser)]
#[command(name = "scaleouttask-controller", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Parses the command line and the environment, and exits if they are wrong. An empty variable
    /// counts as not set, because templates often leave variables empty.
    #[must_use]
    pub fn from_command_line() -> Self {
        let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
        let program = Self::command().mut_subcommand("run", |run| {
            run.mut_args(|flag| match flag.get_env() {
                Some(name) if is_empty(name) => flag.env(Resettable::Reset),
                _ => flag,
            })
        });
        Self::from_arg_matches(&program.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller until SIGTERM or SIGINT.
    Run(Box<RunArgs>),
    /// Print the CustomResourceDefinitions as YAML.
    Crd(CrdArgs),
    /// Check whether a running controller is ready; exit with 1 if it isn't.
    Check(CheckArgs),
}

/// The arguments of `crd`.
#[derive(Debug, clap::Args)]
pub struct CrdArgs {
    /// The one to print [default: all]
    #[arg(value_enum)]
    pub name: Option<CrdName>,
}

/// The plural of a kind, which its CRD is named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub enum CrdName {
    /// Tasks that are tracked
    ScaleOutTasks,
    /// Clusters whose tasks are found
    ScaleOutTaskSources,
}

/// The flags of `check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Where the controller runs: a name or an address
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,

    /// The port of its --admin-address
    #[arg(long, default_value_t = 8080)]
    pub port: u16,

    /// How long to wait until it is ready, such as 30s [default: check once]
    #[arg(long, value_parser = timeout)]
    pub wait: Option<Duration>,
}

/// The flags of `run`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct RunArgs {
    /// Region of objects whose spec has none, such as cn-hangzhou [env: also
    /// ALIBABA_CLOUD_REGION_ID]
    #[arg(long, env = "SCALEOUTTASK_REGION")]
    region: Option<Region>,

    /// URL of the task API; {region} in the host stands for an object's region
    // Not parsed by clap, which would show a refused value: a URL may hold a password.
    #[arg(
        long,
        env = "SCALEOUTTASK_ENDPOINT",
        hide_env_values = true,
        value_name = "URL",
        default_value = DEFAULT_ENDPOINT
    )]
    endpoint: String,

    /// By which network the vendor's own endpoints are reached; not with an --endpoint
    #[arg(
        long,
        env = "SCALEOUTTASK_NETWORK",
        value_enum,
        default_value = "public"
    )]
    network: Network,

    /// URL of the task API of one region; may be repeated
    #[arg(
        long,
        env = "SCALEOUTTASK_ENDPOINT_FOR",
        hide_env_values = true,
        value_name = "REGION=URL",
        value_delimiter = ','
    )]
    endpoint_for: Vec<String>,

    /// Allow plain http to other machines; anyone on the way can read the credentials
    #[arg(
        long,
        env = "SCALEOUTTASK_ALLOW_INSECURE_ENDPOINT",
        value_parser = FalseyValueParser::new()
    )]
    allow_insecure_endpoint: bool,

    /// Where the credentials for the task API come from
    #[arg(
        long,
        env = "SCALEOUTTASK_CREDENTIALS",
        value_enum,
        default_value = "default"
    )]
    credentials: CredentialsMode,

    /// Directory with the files accessKeyId, accessKeySecret and perhaps securityToken, such as a mounted
    /// Secret; read again when they change
    #[arg(
        long,
        env = "SCALEOUTTASK_CREDENTIALS_DIRECTORY",
        value_name = "DIRECTORY"
    )]
    credentials_directory: Option<PathBuf>,

    /// Watch only this namespace; may be repeated [default: all]
    #[arg(long, env = "SCALEOUTTASK_NAMESPACE", value_delimiter = ',', value_parser = namespace)]
    namespace: Vec<String>,

    /// Watch only objects with these labels, as one shard of many; each shard has its own Lease
    #[arg(
        long,
        env = "SCALEOUTTASK_SELECTOR",
        default_value = "",
        hide_default_value = true
    )]
    selector: Selector,

    /// How often to poll objects whose spec has no interval, from 1s to 1h
    #[arg(long, env = "SCALEOUTTASK_POLL_INTERVAL", value_parser = poll_interval, default_value = "15s")]
    poll_interval: Duration,

    /// Highest number of calls per second for each account and host
    #[arg(long, env = "SCALEOUTTASK_REQUESTS_PER_SECOND", value_parser = rate, default_value = "20")]
    requests_per_second: f64,

    /// Highest number of calls in flight for each account and host
    #[arg(long, env = "SCALEOUTTASK_CONCURRENCY", default_value = "32")]
    concurrency: NonZeroUsize,

    /// Highest number of calls in flight in all
    #[arg(long, env = "SCALEOUTTASK_MAX_CALLS", default_value = "256")]
    max_calls: NonZeroUsize,

    /// How long one call may take
    #[arg(long, env = "SCALEOUTTASK_REQUEST_TIMEOUT", value_parser = timeout, default_value = "10s")]
    request_timeout: Duration,

    /// Show only tasks of this cluster; may be repeated [default: all]
    #[arg(long, env = "SCALEOUTTASK_ALLOWED_CLUSTER_ID", value_delimiter = ',', value_parser = cluster_id)]
    allowed_cluster_id: Vec<String>,

    /// Ask in this region only; may be repeated [default: all]
    #[arg(long, env = "SCALEOUTTASK_ALLOWED_REGION", value_delimiter = ',', value_parser = region)]
    allowed_region: Vec<String>,

    /// File of rules that say which namespace may ask what [default: all may ask all]
    #[arg(long, env = "SCALEOUTTASK_ACCESS_FILE", value_name = "FILE")]
    access_file: Option<PathBuf>,

    /// How often to poll an object at most, whatever its spec says, from 1s to 1h
    #[arg(long, env = "SCALEOUTTASK_MIN_POLL_INTERVAL", value_parser = poll_interval, default_value = "1s")]
    min_poll_interval: Duration,

    /// Use spec.credentialsSecretRef; needs permission to get those Secrets
    #[arg(
        long,
        env = "SCALEOUTTASK_SECRET_CREDENTIALS",
        value_parser = FalseyValueParser::new()
    )]
    secret_credentials: bool,

    /// Watch the cluster's nodes, for objects with waitForNodes; needs permission to list and watch them
    #[arg(
        long,
        env = "SCALEOUTTASK_NODES",
        value_parser = FalseyValueParser::new()
    )]
    nodes: bool,

    /// Find tasks by ScaleOutTaskSources; needs permission to list and watch them, to patch their status and to
    /// create ScaleOutTasks
    #[arg(
        long,
        env = "SCALEOUTTASK_SOURCES",
        value_parser = FalseyValueParser::new()
    )]
    sources: bool,

    /// Work only while holding a Lease, so that several replicas can run
    #[arg(
        long,
        env = "SCALEOUTTASK_LEADER_ELECT",
        value_parser = FalseyValueParser::new()
    )]
    leader_elect: bool,

    /// Name of the Lease [default: scaleouttask-controller, plus a hash of --selector and --namespace if set]
    #[arg(long, env = "SCALEOUTTASK_LEASE_NAME", value_parser = lease_name)]
    lease_name: Option<String>,

    /// Namespace of the Lease [default: the pod's own, else the kubeconfig's]
    #[arg(long, env = "SCALEOUTTASK_LEASE_NAMESPACE", value_parser = namespace)]
    lease_namespace: Option<String>,

    /// Address that serves /livez, /readyz and /metrics
    #[arg(
        long,
        env = "SCALEOUTTASK_ADMIN_ADDRESS",
        default_value = "0.0.0.0:8080"
    )]
    admin_address: SocketAddr,

    /// Format of log lines
    #[arg(
        long,
        env = "SCALEOUTTASK_LOG_FORMAT",
        value_enum,
        default_value = "text"
    )]
    log_format: LogFormat,

    /// What to log, such as debug or scaleouttask_controller=debug,kube=info [env: also RUST_LOG]
    #[arg(long, env = "SCALEOUTTASK_LOG_FILTER")]
    log_filter: Option<String>,
}

impl RunArgs {
    /// Checks what clap can't, and builds the settings.
    ///
    /// # Errors
    /// As clap's own errors: with the name of the flag, and exit code 2.
    pub fn into_settings(self, seed: u64) -> Result<Settings, clap::Error> {
        let endpoints = self.endpoints()?;
        let region = self
            .region
            .map_or_else(region_of_environment, |region| Ok(Some(region)))?;
        let mut namespaces = self.namespace;
        namespaces.sort_unstable();
        namespaces.dedup();
        let lease_name = self.lease_name;
        let lease = self.leader_elect.then(|| LeaseSettings {
            name: lease_name.unwrap_or_else(|| default_lease_name(&namespaces, &self.selector)),
            namespace: self.lease_namespace,
        });
        if self.credentials == CredentialsMode::None && self.credentials_directory.is_some() {
            return Err(usage_error(
                "--credentials-directory goes with --credentials default: leave one of them out",
            ));
        }
        let scheduler = Config {
            policy: Policy {
                default_region: region.map(|region| region.to_string()),
                poll_interval: self.poll_interval,
                allowed_cluster_ids: self.allowed_cluster_id,
                nodes: self.nodes,
                sources: self.sources,
                secret_credentials: self.secret_credentials,
                allowed_regions: self.allowed_region.into_iter().collect(),
                min_poll_interval: self.min_poll_interval,
                access: None,
                selected_by: self.selector.keys(),
            },
            endpoints,
            limits: CallLimits {
                requests_per_second: self.requests_per_second,
                concurrency: self.concurrency.get(),
                max_calls: self.max_calls.get(),
            },
            seed,
            ..Config::default()
        };
        Ok(Settings {
            scheduler,
            request_timeout: self.request_timeout,
            credentials: self.credentials,
            credentials_directory: self.credentials_directory,
            access_file: self.access_file,
            allow_insecure: self.allow_insecure_endpoint,
            scope: Scope {
                namespaces,
                selector: self.selector,
                nodes: self.nodes,
                sources: self.sources,
            },
            lease,
            admin_address: self.admin_address,
            log_format: self.log_format,
            log_filter: log_filter(self.log_filter)?,
        })
    }

    fn endpoints(&self) -> Result<Endpoints, clap::Error> {
        let pairs = self.endpoint_for.iter().map(|pair| region_and_url(pair));
        let for_region = pairs.collect::<Result<Vec<_>, _>>()?;
        let insecure = self.allow_insecure_endpoint;
        let endpoints = if self.endpoint == DEFAULT_ENDPOINT {
            Endpoints::of_vendor(self.network, &for_region, insecure)
        } else if self.network == Network::Public {
            Endpoints::new(&self.endpoint, &for_region, insecure)
        } else {
            return Err(usage_error(
                "--network vpc is for the vendor's own endpoints: leave out --network or --endpoint",
            ));
        };
        endpoints.map_err(|error| usage_error(&endpoint_problem(&error)))
    }
}

/// The region that the vendor's own tools take.
fn region_of_environment() -> Result<Option<Region>, clap::Error> {
    const NAME: &str = "ALIBABA_CLOUD_REGION_ID";
    let given = std::env::var(NAME).ok().filter(|text| !text.is_empty());
    let region = given.map(|text| text.parse()).transpose();
    region.map_err(|error| usage_error(&format!("{NAME}: {error}")))
}

fn region_and_url(pair: &str) -> Result<(Region, String), clap::Error> {
    let parsed = pair
        .split_once('=')
        .and_then(|(region, url)| Some((region.trim().parse().ok()?, url.trim().to_owned())));
    parsed.ok_or_else(|| {
        usage_error("--endpoint-for takes REGION=URL, such as cn-beijing=https://cs.cn-beijing.aliyuncs.com")
    })
}

fn log_filter(flag: Option<String>) -> Result<tracing_subscriber::EnvFilter, clap::Error> {
    let given = |text: &String| !text.is_empty();
    let text = flag
        .filter(given)
        .or_else(|| std::env::var("RUST_LOG").ok().filter(given))
        .unwrap_or_else(|| LOG_FILTER.to_owned());
    text.parse().map_err(|error| {
        usage_error(&format!("--log-filter {text:?} can't be read: {error}; write such as info or scaleouttask_controller=debug"))
    })
}

fn endpoint_problem(error: &EndpointError) -> String {
    match error {
        EndpointError::Template(_) => format!("--endpoint: {error}"),
        EndpointError::ForRegion(..) => format!("--endpoint-for: {error}"),
        EndpointError::NotOfVendor(_) => error.to_string(),
    }
}

/// An error that looks like clap's own errors about `run`.
#[must_use]
pub fn usage_error(message: &str) -> clap::Error {
    let mut program = Cli::command();
    program.build();
    match program.find_subcommand_mut("run") {
        Some(run) => run.error(ErrorKind::ValueValidation, message),
        None => program.error(ErrorKind::ValueValidation, message),
    }
}

fn region(text: &str) -> Result<String, String> {
    let region: Region = text.trim().parse().map_err(|error| format!("{error}"))?;
    Ok(region.to_string())
}

fn namespace(text: &str) -> Result<String, String> {
    let text = text.trim();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let inner = !text.starts_with('-') && !text.ends_with('-');
    if (1..=63).contains(&text.len()) && text.bytes().all(plain) && inner {
        return Ok(text.to_owned());
    }
    Err("must be 1 to 63 lower-case letters, digits and inner dashes".to_owned())
}

/// The default name of the Lease. It differs between controllers of different objects, and is the same for all
/// replicas of one. `namespaces` are sorted.
fn default_lease_name(namespaces: &[String], selector: &Selector) -> String {
    const NAME: &str = "scaleouttask-controller";
    let mut scope = selector.sorted().to_owned();
    if !namespaces.is_empty() {
        // No selector has a line break.
        scope = format!("{scope}\n{}", namespaces.join(","));
    }
    if scope.is_empty() {
        return NAME.to_owned();
    }
    // FNV-1a. Unlike the hashes of Rust's standard library, it never changes.
    let hash = scope.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("{NAME}-{hash:08x}")
}

fn lease_name(text: &str) -> Result<String, String> {
    let parts = text.len() <= 253 && text.split('.').all(|part| namespace(part).is_ok());
    parts.then(|| text.to_owned()).ok_or_else(|| {
        "must be lower-case letters, digits and inner dashes, in parts separated by dots".to_owned()
    })
}

fn cluster_id(text: &str) -> Result<String, String> {
    let text = text.trim();
    if (1..=64).contains(&text.chars().count()) && !text.contains(char::is_whitespace) {
        return Ok(text.to_owned());
    }
    Err("must be the ID of a cluster, 1 to 64 characters".to_owned())
}

fn poll_interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if (Duration::from_secs(1)..=Duration::from_hours(1)).contains(&interval) {
        return Ok(interval);
    }
    Err("must be from 1s to 1h".to_owned())
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration(text)?;
    if (Duration::from_millis(1)..=Duration::from_mins(5)).contains(&timeout) {
        return Ok(timeout);
    }
    Err("must be from 1ms to 5m".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.01..=1_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("must be a number from 0.01 to 1000000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(args: &[&str]) -> Result<Settings, clap::Error> {
        let program = ["scaleouttask-controller", "run"];
        let cli = Cli::try_parse_from(program.iter().chain(args))?;
        match cli.command {
            Command::Run(args) => args.into_settings(0),
            Command::Crd(_) | Command::Check(_) => panic!("not run"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_usage_exits_with_2_and_names_the_flag() {
        let rows: [(&[&str], &str); 26] = [
            (&["--network", "intranet"], "--network"),
            (
                &["--network", "vpc", "--endpoint", "https://a.b.com"],
                "--network",
            ),
            (&["--selector", "a in b"], "--selector"),
            (&["--lease-name", "My_Lease"], "--lease-name"),
            (&["--lease-namespace", "-"], "--lease-namespace"),
            (&["--namespace", ""], "--namespace"),
            (&["--namespace", "../secrets"], "--namespace"),
            (&["--allowed-cluster-id", ""], "--allowed-cluster-id"),
            (&["--region", "CN"], "--region"),
            (&["--allowed-region", "a.b"], "--allowed-region"),
            (&["--min-poll-interval", "2h"], "--min-poll-interval"),
            (&["--endpoint", "ftp://cs.aliyuncs.com"], "--endpoint"),
            (&["--endpoint", "http://cs.aliyuncs.com"], "--endpoint"),
            (&["--endpoint", "https://cs.a.com."], "--endpoint"),
            (&["--endpoint-for", "cn-beijing"], "--endpoint-for"),
            (
                &["--endpoint-for", "cn-beijing=https://a.com."],
                "--endpoint-for",
            ),
            (&["--endpoint-for", "cn-beijing=nonsense"], "--endpoint-for"),
            (&["--poll-interval", "500ms"], "--poll-interval"),
            (&["--poll-interval", "15"], "--poll-interval"),
            (&["--requests-per-second", "0"], "--requests-per-second"),
            (&["--requests-per-second", "NaN"], "--requests-per-second"),
            (&["--concurrency", "0"], "--concurrency"),
            (&["--max-calls", "0"], "--max-calls"),
            (&["--request-timeout=-1s"], "--request-timeout"),
            (&["--admin-address", "8080"], "--admin-address"),
            (&["--log-filter", "a=b=c"], "--log-filter"),
        ];
        for (args, flag) in rows {
            let error = settings(args).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{args:?}");
            let message = error.to_string();
            assert!(message.contains(flag), "{args:?}: {message}");
        }
    }

    #[test]
    fn a_refused_endpoint_does_not_show_its_password() {
        let error = settings(&["--endpoint", "https://user:hunter2@cs.aliyuncs.com"]).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn the_network_chooses_among_the_vendors_endpoints() {
        let host = |args: &[&str]| settings(args).unwrap().scheduler.endpoints.host("cn-wuhan");
        assert_eq!(host(&[]), "cs.aliyuncs.com");
        assert_eq!(
            host(&["--network", "vpc"]),
            "cs-anony-vpc.cn-wuhan.aliyuncs.com"
        );
        let own = "--endpoint-for=cn-wuhan=https://a.b.com";
        assert_eq!(host(&["--network", "vpc", own]), "a.b.com");
    }

    #[test]
    fn controllers_of_different_objects_have_different_leases() {
        let name = |args: &[&str]| {
            let all: Vec<&str> = ["--leader-elect"].iter().chain(args).copied().collect();
            settings(&all).unwrap().lease.unwrap().name
        };
        assert_eq!(name(&[]), "scaleouttask-controller");
        let web = name(&["--selector", "team=web"]);
        assert_eq!(web, name(&["--selector", " team == web"]));
        let two = name(&["--selector", "a=1,b in (x,y)"]);
        assert_eq!(two, name(&["--selector", "b in (x,y),a=1"]));
        assert_ne!(web, name(&["--selector", "team=db"]));
        assert_ne!(web, name(&[]));
        let both = name(&["--namespace", "a", "--namespace", "b"]);
        assert_eq!(both, name(&["--namespace", "b,a"]));
        let others: &[&[&str]] = &[
            &["--namespace", "a"],
            &["--namespace", "b"],
            &["--selector", "a,b"],
            &[
                "--namespace",
                "a",
                "--namespace",
                "b",
                "--selector",
                "team=web",
            ],
        ];
        for other in others {
            assert_ne!(both, name(other), "{other:?}");
        }
        assert_eq!(name(&["--selector", "a", "--lease-name", "b.c"]), "b.c");
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let settings = settings(&[]).unwrap();
        assert_eq!(
            settings.scheduler.policy.poll_interval,
            Duration::from_secs(15)
        );
        assert_eq!(settings.scheduler.policy.default_region, None);
        assert_eq!(settings.request_timeout, Duration::from_secs(10));
        assert_eq!(settings.admin_address.to_string(), "0.0.0.0:8080");
    }
}
