//! Policy groups from a client's login to the edges, over HTTPS, with edges in memory.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod manager_support;

use std::time::{Duration, Instant};

use manager_support::{DEADLINE, MemoryEdges, Session, start};
use netsim::manager::faults::Fault;
use netsim::manager::{Change, Event, ObjectKind};
use netsim::policy::{Action, DataPath, DefaultAction, LocalTlocs, PolicyDirection};
use serde_json::{Value, json};

const PROFILES: &str = "/v1/feature-profile/sdwan/application-priority";
const OBJECTS: &str = "/v1/feature-profile/sdwan/policy-object";
const GROUPS: &str = "/v1/policy-group";
const EDGES: [&str; 2] = ["C8K-10.255.0.1", "C8K-10.255.0.2"];

/// A group with one traffic policy, both edges associated.
struct Group {
    id: String,
    profile: String,
    policy: String,
    servers: String,
}

fn global(value: impl Into<Value>) -> Value {
    json!({ "optionType": "global", "value": value.into() })
}

fn text(value: &Value) -> String {
    value.as_str().expect("an id").to_owned()
}

/// As in the product's documentation, but for the names.
fn traffic_policy(servers: &str, service_vpn: &str, color: &str) -> Value {
    json!({
        "name": "tp",
        "description": "",
        "data": {
            "dataDefaultAction": global("accept"),
            "target": { "vpn": global(json!([service_vpn])), "direction": global("service") },
            "sequences": [{
                "sequenceId": global(1),
                "sequenceName": global("servers"),
                "baseAction": global("accept"),
                "sequenceIpType": global("ipv4"),
                "match": { "entries": [
                    { "destinationDataPrefixList": { "refId": global(servers) } },
                    { "destinationPort": global(json!(["8080"])) },
                    { "protocol": global(json!(["6"])) },
                ] },
                "actions": [{ "set": [{ "localTlocList": {
                    "color": global(json!([color])),
                    "restrict": global(true),
                    "encap": global("ipsec"),
                } }] }],
            }],
        },
    })
}

fn devices(ids: &[&str]) -> Value {
    json!({ "devices": ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>() })
}

async fn create(session: &Session<'_>, service_vpn: &str) -> Group {
    let names = |name: &str| json!({ "name": name, "description": "" });
    let objects = text(&session.ok("POST", OBJECTS, &names("objects")).await["id"]);
    let entry = json!({ "ipv4Address": global("10.1.0.5"), "ipv4PrefixLength": global(32) });
    let servers = json!({ "name": "servers", "data": { "entries": [entry] } });
    let path = format!("{OBJECTS}/{objects}/data-prefix");
    let servers = text(&session.ok("POST", &path, &servers).await["parcelId"]);
    let profile = text(&session.ok("POST", PROFILES, &names("priorities")).await["id"]);
    let body = traffic_policy(&servers, service_vpn, "biz-internet");
    let path = format!("{PROFILES}/{profile}/traffic-policy");
    let policy = text(&session.ok("POST", &path, &body).await["parcelId"]);
    let body = json!({ "name": "branches", "description": "", "solution": "sdwan", "profiles": [{ "id": profile }] });
    let id = text(&session.ok("POST", GROUPS, &body).await["id"]);
    session
        .ok(
            "POST",
            &format!("{GROUPS}/{id}/device/associate"),
            &devices(&EDGES),
        )
        .await;
    Group {
        id,
        profile,
        policy,
        servers,
    }
}

async fn deploy(session: &Session<'_>, group: &Group, ids: &[&str]) -> Value {
    let path = format!("{GROUPS}/{}/device/deploy", group.id);
    let accepted = session.ok("POST", &path, &devices(ids)).await;
    json!({ "id": accepted["parentTaskId"] })
}

async fn deployed(session: &Session<'_>, group: &Group, ids: &[&str]) -> Value {
    let task = deploy(session, group, ids).await;
    session.follow(&task).await
}

async fn up_to_date(session: &Session<'_>, group: &Group) -> Vec<bool> {
    let path = format!("{GROUPS}/{}/device/associate", group.id);
    let rows = session.ok("GET", &path, &Value::Null).await;
    let rows = rows["devices"].as_array().unwrap().clone();
    rows.iter()
        .map(|row| row["policyGroupUpToDate"].as_bool().unwrap())
        .collect()
}

async fn set_color(session: &Session<'_>, group: &Group, service_vpn: &str, color: &str) {
    let path = format!("{PROFILES}/{}/traffic-policy/{}", group.profile, group.policy);
    session
        .ok("PUT", &path, &traffic_policy(&group.servers, service_vpn, color))
        .await;
}

/// The colors that the data policies of a site set, with their service VPNs and directions.
fn colors(edges: &MemoryEdges, site_id: u32) -> Vec<(u16, PolicyDirection, Vec<String>)> {
    let data = edges
        .in_force(site_id)
        .map(|policy| policy.data)
        .unwrap_or_default();
    let colors = data.iter().map(|policy| {
        let set = policy
            .sequences
            .iter()
            .filter_map(|sequence| match &sequence.action {
                Action::Accept {
                    path: Some(DataPath::Local(tlocs)),
                    ..
                } => Some(tlocs.colors.join(" ")),
                _ => None,
            });
        (policy.service_vpn, policy.direction, set.collect())
    });
    colors.collect()
}

fn sets(service_vpn: u16, color: &str) -> (u16, PolicyDirection, Vec<String>) {
    (service_vpn, PolicyDirection::FromService, vec![color.to_owned()])
}

/// A vSmart policy for service VPN 10 of both sites.
async fn central(session: &Session<'_>) -> String {
    let lists = "/template/policy/list";
    let list = |name: &str, entries: Value| json!({ "name": name, "type": name, "entries": entries });
    let sites = session
        .ok(
            "POST",
            &format!("{lists}/site"),
            &list("site", json!([{ "siteId": "1-2" }])),
        )
        .await;
    let vpns = session
        .ok(
            "POST",
            &format!("{lists}/vpn"),
            &list("vpn", json!([{ "vpn": "10" }])),
        )
        .await;
    let set =
        json!([{ "type": "set", "parameter": [{ "field": "localTlocList", "value": { "color": "lte" } }] }]);
    let sequence = json!({ "sequenceId": 1, "sequenceType": "data", "baseAction": "accept", "actions": set });
    let accept = json!({ "type": "accept" });
    let definition = json!({ "name": "d", "type": "data", "defaultAction": accept, "sequences": [sequence] });
    let definition = session
        .ok("POST", "/template/policy/definition/data", &definition)
        .await;
    let entry =
        json!({ "direction": "service", "siteLists": [sites["listId"]], "vpnLists": [vpns["listId"]] });
    let assembly =
        json!([{ "definitionId": definition["definitionId"], "type": "data", "entries": [entry] }]);
    let body = json!({ "policyName": "central", "policyType": "feature", "policyDefinition": { "assembly": assembly } });
    text(&session.ok("POST", "/template/policy/vsmart", &body).await["policyId"])
}

async fn activate(session: &Session<'_>, policy: &str) -> Value {
    session
        .ok(
            "POST",
            &format!("/template/policy/vsmart/activate/{policy}"),
            &json!({}),
        )
        .await
}

#[tokio::test]
async fn a_deployed_traffic_policy_is_what_it_says() {
    let (manager, edges) = start(Duration::ZERO).await;
    let session = Session::new(&manager).await;
    let mut activities = manager.activity();
    let group = create(&session, "VPN10").await;
    assert_eq!(edges.applied(), 0);
    let task = deployed(&session, &group, &EDGES).await;
    assert_eq!(task["summary"]["count"], json!({ "Success": 2 }));

    let policy = edges.in_force(1).unwrap();
    assert!(policy.app_route.is_empty());
    let [data] = policy.data.as_slice() else {
        panic!("{policy:?}")
    };
    assert_eq!(
        (data.service_vpn, data.direction),
        (10, PolicyDirection::FromService)
    );
    assert_eq!(data.default_action, DefaultAction::Accept);
    let [sequence] = &*data.sequences else {
        panic!("{data:?}")
    };
    assert_eq!(
        sequence.matching.destination_prefixes.as_deref(),
        Some(["10.1.0.5/32".parse().unwrap()].as_slice())
    );
    assert_eq!(
        (
            sequence.matching.destination_ports.as_slice(),
            sequence.matching.protocols.as_slice()
        ),
        ([8080..=8080].as_slice(), [6].as_slice())
    );
    let tlocs = LocalTlocs {
        colors: vec!["biz-internet".to_owned()],
        restrict: true,
    };
    let action = Action::Accept {
        path: Some(DataPath::Local(tlocs)),
        inspect: false,
        dscp: None,
    };
    assert_eq!(sequence.action, action);

    let mut created = Vec::new();
    let mut started = None;
    while let Some(activity) = activities.try_next() {
        match activity.event {
            Event::Created { kind, .. } => created.push(kind),
            Event::PushStarted { policy, change, .. } => started = Some((policy, change)),
            _ => {}
        }
    }
    use ObjectKind::{FeatureProfile, Parcel, PolicyGroup};
    assert_eq!(
        created,
        [FeatureProfile, Parcel, FeatureProfile, Parcel, PolicyGroup]
    );
    assert_eq!(started, Some(("branches".to_owned(), Change::Deploy)));
}

#[tokio::test]
async fn an_edge_that_refuses_fails_in_its_row_alone() {
    let (manager, edges) = start(Duration::ZERO).await;
    let session = Session::new(&manager).await;
    let group = create(&session, "VPN10").await;
    edges.refuse(Some(2));
    let task = deployed(&session, &group, &EDGES).await;
    assert_eq!(task["summary"]["count"], json!({ "Failure": 1, "Success": 1 }));
    let states: Vec<_> = (task["data"].as_array().unwrap().iter())
        .map(|row| {
            (
                row["deviceID"].as_str().unwrap(),
                row["statusId"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(states, [(EDGES[0], "success"), (EDGES[1], "failure")]);
    assert!(
        task["data"][1]["activity"].to_string().contains("no space left"),
        "{task}"
    );
    assert_eq!(colors(&edges, 1), [sets(10, "biz-internet")]);
    assert_eq!(colors(&edges, 2), []);
    assert_eq!(up_to_date(&session, &group).await, [true, false]);

    edges.refuse(None);
    deployed(&session, &group, &EDGES[1..]).await;
    assert_eq!(colors(&edges, 2), [sets(10, "biz-internet")]);
    assert_eq!(up_to_date(&session, &group).await, [true, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_edited_during_a_deployment_waits_for_the_next() {
    let (manager, edges) = start(Duration::ZERO).await;
    let session = Session::new(&manager).await;
    let group = create(&session, "VPN10").await;
    let _held = edges.hold();
    let task = deploy(&session, &group, &EDGES).await;
    set_color(&session, &group, "VPN10", "mpls").await;
    edges.release();
    session.follow(&task).await;
    assert_eq!(colors(&edges, 1), [sets(10, "biz-internet")]);
    assert_eq!(up_to_date(&session, &group).await, [false, false]);
    deployed(&session, &group, &EDGES).await;
    assert_eq!(colors(&edges, 1), [sets(10, "mpls")]);
    assert_eq!(up_to_date(&session, &group).await, [true, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_push_runs_at_a_time_of_whatever_kind() {
    let (manager, edges) = start(Duration::ZERO).await;
    let session = Session::new(&manager).await;
    let group = create(&session, "VPN20").await;
    let policy = central(&session).await;
    let refused = |task: &Value| {
        assert_eq!(task["validation"]["statusId"], "validation_failure", "{task}");
        assert_eq!(task["data"], json!([]));
        assert!(
            task["validation"]["activity"]
                .to_string()
                .contains("operation is already in progress")
        );
    };

    let _held = edges.hold();
    let activation = activate(&session, &policy).await;
    refused(&deployed(&session, &group, &EDGES).await);
    edges.release();
    session.follow(&activation).await;

    let _held = edges.hold();
    let deployment = deploy(&session, &group, &EDGES).await;
    refused(&session.follow(&activate(&session, &policy).await).await);
    edges.release();
    let task = session.follow(&deployment).await;
    assert_eq!(task["summary"]["count"], json!({ "Success": 2 }));
    assert_eq!(colors(&edges, 1), [sets(10, "lte"), sets(20, "biz-internet")]);
}

#[tokio::test]
async fn what_an_edge_did_not_take_is_not_given_to_it_by_another_push() {
    let (manager, edges) = start(Duration::ZERO).await;
    let session = Session::new(&manager).await;
    let group = create(&session, "VPN20").await;
    let policy = central(&session).await;
    edges.refuse(Some(2));
    let task = session.follow(&activate(&session, &policy).await).await;
    assert_eq!(task["summary"]["count"], json!({ "Failure": 1 }));
    edges.refuse(None);
    deployed(&session, &group, &EDGES).await;
    assert_eq!(colors(&edges, 1), [sets(10, "lte"), sets(20, "biz-internet")]);
    assert_eq!(colors(&edges, 2), [sets(20, "biz-internet")]);
}

#[tokio::test]
async fn a_device_that_comes_back_with_other_values_is_out_of_date() {
    let (manager, edges) = start(Duration::ZERO).await;
    let session = Session::new(&manager).await;
    let group = create(&session, "VPN10").await;
    let mut body = traffic_policy(&group.servers, "VPN10", "mpls");
    let color = body
        .pointer_mut("/data/sequences/0/actions/0/set/0/localTlocList/color")
        .unwrap();
    *color = json!({ "optionType": "variable", "value": "{{uplink}}" });
    let path = format!("{PROFILES}/{}/traffic-policy/{}", group.profile, group.policy);
    session.ok("PUT", &path, &body).await;
    let device = format!("{GROUPS}/{}/device", group.id);
    let set = async |color: &str| {
        let variables = json!([{ "name": "uplink", "value": [color] }]);
        let body =
            json!({ "solution": "sdwan", "devices": [{ "device-id": EDGES[0], "variables": variables }] });
        session.ok("PUT", &format!("{device}/variables"), &body).await;
    };
    set("lte").await;
    deployed(&session, &group, &EDGES[..1]).await;
    assert_eq!(colors(&edges, 1), [sets(10, "lte")]);
    assert!(up_to_date(&session, &group).await[0]);

    session
        .ok("DELETE", &format!("{device}/associate"), &devices(&EDGES[..1]))
        .await;
    session
        .ok("PUT", &format!("{device}/associate"), &devices(&EDGES[..1]))
        .await;
    for (color, expected) in [("mpls", false), ("lte", true)] {
        set(color).await;
        assert_eq!(up_to_date(&session, &group).await[0], expected, "{color}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_controller_comes_beside_what_is_there() {
    let (manager, edges) = start(Duration::ZERO).await;
    let session = Session::new(&manager).await;
    let group = create(&session, "VPN20").await;
    let policy = central(&session).await;
    session.follow(&activate(&session, &policy).await).await;
    let lost = manager.faults().inject(Fault::LoseController {
        controllers: Vec::new(),
    });
    let task = deployed(&session, &group, &EDGES).await;
    assert_eq!(task["summary"]["count"], json!({ "Done - Scheduled": 2 }));
    assert_eq!(task["data"][0]["statusId"], "success_scheduled");
    assert_eq!(colors(&edges, 1), [sets(10, "lte")]);
    assert_eq!(up_to_date(&session, &group).await, [false, false]);

    // What waits is as good as there: nothing may take its place.
    set_color(&session, &group, "VPN20", "mpls").await;
    let path = format!("{GROUPS}/{}", group.id);
    session
        .ok("DELETE", &format!("{path}/device/associate"), &devices(&EDGES))
        .await;
    assert_eq!(session.send("DELETE", &path, None).await.0, 400);

    assert!(manager.faults().heal(lost));
    let end = Instant::now() + DEADLINE;
    while [1, 2].iter().any(|site| colors(&edges, *site).len() < 2) {
        assert!(Instant::now() < end, "what waited does not come");
        tokio::task::yield_now().await;
    }
    for site in [1, 2] {
        assert_eq!(colors(&edges, site), [sets(10, "lte"), sets(20, "biz-internet")]);
    }
}

#[tokio::test]
async fn two_traffic_policies_of_a_group_do_not_share_a_vpn() {
    let (manager, edges) = start(Duration::ZERO).await;
    let session = Session::new(&manager).await;
    let group = create(&session, "VPN10").await;
    let mut second = traffic_policy(&group.servers, "VPN10", "mpls");
    second["name"] = json!("second");
    session
        .ok(
            "POST",
            &format!("{PROFILES}/{}/traffic-policy", group.profile),
            &second,
        )
        .await;
    let path = format!("{GROUPS}/{}/device/deploy", group.id);
    let (status, answer) = session.send("POST", &path, Some(&devices(&EDGES))).await;
    let details = answer["error"]["details"].as_str().unwrap();
    assert_eq!(status, 400);
    assert!(
        details.contains("second") && details.contains("site 1, VPN 10"),
        "{details}"
    );
    assert_eq!(edges.applied(), 0);
}

#[tokio::test]
async fn a_vpn_that_a_device_does_not_have_is_left_out() {
    let (manager, edges) = start(Duration::ZERO).await;
    let session = Session::new(&manager).await;
    let group = create(&session, "VPN30").await;
    deployed(&session, &group, &EDGES[..1]).await;
    assert_eq!(colors(&edges, 1), []);
    assert_eq!(up_to_date(&session, &group).await, [true, false]);
}

#[tokio::test]
async fn what_edges_cannot_do_fails_as_a_task_and_leaves_what_they_follow() {
    let (manager, edges) = start(Duration::ZERO).await;
    let session = Session::new(&manager).await;
    let group = create(&session, "VPN10").await;
    deployed(&session, &group, &EDGES).await;
    let mut policy = traffic_policy(&group.servers, "VPN10", "mpls");
    policy["data"]["sequences"][0]["actions"] = json!([{ "cflowd": global(true) }]);
    let path = format!("{PROFILES}/{}/traffic-policy/{}", group.profile, group.policy);
    session.ok("PUT", &path, &policy).await;
    let task = deployed(&session, &group, &EDGES).await;
    assert_eq!(task["validation"]["statusId"], "validation_failure");
    let reason = task["validation"]["activity"].to_string();
    let place = "policy group branches: profile priorities: traffic-policy tp: SeqID 1: field cflowd";
    let problem = format!("{place} is not emulated by the edges; WAN edges of sites: 1, 2");
    assert!(reason.contains(&problem), "{reason}");
    assert_eq!(edges.applied(), 2);
    assert_eq!(colors(&edges, 1), [sets(10, "biz-internet")]);
    assert_eq!(up_to_date(&session, &group).await, [false, false]);

    set_color(&session, &group, "VPN10", "mpls").await;
    deployed(&session, &group, &EDGES).await;
    assert_eq!(colors(&edges, 2), [sets(10, "mpls")]);
    assert_eq!(up_to_date(&session, &group).await, [true, true]);
}
