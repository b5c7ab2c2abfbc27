//! The address columns of a switch port, packed.

use std::borrow::Cow;
use std::fmt;

use ovsdb_protocol::{
    AtomRef, ColumnError, ColumnGroup, ColumnSet, ColumnSpec, DatumReader, DecodeError, Field,
};
use smallvec::SmallVec;

use super::Port;
use crate::address::{AddressSet, Decoder, Encoder, Packed};
use crate::store::Slabs;

/// The columns `addresses` and `dynamic_addresses` of a port, in one value: there are as many of these as ports, and
/// northd's allocation repeats the Ethernet address of the request.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PortAddresses(Packed);

/// The columns as the schema has them, in the order of [`ADDRESSES`] and [`DYNAMIC_ADDRESSES`].
#[derive(ColumnGroup)]
#[ovsdb(row = "Port")]
#[allow(dead_code)]
struct AddressColumns {
    addresses: Vec<String>,
    dynamic_addresses: Option<String>,
}

const ADDRESSES: usize = 0;
const DYNAMIC_ADDRESSES: usize = 1;

impl PortAddresses {
    /// The column `addresses`, to name it in conditions.
    pub const ADDRESSES: Field<Port, Vec<String>> = AddressColumns::COLUMNS.addresses;
    /// The column `dynamic_addresses`.
    pub const DYNAMIC_ADDRESSES: Field<Port, Option<String>> = AddressColumns::COLUMNS.dynamic_addresses;

    /// Packs the values of both columns.
    pub fn new<'t>(addresses: impl IntoIterator<Item = &'t str>, dynamic_addresses: Option<&str>) -> Self {
        let mut packed = Self::default();
        packed.toggle(addresses.into_iter().map(Cow::Borrowed).collect());
        packed.set_dynamic(dynamic_addresses);
        packed
    }

    /// Returns the elements of `addresses`.
    pub fn addresses(&self) -> AddressSet<'_> {
        AddressSet::new(self.elements())
    }

    /// Returns the elements of `dynamic_addresses`, which northd allocated: none or one.
    pub fn dynamic_addresses(&self) -> AddressSet<'_> {
        AddressSet::new(self.elements().next_set())
    }

    fn elements(&self) -> Decoder<'_> {
        Decoder::new(&self.0)
    }

    /// Applies a set's difference to `addresses`.
    fn toggle(&mut self, mut texts: SmallVec<[Cow<'_, str>; 1]>) {
        for element in self.addresses().iter() {
            let text = element.text();
            match texts.iter().position(|other| *other == text) {
                Some(at) => drop(texts.swap_remove(at)),
                None => texts.push(Cow::Owned(text.into_owned())),
            }
        }
        texts.sort_unstable();
        texts.dedup();
        let mut encoder = Encoder::default();
        texts.iter().for_each(|text| encoder.push_text(text));
        self.set_addresses(encoder);
    }

    /// Replaces `addresses`; `dynamic_addresses` stays.
    fn set_addresses(&mut self, mut encoder: Encoder) {
        let mut dynamic = self.elements().next_set().peekable();
        if dynamic.peek().is_some() {
            encoder.separate();
            dynamic.for_each(|element| encoder.push(element));
        }
        self.0 = encoder.bytes().into();
    }

    /// Replaces `dynamic_addresses`.
    fn set_dynamic(&mut self, text: Option<&str>) {
        let mut encoder = Encoder::with_first_set(&self.0);
        if let Some(text) = text {
            encoder.separate();
            encoder.push_text(text);
        }
        self.0 = encoder.bytes().into();
    }
}

impl ColumnGroup for PortAddresses {
    type Context = Slabs;

    const COLUMNS: &'static [ColumnSpec] = <AddressColumns as ColumnGroup>::COLUMNS;

    fn with_defaults() -> Self {
        Self::default()
    }

    fn column_index(name: &str) -> Option<usize> {
        AddressColumns::column_index(name)
    }

    fn apply(
        &mut self,
        column: usize,
        value: &mut DatumReader<'_, '_>,
        _: &mut Slabs,
    ) -> Result<(), ColumnError> {
        let complaint = match column {
            ADDRESSES => {
                let mut texts = SmallVec::<[_; 1]>::new();
                value.atoms(|atom| match atom {
                    AtomRef::String(text) => {
                        texts.push(text);
                        Ok(())
                    }
                    _ => Err(DecodeError { at: 0, expected: "a set of strings" }),
                })?;
                self.toggle(texts);
                self.addresses().complaint()
            }
            _ => {
                self.set_dynamic(value.string()?.as_deref());
                let allocated = self.dynamic_addresses();
                let strange =
                    || allocated.unassigned().map(|element| format!("not understood: {:?}", element.text()));
                allocated.complaint().or_else(strange)
            }
        };
        complaint.map_or(Ok(()), |complaint| Err(ColumnError::Invalid(complaint)))
    }

    fn reset(&mut self, column: usize) {
        match column {
            ADDRESSES => self.set_addresses(Encoder::default()),
            _ => self.set_dynamic(None),
        }
    }

    fn changed(&self, other: &Self) -> ColumnSet {
        if self == other {
            return ColumnSet::EMPTY;
        }
        ColumnSet::EMPTY
            .with(ADDRESSES, self.addresses() != other.addresses())
            .with(DYNAMIC_ADDRESSES, self.dynamic_addresses() != other.dynamic_addresses())
    }
}

impl fmt::Debug for PortAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entry(&self.addresses()).entry(&self.dynamic_addresses()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::Mac;

    #[test]
    fn columns_are_in_the_order_of_their_indexes() {
        let names = <PortAddresses as ColumnGroup>::COLUMNS.iter().map(|column| column.name);
        assert_eq!(names.collect::<Vec<_>>(), ["addresses", "dynamic_addresses"]);
        assert_eq!(PortAddresses::column_index("addresses"), Some(ADDRESSES));
        assert_eq!(PortAddresses::column_index("dynamic_addresses"), Some(DYNAMIC_ADDRESSES));
    }

    #[test]
    fn address_columns_change_independently() {
        let (asks, other) = ("0a:00:00:00:00:01 dynamic", "0a:00:00:00:00:02 10.0.0.3");
        let has = "0a:00:00:00:00:01 10.0.0.2 fd42::2";
        let before = PortAddresses::new([asks], Some(has));
        assert!(before.0.is_inline(), "most ports need no allocation");
        for (texts, dynamic, changed) in [
            (&[other][..], Some(has), &[ADDRESSES][..]),
            (&[], Some(has), &[ADDRESSES]),
            (&[asks], None, &[DYNAMIC_ADDRESSES]),
            (&[asks], Some("what"), &[DYNAMIC_ADDRESSES]),
            (&[asks, other], Some(other), &[ADDRESSES, DYNAMIC_ADDRESSES]),
            (&[asks], Some(has), &[]),
        ] {
            let after = PortAddresses::new(texts.iter().copied(), dynamic);
            assert_eq!(before.changed(&after), changed.iter().copied().collect(), "{after:?}");
            let mut edited = before.clone();
            edited.reset(ADDRESSES);
            assert_eq!(edited, PortAddresses::new([], Some(has)));
            edited.set_dynamic(dynamic);
            edited.toggle(texts.iter().map(|text| Cow::Borrowed(*text)).collect());
            assert_eq!(edited, after);
            edited.reset(DYNAMIC_ADDRESSES);
            assert_eq!(edited, PortAddresses::new(texts.iter().copied(), None));
        }
    }

    fn text() -> impl Strategy<Value = String> {
        let word = prop_oneof![
            Just("dynamic".to_owned()),
            Just("unknown".to_owned()),
            Just("router".to_owned()),
            // Few values, so that elements share them.
            prop_oneof![Just([0; 6]), Just([10, 0, 0, 0, 0, 1]), any::<[u8; 6]>()]
                .prop_map(|bytes| Mac(bytes).to_string()),
            any::<[u8; 6]>().prop_map(|bytes| Mac(bytes).to_string().to_uppercase()),
            any::<Ipv4Addr>().prop_map(|a| a.to_string()),
            any::<Ipv6Addr>().prop_map(|a| a.to_string()),
            (any::<IpAddr>(), 0..140).prop_map(|(a, l)| format!("{a}/{l}")),
            "[0-9a-f:. /é]{0,12}",
        ];
        let words = prop::collection::vec(word, 0..4).prop_map(|words| words.join(" "));
        let mac = prop_oneof![Just("00:00:00:00:00:00"), Just("0a:00:00:00:00:01")];
        let canonical =
            (mac, any::<Option<Ipv4Addr>>(), any::<Option<Ipv6Addr>>()).prop_map(|(mac, v4, v6)| {
                let [v4, v6] = [v4.map(IpAddr::from), v6.map(IpAddr::from)]
                    .map(|address| address.map(|address| format!(" {address}")).unwrap_or_default());
                format!("{mac}{v4}{v6}")
            });
        prop_oneof![words, canonical]
    }

    proptest! {
        #[test]
        fn texts_of_addresses_are_recovered_after_differences(
            a in prop::collection::btree_set(text(), 0..4),
            b in prop::collection::btree_set(text(), 0..4),
            allocated in prop::array::uniform2(prop::option::of(text())),
        ) {
            let [dynamic, other] = &allocated;
            let packed = |texts: &BTreeSet<String>, dynamic: &Option<String>| {
                PortAddresses::new(texts.iter().map(|s| &**s), dynamic.as_deref())
            };
            let before = packed(&a, dynamic);
            let mut addresses = before.clone();
            let texts = |set: AddressSet<'_>| set.iter().map(|e| e.text().into_owned()).collect::<Vec<_>>();
            prop_assert_eq!(texts(addresses.addresses()), a.iter().cloned().collect::<Vec<_>>());
            prop_assert_eq!(texts(addresses.dynamic_addresses()), dynamic.iter().cloned().collect::<Vec<_>>());
            addresses.toggle(a.symmetric_difference(&b).map(|s| Cow::Borrowed(&**s)).collect());
            prop_assert_eq!(&addresses, &packed(&b, dynamic));
            addresses.set_dynamic(other.as_deref());
            prop_assert_eq!(&addresses, &packed(&b, other));
            let changed = ColumnSet::EMPTY.with(ADDRESSES, a != b).with(DYNAMIC_ADDRESSES, dynamic != other);
            prop_assert_eq!(before.changed(&addresses), changed);
        }
    }
}
