//! A stateful stand-in for the Manager, small enough to read: it stores what it is given, checks sessions, tokens,
//! references and the edit lock, records every call, and can be told to misbehave once.

#![allow(dead_code, reason = "each test binary uses its part of this module")]

mod groups;
mod sessions;
pub mod steering;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use sdwan_operator::manager::{Credentials, LoginKind, ManagerClient, Password, Patience, Trust, Url};
use secrecy::SecretString;
use serde_json::{Value, json};

pub use self::groups::Groups;
pub use self::sessions::Sessions;

pub const MARK: &str = "managed by sdwan-operator/ppo";

pub struct FakeManager {
    pub url: Url,
    state: Arc<Mutex<Shelf>>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
pub struct Shelf {
    /// Every request but those of a login, as `METHOD path`.
    pub calls: Vec<String>,
    /// Every request, since the start.
    pub attempts: Vec<String>,
    /// Those within a session with their bodies, since the start.
    pub requests: Vec<(String, Value)>,
    pub sessions: Sessions,
    /// List kind (path segment) and id to row.
    pub lists: BTreeMap<(String, String), Value>,
    pub definitions: BTreeMap<String, Value>,
    /// `policyDefinition` is kept as an object here.
    pub policies: BTreeMap<String, Value>,
    pub active: Option<String>,
    /// What the edges do, as of the last successful activation.
    pub in_force: String,
    pub lock: Option<String>,
    pub sites: Vec<&'static str>,
    pub faults: VecDeque<Fault>,
    /// The next requests that begin like these are done, and their replies torn.
    pub torn: VecDeque<&'static str>,
    /// The next tasks look like this; after that, like success.
    pub task_results: VecDeque<Value>,
    pub groups: Groups,
    /// Controllers are unreachable by the inventory.
    pub controller_offline: bool,
    /// So are edges.
    pub edges_offline: bool,
    /// Refuses calls that begin like the one and have the other in their body.
    pub refusing: Vec<(&'static str, &'static str)>,
    /// Answers to these calls, which the stand-in does not know itself.
    pub canned: BTreeMap<&'static str, Value>,
    /// After so many more requests are done, nothing is done or answered any more.
    pub cut: Option<usize>,
    /// The next request that begins like this is not answered.
    pub unanswered: Option<&'static str>,
    tasks: BTreeMap<String, Value>,
    issued: usize,
}

/// Answers the next matching request in place of the Manager.
pub struct Fault {
    pub call: &'static str,
    pub status: u16,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: String,
}

impl Fault {
    pub fn new(call: &'static str, status: u16, body: impl Into<String>) -> Self {
        Self {
            call,
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub fn locked(call: &'static str) -> Self {
        Self::new(call, 400, refusal("Template locked in edit mode."))
    }
}

pub fn refusal(message: &str) -> String {
    json!({ "error": { "message": message, "details": "", "type": "error", "code": "TEST0001" } }).to_string()
}

impl FakeManager {
    pub async fn start() -> Self {
        static CRYPTO: Once = Once::new();
        CRYPTO.call_once(|| {
            rustls::crypto::ring::default_provider()
                .install_default()
                .expect("no other provider is installed");
        });
        let state = Arc::new(Mutex::new(Shelf {
            sites: vec!["100", "200"],
            ..Shelf::default()
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let app = Router::new().fallback(answer).with_state(state.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, state, server }
    }

    pub fn client(&self) -> ManagerClient {
        self.client_with_password("secret")
    }

    pub fn client_with_password(&self, password: &str) -> ManagerClient {
        self.client_of(Password::Given(SecretString::from(password)), LoginKind::Auto)
    }

    pub fn client_of(&self, password: Password, login: LoginKind) -> ManagerClient {
        let credentials = Credentials {
            username: "admin".to_owned(),
            password,
            login,
        };
        let patience = Patience {
            request: Duration::from_secs(5),
            busy: Duration::from_millis(600),
            task: Duration::from_secs(5),
        };
        ManagerClient::new(&self.url, credentials, &Trust::Anything, patience).unwrap()
    }

    pub fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.state.lock().unwrap()
    }

    /// The writes since the last call of this.
    pub fn take_writes(&self) -> Vec<String> {
        let mut shelf = self.shelf();
        let calls = std::mem::take(&mut shelf.calls);
        assert!(
            calls.iter().all(|call| !call.contains("deactivate")),
            "deactivated: {calls:?}"
        );
        calls
            .into_iter()
            .filter(|call| !call.starts_with("GET"))
            .collect()
    }

    pub fn in_force(&self) -> String {
        self.shelf().in_force.clone()
    }

    pub fn list_names(&self) -> BTreeSet<String> {
        self.shelf()
            .lists
            .values()
            .map(|row| text(row, "name").to_owned())
            .collect()
    }

    pub fn expire_session(&self) {
        self.shelf().sessions.expire();
    }
}

impl Drop for FakeManager {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

async fn answer(State(state): State<Arc<Mutex<Shelf>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path_and_query().unwrap().as_str().to_owned();
    if let Some(response) = answer_or_cut(&state, &parts, &path, &body) {
        return response;
    }
    // The one who asked is dead.
    futures::future::pending().await
}

/// The answer, unless this is the last request that is done, or comes after it.
fn answer_or_cut(state: &Mutex<Shelf>, parts: &Parts, path: &str, body: &Bytes) -> Option<Response> {
    let call = format!("{} {path}", parts.method);
    let mut shelf = state.lock().unwrap();
    if shelf.cut == Some(0)
        || shelf
            .unanswered
            .take_if(|begin| call.starts_with(*begin))
            .is_some()
    {
        return None;
    }
    let response = shelf.answer(&parts.method, path, &parts.headers, body);
    if let Some(left) = &mut shelf.cut {
        *left -= 1;
        if *left == 0 {
            return None;
        }
    }
    Some(
        match shelf.torn.iter().position(|start| call.starts_with(start)) {
            Some(at) => {
                shelf.torn.remove(at);
                // The server closes a connection on which it cannot finish a body.
                let torn = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("torn"))]);
                response.map(|_| Body::from_stream(torn))
            }
            None => response,
        },
    )
}

fn reachability(offline: bool) -> &'static str {
    if offline { "unreachable" } else { "reachable" }
}

fn login_page() -> Response {
    Html("<html><form action=\"/j_security_check\"></form></html>").into_response()
}

fn refuse(status: u16, message: &str) -> Response {
    (StatusCode::from_u16(status).unwrap(), refusal(message)).into_response()
}

fn table<'a>(rows: impl Iterator<Item = &'a Value>) -> Response {
    axum::Json(json!({ "data": rows.collect::<Vec<_>>() })).into_response()
}

fn reply(value: Value) -> Response {
    axum::Json(value).into_response()
}

impl Shelf {
    pub fn id(&mut self) -> String {
        self.issued += 1;
        format!("id-{}", self.issued)
    }

    fn answer(&mut self, method: &Method, path: &str, headers: &HeaderMap, body: &Bytes) -> Response {
        let call = format!("{method} {path}");
        self.attempts.push(call.clone());
        if !["/j_security_check", "/jwt/login", "/dataservice/client/token"].contains(&path) {
            self.calls.push(call.clone());
        }
        if let Some(at) = self.faults.iter().position(|fault| call.starts_with(fault.call)) {
            let fault = self.faults.remove(at).unwrap();
            let mut response = (StatusCode::from_u16(fault.status).unwrap(), fault.body).into_response();
            for (name, value) in fault.headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            return response;
        }
        if let Some(response) = self.sessions.answer(method, path, headers, body) {
            return response;
        }
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body).unwrap()
        };
        let written = body.to_string();
        let refused = self.refusing.iter();
        let mut refused = refused.filter(|(start, word)| call.starts_with(start) && written.contains(word));
        if let Some((_, word)) = refused.next() {
            let words = format!("cannot take {}", word.trim_matches('"'));
            self.requests.push((call, body));
            return refuse(400, &words);
        }
        let canned = self.canned.get(call.as_str()).cloned();
        self.requests.push((call, body.clone()));
        if let Some(answer) = canned {
            return reply(answer);
        }
        let path = path
            .trim_start_matches("/dataservice")
            .trim_start_matches('/')
            .split('?')
            .next()
            .unwrap();
        let segments: Vec<&str> = path.split('/').collect();
        self.route(method, &segments, body)
    }

    fn route(&mut self, method: &Method, path: &[&str], body: Value) -> Response {
        match (method.as_str(), path) {
            (_, ["logout"]) => {
                self.sessions.expire();
                StatusCode::FOUND.into_response()
            }
            ("GET", ["device"]) => {
                let offline = self.edges_offline;
                let edge = |site: &&str| {
                    json!({
                        "personality": "vedge", "site-id": site, "uuid": format!("edge-{site}"),
                        "reachability": reachability(offline),
                    })
                };
                let edges = self.sites.iter().map(edge);
                let others = [json!({
                    "personality": "vsmart", "site-id": "1", "host-name": "vsmart1",
                    "reachability": reachability(self.controller_offline),
                })];
                reply(json!({ "data": edges.chain(others).collect::<Vec<_>>() }))
            }
            ("GET", ["device", "action", "status", task]) => reply(self.tasks[*task].clone()),
            (_, ["template", "policy", "list", kind, rest @ ..]) => {
                self.route_lists(method, kind, rest, body)
            }
            (
                _,
                [
                    "template",
                    "policy",
                    "definition",
                    kind @ ("data" | "approute"),
                    rest @ ..,
                ],
            ) => self.route_definitions(method, kind, rest, body),
            (_, ["template", "policy", "vsmart", rest @ ..]) => self.route_policies(method, rest, body),
            ("DELETE", ["template", "lock", id]) => {
                if self.lock.take_if(|lock| lock == id).is_none() {
                    return refuse(400, "Template edit request has expired");
                }
                reply(json!({}))
            }
            (_, ["v1", "feature-profile", "sdwan", rest @ ..]) => self.route_profiles(method, rest, body),
            (_, ["v1", "policy-group", rest @ ..]) => self.route_groups(method, rest, body),
            _ => refuse(404, &format!("no {path:?}")),
        }
    }

    fn route_lists(&mut self, method: &Method, kind: &str, path: &[&str], mut body: Value) -> Response {
        match (method.as_str(), path) {
            ("GET", []) => table(
                self.lists
                    .iter()
                    .filter(|((k, _), _)| k == kind)
                    .map(|(_, row)| row),
            ),
            ("POST", ["preview"]) => reply(json!({ "preview": format!("{kind} {}", text(&body, "name")) })),
            ("POST", []) => {
                let taken =
                    |((k, _), row): (&(String, String), &Value)| k == kind && row["name"] == body["name"];
                if self.lists.iter().any(taken) {
                    return refuse(400, "Duplicate policy name");
                }
                assert!(!body["entries"].as_array().unwrap().is_empty());
                let id = self.id();
                body["listId"] = json!(id);
                self.lists.insert((kind.to_owned(), id.clone()), body);
                reply(json!({ "listId": id }))
            }
            ("PUT", [id]) => self.edit(id, body, |shelf, mut body| {
                body["listId"] = json!(id);
                shelf.lists.insert((kind.to_owned(), (*id).to_owned()), body);
            }),
            ("DELETE", [id]) => {
                let used = |value: &Value| value.to_string().contains(&format!("\"{id}\""));
                if self.definitions.values().chain(self.policies.values()).any(used) {
                    return refuse(400, "Policy delete failed");
                }
                match self.lists.remove(&(kind.to_owned(), (*id).to_owned())) {
                    Some(_) => StatusCode::OK.into_response(),
                    None => refuse(404, "Failed to find specified resource"),
                }
            }
            _ => refuse(405, "method"),
        }
    }

    fn route_definitions(&mut self, method: &Method, kind: &str, path: &[&str], mut body: Value) -> Response {
        match (method.as_str(), path) {
            ("GET", []) => {
                let row = |row: &Value| {
                    json!({
                        "definitionId": row["definitionId"], "name": row["name"], "description": row["description"]
                    })
                };
                let of_kind = self.definitions.values();
                let of_kind = of_kind.filter(|row| text(row, "type").eq_ignore_ascii_case(kind));
                let rows: Vec<_> = of_kind.map(row).collect();
                table(rows.iter())
            }
            ("GET", [id]) => reply(self.definitions[*id].clone()),
            ("POST", ["preview"]) => reply(json!({ "preview": format!("{kind} {}", text(&body, "name")) })),
            ("DELETE", [id]) => {
                let used = |policy: &Value| policy.to_string().contains(&format!("\"{id}\""));
                if self.policies.values().any(used) {
                    return refuse(400, "Policy delete failed");
                }
                match self.definitions.remove(*id) {
                    Some(_) => StatusCode::OK.into_response(),
                    None => refuse(404, "Failed to find specified resource"),
                }
            }
            ("POST", []) => {
                let id = self.id();
                body["definitionId"] = json!(id);
                self.definitions.insert(id.clone(), body);
                reply(json!({ "definitionId": id }))
            }
            ("PUT", [id]) => self.edit(id, body, |shelf, mut body| {
                body["definitionId"] = json!(id);
                shelf.definitions.insert((*id).to_owned(), body);
            }),
            _ => refuse(405, "method"),
        }
    }

    fn route_policies(&mut self, method: &Method, path: &[&str], mut body: Value) -> Response {
        match (method.as_str(), path) {
            ("GET", []) => {
                let rows: Vec<_> = self
                    .policies
                    .iter()
                    .map(|(id, policy)| {
                        let mut row = policy.clone();
                        row["policyDefinition"] = json!(policy["policyDefinition"].to_string());
                        row["isPolicyActivated"] = json!(self.active.as_ref() == Some(id));
                        row
                    })
                    .collect();
                table(rows.iter())
            }
            ("POST", []) => {
                let id = self.id();
                body["policyId"] = json!(id);
                self.policies.insert(id.clone(), body);
                reply(json!({ "policyId": id }))
            }
            ("PUT", [id] | ["central", id]) => {
                body["policyId"] = json!(id);
                self.policies.insert((*id).to_owned(), body);
                reply(json!({ "processId": self.lock }))
            }
            ("POST", ["activate", id] | ["activate", "central", id]) => self.activate(id, &body),
            ("POST", ["deactivate", id]) => self.deactivate(id),
            ("DELETE", [id]) if self.active.as_deref() == Some(id) => refuse(400, "Policy is active"),
            ("DELETE", [id]) => match self.policies.remove(*id) {
                Some(_) => StatusCode::OK.into_response(),
                None => refuse(404, "Failed to find specified resource"),
            },
            _ => refuse(405, "method"),
        }
    }

    fn edit(&mut self, id: &str, body: Value, store: impl FnOnce(&mut Self, Value)) -> Response {
        let in_force = self
            .active
            .as_ref()
            .is_some_and(|active| self.parts(active).contains(&format!("\"{id}\"")));
        if !in_force {
            store(self, body);
            return reply(json!({ "masterTemplatesAffected": [] }));
        }
        if self.lock.is_some() && self.lock.as_deref() != body["processId"].as_str() {
            return refuse(400, "Template locked in edit mode.");
        }
        store(self, body);
        if self.lock.is_none() {
            self.lock = Some(format!("process-{}", self.id()));
        }
        reply(json!({ "masterTemplatesAffected": [self.active], "processId": self.lock }))
    }

    fn parts(&self, policy: &str) -> String {
        let mut parts = self.policies[policy].to_string();
        let in_policy = parts.clone();
        for definition in self
            .definitions
            .iter()
            .filter(|(id, _)| in_policy.contains(id.as_str()))
        {
            write!(parts, "{}", definition.1).unwrap();
        }
        parts
    }

    fn activate(&mut self, id: &str, body: &Value) -> Response {
        let given = body["processId"].as_str();
        if given.is_some() && given != self.lock.as_deref() {
            return refuse(400, "Template edit request has expired");
        }
        let edited = body["isEdited"] == true;
        if self.lock.is_some() && !edited {
            return refuse(400, "Template locked in edit mode.");
        }
        let task = format!("vsmart_policy_config-{}", self.id());
        if self.finish(&task) {
            self.lock = None;
            self.active = Some(id.to_owned());
            self.in_force = self.compiled(id);
        }
        reply(json!({ "id": task }))
    }

    fn deactivate(&mut self, id: &str) -> Response {
        if self.lock.is_some() {
            return refuse(400, "Template locked in edit mode.");
        }
        let task = format!("vsmart_policy_config-{}", self.id());
        if self.finish(&task) {
            self.active.take_if(|active| active == id);
            self.in_force.clear();
        }
        reply(json!({ "id": task }))
    }

    /// Ends a task as it was told to; whether that is a success.
    fn finish(&mut self, task: &str) -> bool {
        let result = self.task_results.pop_front().unwrap_or_else(|| {
            json!({
                "data": [{ "host-name": "vsmart1", "statusId": "success" }],
                "validation": { "statusId": "validation_success" }, "summary": { "status": "done" },
            })
        });
        let success = result["data"][0]["statusId"] == "success";
        self.tasks.insert(task.to_owned(), result);
        success
    }

    /// What the edges do under a policy, one line for each sequence.
    fn compiled(&self, policy: &str) -> String {
        let entries = |id: &Value| -> String {
            let (_, list) = self
                .lists
                .iter()
                .find(|((_, list), _)| id == list.as_str())
                .expect("a known list");
            let entries = list["entries"].as_array().unwrap().iter();
            let values = entries.flat_map(|entry| entry.as_object().unwrap().values());
            let texts = values.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            texts.collect::<Vec<_>>().join(" ")
        };
        let mut lines = String::new();
        for element in self.policies[policy]["policyDefinition"]["assembly"]
            .as_array()
            .unwrap()
        {
            let Some(definition) = self.definitions.get(text(element, "definitionId")) else {
                continue;
            };
            let place = &element["entries"][0];
            let (sites, vpns) = (entries(&place["siteLists"][0]), entries(&place["vpnLists"][0]));
            writeln!(lines, "sites {sites} vpn {vpns} {}", text(place, "direction")).unwrap();
            for sequence in definition["sequences"].as_array().unwrap() {
                for entry in sequence["match"]["entries"].as_array().unwrap() {
                    let value = entry
                        .get("ref")
                        .map_or_else(|| text(entry, "value").to_owned(), &entries);
                    write!(lines, "{} {value}, ", text(entry, "field")).unwrap();
                }
                let parameters = sequence["actions"][0]["parameter"]
                    .as_array()
                    .into_iter()
                    .flatten();
                let says = parameters.map(|parameter| match (parameter.get("ref"), &parameter["value"]) {
                    (Some(list), _) => format!("{} {}", text(parameter, "field"), entries(list)),
                    (None, tlocs @ Value::Object(_)) if tlocs.get("color").is_some() => {
                        let restrict = tlocs.get("restrict").map_or("", |_| " restrict");
                        format!("{}{restrict}", text(tlocs, "color"))
                    }
                    _ => parameter.to_string(),
                });
                writeln!(lines, "{}", says.collect::<Vec<_>>().join(", ")).unwrap();
            }
            writeln!(lines, "default {}", text(&definition["defaultAction"], "type")).unwrap();
        }
        lines
    }
}
