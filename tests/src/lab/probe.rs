use std::fmt::{self, Display, Formatter};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Socket, Type};

use super::flows::Flows;
use super::hold::Held;
use super::host::{Family, Host};
use super::icmp;

/// How long a probe waits for its answer: long enough for a lost SYN to be sent three more times.
const TIMEOUT: Duration = Duration::from_millis(7500);
/// How often a datagram is sent again.
const AGAIN: Duration = Duration::from_millis(300);
/// The pause between two polls of all sockets.
pub(super) const BLINK: Duration = Duration::from_millis(2);

/// The protocol of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proto {
    /// A TCP connection with a question and an answer.
    Tcp,
    /// A UDP datagram and its answer.
    Udp,
    /// An echo request and its reply; ports are identifiers.
    Icmp,
}

/// From a host to an address, and where the packets are to arrive.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    from: &'a Host,
    to: IpAddr,
    /// The port to which the sender sends; by default the port that is listened on.
    to_port: Option<u16>,
    at: &'a Host,
    /// Where the receiver listens; port 0 is any free one.
    listen: SocketAddr,
    patience: Duration,
}

/// The result of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the sender got its answer.
    pub answered: bool,
    /// Its source as the receiver saw it. A TCP connection that is not established is not seen.
    pub seen: Option<SocketAddr>,
}

impl Proto {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Icmp];
}

impl<'a> Way<'a> {
    /// To a host's own address.
    pub fn direct(from: &'a Host, at: &'a Host, family: Family) -> Result<Self> {
        from.address(family)?;
        let to = at.address(family)?;
        Ok(Self { from, to, to_port: None, at, listen: SocketAddr::new(to, 0), patience: TIMEOUT })
    }

    /// To a forwarded address and port, to arrive at a port of a host.
    pub fn forwarded(from: &'a Host, forward: SocketAddr, at: &'a Host, port: u16) -> Result<Self> {
        let family = Family::from(forward.ip());
        from.address(family)?;
        let listen = SocketAddr::new(at.address(family)?, port);
        let to_port = Some(forward.port());
        Ok(Self { from, to: forward.ip(), to_port, at, listen, patience: TIMEOUT })
    }

    /// Waits that long for an answer, instead of some seconds.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sends a probe this way, from a source port or any.
    pub fn probe(&self, proto: Proto, source_port: Option<u16>) -> Result<Outcome> {
        let outcome = match proto {
            Proto::Tcp => self.tcp(source_port),
            Proto::Udp => self.udp(source_port),
            Proto::Icmp => icmp::probe(self, source_port),
        };
        outcome.with_context(|| format!("{proto} {self}"))
    }

    /// Establishes `count` connections this way and keeps sending on them; the listening port is then free again.
    pub fn hold(&self, count: usize) -> Result<Held> {
        Held::establish(self, count).with_context(|| format!("{count} connections {self}"))
    }

    /// Opens `count` flows of UDP datagrams this way.
    pub fn open_flows(&self, count: usize) -> Result<Flows> {
        Flows::open(self, count).with_context(|| format!("{count} UDP flows {self}"))
    }

    // === inside ===

    pub(super) fn to(&self) -> IpAddr {
        self.to
    }

    pub(super) fn until(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// A socket of the sender, bound to its source port.
    pub(super) fn sender(
        &self,
        kind: Type,
        protocol: Option<socket2::Protocol>,
        port: u16,
    ) -> Result<Socket> {
        let any = if self.to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        bound(self.from, kind, protocol, SocketAddr::new(any, port))
    }

    /// A socket of the receiver, bound to where it listens.
    pub(super) fn receiver(&self, kind: Type, protocol: Option<socket2::Protocol>) -> Result<Socket> {
        bound(self.at, kind, protocol, self.listen)
    }

    /// The receiver's listener, and where the sender has to connect to.
    pub(super) fn listener(&self) -> Result<(TcpListener, SocketAddr)> {
        let socket = self.receiver(Type::STREAM, None)?;
        socket.listen(1024)?;
        let listener = TcpListener::from(socket);
        let port = self.to_port.map_or_else(|| listener.local_addr().map(|local| local.port()), Ok)?;
        Ok((listener, SocketAddr::new(self.to, port)))
    }

    /// A connection of the sender that is being established.
    pub(super) fn connecting(&self, to: SocketAddr, source_port: u16) -> Result<TcpStream> {
        let socket = self.sender(Type::STREAM, None, source_port)?;
        abort_on_close(&socket)?;
        match socket.connect(&to.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {}
            Err(error) => return Err(error).context("cannot connect"),
        }
        Ok(TcpStream::from(socket))
    }

    /// The receiver's socket for datagrams, and where the sender has to send them.
    pub(super) fn datagram_receiver(&self) -> Result<(UdpSocket, SocketAddr)> {
        let socket = UdpSocket::from(self.receiver(Type::DGRAM, None)?);
        let port = self.to_port.map_or_else(|| socket.local_addr().map(|local| local.port()), Ok)?;
        Ok((socket, SocketAddr::new(self.to, port)))
    }

    /// A socket of the sender for datagrams to there.
    pub(super) fn datagram_sender(&self, to: SocketAddr, source_port: u16) -> Result<UdpSocket> {
        let socket = UdpSocket::from(self.sender(Type::DGRAM, None, source_port)?);
        socket.connect(to)?;
        Ok(socket)
    }

    fn tcp(&self, source_port: Option<u16>) -> Result<Outcome> {
        let (listener, to) = self.listener()?;
        let mut client = self.connecting(to, source_port.unwrap_or(0))?;
        let (mut server, mut asked, mut outcome) = (None, false, Outcome { answered: false, seen: None });
        let (until, mut byte) = (self.until(), [0_u8; 1]);
        while !outcome.answered && Instant::now() < until {
            if !asked {
                asked = done(client.write(b"?"))?;
            }
            match &mut server {
                None => {
                    if let Some((stream, from)) = ready(listener.accept())? {
                        stream.set_nonblocking(true)?;
                        abort_on_close(&Socket::from(stream.try_clone()?))?;
                        outcome.seen = Some(from);
                        server = Some(stream);
                    }
                }
                Some(stream) => {
                    if done(stream.read(&mut byte))? {
                        stream.write_all(b"!")?;
                    }
                }
            }
            outcome.answered = done(client.read(&mut byte))?;
            sleep(BLINK);
        }
        Ok(outcome)
    }

    fn udp(&self, source_port: Option<u16>) -> Result<Outcome> {
        let (server, to) = self.datagram_receiver()?;
        let client = self.datagram_sender(to, source_port.unwrap_or(0))?;
        let (mut outcome, until) = (Outcome { answered: false, seen: None }, self.until());
        let (mut buffer, mut next) = ([0_u8; 16], Instant::now());
        while !outcome.answered && Instant::now() < until {
            if Instant::now() >= next {
                done(client.send(b"?"))?;
                next = Instant::now() + AGAIN;
            }
            if let Some((len, from)) = ready(server.recv_from(&mut buffer))? {
                ensure!(&buffer[..len] == b"?", "a stranger's datagram from {from}");
                outcome.seen = Some(from);
                done(server.send_to(b"!", from))?;
            }
            outcome.answered = done(client.recv(&mut buffer))?;
            sleep(BLINK);
        }
        Ok(outcome)
    }
}

impl Outcome {
    /// Its source as the receiver saw it, if the probe was answered.
    pub fn seen(&self) -> Result<SocketAddr> {
        match self.seen {
            Some(seen) if self.answered => Ok(seen),
            _ => bail!("{self}"),
        }
    }
}

const EINPROGRESS: i32 = 115;

/// How long a child process may keep the file descriptors that it was forked with.
const RELEASE: Duration = Duration::from_secs(2);

/// Makes a socket in a host's namespace. It never blocks.
fn bound(
    host: &Host,
    kind: Type,
    protocol: Option<socket2::Protocol>,
    address: SocketAddr,
) -> Result<Socket> {
    host.namespace().run(|| {
        let socket = Socket::new(Domain::for_address(address), kind, protocol)?;
        // A chosen source port may be used again at once. Of several UDP sockets that say so the kernel may give two the
        // same port, where it chooses.
        socket.set_reuse_address(address.port() != 0)?;
        bind(&socket, address).with_context(|| format!("{} cannot bind {address}", host.name()))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    })
}

/// Binds a socket. One that was closed may still be open in a child process that another thread has forked and that
/// has not come to its exec yet.
fn bind(socket: &Socket, address: SocketAddr) -> std::io::Result<()> {
    let start = Instant::now();
    loop {
        match socket.bind(&address.into()) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && start.elapsed() < RELEASE => sleep(BLINK),
            result => return result,
        }
    }
}

/// Avoids states that would keep a pair of ports busy.
pub(super) fn abort_on_close(socket: &Socket) -> Result<()> {
    socket.set_linger(Some(Duration::ZERO)).context("cannot set SO_LINGER")
}

/// The value, or `None` if there is none yet. Errors of the network are not errors of the probe.
pub(super) fn ready<T>(result: std::io::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock
            | ErrorKind::NotConnected
            | ErrorKind::TimedOut
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable => Ok(None),
            _ => Err(error.into()),
        },
    }
}

/// Whether something was read or written.
fn done(result: std::io::Result<usize>) -> Result<bool> {
    Ok(ready(result)?.is_some_and(|count| count > 0))
}

impl Display for Proto {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        })
    }
}

impl Display for Way<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "from {} to {}", self.from.name(), self.to)?;
        if let Some(port) = self.to_port {
            write!(out, " port {port}")?;
        }
        write!(out, " at {}", self.at.name())
    }
}

impl Display for Outcome {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match (self.answered, self.seen) {
            (true, Some(seen)) => write!(out, "seen as {seen}"),
            (true, None) => write!(out, "answered by somebody else"),
            (false, Some(seen)) => write!(out, "seen as {seen}, but the answer is lost"),
            (false, None) => write!(out, "no answer"),
        }
    }
}
