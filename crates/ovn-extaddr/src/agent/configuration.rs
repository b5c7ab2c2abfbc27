//! The configuration in force, and its replacement while the agent runs.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use ovsdb_protocol::{Remotes, TlsConfig, Uuid};
use tracing::{error, info};

use super::{Agent, spread};
use crate::audit::Audit;
use crate::exposition::Exposition;
use crate::log::LogControl;
use crate::settings::Settings;
use crate::sources::watcher::Watchers;
use crate::southbound::Sessions;

/// The settings in force that no other part has.
pub(super) struct Configured {
    pub(super) log: LogControl,
    pub(super) remotes: Remotes,
    pub(super) tls: TlsConfig,
    pub(super) cluster_id: Option<Uuid>,
    pub(super) files: Vec<PathBuf>,
    /// Why the present configuration files are not in force.
    pub(super) wrong: Option<String>,
}

impl Agent {
    /// Switches to a new configuration, or keeps the old one if the new one is invalid.
    pub(super) async fn reload(
        &mut self,
        settings: anyhow::Result<Settings>,
        exposition: &mut Exposition,
        watchers: &mut Watchers,
    ) {
        let taken = settings.and_then(|settings| {
            // Half of a configuration must not be in force: new remotes may need the new certificates. The files
            // themselves are read at each connection.
            let Configured { tls, cluster_id, .. } = &self.configured;
            if settings.rules.owner != *self.engine.owner() {
                bail!("a change of the owner to {} needs a restart", settings.rules.owner);
            } else if settings.tls != *tls || settings.cluster_id != *cluster_id {
                bail!(
                    "a change of cluster-id, verify-host-name or the names of the files of keys and certificates needs a restart"
                );
            }
            Ok(settings)
        });
        let taken = match taken {
            Ok(settings) => self.open(&settings, exposition).await.map(|audit| (settings, audit)),
            Err(wrong) => Err(wrong),
        };
        let outcome = if taken.is_ok() { "taken" } else { "refused" };
        self.metrics.reloads.get_or_create(&[("outcome", outcome)]).inc();
        self.metrics.configuration_good.set(i64::from(taken.is_ok()));
        self.configured.wrong = None;
        match taken {
            Err(wrong) => {
                let wrong = format!("{wrong:#}");
                error!(error = %wrong, "configuration not reloaded: the old one stays in force");
                self.configured.wrong = Some(wrong);
            }
            Ok((settings, audit)) => self.take(settings, audit, watchers),
        }
        // The file may have been moved: logrotate(8) uses the same signal.
        if let Some(audit) = &mut self.writing.audit
            && let Err(error) = audit.reopen()
        {
            error!(file = %audit.path().display(), %error, "cannot reopen the audit file");
            self.metrics.audit_failures.inc();
        }
    }

    /// Opens what a configuration names, before any of it is in force. Returns the audit file, if it is another one.
    async fn open(
        &self,
        settings: &Settings,
        exposition: &mut Exposition,
    ) -> anyhow::Result<Option<Option<Audit>>> {
        let (old, path) = (self.writing.audit.as_ref(), settings.audit.as_deref());
        let audit = (path != old.map(Audit::path)).then(|| {
            let open = |path: &Path| old.map_or_else(|| Audit::open(path), |old| old.moved(path));
            path.map(|path| {
                open(path).with_context(|| format!("cannot open the audit file {}", path.display()))
            })
            .transpose()
        });
        let audit = audit.transpose()?;
        let place = settings.metrics.as_ref();
        exposition.listen(place, settings.status_page).await.with_context(|| {
            format!("cannot serve metrics on {}", place.map_or_else(String::new, ToString::to_string))
        })?;
        Ok(audit)
    }

    fn take(&mut self, settings: Settings, audit: Option<Option<Audit>>, watchers: &mut Watchers) {
        info!("configuration reloaded");
        self.verify_otherwise(settings.verify_interval, Sessions::new(&settings));
        let Settings { rules, cms, remotes, log_level, metrics_by_router, files, takeover, .. } = settings;
        self.configured.files = files;
        self.engine.set_rules(rules);
        self.watch_others(cms, watchers);
        self.election.takeover.set_patience(takeover.map(spread));
        if remotes != self.configured.remotes {
            info!(%remotes, "remotes changed");
            self.northbound.session.set_remotes(remotes.clone());
            self.configured.remotes = remotes;
        }
        if let Err(error) = self.configured.log.configure(log_level) {
            error!(%error, "cannot change the log level");
        }
        self.tracker.stats.count_by_router(metrics_by_router);
        if let Some(audit) = audit {
            self.writing.audit = audit;
        }
    }
}
