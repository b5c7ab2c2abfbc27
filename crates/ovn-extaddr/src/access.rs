//! Hints about sockets: the server they belong to, and what to do if one cannot be opened.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ovsdb_protocol::{Endpoint, Error};

/// Returns the description of a server: its remote and, if that is a name, the address used.
pub(crate) fn place(remote: &Endpoint, address: Option<SocketAddr>) -> String {
    match (remote, address) {
        (Endpoint::Tcp(host, _) | Endpoint::Ssl(host, _), Some(address))
            if host.parse::<std::net::IpAddr>().is_err() =>
        {
            format!("{remote} ({})", address.ip())
        }
        _ => remote.to_string(),
    }
}

/// Returns a hint if the error is that the socket may not be opened.
pub(crate) fn hint(remote: &Endpoint, error: &Error) -> Option<String> {
    let denied = error.as_io().is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    let Endpoint::Unix(path) = remote else { return None };
    denied.then(|| advice(path))
}

/// Returns who may open a socket that this process may not.
pub(crate) fn advice(path: &Path) -> String {
    let user = name("/etc/passwd", rustix::process::geteuid().as_raw());
    let Ok(socket) = fs::metadata(path) else {
        let directory = path.parent().unwrap_or(path).display();
        return format!("user {user} may not look into {directory}: put the user into the group that may");
    };
    let (owner, group) = (name("/etc/passwd", socket.uid()), name("/etc/group", socket.gid()));
    let mode = socket.mode() & 0o777;
    let place =
        format!("{} belongs to {owner}:{group} with mode {mode:04o}, and the user is {user}", path.display());
    let cure = if mode & 0o020 == 0 {
        format!("run as {owner}; as a service, by a drop-in with User={owner}")
    } else {
        format!(
            "put the user into group {group}; as a service, by a drop-in with SupplementaryGroups={group}"
        )
    };
    format!("{place}: {cure} (examples are in /usr/share/ovn-extaddr)")
}

/// Returns the name for a number in one of these files, or the number. Other sources of names, which libc asks for
/// (nsswitch.conf(5)), may take their time, and the agent's loop cannot wait for them.
fn name(file: &str, id: u32) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    found.unwrap_or_else(|| id.to_string())
}
