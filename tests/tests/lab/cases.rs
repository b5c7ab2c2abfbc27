//! Cases from the field whose outcome only packets show.

use anyhow::Result;
use ovn_extaddr_tests::lab::cases;

#[test]
fn field_cases_are_decided_as_packets_require() -> Result<()> {
    let played = cases::play()?;
    assert!(played.iter().all(|case| case.wrong.is_empty()), "\n{}", cases::table(&played));
    Ok(())
}
