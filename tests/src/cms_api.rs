//! The API of Incus and LXD, scripted: real HTTP and WebSockets on a Unix socket, that can be slow, truncated, huge or
//! wrong.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

/// A server. It ends, and its connections with it, when it is dropped or stopped.
#[derive(Debug)]
pub struct CmsApi {
    socket: PathBuf,
    shared: Arc<Shared>,
}

/// The fault of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It answers with this status.
    Status(u16),
    /// It sends half of each listing, and closes the connection.
    Cut,
    /// It sends half of each listing, and then nothing.
    Stalled,
    /// It sends this instead of each listing.
    Instead(String),
    /// It waits this long before each answer.
    Slow(Duration),
    /// It accepts connections and sends nothing.
    Silent,
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    instances: BTreeMap<(String, String), Value>,
    /// The users of profiles, in the API's notation.
    profiles: BTreeMap<(String, String), Vec<String>>,
    listeners: Vec<Sender<String>>,
    connections: Vec<UnixStream>,
    fault: Fault,
    requests: Vec<String>,
    is_over: bool,
}

impl CmsApi {
    /// Listens on a socket, which must not exist.
    pub fn start(socket: &Path) -> Result<Self> {
        let api = Self { socket: socket.to_owned(), shared: Arc::default() };
        api.listen()?;
        Ok(api)
    }

    /// Ends the server and its connections. Its content stays for [`resume`](Self::resume).
    pub fn stop(&self) {
        let mut state = self.shared.lock();
        state.is_over = true;
        state.drop_connections();
        drop(state);
        // Wakes the thread that accepts, which ends then.
        drop(UnixStream::connect(&self.socket));
        let _ = std::fs::remove_file(&self.socket);
    }

    /// Starts again.
    pub fn resume(&mut self) -> Result<()> {
        let state = std::mem::take(&mut *self.shared.lock());
        self.shared = Arc::new(Shared(Mutex::new(State { is_over: false, ..state })));
        self.listen()
    }

    /// Sets the fault of the server, or none.
    pub fn set_fault(&self, fault: Fault) {
        self.shared.lock().fault = fault;
    }

    /// Breaks all connections.
    pub fn drop_connections(&self) {
        self.shared.lock().drop_connections();
    }

    /// Creates or changes an instance, and sends an event.
    pub fn put(&self, instance: Value) {
        let name = self.put_silently(instance);
        self.tell("instance-updated", &name.0, &name.1);
    }

    /// The same without an event, as if that was lost. Returns project and name.
    pub fn put_silently(&self, instance: Value) -> (String, String) {
        let text = |key: &str| instance[key].as_str().unwrap_or_default().to_owned();
        let name = (text("project"), text("name"));
        self.shared.lock().instances.insert(name.clone(), instance);
        name
    }

    /// Deletes an instance, and sends an event.
    pub fn delete(&self, project: &str, name: &str) {
        self.delete_silently(project, name);
        self.tell("instance-deleted", project, name);
    }

    /// The same without an event.
    pub fn delete_silently(&self, project: &str, name: &str) {
        self.shared.lock().instances.remove(&(project.to_owned(), name.to_owned()));
    }

    /// Sets the users of a profile: instances of its project.
    pub fn set_profile(&self, project: &str, name: &str, users: &[&str]) {
        let users = users.iter().map(|user| format!("/1.0/instances/{user}?project={project}")).collect();
        self.shared.lock().profiles.insert((project.to_owned(), name.to_owned()), users);
    }

    /// Sends an event about an instance.
    pub fn tell(&self, action: &str, project: &str, name: &str) {
        self.tell_of(action, &format!("/1.0/instances/{name}?project={project}"));
    }

    /// Sends an event about the object at this API address.
    pub fn tell_of(&self, action: &str, source: &str) {
        let event = json!({
            "type": "lifecycle", "timestamp": "2026-11-27T12:00:00Z", "location": "none", "project": "default",
            "metadata": {"action": action, "source": source, "context": {}},
        });
        self.send(&event.to_string());
    }

    /// Sends a text to all listeners to events.
    pub fn send(&self, text: &str) {
        self.shared.lock().listeners.retain(|listener| listener.send(text.to_owned()).is_ok());
    }

    /// Returns the paths of all requests since the last call.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().requests)
    }

    fn listen(&self) -> Result<()> {
        let listener = UnixListener::bind(&self.socket)
            .with_context(|| format!("cannot listen on {}", self.socket.display()))?;
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut state = shared.lock();
                if state.is_over {
                    break;
                }
                state.connections.extend(stream.try_clone());
                drop(state);
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    // A client that disconnects is not an error.
                    let _ = serve(&stream, &shared);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Ok(())
    }
}

impl Drop for CmsApi {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn drop_connections(&mut self) {
        self.listeners.clear();
        for connection in self.connections.drain(..) {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// An instance in the API's notation: keys of the instance, and devices of type `nic` with their keys.
pub fn cms_instance(
    name: &str,
    uuid: &str,
    config: &[(&str, &str)],
    nics: &[(&str, &[(&str, &str)])],
) -> Value {
    let object = |pairs: &[(&str, &str)]| -> Map<String, Value> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect()
    };
    let (project, name) = name.split_once(':').unwrap_or(("default", name));
    let mut own =
        object(&[("volatile.uuid", uuid), ("image.os", "Debian"), ("volatile.last_state.power", "RUNNING")]);
    own.extend(object(config));
    let mut devices = Map::new();
    devices.insert("root".to_owned(), json!({"type": "disk", "path": "/", "pool": "default"}));
    for (device, keys) in nics {
        let mut keys = object(keys);
        keys.extend(object(&[("type", "nic"), ("network", "ovn0"), ("name", device)]));
        devices.insert((*device).to_owned(), Value::Object(keys));
    }
    json!({
        "name": name, "project": project, "status": "Running", "status_code": 103, "type": "container",
        "architecture": "x86_64", "ephemeral": false, "stateful": false, "description": "", "location": "none",
        "profiles": ["default"], "config": own, "devices": {}, "expanded_config": own, "expanded_devices": devices,
    })
}

/// Answers requests until the client disconnects.
fn serve(stream: &UnixStream, shared: &Shared) -> Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let Some((path, key)) = read_request(&mut reader)? else { return Ok(()) };
        let fault = {
            let mut state = shared.lock();
            state.requests.push(path.clone());
            state.fault.clone()
        };
        match fault {
            Fault::Silent => {
                let _ = reader.read(&mut [0]);
                return Ok(());
            }
            Fault::Slow(pause) => thread::sleep(pause),
            Fault::Status(status) => {
                refuse(stream, status, "scripted")?;
                continue;
            }
            _ => {}
        }
        if let Some(key) = key {
            let (sender, receiver) = channel();
            shared.lock().listeners.push(sender);
            return tell(stream, &key, &receiver);
        }
        let answer = shared.lock().answer(&path);
        let Some(answer) = answer else {
            refuse(stream, 404, "Instance not found")?;
            continue;
        };
        let is_listing = path.contains("recursion=1");
        let body = match &fault {
            Fault::Instead(text) if is_listing => text.clone(),
            _ => json!({"type": "sync", "status": "Success", "status_code": 200, "operation": "", "error_code": 0,
                "error": "", "metadata": answer}).to_string(),
        };
        respond(stream, 200, body.len())?;
        let is_half = is_listing && matches!(fault, Fault::Cut | Fault::Stalled);
        let end = if is_half { body.len() / 2 } else { body.len() };
        (&mut &*stream).write_all(&body.as_bytes()[..end])?;
        if is_half {
            if fault == Fault::Stalled {
                let _ = reader.read(&mut [0]);
            }
            return Ok(());
        }
    }
}

/// Reads a request: its path and, if it is for events, its key.
fn read_request(reader: &mut impl BufRead) -> Result<Option<(String, Option<String>)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).context("a request has a path")?.to_owned();
    let mut key = None;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("sec-websocket-key") {
            key = Some(value.to_owned());
        }
    }
    Ok(Some((path, key)))
}

fn respond(mut stream: &UnixStream, status: u16, length: usize) -> Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )?;
    Ok(())
}

fn refuse(mut stream: &UnixStream, status: u16, why: &str) -> Result<()> {
    let body = json!({"type": "error", "error_code": status, "error": why, "metadata": null}).to_string();
    respond(stream, status, body.len())?;
    Ok(stream.write_all(body.as_bytes())?)
}

/// Passes events on, until the client or the server ends.
fn tell(mut stream: &UnixStream, key: &str, events: &Receiver<String>) -> Result<()> {
    let accept = derive_accept_key(key.as_bytes());
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
    for event in events {
        socket.send(Message::text(event))?;
    }
    Ok(())
}

impl State {
    /// Returns the object at a path.
    fn answer(&self, path: &str) -> Option<Value> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let project = query.split('&').find_map(|pair| pair.strip_prefix("project=")).unwrap_or("default");
        let mut segments = path.trim_start_matches("/1.0/").split('/');
        match (segments.next()?, segments.next()) {
            ("instances", None) => Some(self.instances.values().cloned().collect()),
            ("instances", Some(name)) => self.instances.get(&(project.to_owned(), name.to_owned())).cloned(),
            ("profiles", Some(name)) => {
                let users = self.profiles.get(&(project.to_owned(), name.to_owned()))?;
                Some(json!({"name": name, "project": project, "config": {}, "used_by": users}))
            }
            _ => None,
        }
    }
}
