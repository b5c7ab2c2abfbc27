//! Intents follow the CMS, whether its events arrive or are lost.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ovn_extaddr_tests::{Addressing, Fault, cms_instance, eventually};

use super::{ONE, Stage, TWO, uuid_of, wait_for_source};
use crate::scene::{OWNER, SOON, V4, owned, row, wait_for_rows};

#[test]
fn a_key_of_an_instance_is_followed_while_it_changes() -> Result<()> {
    let stage = Stage::new()?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    stage.scene.wait_for_state(&stage.instance.port, V4, "active")?;
    let list = stage.scene.cli.list_json()?;
    ensure!(list[0]["source"] == "incus" && list[0]["name"] == "default:web1/eth0", "{list:?}");
    stage.api.put(stage.asking(TWO)?);
    stage.leaves_as(TWO)?;
    stage.api.put(stage.asking("none")?);
    stage.scene.wait_for_rows([])?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    // The NIC's own key comes first.
    let own = &[("eth0", &[("user.ipv4.address.external", TWO)][..])];
    let shared = &[("user.eth0.ipv4.address.external", ONE)];
    stage.api.put(cms_instance("web1", &stage.uuid()?, shared, own));
    stage.leaves_as(TWO)?;
    stage.api.delete("default", "web1");
    stage.scene.wait_for_rows([])
}

#[test]
fn a_profile_s_users_are_read_again_and_nobody_else() -> Result<()> {
    let mut stage = Stage::new()?;
    let other = stage.net.add_instance(Addressing::Static)?;
    stage.api.set_profile("default", "web", &["web1", "web2"]);
    stage.api.put(stage.asking("none")?);
    wait_for_source(&stage, "1 instances")?;
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
    wait_for_rows(&stage.scene.server, OWNER, rows)?;
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
fn events_that_were_lost_are_made_good() -> Result<()> {
    let stage = Stage::new()?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    stage.api.put_silently(stage.asking(TWO)?);
    stage.api.drop_connections();
    stage.leaves_as(TWO)?;
    stage.api.delete_silently("default", "web1");
    stage.api.drop_connections();
    stage.scene.wait_for_rows([])
}

#[test]
fn an_intent_waits_for_the_port_of_its_instance() -> Result<()> {
    let mut stage = Stage::new()?;
    let uuid = "00000000-0000-4000-8000-0000000000aa";
    let config = &[("user.eth0.ipv4.address.external", ONE)];
    stage.api.put(cms_instance("shop:later", uuid, config, &[("eth0", &[])]));
    let waiting = eventually(SOON, "it waits", || Ok(stage.scene.cli.list_json()?.into_iter().next()))?;
    ensure!(waiting["state"] == "waiting" && waiting["reason"] == "no-port", "{waiting}");
    ensure!(waiting["name"] == "shop:later/eth0", "{waiting}");
    ensure!(waiting["message"].as_str().is_some_and(|text| text.contains("shop:later")), "{waiting}");
    let other = stage.net.add_instance(Addressing::Static)?;
    // The port appears before the CMS has the UUID that is in its name: as when an instance starts.
    stage.api.put(cms_instance("shop:later", &uuid_of(&other.port)?, config, &[("eth0", &[])]));
    wait_for_rows(&stage.scene.server, OWNER, [row(&stage.net, &other, ONE, other.v4()?)])?;
    stage.net.remove_instance(&other.port)?;
    stage.scene.wait_for_rows([])
}

#[test]
fn nobody_takes_an_address_whose_forward_is_on_another_network() -> Result<()> {
    let stage = Stage::new()?;
    let mut tenant = ovn_extaddr_tests::Net::builder(2).ipv4_only().create(&stage.scene.server)?;
    let instance = tenant.add_instance(Addressing::Static)?;
    let config = &[("user.eth0.ipv4.address.external", ONE)];
    stage.api.put(cms_instance("tenant:evil", &uuid_of(&instance.port)?, config, &[("eth0", &[])]));
    stage.scene.wait_for_state(&instance.port, V4, "rejected not-a-forward")?;
    // It cannot request for another's instance by giving itself that one's UUID either.
    stage.api.put(stage.asking(TWO)?);
    stage.leaves_as(TWO)?;
    stage.api.put(cms_instance("tenant:evil", &stage.uuid()?, config, &[("eth0", &[])]));
    stage.scene.wait_for_state(&stage.instance.port, V4, "rejected disputed-instance")?;
    stage.api.delete("tenant", "evil");
    stage.leaves_as(TWO)
}

#[test]
fn an_agent_that_is_killed_at_any_step_ends_in_the_same_state() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    for (turn, pause) in [0, 1, 3, 10, 30, 100, 300].into_iter().enumerate() {
        let (old, new) = if turn % 2 == 0 { (ONE, TWO) } else { (TWO, ONE) };
        stage.api.set_fault(Fault::Slow(Duration::from_millis(10)));
        stage.scene.agent.restart()?;
        stage.api.put(stage.asking(new)?);
        std::thread::sleep(Duration::from_millis(pause));
        stage.scene.agent.kill9()?;
        ensure!(
            stage.leaves_now_as(old)? || stage.leaves_now_as(new)?,
            "{:?}",
            owned(&stage.scene.server, OWNER)?
        );
        stage.api.set_fault(Fault::None);
        stage.scene.agent.restart()?;
        stage.leaves_as(new)?;
    }
    Ok(())
}

#[test]
fn projects_and_sources_are_heeded_as_configured_and_reconfigured() -> Result<()> {
    let stage = Stage::new()?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    let config = std::fs::read_to_string(stage.scene.agent.dir().join("config.toml"))?;
    stage.scene.agent.write_config(&format!("{config}projects = [\"shop-*\"]\n"))?;
    wait_for_rows(&stage.scene.server, OWNER, [])?;
    let mut elsewhere = stage.asking(TWO)?;
    elsewhere["project"] = "shop-1".into();
    stage.api.delete("default", "web1");
    stage.api.put(elsewhere);
    stage.leaves_as(TWO)?;
    // Without a source, its intents are gone.
    stage.scene.agent.write_config(ovn_extaddr_tests::PROMPT)?;
    wait_for_rows(&stage.scene.server, OWNER, [])
}

#[test]
fn a_change_is_written_at_once() -> Result<()> {
    let stage = Stage::new()?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    let start = Instant::now();
    for address in [TWO, ONE].into_iter().cycle().take(20) {
        stage.api.put(stage.asking(address)?);
        eventually(SOON, "it is written", || stage.leaves_now_as(address))?;
    }
    ensure!(start.elapsed() < Duration::from_secs(20), "twenty took {:?}", start.elapsed());
    Ok(())
}
