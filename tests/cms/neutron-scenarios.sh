# What only Neutron has. Sourced by run.sh, as scenarios.sh.
