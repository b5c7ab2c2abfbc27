//! The configuration in force, and its replacement while the agent runs.

use std::path::PathBuf;

use anyhow::bail;
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
            Ok(settings) => self.take(settings, exposition, watchers).await,
        }
        // The file may have been moved: logrotate(8) uses the same signal.
        if let Some(audit) = &mut self.writing.audit
            && let Err(error) = audit.reopen()
        {
            error!(file = %audit.path().display(), %error, "cannot reopen the audit file");
        }
    }

    async fn take(&mut self, settings: Settings, exposition: &mut Exposition, watchers: &mut Watchers) {
        info!("configuration reloaded");
        self.verify_otherwise(settings.verify_interval, Sessions::new(&settings));
        let Settings {
            rules,
            cms,
            remotes,
            log_level,
            metrics,
            metrics_by_router,
            status_page,
            audit,
            files,
            takeover,
            ..
        } = settings;
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
        if let Err(error) = exposition.listen(metrics.as_ref(), status_page).await {
            error!(address = metrics.map(tracing::field::display), %error, "cannot serve metrics");
        }
        self.tracker.stats.count_by_router(metrics_by_router);
        if audit.as_deref() != self.writing.audit.as_ref().map(Audit::path) {
            match audit.as_deref().map(Audit::open).transpose() {
                Ok(audit) => self.writing.audit = audit,
                Err(error) => {
                    let file = audit.as_deref().map(|file| tracing::field::display(file.display()));
                    error!(file, %error, "cannot open the audit file: the old one stays in force");
                }
            }
        }
    }
}
