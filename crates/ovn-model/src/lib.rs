//! OVN Northbound model.
