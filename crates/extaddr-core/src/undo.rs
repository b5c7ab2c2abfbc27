//! VIPs that a conversion has removed, as its row records them. Pure.

use std::net::IpAddr;

use ovn_model::{LoadBalancer, Nat, RouterId, Store, Vip};
use uuid::Uuid;

use crate::northd;

/// `NAT.external_ids` of a default target: the VIPs to restore when it is deleted.
pub(crate) const UNDO: &str = "ovn-extaddr:undo";

/// The way in which a VIP was removed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Undo {
    /// The load balancer was detached from the router; it stays on switches.
    Attach(Uuid),
    /// The VIP was removed from the load balancer, which has others too.
    Restore {
        /// The load balancer.
        balancer: Uuid,
        /// The VIP's key.
        key: Box<str>,
        /// The VIP's value.
        value: Box<str>,
    },
}

/// Reads the VIPs to restore when a default target is deleted.
pub fn undo_of(nat: &Nat) -> Vec<Undo> {
    nat.tags.get(UNDO).map(Undo::list_from_text).unwrap_or_default()
}

/// Returns the targets of the VIPs that our row replaces, as far as they exist.
pub fn targets<'a>(store: &'a Store, nat: &Nat) -> impl Iterator<Item = IpAddr> + use<'a> {
    let place = nat.router.zip(nat.external_ip());
    let undo = place.map(|place| (undo_of(nat), place)).into_iter();
    undo.flat_map(|(undo, place)| undo.into_iter().map(move |undo| (undo, place)))
        .flat_map(|(undo, (router, address))| undo.targets(store, router, address))
}

/// Returns whether a load balancer was detached from the router for the conversion of any address.
fn is_detached(store: &Store, router: RouterId, balancer: Uuid) -> bool {
    let converted = store.nats_tagged_portless().iter().filter_map(|id| store.nat(*id));
    let mut here = converted.filter(|nat| nat.router == Some(router));
    here.any(|nat| undo_of(nat).contains(&Undo::Attach(balancer)))
}

/// Returns the VIP of a load balancer that forwards all of an address.
pub(crate) fn default_target(balancer: &LoadBalancer, address: IpAddr) -> Option<&Vip> {
    let mut vips = balancer.vips.on(address).iter();
    vips.find(|vip| vip.endpoint.port.is_none() && northd::uses_vip(balancer, vip))
}

// ===== impl Undo =====

impl Undo {
    /// Returns the load balancer.
    pub fn balancer(&self) -> Uuid {
        match self {
            Self::Attach(balancer) | Self::Restore { balancer, .. } => *balancer,
        }
    }

    /// Returns whether both are of one VIP, whatever its value.
    pub(crate) fn is_same_vip(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Attach(one), Self::Attach(another)) => one == another,
            (
                Self::Restore { balancer: one, key, .. },
                Self::Restore { balancer: another, key: other, .. },
            ) => (one, key) == (another, other),
            (Self::Attach(_), Self::Restore { .. }) | (Self::Restore { .. }, Self::Attach(_)) => false,
        }
    }

    /// Returns the targets of the VIP; none if somebody deleted it from its load balancer or with it.
    pub(crate) fn targets<'a>(
        &self,
        store: &'a Store,
        router: RouterId,
        address: IpAddr,
    ) -> impl Iterator<Item = IpAddr> + use<'a> {
        let id = store.load_balancer_by_uuid(self.balancer());
        let found = match (self, id.and_then(|id| Some((id, store.load_balancer(id)?)))) {
            (Self::Attach(_), Some((_, row))) => default_target(row, address).cloned(),
            (Self::Restore { balancer, key, value }, Some((id, row))) => {
                let there = store.attachment(router, id).is_some() || is_detached(store, router, *balancer);
                Vip::parse(key, value).filter(|vip| there && northd::uses_vip(row, vip))
            }
            (_, None) => None,
        };
        let backends: Vec<_> =
            found.iter().flat_map(|vip| vip.backends().iter()).map(|b| b.address).collect();
        backends.into_iter()
    }

    /// Returns whether it is undone at the router and not at the load balancer.
    pub fn needs_router(&self) -> bool {
        matches!(self, Self::Attach(_))
    }

    /// Returns whether the VIP is still removed.
    pub fn is_out(&self, store: &Store, router: RouterId) -> bool {
        let id = store.load_balancer_by_uuid(self.balancer());
        id.and_then(|id| Some((id, store.load_balancer(id)?))).is_some_and(|(id, row)| match self {
            Self::Attach(_) => store.attachment(router, id).is_none(),
            Self::Restore { key, .. } => row.vips.with_key(key).is_none(),
        })
    }

    /// Returns whether it is read back as it was written: a key such as `203.0.113.10: 0`, which northd accepts, has a
    /// separator of the record in it.
    pub fn is_recordable(&self) -> bool {
        match self {
            Self::Attach(_) => true,
            Self::Restore { key, value, .. } => {
                let has_separator = |text: &str| text.contains(|c: char| c.is_whitespace() || c == ';');
                !key.is_empty() && !has_separator(key) && !has_separator(value)
            }
        }
    }

    /// Renders a list of [recordable](Self::is_recordable) ones as the value of a tag.
    pub fn list_to_text(list: &[Self]) -> String {
        let texts = list.iter().map(|undo| match undo {
            Self::Attach(balancer) => format!("attach {balancer}"),
            Self::Restore { balancer, key, value } => format!("restore {balancer} {key} {value}"),
        });
        texts.collect::<Vec<_>>().join("; ")
    }

    /// Reads what [`list_to_text`](Self::list_to_text) wrote; invalid items are omitted.
    pub fn list_from_text(text: &str) -> Vec<Self> {
        let parse = |text: &str| {
            let mut words = text.split_whitespace();
            let (verb, balancer) = (words.next()?, words.next()?.parse().ok()?);
            match (verb, words.next(), words.next()) {
                ("attach", None, None) => Some(Self::Attach(balancer)),
                ("restore", Some(key), value) => {
                    Some(Self::Restore { balancer, key: key.into(), value: value.unwrap_or_default().into() })
                }
                _ => None,
            }
        };
        text.split(';').filter_map(parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn undo() -> impl Strategy<Value = Undo> {
        let balancer = any::<u128>().prop_map(Uuid::from_u128);
        prop_oneof![
            balancer.clone().prop_map(Undo::Attach),
            (balancer, "[0-9a-f:.]{1,20}", "[0-9a-f:.,]{0,20}").prop_map(|(balancer, key, value)| {
                Undo::Restore { balancer, key: key.into(), value: value.into() }
            }),
        ]
    }

    proptest! {
        #[test]
        fn undo_list_is_parsed_from_its_text(list in prop::collection::vec(undo(), 0..4)) {
            prop_assert_eq!(Undo::list_from_text(&Undo::list_to_text(&list)), list);
        }

        #[test]
        fn malformed_undo_entries_are_ignored(text in ".{0,40}") {
            let list = Undo::list_from_text(&text);
            prop_assert_eq!(Undo::list_from_text(&Undo::list_to_text(&list)), list);
        }
    }
}
