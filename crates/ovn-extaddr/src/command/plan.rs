//! `ovn-extaddr plan`

use std::collections::BTreeMap;
use std::process::ExitCode;

use anstyle::Style;
use clap::Args;
use extaddr_core::difference::{Action, Content, PlannedChange, planned};

use crate::command::output::Output;
use crate::command::style::{BAD, CHANGED, FAINT, GOOD, HEADING, Palette, clean};
use crate::command::table::Width;
use crate::observe::Observer;
use crate::settings::Settings;

/// The exit status if there are changes.
const CHANGES: u8 = 3;

/// Shows what would be changed.
#[derive(Debug, Args)]
pub(super) struct Plan {
    /// Exit with status 3 where there is something to change.
    #[arg(long)]
    exit_code: bool,

    #[command(flatten)]
    width: Width,

    #[command(flatten)]
    output: Output,
}

impl Plan {
    pub(super) async fn run(self, settings: Settings, palette: Palette) -> anyhow::Result<ExitCode> {
        let observer = Observer::open(&settings).await?;
        let names = observer.names();
        let mut changes = planned(&observer.store, &observer.engine);
        for change in &mut changes {
            change.name = change.port.as_deref().and_then(|port| names.name(port));
        }
        self.output.print_all(&changes, || text(&changes, self.width, palette))?;
        let status = if self.exit_code && !changes.is_empty() { CHANGES } else { 0 };
        Ok(ExitCode::from(status))
    }
}

/// Renders a difference, router by router.
fn text(changes: &[PlannedChange], width: Width, palette: Palette) -> String {
    if changes.is_empty() {
        return "Nothing to change.\n".to_owned();
    }
    let mut routers: BTreeMap<&str, Vec<&PlannedChange>> = BTreeMap::new();
    for change in changes {
        routers.entry(&change.router).or_default().push(change);
    }
    let mut text = String::new();
    for (router, changes) in routers {
        text += &format!("{}\n", palette.paint(HEADING, &format!("router {}", clean(router))));
        text.extend(changes.into_iter().map(|change| block(change, width, palette)));
    }
    let count = |action| changes.iter().filter(|change| change.action == action).count();
    let (inserts, updates, deletes) = (count(Action::Insert), count(Action::Update), count(Action::Delete));
    let others = changes.len() - inserts - updates - deletes;
    text += &format!("{inserts} to insert, {updates} to update, {deletes} to delete");
    if others > 0 {
        text += &format!(", {others} of others to put out of the way or back");
    }
    text + ".\n"
}

/// Renders one change: a line, or a line for each column of a row that changes.
fn block(change: &PlannedChange, width: Width, palette: Palette) -> String {
    let port = match (&change.name, &change.port) {
        (Some(name), Some(port)) if width.is_wide() => format!("  # {} {}", clean(name), clean(port)),
        (Some(name), _) | (None, Some(name)) => format!("  # {}", clean(name)),
        (None, None) => String::new(),
    };
    let line = |style: Style, sign: char, what: &str| {
        let colored = palette.paint(style, &format!("  {sign} {}", clean(what)));
        format!("{colored}{}\n", palette.paint(FAINT, &port))
    };
    let balancer = change.load_balancer.as_deref().unwrap_or("?");
    let vip = change.vip.as_deref().unwrap_or("?");
    match (change.action, &change.from, &change.to) {
        (Action::Update, Some(from), Some(to)) => line(CHANGED, '~', &name(to)) + &columns(from, to, palette),
        (Action::Detach, ..) => line(BAD, '-', &format!("load balancer {balancer}")),
        (Action::Attach, ..) => line(GOOD, '+', &format!("load balancer {balancer}")),
        (Action::RemoveVip, ..) => line(BAD, '-', &format!("VIP {vip} of load balancer {balancer}")),
        (Action::RestoreVip, ..) => line(GOOD, '+', &format!("VIP {vip} of load balancer {balancer}")),
        (_, Some(row), _) => line(BAD, '-', &row.to_string()),
        (_, None, Some(row)) => line(GOOD, '+', &row.to_string()),
        (_, None, None) => line(BAD, '-', "a row that is gone already"),
    }
}

fn name(row: &Content) -> String {
    match row.role {
        "drain" => format!("drain row of {}", row.external_ip),
        "default-target" => format!("dnat row of {}", row.external_ip),
        _ => format!("snat row of {}", row.logical_ip),
    }
}

fn columns(from: &Content, to: &Content, palette: Palette) -> String {
    let none = || "(none)".to_owned();
    let columns = [
        ("external_ip", Some(from.external_ip.clone()), Some(to.external_ip.clone())),
        ("logical_ip", Some(from.logical_ip.clone()), Some(to.logical_ip.clone())),
        ("external_port_range", from.port_range.clone(), to.port_range.clone()),
        ("gateway_port", from.gateway_port.clone(), to.gateway_port.clone()),
        ("role", Some(from.role.to_owned()), Some(to.role.to_owned())),
    ];
    let mut text = String::new();
    for (column, old, new) in columns.into_iter().filter(|(_, old, new)| old != new) {
        let (old, new) = (old.unwrap_or_else(none), new.unwrap_or_else(none));
        text += &palette.paint(BAD, &format!("      - {column} {}", clean(&old)));
        text.push('\n');
        text += &palette.paint(GOOD, &format!("      + {column} {}", clean(&new)));
        text.push('\n');
    }
    if text.is_empty() {
        // Columns that are not shown here, such as options, are written too.
        text += "      other columns\n";
    }
    text
}
