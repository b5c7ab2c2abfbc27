//! The lab itself: what the other tests rely on.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::eventually;
use ovn_extaddr_tests::lab::{Family, Lab, Proto, built};

/// Long enough for what takes a second or two, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// The traces of a lab on this machine: namespaces, directories, and processes that name one of these.
fn traces(name: &str, dirs: &[String]) -> Vec<String> {
    let names = |dir: &str| -> Vec<String> {
        fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().display().to_string())
            .collect()
    };
    let mut traces = names("/run/netns");
    traces.retain(|path| path.contains(&format!("{name}-")));
    traces.extend(dirs.iter().filter(|dir| fs::exists(dir).unwrap_or(true)).cloned());
    for process in names("/proc") {
        let line = fs::read(format!("{process}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        // This test's own arguments name none of them.
        if dirs.iter().any(|dir| line.contains(dir.as_str())) {
            traces.push(format!("{process} {line}"));
        }
    }
    traces
}

/// The directories an inventory names, and its own.
fn directories(dir: &std::path::Path) -> Result<Vec<String>> {
    let inventory = fs::read_to_string(dir.join("inventory"))?;
    let mut dirs: Vec<String> =
        inventory.lines().filter_map(|line| line.strip_prefix("dir ")).map(str::to_owned).collect();
    dirs.push(dir.display().to_string());
    Ok(dirs)
}

#[test]
fn concurrent_labs_are_isolated_and_leave_nothing() -> Result<()> {
    let mut labs = [Lab::builder().start()?, Lab::builder().start()?];
    let mut left = Vec::new();
    for lab in &mut labs {
        let c1 = lab.instance("c1", 0)?;
        // The same addresses in both.
        assert_eq!(
            lab.outbound(&c1, Proto::Tcp, Family::V4, Some(5555))?.seen()?.to_string(),
            "203.0.113.2:5555"
        );
        left.push((lab.name().to_owned(), directories(lab.dir())?));
    }
    assert_ne!(left[0], left[1]);
    for (name, dirs) in &left {
        // Three databases, northd, vswitchd, controller; wan, c1, ch0.
        assert!(traces(name, dirs).len() >= 9, "{:#?}", traces(name, dirs));
    }
    drop(labs);
    for (name, dirs) in &left {
        assert_eq!(traces(name, dirs), Vec::<String>::new());
    }
    Ok(())
}

#[test]
fn panicking_lab_leaves_nothing() -> Result<()> {
    let found = std::thread::spawn(|| {
        let lab = Lab::builder().start().expect("it starts");
        let found = (lab.name().to_owned(), directories(lab.dir()).expect("it has an inventory"));
        // Like a panic, but without a message in the middle of the output.
        std::panic::resume_unwind(Box::new(found));
    });
    let panic = found.join().expect_err("it panics");
    let (name, dirs) = panic.downcast_ref::<(String, Vec<String>)>().context("another panic")?;
    assert_eq!(traces(name, dirs), Vec::<String>::new());
    Ok(())
}

#[test]
fn killed_lab_owner_leaves_nothing() -> Result<()> {
    let mut owner = Command::new(built("ovn-extaddr-lab")?).arg("keep").stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(owner.stdout.take().context("no pipe")?).read_line(&mut line)?;
    let (_, words) = line.trim().split_once("up ").with_context(|| format!("it said {line:?}"))?;
    let (name, dir) = words.split_once(' ').context("a name and a directory")?;
    let dirs = directories(dir.as_ref())?;
    assert!(traces(name, &dirs).len() >= 9);

    owner.kill()?;
    owner.wait()?;
    eventually(Duration::from_secs(20), "the reaper has done its work", || {
        let left = traces(name, &dirs);
        anyhow::ensure!(left.is_empty(), "{left:#?}");
        Ok(true)
    })
}

// ===== the program =====

fn program(arguments: &[&str]) -> Result<String> {
    let output = Command::new(built("ovn-extaddr-lab")?).args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{arguments:?}: {}{said}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}

/// The name of a lab that is taken down even if the test fails.
struct Up<'a>(&'a str);

impl Drop for Up<'_> {
    fn drop(&mut self) {
        // It is down already if the test succeeded.
        let _ = program(&["down", self.0]);
    }
}

#[test]
fn lab_is_started_probed_and_stopped() -> Result<()> {
    let up = program(&["up", "--agent"])?;
    let name = up.split_once(" is up").context("a name")?.0.to_owned();
    let _up = Up(&name);
    assert!(up.contains("scripts/lab probe c1 wan"), "{up}");
    assert!(program(&["list"])?.lines().any(|line| line.starts_with(&format!("{name}  up"))));
    let ask = |more: &[&str]| program(&[&["probe", "--lab", &name], more].concat());
    let out = ask(&["c1", "wan"])?;
    assert!(out.lines().count() == 6 && out.contains("203.0.113.2") && out.contains("2001:db8::2"), "{out}");
    let forwarded = ask(&["wan", "203.0.113.10:80", "--at", "c1:8080", "--proto", "tcp"])?;
    assert!(forwarded.contains("203.0.113.1"), "{forwarded}");

    // The agent is there and works.
    let env = program(&["env", "--lab", &name])?;
    let set =
        up.lines().map(str::trim).find(|line| line.starts_with("ovn-extaddr set ")).context("the tour")?;
    let asked = format!("{env}\n{set} --wait=hv");
    let output = Command::new("sh").args(["-c", &asked]).output()?;
    ensure!(output.status.success(), "{output:?}");
    // The flows are there; what the switch has cached of the old ones disappears a little later.
    eventually(SOON, "c1 leaves as its own address", || {
        let out = ask(&["c1", "wan", "--proto", "tcp"])?;
        ensure!(out.contains("203.0.113.10:"), "{out}");
        Ok(true)
    })?;

    assert_eq!(program(&["down", &name])?.trim(), format!("{name} is down"));
    assert!(!program(&["list"])?.contains(&name));
    assert!(program(&["down", &name]).is_err(), "it is down already");
    Ok(())
}

#[test]
fn interrupted_lab_start_leaves_nothing() -> Result<()> {
    let mut up = Command::new(built("ovn-extaddr-lab")?)
        .args(["up", "--chassis", "2"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // The process that keeps the lab, and the lab itself, while it is being built.
    let children = format!("/proc/{0}/task/{0}/children", up.id());
    let keeper = eventually(SOON, "somebody builds it", || {
        Ok(fs::read_to_string(&children)?.split_whitespace().next().map(str::to_owned))
    })?;
    let mine = format!("process {keeper} ");
    let line = eventually(SOON, "the lab is listed", || {
        Ok(program(&["list"])?.lines().find(|line| line.contains(&mine)).map(str::to_owned))
    })?;
    let (name, dir) =
        (line.split(' ').next().context("a name")?, line.rsplit(' ').next().context("a directory")?);
    let dirs = directories(dir.as_ref())?;
    // Not SIGINT, which is ignored if a shell started us in the background.
    assert!(Command::new("kill").args(["-TERM", &up.id().to_string()]).status()?.success());
    assert!(!up.wait()?.success());
    eventually(Duration::from_secs(60), "nothing is left", || {
        let left = traces(name, &dirs);
        // A process that nobody waits for, as in a container without an init, becomes a zombie.
        let state = fs::read_to_string(format!("/proc/{keeper}/stat")).unwrap_or_default();
        let runs = state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'));
        ensure!(left.is_empty() && !runs, "{left:#?} {state}");
        Ok(true)
    })
}
