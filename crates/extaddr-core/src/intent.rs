//! The intent of a port: its source, and the requested address.

use std::net::IpAddr;

use ovn_model::{Family, Port, Store};

use crate::ownership::Role;
use crate::policy::Names;
use crate::reason::Reason;
use crate::rules::Rules;
use crate::sources::requests::{Lookup, Requests};
use crate::topology::Reach;
use crate::wanted::{Source, Text, Wanted, parse};

/// The intent for a port and family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The source.
    pub source: Source,
    /// The intent, as it was written.
    pub text: Text,
    /// Its meaning.
    pub wanted: Result<Wanted, Reason>,
    /// Whether the intent is presumed: the source cannot be reached, and the intent is taken from the existing rows.
    pub presumed: bool,
}

/// Finds the intent for a port that reaches these routers; the first source that has one decides.
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
    // Other sources only have intents for instances; an annotation of another port is reported as wrong.
    if !port.kind.is_instance() {
        return None;
    }
    match requests.look_up(&port.name, family) {
        Lookup::Found { kind, written, .. } => Intent::written(Source::Cms(kind), &written.text, family),
        Lookup::Ambiguous(kind, one, other) => {
            let reason = Reason::DisputedInstance(one.to_string().into(), other.to_string().into());
            let text = Text::Other("?".into());
            Some(Intent { source: Source::Cms(kind), text, wanted: Err(reason), presumed: false })
        }
        Lookup::Unknown(kind) => {
            let other = find_below(store, rules, reach, port, family);
            let Some(wanted) = present(store, rules, port, family).map(Wanted::Address) else { return other };
            // It is known who wants that.
            if other.as_ref().is_some_and(|other| other.wanted == Ok(wanted)) {
                return other;
            }
            let text = Text::Canonical(wanted);
            Some(Intent { source: Source::Cms(kind), text, wanted: Ok(wanted), presumed: true })
        }
        Lookup::None => find_below(store, rules, reach, port, family),
    }
}

/// Finds the intent for an instance's port by the sources that an annotation and a CMS overrule.
fn find_below(store: &Store, rules: &Rules, reach: &Reach, port: &Port, family: Family) -> Option<Intent> {
    if let Some(text) = store.kept(&port.name, family) {
        return Intent::written(Source::Kept, text, family);
    }
    let routers = || reach.routers.iter().filter_map(|(id, _)| store.router(*id));
    if !rules.policy.is_empty() {
        let switch = port.switch.and_then(|id| store.switch(id));
        let routers: Vec<_> = routers().map(|row| &*row.name).collect();
        let names = Names { port: &port.name, switch: switch.map(|row| &*row.name), routers: &routers };
        if let Some(written) = rules.policy.wish(family, names) {
            let wanted = written?;
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

/// Returns the address that our rows give a port.
fn present(store: &Store, rules: &Rules, port: &Port, family: Family) -> Option<IpAddr> {
    let rows = store.nats_tagged(&port.name).into_iter().filter_map(|id| store.nat(id));
    let overrides = rows.filter(|nat| nat.router.is_some() && rules.owner.role(nat) == Some(Role::Egress));
    let mut addresses = overrides.filter_map(|nat| nat.external_ip());
    addresses.find(|address| Family::from(*address) == family)
}

impl Intent {
    /// Returns the written intent; `None` where it is `none`.
    fn written(source: Source, text: &str, family: Family) -> Option<Self> {
        let wanted = parse(text, family).map_err(Reason::from).transpose()?;
        let text = Text::new(text.trim(), wanted.as_ref().ok());
        Some(Self { source, text, wanted, presumed: false })
    }
}
