//! Tests that depend on the release of systemd; `scripts/containers` runs them with others, with its version of the unit.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Agent, Machine, Output, eventually};

use super::{EXPOSURE, ROOT, journal};
use crate::fixture::SOON;

/// Installs with `scripts/install`, as in docs/install.md for systems other than Debian.
fn installed() -> Result<(Machine, u32)> {
    let machine = Machine::boot()?;
    let said = machine.sh("systemctl --version")?;
    let version: u32 = said.split(' ').nth(1).context("a version")?.parse().with_context(|| said.clone())?;
    let mut install = Command::new("scripts/install");
    install.current_dir(ROOT).arg("--root").arg(machine.path("/")).args(["--systemd", &version.to_string()]);
    Output::capture({
        install.arg("--binary").arg(Agent::built()?);
        install
    })?
    .success()?;
    machine.sh(
        "systemd-sysusers && systemd-tmpfiles --create && install -D -m 644 /usr/share/ovn-extaddr/socket-of-root.conf \
         /etc/systemd/system/ovn-extaddr.service.d/socket.conf && systemctl daemon-reload && \
         systemctl start ovn-ovsdb-server-nb && systemctl enable ovn-extaddr 2>&1 && timeout 20 systemctl start ovn-extaddr",
    )?;
    Ok((machine, version))
}

#[test]
fn service_starts_reloads_and_stops_with_the_installed_systemd() -> Result<()> {
    let (machine, version) = installed()?;
    println!("systemd {version}");
    let shown = |property: &str| -> Result<String> {
        Ok(machine.sh(&format!("systemctl show -P {property} ovn-extaddr"))?.trim().to_owned())
    };
    ensure!(shown("Type")? == if version < 253 { "notify" } else { "notify-reload" }, "systemd {version}");
    ensure!(shown("ActiveState")? == "active", "{}", journal(&machine)?);
    ensure!(machine.sh("ovn-appctl -t ovn-extaddr version")?.starts_with("ovn-extaddr "));

    // If systemd waits for the end of a reload, it is notified.
    machine.sh("timeout 20 systemctl reload ovn-extaddr")?;
    eventually(SOON, "the configuration was read", || {
        let said = journal(&machine)?;
        ensure!(said.contains("configuration reloaded"), "{said}");
        Ok(shown("ActiveState")? == "active")
    })?;
    let pid = shown("MainPID")?;

    let judged = machine.sh("systemd-analyze security --no-pager ovn-extaddr")?;
    let figure =
        judged.split("exposure level for").nth(1).and_then(|text| text.split(": ").nth(1)?.split(' ').next());
    let figure: f64 = figure.with_context(|| judged.clone())?.parse()?;
    ensure!(figure <= EXPOSURE, "the exposure is {figure} with systemd {version}:\n{judged}");
    let said = machine.run("systemd-analyze", &["verify", "--man=no", "ovn-extaddr.service"])?.stderr;
    ensure!(!said.contains("ovn-extaddr"), "{said}");

    machine.sh("timeout 20 systemctl stop ovn-extaddr")?;
    ensure!(shown("Result")? == "success" && pid != "0", "{}", journal(&machine)?);
    ensure!(machine.sh("ls /run/ovn | grep extaddr; true")?.is_empty(), "the links are gone");
    Ok(())
}
