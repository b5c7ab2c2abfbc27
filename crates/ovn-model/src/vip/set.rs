//! The virtual addresses of one load balancer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;

use ovsdb_protocol::{Column, ColumnError, ColumnKind, DatumReader};

use super::Vip;

/// The pairs of `Load_Balancer.vips` whose keys are addresses, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vips {
    vips: Vec<Vip>,
    /// The pairs that were not completely understood, as the database has them.
    bad: Option<Box<Pairs>>,
}

/// Returns whether a pair names variables, which are valid with an option of the load balancer.
fn names_variables(key: &str, value: &str) -> bool {
    key.contains(VARIABLE) || value.contains(VARIABLE)
}

/// The first character of a variable's name (ovn-nb(5), `options:template`).
const VARIABLE: char = '^';

/// Pairs as the database has them.
type Pairs = BTreeMap<Box<str>, Box<str>>;

impl Vips {
    /// The empty set.
    pub(crate) const EMPTY: &'static Self = &Self { vips: Vec::new(), bad: None };

    /// Returns the virtual addresses on an address.
    pub fn on(&self, address: IpAddr) -> &[Vip] {
        // Most load balancers have all VIPs on one address.
        if let (Some(first), Some(last)) = (self.vips.first(), self.vips.last())
            && [first, last].iter().all(|vip| vip.endpoint.address == address)
        {
            return &self.vips;
        }
        let start = self.vips.partition_point(|vip| vip.endpoint.address < address);
        let rest = self.vips.get(start..).unwrap_or_default();
        &rest[..rest.iter().take_while(|vip| vip.endpoint.address == address).count()]
    }

    /// Returns the virtual address with exactly this key in the database.
    pub fn with_key(&self, key: &str) -> Option<&Vip> {
        self.find(&Vip::parse(key, "")?).ok().and_then(|place| self.vips.get(place))
    }

    /// Returns true if all keys and backends were understood.
    pub fn are_understood(&self) -> bool {
        self.bad.is_none()
    }

    /// Returns the keys of the pairs that name variables, which have a meaning only in a template.
    pub fn with_variables(&self) -> impl Iterator<Item = &str> {
        let bad = self.bad.iter().flat_map(|bad| bad.iter());
        bad.filter(|(key, value)| names_variables(key, value)).map(|(key, _)| &**key)
    }

    /// Returns the virtual addresses that `other` does not have in the same form.
    pub(crate) fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Vip> {
        self.vips.iter().filter(|vip| other.find(vip).ok().is_none_or(|place| other.vips[place] != **vip))
    }

    fn find(&self, vip: &Vip) -> Result<usize, usize> {
        self.vips.binary_search_by(|other| other.order().cmp(&vip.order()))
    }
}

impl Deref for Vips {
    type Target = [Vip];

    fn deref(&self) -> &[Vip] {
        &self.vips
    }
}

impl<C: ?Sized> Column<C> for Vips {
    const KIND: ColumnKind = <BTreeMap<String, String> as Column>::KIND;

    fn apply(&mut self, value: &mut DatumReader<'_, '_>, _: &mut C) -> Result<(), ColumnError> {
        let mut bad = self.bad.take().map_or_else(Pairs::new, |bad| *bad);
        let mut came = Vec::new();
        value.string_pairs(|key, value| {
            let vip = Vip::parse(&key, &value);
            let is_bad = vip.as_ref().is_none_or(Vip::is_doubtful);
            let was = bad.remove(&*key);
            if is_bad && was.as_deref() != Some(&*value) {
                bad.insert(key.into(), value.into());
            }
            came.extend(vip);
        })?;
        if self.vips.is_empty() {
            came.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
            came.dedup_by(|a, b| a.order() == b.order());
            self.vips = came;
        } else {
            for vip in came {
                match self.find(&vip) {
                    Err(place) => self.vips.insert(place, vip),
                    Ok(place) if self.vips[place] == vip => drop(self.vips.remove(place)),
                    Ok(place) => self.vips[place] = vip,
                }
            }
        }
        self.vips.shrink_to_fit();
        if bad.is_empty() {
            return Ok(());
        }
        let wrong: Vec<_> = bad.iter().filter(|(key, value)| !names_variables(key, value)).collect();
        let complaint = (!wrong.is_empty()).then(|| format!("not understood: {wrong:?}"));
        self.bad = Some(Box::new(bad));
        complaint.map_or(Ok(()), |complaint| Err(ColumnError::Invalid(complaint)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vips_of_an_address_are_found_among_others() {
        for keys in [
            &[][..],
            &["10.0.0.1:80"],
            &["10.0.0.1", "10.0.0.1:80", "10.0.0.1:443"],
            &["10.0.0.1:80", "10.0.0.2:80"],
            &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.2:81", "10.0.0.3:80", "[fd42::1]:80"],
            &["[fd42::1]:80", "[fd42::1]:81"],
        ] {
            let mut vips: Vec<_> = keys.iter().map(|key| Vip::parse(key, "10.0.0.9:80").unwrap()).collect();
            vips.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
            let set = Vips { vips: vips.clone(), bad: None };
            for address in ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "fd42::1", "fd42::2"] {
                let address: IpAddr = address.parse().unwrap();
                let here: Vec<_> = vips.iter().filter(|vip| vip.endpoint.address == address).collect();
                assert_eq!(set.on(address).iter().collect::<Vec<_>>(), here, "{address} among {keys:?}");
            }
        }
    }
}
