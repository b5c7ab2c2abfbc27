//! `Load_Balancer`.

use ovsdb_protocol::{AtomValue, ColumnGroup, Rare, Table, Uuid};

use crate::id::{GroupId, RouterId};
use crate::store::{IdSet, Meta, Slabs};
use crate::vip::Vips;

/// A load balancer.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Load_Balancer", load_stage = 3, since = "OVN 20.03", context = "Slabs")]
pub struct LoadBalancer {
    /// The row.
    #[ovsdb(uuid)]
    pub uuid: Uuid,
    /// Its name, which need not be unique.
    pub name: Box<str>,
    /// Its virtual addresses, sorted. Keys that are not addresses are omitted.
    pub vips: Vips,
    /// Its protocol; northd uses TCP if there is none.
    pub protocol: Option<Protocol>,
    #[ovsdb(flatten)]
    options: Rare<BalancerOptions>,
    #[ovsdb(skip)]
    pub(crate) routers: IdSet<RouterId>,
    #[ovsdb(skip)]
    pub(crate) groups: Rare<IdSet<GroupId>>,
    #[ovsdb(skip)]
    pub(crate) meta: Meta,
}

/// The options and health checks of a load balancer, which are rare.
#[derive(Clone, Debug, Default, PartialEq, Eq, ColumnGroup)]
#[ovsdb(row = "LoadBalancer", context = "Slabs")]
pub(crate) struct BalancerOptions {
    #[ovsdb(key = "options:template", optional, since = "21.03")]
    template: Option<Box<str>>,
    #[ovsdb(key = "options:skip_snat", optional, since = "21.03")]
    skip_snat: Option<Box<str>>,
    #[ovsdb(key = "options:distributed", optional, since = "21.03")]
    distributed: Option<Box<str>>,
    #[ovsdb(key = "options:use_stateless_nat", optional, since = "21.03")]
    stateless: Option<Box<str>>,
    #[ovsdb(optional, since = "20.03")]
    health_check: Vec<Uuid>,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AtomValue)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl LoadBalancer {
    /// Returns true if a group contains it.
    pub fn is_grouped(&self) -> bool {
        self.groups.get().is_some()
    }

    /// Returns true if it has health checks: it forwards nothing to a backend that does not pass them.
    pub fn checks_health(&self) -> bool {
        self.options.get().is_some_and(|options| !options.health_check.is_empty())
    }

    /// Returns true if it has an option that is read, or a health check.
    pub(crate) fn has_options(&self) -> bool {
        self.options.get().is_some()
    }

    /// Returns true if its virtual addresses and backends may name variables, which differ on each chassis
    /// (`Chassis_Template_Var`).
    pub fn is_template(&self) -> bool {
        self.has_option(|options| &options.template)
    }

    /// Returns true if forwarded packets keep their source, whatever NAT rules say.
    pub fn skips_snat(&self) -> bool {
        self.has_option(|options| &options.skip_snat)
    }

    /// Returns true if each chassis forwards to the backends on it, since OVN 26.03.
    pub fn is_distributed(&self) -> bool {
        self.has_option(|options| &options.distributed)
    }

    /// Returns true if routers with several gateway ports translate for it without connection tracking, since OVN 25.03.
    pub fn is_stateless(&self) -> bool {
        self.has_option(|options| &options.stateless)
    }

    /// Reads an option that is false by default, as northd does (lib/smap.c, `smap_get_bool`).
    fn has_option(&self, option: impl FnOnce(&BalancerOptions) -> &Option<Box<str>>) -> bool {
        let text = self.options.get().and_then(|options| option(options).as_deref());
        text.is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }
}
