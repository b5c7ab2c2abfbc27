//! Random edits of CMSes: the changes of the database by Incus, LXD and Neutron, with an agent.
//!
//! Everything is done twice, in a database with an agent and in one without. Whenever both are at rest, they must be
//! equal, except for the agent's rows and the conversions that these record, and the rows must be those that the CMSes'
//! own records require.
//!
//! Each run has its own seed. A failure prints it, and `OVN_EXTADDR_SEED` repeats it; `OVN_EXTADDR_STEPS` makes runs
//! longer, as `scripts/soak` does.

mod expected_state;
mod view;
mod world;

use anyhow::{Context, Result};

use crate::fixture::seed_and_steps;
use world::World;

/// The default number of steps of a run.
const STEPS: u64 = 120;
/// Steps from one rest to the next.
const ROUND: u64 = 6;

fn run(config: &str) -> Result<()> {
    let (seed, steps) = seed_and_steps(STEPS)?;
    let mut world = World::start(seed, config)?;
    let mut done = Vec::new();
    for step in 1..=steps {
        let said = world.step().with_context(|| format!("seed {seed}, step {step}"))?;
        done.push(said);
        if step % ROUND == 0 {
            world.rests().with_context(|| {
                let last = &done[done.len().saturating_sub(2 * ROUND as usize)..];
                format!("seed {seed}, step {step}, after {last:#?}")
            })?;
        }
    }
    world.ends().with_context(|| format!("seed {seed}, at the end"))
}

#[test]
fn random_cms_edits_are_followed_with_prompt_rules() -> Result<()> {
    run(ovn_extaddr_tests::PROMPT)
}

#[test]
fn random_cms_edits_are_followed_with_drain_and_hold_down() -> Result<()> {
    run("drain = 1\nhold-down = 0.1\n")
}
