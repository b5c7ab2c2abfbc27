//! A real headless browser, and the part of its DevTools protocol that checks of pages need.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::dir::Dir;

/// Longer than any request to a browser takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Its program's names in Debian and elsewhere.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A browser with one tab. It ends when dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    socket: WebSocket<TcpStream>,
    session: String,
    calls: u64,
    /// The events received besides answers.
    events: Vec<Value>,
    // After the process that uses it.
    _dir: Dir,
}

/// The view of pages in the tab.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Whether the user prefers dark pages.
    pub is_dark: bool,
}

impl Browser {
    /// Starts one, with its own profile.
    pub fn start() -> Result<Self> {
        let dir = Dir::new("browser")?;
        let mut child = spawn(dir.path())?;
        let log = child.stderr.take().context("no log")?;
        let url = BufReader::new(log);
        let mut lines = url.lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("DevTools listening on ").map(str::to_owned))
            .context("the browser does not say where it listens")?;
        // It has to be able to continue writing.
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let place =
            url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).context("no address")?;
        let stream = TcpStream::connect(place)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let (socket, _) = client(&*url, stream).map_err(|error| anyhow::anyhow!("no WebSocket: {error}"))?;
        let mut browser =
            Self { child, socket, session: String::new(), calls: 0, events: Vec::new(), _dir: dir };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach)?;
        attached["sessionId"].as_str().context("no session")?.clone_into(&mut browser.session);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({}))?;
        }
        Ok(browser)
    }

    /// Uses this view from now on.
    pub fn set_view(&mut self, view: View) -> Result<()> {
        let View { width, height, is_dark } = view;
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", metrics)?;
        let scheme = if is_dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", media).map(drop)
    }

    /// Opens a page and waits until it is loaded.
    pub fn open(&mut self, url: &str) -> Result<()> {
        self.events.clear();
        let answer = self.call("Page.navigate", json!({"url": url}))?;
        ensure!(answer["errorText"].is_null(), "{url}: {answer}");
        self.wait_for_load()
    }

    /// Waits until a page is loaded that something else opened.
    pub fn wait_for_load(&mut self) -> Result<()> {
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.read()?;
            self.events.push(event);
        }
        Ok(())
    }

    /// Returns the value of an expression on the page.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let question = json!({"expression": expression, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", question)?;
        ensure!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        Ok(answer["result"]["value"].clone())
    }

    /// Presses and releases a key: `Tab` or `Enter`.
    pub fn press(&mut self, key: &str) -> Result<()> {
        let (code, text) = match key {
            "Tab" => (9, None),
            "Enter" => (13, Some("\r")),
            other => bail!("no key {other}"),
        };
        self.events.clear();
        let mut event = json!({"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code});
        if let Some(text) = text {
            event["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", event)?;
        let event = json!({"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", event).map(drop)
    }

    /// Types a text where the focus is.
    pub fn insert(&mut self, text: &str) -> Result<()> {
        self.call("Input.insertText", json!({"text": text})).map(drop)
    }

    /// Takes a picture of a view, scaled by a factor, as PNG in base64.
    pub fn picture(&mut self, view: View, scale: f64) -> Result<String> {
        let clip = json!({"x": 0, "y": 0, "width": view.width, "height": view.height, "scale": scale});
        let answer = self.call("Page.captureScreenshot", json!({"format": "png", "clip": clip}))?;
        answer["data"].as_str().map(str::to_owned).context("no picture")
    }

    /// Returns the roles and names that assistive technology gets.
    pub fn accessible(&mut self) -> Result<Vec<(String, String)>> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}))?;
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
        let nodes = nodes.iter().filter(|node| node["ignored"] != true);
        Ok(nodes.map(|node| (text(&node["role"]), text(&node["name"]))).collect())
    }

    /// Returns the errors that the browser reported since the page was opened.
    pub fn complaints(&self) -> Vec<String> {
        let bad = self.events.iter().filter(|event| {
            event["method"] == "Runtime.exceptionThrown" || event["method"] == "Log.entryAdded"
        });
        bad.map(|event| event["params"].to_string()).collect()
    }

    fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.socket.send(Message::text(message.to_string()))?;
        loop {
            let answer = self.read()?;
            if answer["id"] == self.calls {
                ensure!(answer["error"].is_null(), "{method}: {answer}");
                return Ok(answer["result"].clone());
            }
            self.events.push(answer);
        }
    }

    fn read(&mut self) -> Result<Value> {
        loop {
            match self.socket.read().context("the browser says no more")? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Close(_) => bail!("the browser has closed"),
                _ => {}
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its processes end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(profile: &Path) -> Result<Child> {
    for program in PROGRAMS {
        let mut command = Command::new(program);
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--remote-debugging-port=0",
            "--no-first-run",
        ]);
        command.arg(format!("--user-data-dir={}", profile.display())).arg("about:blank");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            spawned => return spawned.with_context(|| format!("cannot start {program}")),
        }
    }
    bail!("there is no browser: run scripts/setup chromium")
}
