//! What the installed OVN release does with hand-made rows, on one chassis and with the gateway on another.
//!
//! `scripts/lab facts` prints the same as a table.

use anyhow::Result;
use ovn_extaddr_tests::lab::{Lab, facts};

fn check_assumptions(lab: &mut Lab, chassis: usize) -> Result<()> {
    let (c1, c2) = (lab.instance("c1", chassis)?, lab.instance("c2", chassis)?);
    let facts = facts::measure(lab, &c1, &c2)?;
    assert!(facts.iter().all(|fact| fact.wrong.is_empty()), "\n{}", facts::table(&facts));
    Ok(())
}

#[test]
fn assumptions_about_ovn_hold_on_one_chassis() -> Result<()> {
    check_assumptions(&mut Lab::builder().start()?, 0)
}

#[test]
fn assumptions_about_ovn_hold_with_the_gateway_on_another_chassis() -> Result<()> {
    check_assumptions(&mut Lab::builder().chassis(2).start()?, 1)
}
