//! Short byte strings that hardly ever need an allocation.

use std::ops::Deref;

/// Bytes that never change.
///
/// There are as many as ports, and nearly all fit in: a port with requested addresses and an allocated one of each
/// family takes 29 bytes. An allocation would cost as much again.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Packed {
    /// Unused bytes are zero.
    Here { length: u8, bytes: [u8; HERE] },
    /// More bytes than fit in.
    Away(Box<[u8]>),
}

const HERE: usize = 30;

#[cfg(test)]
impl Packed {
    pub(crate) fn is_inline(&self) -> bool {
        matches!(self, Self::Here { .. })
    }
}

impl Default for Packed {
    fn default() -> Self {
        Self::Here { length: 0, bytes: [0; HERE] }
    }
}

impl From<&[u8]> for Packed {
    fn from(packed: &[u8]) -> Self {
        let mut bytes = [0; HERE];
        match bytes.get_mut(..packed.len()) {
            Some(place) => {
                place.copy_from_slice(packed);
                Self::Here { length: packed.len() as u8, bytes }
            }
            None => Self::Away(packed.into()),
        }
    }
}

impl Deref for Packed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Here { length, bytes } => &bytes[..usize::from(*length)],
            Self::Away(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_bytes_are_recovered_inline_and_on_the_heap() {
        assert_eq!(size_of::<Packed>(), 32);
        for length in 0..100 {
            let bytes = vec![7; length];
            let packed = Packed::from(&*bytes);
            assert_eq!(*packed, *bytes);
            assert_eq!(packed.is_inline(), length <= HERE);
        }
    }
}
