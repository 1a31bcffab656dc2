//! Finds the addresses of a host, for all clients alike: hickory-resolver asks, and this says what for and how long.
//! docs/decisions/resolver.md has why the C library doesn't.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Once,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{BoxFuture, select, select_ok};
use hickory_resolver::{
    Hosts, TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::Query,
        rr::{Name, RecordType},
    },
    system_conf::read_system_conf,
};
use hyper_util::client::legacy::connect::dns;
use thiserror::Error;
use tokio::time::timeout;
use tower_service::Service;
use tracing::warn;

/// How long all servers may be silent about a name before that below the next search domain is asked for.
const NEXT_NAME: Duration = Duration::from_millis(1500);
/// How long the addresses of one kind wait for those of the other.
const OTHER_KIND: Duration = Duration::from_millis(250);
const KINDS: [RecordType; 2] = [RecordType::A, RecordType::AAAA];

/// Why a host has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// DNS knows no such name, or no address of it.
    #[error("no such host")]
    NoSuchHost,
    /// No name server says whether there is such a name.
    #[error("the name server fails or doesn't answer")]
    NameServer,
}

/// Reads the system's files at each look-up, for they may change.
#[derive(Clone, Debug)]
pub struct Resolver {
    limit: Duration,
}

impl Resolver {
    /// One for connections that may take that long: a look-up ends before, and says why it brought nothing.
    #[must_use]
    pub fn for_connections(timeout: Duration) -> Self {
        Self {
            limit: timeout * 4 / 5,
        }
    }

    /// The addresses of a host, those first that are to be tried first. None has a port.
    async fn resolve(self, host: String) -> Result<Vec<SocketAddr>, ResolveError> {
        // DNS has no others.
        let name = Name::from_ascii(host).map_err(|_| ResolveError::NoSuchHost)?;
        let mut addresses = in_hosts(&name);
        if addresses.is_empty() {
            let asking = timeout(self.limit, in_dns(&name, configuration()));
            addresses = asking.await.unwrap_or(Err(ResolveError::NameServer))?;
        }
        // Where both lead out of a cluster, IPv4 is the one that seldom fails; the client tries the other 300 ms later.
        addresses.sort_by_key(IpAddr::is_ipv6);
        let addresses = addresses.into_iter();
        Ok(addresses.map(|address| (address, 0).into()).collect())
    }
}

/// Goes before DNS for both kinds, though it has but one: a pod's `hostAliases` are there.
fn in_hosts(name: &Name) -> Vec<IpAddr> {
    let hosts = Hosts::from_system().unwrap_or_default();
    let known = KINDS.map(|kind| hosts.lookup_static_host(&Query::query(name.clone(), kind)));
    addresses(known.iter().flatten())
}

fn addresses<'a>(found: impl Iterator<Item = &'a Lookup>) -> Vec<IpAddr> {
    let records = found.flat_map(Lookup::answers);
    records.filter_map(|record| record.data.ip_addr()).collect()
}

fn configuration() -> (ResolverConfig, ResolverOpts) {
    static TOLD: Once = Once::new();
    read_system_conf().unwrap_or_else(|cause| {
        TOLD.call_once(
            || warn!(%cause, "can't use /etc/resolv.conf: 127.0.0.1 is the name server"),
        );
        // As for the C library.
        let server = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
        let config = ResolverConfig::from_name_servers(vec![server]);
        (config, ResolverOpts::default())
    })
}

/// Asks all servers, and each by itself if that fails: the library takes one that fails for all.
async fn in_dns(
    name: &Name,
    (config, options): (ResolverConfig, ResolverOpts),
) -> Result<Vec<IpAddr>, ResolveError> {
    // The domain of the machine's own name isn't searched: the C library doesn't either, and the file doesn't say so.
    let (_, search, servers) = config.into_parts();
    let ask_some = |servers| {
        let config = ResolverConfig::from_parts(None, search.clone(), servers);
        ask(name, config, options.clone())
    };
    let answer = ask_some(servers.clone()).await;
    if answer != Err(ResolveError::NameServer) || servers.len() < 2 {
        return answer;
    }
    let each = servers.into_iter().map(|server| ask_some(vec![server]));
    let (addresses, _) = select_ok(each.map(Box::pin)).await?;
    Ok(addresses)
}

/// Asks for both kinds apart, so that one that fails or is silent costs but itself.
async fn ask(
    name: &Name,
    config: ResolverConfig,
    options: ResolverOpts,
) -> Result<Vec<IpAddr>, ResolveError> {
    let resolver = resolver(config, options).map_err(|_| ResolveError::NameServer)?;
    let [v4, v6] = KINDS.map(|kind| Box::pin(resolver.lookup(name.clone(), kind)));
    let (first, other) = select(v4, v6).await.factor_first();
    let wait = if first.is_ok() {
        OTHER_KIND
    } else {
        Duration::MAX
    };
    let second = timeout(wait, other).await.unwrap_or(Err(NetError::Timeout));
    let both = [&first, &second];
    let addresses = addresses(both.into_iter().flatten());
    if !addresses.is_empty() {
        return Ok(addresses);
    }
    let mut errors = both.into_iter().filter_map(|found| found.as_ref().err());
    Err(if errors.all(NetError::is_no_records_found) {
        ResolveError::NoSuchHost
    } else {
        ResolveError::NameServer
    })
}

/// All servers are asked at once, so that a silent one costs no time, and each name for a short time only.
fn resolver(config: ResolverConfig, mut options: ResolverOpts) -> Result<TokioResolver, NetError> {
    options.num_concurrent_reqs = config.name_servers().len();
    options.timeout = options.timeout.clamp(Duration::from_secs(1), NEXT_NAME);
    options.attempts = 0;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let resolving = self.clone().resolve(name.as_str().to_owned());
        Box::pin(async {
            let addresses: reqwest::dns::Addrs = Box::new(resolving.await?.into_iter());
            Ok(addresses)
        })
    }
}

impl Service<dns::Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = BoxFuture<'static, Result<Self::Response, ResolveError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: dns::Name) -> Self::Future {
        let resolving = self.clone().resolve(name.as_str().to_owned());
        Box::pin(async { Ok(resolving.await?.into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::config::ConnectionConfig;
    use tokio::{net::UdpSocket, time::Instant};

    use super::*;

    const FAILURE: u8 = 2;
    const NO_SUCH_NAME: u8 = 3;

    /// Answers with the address 10.0.0.1, with a code, or not at all.
    type Zone = fn(name: &str, is_v6: bool) -> Option<u8>;

    async fn serve(zone: Zone) -> NameServerConfig {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut by_udp = ConnectionConfig::udp();
        by_udp.port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                let mut reply = query[..length].to_vec();
                let is_v6 = reply[length - 3] == 28;
                let name = String::from_utf8_lossy(&reply[12..length - 5]).into_owned();
                let Some(code) = zone(&name, is_v6) else {
                    continue;
                };
                reply[2..4].copy_from_slice(&[0x81, 0x80 | code]);
                if code == 0 && !is_v6 {
                    reply[7] = 1;
                    reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 10, 0, 0, 1]);
                }
                socket.send_to(&reply, from).await.unwrap();
            }
        });
        NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![by_udp])
    }

    async fn ask_at(zones: &[Zone], host: &str) -> Result<Vec<String>, ResolveError> {
        let mut config = ResolverConfig::default();
        config.add_search(Name::from_ascii("corp.test").unwrap());
        for zone in zones {
            config.add_name_server(serve(*zone).await);
        }
        let mut options = ResolverOpts::default();
        options.ndots = 5;
        options.edns0 = false;
        let name = Name::from_ascii(host).unwrap();
        let addresses = in_dns(&name, (config, options)).await?;
        Ok(addresses.iter().map(ToString::to_string).collect())
    }

    #[tokio::test]
    async fn what_fails_or_is_silent_costs_but_itself() {
        let good: Zone = |_, _| Some(0);
        let cases: [(&[Zone], _); 6] = [
            (&[|_, is_v6| Some(if is_v6 { FAILURE } else { 0 })], 0),
            (&[|_, is_v6| (!is_v6).then_some(0)], 250),
            (&[|_, _| None, good], 0),
            (&[|_, _| Some(FAILURE), good], 0),
            (
                &[|name, _| Some(if name.contains("corp") { FAILURE } else { 0 })],
                0,
            ),
            (&[|name, _| (!name.contains("corp")).then_some(0)], 1500),
        ];
        for (index, (zones, least)) in cases.into_iter().enumerate() {
            let began = Instant::now();
            let found = ask_at(zones, "cs.example.test").await;
            assert_eq!(found, Ok(vec!["10.0.0.1".to_owned()]), "{index}");
            let took = began.elapsed().as_millis();
            assert!((least..least + 1000).contains(&took), "{index}: {took} ms");
        }
    }

    #[tokio::test]
    async fn what_is_said_of_the_name_as_written_is_told() {
        let nothing_there: Zone = |_, _| Some(NO_SUCH_NAME);
        let only_corp_fails: Zone = |name, _| {
            Some(if name.contains("corp") {
                FAILURE
            } else {
                NO_SUCH_NAME
            })
        };
        for (zone, expected) in [
            (nothing_there, ResolveError::NoSuchHost),
            (only_corp_fails, ResolveError::NoSuchHost),
            (|_, _| Some(FAILURE), ResolveError::NameServer),
            (|_, _| None, ResolveError::NameServer),
        ] {
            assert_eq!(ask_at(&[zone], "cs.example.test").await, Err(expected));
        }
    }
}
