//! Intents follow the CMS, whether its events arrive or are lost.

use std::time::Duration;

use anyhow::{Result, ensure};
use ovn_extaddr_tests::{Addressing, Fault, cms_instance};

use super::{ONE, Stage, TWO, uuid_of, wait_for_source};
use crate::fixture::{OWNER, V4, owned, row, wait_for_rows};

#[test]
fn changed_instance_key_is_followed() -> Result<()> {
    let stage = Stage::new()?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    stage.fixture.wait_for_state(&stage.instance.port, V4, "active")?;
    let list = stage.fixture.cli.list_json()?;
    ensure!(list[0]["source"] == "incus" && list[0]["name"] == "default:web1/eth0", "{list:?}");
    stage.api.put(stage.asking(TWO)?);
    stage.leaves_as(TWO)?;
    stage.api.put(stage.asking("none")?);
    stage.fixture.wait_for_rows([])?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    // The NIC's own key comes first.
    let own = &[("eth0", &[("user.ipv4.address.external", TWO)][..])];
    let shared = &[("user.eth0.ipv4.address.external", ONE)];
    stage.api.put(cms_instance("web1", &stage.uuid()?, shared, own));
    stage.leaves_as(TWO)?;
    stage.api.delete("default", "web1");
    stage.fixture.wait_for_rows([])
}

#[test]
fn changed_profile_rereads_only_its_users() -> Result<()> {
    let mut stage = Stage::new()?;
    let other = stage.net.add_instance(Addressing::Static)?;
    stage.api.set_profile("default", "web", &["web1", "web2"]);
    stage.api.put(stage.asking("none")?);
    wait_for_source(&stage, "instances: 1,")?;
    stage.api.take_requests();
    stage.api.put_silently(stage.asking(ONE)?);
    let config = &[("user.eth0.ipv4.address.external", ONE)];
    stage.api.put_silently(cms_instance("web2", &uuid_of(&other.port)?, config, &[("eth0", &[])]));
    stage.api.put_silently(cms_instance(
        "idle",
        "00000000-0000-4000-8000-000000000000",
        &[],
        &[("eth0", &[])],
    ));
    stage.api.tell_of("profile-updated", "/1.0/profiles/web");
    let rows = [
        row(&stage.net, &stage.instance, ONE, stage.instance.v4()?),
        row(&stage.net, &other, ONE, other.v4()?),
    ];
    wait_for_rows(&stage.fixture.server, OWNER, rows)?;
    let requests = stage.api.take_requests();
    let expected = [
        "/1.0/profiles/web?project=default",
        "/1.0/instances/web1?project=default",
        "/1.0/instances/web2?project=default",
    ];
    ensure!(requests == expected, "{requests:?}");
    Ok(())
}

#[test]
fn lost_events_are_recovered_by_a_listing() -> Result<()> {
    let stage = Stage::new()?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    stage.api.put_silently(stage.asking(TWO)?);
    stage.api.drop_connections();
    stage.leaves_as(TWO)?;
    stage.api.delete_silently("default", "web1");
    stage.api.drop_connections();
    stage.fixture.wait_for_rows([])
}

#[test]
fn kill_at_any_step_leads_to_the_same_rows() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    for (turn, pause) in [0, 1, 3, 10, 30, 100, 300].into_iter().enumerate() {
        let (old, new) = if turn % 2 == 0 { (ONE, TWO) } else { (TWO, ONE) };
        stage.api.set_fault(Fault::Slow(Duration::from_millis(10)));
        stage.fixture.agent.restart()?;
        stage.api.put(stage.asking(new)?);
        std::thread::sleep(Duration::from_millis(pause));
        stage.fixture.agent.kill9()?;
        ensure!(
            stage.leaves_now_as(old)? || stage.leaves_now_as(new)?,
            "{:?}",
            owned(&stage.fixture.server, OWNER)?
        );
        stage.api.set_fault(Fault::None);
        stage.fixture.agent.restart()?;
        stage.leaves_as(new)?;
    }
    Ok(())
}

#[test]
fn changed_projects_and_sources_take_effect() -> Result<()> {
    let stage = Stage::new()?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    let config = std::fs::read_to_string(stage.fixture.agent.dir().join("config.toml"))?;
    stage.fixture.agent.write_config(&format!("{config}projects = [\"shop-*\"]\n"))?;
    wait_for_rows(&stage.fixture.server, OWNER, [])?;
    let mut elsewhere = stage.asking(TWO)?;
    elsewhere["project"] = "shop-1".into();
    stage.api.delete("default", "web1");
    stage.api.put(elsewhere);
    stage.leaves_as(TWO)?;
    // Without a source, its intents are gone.
    stage.fixture.agent.write_config(ovn_extaddr_tests::PROMPT)?;
    wait_for_rows(&stage.fixture.server, OWNER, [])
}
