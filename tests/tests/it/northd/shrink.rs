//! Smaller and smaller cases with the same difference.

use anyhow::Result;

use super::case::{Case, Nat, PLAIN, Port, Row};
use super::compare::Disagreement;
use super::judge;

/// More steps than a case has parts.
const MAX_STEPS: usize = 60;

/// A simplification of a NAT row.
type EditNat = dyn Fn(&mut Nat);

/// Searches for the smallest case that still shows a disagreement of this kind. All cases that are one step smaller are
/// tried at once.
pub(super) fn shrink(case: &Case, disagreement: &Disagreement) -> Result<(Case, Disagreement)> {
    let mut least = (case.clone(), disagreement.clone());
    for _ in 0..MAX_STEPS {
        let smaller = smaller(&least.0);
        if smaller.is_empty() {
            break;
        }
        let judged = judge(&smaller)?;
        let still = smaller.into_iter().zip(judged).find_map(|(case, found)| {
            let same = found.into_iter().find(|other| other.kind == disagreement.kind)?;
            Some((case, same))
        });
        let Some(next) = still else { break };
        least = next;
    }
    Ok(least)
}

/// The case with one part removed, the largest first.
fn smaller(case: &Case) -> Vec<Case> {
    let mut smaller = Vec::new();
    let mut with = |change: &dyn Fn(&mut Case)| {
        let mut next = case.clone();
        change(&mut next);
        smaller.push(next);
    };
    if case.rows.len() > 3 {
        // Halves first: most rows have nothing to do with it.
        let half = case.rows.len() / 2;
        with(&|case| case.rows.truncate(half));
        with(&|case| drop(case.rows.drain(..half)));
    }
    for index in 0..case.rows.len() {
        with(&|case| drop(case.rows.remove(index)));
    }
    for (index, row) in case.rows.iter().enumerate() {
        match row {
            Row::Balancer(balancer) => {
                for vip in (0..balancer.vips.len()).filter(|_| balancer.vips.len() > 1) {
                    with(&|case| edit_balancer(case, index, &|balancer| drop(balancer.vips.remove(vip))));
                }
                if !balancer.options.is_empty() {
                    with(&|case| edit_balancer(case, index, &|balancer| balancer.options.clear()));
                }
            }
            Row::Nat(nat) => {
                let plain: [(bool, &EditNat); 6] = [
                    (nat.port.is_some(), &|nat| nat.port = None),
                    (nat.range.is_some(), &|nat| nat.range = None),
                    (nat.stateless.is_some(), &|nat| nat.stateless = None),
                    (nat.set.is_some(), &|nat| nat.set = None),
                    (nat.matching.is_some(), &|nat| nat.matching = None),
                    (nat.distributed, &|nat| nat.distributed = false),
                ];
                for (_, change) in plain.into_iter().filter(|(is_set, _)| *is_set) {
                    with(&|case| edit_nat(case, index, change));
                }
            }
            Row::Intent { .. } => {}
        }
    }
    for index in 0..case.options.len() {
        with(&|case| {
            case.options.remove(index);
        });
    }
    if case.enabled.is_some() {
        with(&|case| case.enabled = None);
    }
    if case.outer_disabled {
        with(&|case| case.outer_disabled = false);
    }
    if case.inner_disabled {
        with(&|case| case.inner_disabled = false);
    }
    if case.base {
        with(&|case| case.base = false);
    }
    if case.gateway != PLAIN {
        with(&|case| {
            case.gateway = PLAIN;
            // There is then only one outer port.
            for row in &mut case.rows {
                if let Row::Nat(nat) = row {
                    nat.port = nat.port.filter(|port| *port != Port::Priv);
                }
            }
        });
    }
    smaller
}

fn edit_balancer(case: &mut Case, index: usize, change: &dyn Fn(&mut super::case::Balancer)) {
    if let Some(Row::Balancer(balancer)) = case.rows.get_mut(index) {
        change(balancer);
    }
}

fn edit_nat(case: &mut Case, index: usize, change: &EditNat) {
    if let Some(Row::Nat(nat)) = case.rows.get_mut(index) {
        change(nat);
    }
}
