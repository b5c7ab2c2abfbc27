//! The tables and columns that are monitored, and the releases that have them.

use ovsdb_protocol::{DatabaseSchema, MonitorRequest, MonitorRequests, SchemaMismatch};

/// A table of the Northbound database.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    /// Which part of a snapshot brings it: first what has most bytes, and last what has few, when the server has
    /// nothing left to do meanwhile.
    part: u8,
}

/// Which table it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Switch,
    Port,
    Router,
    RouterPort,
    LoadBalancer,
    Group,
    Nat,
}

/// A column of a table.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// The OVN release that has it at the latest.
    since: &'static str,
    /// Whether nothing can be done without it.
    required: bool,
}

const fn required(name: &'static str) -> Column {
    Column { name, since: "20.03", required: true }
}

const fn optional(name: &'static str, since: &'static str) -> Column {
    Column { name, since, required: false }
}

pub(crate) static SWITCH: Table = Table {
    kind: Kind::Switch,
    name: "Logical_Switch",
    columns: &[required("name"), required("ports")],
    part: 2,
};

pub(crate) static PORT: Table = Table {
    kind: Kind::Port,
    name: "Logical_Switch_Port",
    columns: &[
        required("name"),
        required("type"),
        required("addresses"),
        required("dynamic_addresses"),
        required("options"),
        required("external_ids"),
    ],
    part: 0,
};

pub(crate) static ROUTER: Table = Table {
    kind: Kind::Router,
    name: "Logical_Router",
    columns: &[
        required("name"),
        required("ports"),
        required("nat"),
        required("load_balancer"),
        optional("load_balancer_group", "21.12"),
        required("options"),
        required("external_ids"),
    ],
    part: 2,
};

pub(crate) static ROUTER_PORT: Table = Table {
    kind: Kind::RouterPort,
    name: "Logical_Router_Port",
    columns: &[
        required("name"),
        required("networks"),
        required("peer"),
        optional("gateway_chassis", "20.03"),
        optional("ha_chassis_group", "20.03"),
    ],
    part: 2,
};

pub(crate) static LOAD_BALANCER: Table = Table {
    kind: Kind::LoadBalancer,
    name: "Load_Balancer",
    columns: &[required("name"), required("vips"), required("protocol")],
    part: 3,
};

pub(crate) static GROUP: Table = Table {
    kind: Kind::Group,
    name: "Load_Balancer_Group",
    columns: &[optional("name", "21.12"), optional("load_balancer", "21.12")],
    part: 2,
};

pub(crate) static NAT: Table = Table {
    kind: Kind::Nat,
    name: "NAT",
    columns: &[
        required("type"),
        required("external_ip"),
        required("logical_ip"),
        required("logical_port"),
        optional("external_port_range", "20.06"),
        optional("gateway_port", "22.06"),
        required("options"),
        required("external_ids"),
        optional("match", "24.09"),
        optional("priority", "24.09"),
    ],
    part: 1,
};

pub(crate) static ALL: [&Table; 7] = [&SWITCH, &PORT, &ROUTER, &ROUTER_PORT, &LOAD_BALANCER, &GROUP, &NAT];

impl Table {
    /// Returns a column.
    pub(crate) fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// Requests the columns that the server has.
pub(crate) fn requests(schema: &DatabaseSchema) -> Result<MonitorRequests, SchemaMismatch> {
    let mut requests = MonitorRequests::new();
    for table in ALL {
        let mut columns = Vec::new();
        for column in table.columns {
            if schema.column(table.name, column.name).is_some() {
                columns.push(column.name);
            } else if column.required {
                return Err(SchemaMismatch(format!(
                    "the database {} has no column {}.{}, which OVN {} and newer have",
                    schema.name, table.name, column.name, column.since
                )));
            }
        }
        if !columns.is_empty() {
            requests.insert(table.name.to_owned(), MonitorRequest::columns(columns).load_stage(table.part));
        }
    }
    Ok(requests)
}

#[cfg(test)]
mod tests;
