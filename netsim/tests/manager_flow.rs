//! The Manager from a client's login to the edges: what an operator does, over HTTPS, with edges in memory.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod manager_support;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use manager_support::{MemoryEdges, PASSWORD, Session, client, client_builder, config, device, start, url};
use netsim::manager::{Activities, Change, Config, Device, Event, Manager, ObjectKind};
use netsim::policy::{Action, DataPath, DefaultAction, PolicyDirection};
use reqwest::Version;
use serde_json::{Value, json};

const LISTS: &str = "/template/policy/list";
const DATA: &str = "/template/policy/definition/data";
const VSMART: &str = "/template/policy/vsmart";

/// What an operator keeps on a Manager.
struct Steering {
    servers: String,
    definition: String,
    policy: String,
}

fn text(value: &Value) -> String {
    value.as_str().expect("an id").to_owned()
}

async fn list(session: &Session<'_>, kind: &str, type_name: &str, name: &str, entries: Value) -> String {
    let body = json!({"name": name, "description": "", "type": type_name, "entries": entries});
    text(&session.ok("POST", &format!("{LISTS}/{kind}"), &body).await["listId"])
}

fn servers(addresses: &[&str]) -> Value {
    let entries: Vec<_> = addresses
        .iter()
        .map(|address| json!({"ipPrefix": format!("{address}/32")}))
        .collect();
    json!({"name": "servers", "description": "", "type": "dataPrefix", "entries": entries})
}

fn definition(list: &str) -> Value {
    let sequence = |id, list_field, port_field| {
        json!({
            "sequenceId": id,
            "sequenceName": "steer",
            "sequenceType": "trafficEngineering",
            "sequenceIpType": "ipv4",
            "baseAction": "accept",
            "match": {"entries": [
                {"field": list_field, "ref": list},
                {"field": port_field, "value": "8080"},
                {"field": "protocol", "value": "17"},
            ]},
            "actions": [{"type": "set", "parameter": [{
                "field": "localTlocList",
                "value": {"color": "biz-internet", "encap": "ipsec", "restrict": ""},
            }]}],
        })
    };
    json!({
        "name": "steer",
        "type": "data",
        "description": "",
        "defaultAction": {"type": "accept"},
        "sequences": [
            sequence(1, "sourceDataPrefixList", "sourcePort"),
            sequence(11, "destinationDataPrefixList", "destinationPort"),
        ],
    })
}

/// Creates lists, a definition with both directions, and a policy; activates nothing.
async fn create(session: &Session<'_>) -> Steering {
    let servers = list(
        session,
        "dataprefix",
        "dataPrefix",
        "servers",
        json!([{"ipPrefix": "10.1.0.5/32"}]),
    )
    .await;
    let sites = list(session, "site", "site", "sites", json!([{"siteId": "1-2"}])).await;
    let vpns = list(session, "vpn", "vpn", "tenant", json!([{"vpn": "10"}])).await;
    let definition = text(&session.ok("POST", DATA, &definition(&servers)).await["definitionId"]);
    let entry = json!({"direction": "service", "siteLists": [sites], "vpnLists": [vpns]});
    let assembly = json!({"definitionId": definition, "type": "data", "entries": [entry]});
    let body = json!({
        "policyName": "central",
        "policyDescription": "",
        "policyType": "feature",
        "isPolicyActivated": false,
        "policyDefinition": {"assembly": [assembly], "regionRoleAssembly": []},
    });
    let policy = text(&session.ok("POST", VSMART, &body).await["policyId"]);
    Steering {
        servers,
        definition,
        policy,
    }
}

async fn activate(session: &Session<'_>, steering: &Steering, body: Value) -> Value {
    let path = format!("{VSMART}/activate/{}?confirm=true", steering.policy);
    let task = session.ok("POST", &path, &body).await;
    session.follow(&task).await
}

fn status_of(task: &Value) -> &Value {
    &task["data"][0]["statusId"]
}

async fn events(mut activity: Activities) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(record) = activity.next().await {
        assert!(record.unix_ns() > 1_500_000_000_000_000_000);
        events.push(record.event);
    }
    events
}

#[tokio::test]
async fn e2e_an_operator_steers_edits_and_leaves() {
    let (manager, edges) = start(Duration::ZERO).await;
    let activity = manager.activity();
    let session = Session::new(&manager).await;

    let steering = create(&session).await;
    assert_eq!(edges.applied(), 0, "creating must not touch edges");
    let task = activate(&session, &steering, json!({})).await;
    assert_eq!(status_of(&task), "success");
    assert_steered(&edges);

    add_a_server(&session, &steering, &edges).await;

    let path = format!("{VSMART}/deactivate/{}?confirm=true", steering.policy);
    let task = session.ok("POST", &path, &json!({})).await;
    assert_eq!(status_of(&session.follow(&task).await), "success");
    for site in [1, 2] {
        assert!(edges.in_force(site).unwrap().data.is_empty());
    }
    let path = format!("{VSMART}/{}", steering.policy);
    session.ok("DELETE", &path, &Value::Null).await;

    drop(session);
    manager.shutdown().await;
    assert_recorded(&events(activity).await);
}

fn assert_steered(edges: &MemoryEdges) {
    for site in [1, 2] {
        let policy = edges.in_force(site).unwrap();
        let [data] = policy.data.as_slice() else {
            panic!("not one data policy: {policy:?}")
        };
        assert_eq!(
            (data.service_vpn, data.direction),
            (10, PolicyDirection::FromService)
        );
        assert_eq!(data.default_action, DefaultAction::Accept);
        assert_eq!(data.sequences.len(), 2);
        for sequence in data.sequences.iter() {
            let Action::Accept {
                path: Some(DataPath::Local(tlocs)),
                ..
            } = &sequence.action
            else {
                panic!("not steered: {sequence:?}");
            };
            assert!(tlocs.restrict && tlocs.colors == ["biz-internet"]);
        }
    }
}

/// A second endpoint: nothing moves until the edit is activated.
async fn add_a_server(session: &Session<'_>, steering: &Steering, edges: &MemoryEdges) {
    let path = format!("{LISTS}/dataprefix/{}", steering.servers);
    let edited = session
        .ok("PUT", &path, &servers(&["10.1.0.5", "10.1.0.6"]))
        .await;
    let path = format!("{DATA}/{}", steering.definition);
    let joined = session.ok("PUT", &path, &definition(&steering.servers)).await;
    assert_eq!(joined, edited);
    let path = format!("{VSMART}/definition/{}", steering.policy);
    let central = session.ok("GET", &path, &Value::Null).await;
    let path = format!("{VSMART}/central/{}", steering.policy);
    assert_eq!(session.ok("PUT", &path, &central).await, edited);
    assert_eq!(edges.applied(), 2, "editing must not touch edges");

    let path = format!("{VSMART}/activate/central/{}?confirm=true", steering.policy);
    let body = json!({"isEdited": true, "processId": edited["processId"]});
    let task = session.ok("POST", &path, &body).await;
    assert_eq!(status_of(&session.follow(&task).await), "success");
    let policy = edges.in_force(2).unwrap();
    let sources = policy.data[0].sequences[0]
        .matching
        .source_prefixes
        .as_ref()
        .unwrap();
    assert_eq!(sources.len(), 2);
}

fn assert_recorded(events: &[Event]) {
    let count = |fits: fn(&Event) -> bool| events.iter().filter(|event| fits(event)).count();
    assert!(matches!(events[0], Event::LoggedIn { .. }));
    assert_eq!(count(|event| matches!(event, Event::Created { .. })), 5);
    assert_eq!(count(|event| matches!(event, Event::Updated { .. })), 3);
    assert_eq!(count(|event| matches!(event, Event::Pushed { .. })), 6);
    assert_eq!(count(|event| matches!(event, Event::TaskDone { .. })), 3);
    let ends = count(|event| {
        matches!(
            event,
            Event::PushStarted {
                change: Change::Deactivate,
                ..
            }
        )
    });
    assert_eq!(ends, 1);
    let last = Event::Deleted {
        kind: ObjectKind::VsmartPolicy,
        name: "central".to_owned(),
    };
    assert_eq!(events.last(), Some(&last));
}

#[tokio::test]
async fn e2e_a_refusing_edge_fails_the_task_by_its_site() {
    let (manager, edges) = start(Duration::ZERO).await;
    let session = Session::new(&manager).await;
    let steering = create(&session).await;
    edges.refuse(Some(2));
    let task = activate(&session, &steering, json!({})).await;
    assert_eq!(status_of(&task), "failure");
    assert_eq!(task["summary"]["count"], json!({"Failure": 1}));
    let activity = task["data"][0]["activity"].to_string();
    assert!(
        activity.contains("site 2: no space left") && activity.contains("applied by the WAN edge of site 1"),
        "{activity}"
    );
    let row = session
        .ok(
            "GET",
            &format!("{VSMART}/definition/{}", steering.policy),
            &Value::Null,
        )
        .await;
    assert_eq!(row["isPolicyActivated"], false);

    edges.refuse(None);
    assert_eq!(
        status_of(&activate(&session, &steering, json!({})).await),
        "success"
    );
}

#[tokio::test]
async fn e2e_a_running_push_is_seen_and_forbids_another() {
    let (manager, edges) = start(Duration::ZERO).await;
    let session = Session::new(&manager).await;
    let steering = create(&session).await;
    edges.hold();
    let path = format!("{VSMART}/activate/{}?confirm=true", steering.policy);
    let first = session.ok("POST", &path, &json!({})).await;
    let running = session
        .ok("GET", "/device/action/status/tasks", &Value::Null)
        .await;
    assert_eq!(running["runningTasks"][0]["processId"], first["id"]);
    let count = session
        .ok("GET", "/device/action/status/tasks/activeCount", &Value::Null)
        .await;
    assert_eq!(count["data"]["activeTaskCount"], 1);

    let second = session.ok("POST", &path, &json!({})).await;
    let refused = session.follow(&second).await;
    assert_eq!(refused["validation"]["statusId"], "validation_failure");
    assert!(
        refused["validation"]["activity"]
            .to_string()
            .contains("operation is already in progress")
    );
    let path = format!("{LISTS}/dataprefix/{}", steering.servers);
    let (status, answer) = session.send("PUT", &path, Some(&servers(&["10.1.0.7"]))).await;
    assert_eq!(
        (status, &answer["error"]["message"]),
        (400, &json!("Template locked in edit mode."))
    );

    edges.release();
    assert_eq!(status_of(&session.follow(&first).await), "success");
}

#[tokio::test]
async fn e2e_the_push_delay_is_kept_and_adds_nothing() {
    // Far more than an idle machine needs; a poll of a second would still show.
    let slack = Duration::from_millis(500);
    for delay in [Duration::ZERO, Duration::from_millis(40)] {
        let (manager, edges) = start(delay).await;
        let session = Session::new(&manager).await;
        let steering = create(&session).await;
        let begin = Instant::now();
        activate(&session, &steering, json!({})).await;
        let took = edges.last_applied() - begin;
        println!("activation with a push delay of {delay:?}: last edge after {took:?}");
        assert!(took >= delay && took < delay + slack, "{took:?}");
    }
}

#[tokio::test]
async fn e2e_an_ended_manager_touches_no_edge() {
    let (manager, edges) = start(Duration::from_secs(3600)).await;
    let session = Session::new(&manager).await;
    let steering = create(&session).await;
    let path = format!("{VSMART}/activate/{}?confirm=true", steering.policy);
    session.ok("POST", &path, &json!({})).await;
    let (client, address) = (client(&manager), url(&manager, "/"));
    assert!(client.get(&address).send().await.is_ok());
    drop(session);
    manager.shutdown().await;
    assert_eq!(edges.applied(), 0);
    assert_eq!(Arc::strong_count(&edges), 1, "a push outlived the Manager");
    assert!(client.get(&address).send().await.is_err());
}

#[tokio::test]
async fn e2e_no_body_is_answered_with_a_server_error() {
    let (manager, _edges) = start(Duration::ZERO).await;
    let session = Session::new(&manager).await;
    let steering = create(&session).await;
    let deep = "[".repeat(100_000);
    let bodies = [
        "",
        "null",
        "1",
        "\"x\"",
        "[]",
        "{",
        "{}",
        "{\"a\":1}",
        "\u{0}",
        "{\"name\":{\"name\":[]}}",
        deep.as_str(),
    ];
    let definition = format!("{DATA}/{}", steering.definition);
    let multiple = format!("{DATA}/multiple/{}", steering.definition);
    let policy = format!("{VSMART}/{}", steering.policy);
    let writes = [
        ("POST", "/template/policy/list/site"),
        ("POST", DATA),
        ("PUT", &definition),
        ("POST", VSMART),
        ("PUT", &policy),
        ("POST", "/template/policy/assembly/vsmart"),
        ("POST", "/template/policy/vsmart/activate/x"),
        ("POST", "/template/policy/definition/approute"),
        ("PUT", "/template/policy/definition/data/bulk"),
        ("PUT", &multiple),
        ("POST", "/template/policy/definition/data/preview"),
        ("POST", "/template/policy/list/dataprefix/preview"),
        ("POST", "/template/device/config/input"),
        ("POST", "/template/device/config/attachfeature"),
        ("POST", "/device/action/status/cancel/x"),
    ];
    for (method, path) in writes {
        for body in bodies {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let request = session
                .client
                .request(method, url(&manager, &format!("/dataservice{path}")));
            let answer = request
                .header("X-XSRF-TOKEN", &session.token)
                .body(body.to_owned())
                .send()
                .await
                .unwrap();
            let status = answer.status();
            let envelope: Value = answer.json().await.unwrap();
            assert!(status.is_client_error(), "{path} {body}: {status} {envelope}");
            assert_eq!(envelope["error"]["type"], "error");
        }
    }
}

#[tokio::test]
async fn e2e_every_listener_is_served_over_http1_and_http2() {
    let listeners = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let addresses = listeners
        .each_ref()
        .map(|listener| listener.local_addr().unwrap());
    let config = Config {
        listeners: listeners.into(),
        ..config()
    };
    let manager = Manager::start(config, Arc::new(MemoryEdges::default()))
        .await
        .unwrap();
    assert_eq!(manager.address(), addresses[0]);
    for (address, version) in [(addresses[0], Version::HTTP_2), (addresses[1], Version::HTTP_11)] {
        let builder = client_builder(&manager);
        let builder = if version == Version::HTTP_11 {
            builder.http1_only()
        } else {
            builder
        };
        let path = format!("https://{address}/dataservice/device");
        let answer = builder.build().unwrap().get(path).send().await.unwrap();
        assert_eq!(answer.version(), version);
        assert!(answer.text().await.unwrap().contains("<html>"), "the login page");
    }
}

#[tokio::test]
async fn a_contradicting_configuration_does_not_start() {
    let color = Device {
        colors: vec!["bizinternet".to_owned()],
        ..device(1)
    };
    let cases = [
        (
            Config {
                listeners: Vec::new(),
                ..config()
            },
            "serve the Manager without a listener",
        ),
        (
            Config {
                devices: vec![device(1), device(1)],
                ..config()
            },
            "manage two WAN edges of site 1",
        ),
        (
            Config {
                devices: vec![color],
                ..config()
            },
            "manage WAN edge `edge-1` with color `bizinternet`, which is not one of the 22 colors",
        ),
    ];
    for (config, message) in cases {
        let error = Manager::start(config, Arc::new(MemoryEdges::default()))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn the_password_is_not_in_debug_text() {
    assert!(!format!("{:?}", config()).contains(PASSWORD));
}
