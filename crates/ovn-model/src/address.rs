//! The addresses of a switch port: `Logical_Switch_Port.addresses` and `dynamic_addresses`.

mod element;
mod mac;
mod packed;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;

use ovsdb_protocol::{AtomRef, Column, ColumnError, ColumnKind, DatumReader, DecodeError};
use smallvec::SmallVec;

use element::PackedElement;
pub use element::{Element, ElementKind};
pub use mac::Mac;
use packed::Packed;

use crate::family::Family;

/// A set of address elements such as `"0a:00:00:00:00:01 10.0.0.2 fd42::2"`, in the order of their
/// texts.
///
/// Elements are packed without their text, for there are as many of these as there are ports. The text of one that we
/// would have written otherwise is kept.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AddressSet(Packed);

impl AddressSet {
    /// Packs a set of elements.
    pub fn new<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        Self::default().toggled(texts.into_iter().map(Cow::Borrowed).collect())
    }

    /// Returns what the set becomes by a set's difference.
    pub(crate) fn toggled(&self, mut texts: SmallVec<[Cow<'_, str>; 1]>) -> Self {
        for element in self.iter() {
            let text = element.text();
            match texts.iter().position(|t| *t == text) {
                Some(at) => drop(texts.swap_remove(at)),
                None => texts.push(Cow::Owned(text.into_owned())),
            }
        }
        texts.sort_unstable();
        texts.dedup();
        let mut packed = SmallVec::new();
        for text in texts {
            element::pack(&text, &mut packed);
        }
        Self(Packed::from(&*packed))
    }

    /// Tells whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the elements, also those that were not understood.
    pub fn iter(&self) -> impl Iterator<Item = Element<'_>> {
        self.packed().map(Element::from)
    }

    fn packed(&self) -> impl Iterator<Item = PackedElement<'_>> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || element::unpack(&mut rest))
    }

    /// Returns the addresses of a family that the elements assign; a `dynamic` element assigns none itself.
    pub fn assigned(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        self.all_assigned().filter(move |address| Family::of(*address) == family)
    }

    /// Returns the addresses that the elements assign, of both families.
    pub(crate) fn all_assigned(&self) -> impl Iterator<Item = IpAddr> {
        let elements = self.iter().filter(|element| element.kind() == ElementKind::Static);
        elements.flat_map(Element::into_addresses)
    }

    /// Calls `each` with the addresses that the elements assign, of both families, which takes less time than an iterator:
    /// there are as many of these as ports have addresses.
    pub fn for_each_assigned(&self, mut each: impl FnMut(IpAddr)) {
        for element in self.packed() {
            match element {
                PackedElement::Canonical { is_static: true, v4, v6, .. } => {
                    v4.iter().for_each(|octets| each(IpAddr::from(*octets)));
                    v6.iter().for_each(|octets| each(IpAddr::from(*octets)));
                }
                PackedElement::Canonical { is_static: false, .. } => {}
                PackedElement::Text(_) => {
                    let element = Element::from(element);
                    let assigned = Some(element).filter(|element| element.kind() == ElementKind::Static);
                    assigned.into_iter().flat_map(Element::into_addresses).for_each(&mut each);
                }
            }
        }
    }

    /// Says what is wrong with the elements, if anything is.
    pub(crate) fn complaint(&self) -> Option<String> {
        // What is written as we would write it was understood.
        let texts = || self.packed().filter(|packed| matches!(packed, PackedElement::Text(_)));
        let doubtful = || texts().map(Element::from).filter(Element::is_doubtful);
        let doubtful = || doubtful().map(|element| format!("{:?}", element.text()));
        doubtful().next()?;
        Some(format!("not understood: {}", doubtful().collect::<Vec<_>>().join(", ")))
    }

    /// Returns the first element that assigns nothing.
    fn unassigned(&self) -> Option<Element<'_>> {
        let is_plain =
            |packed: &PackedElement<'_>| matches!(packed, PackedElement::Canonical { is_static: true, .. });
        let mut others = self.packed().filter(|packed| !is_plain(packed)).map(Element::from);
        others.find(|element| element.kind() != ElementKind::Static)
    }
}

impl<C: ?Sized> Column<C> for AddressSet {
    const KIND: ColumnKind = <Vec<String> as Column>::KIND;

    fn apply(&mut self, value: &mut DatumReader<'_, '_>, _: &mut C) -> Result<(), ColumnError> {
        let mut texts = SmallVec::<[_; 1]>::new();
        value.atoms(|atom| match atom {
            AtomRef::String(text) => {
                texts.push(text);
                Ok(())
            }
            _ => Err(DecodeError { at: 0, expected: "a set of strings" }),
        })?;
        *self = self.toggled(texts);
        self.complaint().map_or(Ok(()), |complaint| Err(ColumnError::Invalid(complaint)))
    }
}

/// What northd allocated to a port: `dynamic_addresses`, a set of no element or a static one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DynamicAddresses(AddressSet);

impl Deref for DynamicAddresses {
    type Target = AddressSet;

    fn deref(&self) -> &AddressSet {
        &self.0
    }
}

impl<C: ?Sized> Column<C> for DynamicAddresses {
    const KIND: ColumnKind = <Option<String> as Column>::KIND;

    fn apply(&mut self, value: &mut DatumReader<'_, '_>, _: &mut C) -> Result<(), ColumnError> {
        self.0 = AddressSet::new(value.string()?.as_deref());
        let strange = || self.unassigned().map(|element| format!("not understood: {:?}", element.text()));
        self.complaint().or_else(strange).map_or(Ok(()), |complaint| Err(ColumnError::Invalid(complaint)))
    }
}

impl fmt::Debug for AddressSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|element| element.text())).finish()
    }
}
