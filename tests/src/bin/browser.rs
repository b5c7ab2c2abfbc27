//! Checks the status page in a real browser, and takes its pictures; `scripts/browser` builds everything and calls this.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use ovn_extaddr_tests::{
    Addressing, Agent, Browser, CmsApi, Instance, Net, OvsdbServer, PROMPT, View, cms_instance, eventually,
    json_map,
};
use serde_json::{Value, json};

const OVERFLOW: &str = include_str!("../../browser/overflow.js");
const CONTRAST: &str = include_str!("../../browser/contrast.js");
const FOCUS: &str = include_str!("../../browser/focus.js");
const TEXT: &str = include_str!("../../browser/text.js");

const SOON: Duration = Duration::from_secs(20);

const WIDE: View = View { width: 1280, height: 900, is_dark: false };
const NARROW: View = View { width: 390, height: 844, is_dark: false };

/// The largest picture, in bytes.
const MAX_PICTURE: u64 = 100_000;

/// Checks the status page in Chromium: nothing overflows, texts stand out, the keyboard gets everywhere.
#[derive(Debug, Parser)]
#[command(name = "scripts/browser", bin_name = "scripts/browser")]
struct Cli {
    /// Write pictures of the page to this directory
    #[arg(long, value_name = "DIRECTORY")]
    pictures: Option<PathBuf>,
}

/// A small network with something in most states, an Incus that names its instances, an agent and its page.
struct Stage {
    // In this order: the agent is dropped before its servers.
    _agent: Agent,
    _cms: CmsApi,
    _net: Net,
    instances: Vec<Instance>,
    url: String,
    _server: OvsdbServer,
    _dir: tempfile::TempDir,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let stage = Stage::start()?;
    let mut browser = Browser::start()?;
    check_keyboard(&mut browser, &stage)?;
    println!("keyboard: every link and field has its turn, is seen, and leads on");
    let port = stage.link(0);
    let refused = stage.link(2);
    for (view, path, picture) in [
        (WIDE, "/", Some("wide")),
        (View { is_dark: true, ..WIDE }, "/", Some("dark")),
        (NARROW, "/", Some("narrow")),
        (View { is_dark: true, ..NARROW }, "/", None),
        (View { width: 800, ..WIDE }, "/", None),
        (View { width: 320, ..NARROW }, "/", None),
        (WIDE, &*port, Some("port")),
        (View { is_dark: true, ..WIDE }, &*refused, Some("port-dark")),
        (NARROW, &*port, Some("port-narrow")),
        (View { is_dark: true, ..NARROW }, &*refused, None),
        (View { width: 320, ..NARROW }, &*refused, None),
        (NARROW, "/?q=nobody", None),
        (NARROW, "/?state=nonsense", None),
    ] {
        check_look(&mut browser, &format!("{}{path}", stage.url), view)?;
        println!("{view:?} {path}: nothing overflows, all texts stand out");
        if let (Some(picture), Some(directory)) = (picture, &cli.pictures) {
            take(&mut browser, view, &directory.join(format!("status-page-{picture}.png")))?;
        }
    }
    check_semantics(&mut browser, &stage)?;
    println!("semantics: landmarks, headings, a table with heads, and pictures with names");
    Ok(())
}

// ===== impl Stage =====

impl Stage {
    fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let server = OvsdbServer::northbound()?;
        let mut net = Net::builder(2).create(&server)?;
        let instances = net.add_instances(7, Addressing::Static)?;
        for (number, address) in [(0, "203.0.113.10"), (1, "203.0.113.11"), (3, "203.0.113.12")] {
            net.add_forward(address.parse()?, 443, instances[number].v4()?, 443)?;
        }
        let socket = dir.path().join("incus.sock");
        let cms = CmsApi::start(&socket)?;
        let asks = [
            ("shop:web1", Some("203.0.113.10")),
            ("shop:web2", Some("auto")),
            ("shop:mail", Some("203.0.113.99")),
            ("default:db", Some("203.0.113.12")),
            ("default:a-builder-with-a-name-that-is-much-longer-than-most", Some("auto")),
            ("default:monitor", Some("2001:db8::10")),
            ("default:backup", None),
        ];
        for ((name, wanted), instance) in asks.iter().zip(&instances) {
            let uuid = instance.port.split_once("-instance-").map_or("", |(_, rest)| &rest[..36]);
            let keys: Vec<_> =
                wanted.iter().map(|wanted| ("user.eth0.ipv4.address.external", *wanted)).collect();
            cms.put_silently(cms_instance(name, uuid, &keys, &[("eth0", &[])]));
        }
        let kept = json_map([("ovn-extaddr:ipv4.address.external:jenkins_agent-7", "203.0.113.11")]);
        server
            .transact(vec![json!({"op": "insert", "table": "NB_Global", "row": {"external_ids": kept}})])?;
        let place = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = format!(
            "{PROMPT}metrics = \"{place}\"\nstatus-page = \"local\"\naudit = \"{}\"\n\
             [[cms]]\nkind = \"incus\"\nurl = \"unix:{}\"\n",
            dir.path().join("audit.jsonl").display(),
            socket.display()
        );
        let agent = Agent::builder(server.remote()).config(&config).start()?;
        eventually(SOON, "everything is decided and written", || {
            let status = agent.appctl(&["status"])?;
            ensure!(status.contains("\nactive: 3\n") && status.contains("to change: 0"), "{status}");
            Ok(true)
        })?;
        let url = format!("http://{place}");
        Ok(Self { _agent: agent, _cms: cms, _net: net, instances, url, _server: server, _dir: dir })
    }

    fn link(&self, number: usize) -> String {
        format!("/port/{}", self.instances[number].port)
    }
}

/// Opens a page, and checks that it is readable.
fn check_look(browser: &mut Browser, url: &str, view: View) -> Result<()> {
    browser.set_view(view)?;
    browser.open(url)?;
    let complaints = browser.complaints();
    // The browser reports the status of the page itself as an error.
    ensure!(complaints.is_empty() || url.contains("nonsense"), "{url}: {complaints:?}");
    let overflow = browser.evaluate(OVERFLOW)?;
    ensure!(overflow == json!([]), "{url} at {view:?}: {overflow}");
    let text = browser.evaluate(TEXT)?;
    ensure!(text == json!([]), "{url} at {view:?}: {text}");
    let contrast = browser.evaluate(CONTRAST)?;
    ensure!(contrast["found"] == json!([]), "{url} at {view:?}: {contrast}");
    ensure!(contrast["looked"].as_u64().is_some_and(|looked| looked > 3), "{url}: {contrast}");
    let ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")?;
    let is_dark = ground.as_str().is_some_and(|ground| ground.starts_with("rgb(18"));
    ensure!(is_dark == view.is_dark, "{url} at {view:?}: {ground}");
    Ok(())
}

/// Operates the first page with the keyboard alone.
fn check_keyboard(browser: &mut Browser, stage: &Stage) -> Result<()> {
    browser.set_view(WIDE)?;
    browser.open(&stage.url)?;
    let links = browser.evaluate("[...document.querySelectorAll('tbody a')].map((a) => a.textContent)")?;
    let links: Vec<String> = serde_json::from_value(links)?;
    ensure!(links.len() == 7, "{links:?}");
    let mut seen = Vec::new();
    let all = browser.evaluate("document.querySelectorAll('a, button, input:not([type=hidden])').length")?;
    for _ in 0..all.as_u64().context("no number")? {
        browser.press("Tab")?;
        // It scrolls there within a frame or two.
        let focus = eventually(SOON, "the focus is seen", || {
            let focus = browser.evaluate(FOCUS)?;
            ensure!(focus["seen"] == true && focus["inside"] == true, "it is not: {focus}");
            Ok(Some(focus))
        })?;
        seen.push(focus);
    }
    let text = |focus: &Value| focus["text"].as_str().unwrap_or_default().to_owned();
    ensure!(text(&seen[0]) == "Skip to the content", "{:?}", seen[0]);
    let at = |name: &str, is: &dyn Fn(&Value) -> bool| {
        seen.iter().position(is).with_context(|| format!("{name} is not reached: {seen:?}"))
    };
    let field = at("the search", &|focus| focus["id"] == "q")?;
    let button = at("the button", &|focus| focus["tag"] == "button")?;
    let tab = at("the states", &|focus| text(focus).starts_with("all "))?;
    let first = at("the first link", &|focus| text(focus) == links[0])?;
    ensure!(field < button && button < tab && tab < first, "the order is {seen:?}");
    let reached: Vec<_> = seen[first..].iter().take(links.len()).map(text).collect();
    ensure!(reached == links, "{reached:?} rather than {links:?}");

    // The skip link leads past the header.
    browser.open(&stage.url)?;
    browser.press("Tab")?;
    browser.press("Enter")?;
    ensure!(browser.evaluate("location.hash")? == "#content");
    browser.press("Tab")?;
    ensure!(browser.evaluate(FOCUS)?["id"] == "q");
    // A search, its only result, and its page.
    browser.insert("web2")?;
    browser.press("Enter")?;
    browser.wait_for_load()?;
    ensure!(browser.evaluate("location.search")? == "?q=web2");
    for _ in 0..20 {
        browser.press("Tab")?;
        if browser.evaluate("document.activeElement.closest('tbody') !== null")? == true {
            break;
        }
    }
    browser.press("Enter")?;
    browser.wait_for_load()?;
    let heading = browser.evaluate("document.querySelector('h1').textContent")?;
    ensure!(heading == "shop:web2/eth0", "{heading}");
    Ok(())
}

/// Checks what assistive technology gets, on a narrow screen too, where the table is drawn as cards.
fn check_semantics(browser: &mut Browser, stage: &Stage) -> Result<()> {
    for view in [WIDE, NARROW] {
        browser.set_view(view)?;
        browser.open(&stage.url)?;
        let nodes = browser.accessible()?;
        let count = |role: &str| nodes.iter().filter(|(found, _)| found == role).count();
        for (role, least) in [
            ("banner", 1),
            ("main", 1),
            ("contentinfo", 1),
            ("search", 1),
            ("table", 1),
            ("row", 8),
            ("rowheader", 7),
        ] {
            ensure!(count(role) >= least, "{} of {role} at {view:?}: {nodes:?}", count(role));
        }
        ensure!(count("columnheader") == 5 && count("cell") == 28, "{nodes:?}");
        browser.open(&format!("{}{}", stage.url, stage.link(0)))?;
        let nodes = browser.accessible()?;
        let images: Vec<_> =
            nodes.iter().filter(|(role, name)| role == "image" && name.starts_with("The way of")).collect();
        ensure!(
            images.len() == 1 && images[0].1.contains("outside sees 203.0.113.10"),
            "{images:?} of {nodes:?}"
        );
    }
    Ok(())
}

/// Writes a picture of the visible part.
fn take(browser: &mut Browser, view: View, path: &Path) -> Result<()> {
    // Texts stay readable, and the files small.
    let scale = if view.width > 1000 { 0.7 } else { 1.0 };
    let mut decoder =
        Command::new("base64").arg("-d").stdin(Stdio::piped()).stdout(fs::File::create(path)?).spawn()?;
    let mut input = decoder.stdin.take().context("no input")?;
    std::io::Write::write_all(&mut input, browser.picture(view, scale)?.as_bytes())?;
    drop(input);
    ensure!(decoder.wait()?.success(), "base64 failed");
    let length = fs::metadata(path)?.len();
    ensure!(length < MAX_PICTURE, "{} has {length} bytes", path.display());
    println!("{}: {length} bytes", path.display());
    Ok(())
}
