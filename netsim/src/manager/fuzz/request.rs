//! Requests that are nearly right, from routes and what exists.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::bodies::{Change, change, changed};
use super::groups::{to_edge, variables};
use super::routes::{self, Body, Of, Route, filled};
use super::world::{Object, PASSWORD, Sent, TENANT, USER, World, form};

/// A header, by name and value.
type Header = (&'static str, &'static str);

/// A request, before it is known what exists.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) route: Route,
    /// Which of the things that exist.
    pub(super) object: Index,
    /// What stands in one place of the path instead of what exists.
    stranger: Option<(Index, &'static str)>,
    /// What is put to the query.
    query: Option<&'static str>,
    /// What becomes of the body, one after the other.
    changes: Vec<(Index, Change)>,
    /// How much of the body is sent, if not all: it is no JSON then.
    cut: Option<Index>,
    header: Option<Header>,
    has_token: bool,
}

static STRANGERS: [&str; 10] = [
    "00000000-0000-4000-8000-000000000000",
    "%00",
    "%FF",
    "%F0%9F%90%9B",
    "..",
    "site%2Fx%2Fy",
    "definition",
    "-1",
    "site%2F1",
    "%",
];

static QUERIES: [&str; 13] = [
    "",
    "deviceId",
    "deviceId=%FF",
    "deviceId=1&deviceId=2",
    "deviceId=10.255.0.1&color=mpls",
    "confirm=1",
    "json=1&json",
    "&&=&",
    "query=%7B",
    "scrollId=1&count=2",
    "count=18446744073709551615&startId=18446744073709551615",
    "startDate=0000-00-00T00:00:00&endDate=9999-12-31T23:59:59&timeZone=Mars",
    "last_n_hours=18446744073709551615&limit=0&site-id=-1",
];

static HEADERS: [Header; 7] = [
    ("content-type", "text/plain"),
    ("content-type", "application/json; charset=utf-8"),
    ("vsessionid", "x"),
    ("authorization", "Bearer x"),
    ("authorization", "Basic x"),
    ("authorization", ""),
    ("cookie", "JSESSIONID"),
];

/// A route, those that change something more often than those that do not, and those that push the most often.
fn route() -> impl Strategy<Value = Route> {
    let weight = |route: &Route| match (route.method, route.body) {
        (_, Body::Release | Body::Attach | Body::Deploy) => 8,
        _ if route.path.starts_with(routes::CANCEL) => 8,
        ("GET", _) => 1,
        _ => 3,
    };
    let routes = routes::all().into_iter();
    let weighted = routes.flat_map(|route| vec![route.clone(); weight(&route)]);
    prop::sample::select(weighted.collect::<Vec<_>>())
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let changes = prop_oneof![
        3 => Just(0..=0_usize),
        4 => Just(1..=1),
        1 => Just(2..=4),
    ];
    let changes = changes.prop_flat_map(|count| prop::collection::vec(change(), count));
    let stranger = (any::<Index>(), prop::sample::select(&STRANGERS[..]));
    let strategy = (
        route(),
        any::<Index>(),
        prop::option::weighted(0.08, stranger),
        prop::option::weighted(0.05, prop::sample::select(&QUERIES[..])),
        changes,
        prop::option::weighted(0.03, any::<Index>()),
        prop::option::weighted(0.03, prop::sample::select(&HEADERS[..])),
        prop::bool::weighted(0.98),
    );
    strategy.prop_map(
        |(route, object, stranger, query, changes, cut, header, has_token)| Case {
            route,
            object,
            stranger,
            query,
            changes,
            cut,
            header,
            has_token,
        },
    )
}

/// The request of a case, and the object that it is about, if it is about one that exists.
pub(super) fn request(world: &World, case: &Case, number: u32) -> (Sent, Option<Object>) {
    let route = &case.route;
    let object = object(world, case);
    let right = right(world, case, object.as_ref(), number);
    let nearly = (case.changes.iter()).fold(right, |body, (place, change)| changed(&body, place, change));
    let in_query = route.body == Body::Search && route.method == "GET";
    let mut bytes = match route.body {
        Body::None => Vec::new(),
        Body::Form => form().into_bytes(),
        _ if in_query => Vec::new(),
        _ => nearly.to_string().into_bytes(),
    };
    if let Some(cut) = &case.cut
        && !bytes.is_empty()
    {
        bytes.truncate(cut.index(bytes.len()));
    }
    let query = match case.query {
        Some(query) => query.to_owned(),
        None if in_query => {
            let text = nearly.to_string();
            let query = utf8_percent_encode(&text, NON_ALPHANUMERIC);
            format!("{}&query={query}", route.query)
        }
        None => route.query.to_owned(),
    };
    let is_form = route.body == Body::Form;
    let sent = Sent {
        header: (case.header).or(is_form.then_some(("content-type", "application/x-www-form-urlencoded"))),
        has_token: case.has_token,
        ..Sent::new(
            route.method,
            &format!("{}?{query}", path(world, case, object.as_ref())),
            bytes,
        )
    };
    (sent, object)
}

fn object(world: &World, case: &Case) -> Option<Object> {
    let objects = world.objects.iter();
    let of_kind: Vec<&Object> = objects
        .filter(|object| case.route.of == Of::Object(object.kind))
        .collect();
    (!of_kind.is_empty()).then(|| (*case.object.get(&of_kind)).clone())
}

/// The path of a case; nothing is known of what it names if there is no such object.
fn path(world: &World, case: &Case, object: Option<&Object>) -> String {
    const NAMES: [&str; 6] = ["id", "kind", "type", "profile", "category", "process_id"];
    let mut names: Vec<(&str, String)> = match case.route.of {
        Of::Nothing => Vec::new(),
        Of::Object(_) => object.map(|object| object.names.clone()).unwrap_or_default(),
        Of::Task => vec![("id", world.task.clone())],
        Of::Edit => vec![("process_id", world.process.clone())],
        Of::Template => vec![("id", world.template.clone())],
        Of::Tenant => vec![("id", TENANT.to_owned())],
        Of::Fault => vec![("id", world.fault.clone())],
        Of::Word(words) => {
            let word = (*case.object.get(words)).to_owned();
            vec![("type", word.clone()), ("category", word)]
        }
    };
    if let Some((place, stranger)) = &case.stranger
        && !names.is_empty()
    {
        let place = place.index(names.len());
        (*stranger).clone_into(&mut names[place].1);
    }
    let names = names.iter().map(|(name, value)| (*name, value.as_str()));
    filled(&case.route.path, names.chain(NAMES.map(|name| (name, "none"))))
}

/// The body that a request has unless it is changed.
fn right(world: &World, case: &Case, object: Option<&Object>, number: u32) -> Value {
    match (case.route.body, object) {
        (Body::None | Body::Form, _) | (Body::Object | Body::Unsaved | Body::Bulk, None) => Value::Null,
        (Body::Object | Body::Unsaved, Some(object)) => {
            let mut body = object.body.clone();
            if case.route.method == "POST" {
                body[object.kind.name()] = json!(format!("new-{number}"));
            }
            body
        }
        (Body::Bulk, Some(object)) => {
            let mut body = object.body.clone();
            body["id"] = json!(object.named("id"));
            json!({"definitions": [body]})
        }
        (Body::Release, _) => match case.object.index(3) {
            0 => json!({}),
            1 => json!({"isEdited": true}),
            _ => json!({"isEdited": true, "processId": world.process}),
        },
        (Body::Input, _) => {
            json!({"templateId": world.template, "deviceIds": [world.controller], "isEdited": true, "isMasterEdited": false})
        }
        (Body::Attach, _) => {
            let device = json!({"csv-deviceId": world.controller, "csv-templateId": world.template});
            let template = json!({"templateId": world.template, "device": [device], "isEdited": true});
            json!({"deviceTemplateList": [template]})
        }
        (Body::Devices | Body::Deploy, _) => to_edge(),
        (Body::Variables, _) => variables(),
        (Body::Search, _) => search(),
        (Body::Password, _) => json!({"username": USER, "password": PASSWORD, "duration": 60}),
        (Body::Refresh, _) => json!({"refresh": world.refresh, "duration": 60}),
        (Body::Secret, _) => json!({"client_id": USER, "client_secret": PASSWORD, "token_duration": 60}),
        (Body::Fault, _) => json!({"fault": "failPushes", "count": 1, "sites": [100]}),
    }
}

/// Everything that a query of statistics can say.
fn search() -> Value {
    let rules = json!([
        {"field": "entry_time", "type": "date", "operator": "last_n_hours", "value": ["1"]},
        {"field": "loss_percentage", "type": "number", "operator": "less", "value": ["50"]},
        {"field": "local_color", "type": "string", "operator": "in", "value": ["default", "mpls"]},
    ]);
    json!({
        "query": {"condition": "AND", "rules": rules},
        "size": 5,
        "sort": [{"field": "entry_time", "type": "date", "order": "desc"}],
        "fields": ["entry_time", "name"],
        "aggregation": {
            "field": [{"property": "name", "sequence": 1, "size": 10, "order": "asc"}],
            "metrics": [{"property": "latency", "type": "avg", "order": "desc"}],
            "histogram": {"property": "entry_time", "type": "minute", "interval": 30, "order": "asc"},
        },
    })
}
