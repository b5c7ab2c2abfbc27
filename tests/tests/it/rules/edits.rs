//! Default targets: the CMS goes on while an address is converted.

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{DefaultTarget, Protocol, eventually};

use super::conversion::{detach, put_vip, vips};
use super::{A, Case, converted, egress, set};
use crate::fixture::{SOON, ip};

/// A CMS's edit of a default target, and the instance that it forwards to in the end: 0 is none.
type Edit = fn(&Case) -> Result<usize>;

const EDITS: [(&str, Edit); 8] = [
    ("re-created as it was", |case| case.default_target(A).map(|()| 1)),
    ("one of the two re-created", |case| {
        case.net.set_vips(Protocol::Udp, ip(A), &vips(&[(A, "10.57.1.11")])).map(|()| 1)
    }),
    ("deleted, and made again later", |case| {
        case.net.remove_forward(ip(A))?;
        case.becomes([])?;
        case.default_target(A).map(|()| 1)
    }),
    ("re-created with another target", |case| {
        case.net.add_default_target(ip(A), case.two.v4()?, DefaultTarget::Vip).map(|()| 2)
    }),
    ("another target in place", |case| {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            put_vip(case, protocol, A, "10.57.1.12")?;
        }
        Ok(2)
    }),
    ("a port added by re-creation", |case| {
        case.net.set_vips(Protocol::Tcp, ip(A), &vips(&[(A, "10.57.1.11")]))?;
        case.forward(A, 443).map(|()| 1)
    }),
    ("a port added in place", |case| {
        put_vip(case, Protocol::Tcp, "203.0.113.101:443", "10.57.1.11:443").map(|()| 1)
    }),
    ("from a VIP to a dnat row", |case| {
        case.net.remove_forward(ip(A))?;
        case.net.add_default_target(ip(A), case.one.v4()?, DefaultTarget::Dnat).map(|()| 0)
    }),
];

#[test]
fn edits_of_the_cms_to_a_converted_balancer_take_effect() -> Result<()> {
    for (what, edit) in EDITS {
        edited(what, edit, false)?;
    }
    Ok(())
}

#[test]
fn edits_of_the_cms_beside_other_vips_take_effect() -> Result<()> {
    for (what, edit) in EDITS {
        edited(what, edit, true)?;
    }
    Ok(())
}

fn edited(what: &str, edit: Edit, mixed: bool) -> Result<()> {
    let case = Case::start("")?;
    let others =
        if mixed { vips(&[(A, "10.57.1.11"), ("203.0.113.101:25", "10.57.1.12:25")]) } else { vips(&[]) };
    case.default_target(A)?;
    if mixed {
        case.net.set_vips(Protocol::Tcp, ip(A), &others)?;
    }
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    let target = edit(&case).context(what.to_owned())?;
    let row = egress(&case.one, A);
    match target {
        1 => case.becomes([row, converted(A, &case.one)]),
        2 => case.becomes([row, converted(A, &case.two)]),
        _ => case.becomes([row]),
    }
    .with_context(|| format!("{what}, mixed {mixed}"))?;
    case.state(&case.one, "active")?;

    // The conversion is undone to what the CMS wrote last.
    case.annotate(&case.one, None)?;
    case.becomes([]).with_context(|| what.to_owned())?;
    let expected = ["10.57.1.11", "10.57.1.12"].get(target.wrapping_sub(1));
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let found = case.net.vips(protocol, ip(A))?;
        assert_eq!(found.get(A).map(String::as_str), expected.copied(), "{what}, mixed {mixed}, {protocol}");
    }
    let places = case.attached(A)?;
    if target > 0 {
        assert_eq!(places, set(["router tcp", "router udp", "switch tcp", "switch udp"]), "{what}");
    }
    Ok(())
}

#[test]
fn deleted_converted_forward_leaves_nothing() -> Result<()> {
    for mixed in [false, true] {
        let case = Case::start("")?;
        let before = case.foreign()?;
        case.default_target(A)?;
        if mixed {
            case.forward(A, 443)?;
        }
        case.annotate(&case.one, Some(A))?;
        case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
        case.net.remove_forward(ip(A))?;
        case.becomes([])?;
        case.state(&case.one, "rejected not-a-forward")?;
        assert_eq!(case.foreign()?, before, "mixed {mixed}");
    }
    Ok(())
}

#[test]
fn deleted_default_target_leaves_forwarded_ports() -> Result<()> {
    let case = Case::start("")?;
    case.default_target(A)?;
    case.forward(A, 443)?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    let before = case.net.vips(Protocol::Tcp, ip(A))?;
    // Incus removes the target address of a forward: the udp balancer is deleted, tcp is made again without it.
    case.net.set_vips(Protocol::Udp, ip(A), &vips(&[]))?;
    case.net.set_vips(Protocol::Tcp, ip(A), &before)?;
    case.becomes([egress(&case.one, A)])?;
    case.annotate(&case.one, None)?;
    case.becomes([])?;
    assert_eq!(case.net.vips(Protocol::Tcp, ip(A))?, before);
    Ok(())
}

#[test]
fn port_added_to_a_detached_balancer_is_forwarded_at_once() -> Result<()> {
    let case = Case::start("")?;
    case.default_target(A)?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    // To the balancer that is off the router.
    let (key, target) = ("203.0.113.101:25", "10.57.1.12:25");
    put_vip(&case, Protocol::Tcp, key, target)?;
    eventually(SOON, "the balancer is on the router again, without the default target", || {
        let (places, found) = (case.attached(A)?, case.net.vips(Protocol::Tcp, ip(A))?);
        ensure!(places == set(["router tcp", "switch tcp", "switch udp"]), "it is on {places:?}");
        ensure!(found == vips(&[(key, target)]), "it has {found:?}");
        Ok(true)
    })?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    case.annotate(&case.one, None)?;
    case.becomes([])?;
    assert_eq!(case.net.vips(Protocol::Tcp, ip(A))?, vips(&[(A, "10.57.1.11"), (key, target)]));
    assert_eq!(case.attached(A)?, set(["router tcp", "router udp", "switch tcp", "switch udp"]));
    Ok(())
}

#[test]
fn vip_is_restored_in_a_balancer_that_the_cms_detaches() -> Result<()> {
    let case = Case::start("")?;
    case.default_target(A)?;
    case.forward(A, 443)?;
    let before = case.net.vips(Protocol::Tcp, ip(A))?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    detach(&case.fixture.server, &case.net.router(), &case.net.balancer(Protocol::Tcp, ip(A)))?;
    eventually(SOON, "the VIP is back", || {
        let found = case.net.vips(Protocol::Tcp, ip(A))?;
        ensure!(found == before, "there are {found:?}");
        Ok(true)
    })?;
    // That of UDP is still converted.
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    detach(&case.fixture.server, &case.net.router(), &case.net.balancer(Protocol::Tcp, ip(A)))?;
    case.annotate(&case.one, None)?;
    case.becomes([])?;
    assert_eq!(case.attached(A)?, set(["router udp", "switch tcp", "switch udp"]));
    Ok(())
}
