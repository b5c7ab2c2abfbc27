//! The changes that an agent has to make, from the decisions and the present rows.

use super::*;

impl<'a> Oracle<'a> {
    /// The desired rows of a port without the present ones, and the reverse. Rows without a port have the empty name.
    pub(super) fn changes(&self, name: &str, decisions: &[Decision]) -> BTreeSet<Change> {
        let desired: Vec<_> = decisions.iter().flat_map(Decision::rows).collect();
        let mut changes = BTreeSet::new();
        let mut present = BTreeSet::new();
        for (uuid, nat) in self.database.table("NAT") {
            let port = nat.get("external_ids", "ovn-extaddr:port").unwrap_or_default();
            if !self.is_ours(nat) || port != name {
                continue;
            }
            let Some(router) = self.holder("Logical_Router", "nat", uuid) else { continue };
            present.insert(uuid);
            match desired.iter().find(|row| row.uuid == uuid && row.router == router) {
                None => changes.insert(Change::Delete(uuid, router)),
                Some(row) if !reads(nat, row) => changes.insert(Change::Update(uuid, (*row).clone())),
                Some(_) => false,
            };
        }
        let missing = desired.into_iter().filter(|row| !present.contains(&row.uuid));
        changes.extend(missing.cloned().map(Change::Insert));
        changes
    }

    /// The changes for all ports with an intent or one of our rows, where there are any.
    pub(crate) fn all_changes(
        &self,
        decisions: &BTreeMap<String, Vec<Decision>>,
    ) -> BTreeMap<String, BTreeSet<Change>> {
        let rows = self.database.table("NAT").map(|(_, row)| row).filter(|nat| self.is_ours(nat));
        let tagged = rows.map(|nat| nat.get("external_ids", "ovn-extaddr:port").unwrap_or_default());
        let names: BTreeSet<_> = tagged.chain(decisions.keys().map(|name| &**name)).collect();
        let changes = names.into_iter().map(|name| {
            let decisions = decisions.get(name).map_or(&[][..], |decisions| decisions);
            (name.to_owned(), self.changes(name, decisions))
        });
        changes.filter(|(_, changes)| !changes.is_empty()).collect()
    }

    pub(crate) fn is_ours(&self, nat: &Row) -> bool {
        nat.get("external_ids", "ovn-extaddr:owner") == Some(self.owner.as_str())
    }
}

/// Whether one of our rows has the desired content, and nothing that limits it.
pub(super) fn reads(nat: &Row, row: &Desired) -> bool {
    let range = row.port_range.map(|(first, last)| format!("{first}-{last}"));
    nat.text("type") == "snat"
        && nat.text("external_ip") == row.external.to_string()
        && nat.text("logical_ip") == row.logical.to_string()
        && nat.text("external_port_range") == range.unwrap_or_default()
        && nat.refs("gateway_port").next() == row.gateway_port
        && nat.text("match").is_empty()
        && !(nat.is_set("allowed_ext_ips") && nat.is_set("exempted_ext_ips"))
        && is_mac(nat.text("external_mac"))
        && nat.get("options", "stateless").is_some_and(|stateless| !is_true(stateless))
        && nat.get("external_ids", "ovn-extaddr:role") == Some("egress")
}
