//! Marks on the subjects that a change concerns: the next update decides on them again.

use std::sync::Arc;

use ovn_model::{Change, Node, RouterId, Store, keys};

use super::{Engine, ReconcileKey};
use crate::conversion;
use crate::ownership::Role;
use crate::resolve::{Dependency, Place};

impl Engine {
    /// Marks the subjects that a change concerns.
    pub(super) fn mark(&mut self, store: &Store, change: &Change) {
        match change {
            Change::Port(port) | Change::Tagged(port) => {
                if !self.requests.is_empty() {
                    self.located.note(store, port);
                }
                self.queue.add(ReconcileKey::Port(Arc::clone(port)));
            }
            Change::Address { router, address } => {
                self.mark_place(store, (*router, *address));
                self.mark_watchers(&Dependency::Anywhere(*address));
            }
            Change::HostSnat { router, address } => {
                self.mark_conversion(store, (*router, *address));
                self.mark_watchers(&Dependency::Anywhere(*address));
            }
            Change::Balancer(balancer) => {
                self.mark_watchers(&Dependency::Balancer(*balancer));
                let places: Vec<_> = self.balancers.get(balancer).copied().collect();
                places.into_iter().for_each(|place| self.mark_place(store, place));
            }
            Change::Topology(node) => {
                if let Node::Router(router) = node {
                    self.mark_auto_router(store, *router);
                    self.mark_rows(store, *router);
                }
                for switch in self.reaches.take_visitors(node) {
                    let residents = self.reaches.residents(switch);
                    self.queue.extend(residents.map(|number| self.ports.subject(number)));
                }
            }
        }
    }

    pub(super) fn mark_watchers(&mut self, watch: &Dependency) {
        let watchers = self.watchers.get(&self.ports, watch);
        self.queue.extend(watchers.map(|number| self.ports.subject(number)));
    }

    pub(super) fn mark_place(&mut self, store: &Store, place: Place) {
        self.mark_watchers(&Dependency::Address(place.0, place.1));
        self.mark_conversion(store, place);
    }

    pub(super) fn mark_conversion(&mut self, store: &Store, place: Place) {
        let converted = conversion::current(self.rules.network(store), place.0, place.1).is_some();
        if converted || self.conversions.contains_key(&place) {
            self.queue.add(ReconcileKey::Conversion(place));
        }
    }

    /// Marks the subjects that have our rows on a router although no intent leads to it.
    pub(super) fn mark_rows(&mut self, store: &Store, router: RouterId) {
        for nat in store.nats_of(router).iter().filter_map(|id| store.nat(*id)) {
            match self.rules.owner.role(nat) {
                Some(Role::Drain) => {
                    let port = nat.tags.get(keys::PORT).unwrap_or_default();
                    self.queue.add(ReconcileKey::Port(port.into()));
                }
                Some(Role::DefaultTarget) => {
                    self.queue
                        .extend(nat.external_ip().map(|address| ReconcileKey::Conversion((router, address))));
                }
                _ => {}
            }
        }
    }

    /// Records whether a router has an intent for the ports behind it. As long as no router has one, ports without
    /// their own intent are not examined; the first such router changes that.
    pub(super) fn mark_auto_router(&mut self, store: &Store, router: RouterId) {
        if store.router(router).is_none_or(|row| row.external.is_none()) {
            self.auto_routers.remove(&router);
        } else if self.auto_routers.insert(router) && self.auto_routers.len() == 1 {
            self.forget(store);
        }
    }
}
