//! The rows of all tables, and code for each table of the list.

use ovsdb_protocol::{
    ApplyError, AtomicType, Batch, Column, ColumnError, ColumnKind, DatumReader, RowChange, Table, TableSpec,
    Uuid, toggle_sorted,
};

use smallvec::SmallVec;

use super::Store;
use super::slab::{MAX_INTERNED, Slab};
use super::slot::{Meta, Slot};
use crate::id::{GroupId, LoadBalancerId, NatId, NbGlobalId, PortId, RouterId, RouterPortId, SwitchId};
use crate::tables::{Group, LoadBalancer, Nat, NbGlobal, Port, Router, RouterPort, Switch};

/// A row type with a slab.
pub(crate) trait Stored: Slot + Table<Context = Slabs> {
    fn slab(slabs: &Slabs) -> &Slab<Self>;
    fn slab_mut(slabs: &mut Slabs) -> &mut Slab<Self>;
}

macro_rules! tables {
    ($($slab:ident: $row:ident, $id:ident, $get:ident, $iter:ident;)*) => {
        /// The declared tables.
        pub(crate) const TABLES: &[TableSpec] = &[$(<$row as Table>::TABLE),*];

        /// The rows of each table. References between them are handles, which are created when the first reference to a
        /// row or the row itself arrives.
        #[derive(Debug, Default)]
        pub struct Slabs {
            $(pub(crate) $slab: Slab<$row>,)*
        }

        impl Slabs {
            /// Clears the marks of rows that a snapshot contained.
            pub(crate) fn clear_marks(&mut self) {
                $(self.$slab.clear_marks();)*
            }

            /// Allows freed handles to be used again.
            pub(crate) fn reclaim(&mut self) {
                $(self.$slab.reclaim();)*
            }

            /// Returns true if all slots are free.
            #[cfg(test)]
            pub(crate) fn is_vacant(&self) -> bool {
                true $(&& self.$slab.is_vacant())*
            }
        }

        impl Store {
            $(
                #[doc = concat!("Returns the row of a handle: a [`", stringify!($row), "`].")]
                pub fn $get(&self, id: $id) -> Option<&$row> {
                    self.slabs.$slab.get(id)
                }

                #[doc = concat!("Returns all rows: each a [`", stringify!($row), "`].")]
                pub fn $iter(&self) -> impl Iterator<Item = ($id, &$row)> {
                    self.slabs.$slab.iter()
                }
            )*

            /// Applies an update to the row of a table; tables that are not declared are ignored.
            pub(super) fn write(
                &mut self,
                batch: Batch,
                table: &str,
                uuid: Uuid,
                change: RowChange<'_>,
            ) -> Result<(), ApplyError> {
                $(
                    if table == <$row as Table>::TABLE.name {
                        return self.write_row::<$row>(batch, uuid, change);
                    }
                )*
                Ok(())
            }

            /// Deletes the rows that the snapshot did not contain.
            pub(super) fn sweep(&mut self) {
                $(
                    for uuid in self.slabs.$slab.unmarked() {
                        // It cannot fail: the row exists.
                        let _ = self.write_row::<$row>(Batch::Snapshot, uuid, RowChange::Delete);
                    }
                )*
            }
        }

        $(
            impl Slot for $row {
                type Id = $id;

                fn uuid(&self) -> Uuid {
                    self.uuid
                }

                fn meta(&self) -> Meta {
                    self.meta
                }

                fn meta_mut(&mut self) -> &mut Meta {
                    &mut self.meta
                }
            }

            impl Stored for $row {
                fn slab(slabs: &Slabs) -> &Slab<Self> {
                    &slabs.$slab
                }

                fn slab_mut(slabs: &mut Slabs) -> &mut Slab<Self> {
                    &mut slabs.$slab
                }
            }

            /// A set of references.
            impl Column<Slabs> for Vec<$id> {
                const KIND: ColumnKind = ColumnKind::Set(AtomicType::Uuid);

                fn apply(
                    &mut self,
                    value: &mut DatumReader<'_, '_>,
                    slabs: &mut Slabs,
                ) -> Result<(), ColumnError> {
                    let (mut ids, mut uuids) = (Vec::new(), SmallVec::<[Uuid; MAX_INTERNED]>::new());
                    let read = value.uuids(|uuid| {
                        uuids.push(uuid);
                        if uuids.len() == MAX_INTERNED {
                            slabs.$slab.intern_all(&mut uuids, &mut ids);
                        }
                    });
                    slabs.$slab.intern_all(&mut uuids, &mut ids);
                    read?;
                    ids.sort_unstable();
                    ids.dedup();
                    toggle_sorted(self, ids);
                    Ok(())
                }
            }

            /// An optional reference.
            impl Column<Slabs> for Option<$id> {
                const KIND: ColumnKind = ColumnKind::Optional(AtomicType::Uuid);

                fn apply(
                    &mut self,
                    value: &mut DatumReader<'_, '_>,
                    slabs: &mut Slabs,
                ) -> Result<(), ColumnError> {
                    *self = None;
                    value.uuids(|uuid| *self = Some(slabs.$slab.intern(uuid)))?;
                    Ok(())
                }
            }
        )*
    };
}

// The first ones have the most rows.
tables! {
    ports: Port, PortId, port, ports;
    nats: Nat, NatId, nat, nats;
    balancers: LoadBalancer, LoadBalancerId, load_balancer, load_balancers;
    router_ports: RouterPort, RouterPortId, router_port, router_ports;
    switches: Switch, SwitchId, switch, switches;
    routers: Router, RouterId, router, routers;
    groups: Group, GroupId, group, groups;
    globals: NbGlobal, NbGlobalId, nb_global, nb_globals;
}
