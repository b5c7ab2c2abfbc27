//! Everything that needs real servers, in one binary: one link step.

mod harness;
