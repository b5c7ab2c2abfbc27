//! The client library against a real ovsdb-server.

mod examples;
mod monitors;
mod random;
mod sessions;
mod transactions;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ovn_extaddr_tests::{OvsdbServer, Snapshot};
use ovsdb_protocol::{Cache, Client, Row, Session, SessionConfig, SessionEvent, Uuid};
use serde_json::{Value, json, to_value};
use tokio::time::timeout;

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Connects, with the driver in a separate task.
pub(crate) async fn client(server: &OvsdbServer) -> Result<Client> {
    let (client, driver) = Client::connect(SessionConfig::new(server.remote().parse()?, server.database()));
    tokio::spawn(driver);
    client.ready().await?;
    Ok(client)
}

/// A session with a cache, and a copy that gets only the cache's deltas.
pub(crate) struct Follower {
    pub(crate) session: Session,
    pub(crate) cache: Cache,
    copy: BTreeMap<(Arc<str>, Uuid), Arc<Row>>,
    /// The numbers of rows inserted, changed and deleted.
    pub(crate) told: [usize; 3],
}

impl Follower {
    fn new(server: &OvsdbServer) -> Result<Self> {
        Self::connect(&server.remote())
    }

    fn connect(remote: &str) -> Result<Self> {
        let config = SessionConfig::new(remote.parse()?, "OVN_Northbound");
        Ok(Self::with(Session::new(config), Cache::everything()))
    }

    pub(crate) fn with(session: Session, cache: Cache) -> Self {
        Self { session, cache, copy: BTreeMap::new(), told: [0; 3] }
    }

    pub(crate) async fn next(&mut self) -> Result<SessionEvent> {
        let event = timeout(SOON, self.session.next(&mut self.cache)).await.context("nothing happens")?;
        for delta in self.cache.take_deltas() {
            assert_eq!(
                self.copy.get(&(Arc::clone(&delta.table), delta.uuid)),
                delta.old.as_ref(),
                "a delta starts from what is there"
            );
            let key = (delta.table, delta.uuid);
            self.told[if delta.old.is_none() { 0 } else { 1 + usize::from(delta.new.is_none()) }] += 1;
            match delta.new {
                Some(row) => drop(self.copy.insert(key, row)),
                None => drop(self.copy.remove(&key)),
            }
        }
        Ok(event)
    }

    pub(crate) async fn synced(&mut self) -> Result<()> {
        let synced = async {
            while !matches!(self.next().await?, SessionEvent::Synced { .. }) {}
            Ok(())
        };
        // Whatever other events occur.
        timeout(3 * SOON, synced).await.context("it does not get in step")?
    }

    /// Continues until the cache equals the dump of the server's own tool.
    async fn catch_up(&mut self, server: &OvsdbServer) -> Result<()> {
        self.reach(&server.snapshot()?).await
    }

    /// Continues until the cache has this content.
    pub(crate) async fn reach(&mut self, dump: &Snapshot) -> Result<()> {
        let mut dump = dump.clone();
        dump.tables
            .values_mut()
            .flat_map(BTreeMap::values_mut)
            .flat_map(BTreeMap::values_mut)
            .for_each(unify_reals);
        let start = Instant::now();
        while self.content()? != dump {
            if start.elapsed() > 3 * SOON || self.next().await.is_err() {
                bail!("the cache has\n{}\nand the server\n{dump}", self.content()?);
            }
        }
        Ok(())
    }

    /// The content of the cache, which must equal the result of its deltas.
    fn content(&self) -> Result<Snapshot> {
        let mut all = Snapshot::default();
        let mut rows = 0;
        for table in self.cache.tables() {
            let content = all.tables.entry(table.to_owned()).or_default();
            for (uuid, row) in self.cache.rows(table) {
                assert_eq!(self.copy.get(&(Arc::from(table), uuid)), Some(row));
                let columns = row.iter().map(|(name, datum)| {
                    let mut value = to_value(datum)?;
                    unify_reals(&mut value);
                    Ok((name.to_owned(), value))
                });
                content.insert(uuid.to_string(), columns.collect::<Result<_>>()?);
                rows += 1;
            }
        }
        assert_eq!(self.copy.len(), rows);
        Ok(all)
    }
}

/// Converts a real without a fraction to an integer, as ovsdb-server prints it.
pub(crate) fn unify_reals(value: &mut Value) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(unify_reals),
        Value::Number(number) => {
            let real = number.as_f64().filter(|real| number.is_f64() && real.fract() == 0.0);
            if let Some(real) = real.filter(|real| real.abs() < i64::MAX as f64) {
                *value = json!(real as i64);
            }
        }
        _ => {}
    }
}
