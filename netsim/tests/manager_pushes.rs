//! Pushes on their way to the edges: several Controllers, delays, faults, cancelling; over HTTPS, with edges in memory.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod manager_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use manager_support::{DEADLINE, MemoryEdges, Session, config};
use netsim::manager::faults::Fault;
use netsim::manager::{
    Activities, Config, Controller, Distribution, Event, Manager, PushDelay, TemplateKind,
};
use rstest::rstest;
use serde_json::{Value, json};

const STATUS: &str = "/device/action/status";

fn second_controller() -> Controller {
    Controller {
        host_name: "vsmart2".to_owned(),
        system_ip: [172, 16, 255, 6].into(),
    }
}

fn two_controllers() -> Config {
    Config {
        controllers: vec![Controller::default(), second_controller()],
        ..config()
    }
}

/// Edges of sites 1 and 2 that are programmed up to 2 s after the push, one of them at once, the other long after.
fn slow_edges() -> Config {
    let distribution = Distribution::Uniform {
        min: Duration::ZERO,
        max: Duration::from_secs(2),
    };
    Config {
        push_delay: PushDelay {
            distribution,
            // 1.14 s and 0.04 s in the first push.
            seed: 14,
        },
        ..config()
    }
}

async fn started(config: Config) -> (Manager, Arc<MemoryEdges>) {
    let edges = Arc::new(MemoryEdges::default());
    (Manager::start(config, edges.clone()).await.unwrap(), edges)
}

async fn created(session: &Session<'_>, path: &str, id: &str, body: Value) -> String {
    let answer = session
        .ok("POST", &format!("/template/policy/{path}"), &body)
        .await;
    answer[id].as_str().unwrap().to_owned()
}

/// A policy for sites 1 and 2, not activated, and the path of its activation.
async fn create(session: &Session<'_>) -> String {
    let list = |kind: &str, entries: Value| json!({"name": kind, "description": "", "type": kind, "entries": entries});
    let sites = created(
        session,
        "list/site",
        "listId",
        list("site", json!([{"siteId": "1-2"}])),
    )
    .await;
    let vpns = created(session, "list/vpn", "listId", list("vpn", json!([{"vpn": "10"}]))).await;
    let definition = json!({
        "name": "closed", "type": "data", "description": "", "sequences": [],
        "defaultAction": {"type": "drop"},
    });
    let definition = created(session, "definition/data", "definitionId", definition).await;
    let entry = json!({"direction": "service", "siteLists": [sites], "vpnLists": [vpns]});
    let policy = json!({
        "policyName": "central",
        "policyDescription": "",
        "policyType": "feature",
        "policyDefinition": {"assembly": [{"definitionId": definition, "type": "data", "entries": [entry]}]},
    });
    let policy = created(session, "vsmart", "policyId", policy).await;
    format!("/template/policy/vsmart/activate/{policy}?confirm=true")
}

fn statuses(task: &Value) -> Vec<(&str, &str)> {
    let rows = task["data"].as_array().unwrap().iter();
    rows.map(|row| {
        (
            row["host-name"].as_str().unwrap(),
            row["statusId"].as_str().unwrap(),
        )
    })
    .collect()
}

/// The sites whose edges follow the policy.
fn closed(edges: &MemoryEdges) -> Vec<u32> {
    let follows = |site: &u32| {
        edges
            .in_force(*site)
            .is_some_and(|policy| !policy.data.is_empty())
    };
    [1, 2].into_iter().filter(follows).collect()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn recorded(activity: &mut Activities) -> Vec<Event> {
    std::iter::from_fn(|| activity.try_next())
        .map(|record| record.event)
        .collect()
}

fn lose(controllers: &[&str]) -> Fault {
    Fault::LoseController {
        controllers: controllers.iter().map(ToString::to_string).collect(),
    }
}

#[tokio::test]
async fn e2e_edges_get_policy_while_one_controller_is_online() {
    let (manager, edges) = started(two_controllers()).await;
    let session = Session::new(&manager).await;
    let activate = create(&session).await;
    let lost = manager.faults().inject(lose(&["vsmart1"]));
    let devices = session.ok("GET", "/device", &Value::Null).await;
    let rows = devices["data"].as_array().unwrap();
    let reachability = |row: usize| rows[row]["reachability"].as_str().unwrap();
    assert_eq!([reachability(1), reachability(2)], ["unreachable", "reachable"]);
    assert_eq!(rows[3]["controlConnections"], "2");

    let task = session.ok("POST", &activate, &json!({})).await;
    let task = session.follow(&task).await;
    assert_eq!(
        statuses(&task),
        [("vsmart1", "success_scheduled"), ("vsmart2", "success")]
    );
    assert_eq!(
        task["summary"]["count"],
        json!({"Done - Scheduled": 1, "Success": 1})
    );
    assert_eq!(closed(&edges), [1, 2]);
    assert_eq!(manager.faults().in_force()[0].felt, 1);

    // vsmart2 can go when vsmart1 has come back: nothing more is to be done for the edges.
    assert!(manager.faults().heal(lost));
    manager.faults().inject(lose(&["vsmart2"]));
    let task = session.ok("POST", &activate, &json!({})).await;
    let task = session.follow(&task).await;
    assert_eq!(
        statuses(&task),
        [("vsmart1", "success"), ("vsmart2", "success_scheduled")]
    );
    assert_eq!(edges.applied(), 4);
}

#[tokio::test]
async fn e2e_any_controller_that_comes_back_brings_what_waited_once() {
    let (manager, edges) = started(two_controllers()).await;
    let mut activity = manager.activity();
    let session = Session::new(&manager).await;
    let activate = create(&session).await;
    let lost = ["vsmart1", "vsmart2"].map(|name| manager.faults().inject(lose(&[name])));
    let task = session.ok("POST", &activate, &json!({})).await;
    let task = session.follow(&task).await;
    assert_eq!(
        statuses(&task),
        [("vsmart1", "success_scheduled"), ("vsmart2", "success_scheduled")]
    );
    assert_eq!(edges.applied(), 0);
    let scheduled = |event: &Event| matches!(event, Event::TaskScheduled { .. });
    assert!(recorded(&mut activity).iter().any(scheduled));

    manager.faults().heal(lost[1]);
    until("the policy arrives", || closed(&edges) == [1, 2]).await;
    manager.faults().heal(lost[0]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(edges.applied(), 2, "an edge was programmed twice");
}

#[tokio::test]
async fn e2e_what_waited_is_tried_until_the_edge_takes_it() {
    let (manager, edges) = started(config()).await;
    let session = Session::new(&manager).await;
    let activate = create(&session).await;
    let lost = manager.faults().inject(lose(&[]));
    let task = session.ok("POST", &activate, &json!({})).await;
    session.follow(&task).await;
    manager.faults().inject(Fault::FailPushes {
        count: Some(1),
        sites: vec![2],
    });
    manager.faults().heal(lost);
    until("site 1 takes it", || closed(&edges) == [1]).await;
    until("site 2 takes it", || closed(&edges) == [1, 2]).await;
    assert_eq!(edges.applied(), 2);
}

#[tokio::test]
async fn e2e_a_controller_lost_during_a_push_leaves_the_rest_for_later() {
    let (manager, edges) = started(slow_edges()).await;
    let session = Session::new(&manager).await;
    let activate = create(&session).await;
    let task = session.ok("POST", &activate, &json!({})).await;
    until("one edge is programmed", || edges.applied() == 1).await;
    let first = closed(&edges);
    let lost = manager.faults().inject(lose(&[]));
    let task = session.follow(&task).await;
    assert_eq!(statuses(&task), [("vsmart1", "success_scheduled")]);
    assert_eq!(closed(&edges), first);
    manager.faults().heal(lost);
    until("the other edge is programmed", || closed(&edges) == [1, 2]).await;
    assert_eq!(edges.applied(), 2);
}

#[tokio::test]
async fn e2e_a_push_cancelled_midway_says_what_stays() {
    let (manager, edges) = started(slow_edges()).await;
    let session = Session::new(&manager).await;
    let activate = create(&session).await;
    let task = session.ok("POST", &activate, &json!({})).await;
    until("one edge is programmed", || edges.applied() == 1).await;
    let (taken, id) = (closed(&edges)[0], task["id"].as_str().unwrap());
    let running = session.ok("GET", &format!("{STATUS}/{id}"), &Value::Null).await;
    assert_eq!(running["summary"]["status"], "in_progress");
    assert_eq!(statuses(&running), [("vsmart1", "in_progress")]);
    assert_eq!(running["isCancelEnabled"], true);
    let cancelled = Instant::now();
    session.send("POST", &format!("{STATUS}/cancel/{id}"), None).await;
    let ended = session.follow(&task).await;
    assert!(
        cancelled.elapsed() < Duration::from_millis(500),
        "it waited for the other edge"
    );
    assert_eq!(statuses(&ended), [("vsmart1", "failure")]);
    let activity = ended["data"][0]["activity"].to_string();
    let said = format!(
        "cancelled: applied at sites [{taken}], not at sites [{}]",
        3 - taken
    );
    assert!(activity.contains(&said), "{activity}");
    assert_eq!(closed(&edges), [taken]);
}

#[tokio::test]
async fn e2e_a_delayed_task_takes_as_long_as_the_fault_says() {
    let (manager, edges) = started(config()).await;
    let session = Session::new(&manager).await;
    let activate = create(&session).await;
    manager.faults().inject(Fault::DelayTasks {
        by_ms: 60,
        count: Some(1),
    });
    let begin = Instant::now();
    let task = session.ok("POST", &activate, &json!({})).await;
    assert_eq!(statuses(&session.follow(&task).await), [("vsmart1", "success")]);
    assert!(edges.last_applied() - begin >= Duration::from_millis(60));
    assert_eq!(manager.faults().in_force(), []);
}

#[tokio::test]
async fn e2e_a_delayed_task_ends_when_the_fault_is_healed() {
    let (manager, edges) = started(config()).await;
    let session = Session::new(&manager).await;
    let activate = create(&session).await;
    let id = manager.faults().inject(Fault::DelayTasks {
        by_ms: 3_600_000,
        count: Some(1),
    });
    let task = session.ok("POST", &activate, &json!({})).await;
    until("the fault is felt", || manager.faults().in_force()[0].felt == 1).await;
    assert_eq!(edges.applied(), 0);
    assert!(manager.faults().heal(id));
    assert_eq!(statuses(&session.follow(&task).await), [("vsmart1", "success")]);
}

#[tokio::test]
async fn e2e_a_fault_strikes_the_push_that_is_on_its_way() {
    let (manager, edges) = started(slow_edges()).await;
    let session = Session::new(&manager).await;
    let activate = create(&session).await;
    let task = session.ok("POST", &activate, &json!({})).await;
    until("one edge is programmed", || edges.applied() == 1).await;
    let taken = closed(&edges);
    manager.faults().inject(Fault::FailPushes {
        count: Some(1),
        sites: Vec::new(),
    });
    assert_eq!(statuses(&session.follow(&task).await), [("vsmart1", "failure")]);
    assert_eq!(closed(&edges), taken);
    assert_eq!(manager.faults().in_force(), []);
}

#[tokio::test]
async fn e2e_a_push_that_is_cancelled_uses_up_no_fault() {
    let (manager, edges) = started(Config {
        push_delay: Duration::from_secs(3600).into(),
        ..config()
    })
    .await;
    let session = Session::new(&manager).await;
    let activate = create(&session).await;
    manager.faults().inject(Fault::FailPushes {
        count: Some(1),
        sites: Vec::new(),
    });
    let task = session.ok("POST", &activate, &json!({})).await;
    let id = task["id"].as_str().unwrap();
    session.send("POST", &format!("{STATUS}/cancel/{id}"), None).await;
    assert_eq!(statuses(&session.follow(&task).await), [("vsmart1", "failure")]);
    assert_eq!(edges.applied(), 0);
    let in_force = manager.faults().in_force();
    assert_eq!((in_force[0].felt, in_force[0].left), (0, Some(1)));
}

#[tokio::test]
async fn e2e_every_refusal_of_a_fault_is_recorded() {
    let (manager, edges) = started(config()).await;
    let mut activity = manager.activity();
    let session = Session::new(&manager).await;
    let activate = create(&session).await;
    let elsewhere = manager.faults().inject(Fault::FailPushes {
        count: None,
        sites: vec![9],
    });
    let id = manager.faults().inject(Fault::FailPushes {
        count: None,
        sites: Vec::new(),
    });
    let task = session.ok("POST", &activate, &json!({})).await;
    assert_eq!(statuses(&session.follow(&task).await), [("vsmart1", "failure")]);
    assert_eq!(edges.applied(), 0);
    let events = recorded(&mut activity);
    let refused = |event: &&Event| matches!(event, Event::PushRefused { .. });
    assert_eq!(events.iter().filter(refused).count(), 2);
    assert!(events.contains(&Event::FaultFelt { id }));
    assert!(
        !events.contains(&Event::FaultFelt { id: elsewhere }),
        "no edge is at site 9"
    );
}

#[tokio::test]
async fn e2e_edges_change_one_after_the_other() {
    let (manager, edges) = started(slow_edges()).await;
    let session = Session::new(&manager).await;
    let activate = create(&session).await;
    let begin = Instant::now();
    let task = session.ok("POST", &activate, &json!({})).await;
    until("one edge is programmed", || edges.applied() == 1).await;
    let first = begin.elapsed();
    session.follow(&task).await;
    let last = edges.last_applied() - begin;
    assert!(
        last > first + Duration::from_millis(500) && last < Duration::from_secs(3),
        "{first:?}, {last:?}"
    );
}

#[tokio::test]
async fn e2e_a_cli_template_is_attached_by_attachcli() {
    let (manager, edges) = started(Config {
        controller_template: TemplateKind::Cli,
        ..two_controllers()
    })
    .await;
    let session = Session::new(&manager).await;
    let activate = create(&session).await;
    let task = session.ok("POST", &activate, &json!({})).await;
    session.follow(&task).await;

    let templates = session
        .ok("GET", "/template/device?feature=all", &Value::Null)
        .await;
    let template = &templates["data"][0];
    assert_eq!(
        [&template["configType"], &template["devicesAttached"]],
        [&json!("file"), &json!(2)]
    );
    let id = &template["templateId"];
    let path = format!("/template/device/config/attached/{}", id.as_str().unwrap());
    let attached = session.ok("GET", &path, &Value::Null).await;
    let uuids: Vec<&Value> = attached["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["uuid"])
        .collect();
    let input = json!({"templateId": id, "deviceIds": uuids, "isEdited": true, "isMasterEdited": false});
    // With the slash at the end that the Terraform provider writes.
    let input = session.ok("POST", "/template/device/config/input/", &input).await;
    let attach = json!({"deviceTemplateList": [
        {"templateId": id, "device": input["data"], "isEdited": true, "isMasterEdited": false},
    ]});
    let path = "/template/policy/vsmart";
    let policies = session.ok("GET", path, &Value::Null).await;
    let policy = &policies["data"][0];
    let path = format!("{path}/{}", policy["policyId"].as_str().unwrap());
    let body = json!({
        "policyName": "central",
        "policyDescription": "another",
        "policyType": "feature",
        "policyDefinition": serde_json::from_str::<Value>(policy["policyDefinition"].as_str().unwrap()).unwrap(),
    });
    let edited = session.ok("PUT", &path, &body).await;
    assert_eq!(edited["masterTemplatesAffected"], json!([id]));
    let config = "/template/device/config";
    let (status, _) = session
        .send("POST", &format!("{config}/attachfeature"), Some(&attach))
        .await;
    assert_eq!(status, 400);
    let task = session.ok("POST", &format!("{config}/attachcli"), &attach).await;
    assert!(
        task["id"]
            .as_str()
            .unwrap()
            .starts_with("push_file_template_configuration-")
    );
    let task = session.follow(&task).await;
    assert_eq!(task["summary"]["name"], "Push CLI Template Configuration");
    assert_eq!(statuses(&task), [("vsmart1", "success"), ("vsmart2", "success")]);
    assert_eq!(edges.applied(), 4);
}

#[rstest]
#[case::none(Vec::new(), "manage WAN edges without a Controller")]
#[case::name(
    vec![Controller::default(), Controller { system_ip: [1, 1, 1, 1].into(), ..Controller::default() }],
    "manage two Controllers that are both `vsmart1`"
)]
#[case::address(
    vec![Controller::default(), Controller { host_name: "b".to_owned(), ..Controller::default() }],
    "manage two Controllers that are both `172.16.255.5`"
)]
#[tokio::test]
async fn controllers_that_cannot_be_told_apart_do_not_start(
    #[case] controllers: Vec<Controller>,
    #[case] message: &str,
) {
    let config = Config {
        controllers,
        ..config()
    };
    let error = Manager::start(config, Arc::new(MemoryEdges::default()))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[rstest]
#[case::none("")]
#[case::colon("ad:min")]
#[case::control("admin\n")]
#[tokio::test]
async fn a_name_that_basic_cannot_carry_does_not_start(#[case] username: &str) {
    let config = Config {
        username: username.to_owned(),
        ..config()
    };
    let error = Manager::start(config, Arc::new(MemoryEdges::default()))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("name the user `{username}`; "))
    );
}

#[tokio::test]
async fn delays_that_cannot_be_drawn_do_not_start() {
    let distribution = Distribution::Uniform {
        min: Duration::from_secs(2),
        max: Duration::from_secs(1),
    };
    let config = Config {
        push_delay: PushDelay {
            distribution,
            seed: 0,
        },
        ..config()
    };
    let error = Manager::start(config, Arc::new(MemoryEdges::default()))
        .await
        .unwrap_err();
    let message = "draw push delays from 2s to 1s: the shortest is longer than the longest";
    assert_eq!(error.to_string(), message);
}
