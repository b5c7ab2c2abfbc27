//! What an operator asks for.

use std::fmt;
use std::net::IpAddr;

use ovn_model::{Family, Port, Store, parse_ip};

use crate::ownership::Role;
use crate::policy::Names;
use crate::reason::Reason;
use crate::rules::Rules;
use crate::sources::Kind;
use crate::sources::requests::{Answer, Requests};
use crate::topology::Reach;

/// The address that an instance port's own connections shall have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This one.
    Address(IpAddr),
    /// The one forward address that leads to this port alone.
    Auto,
}

/// Who asks for it. The first that speaks wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A key in the `external_ids` of the port.
    Annotation,
    /// A key of the instance or its NIC in a CMS.
    Cms(Kind),
    /// A key of the database that names the port, and outlives it.
    Kept,
    /// A rule of the policy file.
    Policy,
    /// A key in the `external_ids` of a router.
    Router,
    /// The configuration, for every router.
    Config,
}

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

/// What is asked for, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// As we would write it.
    Canonical(Wanted),
    /// In another way.
    Other(Box<str>),
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
    let rows = store.nats_tagged(&port.name).iter().filter_map(|id| store.nat(*id));
    let overrides = rows.filter(|nat| nat.router.is_some() && rules.owner.role(nat) == Some(Role::Egress));
    let mut addresses = overrides.filter_map(|nat| nat.external_ip());
    addresses.find(|address| Family::of(*address) == family)
}

/// Reads the value of a port's key. `none` and an empty value ask for nothing.
///
/// # Errors
/// The value is no address, or one of the other family.
pub fn parse(text: &str, family: Family) -> Result<Option<Wanted>, Reason> {
    match text.trim() {
        "" | "none" => Ok(None),
        "auto" => Ok(Some(Wanted::Auto)),
        address => match parse_ip(address) {
            Some(address) if Family::of(address) == family => Ok(Some(Wanted::Address(address))),
            Some(_) => Err(Reason::WrongFamily),
            None => Err(Reason::InvalidAddress),
        },
    }
}

impl Intent {
    /// What somebody wrote down; `None` where that is that nothing is wanted.
    fn written(source: Source, text: &str, family: Family) -> Option<Self> {
        let wanted = parse(text, family).transpose()?;
        let text = Text::of(text.trim(), wanted.as_ref().ok());
        Some(Self { source, text, wanted, presumed: false })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Auto => f.write_str("auto"),
        }
    }
}

impl Text {
    fn of(text: &str, wanted: Option<&Wanted>) -> Self {
        match wanted {
            // There is one way only to write these.
            Some(wanted @ (Wanted::Auto | Wanted::Address(IpAddr::V4(_)))) => Self::Canonical(*wanted),
            Some(wanted) if wanted.to_string() == text => Self::Canonical(*wanted),
            _ => Self::Other(text.into()),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canonical(wanted) => wanted.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl Source {
    /// Returns whether it speaks for ports at large, so that those it finds nothing for are no
    /// failure.
    pub fn is_sweeping(self) -> bool {
        matches!(self, Self::Router | Self::Config)
    }

    /// Returns the word for it in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Annotation => "annotation",
            Self::Cms(kind) => kind.name(),
            Self::Kept => "kept",
            Self::Policy => "policy",
            Self::Router => "router",
            Self::Config => "config",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_an_address_of_the_family_or_a_word() {
        let v4 = |text| parse(text, Family::V4);
        let address = |text: &str| Ok(Some(Wanted::Address(text.parse().unwrap())));
        assert_eq!(v4("203.0.113.10"), address("203.0.113.10"));
        assert_eq!(v4(" 203.0.113.10\n"), address("203.0.113.10"));
        assert_eq!(parse("2001:DB8:0::1", Family::V6), address("2001:db8::1"));
        assert_eq!(v4("auto"), Ok(Some(Wanted::Auto)));
        assert_eq!((v4("none"), v4("")), (Ok(None), Ok(None)));
        assert_eq!(v4("2001:db8::1"), Err(Reason::WrongFamily));
        assert_eq!(parse("203.0.113.10", Family::V6), Err(Reason::WrongFamily));
        for text in
            ["203.0.113.10/32", "203.0.113", "AUTO", "web1", "203.0.113.010", "0xcb.0.113.10", "3405803786"]
        {
            assert_eq!(v4(text), Err(Reason::InvalidAddress), "{text}");
        }
    }
}
