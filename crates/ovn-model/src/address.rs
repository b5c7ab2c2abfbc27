//! The addresses of a switch port: `Logical_Switch_Port.addresses` and `dynamic_addresses`.

mod element;
mod encoding;
mod mac;
mod packed;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;

pub use element::{Element, ElementKind};
use encoding::PackedElement;
pub(crate) use encoding::{Decoder, Encoder};
pub use mac::Mac;
pub(crate) use packed::Packed;

use crate::family::Family;

/// A set of address elements such as `"0a:00:00:00:00:01 10.0.0.2 fd42::2"`, in the order of their
/// texts.
///
/// Elements are packed without their text, since there are as many sets as ports. The text of an element that is not
/// canonical is kept.
#[derive(Clone, Copy)]
pub struct AddressSet<'a>(Decoder<'a>);

impl<'a> AddressSet<'a> {
    pub(crate) fn new(elements: Decoder<'a>) -> Self {
        Self(elements)
    }

    /// Returns true if there are no elements.
    pub fn is_empty(self) -> bool {
        self.0.is_at_end()
    }

    /// Returns the elements, also those that were not understood.
    pub fn iter(self) -> impl Iterator<Item = Element<'a>> {
        self.0.map(Element::from)
    }

    /// Returns the addresses of a family that the elements assign; a `dynamic` element itself assigns none.
    pub fn assigned(self, family: Family) -> impl Iterator<Item = IpAddr> + use<'a> {
        self.all_assigned().filter(move |address| Family::from(*address) == family)
    }

    /// Returns the addresses that the elements assign, of both families.
    pub(crate) fn all_assigned(self) -> impl Iterator<Item = IpAddr> + use<'a> {
        let elements = self.iter().filter(|element| element.kind() == ElementKind::Static);
        elements.flat_map(Element::into_addresses)
    }

    /// Calls `each` with the addresses that the elements assign, of both families, which takes less time than an iterator:
    /// there are as many of these as ports have addresses.
    pub fn for_each_assigned(self, mut each: impl FnMut(IpAddr)) {
        for element in self.0 {
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

    /// Describes what is wrong with the elements, if anything.
    pub(crate) fn complaint(self) -> Option<String> {
        // Canonical elements are always understood.
        let texts = || self.0.filter(|packed| matches!(packed, PackedElement::Text(_)));
        let doubtful = || texts().map(Element::from).filter(Element::is_doubtful);
        let doubtful = || doubtful().map(|element| format!("{:?}", element.text()));
        doubtful().next()?;
        Some(format!("not understood: {}", doubtful().collect::<Vec<_>>().join(", ")))
    }

    /// Returns the first element that assigns nothing.
    pub(crate) fn unassigned(self) -> Option<Element<'a>> {
        let is_plain =
            |packed: &PackedElement<'_>| matches!(packed, PackedElement::Canonical { is_static: true, .. });
        let mut others = self.0.filter(|packed| !is_plain(packed)).map(Element::from);
        others.find(|element| element.kind() != ElementKind::Static)
    }
}

impl PartialEq for AddressSet<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq(other.0)
    }
}

impl fmt::Debug for AddressSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|element| element.text())).finish()
    }
}
