//! The package, on a Debian with a real systemd: installed, started, used, upgraded, removed.
//!
//! One machine for all, since this tests the whole life of an installation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Agent, Machine, Output, eventually};

use crate::fixture::SOON;

mod release;
mod tls;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The maximum exposure by `systemd-analyze security`.
const EXPOSURE: f64 = 1.5;

/// The network of the README, as commands of OVN's tool.
const NETWORK: &str = "\
    ovn-nbctl lr-add R -- lrp-add R R-ext 02:00:00:00:00:01 203.0.113.2/24 -- lrp-add R R-int 02:00:00:00:00:02 10.57.0.1/24 \
    -- lrp-set-gateway-chassis R-ext c1 -- ls-add S -- lsp-add S S-R \
    -- lsp-set-type S-R router -- lsp-set-options S-R router-port=R-int -- lsp-set-addresses S-R router \
    -- lsp-add S p1 -- lsp-set-addresses p1 '02:00:00:00:00:11 10.57.0.11' \
    -- lr-nat-add R snat 203.0.113.2 10.57.0.0/24 \
    -- lb-add fw 203.0.113.10:80 10.57.0.11:80 -- lr-lb-add R fw";

/// Builds the package of the binary that all tests use.
fn package(directory: &Path) -> Result<PathBuf> {
    let mut command = Command::new("scripts/package");
    command.current_dir(ROOT).arg("--binary").arg(Agent::built()?).arg("--output").arg(directory);
    Ok(PathBuf::from(Output::capture(command)?.success()?.trim()))
}

#[test]
fn unit_is_valid_and_its_exposure_is_small() -> Result<()> {
    let directory = tempfile::tempdir()?;
    // As installed on this machine: systemd checks for the program.
    let mut install = Command::new("scripts/install");
    install.current_dir(ROOT).arg("--root").arg(directory.path()).arg("--binary").arg(Agent::built()?);
    Output::capture(install)?.success()?;
    let unit = directory.path().join("usr/lib/systemd/system/ovn-extaddr.service");
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager"]).arg(&unit);
    let output = Output::capture(analyze)?;
    let found = output.stdout.lines().find_map(|line| line.split("exposure level for").nth(1));
    let figure = found.and_then(|text| text.split(": ").nth(1)?.split(' ').next()?.parse::<f64>().ok());
    let figure = figure.with_context(|| format!("there is no figure in {output:?}"))?;
    assert!(figure <= EXPOSURE, "the exposure is {figure}:\n{}", output.stdout);
    assert_eq!(output.stderr, "", "systemd has something to say of it");

    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]).arg(&unit);
    verify.args(["--root".as_ref(), directory.path().as_os_str()]);
    // Without the programs of the base system in the root; only their absence may be reported.
    let said = Output::capture(verify)?.stderr;
    let said: Vec<_> = said
        .lines()
        .filter(|line| line.contains("ovn-extaddr") && !line.contains("is not executable"))
        .collect();
    assert!(said.is_empty(), "{said:#?}");
    let text = fs::read_to_string(&unit)?;
    assert!(text.contains("Type=notify"), "{text}");
    Ok(())
}

#[test]
fn unit_reload_type_fits_the_version_of_systemd() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let unit = |version: &str| -> Result<String> {
        let root = directory.path().join(version);
        let mut install = Command::new("scripts/install");
        install.current_dir(ROOT).args(["--systemd", version, "--root"]).arg(&root);
        install.arg("--binary").arg(Agent::built()?);
        Output::capture(install)?.success()?;
        Ok(fs::read_to_string(root.join("usr/lib/systemd/system/ovn-extaddr.service"))?)
    };
    let (old, new) = (unit("252")?, unit("253")?);
    let types = |unit: &str| -> Vec<String> {
        unit.lines().filter(|line| line.starts_with("Type=")).map(str::to_owned).collect()
    };
    assert_eq!(
        (types(&old), types(&new)),
        (vec!["Type=notify".to_owned()], vec!["Type=notify-reload".to_owned()])
    );
    assert!(
        old.contains("\nExecReload=/bin/sh -c 'kill -HUP $$MAINPID'\n") && !new.contains("\nExecReload"),
        "{old}"
    );
    Ok(())
}

#[test]
fn package_is_installed_upgraded_removed_and_purged() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let package = package(directory.path())?;
    let machine = Machine::boot()?;
    let within = "/root/ovn-extaddr.deb";
    fs::copy(&package, machine.path(within))?;

    // ----- the database comes later than the agent -----
    let installed = machine.sh(&format!("dpkg --install {within} 2>&1"))?;
    ensure!(!installed.contains("warning") && !installed.contains("rror"), "{installed}");
    let user = machine.sh("getent passwd ovn-extaddr")?;
    ensure!(user.contains("nologin"), "{user}");
    let state = |wanted: &str| {
        eventually(SOON, &format!("the service is {wanted}"), || {
            let state = machine.run("systemctl", &["is-active", "ovn-extaddr"])?.stdout;
            ensure!(state.trim() == wanted, "it is {state}:\n{}", journal(&machine)?);
            Ok(true)
        })
    };
    state("activating")?;
    machine.sh(
        "systemctl start ovn-ovsdb-server-nb && until ovn-nbctl --timeout=5 show; do sleep 0.1; done 2>&1",
    )?;

    // ----- a socket that the agent's user may not open -----
    eventually(SOON, "it says what to do", || {
        let journal = journal(&machine)?;
        ensure!(journal.contains("a drop-in with User=root"), "{journal}");
        Ok(true)
    })?;
    machine.sh("install -D -m 644 /usr/share/ovn-extaddr/socket-of-root.conf \
         /etc/systemd/system/ovn-extaddr.service.d/socket.conf && systemctl daemon-reload && \
         systemctl restart ovn-extaddr")?;
    state("active")?;
    let capabilities = machine.sh("grep CapEff /proc/$(systemctl show -P MainPID ovn-extaddr)/status")?;
    ensure!(capabilities.contains("0000000000000000"), "{capabilities}");

    // ----- in use -----
    eventually(SOON, "it has the lock", || {
        let status = machine.sh("ovn-appctl -t ovn-extaddr status")?;
        ensure!(status.contains("role: active"), "{status}");
        Ok(true)
    })?;
    machine.sh("printf 'metrics = \"127.0.0.1:9477\"\\naudit = \"/var/log/ovn-extaddr/audit.jsonl\"\\n' >/etc/ovn-extaddr/config.d/10-test.toml && systemctl reload ovn-extaddr")?;
    machine.sh(NETWORK)?;
    machine.sh("ovn-extaddr set p1 --ipv4 203.0.113.10")?;
    eventually(SOON, "the intent is active", || {
        let list = machine.sh("ovn-extaddr list --json")?;
        ensure!(list.contains("\"state\": \"active\""), "{list}{}", journal(&machine)?);
        Ok(true)
    })?;
    let fields = eventually(SOON, "the journal has its fields", || {
        let text =
            machine.sh("journalctl --sync; journalctl -u ovn-extaddr -o json OVN_EXTADDR_STATE=active")?;
        Ok(text.contains("\"OVN_EXTADDR_PORT\":\"p1\"").then_some(text))
    })?;
    let message =
        r#""MESSAGE":"intent status changed port=p1 family=ipv4 state=active router=R external=203.0.113.10"#;
    for field in [
        message,
        "\"OVN_EXTADDR_EXTERNAL\":\"203.0.113.10\"",
        "\"OVN_EXTADDR_ROUTER\":\"R\"",
        "\"PRIORITY\":\"5\"",
    ] {
        ensure!(fields.contains(field), "{field} is not in {fields}");
    }
    let metrics = machine.sh("exec 3<>/dev/tcp/127.0.0.1/9477; printf 'GET /metrics HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3")?;
    ensure!(metrics.contains("ovn_extaddr_intents{state=\"active\"} 1"), "{metrics}");
    eventually(SOON, "the audit tells of it", || {
        let audit = machine.sh("cat /var/log/ovn-extaddr/audit.jsonl")?;
        ensure!(audit.lines().count() == 2 && audit.contains("\"event\":\"committed\""), "{audit}");
        Ok(true)
    })?;
    eventually(SOON, "the status counts", || {
        let shown = machine.sh("systemctl show -P StatusText ovn-extaddr")?;
        ensure!(shown.trim() == "active: 1 active", "{shown}");
        Ok(true)
    })?;
    machine.sh("logrotate --force /etc/logrotate.d/ovn-extaddr")?;
    machine.sh("ovn-extaddr unset p1")?;
    eventually(SOON, "the file goes on", || {
        Ok(machine.sh("cat /var/log/ovn-extaddr/audit.jsonl")?.contains("\"event\":\"committed\""))
    })?;
    machine.sh("ovn-extaddr set p1 --ipv4 auto")?;

    // ----- what it may write to -----
    let touched = machine.sh(
        "pid=$(systemctl show -P MainPID ovn-extaddr); for place in /etc /usr /var/lib /run /home /var/log /run/ovn; do \
         nsenter -t $pid -m -- setpriv --reuid ovn-extaddr --regid ovn-extaddr --clear-groups test -w $place && echo $place; done; true",
    )?;
    ensure!(
        touched.is_empty(),
        "it may write to {touched}{}",
        machine.sh("cat /proc/$(systemctl show -P MainPID ovn-extaddr)/mounts")?
    );

    // ----- a loop that hangs -----
    watchdog(&machine)?;

    // ----- over TLS -----
    tls::run_service_over_tls(&machine)?;
    state("active")?;

    // ----- a socket of openvswitch's -----
    socket_of_openvswitch(&machine)?;
    state("active")?;

    // ----- upgrade, removal, purge -----
    let rows = || machine.sh("ovn-nbctl --bare --columns=_uuid find nat type=snat logical_ip=10.57.0.11");
    let before = rows()?;
    ensure!(!before.trim().is_empty(), "there is no row");
    machine.sh("echo '# mine' >>/etc/ovn-extaddr/config.toml")?;
    let pid = machine.sh("systemctl show -P MainPID ovn-extaddr")?;
    machine.sh(&format!("dpkg --install --force-confold {within} 2>&1"))?;
    state("active")?;
    ensure!(machine.sh("systemctl show -P MainPID ovn-extaddr")? != pid, "the new program runs");
    ensure!(rows()? == before, "an upgrade changes no row");
    ensure!(machine.sh("cat /etc/ovn-extaddr/config.toml")?.ends_with("# mine\n"));

    machine.sh("systemctl disable --now ovn-extaddr 2>&1")?;
    machine.sh(&format!("dpkg --install --force-confold {within} 2>&1"))?;
    machine.sh("sleep 1")?;
    state("inactive")?;
    machine.sh("systemctl enable --now ovn-extaddr 2>&1")?;
    state("active")?;

    let removed = machine.sh("dpkg --remove ovn-extaddr 2>&1")?;
    ensure!(removed.contains("ovn-extaddr cleanup"), "{removed}");
    ensure!(rows()? == before, "a removal changes no row");
    ensure!(machine.sh("pgrep -x ovn-extaddr; true")?.is_empty(), "nothing runs");
    ensure!(machine.sh("ls /run/ovn | grep extaddr; true")?.is_empty(), "the links are gone");
    let purged = machine.sh("dpkg --purge ovn-extaddr 2>&1")?;
    ensure!(purged.contains("ovn-extaddr cleanup"), "{purged}");
    ensure!(machine.path("/var/log/ovn-extaddr/audit.jsonl").exists(), "what was written down stays");
    ensure!(!machine.path("/etc/ovn-extaddr/config.toml").exists());
    ensure!(rows()? == before);
    // The commands that the removal printed work, with a copy of the program.
    fs::copy(Agent::built()?, machine.path("/root/ovn-extaddr"))?;
    machine.sh("/root/ovn-extaddr cleanup")?;
    ensure!(rows()?.trim().is_empty(), "cleanup takes it out");
    Ok(())
}

/// As on Fedora and relatives: with that user, or with its group and the agent's own user.
fn socket_of_openvswitch(machine: &Machine) -> Result<()> {
    let unit = "/etc/systemd/system/ovn-extaddr.service.d";
    machine.sh(&format!(
        "mv {unit}/socket.conf /root/ && (getent passwd openvswitch || useradd --system --user-group openvswitch) && \
         chown openvswitch:openvswitch /run/ovn/ovnnb_db.sock"
    ))?;
    let by_group = "[Service]\\nSupplementaryGroups=openvswitch\\n";
    for (mode, user, drop_in) in [
        (
            "750",
            "openvswitch",
            "cp /usr/share/ovn-extaddr/socket-of-openvswitch.conf $unit/socket.conf".to_owned(),
        ),
        ("770", "ovn-extaddr", format!("printf '{by_group}' >$unit/socket.conf")),
    ] {
        machine.sh(&format!(
            "unit={unit}; chmod {mode} /run/ovn/ovnnb_db.sock && {drop_in} && systemctl daemon-reload && \
             systemctl restart --no-block ovn-extaddr"
        ))?;
        eventually(SOON, "it reads the database", || {
            let status = machine.run("ovn-appctl", &["-t", "ovn-extaddr", "status"])?;
            let runs_as = machine.sh("stat -c %U /proc/$(systemctl show -P MainPID ovn-extaddr)")?;
            ensure!(
                status.stdout.contains(" (synchronised)") && runs_as.trim() == user,
                "{status:?} {runs_as}"
            );
            Ok(true)
        })
        .with_context(|| journal(machine).unwrap_or_default())?;
    }
    machine.sh(&format!(
        "mv /root/socket.conf {unit}/ && chown root:root /run/ovn/ovnnb_db.sock && chmod 750 /run/ovn/ovnnb_db.sock && \
         systemctl daemon-reload && systemctl restart --no-block ovn-extaddr"
    ))?;
    Ok(())
}

/// The service manager ends an agent whose loop hangs, and starts another.
fn watchdog(machine: &Machine) -> Result<()> {
    machine.sh(
        "printf '[Service]\\nWatchdogSec=2\\n' >/etc/systemd/system/ovn-extaddr.service.d/watchdog.conf && \
         systemctl daemon-reload && systemctl restart ovn-extaddr",
    )?;
    let pid = machine.sh("systemctl show -P MainPID ovn-extaddr")?;
    machine.run("timeout", &["5", "ovn-appctl", "-t", "ovn-extaddr", "fault/block", "60"])?;
    eventually(SOON, "another one runs", || {
        let now = machine.sh("systemctl show -P MainPID ovn-extaddr")?;
        let active = machine.run("systemctl", &["is-active", "ovn-extaddr"])?.stdout;
        ensure!(now != pid && now.trim() != "0" && active.trim() == "active", "{active} {now}");
        Ok(true)
    })?;
    let said = journal(machine)?;
    ensure!(said.contains("Watchdog timeout"), "it was something else: {said}");
    // The following steps have more time.
    machine
        .sh("rm /etc/systemd/system/ovn-extaddr.service.d/watchdog.conf && systemctl daemon-reload && \
         systemctl restart ovn-extaddr")?;
    Ok(())
}

fn journal(machine: &Machine) -> Result<String> {
    machine.sh("journalctl --no-pager -u ovn-extaddr | tail -40")
}
