//! Tests with real packets: each starts a complete OVN in network namespaces. They need root.

mod cases;
mod hazards;
mod held;
mod lab;
mod nodes;
mod release;
mod rows;
mod stage;
mod topology;
mod verify;
