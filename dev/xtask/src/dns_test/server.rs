//! A small DNS server that answers as each case has it, by UDP and TCP.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, TcpListener, TcpStream, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

const PORT: u16 = 53;
const HEADER: usize = 12;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    A = 1,
    Aaaa = 28,
}

/// What is answered.
#[derive(Clone, Copy)]
pub enum Answer {
    /// Perhaps none.
    Addresses(&'static [&'static str]),
    /// By TCP. By UDP, that there is more than fits.
    ByTcp(&'static [&'static str]),
    /// An error's code.
    Code(u8),
    Silence,
}

/// What is answered to a question.
pub type Zone = fn(&str, Kind) -> Answer;

/// One server. It never ends.
#[derive(Clone)]
pub struct Server(Arc<Mutex<Zone>>);

impl Server {
    /// Starts one that is silent.
    pub fn start(address: &str) -> io::Result<Self> {
        let server = Self(Arc::new(Mutex::new(|_, _| Answer::Silence)));
        let udp = UdpSocket::bind((address, PORT))?;
        let tcp = TcpListener::bind((address, PORT))?;
        let (by_udp, by_tcp) = (server.clone(), server.clone());
        thread::spawn(move || by_udp.serve_udp(&udp));
        thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                // Who hangs up needs no answer.
                drop(by_tcp.answer_tcp(stream));
            }
        });
        Ok(server)
    }

    /// Answers so from now on.
    pub fn play(&self, zone: Zone) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = zone;
    }

    fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(reply) = self.reply(&buffer[..length], false) {
                drop(socket.send_to(&reply, from));
            }
        }
    }

    fn answer_tcp(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut query)?;
        if let Some(reply) = self.reply(&query, true) {
            let length = u16::try_from(reply.len()).unwrap_or_default();
            stream.write_all(&[&length.to_be_bytes(), &*reply].concat())?;
        }
        Ok(())
    }

    fn reply(&self, query: &[u8], by_tcp: bool) -> Option<Vec<u8>> {
        let (name, kind, end) = question(query)?;
        let zone = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (addresses, flags, code) = match zone(&name, kind) {
            Answer::Addresses(addresses) => (addresses, 0, 0),
            Answer::ByTcp(addresses) if by_tcp => (addresses, 0, 0),
            Answer::ByTcp(_) => (&[][..], 0x02, 0),
            Answer::Code(code) => (&[][..], 0, code),
            Answer::Silence => return None,
        };
        let mut reply = query[..end].to_vec();
        // A reply, recursion wanted and to be had.
        reply[2..4].copy_from_slice(&[0x81 | flags, 0x80 | code]);
        reply[6..8].copy_from_slice(&u16::try_from(addresses.len()).ok()?.to_be_bytes());
        // No other sections.
        reply[8..HEADER].fill(0);
        for address in addresses {
            let data = match address.parse().ok()? {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            // The name of the question, the kind, the class, no time to live.
            reply.extend([0xc0, 12, 0, kind as u8, 0, 1, 0, 0, 0, 0, 0]);
            reply.push(u8::try_from(data.len()).ok()?);
            reply.extend(data);
        }
        Some(reply)
    }
}

/// The name and kind of a query, and where its question ends.
fn question(query: &[u8]) -> Option<(String, Kind, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = match query.get(at..at + 2)? {
        [0, 1] => Kind::A,
        [0, 28] => Kind::Aaaa,
        _ => return None,
    };
    Some((labels.join("."), kind, at + 4)).filter(|_| query.len() >= at + 4)
}
