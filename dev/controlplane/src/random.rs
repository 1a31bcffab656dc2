//! Random names and ports.

use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::ops::Range;

use crate::Error;

/// Below the ports that systems assign to clients. So no client can get the port of a server before
/// that is up, or while it is stopped.
const PORTS: Range<u16> = 20_000..32_000;

/// 128 random bits as hexadecimal digits.
pub(crate) fn token() -> Result<String, Error> {
    let [high, low] = [number()?, number()?];
    Ok(format!("{high:016x}{low:016x}"))
}

/// A loopback port that is free, for a server that is told which to take.
///
/// # Errors
/// If none is.
pub fn free_port() -> Result<u16, Error> {
    let [port] = ports()?;
    Ok(port)
}

/// Distinct loopback ports that are free.
pub(crate) fn ports<const N: usize>() -> Result<[u16; N], Error> {
    let failed = |source| Error::Io {
        action: "find a free port on 127.0.0.1".to_owned(),
        source,
    };
    let mut held = Vec::with_capacity(N);
    let mut last = None;
    let offset = u16::try_from(number()? % PORTS.len() as u64).unwrap_or_default();
    for port in (PORTS.start + offset..PORTS.end)
        .chain(PORTS)
        .take(PORTS.len())
    {
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => held.push((port, listener)),
            Err(error) => last = Some(error),
        }
        if held.len() == N {
            break;
        }
    }
    let ports: Vec<u16> = held.iter().map(|(port, _)| *port).collect();
    ports
        .try_into()
        .map_err(|_| failed(last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into())))
}

fn number() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(Error::io("read /dev/urandom"))?;
    Ok(u64::from_ne_bytes(bytes))
}
