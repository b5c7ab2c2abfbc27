//! The source ports of an instance's own connections.
//!
//! OVN takes a packet to a VIP's address and port for forwarded traffic, even if it is the reply to a connection of the
//! instance that happens to have that source port: the connection breaks. So connections do not get the ports that the
//! address listens on.

pub use ovn_model::PortRange;

/// The lowest port that is used, above the well-known ones.
const MIN_PORT: u16 = 1024;

/// Returns the largest range above the well-known ports that contains none of `listening`, the lowest of equal ones.
/// `None` if no port is listened on, or every one is.
///
/// `listening` is sorted.
pub fn free_of(listening: &[u16]) -> Option<PortRange> {
    if listening.is_empty() {
        return None;
    }
    let (mut best, mut first) = (None::<PortRange>, u32::from(MIN_PORT));
    for end in
        listening.iter().copied().map(u32::from).filter(|port| *port >= u32::from(MIN_PORT)).chain([1 << 16])
    {
        // A port that is listed twice yields an empty range here.
        if let (Ok(first), Ok(last)) = (u16::try_from(first), u16::try_from(end.wrapping_sub(1)))
            && first <= last
            && best.is_none_or(|best| last - first > best.last - best.first)
        {
            best = Some(PortRange { first, last });
        }
        first = end + 1;
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn largest_free_port_range_is_selected() {
        let text = |ports: &[u16]| free_of(ports).map(|range| range.to_string());
        assert_eq!(text(&[]), None);
        assert_eq!(text(&[80, 443]).as_deref(), Some("1024-65535"));
        assert_eq!(text(&[40000]).as_deref(), Some("1024-39999"));
        assert_eq!(text(&[1024, 2000, 2000]).as_deref(), Some("2001-65535"));
        assert_eq!(text(&[65535]).as_deref(), Some("1024-65534"));
        assert_eq!(text(&[33279, 33280]).as_deref(), Some("1024-33278"), "the lowest of equals");
        assert_eq!(free_of(&(0..=65535).collect::<Vec<_>>()), None);
        assert_eq!(free_of(&[40000]).map(PortRange::count), Some(38976));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn port_range_is_the_largest_without_listening_ports(
            listening in prop::collection::btree_set(prop_oneof![any::<u16>(), 1000..1100u16, 65500..=65535u16], 1..40),
        ) {
            let naive = (MIN_PORT..=u16::MAX)
                .filter(|first| *first == MIN_PORT || listening.contains(&(first - 1)))
                .filter_map(|first| {
                    let length = (first..=u16::MAX).take_while(|port| !listening.contains(port)).count();
                    (length > 0).then_some((length, first))
                })
                .max_by_key(|(length, first)| (*length, std::cmp::Reverse(*first)));
            let range = free_of(&listening.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(range.map(|r| (usize::from(r.last - r.first) + 1, r.first)), naive);
        }
    }
}
