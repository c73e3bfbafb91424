//! Bodies that are nearly right, sent to every collection: answered, never with a server error, and never half taken.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod manager_support;

use std::collections::BTreeMap;
use std::time::Duration;

use manager_support::{Session, start};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

const LISTS: &str = "/template/policy/list";
const DEFINITIONS: &str = "/template/policy/definition";
const VSMART: &str = "/template/policy/vsmart";
const CASES: usize = 400;

/// What becomes of one place of a body.
#[derive(Debug, Clone)]
enum Change {
    Replace(Value),
    Remove,
    Repeat,
}

/// An object that is right, and where it is.
struct Right {
    collection: String,
    id: String,
    body: Value,
}

fn junk() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("00000000-0000-4000-8000-000000000000")),
        Just(json!("mpls")),
        Just(json!("1")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,8}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn change() -> impl Strategy<Value = (Index, Index, Change)> {
    let change = prop_oneof![
        4 => junk().prop_map(Change::Replace),
        1 => Just(Change::Remove),
        1 => Just(Change::Repeat),
    ];
    (any::<Index>(), any::<Index>(), change)
}

/// The pointers to all places of a body but its root.
fn places(value: &Value, place: &str, found: &mut Vec<String>) {
    let mut inside = |key: &str, value: &Value| {
        let place = format!("{place}/{key}");
        places(value, &place, found);
        found.push(place);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| inside(key, value)),
        Value::Array(elements) => {
            let numbered = elements.iter().enumerate();
            numbered.for_each(|(index, value)| inside(&index.to_string(), value));
        }
        _ => {}
    }
}

fn changed(body: &Value, place: &Index, change: &Change) -> Value {
    let mut all = Vec::new();
    places(body, "", &mut all);
    let place = place.get(&all);
    let mut body = body.clone();
    let (parent, key) = place.rsplit_once('/').unwrap();
    match (change, body.pointer_mut(parent).unwrap()) {
        (Change::Remove, Value::Object(fields)) => drop(fields.remove(key)),
        (Change::Remove, Value::Array(elements)) => drop(elements.remove(key.parse().unwrap())),
        (Change::Repeat, Value::Array(elements)) => {
            elements.push(elements[key.parse::<usize>().unwrap()].clone());
        }
        (Change::Repeat, Value::Object(fields)) => {
            let value = fields[key].clone();
            fields.insert(format!("{key}2"), value);
        }
        (Change::Replace(junk), _) => *body.pointer_mut(place).unwrap() = junk.clone(),
        (_, parent) => unreachable!("a place is in an object or array, not in {parent}"),
    }
    body
}

async fn create(session: &Session<'_>, path: &str, body: Value) -> Right {
    let answer = session.ok("POST", path, &body).await;
    let id = answer.as_object().unwrap().values().next().unwrap();
    Right {
        collection: path.to_owned(),
        id: id.as_str().unwrap().to_owned(),
        body,
    }
}

/// A list of every kind, by its type.
type Lists = BTreeMap<&'static str, Right>;

async fn lists(session: &Session<'_>) -> Lists {
    let tier = |colors: &str| json!({"colorPreference": colors, "pathPreference": "all-paths"});
    let fallback = json!({"criteria": "loss", "lossVariance": "1"});
    let entries = [
        ("site", json!({"siteId": "1-2"})),
        ("vpn", json!({"vpn": "10"})),
        ("dataPrefix", json!({"ipPrefix": "10.1.0.0/16"})),
        ("dataIpv6Prefix", json!({"ipv6Prefix": "fd00::/64"})),
        (
            "sla",
            json!({"loss": "1", "latency": "9", "fallbackBestTunnel": fallback}),
        ),
        (
            "preferredColorGroup",
            json!({"primaryPreference": tier("mpls lte"), "secondaryPreference": tier("red")}),
        ),
        (
            "tloc",
            json!({"tloc": "10.0.0.1", "color": "mpls", "encap": "ipsec", "preference": "1"}),
        ),
        (
            "appProbe",
            json!({"forwardingClass": "voice", "map": [{"color": "mpls", "dscp": 46}]}),
        ),
    ];
    let mut lists = Lists::new();
    for (type_name, entry) in entries {
        let kind = type_name.to_lowercase();
        let body = json!({"name": kind, "description": "", "type": type_name, "entries": [entry]});
        lists.insert(type_name, create(session, &format!("{LISTS}/{kind}"), body).await);
    }
    lists
}

fn conditions(lists: &Lists) -> Value {
    json!([
        {"field": "sourceDataPrefixList", "ref": lists["dataPrefix"].id}, {"field": "destinationIp", "value": "10.0.0.0/8"},
        {"field": "sourcePort", "value": "80 443"}, {"field": "protocol", "value": "6"},
        {"field": "dscp", "value": "46"},
    ])
}

async fn data_definition(session: &Session<'_>, lists: &Lists) -> Right {
    let conditions = conditions(lists);
    let set =
        |fields: Value| json!([{"type": "set", "parameter": fields}, {"type": "count", "parameter": "c"}]);
    let data_sequence = |id: u16, entries: &Value, family: &str, fields: Value| {
        json!({
            "sequenceId": id, "sequenceName": "x", "sequenceType": "data", "sequenceIpType": family,
            "baseAction": "accept", "match": {"entries": entries}, "actions": set(fields),
        })
    };
    let local = json!({"color": "mpls lte", "encap": "ipsec", "restrict": ""});
    let service = json!({"type": "IDS", "vpn": "10", "local": ""});
    let v6 = json!([{"field": "sourceDataIpv6PrefixList", "ref": lists["dataIpv6Prefix"].id}]);
    let sequences = json!([
        data_sequence(
            1,
            &conditions,
            "ipv4",
            json!([{"field": "localTlocList", "value": local}])
        ),
        data_sequence(
            2,
            &v6,
            "ipv6",
            json!([{"field": "preferredColorGroup", "ref": lists["preferredColorGroup"].id, "colorRestrict": true}])
        ),
        data_sequence(
            3,
            &json!([]),
            "all",
            json!([{"field": "tlocList", "ref": lists["tloc"].id}])
        ),
        data_sequence(
            4,
            &json!([]),
            "all",
            json!([{"field": "service", "value": service}])
        ),
    ]);
    let accept = json!({"type": "accept"});
    let body = json!({"name": "d", "description": "", "type": "data", "defaultAction": accept, "sequences": sequences});
    create(session, &format!("{DEFINITIONS}/data"), body).await
}

async fn app_route_definition(session: &Session<'_>, lists: &Lists) -> Right {
    let conditions = conditions(lists);
    let class = json!({"type": "slaClass", "parameter": [
        {"field": "name", "ref": lists["sla"].id}, {"field": "preferredColorGroup", "ref": lists["preferredColorGroup"].id}, {"field": "strict"},
    ]});
    let app_route_sequence = |id: u16, actions: Value| {
        json!({
            "sequenceId": id, "sequenceType": "appRoute", "sequenceIpType": "ipv4",
            "match": {"entries": conditions}, "actions": actions,
        })
    };
    let sequences = json!([
        app_route_sequence(1, json!([class, {"type": "count", "parameter": "c"}])),
        app_route_sequence(
            2,
            json!([{"type": "backupSlaPreferredColor", "parameter": "mpls"}])
        ),
    ]);
    let default = json!({"type": "slaClass", "ref": lists["sla"].id});
    let body = json!({"name": "a", "description": "", "type": "appRoute", "defaultAction": default, "sequences": sequences});
    create(session, &format!("{DEFINITIONS}/approute"), body).await
}

/// One object of every kind, with all that it can say.
async fn world(session: &Session<'_>) -> Vec<Right> {
    let lists = lists(session).await;
    let data = data_definition(session, &lists).await;
    let app_route = app_route_definition(session, &lists).await;
    let entry = json!({"siteLists": [lists["site"].id], "vpnLists": [lists["vpn"].id]});
    let mut directed = entry.clone();
    directed["direction"] = json!("service");
    let assembly = json!([
        {"definitionId": app_route.id, "type": "appRoute", "entries": [entry]},
        {"definitionId": data.id, "type": "data", "entries": [directed]},
    ]);
    let body = json!({
        "policyName": "p", "policyDescription": "", "policyType": "feature",
        "policyDefinition": {"assembly": assembly, "regionRoleAssembly": []},
    });
    let policy = create(session, VSMART, body).await;
    let mut all = vec![policy, app_route, data];
    all.extend(lists.into_values());
    all
}

/// Sends a body and checks that the answer is an answer.
async fn answered(session: &Session<'_>, method: &str, path: &str, body: &Value) -> bool {
    let (status, answer) = session.send(method, path, Some(body)).await;
    let refused = (400..500).contains(&status) && answer["error"]["type"] == "error";
    assert!(
        status == 200 || refused,
        "{method} {path} {body}: {status} {answer}"
    );
    status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nearly_right_bodies_are_taken_whole_or_not_at_all() {
    let (manager, edges) = start(Duration::ZERO).await;
    let session = Session::new(&manager).await;
    let world = world(&session).await;
    let activate = format!("{VSMART}/activate/{}?confirm=true", world[0].id);
    let mut runner = TestRunner::deterministic();
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..CASES {
        let (which, place, change) = change().new_tree(&mut runner).unwrap().current();
        let right = which.get(&world);
        let body = changed(&right.body, &place, &change);
        let path = format!("{}/{}", right.collection, right.id);
        let before = session.ok("GET", &path, &Value::Null).await;
        if answered(&session, "PUT", &path, &body).await {
            taken += 1;
            // What was taken compiles, or activation says why not; then the right one is put back.
            let applied = edges.applied();
            let (status, task) = session
                .send("POST", &activate, Some(&json!({"isEdited": true})))
                .await;
            assert!(status == 200 || status == 400, "{body}: {status} {task}");
            if status == 200 {
                let ended = session.follow(&task).await;
                assert_eq!(ended["data"][0]["statusId"], "success", "{body}");
            } else {
                assert_eq!(
                    edges.applied(),
                    applied,
                    "a refused activation touched edges: {body}"
                );
            }
            session
                .ok(
                    "GET",
                    &format!("/template/policy/assembly/vsmart/{}", world[0].id),
                    &Value::Null,
                )
                .await;
            session.ok("PUT", &path, &right.body).await;
        } else {
            refused += 1;
            assert_eq!(session.ok("GET", &path, &Value::Null).await, before, "{body}");
        }
        answered(&session, "POST", "/template/policy/assembly/vsmart", &body).await;
        if let Change::Replace(process) = change
            && !process.is_null()
        {
            let body = json!({"isEdited": true, "processId": process});
            assert!(!answered(&session, "POST", &activate, &body).await, "{body}");
        }
    }
    assert!(
        taken > CASES / 20 && refused > CASES / 2,
        "{taken} taken, {refused} refused"
    );
    session.ok("POST", &activate, &json!({"isEdited": true})).await;
}
