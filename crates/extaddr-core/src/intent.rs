//! The intent of a port: who asks, and for what.

use std::net::IpAddr;

use ovn_model::{Family, Port, Store};

use crate::ownership::Role;
use crate::policy::Names;
use crate::reason::Reason;
use crate::rules::Rules;
use crate::sources::requests::{Answer, Requests};
use crate::topology::Reach;
use crate::wanted::{Source, Text, Wanted, parse};

/// What is asked for a port and family, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Who asks.
    pub source: Source,
    /// What is asked for, as it was written.
    pub text: Text,
    /// What that means.
    pub wanted: Result<Wanted, Reason>,
    /// Whether nobody was asked: what speaks for the port cannot be reached, and the rows that are there tell what it
    /// said before.
    pub presumed: bool,
}

/// Finds what is asked for a port that reaches these routers; the first that speaks decides.
pub fn find(
    store: &Store,
    rules: &Rules,
    requests: &Requests,
    reach: &Reach,
    port: &Port,
    family: Family,
) -> Option<Intent> {
    if let Some(text) = port.external(family) {
        return Intent::written(Source::Annotation, text, family);
    }
    // Only instances are spoken for; whoever annotates another port is told that it is none.
    if !port.kind.is_instance() {
        return None;
    }
    match requests.answer(&port.name, family) {
        Answer::Asked { kind, wish, .. } => return Intent::written(Source::Cms(kind), &wish.text, family),
        Answer::Disputed(kind, one, other) => {
            let reason = Reason::DisputedInstance(one.to_string().into(), other.to_string().into());
            let text = Text::Other("?".into());
            return Some(Intent { source: Source::Cms(kind), text, wanted: Err(reason), presumed: false });
        }
        Answer::Unheard(kind) => {
            if let Some(wanted) = present(store, rules, port, family).map(Wanted::Address) {
                let text = Text::Canonical(wanted);
                return Some(Intent { source: Source::Cms(kind), text, wanted: Ok(wanted), presumed: true });
            }
        }
        Answer::Silent => {}
    }
    if let Some(text) = store.kept(&port.name, family) {
        return Intent::written(Source::Kept, text, family);
    }
    let routers = || reach.routers.iter().filter_map(|(id, _)| store.router(*id));
    if !rules.policy.is_empty() {
        let switch = port.switch.and_then(|id| store.switch(id));
        let routers: Vec<_> = routers().map(|row| &*row.name).collect();
        let names = Names { port: &port.name, switch: switch.map(|row| &*row.name), routers: &routers };
        if let Some(wish) = rules.policy.wish(family, names) {
            let wanted = wish?;
            let text = Text::Canonical(wanted);
            return Some(Intent { source: Source::Policy, text, wanted: Ok(wanted), presumed: false });
        }
    }
    let speaks = routers().any(|row| row.external.as_deref() == Some("auto"));
    let source = if speaks { Source::Router } else { Source::Config };
    let wanted = Wanted::Auto;
    let text = Text::Canonical(wanted);
    (speaks || rules.auto).then_some(Intent { source, text, wanted: Ok(wanted), presumed: false })
}

/// Returns the address that rows of ours give a port.
fn present(store: &Store, rules: &Rules, port: &Port, family: Family) -> Option<IpAddr> {
    let rows = store.nats_tagged(&port.name).into_iter().filter_map(|id| store.nat(id));
    let overrides = rows.filter(|nat| nat.router.is_some() && rules.owner.role(nat) == Some(Role::Egress));
    let mut addresses = overrides.filter_map(|nat| nat.external_ip());
    addresses.find(|address| Family::from(*address) == family)
}

impl Intent {
    /// What somebody wrote down; `None` where that is that nothing is wanted.
    fn written(source: Source, text: &str, family: Family) -> Option<Self> {
        let wanted = parse(text, family).map_err(Reason::from).transpose()?;
        let text = Text::new(text.trim(), wanted.as_ref().ok());
        Some(Self { source, text, wanted, presumed: false })
    }
}
