//! UDP flows that are held across a change: each end identifies the other by the address that it saw first.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::hold::Counts;
use super::probe::{BLINK, Way, ready};

/// How often a datagram that is not answered is sent again.
const AGAIN: Duration = Duration::from_millis(300);
/// How long flows have to get their first answer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a flow may be silent in a check.
const SILENCE: Duration = Duration::from_secs(6);

/// Flows between sockets of a sender and one of a receiver. The connection tracking of Open vSwitch forgets them after
/// 30 seconds of silence.
#[derive(Debug)]
pub struct Flows {
    near: Vec<UdpSocket>,
    far: UdpSocket,
    /// The source of the first datagram of each, as the receiver saw it.
    sources: Vec<Option<SocketAddr>>,
    round: u32,
}

impl Flows {
    pub(super) fn open(way: &Way<'_>, count: usize) -> Result<Self> {
        let (far, to) = way.datagram_receiver()?;
        let near = (0..count).map(|_| way.datagram_sender(to, 0)).collect::<Result<_>>()?;
        let mut flows = Self { near, far, sources: vec![None; count], round: 0 };
        let counts = flows.look(OPEN_TIMEOUT)?;
        ensure!(counts.dead == 0, "{counts}");
        Ok(flows)
    }

    /// Sends a request on every flow, and counts those on which request and answer arrive. A datagram from a new source
    /// does not belong to a known flow, and is not answered.
    pub fn check(&mut self) -> Result<Counts> {
        self.look(SILENCE)
    }

    fn look(&mut self, patience: Duration) -> Result<Counts> {
        self.round += 1;
        let (start, mut next) = (Instant::now(), Instant::now());
        let (mut answered, mut moved) = (vec![false; self.near.len()], None);
        while answered.contains(&false) && start.elapsed() < patience {
            if Instant::now() >= next {
                for (number, socket) in self.near.iter().enumerate().filter(|(number, _)| !answered[*number])
                {
                    ready(socket.send(&message(number as u32, self.round)))?;
                }
                next = Instant::now() + AGAIN;
            }
            while let Some((question, from)) = received(&self.far)? {
                let source =
                    self.sources.get_mut(question.0 as usize).map(|source| source.get_or_insert(from));
                match source {
                    Some(source) if *source == from => {
                        ready(self.far.send_to(&message(question.0, question.1), from))?;
                    }
                    _ => moved = Some(from),
                }
            }
            for (number, socket) in self.near.iter().enumerate() {
                while let Some((answer, _)) = received(socket)? {
                    answered[number] |= answer == (number as u32, self.round);
                }
            }
            sleep(BLINK);
        }
        let alive = answered.iter().filter(|answered| **answered).count();
        let mut sources = BTreeMap::new();
        for (source, _) in self.sources.iter().zip(&answered).filter(|(_, answered)| **answered) {
            *sources.entry(source.map_or(self.far.local_addr()?.ip(), |source| source.ip())).or_default() +=
                1;
        }
        let dead = answered.len() - alive;
        let reason = (dead > 0).then(|| match moved {
            Some(from) => format!("comes from {from} now"),
            None => format!("silent for {patience:?}"),
        });
        Ok(Counts { alive, dead, sources, reason })
    }
}

/// A datagram's content: the number of its flow and of the check.
fn message(number: u32, round: u32) -> [u8; 8] {
    (u64::from(number) << 32 | u64::from(round)).to_be_bytes()
}

/// Reads the next datagram that has arrived.
fn received(socket: &UdpSocket) -> Result<Option<((u32, u32), SocketAddr)>> {
    let mut buffer = [0; 8];
    let Some((_, from)) = ready(socket.recv_from(&mut buffer))? else { return Ok(None) };
    let content = u64::from_be_bytes(buffer);
    Ok(Some((((content >> 32) as u32, content as u32), from)))
}
