//! `ovn-extaddr check-config`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use extaddr_core::rules::{DefaultTargetRule, ExemptionsRule, PortRangeRule};
use ovsdb_protocol::PemSource;
use serde::Serialize;

use crate::command::output::Output;
use crate::command::style::Palette;
use crate::command::table::{self, Cell, Width};
use crate::settings::Settings;

/// Checks the configuration.
#[derive(Debug, Args)]
pub(super) struct CheckConfig {
    #[command(flatten)]
    output: Output,
}

/// A setting: an element of `check-config --json`. Field names are stable.
#[derive(Debug, Serialize)]
struct Setting {
    /// The key in the configuration.
    key: &'static str,
    /// The value in force; `null` if there is none.
    value: Option<String>,
    /// The file that it is from; `null` if it is from an option, the environment or a default.
    file: Option<PathBuf>,
}

impl CheckConfig {
    /// Prints the settings. There is nothing left to check: invalid settings were refused before.
    pub(super) fn run(&self, settings: &Settings, palette: Palette) -> anyhow::Result<ExitCode> {
        let found = found(settings);
        self.output.print_all(&found, || text(settings, &found, palette))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn text(settings: &Settings, found: &[Setting], palette: Palette) -> String {
    let rows = found.iter().map(|setting| {
        let from = setting.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
        [Cell::from(setting.key), Cell::from(setting.value.as_deref().unwrap_or("-")), Cell::from(from)]
    });
    let mut text = table::render(palette, Width::UNLIMITED, ["KEY", "VALUE", "FROM"], rows);
    text += &match settings.files.len() {
        0 => "There is no configuration file.\n".to_owned(),
        1 => "The configuration file is right.\n".to_owned(),
        count => format!("The {count} configuration files are right.\n"),
    };
    text
}

fn found(settings: &Settings) -> Vec<Setting> {
    let Settings {
        remotes,
        southbound,
        rules,
        cms,
        tls,
        cluster_id,
        policy,
        log_level,
        metrics,
        metrics_by_router,
        status_page,
        audit,
        takeover,
        verify_interval,
        ..
    } = settings;
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let pem = |source: &Option<PemSource>| source.as_ref().map(PemSource::to_string);
    let ca = |bootstrap: bool| pem(&tls.ca_cert).filter(|_| tls.bootstrap == bootstrap);
    let port_range = match rules.port_range {
        PortRangeRule::Auto => "auto".to_owned(),
        PortRangeRule::Off => "off".to_owned(),
        PortRangeRule::Fixed(range) => range.to_string(),
    };
    let default_target = match rules.default_target {
        DefaultTargetRule::Convert => "convert",
        DefaultTargetRule::Reject => "reject",
    };
    let exemptions = match rules.exemptions {
        ExemptionsRule::Ignore => "ignore",
        ExemptionsRule::Inherit => "inherit",
    };
    let values = [
        ("db", Some(remotes.to_string())),
        ("sb-db", Some(southbound.to_string())),
        ("private-key", pem(&tls.private_key)),
        ("certificate", pem(&tls.certificate)),
        ("ca-cert", ca(false)),
        ("bootstrap-ca-cert", ca(true)),
        ("verify-host-name", Some(tls.verify_host_name.to_string())),
        ("cluster-id", cluster_id.map(|cluster| cluster.to_string())),
        ("owner", Some(rules.owner.to_string())),
        ("port-range", Some(port_range)),
        ("min-source-ports", Some(rules.min_source_ports.to_string())),
        ("default-target", Some(default_target.to_owned())),
        ("exemptions", Some(exemptions.to_owned())),
        ("drain", Some(rules.drain.as_secs().to_string())),
        ("hold-down", Some(rules.hold_down.as_secs_f64().to_string())),
        ("takeover", Some(takeover.map_or(0, |takeover| takeover.as_secs()).to_string())),
        ("verify-interval", Some(verify_interval.map_or(0, |interval| interval.as_secs()).to_string())),
        ("auto", Some(rules.auto.to_string())),
        ("require-target", Some(rules.require_target.to_string())),
        ("policy", path(policy)),
        ("allow", Some(rules.allow.len().to_string()).filter(|_| !rules.allow.is_empty())),
        (
            "cms",
            Some(cms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
                .filter(|_| !cms.is_empty()),
        ),
        ("log-level", log_level.map(|level| level.to_string())),
        ("metrics", metrics.as_ref().map(ToString::to_string)),
        ("metrics-by-router", Some(metrics_by_router.to_string())),
        ("status-page", Some(status_page.name().to_owned())),
        ("audit", path(audit)),
    ];
    let setting = |(key, value): (_, Option<_>)| {
        let file = settings.origins.get(key).filter(|_| value.is_some()).cloned();
        Setting { key, value, file }
    };
    values.into_iter().map(setting).collect()
}
