//! The API at its worst: nothing is withdrawn, and every problem is reported in plain words.

use std::time::Duration;

use anyhow::{Result, ensure};
use ovn_extaddr_tests::{CmsApi, Fault, cms_instance, eventually};

use super::{ONE, Stage, TWO, wait_for_source};
use crate::fixture::{OWNER, SOON, V4, owned};

#[test]
fn faults_of_the_cms_withdraw_no_intents() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    let deep = format!("{{\"metadata\":{}", "[".repeat(100_000));
    for (fault, told) in [
        (Fault::Status(403), "403 Forbidden (scripted): see whether the CMS trusts the client certificate"),
        (Fault::Status(500), "500 Internal Server Error"),
        (Fault::Cut, "the answer breaks off"),
        (Fault::Instead("<html>".to_owned()), "is not what Incus sends"),
        (Fault::Instead("{\"metadata\":null}".to_owned()), "there is no list of instances in it"),
        (Fault::Instead("{\"metadata\":[{\"name\":1}]}".to_owned()), "is not what Incus sends"),
        (Fault::Instead(deep), "is not what Incus sends"),
        (Fault::Instead(String::new()), "is not what Incus sends"),
    ] {
        stage.api.set_fault(fault.clone());
        stage.api.drop_connections();
        wait_for_source(&stage, told)?;
        ensure!(stage.leaves_now_as(ONE)?, "{fault:?}: {:?}", owned(&stage.fixture.server, OWNER)?);
    }
    // Nor is it withdrawn if the server is gone, and changes in the meantime are caught up on.
    stage.api.stop();
    wait_for_source(&stage, "there is no such socket")?;
    ensure!(stage.leaves_now_as(ONE)?);
    stage.api.set_fault(Fault::None);
    stage.api.put_silently(stage.asking(TWO)?);
    stage.api.resume()?;
    stage.leaves_as(TWO)?;
    wait_for_source(&stage, "instances: 1,")
}

#[test]
fn malformed_event_ends_only_the_stream() -> Result<()> {
    let stage = Stage::new()?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    for text in ["x".to_owned(), "[]".to_owned(), "x".repeat(17 << 20)] {
        stage.api.put_silently(stage.asking(TWO)?);
        stage.api.send(&text);
        stage.leaves_as(TWO)?;
        stage.api.put(stage.asking(ONE)?);
        stage.leaves_as(ONE)?;
    }
    Ok(())
}

/// Found by a reading: whoever could end the stream of events during each listing kept the source unread.
#[test]
fn listing_is_completed_though_the_stream_of_events_ends() -> Result<()> {
    let stage = Stage::new()?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    stage.api.put_silently(stage.asking(TWO)?);
    stage.api.set_fault(Fault::Slow(Duration::from_millis(300)));
    eventually(SOON, "the listing counts", || {
        stage.api.send("x");
        stage.leaves_now_as(TWO)
    })
}

/// Found by a reading: an instance that moves between members while these are listed is in no part of the listing.
#[test]
fn instance_that_a_listing_omits_keeps_its_address_until_it_is_gone() -> Result<()> {
    let stage = Stage::new()?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    let (project, name) = stage.api.put_silently(stage.asking(ONE)?);
    stage.api.set_fault(Fault::Instead("{\"metadata\":[]}".to_owned()));
    stage.api.take_requests();
    stage.api.drop_connections();
    eventually(SOON, "it is read", || {
        Ok(stage.api.take_requests().iter().any(|path| path.starts_with("/1.0/instances/")))
    })?;
    wait_for_source(&stage, "instances: 1,")?;
    ensure!(stage.leaves_now_as(ONE)?);
    stage.api.delete_silently(&project, &name);
    stage.api.drop_connections();
    wait_for_source(&stage, "instances: 0,")
}

#[test]
fn unreachable_source_leaves_rows_unchanged() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    stage.api.stop();
    stage.fixture.agent.restart()?;
    wait_for_source(&stage, "not read yet")?;
    stage.fixture.wait_for_state(&stage.instance.port, V4, "pending source-unreachable")?;
    let list = stage.fixture.cli.run(&["list"])?;
    ensure!(
        list.stderr.contains("cannot read Incus at unix:") && list.stderr.contains("no such socket"),
        "{list:?}"
    );
    let plan = stage.fixture.cli.run(&["plan", "--exit-code"])?;
    ensure!(plan.code() == Some(0), "{plan:?}");
    let doctor = stage.fixture.cli.run(&["doctor"])?;
    ensure!(doctor.code() == Some(1) && doctor.stdout.contains("source "), "{doctor:?}");
    ensure!(stage.leaves_now_as(ONE)?);
    // The database itself still counts: the row is removed with the forward.
    stage.net.remove_forward(ONE.parse()?)?;
    stage.fixture.wait_for_rows([])?;
    stage.net.add_forward(ONE.parse()?, 443, stage.instance.v4()?, 443)?;
    stage.api.resume()?;
    stage.leaves_as(ONE)
}

#[test]
fn silent_cms_does_not_delay_other_intents() -> Result<()> {
    let stage = Stage::with(|api| {
        api.set_fault(Fault::Silent);
        Ok(())
    })?;
    stage.net.annotate(&stage.instance.port, V4, Some(ONE))?;
    stage.leaves_as(ONE)?;
    let list = stage.fixture.cli.run(&["list", "--timeout=1"])?.success();
    ensure!(list?.contains("active"));
    Ok(())
}

#[test]
fn slow_cms_is_waited_for() -> Result<()> {
    let stage = Stage::with(|api| {
        api.set_fault(Fault::Slow(Duration::from_millis(700)));
        Ok(())
    })?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)
}

#[test]
fn large_listing_is_parsed_while_it_arrives() -> Result<()> {
    let fill = |api: &CmsApi| {
        for n in 0..500 {
            let uuid = format!("00000000-0000-4000-8000-{n:012}");
            let data = "x".repeat(4000);
            let config = &[("user.user-data", data.as_str()), ("user.eth0.ipv4.address.external", "auto")];
            api.put_silently(cms_instance(&format!("c{n}"), &uuid, config, &[("eth0", &[])]));
        }
        Ok(())
    };
    let stage = Stage::with(fill)?;
    wait_for_source(&stage, "instances: 500,")?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    let memory = stage.fixture.agent.appctl(&["memory/show"])?;
    let rss = memory.split("rss-kB:").nth(1).and_then(|text| text.trim().parse::<u64>().ok());
    ensure!(rss.is_some_and(|kilobytes| kilobytes < 40_000), "{memory}");
    Ok(())
}
