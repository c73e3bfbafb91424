//! A cluster that only knows Services, EndpointSlices, Namespaces, SteeringPolicies and Events, behind a `kube::Client` without any socket.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::watch;

const SERVICES: &str = "/api/v1/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
const NAMESPACES: &str = "/api/v1/namespaces";
const POLICIES: &str = "/apis/sdwan.pathproof.dev/v1alpha1/steeringpolicies";

#[derive(Clone)]
pub struct FakeCluster {
    inner: Arc<Mutex<Inner>>,
    revision: watch::Sender<u64>,
    /// While true, lists of EndpointSlices are not answered.
    hold_slices: watch::Sender<bool>,
}

#[derive(Default)]
struct Inner {
    revision: u64,
    objects: BTreeMap<(&'static str, String), Value>,
    log: Vec<(u64, &'static str, Value)>,
    events: Vec<Value>,
}

impl FakeCluster {
    pub fn new() -> Self {
        Self {
            inner: Arc::default(),
            revision: watch::Sender::new(0),
            hold_slices: watch::Sender::new(false),
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
            name,
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": name, "namespace": "shop", "uid": name, "annotations": annotations },
                "spec": { "ports": [{ "port": 80, "targetPort": "http" }] },
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
            &format!("{service}-x"),
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
            "shop",
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
            service,
            json!({
                "apiVersion": "sdwan.pathproof.dev/v1alpha1", "kind": "SteeringPolicy",
                "metadata": { "name": service, "namespace": "shop", "uid": service, "generation": 1 },
                "spec": spec,
            }),
        );
    }

    pub fn delete_service(&self, name: &str) {
        let mut inner = self.lock();
        let mut object = inner
            .objects
            .remove(&(SERVICES, name.to_owned()))
            .expect("the Service is there");
        self.note(&mut inner, SERVICES, "DELETED", &mut object);
    }

    pub fn events(&self) -> Vec<Value> {
        self.lock().events.clone()
    }

    pub fn hold_slices(&self, hold: bool) {
        self.hold_slices.send_replace(hold);
    }

    fn put(&self, resource: &'static str, name: &str, mut object: Value) {
        let mut inner = self.lock();
        let key = (resource, name.to_owned());
        let kind = if inner.objects.contains_key(&key) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        self.note(&mut inner, resource, kind, &mut object);
        inner.objects.insert(key, object);
    }

    fn note(&self, inner: &mut Inner, resource: &'static str, kind: &str, object: &mut Value) {
        inner.revision += 1;
        object["metadata"]["resourceVersion"] = json!(inner.revision.to_string());
        inner.log.push((
            inner.revision,
            resource,
            json!({ "type": kind, "object": object }),
        ));
        self.revision.send_replace(inner.revision);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    async fn list(&self, resource: &'static str) -> Response {
        if resource == SLICES {
            self.hold_slices.subscribe().wait_for(|hold| !hold).await.unwrap();
        }
        let inner = self.lock();
        let items: Vec<_> = inner
            .objects
            .iter()
            .filter(|((r, _), _)| *r == resource)
            .map(|(_, o)| o)
            .collect();
        let revision = inner.revision.to_string();
        axum::Json(json!({ "metadata": { "resourceVersion": revision }, "items": items })).into_response()
    }

    fn watch(&self, resource: &'static str, from: u64) -> Response {
        let state = (self.clone(), self.revision.subscribe(), from);
        let lines = futures::stream::unfold(state, move |(cluster, mut revision, from)| async move {
            let now = *revision.wait_for(|&revision| revision > from).await.ok()?;
            let inner = cluster.lock();
            let new = inner
                .log
                .iter()
                .filter(|(at, r, _)| (from + 1..=now).contains(at) && *r == resource);
            let lines: String = new.map(|(_, _, event)| format!("{event}\n")).collect();
            drop(inner);
            Some((Ok::<_, Infallible>(lines), (cluster, revision, now)))
        });
        Body::from_stream(lines).into_response()
    }
}

async fn answer(State(cluster): State<FakeCluster>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let resource = [SERVICES, SLICES, NAMESPACES, POLICIES]
        .into_iter()
        .find(|resource| *resource == parts.uri.path());
    match (parts.method, resource) {
        (Method::GET, Some(resource)) if query.contains("watch=true") => {
            let from = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("resourceVersion="));
            cluster.watch(resource, from.unwrap().parse().unwrap())
        }
        (Method::GET, Some(resource)) => cluster.list(resource).await,
        (Method::POST, None) if parts.uri.path() == "/apis/events.k8s.io/v1/namespaces/shop/events" => {
            let event: Value = serde_json::from_slice(&to_bytes(body, usize::MAX).await.unwrap()).unwrap();
            cluster.lock().events.push(event.clone());
            (StatusCode::CREATED, axum::Json(event)).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
