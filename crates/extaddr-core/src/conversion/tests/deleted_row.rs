//! What is restored after somebody deleted our row or the record of what was removed that it has.

use super::*;

/// Attaches the balancer to the router.
fn attach(network: &mut NetworkBuilder) {
    network.put("Logical_Router", "R", json!({"load_balancer": reference("Load_Balancer", "fw")}));
}

/// Gives the balancer its VIP back.
fn restore(network: &mut NetworkBuilder) {
    let vips = map(&[(A, TARGET), ("203.0.113.11:80", TARGET)]);
    network.put("Load_Balancer", "fw", json!({"vips": vips}));
}

/// A way to remove a VIP.
struct VipRemoval {
    /// The converted network.
    network: fn() -> NetworkBuilder,
    /// The change that restores the VIP.
    restored: &'static str,
    /// The same as an edit.
    restore: Edit,
    /// The change that removes it once more.
    removal: &'static str,
}

const REMOVALS: [VipRemoval; 2] = [
    VipRemoval { network: detached, restored: "attach fw", restore: attach, removal: "detach fw" },
    VipRemoval {
        network: removed,
        restored: "restore-vip fw 203.0.113.10",
        restore,
        removal: "remove-vip fw 203.0.113.10",
    },
];

fn made_again(removal: &str) -> Vec<String> {
    let mut changes = vec![removal.to_owned(), format!("insert {ROW}")];
    changes.sort_unstable();
    changes
}

#[test]
fn deleted_row_is_restored_after_its_vip() {
    for VipRemoval { network, restored, restore, removal } in REMOVALS {
        let mut live = Live::new(network());
        assert_eq!(live.conversions(), Vec::<String>::new());
        live.edit(delete_row);
        assert_eq!(live.conversions(), [restored]);
        live.edit(restore);
        assert_eq!(live.conversions(), made_again(removal));
    }
}

#[test]
fn vip_restored_by_others_is_not_restored_twice() {
    for VipRemoval { network, restore, removal, .. } in REMOVALS {
        let mut live = Live::new(network());
        live.edit(|network| {
            delete_row(network);
            restore(network);
        });
        assert_eq!(live.conversions(), made_again(removal));
    }
}

#[test]
fn deleted_balancer_is_not_restored() {
    for VipRemoval { network, .. } in REMOVALS {
        let mut live = Live::new(network());
        live.edit(|network| {
            delete_row(network);
            network.delete("Load_Balancer", "fw");
        });
        assert_eq!(live.conversions(), Vec::<String>::new());
    }
}

#[test]
fn balancer_is_not_attached_to_a_successor_of_its_router() {
    let without_its_router = |network: fn() -> NetworkBuilder| {
        let mut live = Live::new(network());
        live.edit(|network| {
            delete_row(network);
            network.delete("Logical_Router", "R");
            network.router("R2");
        });
        live.conversions()
    };
    assert_eq!(without_its_router(detached), Vec::<String>::new());
    // A VIP is not the router's.
    assert_eq!(without_its_router(removed), ["restore-vip fw 203.0.113.10"]);
}

/// Somebody changes the record of our row, or removes it.
fn set_record(network: &mut NetworkBuilder, record: Option<&str>) {
    let mut tags = vec![("ovn-extaddr:owner", "ovn-extaddr"), ("ovn-extaddr:role", "default-target")];
    tags.extend(record.map(|record| (UNDO, record)));
    change_row(network, json!({"external_ids": map(&tags)}));
}

#[test]
fn removed_undo_record_is_remembered() {
    for VipRemoval { network, restored, .. } in REMOVALS {
        let mut live = Live::new(network());
        live.edit(|network| set_record(network, None));
        assert!(live.conversions().contains(&restored.to_owned()), "{:?}", live.conversions());
    }
}

#[test]
fn shortened_undo_record_is_rewritten() {
    let network = two_detached();
    let tcp = format!("attach {}", balancer_uuid(&network, "fw"));
    let mut live = Live::new(network);
    assert_eq!(live.conversions(), Vec::<String>::new());
    live.edit(|network| set_record(network, Some(&tcp)));
    assert_eq!(live.conversions(), [format!("update {ROW}")]);
}
