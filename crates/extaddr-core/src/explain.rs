//! The steps from port to rows, for `explain`.

use std::fmt::Display;

use ovn_model::{RouterId, Store};
use serde::Serialize;

use crate::forwards::Forward;

/// A recorder of the steps of a decision. The agent itself records none.
pub trait Trace {
    /// Records a step that passed.
    fn passed(&mut self, step: &'static str, detail: impl FnOnce() -> String);
    /// Records that the intent may be granted, but not everything will work.
    fn hazard(&mut self, step: &'static str, detail: impl FnOnce() -> String) {
        self.hazard_if(step, || Some(detail()));
    }
    /// Records the same, where the check itself takes work.
    fn hazard_if(&mut self, step: &'static str, detail: impl FnOnce() -> Option<String>);
}

/// A step of a decision that did not fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The step.
    pub step: &'static str,
    /// The finding.
    pub detail: String,
    /// Whether not everything will work that way.
    pub hazard: bool,
}

impl Trace for () {
    fn passed(&mut self, _: &'static str, _: impl FnOnce() -> String) {}
    fn hazard_if(&mut self, _: &'static str, _: impl FnOnce() -> Option<String>) {}
}

impl Trace for Vec<Check> {
    fn passed(&mut self, step: &'static str, detail: impl FnOnce() -> String) {
        self.push(Check { step, detail: detail(), hazard: false });
    }

    fn hazard_if(&mut self, step: &'static str, detail: impl FnOnce() -> Option<String>) {
        self.extend(detail().map(|detail| Check { step, detail, hazard: true }));
    }
}

impl Check {
    /// Renders a list.
    pub fn list(items: impl IntoIterator<Item = impl Display>) -> String {
        let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
        items.join(", ")
    }

    /// Renders a forward.
    pub fn forward(store: &Store, router: RouterId, forward: &Forward<'_>) -> String {
        let router = store.router(router).map_or("?", |row| &*row.name);
        let targets = Self::list(forward.targets());
        match forward {
            Forward::Vip(balancer, vip) => {
                let balancer = store.load_balancer(*balancer).map_or("?", |row| &*row.name);
                format!("{} leads to {targets} (load balancer {balancer} on {router})", vip.endpoint)
            }
            Forward::Converted(_, nat) => {
                format!(
                    "{} leads to {targets} (row {} of the agent in place of a VIP on {router})",
                    nat.external_ip_text(),
                    nat.uuid
                )
            }
            Forward::Nat(_, nat) => {
                let kind = nat.kind.map_or("?", |kind| kind.as_str());
                format!("{} leads to {targets} ({kind} row {} on {router})", nat.external_ip_text(), nat.uuid)
            }
        }
    }
}
