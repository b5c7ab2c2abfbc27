mod member;
mod relay;
mod tls_server;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub use member::Member;
pub use relay::Relay;
pub use tls_server::TlsServer;

use crate::clock::Clock;
use crate::command::{isolated, run};
use crate::dir::Dir;
use crate::lab::Namespace;
use crate::northbound::DATABASE;
use crate::ovsdb_server::installed_schema;
use crate::pki::Certified;
use crate::snapshot::Snapshot;
use crate::wait::eventually;

/// Longer than any election.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Several ovsdb-servers that are one Northbound database by RAFT.
#[derive(Debug)]
pub struct Cluster {
    // Before `dir`: the processes end first, then their files are removed.
    members: Vec<Member>,
    dir: Dir,
}

impl Cluster {
    /// Starts a cluster with an empty database, and waits until all members have joined it.
    pub fn northbound(size: usize) -> Result<Self> {
        let (dir, raft) = Self::place(size)?;
        Self::found(dir, &raft, |dir, n, file| Member::start(dir, &n.to_string(), &[file.to_owned()]))
    }

    /// A directory, and RAFT addresses in it.
    fn place(size: usize) -> Result<(Dir, Vec<String>)> {
        let dir = Dir::new("raft")?;
        let raft = (0..size).map(|n| format!("unix:{}/{n}.raft", dir.path().display())).collect();
        Ok((dir, raft))
    }

    /// As [`northbound`](Self::northbound), with one member for each of these clocks.
    pub fn northbound_by(clocks: &[Clock]) -> Result<Self> {
        let (dir, raft) = Self::place(clocks.len())?;
        Self::found(dir, &raft, |dir, n, file| {
            Member::start_by(Some(&clocks[n]), dir, &n.to_string(), &[file.to_owned()])
        })
    }

    /// As [`northbound`](Self::northbound), with members that show this certificate to clients and require one that
    /// `ca_cert` has signed. Also returns the remotes with TLS, which a restarted member does not have.
    pub fn northbound_with_tls(size: usize, own: &Certified, ca_cert: &Path) -> Result<(Self, String)> {
        let (dir, raft) = Self::place(size)?;
        let cluster = Self::found(dir, &raft, |dir, n, file| {
            let mut arguments = tls_server::arguments(own, ca_cert);
            arguments.push(file.to_owned());
            Member::start(dir, &n.to_string(), &arguments)
        })?;
        let ports = cluster.members.iter().map(tls_server::listen).collect::<Result<Vec<_>>>()?;
        let remotes: Vec<_> = ports.iter().map(|port| format!("ssl:127.0.0.1:{port}")).collect();
        Ok((cluster, remotes.join(",")))
    }

    /// As [`northbound`](Self::northbound), with each member in its own namespace, where it listens at an address on
    /// port 6641.
    pub(crate) fn spread(nodes: &[(Namespace, IpAddr)]) -> Result<Self> {
        let raft: Vec<_> = nodes.iter().map(|(_, address)| format!("tcp:{address}:6643")).collect();
        Self::found(Dir::new("raft")?, &raft, |dir, n, file| {
            let (namespace, address) = &nodes[n];
            let listen = format!("--remote=ptcp:6641:{address}");
            namespace.run(|| Member::start(dir, &n.to_string(), &[listen, file.to_owned()]))
        })
    }

    /// Makes the files of members with these RAFT addresses, and starts each.
    fn found(
        dir: Dir,
        raft: &[String],
        start: impl Fn(&Path, usize, &str) -> Result<Member>,
    ) -> Result<Self> {
        let mut members = Vec::new();
        for (n, own) in raft.iter().enumerate() {
            let file = dir.path().join(format!("{n}.db"));
            let mut create = isolated("ovsdb-tool", dir.path());
            if n == 0 {
                let schema = installed_schema("ovn-nb.ovsschema")?;
                create.arg("create-cluster").arg(&file).arg(schema).arg(own);
            } else {
                create.arg("join-cluster").arg(&file).args([DATABASE, own, &raft[0]]);
            }
            run(create)?;
            members.push(start(dir.path(), n, &file.display().to_string())?);
        }
        let cluster = Self { members, dir };
        eventually(TIMEOUT, "all members have joined", || {
            for member in &cluster.members {
                if !member.cluster_status()?.contains("Status: cluster member") {
                    bail!("{} has not joined", member.remote());
                }
            }
            Ok(true)
        })?;
        cluster.leader()?;
        Ok(cluster)
    }

    /// Starts a cluster of one with the rows of a standalone database file, which `make` writes at the path that it
    /// is given.
    pub fn with_file(make: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let dir = Dir::new("raft")?;
        let (standalone, file) = (dir.path().join("standalone"), dir.path().join("0.db"));
        make(&standalone)?;
        let mut create = isolated("ovsdb-tool", dir.path());
        create.arg("create-cluster").arg(&file).arg(&standalone);
        create.arg(format!("unix:{}/0.raft", dir.path().display()));
        run(create)?;
        let member = Member::start(dir.path(), "0", &[file.display().to_string()])?;
        let cluster = Self { members: vec![member], dir };
        cluster.leader()?;
        Ok(cluster)
    }

    /// The directory of all members' files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// One of the members.
    pub fn member(&mut self, n: usize) -> &mut Member {
        &mut self.members[n]
    }

    /// All members.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The Unix sockets of all members, as the OVN tools' `--db` takes them.
    pub fn remotes(&self) -> String {
        self.members.iter().map(Member::remote).collect::<Vec<_>>().join(",")
    }

    /// The TCP ports of all members, as the OVN tools' `--db` takes them.
    pub fn tcp_remotes(&self) -> String {
        self.members.iter().map(Member::tcp_remote).collect::<Vec<_>>().join(",")
    }

    /// Waits until there is a leader, and returns which member it is.
    pub fn leader(&self) -> Result<usize> {
        self.leader_but(None)
    }

    /// As [`leader`](Self::leader), but a different one: a frozen member may still believe that it is the leader.
    pub fn leader_but(&self, not: Option<usize>) -> Result<usize> {
        self.leader_within(TIMEOUT, not)
    }

    fn leader_within(&self, timeout: Duration, not: Option<usize>) -> Result<usize> {
        eventually(timeout, "there is a leader", || {
            let leads = |n: &usize| {
                Some(*n) != not && self.members[*n].cluster_status().is_ok_and(|s| s.contains("Role: leader"))
            };
            Ok((0..self.members.len()).find(leads))
        })
    }

    /// Makes the leader step down, and waits for the next. Returns that.
    ///
    /// If the others cannot follow, such as one that has just been started and lacks entries of the log, the same member
    /// is elected again, and is asked again.
    pub fn transfer_leadership(&self) -> Result<usize> {
        const ATTEMPTS: u32 = 4;
        let attempt = || {
            let old = self.leader()?;
            self.members[old].appctl(&["cluster/failure-test", "transfer-leadership"])?;
            self.leader_within(TIMEOUT / ATTEMPTS, Some(old))
        };
        (1..ATTEMPTS).find_map(|_| attempt().ok()).map_or_else(attempt, Ok)
    }

    /// The content of the leader's database.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.members[self.leader()?].snapshot()
    }

    /// Checks the files of all members, which must run or have run, for contradictions between them.
    pub fn check(&self) -> Result<()> {
        let files = (0..self.members.len()).map(|n| self.dir().join(format!("{n}.db")));
        let mut check = isolated("ovsdb-tool", self.dir());
        check.arg("check-cluster").args(files.collect::<Vec<PathBuf>>());
        run(check).map(drop).context("the cluster's files contradict each other")
    }
}
