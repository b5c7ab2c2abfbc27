//! Echo requests through raw sockets. The receiver's kernel answers; a raw socket there observes.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use socket2::{Protocol, Type};

use super::probe::{BLINK, Outcome, Way, ready};

/// How often a request is sent again.
const AGAIN: Duration = Duration::from_millis(300);

/// The mark of our packets, with a number for each probe.
const MARK: &[u8; 8] = b"extaddr ";

pub(super) fn probe(way: &Way<'_>, id: Option<u16>) -> Result<Outcome> {
    static PROBES: AtomicU32 = AtomicU32::new(1);
    let number = PROBES.fetch_add(1, Ordering::Relaxed);
    let v4 = way.to().is_ipv4();
    let protocol = Some(if v4 { Protocol::ICMPV4 } else { Protocol::ICMPV6 });
    // A raw socket sends and receives like one for datagrams; the standard library just has no name for it.
    let receiver = UdpSocket::from(way.receiver(Type::RAW, protocol)?);
    let sender = UdpSocket::from(way.sender(Type::RAW, protocol, 0)?);
    let id = id.unwrap_or(0x4000 | (number & 0x3fff) as u16);
    let payload = [MARK.as_slice(), &std::process::id().to_be_bytes(), &number.to_be_bytes()].concat();
    let (request, reply) = if v4 { (8, 0) } else { (128, 129) };

    let mut outcome = Outcome { answered: false, seen: None };
    let (until, mut next) = (way.until(), Instant::now());
    while !outcome.answered && Instant::now() < until {
        if Instant::now() >= next {
            ready(sender.send_to(&message(request, id, &payload), SocketAddr::new(way.to(), 0)))?;
            next = Instant::now() + AGAIN;
        }
        sleep(BLINK);
        outcome.answered = receive(&sender, v4, reply, &payload)?.is_some_and(|from| from.ip() == way.to());
        // The receiver's kernel has answered the packets that wait here; so read them after the answer, not before.
        if let Some(from) = receive(&receiver, v4, request, &payload)? {
            outcome.seen = Some(from);
        }
    }
    Ok(outcome)
}

/// Reads the received packets, and finds the last of our messages of a type: its source with the identifier as port.
fn receive(socket: &UdpSocket, v4: bool, kind: u8, payload: &[u8]) -> Result<Option<SocketAddr>> {
    let (mut buffer, mut found) = ([0_u8; 256], None);
    while let Some((len, from)) = ready(socket.recv_from(&mut buffer))? {
        // RFC 791: an IPv4 raw socket returns the header, too; its length is in words.
        let skip = if v4 { usize::from(buffer[0] & 0xf) * 4 } else { 0 };
        let message = buffer[..len].get(skip..).unwrap_or_default();
        if let [first, _, _, _, high, low, _, _, rest @ ..] = message
            && *first == kind
            && rest == payload
        {
            found = Some(source(from.ip(), u16::from_be_bytes([*high, *low])));
        }
    }
    Ok(found)
}

fn source(address: IpAddr, id: u16) -> SocketAddr {
    SocketAddr::new(address, id)
}

/// An echo message (RFC 792, RFC 4443). The kernel computes the checksum of IPv6, and overwrites ours.
fn message(kind: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let mut message = [&[kind, 0, 0, 0, high, low, 0, 1], payload].concat();
    let sum: u32 =
        message.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !(((folded & 0xffff) + (folded >> 16)) as u16);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}
