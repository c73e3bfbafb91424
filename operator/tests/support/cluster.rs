//! A cluster that stores what it is given, behind a `kube::Client` without any socket.
//!
//! It knows lists, watches, gets, creates, replacements, patches, deletion and the status subresource of any resource,
//! checks resource versions, allows what the checked-in roles allow, and can be told to misbehave.

#![allow(dead_code, reason = "each test binary uses its part of this module")]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::rbac::Access;

pub const SERVICES: &str = "/api/v1/services";
pub const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
pub const NAMESPACES: &str = "/api/v1/namespaces";
pub const LEASES: &str = "/apis/coordination.k8s.io/v1/leases";
pub const EVENTS: &str = "/apis/events.k8s.io/v1/events";
pub const POLICIES: &str = "/apis/sdwan.pathproof.dev/v1alpha1/steeringpolicies";
pub const TUNNELS: &str = "/apis/sdwan.pathproof.dev/v1alpha1/wantunnels";
const CUSTOM: &str = "/apis/sdwan.pathproof.dev/";

#[derive(Clone)]
pub struct FakeCluster {
    inner: Arc<Mutex<Inner>>,
    revision: watch::Sender<u64>,
    /// Requests that begin like one of these are not answered.
    held: watch::Sender<BTreeSet<&'static str>>,
    /// Counts up when all watches are to break off.
    breaks: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    revision: u64,
    objects: BTreeMap<Key, Value>,
    log: Vec<(u64, String, Value)>,
    /// Watches from before this revision are gone.
    oldest: u64,
    custom_resources: bool,
    /// Every request fails.
    fails: bool,
    /// Every request, as `METHOD path?query`.
    requests: Vec<String>,
    /// What was asked for, and whether the roles allow it.
    accesses: BTreeMap<Access, bool>,
}

/// An object: path of the collection of all namespaces, namespace, name.
type Key = (String, String, String);

/// What a path names.
struct Target {
    collection: String,
    kube_namespace: String,
    name: Option<String>,
    subresource: Option<String>,
}

impl Target {
    fn of(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let prefix = match segments.first()? {
            &"api" => 2,
            _ => 3,
        };
        let (head, rest) = segments.split_at_checked(prefix)?;
        let (kube_namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let [resource, rest @ ..] = rest else { return None };
        Some(Self {
            collection: format!("/{}/{resource}", head.join("/")),
            kube_namespace: kube_namespace.to_owned(),
            name: rest.first().map(|&name| name.to_owned()),
            subresource: rest.get(1).map(|&name| name.to_owned()),
        })
    }

    fn access(&self, method: &Method, watch: bool) -> Access {
        let (prefix, resource) = self.collection.rsplit_once('/').unwrap();
        let group = prefix
            .strip_prefix("/apis/")
            .and_then(|rest| rest.split('/').next());
        let resource = [Some(resource), self.subresource.as_deref()];
        Access {
            verb: Access::verb(method, self.name.is_some(), watch),
            group: group.unwrap_or_default().to_owned(),
            resource: resource.into_iter().flatten().collect::<Vec<_>>().join("/"),
            kube_namespace: self.kube_namespace.clone(),
            name: self.name.clone().unwrap_or_default(),
        }
    }

    fn key(&self) -> Key {
        let name = self.name.clone().unwrap_or_default();
        (self.collection.clone(), self.kube_namespace.clone(), name)
    }
}

impl FakeCluster {
    /// A cluster with the operator's own resources installed.
    pub fn new() -> Self {
        let cluster = Self::without_custom_resources();
        cluster.lock().custom_resources = true;
        cluster
    }

    pub fn without_custom_resources() -> Self {
        Self {
            inner: Arc::default(),
            revision: watch::Sender::new(0),
            held: watch::Sender::default(),
            breaks: watch::Sender::new(0),
        }
    }

    pub fn client(&self) -> kube::Client {
        kube::Client::new(Router::new().fallback(answer).with_state(self.clone()), "default")
    }

    pub fn service(&self, name: &str, annotations: &[(&str, &str)]) {
        let annotations: BTreeMap<_, _> = annotations
            .iter()
            .map(|(key, value)| (format!("policy.sdwan.cisco.com/{key}"), *value))
            .collect();
        self.put(
            SERVICES,
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": name, "namespace": "shop", "uid": name, "annotations": annotations },
                "spec": { "ports": [{ "name": "http", "port": 80, "targetPort": "http" }] },
            }),
        );
    }

    /// One EndpointSlice of a Service; not ready are those that start with `!`.
    pub fn endpoints(&self, service: &str, addresses: &[&str]) {
        let endpoint = |address: &&str| {
            let bare = address.trim_start_matches('!');
            json!({ "addresses": [bare], "conditions": { "ready": bare.len() == address.len() } })
        };
        self.put(
            SLICES,
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {
                    "name": format!("{service}-x"), "namespace": "shop",
                    "labels": { "kubernetes.io/service-name": service },
                },
                "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
                "endpoints": addresses.iter().map(endpoint).collect::<Vec<_>>(),
            }),
        );
    }

    pub fn namespace(&self, annotations: &[(&str, &str)]) {
        let annotations: BTreeMap<_, _> = annotations
            .iter()
            .map(|(key, value)| (format!("policy.sdwan.cisco.com/{key}"), *value))
            .collect();
        self.put(
            NAMESPACES,
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": "shop", "uid": "shop", "annotations": annotations },
            }),
        );
    }

    /// A SteeringPolicy that somebody wrote for a Service.
    pub fn policy(&self, service: &str, mut spec: Value) {
        spec["serviceRef"] = json!({ "name": service });
        self.put(
            POLICIES,
            json!({
                "apiVersion": "sdwan.pathproof.dev/v1alpha1", "kind": "SteeringPolicy",
                "metadata": { "name": service, "namespace": "shop", "uid": service, "generation": 1 },
                "spec": spec,
            }),
        );
    }

    pub fn delete_service(&self, name: &str) {
        self.delete(SERVICES, "shop", name);
    }

    pub fn events(&self) -> Vec<Value> {
        self.all(EVENTS)
    }

    /// Leaves lists of EndpointSlices unanswered.
    pub fn hold_slices(&self, hold: bool) {
        self.hold("GET /apis/discovery.k8s.io/v1/endpointslices", hold);
    }

    /// Leaves requests that begin like this, as `METHOD path?query`, unanswered.
    pub fn hold(&self, call: &'static str, hold: bool) {
        self.held.send_modify(|held| {
            if hold {
                held.insert(call);
            } else {
                held.remove(call);
            }
        });
    }

    /// Breaks all watches off.
    pub fn break_watches(&self) {
        self.breaks.send_modify(|breaks| *breaks += 1);
    }

    /// Has every request fail.
    pub fn fail(&self, fails: bool) {
        self.lock().fails = fails;
    }

    /// Forgets the history: watches that want to go on from the past are told that it is gone.
    pub fn compact(&self) {
        let mut inner = self.lock();
        inner.revision += 1;
        inner.oldest = inner.revision;
        self.revision.send_replace(inner.revision);
    }

    pub fn requests(&self) -> Vec<String> {
        self.lock().requests.clone()
    }

    /// What was asked for, and whether the checked-in roles allow it.
    pub fn accesses(&self) -> BTreeMap<Access, bool> {
        self.lock().accesses.clone()
    }

    pub fn all(&self, collection: &str) -> Vec<Value> {
        let inner = self.lock();
        inner.rows(collection, "").cloned().collect()
    }

    pub fn get(&self, collection: &str, kube_namespace: &str, name: &str) -> Option<Value> {
        let key = (collection.to_owned(), kube_namespace.to_owned(), name.to_owned());
        self.lock().objects.get(&key).cloned()
    }

    /// Creates or replaces an object, as a person would.
    pub fn put(&self, collection: &str, object: Value) {
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        let key = (collection.to_owned(), text("namespace"), text("name"));
        self.store(&mut self.lock(), key, object);
    }

    /// Deletes an object, or marks it while finalizers hold it.
    pub fn delete(&self, collection: &str, kube_namespace: &str, name: &str) {
        let key = (collection.to_owned(), kube_namespace.to_owned(), name.to_owned());
        let mut inner = self.lock();
        let mut object = inner.objects.get(&key).expect("the object is there").clone();
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        self.store(&mut inner, key, object);
    }

    fn store(&self, inner: &mut Inner, key: Key, mut object: Value) -> Value {
        inner.revision += 1;
        let old = inner.objects.get(&key);
        let generation = old.map_or(0, |old| old["metadata"]["generation"].as_u64().unwrap_or(1));
        let changed = old.is_none_or(|old| old["spec"] != object["spec"]);
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(inner.revision.to_string());
        metadata["generation"] = json!(generation + u64::from(changed));
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("uid-{}", inner.revision));
        }
        let held = metadata["finalizers"]
            .as_array()
            .is_some_and(|held| !held.is_empty());
        let gone = !metadata["deletionTimestamp"].is_null() && !held;
        let kind = match (gone, old.is_some()) {
            (true, _) => "DELETED",
            (false, true) => "MODIFIED",
            (false, false) => "ADDED",
        };
        let event = json!({ "type": kind, "object": object });
        inner.log.push((inner.revision, key.0.clone(), event));
        if gone {
            inner.objects.remove(&key);
        } else {
            inner.objects.insert(key, object.clone());
        }
        self.revision.send_replace(inner.revision);
        object
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Whether the roles allow a request; a patch that creates its object is a creation, too, as kube-apiserver has it.
    fn allows(&self, target: &Target, method: &Method, watch: bool) -> bool {
        let access = target.access(method, watch);
        let mut inner = self.lock();
        let is_new = target.subresource.is_none() && !inner.objects.contains_key(&target.key());
        let creates = *method == Method::PATCH && is_new;
        let creation = creates.then(|| Access {
            verb: "create",
            ..access.clone()
        });
        [Some(access), creation].into_iter().flatten().all(|access| {
            let allowed = access.is_allowed();
            inner.accesses.insert(access, allowed);
            allowed
        })
    }

    fn list(&self, target: &Target) -> Response {
        let inner = self.lock();
        let items: Vec<_> = inner.rows(&target.collection, &target.kube_namespace).collect();
        let revision = inner.revision.to_string();
        axum::Json(json!({ "metadata": { "resourceVersion": revision }, "items": items })).into_response()
    }

    fn watch(&self, collection: String, from: u64) -> Response {
        if from < self.lock().oldest {
            // As kube-apiserver has it: an event, not the status of the answer.
            let gone = status(StatusCode::GONE, "Expired");
            return format!("{}\n", json!({ "type": "ERROR", "object": gone })).into_response();
        }
        let mut breaks = self.breaks.subscribe();
        breaks.mark_unchanged();
        let state = (self.clone(), self.revision.subscribe(), breaks, from);
        let lines = futures::stream::unfold(state, move |(cluster, mut revision, mut breaks, from)| {
            let collection = collection.clone();
            async move {
                let now = tokio::select! {
                    now = revision.wait_for(|&revision| revision > from) => *now.ok()?,
                    _ = breaks.changed() => return None,
                };
                let inner = cluster.lock();
                let new = inner
                    .log
                    .iter()
                    .filter(|(at, of, _)| (from + 1..=now).contains(at) && *of == collection);
                let lines: String = new.map(|(_, _, event)| format!("{event}\n")).collect();
                drop(inner);
                Some((Ok::<_, Infallible>(lines), (cluster, revision, breaks, now)))
            }
        });
        Body::from_stream(lines).into_response()
    }

    fn write(&self, method: &Method, target: &Target, mut body: Value) -> Response {
        let mut inner = self.lock();
        let mut key = target.key();
        if *method == Method::POST {
            key.2 = body["metadata"]["name"].as_str().unwrap().to_owned();
            body["metadata"]["namespace"] = json!(target.kube_namespace);
        }
        let old = inner.objects.get(&key).cloned();
        let given = body["metadata"]["resourceVersion"].clone();
        let stale = |old: &Value| !given.is_null() && given != old["metadata"]["resourceVersion"];
        let new = match (method, old) {
            (&Method::POST, Some(_)) => return refuse(StatusCode::CONFLICT, "AlreadyExists"),
            (&Method::PUT | &Method::PATCH, Some(old)) if stale(&old) => {
                return refuse(StatusCode::CONFLICT, "Conflict");
            }
            (&Method::PUT, None) => return refuse(StatusCode::NOT_FOUND, "NotFound"),
            (&Method::PATCH, old) => {
                if old.is_none() && target.subresource.is_some() {
                    return refuse(StatusCode::NOT_FOUND, "NotFound");
                }
                patched(old.unwrap_or(json!({})), &body, target)
            }
            _ => body,
        };
        axum::Json(self.store(&mut inner, key, new)).into_response()
    }
}

impl Inner {
    fn rows<'a>(&'a self, collection: &'a str, kube_namespace: &'a str) -> impl Iterator<Item = &'a Value> {
        let matching = move |(of, namespace, _): &Key| {
            of == collection && (kube_namespace.is_empty() || namespace == kube_namespace)
        };
        self.objects
            .iter()
            .filter(move |(key, _)| matching(key))
            .map(|(_, object)| object)
    }
}

/// An applied or merged patch, near enough: fields below `metadata` are merged, other fields replaced.
fn patched(mut object: Value, patch: &Value, target: &Target) -> Value {
    let only_status = target.subresource.as_deref() == Some("status");
    for (key, value) in patch.as_object().unwrap() {
        if key == "metadata" {
            for (key, value) in value.as_object().unwrap() {
                object["metadata"][key] = value.clone();
            }
        } else if (key == "status") == only_status {
            object[key] = value.clone();
        }
    }
    object["metadata"]["namespace"] = json!(target.kube_namespace);
    object
}

fn refuse(code: StatusCode, reason: &str) -> Response {
    (code, axum::Json(status(code, reason))).into_response()
}

fn status(code: StatusCode, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": reason,
        "reason": reason, "code": code.as_u16(),
    })
}

async fn answer(State(cluster): State<FakeCluster>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let call = format!("{} {}", parts.method, parts.uri.path_and_query().unwrap());
    cluster.lock().requests.push(call.clone());
    let mut held = cluster.held.subscribe();
    let free = |held: &BTreeSet<&str>| held.iter().all(|start| !call.starts_with(start));
    held.wait_for(free).await.unwrap();
    if cluster.lock().fails {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable");
    }
    let Some(target) = Target::of(parts.uri.path()) else {
        return refuse(StatusCode::NOT_FOUND, "NotFound");
    };
    if target.collection.starts_with(CUSTOM) && !cluster.lock().custom_resources {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    }
    let query = parts.uri.query().unwrap_or_default();
    if !cluster.allows(&target, &parts.method, query.contains("watch=true")) {
        return refuse(StatusCode::FORBIDDEN, "Forbidden");
    }
    match (&parts.method, &target.name) {
        (&Method::GET, None) if query.contains("watch=true") => {
            let from = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("resourceVersion="));
            cluster.watch(target.collection, from.unwrap().parse().unwrap())
        }
        (&Method::GET, None) => cluster.list(&target),
        (&Method::GET, Some(name)) => match cluster.get(&target.collection, &target.kube_namespace, name) {
            Some(object) => axum::Json(object).into_response(),
            None => refuse(StatusCode::NOT_FOUND, "NotFound"),
        },
        (&Method::DELETE, Some(name)) => {
            cluster.delete(&target.collection, &target.kube_namespace, name);
            axum::Json(json!({ "kind": "Status", "status": "Success" })).into_response()
        }
        _ => {
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let is_applied = parts.headers.get(header::CONTENT_TYPE);
            let is_applied = is_applied.is_some_and(|kind| kind == "application/apply-patch+yaml");
            if is_applied && body["metadata"]["name"].as_str() != target.name.as_deref() {
                return refuse(StatusCode::BAD_REQUEST, "BadRequest");
            }
            cluster.write(&parts.method, &target, body)
        }
    }
}
