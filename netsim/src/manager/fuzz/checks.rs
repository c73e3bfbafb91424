//! What has to hold of answers, of what was written, and of the whole.

use std::collections::BTreeSet;

use axum::http::header;
use serde_json::Value;

use super::routes::{Body, Route};
use super::world::{Answer, Kind, Object, Sent, World, id_of};
use crate::manager::body::ObjectBody;
use crate::policy::EdgePolicy;

/// Whether a request was done. Whatever was answered is one of the answers that there are: JSON or nothing, the envelope of
/// errors, and pages where clients expect them.
pub(super) fn accepted(sent: &Sent, answer: &Answer) -> bool {
    let path = sent.path.split('?').next().unwrap_or_default();
    let media_type = answer.headers.get(header::CONTENT_TYPE);
    let is_page = media_type.is_some_and(|found| found.as_bytes().starts_with(b"text/html"));
    let is_refused = (400..500).contains(&answer.status) && answer.json["error"]["type"] == "error";
    let is_nobody = sent.header.is_some_and(|(name, _)| name == "cookie");
    let is_answer = match answer.status {
        200 if is_page => is_nobody || ["/", "/welcome.html", "/j_security_check"].contains(&path),
        200 => !answer.json.is_null() || answer.text.is_empty() || path == "/dataservice/client/token",
        302 => path == "/logout",
        _ => is_refused,
    };
    assert!(is_answer, "{sent}: {answer:?}");
    let is_shown_out = is_page && is_nobody;
    !(is_refused || is_shown_out)
}

/// The task of what was pushed, if it was.
pub(super) fn task_of(body: Body, answer: &Value) -> Option<&str> {
    match body {
        Body::Release | Body::Attach => answer["id"].as_str(),
        Body::Deploy => answer["parentTaskId"].as_str(),
        _ => None,
    }
}

/// Checks what an accepted write did, and notes what exists now. Whether it was pushed, if it was to be.
pub(super) async fn settle(
    world: &mut World,
    route: &Route,
    (sent, answer): (&Sent, &Answer),
    object: Option<Object>,
) -> Option<bool> {
    if let Some(task) = task_of(route.body, &answer.json) {
        task.clone_into(&mut world.task);
        let ended = world.follow(task).await;
        // A deployment without all variables is refused by its task, and so is what edges do not carry out.
        let is_valid = ended["validation"]["statusId"] == "validation_success";
        let is_done = ended["data"][0]["statusId"] == "success";
        let is_emulated = !ended.to_string().contains("are not emulated by the edges");
        assert!(
            is_valid == is_done && (is_done || route.body == Body::Deploy || !is_emulated),
            "{sent}: {ended}"
        );
        return Some(is_done);
    }
    if let Some(process) = answer.json["processId"].as_str() {
        process.clone_into(&mut world.process);
    }
    let object = object.expect("what was written is about an object");
    match (route.body, sent.method) {
        (Body::Bulk, _) => check_bulk(world, sent, &object).await,
        (Body::Object, "POST") => {
            let id = id_of(&answer.json).unwrap_or_else(|| panic!("{sent}: {answer:?}"));
            let body = sent.body();
            let new = Object { body, ..object }.with_id(id);
            check_written(&new, &new.body, world).await;
            world.objects.push(new);
        }
        (Body::Object, _) => check_written(&object, &sent.body(), world).await,
        (Body::None, _) => {
            let id = object.named("id").to_owned();
            (world.objects)
                .retain(|other| ![other.named("id"), other.named("profile")].contains(&id.as_str()));
            let found = world.send(&Sent::new("GET", &object.read(), Vec::new())).await;
            // Clients take nothing as that there is no such group.
            let is_gone = found.status == 404 || object.kind == Kind::Group && found.text.is_empty();
            assert!(is_gone, "{sent}: {found:?}");
        }
        _ => {}
    }
    None
}

/// What was sent reads back.
async fn check_written(object: &Object, body: &Value, world: &World) {
    let found = world.ok("GET", &object.read(), None).await;
    match object.kind {
        Kind::List | Kind::Definition | Kind::Policy => check_keys(body, &found),
        Kind::Profile => assert_eq!(found["profileName"], body["name"], "{found}"),
        Kind::Parcel => assert_eq!(found["payload"], *body),
        Kind::Group => assert_eq!(found["name"], body["name"], "{found}"),
    }
}

fn check_keys(body: &Value, found: &Value) {
    for (key, value) in ObjectBody::new(body.clone()).unwrap().as_written() {
        // A description that is not given is empty.
        let is_default = value.is_null() && found[key] == "";
        assert!(is_default || found[key] == *value, "{key} of {body}: {found}");
    }
}

/// What was sent of one definition that was there before reads back.
async fn check_bulk(world: &World, sent: &Sent, object: &Object) {
    let body = sent.body();
    let [definition] = body["definitions"].as_array().unwrap().as_slice() else {
        return;
    };
    if definition["id"] == object.named("id") && definition["isCreate"] != true {
        let mut definition = definition.clone();
        let fields = definition.as_object_mut().unwrap();
        fields.retain(|key, _| !["id", "isCreate"].contains(&key.as_str()));
        check_written(object, &definition, world).await;
    }
}

/// Everything can be read, every reference leads somewhere, the edges follow what the Manager has noted, and unless a push
/// was cancelled none follows a policy that is not active.
pub(super) async fn check_consistent(world: &World, has_cancelled: bool) {
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
        let path = format!("/dataservice/template/policy/assembly/vsmart/{id}");
        world.ok("GET", &path, None).await;
    }
    let app = &world.manager.apps[0];
    let (store, told) = (app.store(), world.edges.in_force());
    for definition in store.objects().definitions() {
        let whole = store.objects().check_definition(definition);
        assert!(whole.is_ok(), "{}: {whole:?}", definition.name);
    }
    for device in &app.devices {
        let site_id = device.site_id;
        let none = EdgePolicy::none(site_id);
        let (vsmart, whole) = store.in_force().followed(site_id);
        assert_eq!(*told.get(&site_id).unwrap_or(&none), whole, "site {site_id}");
        let is_wanted = !active.is_empty() || has_cancelled || vsmart == none;
        assert!(
            is_wanted,
            "an edge follows a policy that is not active: {vsmart:?}"
        );
    }
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
