//! Requests that are nearly right, sent to every route of the API as it is served, without the connection.
//!
//! Whatever comes is answered: never with a panic, never with a server error. What is refused has changed nothing, and
//! what is accepted reads back. `PROPTEST_CASES` says how many requests are made; the same number makes the same ones.

mod bodies;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use bodies::{Change, change, changed};
use world::{Kind, Object, Sent, World};

/// Unless the environment asks for more: a few seconds.
const CASES: u32 = 500;
/// So many requests meet what the ones before them left; the next ones find everything right again.
const CASES_OF_WORLD: u32 = 48;
/// Of so many clients at the same time.
const CLIENTS: usize = 8;

/// What the body of a request is made from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Body {
    /// None is needed.
    None,
    /// That of the object in the path, or one to add to the collection.
    Object,
    /// That of an activation.
    Release,
    /// A fault to inject.
    Fault,
}

/// A route: a method, a path and what its body is made from. `{...}` in a path stands for something that exists.
type Route = (&'static str, &'static str, Body);

/// Every route; a new one of the API is a new line here.
const ROUTES: [Route; 47] = [
    ("GET", "/dataservice/client/token?json=true", Body::None),
    ("GET", "/dataservice/client/server", Body::None),
    ("GET", "/dataservice/client/server/ready", Body::None),
    ("GET", "/dataservice/client/about", Body::None),
    ("GET", "/dataservice/device", Body::None),
    (
        "GET",
        "/dataservice/device/reachable?personality=vedge",
        Body::None,
    ),
    (
        "GET",
        "/dataservice/device/system/info?deviceId={device}",
        Body::None,
    ),
    ("GET", "/dataservice/system/device/vedges", Body::None),
    (
        "GET",
        "/dataservice/device/bfd/sessions?deviceId={device}",
        Body::None,
    ),
    (
        "GET",
        "/dataservice/device/bfd/summary?deviceId={device}",
        Body::None,
    ),
    (
        "GET",
        "/dataservice/device/app-route/statistics?deviceId={device}",
        Body::None,
    ),
    (
        "GET",
        "/dataservice/device/app-route/sla-class?deviceId={device}",
        Body::None,
    ),
    (
        "GET",
        "/dataservice/device/policy/approutepolicyfilter?deviceId={device}",
        Body::None,
    ),
    (
        "GET",
        "/dataservice/device/policy/datapolicyfilter?deviceId={device}",
        Body::None,
    ),
    (
        "GET",
        "/dataservice/device/tunnel/statistics?deviceId={device}",
        Body::None,
    ),
    ("GET", "/dataservice/device/action/status/tasks", Body::None),
    (
        "GET",
        "/dataservice/device/action/status/tasks/activeCount",
        Body::None,
    ),
    ("GET", "/dataservice/device/action/status/{task}", Body::None),
    ("GET", "/dataservice/template/policy/list", Body::None),
    ("GET", "/dataservice/template/policy/list/{lists}", Body::None),
    ("POST", "/dataservice/template/policy/list/{lists}", Body::Object),
    ("GET", "/dataservice/template/policy/list/{list}", Body::None),
    ("PUT", "/dataservice/template/policy/list/{list}", Body::Object),
    ("DELETE", "/dataservice/template/policy/list/{list}", Body::None),
    (
        "GET",
        "/dataservice/template/policy/definition/{definitions}",
        Body::None,
    ),
    (
        "POST",
        "/dataservice/template/policy/definition/{definitions}",
        Body::Object,
    ),
    (
        "GET",
        "/dataservice/template/policy/definition/{definition}",
        Body::None,
    ),
    (
        "PUT",
        "/dataservice/template/policy/definition/{definition}",
        Body::Object,
    ),
    (
        "DELETE",
        "/dataservice/template/policy/definition/{definition}",
        Body::None,
    ),
    ("GET", "/dataservice/template/policy/vsmart", Body::None),
    ("POST", "/dataservice/template/policy/vsmart", Body::Object),
    ("GET", "/dataservice/template/policy/vsmart/{policy}", Body::None),
    (
        "GET",
        "/dataservice/template/policy/vsmart/definition/{policy}",
        Body::None,
    ),
    (
        "GET",
        "/dataservice/template/policy/vsmart/connectivity/status",
        Body::None,
    ),
    (
        "PUT",
        "/dataservice/template/policy/vsmart/{policy}",
        Body::Object,
    ),
    (
        "PUT",
        "/dataservice/template/policy/vsmart/central/{policy}",
        Body::Object,
    ),
    (
        "DELETE",
        "/dataservice/template/policy/vsmart/{policy}",
        Body::None,
    ),
    (
        "POST",
        "/dataservice/template/policy/vsmart/activate/{policy}?confirm=true",
        Body::Release,
    ),
    (
        "POST",
        "/dataservice/template/policy/vsmart/activate/central/{policy}",
        Body::Release,
    ),
    (
        "POST",
        "/dataservice/template/policy/vsmart/deactivate/{policy}?confirm=true",
        Body::Release,
    ),
    (
        "POST",
        "/dataservice/template/policy/assembly/vsmart",
        Body::Object,
    ),
    (
        "GET",
        "/dataservice/template/policy/assembly/vsmart/{policy}",
        Body::None,
    ),
    ("PUT", "/dataservice/template/lock/{process}", Body::None),
    ("DELETE", "/dataservice/template/lock/{process}", Body::None),
    ("GET", "/pathproof/v1/state", Body::None),
    ("GET", "/pathproof/v1/faults", Body::None),
    ("POST", "/pathproof/v1/faults", Body::Fault),
];

/// A request, before it is known what exists.
#[derive(Debug, Clone)]
struct Case {
    route: Route,
    /// Which of the things that exist.
    object: Index,
    /// What stands in the path instead of what exists.
    stranger: Option<&'static str>,
    /// What is put to the query.
    query: Option<&'static str>,
    /// What becomes of the body, one after the other.
    changes: Vec<(Index, Change)>,
    /// How much of the body is sent, if not all: it is no JSON then.
    cut: Option<Index>,
    has_token: bool,
}

/// A route, those that change something more often than those that do not.
fn route() -> impl Strategy<Value = Route> {
    let weight = |route: &Route| if route.0 == "GET" { 1 } else { 4 };
    let weighted = ROUTES.iter().flat_map(|route| vec![*route; weight(route)]);
    prop::sample::select(weighted.collect::<Vec<_>>())
}

fn case() -> impl Strategy<Value = Case> {
    const STRANGERS: [&str; 8] = [
        "00000000-0000-4000-8000-000000000000",
        "%00",
        "%F0%9F%90%9B",
        "..",
        "site/x/y",
        "definition",
        "-1",
        "site%2F1",
    ];
    const QUERIES: [&str; 7] = [
        "",
        "deviceId",
        "deviceId=%FF",
        "deviceId=1&deviceId=2",
        "confirm=1",
        "json=1&json",
        "&&=&",
    ];
    let or_none =
        |share, of: &'static [&'static str]| prop::option::weighted(share, prop::sample::select(of));
    let changes = prop_oneof![
        3 => Just(0..=0_usize),
        4 => Just(1..=1),
        1 => Just(2..=4),
    ];
    let changes = changes.prop_flat_map(|count| prop::collection::vec(change(), count));
    let strategy = (
        route(),
        any::<Index>(),
        or_none(0.08, &STRANGERS),
        or_none(0.05, &QUERIES),
        changes,
        prop::option::weighted(0.03, any::<Index>()),
        prop::bool::weighted(0.98),
    );
    strategy.prop_map(|(route, object, stranger, query, changes, cut, has_token)| Case {
        route,
        object,
        stranger,
        query,
        changes,
        cut,
        has_token,
    })
}

/// The request of a case, and the object that it is about, if it is about one that exists.
fn request(world: &World, case: &Case, number: u32) -> (Sent, Option<Object>) {
    let (method, path, body) = case.route;
    let kind = match path {
        path if path.contains("{list") => Some(Kind::List),
        path if path.contains("{definition") => Some(Kind::Definition),
        path if path.contains("vsmart") => Some(Kind::Policy),
        _ => None,
    };
    let of_kind: Vec<&Object> = (world.objects.iter())
        .filter(|object| kind == Some(object.kind))
        .collect();
    let object = (!of_kind.is_empty()).then(|| (*case.object.get(&of_kind)).clone());
    let collection = object.as_ref().map_or("site", |object| object.collection);
    let place = object.as_ref().map_or_else(|| "site/1".to_owned(), Object::place);
    let or_stranger = |right: &str| case.stranger.unwrap_or(right).to_owned();
    let path = path
        .replace("{lists}", &or_stranger(collection))
        .replace("{definitions}", &or_stranger(collection))
        .replace("{list}", &or_stranger(&place))
        .replace("{definition}", &or_stranger(&place))
        .replace("{policy}", &or_stranger(&place))
        .replace("{task}", &or_stranger(&world.task))
        .replace("{process}", &or_stranger(&world.process))
        .replace("{device}", &or_stranger("10.255.0.1"));
    let path = match case.query {
        Some(query) => format!("{}?{query}", path.split('?').next().unwrap_or_default()),
        None => path,
    };
    let right = match (body, &object) {
        (Body::None, _) | (Body::Object, None) => Value::Null,
        (Body::Object, Some(object)) => {
            let mut body = object.body.clone();
            if method == "POST" {
                body[object.kind.name()] = json!(format!("new-{number}"));
            }
            body
        }
        (Body::Release, _) => match case.object.index(3) {
            0 => json!({}),
            1 => json!({"isEdited": true}),
            _ => json!({"isEdited": true, "processId": world.process}),
        },
        (Body::Fault, _) => json!({"fault": "failPushes", "count": 1, "sites": [100]}),
    };
    let nearly = (case.changes.iter()).fold(right, |body, (place, change)| changed(&body, place, change));
    let mut bytes = if body == Body::None {
        Vec::new()
    } else {
        nearly.to_string().into_bytes()
    };
    if let Some(cut) = &case.cut
        && !bytes.is_empty()
    {
        bytes.truncate(cut.index(bytes.len()));
    }
    let sent = Sent {
        method,
        path,
        body: bytes,
        has_token: case.has_token,
    };
    (sent, object)
}

/// Whether an answer is one that the API may give; whether it did what was asked.
fn accepted(sent: &Sent, status: u16, answer: &Value) -> bool {
    let refused = (400..500).contains(&status) && answer["error"]["type"] == "error";
    assert!(status == 200 || refused, "{}: {status} {answer}", shown(sent));
    status == 200
}

fn shown(sent: &Sent) -> String {
    format!(
        "{} {} {}",
        sent.method,
        sent.path,
        String::from_utf8_lossy(&sent.body)
    )
}

/// What was sent reads back.
fn check_written(sent: &Sent, found: &Value) {
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    for (key, value) in super::body::ObjectBody::new(body).unwrap().as_written() {
        // A description that is not given is empty.
        let is_default = value.is_null() && found[key] == "";
        assert!(
            is_default || found[key] == *value,
            "{key} of {}: {found}",
            shown(sent)
        );
    }
}

/// What became of requests.
#[derive(Default)]
struct Counts {
    read: u32,
    written: u32,
    refused: u32,
    pushed: u32,
}

/// Requests of one client, each of them checked.
async fn one_after_the_other(cases: u32) -> Counts {
    let mut runner = TestRunner::deterministic();
    let strategy = case();
    let mut counts = Counts::default();
    let mut number = 0;
    while number < cases {
        let mut world = World::new().await;
        let mut state = world.state().await;
        for _ in 0..CASES_OF_WORLD {
            number += 1;
            let case = strategy.new_tree(&mut runner).unwrap().current();
            let (sent, object) = request(&world, &case, number);
            let (status, answer) = world.send(&sent).await;
            if !accepted(&sent, status, &answer) {
                counts.refused += 1;
                assert_eq!(
                    world.state().await,
                    state,
                    "refused, and not without a trace: {}",
                    shown(&sent)
                );
                continue;
            }
            if sent.method == "GET" || sent.path.contains("/assembly/") || sent.path.contains("/lock/") {
                counts.read += 1;
                assert_eq!(world.state().await, state, "{}", shown(&sent));
                continue;
            }
            if sent.path.starts_with("/pathproof") {
                counts.written += 1;
                // What goes wrong from now on is wanted; the next requests are made in a world without it.
                break;
            }
            settle(&mut world, &sent, &answer, object, &mut counts).await;
            state = world.state().await;
        }
    }
    counts
}

/// Checks what an accepted write did, and notes what exists now.
async fn settle(world: &mut World, sent: &Sent, answer: &Value, object: Option<Object>, counts: &mut Counts) {
    if let Some(task) = answer["id"].as_str() {
        counts.pushed += 1;
        task.clone_into(&mut world.task);
        let ended = world.follow(task).await;
        assert_eq!(
            ended["data"][0]["statusId"],
            "success",
            "{}: {ended}",
            shown(sent)
        );
        return;
    }
    counts.written += 1;
    if let Some(process) = answer["processId"].as_str() {
        process.clone_into(&mut world.process);
    }
    let object = object.expect("what was written is about an object");
    match sent.method {
        "DELETE" => {
            world.objects.retain(|other| other.id != object.id);
            let gone = Sent {
                method: "GET",
                path: object.read(),
                body: Vec::new(),
                has_token: true,
            };
            assert_eq!(world.send(&gone).await.0, 404, "{}", shown(sent));
        }
        "POST" => {
            let id = world::id_of(answer).unwrap_or_else(|| panic!("{}: {answer}", shown(sent)));
            let body = serde_json::from_slice(&sent.body).unwrap();
            let new = Object { id, body, ..object };
            check_written(sent, &world.ok("GET", &new.read(), None).await);
            world.objects.push(new);
        }
        _ => check_written(sent, &world.ok("GET", &object.read(), None).await),
    }
}

fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(CASES)
}

#[tokio::test]
async fn nearly_right_requests_are_done_whole_or_not_at_all() {
    let cases = cases();
    let Counts {
        read,
        written,
        refused,
        pushed,
    } = one_after_the_other(cases).await;
    println!("{cases} requests: {read} read, {written} written, {pushed} pushed, {refused} refused");
    // Most of it would prove little if it were all refused at the door.
    let least = cases / 60;
    assert!(
        read > least && written > least && pushed > least && refused > least,
        "{read} read, {written} written, {pushed} pushed, {refused} refused"
    );
}

/// Whatever the order in which the requests of several clients come, what is left is consistent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_the_same_time_leave_nothing_half_done() {
    let mut runner = TestRunner::deterministic();
    let strategy = case();
    for round in 0..cases() / 24 {
        let world = Arc::new(World::new().await);
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..CLIENTS {
            let requests: Vec<Sent> = (0..3)
                .map(|turn| {
                    let case = strategy.new_tree(&mut runner).unwrap().current();
                    let number = round * 100 + u32::try_from(client * 3 + turn).unwrap();
                    request(&world, &case, number).0
                })
                .collect();
            let world = world.clone();
            clients.spawn(async move {
                for sent in requests {
                    let (status, answer) = world.send(&sent).await;
                    if accepted(&sent, status, &answer)
                        && let Some(task) = answer["id"].as_str()
                        && sent.path.contains("activate")
                    {
                        world.follow(task).await;
                    }
                }
            });
        }
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
        check_consistent(&world).await;
    }
}

/// Everything can be read, every reference leads somewhere, and the edges follow what is in force, if anything is.
async fn check_consistent(world: &World) {
    let state = world.state().await;
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let rows = |of: &'static str| state[of]["data"].as_array().unwrap().iter();
    known.extend(rows("lists").filter_map(|row| row["listId"].as_str()));
    let definitions = ["data", "approute"].map(|kind| state[kind].as_array().unwrap());
    let definitions: Vec<&Value> = definitions.into_iter().flatten().collect();
    known.extend(definitions.iter().filter_map(|row| row["definitionId"].as_str()));
    for row in &definitions {
        for reference in references(row) {
            assert!(known.contains(reference), "{reference} of {row} leads nowhere");
        }
    }
    let active: Vec<&Value> = rows("policies")
        .filter(|row| row["isPolicyActivated"] == true)
        .collect();
    assert!(active.len() <= 1, "{active:?}");
    for row in rows("policies") {
        let id = row["policyId"].as_str().unwrap();
        world
            .ok(
                "GET",
                &format!("/dataservice/template/policy/assembly/vsmart/{id}"),
                None,
            )
            .await;
    }
    let in_force = world.edges.in_force();
    assert!(
        !active.is_empty()
            || in_force
                .values()
                .all(|policy| policy.data.is_empty() && policy.app_route.is_empty()),
        "edges follow a policy that is not active: {in_force:?}"
    );
}

/// The ids in all `ref` of a value.
fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("ref").and_then(Value::as_str);
            own.into_iter()
                .chain(fields.values().flat_map(references))
                .collect()
        }
        Value::Array(elements) => elements.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
