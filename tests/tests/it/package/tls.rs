//! The drop-in for `ssl:` remotes: keys that only root may read, and an agent that can use them nevertheless.

use std::fs;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Authority, Machine, Pki, eventually};

use super::journal;
use crate::fixture::SOON;

const UNIT: &str = "/etc/systemd/system/ovn-extaddr.service.d";

/// As docs/install.md says: the files are for the commands, and the drop-in's options for the service.
const CONFIGURATION: &str = "db = \"ssl:127.0.0.1:6641\"\n\
    private-key = \"/etc/ovn-extaddr/private-key.pem\"\n\
    certificate = \"/etc/ovn-extaddr/certificate.pem\"\n\
    ca-cert = \"/etc/ovn-extaddr/ca-cert.pem\"\n";

/// Makes the database listen with TLS for the agent only, and the service reach it as its own user; then restores
/// everything.
pub(super) fn run_service_over_tls(machine: &Machine) -> Result<()> {
    let pki = Pki::new()?;
    let (server, agent) = (pki.issue("nb", Authority::Controller)?, pki.issue("agent", Authority::Switch)?);
    machine.sh("mkdir -m 700 /root/pki")?;
    let files = [
        (server.private_key, "/root/pki/key.pem"),
        (server.certificate, "/root/pki/certificate.pem"),
        (pki.ca_cert(Authority::Switch), "/root/pki/clients.pem"),
        (agent.private_key, "/etc/ovn-extaddr/private-key.pem"),
        (agent.certificate, "/etc/ovn-extaddr/certificate.pem"),
        (pki.ca_cert(Authority::Controller), "/etc/ovn-extaddr/ca-cert.pem"),
    ];
    for (from, to) in &files {
        fs::copy(from, machine.path(to)).with_context(|| format!("{} to {to}", from.display()))?;
    }
    machine.sh("chmod 600 /etc/ovn-extaddr/*.pem && chown root:root /etc/ovn-extaddr/*.pem")?;
    machine.sh("ovn-nbctl set-ssl /root/pki/key.pem /root/pki/certificate.pem /root/pki/clients.pem -- \
         set-connection pssl:6641:127.0.0.1")?;

    machine.sh(&format!(
        "printf '{CONFIGURATION}' >/etc/ovn-extaddr/config.d/20-tls.toml && mv {UNIT}/socket.conf /root/ && \
         install -D -m 644 /usr/share/ovn-extaddr/tls.conf {UNIT}/tls.conf && \
         systemctl daemon-reload && systemctl restart --no-block ovn-extaddr"
    ))?;
    eventually(SOON, "it reads the database by TLS", || {
        let status = machine.run("ovn-appctl", &["-t", "ovn-extaddr", "status"])?;
        ensure!(
            status.stdout.contains("database: ssl:127.0.0.1:6641 (synchronised)"),
            "{status:?}{}",
            journal(machine)?
        );
        Ok(true)
    })?;
    let pid = machine.sh("systemctl show -P MainPID ovn-extaddr")?;
    let user = machine.sh(&format!("stat -c %U /proc/{}", pid.trim()))?;
    ensure!(user.trim() == "ovn-extaddr", "it runs as {user}");
    // The credentials belong to it; the files belong to root.
    let reads = |user: &str, file: &str| -> Result<bool> {
        let line = format!("setpriv --reuid {user} --regid {user} --clear-groups cat {file}");
        Ok(machine.run("nsenter", &["-t", pid.trim(), "-m", "--", "bash", "-c", &line])?.status.success())
    };
    let given = "/run/credentials/ovn-extaddr.service/private-key.pem";
    ensure!(reads("ovn-extaddr", given)?, "the agent's user has its key");
    ensure!(!reads("nobody", given)?, "nobody else has");
    ensure!(!reads("ovn-extaddr", "/etc/ovn-extaddr/private-key.pem")?, "the file is root's");
    machine.sh("ovn-extaddr list")?;

    // For bootstrap-ca-cert.
    let owner = machine.sh("stat -c %U /var/lib/ovn-extaddr")?;
    ensure!(owner.trim() == "ovn-extaddr", "it belongs to {owner}");

    // systemd 252 reports no more about a missing file; docs/install.md explains it.
    machine.sh("mv /etc/ovn-extaddr/private-key.pem /root/ && systemctl restart --no-block ovn-extaddr")?;
    eventually(SOON, "nothing starts without it", || {
        let journal = journal(machine)?;
        ensure!(journal.contains("Failed to set up credentials"), "{journal}");
        Ok(true)
    })?;

    machine.sh(&format!(
        "rm {UNIT}/tls.conf /etc/ovn-extaddr/config.d/20-tls.toml /etc/ovn-extaddr/*.pem && mv /root/socket.conf {UNIT}/ && \
         ovn-nbctl del-connection -- del-ssl && systemctl daemon-reload && systemctl reset-failed ovn-extaddr && \
         systemctl restart --no-block ovn-extaddr"
    ))?;
    Ok(())
}
