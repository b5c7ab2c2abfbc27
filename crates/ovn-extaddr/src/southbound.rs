//! The rows that a verification needs: selects, and the parts of their results that the rules use.

mod flow;

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use anyhow::Context;
use extaddr_core::verify::{
    Binding, Chassis, Findings, Gateway, Northbound, Override, SNAT_STAGE, Southbound, UNSNAT_STAGE, verify,
};
use ovsdb_protocol::{
    Atom, Client, Condition, DatabaseSchema, Datum, OperationResult, Row, SessionConfig, Transaction, Uuid,
};

use crate::clock;
use crate::reach::{self, Deadline};
use crate::settings::Settings;

/// The maximum number of routers or ports that are selected one by one. A server examines every row of a table for each
/// select, but selecting more together also returns rows that are not needed.
const MAX_APART: usize = 8;

/// The same for the flows of routers, of which there may be a million.
const MAX_ROUTERS_APART: usize = 2;

/// The relevant stages.
const STAGES: [&str; 2] = [SNAT_STAGE, UNSNAT_STAGE];

/// `Datapath_Binding.external_ids`: the router's row in the Northbound database.
const ROUTER: &str = "logical-router";

/// `SB_Global.options`: whether chassis report what they have done (OVN 25.09 and later).
const REPORT: &str = "enable_chassis_nb_cfg_update";

/// A database with its schema.
#[derive(Debug)]
struct Reader {
    client: Client,
    schema: DatabaseSchema,
    deadline: Deadline,
}

/// The requested rows.
struct Select<'a> {
    table: &'static str,
    conditions: Vec<Condition>,
    columns: &'a [&'static str],
}

/// An override with its findings.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) row: Override,
    pub(crate) findings: Findings,
}

/// The configurations of sessions with both databases.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    northbound: SessionConfig,
    southbound: SessionConfig,
}

/// The databases, for one or more verifications.
#[derive(Debug)]
pub(crate) struct Databases {
    northbound: Reader,
    southbound: Reader,
}

impl Sessions {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { northbound: settings.reading_session(), southbound: settings.southbound_session() }
    }
}

impl Databases {
    /// Connects to both databases.
    ///
    /// # Errors
    /// One of them cannot be read; the error names the places that were tried, and how to name another one.
    pub(crate) async fn open(sessions: Sessions, deadline: Deadline) -> anyhow::Result<Self> {
        let southbound = Reader::open(sessions.southbound, deadline).await.context(
            "the Southbound database cannot be read: --sb-db, OVN_SB_DB or sb-db in the configuration says where it is",
        )?;
        let northbound = Reader::open(sessions.northbound, deadline).await?;
        Ok(Self { northbound, southbound })
    }

    /// Verifies overrides; returns the findings in their order.
    ///
    /// # Errors
    /// A database does not answer in time.
    pub(crate) async fn verify(&self, overrides: Vec<Override>) -> anyhow::Result<Vec<Verdict>> {
        let (northbound, southbound) = self.look(&overrides).await?;
        let now = clock::read(Instant::now()).wall.saturating_mul(1000);
        let verdict = |row| Verdict { findings: verify(&row, &northbound, &southbound, now), row };
        Ok(overrides.into_iter().map(verdict).collect())
    }

    /// Reads the rows that the rules need for these overrides.
    async fn look(&self, overrides: &[Override]) -> anyhow::Result<(Northbound, Southbound)> {
        let mut southbound = Southbound::default();
        // In this order: the change requested of chassis comes from the Northbound, and is then not ahead of it.
        self.southbound.chassis(&mut southbound).await?;
        let northbound = self.northbound.progress().await?;
        self.southbound.datapaths(overrides, &mut southbound).await?;
        self.southbound.bindings(overrides, &mut southbound).await?;
        self.southbound.flows(overrides, &mut southbound).await?;
        Ok((northbound, southbound))
    }
}

impl Reader {
    async fn open(config: SessionConfig, deadline: Deadline) -> anyhow::Result<Self> {
        let database = config.database.clone();
        let client = reach::reader(config, deadline).await?;
        let schema = deadline.await_or(Some(reach::BUSY_TIMEOUT), client.get_schema(&database)).await;
        let schema = schema.with_context(|| format!("{database} does not answer"))??;
        Ok(Self { client, schema, deadline })
    }

    /// Reads rows, as far as the server has these tables and columns.
    async fn select<const N: usize>(&self, selects: [Select<'_>; N]) -> anyhow::Result<[Vec<Row>; N]> {
        let rows = self.select_all(selects.into()).await?;
        Ok(rows.try_into().unwrap_or_else(|_| std::array::from_fn(|_| Vec::new())))
    }

    async fn select_all(&self, selects: Vec<Select<'_>>) -> anyhow::Result<Vec<Vec<Row>>> {
        let mut transaction = Transaction::new(&*self.schema.name);
        let mut places = Vec::new();
        for Select { table, conditions, columns } in selects {
            let has = |column: &&str| *column == "_uuid" || self.schema.column(table, column).is_some();
            let columns: Vec<_> = columns.iter().copied().filter(has).collect();
            let is_there = self.schema.table(table).is_some();
            places.push(is_there.then(|| transaction.select_columns(table, conditions, columns)));
        }
        let mut results = reach::read(&self.client, self.deadline, &transaction).await?.into_iter();
        let rows = places.into_iter().map(|place| match place.and_then(|_| results.next()) {
            Some(OperationResult::Rows(rows)) => rows,
            _ => Vec::new(),
        });
        Ok(rows.collect())
    }

    /// Reads ovn-northd's progress from the Northbound database.
    async fn progress(&self) -> anyhow::Result<Northbound> {
        let columns = &["nb_cfg", "sb_cfg", "sb_cfg_timestamp"];
        let [rows] = self.select([Select { table: "NB_Global", conditions: Vec::new(), columns }]).await?;
        // A database that is not initialised has no requests either.
        let Some(row) = rows.first() else { return Ok(Northbound::default()) };
        Ok(Northbound {
            nb_cfg: integer(row, "nb_cfg").unwrap_or_default(),
            sb_cfg: integer(row, "sb_cfg").unwrap_or_default(),
            sb_cfg_timestamp: timestamp(row, "sb_cfg_timestamp"),
        })
    }

    /// Reads the change requested of chassis, and the chassis.
    async fn chassis(&self, southbound: &mut Southbound) -> anyhow::Result<()> {
        let private = ["chassis", "nb_cfg", "nb_cfg_timestamp"];
        let [global, chassis, private] = self
            .select([
                Select { table: "SB_Global", conditions: Vec::new(), columns: &["nb_cfg", "options"] },
                Select {
                    table: "Chassis",
                    conditions: Vec::new(),
                    columns: &["_uuid", "name", "hostname", "nb_cfg"],
                },
                Select { table: "Chassis_Private", conditions: Vec::new(), columns: &private },
            ])
            .await?;
        if let Some(row) = global.first() {
            southbound.nb_cfg = integer(row, "nb_cfg").unwrap_or_default();
            let report = row.get("options").and_then(|options| options.get(REPORT)?.as_str());
            // As smap_get_bool() of a key whose default is true.
            southbound.is_progress_hidden = report.is_some_and(|report| report.eq_ignore_ascii_case("false"));
        }
        let has_private_row = self.schema.table("Chassis_Private").is_some();
        southbound.chassis.extend(chassis.iter().filter_map(|row| {
            let chassis = Chassis {
                name: text(row, "name"),
                hostname: text(row, "hostname"),
                // With private rows this column is not updated.
                nb_cfg: integer(row, "nb_cfg").filter(|_| !has_private_row),
                nb_cfg_timestamp: 0,
                has_private_row,
            };
            Some((row.uuid()?, chassis))
        }));
        for row in &private {
            if let Some(chassis) = uuid(row, "chassis").and_then(|uuid| southbound.chassis.get_mut(&uuid)) {
                chassis.nb_cfg = integer(row, "nb_cfg");
                chassis.nb_cfg_timestamp = timestamp(row, "nb_cfg_timestamp");
            }
        }
        Ok(())
    }

    /// Reads the datapaths of the routers.
    async fn datapaths(&self, overrides: &[Override], southbound: &mut Southbound) -> anyhow::Result<()> {
        let routers: BTreeSet<Uuid> = overrides.iter().map(|wanted| wanted.router_uuid).collect();
        let columns = &["_uuid", "external_ids"];
        let is_of =
            |router: &Uuid| Condition::includes("external_ids", Datum::map([(ROUTER, router.to_string())]));
        let selects = apart(&routers, is_of)
            .map(|conditions| Select { table: "Datapath_Binding", conditions, columns })
            .collect();
        for row in self.select_all(selects).await?.iter().flatten() {
            let router = row.get("external_ids").and_then(|ids| ids.get(ROUTER)?.as_str()?.parse().ok());
            if let Some((router, datapath)) =
                router.zip(row.uuid()).filter(|(router, _)| routers.contains(router))
            {
                southbound.datapaths.insert(router, datapath);
            }
        }
        Ok(())
    }

    /// Reads the bindings of the routers' gateways and the instances' ports.
    async fn bindings(&self, overrides: &[Override], southbound: &mut Southbound) -> anyhow::Result<()> {
        let datapaths: BTreeSet<Uuid> = southbound.datapaths.values().copied().collect();
        let of_gateways = &["logical_port", "type", "datapath", "options", "chassis"];
        let selects =
            apart(&datapaths, |datapath| Condition::eq("datapath", *datapath)).flat_map(|conditions| {
                ["chassisredirect", "l3gateway"].map(|kind| {
                    let kind = Condition::eq("type", kind);
                    let conditions = conditions.iter().cloned().chain([kind]).collect();
                    Select { table: "Port_Binding", conditions, columns: of_gateways }
                })
            });
        let gateways = self.select_all(selects.collect()).await?;
        for row in gateways.iter().flatten() {
            let Some(datapath) = uuid(row, "datapath").filter(|datapath| datapaths.contains(datapath)) else {
                continue;
            };
            let binding = text(row, "logical_port");
            let is_distributed = text(row, "type") == "chassisredirect";
            let router_port =
                row.get("options").and_then(|options| options.get("distributed-port")?.as_str());
            let router_port = router_port.filter(|_| is_distributed).unwrap_or(&binding).to_owned();
            let gateway = Gateway { router_port, binding, is_distributed, chassis: uuid(row, "chassis") };
            southbound.gateways.entry(datapath).or_default().push(gateway);
        }
        for gateways in southbound.gateways.values_mut() {
            gateways.sort_unstable_by(|a, b| a.binding.cmp(&b.binding));
        }
        let ports: BTreeSet<&str> = overrides.iter().map(|wanted| &*wanted.port).collect();
        for conditions in apart(&ports, |port| Condition::eq("logical_port", *port)) {
            let table = ("Port_Binding", &["logical_port", "chassis", "up"][..]);
            let found: Vec<flow::Bound> =
                flow::rows(&self.client, &self.schema, self.deadline, table, conditions).await?;
            let found = found.into_iter().filter(|bound| ports.contains(&*bound.logical_port));
            southbound.ports.extend(
                found.map(|bound| {
                    (bound.logical_port.into(), Binding { chassis: bound.chassis, up: bound.up })
                }),
            );
        }
        Ok(())
    }

    /// Reads the flows of the relevant stages.
    ///
    /// Each select is a separate request: a server has to examine every flow for it, and serves nobody meanwhile.
    async fn flows(&self, overrides: &[Override], southbound: &mut Southbound) -> anyhow::Result<()> {
        let datapaths: BTreeSet<Uuid> = southbound.datapaths.values().copied().collect();
        let mut selects = Vec::new();
        if datapaths.len() <= MAX_ROUTERS_APART {
            selects
                .extend(datapaths.iter().map(|datapath| vec![Condition::eq("logical_datapath", *datapath)]));
            // Flows that several datapaths share.
            selects.extend(
                STAGES.map(|stage| vec![Condition::eq("logical_datapath", Datum::empty()), of_stage(stage)]),
            );
        } else {
            selects.extend(STAGES.map(|stage| vec![of_stage(stage)]));
        }
        let addresses = overrides.iter().flat_map(|wanted| [wanted.internal, wanted.external]).collect();
        let mut groups = HashMap::new();
        for conditions in selects {
            let flows = flow::read(&self.client, &self.schema, self.deadline, conditions).await?;
            let named = flows.iter().filter_map(|flow| flow.logical_dp_group);
            let unknown = named.filter(|group| !groups.contains_key(group)).collect();
            groups.extend(self.groups(&unknown).await?);
            for flow in flows {
                let group = flow.logical_dp_group.and_then(|group| groups.get(&group));
                let members = group.into_iter().flatten().copied().chain(flow.logical_datapath);
                for datapath in members.filter(|datapath| datapaths.contains(datapath)) {
                    southbound.insert_flow(datapath, flow.stage(), flow.flow(), &addresses);
                }
            }
        }
        Ok(())
    }

    /// Reads the datapaths of groups.
    async fn groups(&self, groups: &BTreeSet<Uuid>) -> anyhow::Result<HashMap<Uuid, Vec<Uuid>>> {
        // A server finds a row by its UUID without a search.
        let selects = groups.iter().map(|group| Select {
            table: "Logical_DP_Group",
            conditions: vec![Condition::uuid(*group)],
            columns: &["_uuid", "datapaths"],
        });
        let rows = self.select_all(selects.collect()).await?;
        let members = |row: &Row| {
            let datapaths = row.get("datapaths")?;
            Some((row.uuid()?, datapaths.iter().filter_map(Atom::as_uuid).collect()))
        };
        Ok(rows.iter().flatten().filter_map(members).collect())
    }
}

fn of_stage(stage: &str) -> Condition {
    Condition::includes("external_ids", Datum::map([("stage-name", stage)]))
}

/// Returns the conditions of each select: one for each object, or one for all if there are many.
fn apart<'a, T>(
    things: &'a BTreeSet<T>,
    condition: impl Fn(&T) -> Condition + 'a,
) -> impl Iterator<Item = Vec<Condition>> + 'a {
    let are_apart = things.len() <= MAX_APART;
    let each = things.iter().filter(move |_| are_apart).map(move |thing| vec![condition(thing)]);
    each.chain((!are_apart).then(Vec::new))
}

fn text(row: &Row, column: &str) -> String {
    row.get(column).and_then(Datum::as_str).unwrap_or_default().to_owned()
}

fn integer(row: &Row, column: &str) -> Option<i64> {
    row.get(column)?.as_integer()
}

fn uuid(row: &Row, column: &str) -> Option<Uuid> {
    row.get(column)?.as_uuid()
}

/// Returns a point in time, 0 if there is none.
fn timestamp(row: &Row, column: &str) -> u64 {
    integer(row, column).and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default()
}
