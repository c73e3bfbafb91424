//! Bodies of feature profiles and policy groups that are nearly right: answered, never with a server error, and never half
//! taken.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod manager_support;

use std::time::Duration;

use manager_support::changes::{answered, change, changed};
use manager_support::{Session, start};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

const PROFILES: &str = "/v1/feature-profile/sdwan/application-priority";
const OBJECTS: &str = "/v1/feature-profile/sdwan/policy-object";
const GROUPS: &str = "/v1/policy-group";
const EDGE: &str = "C8K-10.255.0.1";
const CASES: usize = 600;

/// A body that is right, and where it goes.
struct Right {
    method: &'static str,
    path: String,
    /// Where what it says is read again.
    read: String,
    body: Value,
}

fn global(value: impl Into<Value>) -> Value {
    json!({ "optionType": "global", "value": value.into() })
}

fn refer(id: &str) -> Value {
    json!({ "refId": global(id) })
}

async fn create(session: &Session<'_>, collection: &str, body: Value, found: &mut Vec<Right>) -> String {
    let answer = session.ok("POST", collection, &body).await;
    let id = answer
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned();
    found.push(Right {
        method: "PUT",
        path: format!("{collection}/{id}"),
        read: format!("{collection}/{id}"),
        body,
    });
    id
}

/// A policy object of every kind, by kind.
async fn objects(session: &Session<'_>, found: &mut Vec<Right>) -> impl Fn(&str) -> String + use<> {
    let profile = create(
        session,
        OBJECTS,
        json!({ "name": "objects", "description": "" }),
        found,
    )
    .await;
    let tier =
        |colors: Value| json!({ "colorPreference": global(colors), "pathPreference": global("all-paths") });
    let best = json!({ "criteria": global("loss"), "lossVariance": global(1) });
    let hub = json!({ "tloc": global("10.0.0.1"), "color": global("mpls"), "encap": global("ipsec"), "preference": global("1") });
    let probe = json!({ "map": [{ "color": global("mpls"), "dscp": global(46) }], "forwardingClass": global("voice") });
    let kinds = [
        (
            "data-prefix",
            json!([{ "ipv4Address": global("10.1.0.0"), "ipv4PrefixLength": global(16) }]),
        ),
        (
            "data-ipv6-prefix",
            json!([{ "ipv6Address": global("fd00::"), "ipv6PrefixLength": global(64) }]),
        ),
        (
            "sla-class",
            json!([{ "loss": global(1), "latency": global(9), "fallbackBestTunnel": best }]),
        ),
        (
            "preferred-color-group",
            json!([{ "primaryPreference": tier(json!(["mpls", "lte"])), "secondaryPreference": tier(json!(["red"])) }]),
        ),
        ("tloc", json!([hub])),
        ("app-probe", json!([probe])),
        ("color", json!([{ "color": global("mpls") }])),
        ("class", json!([{ "queue": global("3") }])),
        (
            "policer",
            json!([{ "burst": global(15000), "exceed": global("drop"), "rate": global(8) }]),
        ),
    ];
    let mut ids = Vec::new();
    for (kind, entries) in kinds {
        let body = json!({ "name": kind, "description": "", "data": { "entries": entries } });
        ids.push((
            kind,
            create(session, &format!("{OBJECTS}/{profile}/{kind}"), body, found).await,
        ));
    }
    move |kind| ids.iter().find(|(known, _)| *known == kind).unwrap().1.clone()
}

fn traffic_policy(object: impl Fn(&str) -> String) -> Value {
    let object = |kind: &str| refer(&object(kind));
    let entries = json!([
        { "sourceDataPrefixList": object("data-prefix") },
        { "destinationIp": global("10.0.0.0/8") },
        { "sourcePort": global(json!(["80", "443-500"])) },
        { "protocol": global(json!(["6"])) },
        { "dscp": global(json!([46])) },
    ]);
    let sla = json!([
        { "slaName": object("sla-class") },
        { "preferredColorGroup": object("preferred-color-group") },
        { "preferredColorGroupRestrict": global(true) },
        { "fallbackToBestPath": global(true) },
    ]);
    let uplink = json!({ "optionType": "variable", "value": "{{uplink}}" });
    let local =
        json!({ "color": uplink, "restrict": global(global(true)), "encap": global(json!(["ipsec"])) });
    let service = json!({ "type": global("IDS"), "vpn": global(10), "local": global(true) });
    let sequence = |id: u16, family: &str, entries: &Value, actions: Value| {
        json!({
            "sequenceId": global(id), "sequenceName": global("x"), "baseAction": global("accept"),
            "sequenceIpType": global(family), "match": { "entries": entries }, "actions": actions,
        })
    };
    let v6 = json!([{ "sourceDataIpv6PrefixList": object("data-ipv6-prefix") }]);
    let none = json!([]);
    let sequences = json!([
        sequence(
            1,
            "ipv4",
            &entries,
            json!([{ "slaClass": sla }, { "count": global("c") }, { "set": [{ "localTlocList": local }] }])
        ),
        sequence(
            2,
            "ipv6",
            &v6,
            json!([{ "backupSlaPreferredColor": global(json!(["mpls"])) }, { "log": global(true) }])
        ),
        sequence(
            3,
            "all",
            &none,
            json!([{ "set": [{ "tlocList": object("tloc") }] }])
        ),
        sequence(4, "all", &none, json!([{ "set": [{ "service": service }] }])),
    ]);
    json!({ "name": "tp", "description": "", "data": {
        "dataDefaultAction": global("accept"),
        "target": { "vpn": global(json!(["VPN10"])), "direction": global("service") },
        "sequences": sequences,
    } })
}

/// Everything that a group is made of, with all that it can say; the id of the group is last.
async fn world(session: &Session<'_>) -> (Vec<Right>, String) {
    let mut found = Vec::new();
    let object = objects(session, &mut found).await;
    let names = json!({ "name": "priorities", "description": "" });
    let profile = create(session, PROFILES, names, &mut found).await;
    let path = format!("{PROFILES}/{profile}/traffic-policy");
    create(session, &path, traffic_policy(object), &mut found).await;
    let body =
        json!({ "name": "g", "description": "", "solution": "sdwan", "profiles": [{ "id": profile }] });
    let group = create(session, GROUPS, body, &mut found).await;
    let devices = format!("{GROUPS}/{group}/device");
    let associate = json!({ "devices": [{ "id": EDGE }] });
    session
        .ok("POST", &format!("{devices}/associate"), &associate)
        .await;
    let values = json!([{ "name": "uplink", "value": ["mpls"] }]);
    let variables = json!({ "solution": "sdwan", "devices": [{ "device-id": EDGE, "variables": values }] });
    session
        .ok("PUT", &format!("{devices}/variables"), &variables)
        .await;
    for (what, body) in [("associate", associate), ("variables", variables)] {
        found.push(Right {
            method: "PUT",
            path: format!("{devices}/{what}"),
            read: format!("{devices}/{what}"),
            body,
        });
    }
    (found, group)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nearly_right_bodies_are_taken_whole_or_not_at_all() {
    let (manager, edges) = start(Duration::ZERO).await;
    let session = Session::new(&manager).await;
    let (world, group) = world(&session).await;
    let deploy = format!("{GROUPS}/{group}/device/deploy");
    let preview = format!("{GROUPS}/{group}/device/{EDGE}/preview");
    let to_edge = json!({ "devices": [{ "id": EDGE }] });
    let mut runner = TestRunner::deterministic();
    let (mut taken, mut refused, mut deployed) = (0, 0, 0);
    for _ in 0..CASES {
        let (which, place, change) = change().new_tree(&mut runner).unwrap().current();
        let right = which.get(&world);
        let body = changed(&right.body, &place, &change);
        let before = session.ok("GET", &right.read, &Value::Null).await;
        if !answered(&session, right.method, &right.path, &body).await {
            refused += 1;
            assert_eq!(
                session.ok("GET", &right.read, &Value::Null).await,
                before,
                "{body}"
            );
            continue;
        }
        taken += 1;
        // What was taken is deployed, or the deployment says why not and touches nothing.
        let applied = edges.applied();
        let (status, answer) = session.send("POST", &deploy, Some(&to_edge)).await;
        assert!(status == 200 || status == 400, "{body}: {status} {answer}");
        if status == 200 {
            let ended = session.follow(&json!({ "id": answer["parentTaskId"] })).await;
            let valid = ended["validation"]["statusId"] == "validation_success";
            assert_eq!(
                ended["data"][0]["statusId"] == "success",
                valid,
                "{body}: {ended}"
            );
            deployed += usize::from(valid);
        } else {
            assert_eq!(
                edges.applied(),
                applied,
                "a refused deployment touched edges: {body}"
            );
        }
        answered(&session, "POST", &preview, &json!({})).await;
        session.ok(right.method, &right.path, &right.body).await;
        answered(&session, "POST", &deploy, &body).await;
    }
    assert!(
        taken > CASES / 20 && refused > CASES / 2 && deployed > CASES / 40,
        "{taken} taken, {refused} refused, {deployed} deployed"
    );
}
