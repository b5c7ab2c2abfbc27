//! The rows that contain the display names of ports.

use std::collections::BTreeMap;

use ovn_model::Kept;
use ovsdb_protocol::{Table, Uuid};

/// The suffix of the names of reverse entries.
const REVERSE: &str = ".arpa";

/// A switch port: its name, and what CMSes record of it.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Logical_Switch_Port")]
pub(super) struct PortRow {
    #[ovsdb(uuid)]
    pub(super) uuid: Uuid,
    #[ovsdb(index)]
    pub(super) name: String,
    #[ovsdb(column = "type")]
    pub(super) kind: String,
    /// Neutron's name of the port, which may be empty.
    #[ovsdb(key = "external_ids:neutron:port_name")]
    neutron: Option<String>,
    /// Of kube-ovn: namespace and name of the pod. Of OVN-Kubernetes: `true`.
    #[ovsdb(key = "external_ids:pod")]
    pod: Option<String>,
    /// Of OVN-Kubernetes.
    #[ovsdb(key = "external_ids:namespace")]
    namespace: Option<String>,
}

/// A switch, to distinguish ports.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Logical_Switch")]
pub(super) struct SwitchRow {
    pub(super) name: String,
    pub(super) ports: Vec<Uuid>,
}

/// Host names. Incus and LXD have a row for each port.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "DNS", load_stage = 1, optional)]
pub(super) struct HostRow {
    #[ovsdb(key = "external_ids:incus_switch_port", index)]
    pub(super) incus_port: Option<String>,
    #[ovsdb(key = "external_ids:lxd_switch_port", index)]
    pub(super) lxd_port: Option<String>,
    records: BTreeMap<String, String>,
}

/// The names of ports for which intents are kept.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "NB_Global")]
pub(super) struct KeptRow {
    #[ovsdb(prefix = "external_ids:ovn-extaddr:ipv")]
    pub(super) kept: Kept,
}

impl PortRow {
    /// Returns the name that a CMS records at the port itself.
    pub(super) fn given_name(&self) -> Option<String> {
        if let Some(name) = self.neutron.as_ref().filter(|name| !name.is_empty()) {
            return Some(name.clone());
        }
        match (&self.pod, &self.namespace) {
            (Some(pod), _) if pod.contains('/') => Some(pod.clone()),
            (Some(_), Some(namespace)) => {
                // Names of pods and namespaces have no underscore; a network's name may precede them.
                let (before, pod) = self.name.rsplit_once('_')?;
                let is_here = before.rsplit_once('_').map_or(before, |(_, last)| last) == namespace;
                is_here.then(|| format!("{namespace}/{pod}"))
            }
            _ => None,
        }
    }
}

impl HostRow {
    /// Returns the name of the instance, without the domain of the host name. It is empty before the instance first runs.
    pub(super) fn host(&self) -> Option<&str> {
        let name = self.records.keys().find(|name| !name.ends_with(REVERSE))?;
        name.split('.').next().filter(|name| !name.is_empty())
    }
}
