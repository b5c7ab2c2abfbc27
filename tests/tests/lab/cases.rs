//! Cases from the field whose outcome only packets show.

use anyhow::Result;
use ovn_extaddr_tests::lab::cases;

#[test]
fn the_agent_does_right_by_packets_in_field_cases() -> Result<()> {
    let played = cases::play()?;
    assert!(played.iter().all(|case| case.wrong.is_empty()), "\n{}", cases::table(&played));
    Ok(())
}
