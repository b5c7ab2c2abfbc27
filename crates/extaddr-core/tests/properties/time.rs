//! Hold-downs and drains: rows stay exactly as long as they should. The state over time is kept here by examining all
//! rows each time; everything else is taken from the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ovsdb_protocol::Uuid;
use proptest::prelude::*;

use crate::case::{self, Case, Cases, Step};
use crate::model::{Database, Row};
use crate::oracle::{Change, Decision, Oracle, Verdict};
use crate::scenario::in_words;
use crate::view;
use crate::world::World;

/// The reasons for which an override stays for `hold-down`.
const HOLDING: [&str; 4] = ["not-a-forward", "not-permitted", "not-a-target", "no-forward-for-auto"];

/// One of our rows in the database.
#[derive(Clone, Debug)]
struct Own {
    uuid: Uuid,
    router: Uuid,
    port: String,
    is_drain: bool,
    external: IpAddr,
    logical: String,
    gateway_port: Option<Uuid>,
    /// For a drain row: the internal address, and the second at which it expires.
    drains: Option<(IpAddr, u64)>,
}

/// The state that an agent has to keep, updated by examining all rows each time.
#[derive(Default)]
struct Memory {
    /// Since when the forward of a port's override is gone, IPv4 or not, and that of a drain row.
    overrides: BTreeMap<(String, bool), u64>,
    drains: BTreeMap<Uuid, u64>,
}

/// The situations that occurred.
#[derive(Debug, Default)]
struct Seen {
    held: usize,
    expired: usize,
    drained: usize,
    ended: usize,
}

/// Our rows that a router refers to.
fn own_rows(world: &World, database: &Database) -> Vec<Own> {
    let routers: Vec<_> = database.table("Logical_Router").collect();
    let oracle = world.oracle();
    let rows = database.table("NAT").filter(|(_, row)| oracle.is_ours(row));
    let read = |(uuid, row): (Uuid, &Row)| {
        let tag = |key: &str| row.get("external_ids", &format!("ovn-extaddr:{key}"));
        Some(Own {
            uuid,
            router: routers.iter().find(|(_, router)| router.has("nat", uuid))?.0,
            port: tag("port")?.to_owned(),
            is_drain: tag("role")? == "drain",
            external: row.text("external_ip").parse().ok()?,
            logical: row.text("logical_ip").to_owned(),
            gateway_port: row.refs("gateway_port").next(),
            drains: tag("internal")
                .and_then(|ip| ip.parse().ok())
                .zip(tag("until").and_then(|s| s.parse().ok())),
        })
    };
    rows.map(|row| read(row).expect("a row of ours reads as one")).collect()
}

impl Memory {
    /// Takes in the present state.
    fn look(&mut self, world: &World, decisions: &BTreeMap<String, Vec<Decision>>) {
        let (oracle, wall, rows) = (world.oracle(), world.now.wall, own_rows(world, &world.database));
        let lost: BTreeSet<_> = rows.iter().filter_map(|row| lost(&oracle, decisions, row)).collect();
        self.overrides.retain(|loss, _| lost.contains(loss));
        for loss in lost {
            self.overrides.entry(loss).or_insert(wall);
        }
        let lost = rows.iter().filter(|row| {
            row.is_drain
                && !oracle.has_external(row.router, row.external)
                && !oracle.is_elsewhere(row.router, row.external)
        });
        let lost: BTreeSet<_> = lost.map(|row| row.uuid).collect();
        self.drains.retain(|uuid, _| lost.contains(uuid));
        for uuid in lost {
            self.drains.entry(uuid).or_insert(wall);
        }
    }

    /// Whether a row stays because its forward may come back at once.
    fn holds(
        &self,
        world: &World,
        oracle: &Oracle<'_>,
        decisions: &BTreeMap<String, Vec<Decision>>,
        row: &Own,
    ) -> bool {
        let since = match row.is_drain {
            true => self.drains.get(&row.uuid),
            false => lost(oracle, decisions, row).and_then(|loss| self.overrides.get(&loss)),
        };
        since.is_some_and(|since| world.now.wall < since + world.settings.hold_down)
    }
}

/// Whether the forward of an override is gone, and nobody else has its address: the port and family.
fn lost(
    oracle: &Oracle<'_>,
    decisions: &BTreeMap<String, Vec<Decision>>,
    row: &Own,
) -> Option<(String, bool)> {
    let internal = row.logical.parse().ok().filter(|_| !row.is_drain)?;
    let decision = decisions.get(&row.port)?.iter().find(|decision| decision.internal.contains(&internal))?;
    let is_lost = matches!(decision.verdict, Verdict::Rejected(code) if HOLDING.contains(&code))
        && decision.external.is_none_or(|external| external == row.external)
        && oracle.reaches(&row.port, row.router)
        && !oracle.is_elsewhere(row.router, row.external);
    is_lost.then(|| (row.port.clone(), internal.is_ipv4()))
}

/// Lets the agent write, and checks the result.
fn settle(world: &mut World, memory: &mut Memory, seen: &mut Seen) {
    let (before, oracle) = (own_rows(world, &world.database), world.oracle());
    let was = oracle.all_decisions();
    let holding: BTreeSet<_> =
        before.iter().filter(|row| memory.holds(world, &oracle, &was, row)).map(|row| row.uuid).collect();
    world.settle(
        |_, _| {},
        |world, _| {
            let decisions = world.oracle().all_decisions();
            memory.look(world, &decisions);
        },
    );
    let (after, oracle) = (own_rows(world, &world.database), world.oracle());
    let decisions = oracle.all_decisions();
    assert!(world.engine.unsettled().is_empty());
    let (settings, wall) = (&world.settings, world.now.wall);

    // There are exactly the granted and the held overrides.
    let missing = oracle.all_changes(&decisions);
    for change in missing.values().flatten() {
        assert!(matches!(change, Change::Delete(..)), "{}", in_words(change));
    }
    let desired: BTreeSet<_> =
        decisions.values().flatten().flat_map(Decision::rows).map(|row| row.uuid).collect();
    for row in after.iter().filter(|row| !row.is_drain && !desired.contains(&row.uuid)) {
        assert!(memory.holds(world, &oracle, &decisions, row), "it stays: {}", in_words(row));
        seen.held += 1;
    }
    for row in before.iter().filter(|row| holding.contains(&row.uuid) && !row.is_drain) {
        let there = after.iter().any(|other| other.uuid == row.uuid);
        assert!(there || oracle.is_elsewhere(row.router, row.external), "it is to stay: {}", in_words(row));
    }
    let expired = before.iter().filter(|row| {
        lost(&oracle, &was, row).is_some()
            && !holding.contains(&row.uuid)
            && !after.iter().any(|other| other.uuid == row.uuid)
    });
    seen.expired += expired.count();

    // A port that gives up an address that the network still has keeps the way back for a while.
    let stays = |row: &Own| {
        after.iter().any(|other| {
            !other.is_drain
                && (other.router, other.external, &other.port) == (row.router, row.external, &row.port)
        })
    };
    let drain_of = |row: &Own| {
        after.iter().find(|other| {
            other.is_drain
                && (other.router, other.external, &other.port) == (row.router, row.external, &row.port)
        })
    };
    let departed = |row: &&Own| {
        let there = after.iter().find(|other| other.uuid == row.uuid);
        !row.is_drain
            && there
                .is_none_or(|other| (other.external, other.gateway_port) != (row.external, row.gateway_port))
    };
    for row in before.iter().filter(departed).filter(|row| !stays(row)) {
        let internal = row.logical.parse().expect("an address");
        let may_continue = settings.drain > 0
            && oracle.addresses_of(&row.port).contains(&internal)
            && oracle.has_external(row.router, row.external);
        let until = drain_of(row).and_then(|drain| Some(drain.drains?.1));
        if may_continue {
            assert_eq!(until, Some(wall + settings.drain), "for {}", in_words(row));
            seen.drained += 1;
        }
    }
    for row in after.iter().filter(|row| row.is_drain) {
        let (internal, until) = row.drains.expect("it says for whom, and until when");
        assert!(wall < until && until <= wall + settings.drain, "{}", in_words(row));
        assert!(oracle.addresses_of(&row.port).contains(&internal), "{}", in_words(row));
        let has = oracle.has_external(row.router, row.external);
        assert!(has || memory.holds(world, &oracle, &decisions, row), "{}", in_words(row));
        let logical: IpAddr = row.logical.parse().expect("an address");
        let unused = match logical {
            IpAddr::V4(address) => address.octets()[0] >= 240,
            IpAddr::V6(address) => address.segments()[..4] == [0x100, 0, 0, 0],
        };
        assert!(unused, "{}", in_words(row));
        let known = before.iter().any(|other| other.uuid == row.uuid)
            || before
                .iter()
                .filter(departed)
                .any(|other| drain_of(other).is_some_and(|d| d.uuid == row.uuid));
        assert!(known, "nothing departed for {}", in_words(row));
    }
    // A drain row stays until its time, unless its address is the port's again or is lost.
    for row in before.iter().filter(|row| row.is_drain) {
        let (internal, until) = row.drains.expect("it says for whom, and until when");
        let goes_on = wall < until
            && settings.drain > 0
            && oracle.addresses_of(&row.port).contains(&internal)
            && oracle.has_external(row.router, row.external)
            && !stays(row);
        let there = after.iter().any(|other| other.uuid == row.uuid);
        assert!(there || !goes_on, "it is to go on: {}", in_words(row));
        seen.ended += usize::from(!there);
    }
}

fn run(case: &Case) -> Seen {
    let (world, mut memory, mut seen) = (&mut World::new(case), Memory::default(), Seen::default());
    for step in &case.steps {
        match step {
            Step::Edits(edits) => world.edit(edits),
            Step::Configure(settings) => world.configure(settings),
            Step::Pass(seconds) => world.pass(*seconds),
            Step::Restart => {
                world.restart();
                memory = Memory::default();
            }
            Step::Settle => settle(world, &mut memory, &mut seen),
        }
        let decisions = world.oracle().all_decisions();
        memory.look(world, &decisions);
        let (is, should) = (view::decisions(&world.store, &world.engine), world.oracle().decisions());
        assert!(is == should, "{} is not {}", in_words(&is), in_words(&should));
    }
    // In the end only granted rows stay, and nothing is waited for.
    for _ in 0..2 {
        settle(world, &mut memory, &mut seen);
        world.pass(world.settings.drain.max(world.settings.hold_down) + 1);
        let decisions = world.oracle().all_decisions();
        memory.look(world, &decisions);
    }
    settle(world, &mut memory, &mut seen);
    let decisions = world.oracle().decisions();
    assert_eq!(world.oracle().all_changes(&decisions), BTreeMap::new());
    assert!(world.engine.next_deadline().is_none());
    seen
}

proptest! {
    #![proptest_config(case::config())]

    #[test]
    fn held_and_draining_rows_stay_exactly_their_time(case in Cases::Timed) {
        run(&case);
    }
}

/// The checked cases must not be trivial.
#[test]
fn random_cases_contain_held_and_draining_rows() {
    let mut all = Seen::default();
    for n in 0..100 {
        let Seen { held, expired, drained, ended } = run(&case::nth(Cases::Timed, n));
        all.held += held;
        all.expired += expired;
        all.drained += drained;
        all.ended += ended;
    }
    println!("{all:?}");
    assert!([all.held, all.expired, all.drained, all.ended].iter().all(|n| *n >= 5), "{all:?}");
}
