//! The changes for a port beside rows that it has already.

use serde_json::json;

use crate::rules::PortRangeRule;
use crate::testing::NetworkBuilder;

#[test]
fn row_that_is_right_is_not_written_with_one_that_is_wrong() {
    let mut network = NetworkBuilder::new();
    network.rules.port_range = PortRangeRule::Off;
    network.wants("p1", "203.0.113.10");
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
    let addresses = "02:00:00:00:00:11 10.57.0.11 10.57.0.12";
    network.put("Logical_Switch_Port", "p1", json!({"addresses": addresses}));
    network.own_row("p1", "203.0.113.10", "10.57.0.11", None);
    network.own_row("p1", "203.0.113.77", "10.57.0.12", None);
    assert_eq!(network.plan("p1"), ["update snat 203.0.113.10 for 10.57.0.12"]);
}
