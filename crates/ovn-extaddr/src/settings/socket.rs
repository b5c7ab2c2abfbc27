//! The sockets of OVN's servers on this machine, in the places of the known deployments.

use std::path::{Path, PathBuf};

/// The directory of the sockets of OVN's packages, kube-ovn and Kolla.
const USUAL: &str = "/var/run/ovn";

/// The directory of MicroOVN's sockets.
const MICROOVN: &str = "/var/snap/microovn/common/run/central";

/// A directory that exists as soon as that snap is installed.
const SNAP: &str = "/var/snap/microovn/common";

/// Returns the possible places of a server's socket, of which the first existing one counts: in `OVN_RUNDIR`, as for
/// OVN's own programs, otherwise in the places of deployments.
pub(super) fn places(said: Option<PathBuf>, name: &str) -> Vec<PathBuf> {
    let directories = said.map_or_else(|| vec![USUAL.into(), MICROOVN.into()], |said| vec![said]);
    directories.into_iter().map(|directory| directory.join(name)).collect()
}

/// Returns the one of these places where a socket exists or is expected. If none exists yet, as at boot, the presence
/// of the snap decides.
pub(super) fn find(places: &[PathBuf], exists: impl Fn(&Path) -> bool) -> Option<&PathBuf> {
    let is_installed = |place: &&PathBuf| place.starts_with(SNAP) && exists(Path::new(SNAP));
    let found = places.iter().find(|place| exists(place));
    found.or_else(|| places.iter().find(is_installed)).or_else(|| places.first())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn northbound_socket_is_found_where_deployments_put_it() {
        const NAME: &str = "ovnnb_db.sock";
        let usual = "/var/run/ovn/ovnnb_db.sock";
        let microovn = "/var/snap/microovn/common/run/central/ovnnb_db.sock";
        // OVN_RUNDIR, the existing files, and where the socket is expected.
        let cases: [(Option<&str>, &[&str], &str); 6] = [
            (None, &[], usual),
            (None, &[usual], usual),
            (None, &[SNAP], microovn),
            (None, &[SNAP, microovn], microovn),
            (None, &[usual, SNAP, microovn], usual),
            (Some("/elsewhere"), &[usual, SNAP, microovn], "/elsewhere/ovnnb_db.sock"),
        ];
        for (said, there, expected) in cases {
            let exists = |path: &Path| there.iter().any(|there| Path::new(there) == path);
            let places = places(said.map(PathBuf::from), NAME);
            assert_eq!(find(&places, exists), Some(&PathBuf::from(expected)), "{said:?} {there:?}");
        }
    }
}
