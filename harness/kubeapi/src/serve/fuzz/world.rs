//! A server without sockets, and what must hold of it after any requests.
//!
//! Everything runs on one thread whose clock stands still while anything is left to do: waiting for a watch to end
//! takes no time, and whoever panics does so where it is counted.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Once};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::serde::de::DeserializeOwned;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::requests::Asked;
use crate::access::Authenticator;
use crate::api::Api;
use crate::kubelet::{Kubelet, KubeletError, PodAddress};
use crate::object;
use crate::resources::Resource;
use crate::serve::event_lines::EventLines;
use crate::serve::{Shared, router};
use crate::store::{Change, Observer, State};
use crate::{controllers, server};

/// Longer than any answer takes that ends by itself, by a clock that stands still.
const PATIENCE: Duration = Duration::from_secs(2);

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// More writes than any history leads to; a controller that goes on for ever reaches it.
const WRITES: u64 = 20_000;

/// Stops whoever writes without end.
#[derive(Debug)]
struct Limit;

impl Observer for Limit {
    fn changed(&self, change: &Change) {
        assert!(
            change.revision < WRITES,
            "writes without end, last of {}",
            change.storage
        );
    }
}

/// One running server.
pub(super) struct World {
    shared: Arc<Shared>,
    router: Router,
    /// The revision of the first objects.
    start: u64,
    panics_before: usize,
    _controllers: JoinSet<()>,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

struct Pods;

#[async_trait::async_trait]
impl Kubelet for Pods {
    async fn start_pod(&self, _pod: &Value) -> Result<PodAddress, KubeletError> {
        let ips = vec!["10.0.0.1".parse().map_err(KubeletError::new)?];
        Ok(PodAddress { ips })
    }

    async fn stop_pod(&self, _namespace: &str, _name: &str, _uid: &str) -> Result<(), KubeletError> {
        Ok(())
    }
}

/// Runs a case to its end.
pub(super) fn run<T>(case: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(case)
}

impl World {
    /// A server with its first objects, as [`crate::Server`] makes it.
    pub(super) fn new() -> Self {
        count_panics();
        let range: ipnet::Ipv4Net = "10.96.0.0/24".parse().expect("a range");
        let api = Arc::new(Api::new(range, 1 << 14));
        api.store.observe(Arc::new(Limit));
        let mut tasks = JoinSet::new();
        controllers::spawn(&mut tasks, &api, Arc::new(Pods));
        server::create_first_objects(&api, 443).expect("the first objects");
        let start = api.store.read(State::revision);
        let shared = Arc::new(Shared {
            api,
            authenticator: Authenticator::new(),
            shutdown: CancellationToken::new(),
            lines: Arc::new(EventLines::new()),
        });
        World {
            router: router(Arc::clone(&shared)),
            shared,
            start,
            panics_before: PANICS.get(),
            _controllers: tasks,
        }
    }

    /// Sends a request; `None` if it is none by HTTP.
    pub(super) async fn ask(&self, asked: &Asked) -> Option<Answer> {
        let request = asked.request(self.shared.authenticator.administrator_token())?;
        let Ok(answer) = self.router.clone().oneshot(request).await;
        let (parts, body) = answer.into_parts();
        let body = all_of(body).await;
        Some(Answer {
            code: parts.status,
            headers: parts.headers,
            body,
        })
    }

    /// The object that a plain read answers.
    async fn read(&self, path: &str, query: &str) -> Result<Value, TestCaseError> {
        let answer = self.ask(&Asked::get(path, query)).await;
        let answer = answer.ok_or_else(|| TestCaseError::fail(format!("no request: {path}")))?;
        let body = String::from_utf8_lossy(&answer.body);
        prop_assert_eq!(answer.code, StatusCode::OK, "{}?{}: {}", path, query, body);
        serde_json::from_slice(&answer.body)
            .map_err(|error| TestCaseError::fail(format!("{path}: {error}: {body}")))
    }

    pub(super) fn revision(&self) -> u64 {
        self.shared.api.store.read(State::revision)
    }

    /// Lets the controllers finish what they have begun.
    pub(super) async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    /// Nothing has panicked, in a request or in a controller.
    pub(super) fn nothing_panicked(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(PANICS.get(), self.panics_before, "something panicked");
        Ok(())
    }

    /// What is stored can be listed, read and watched, each with the same result.
    pub(super) async fn is_whole(&self) -> Result<(), TestCaseError> {
        self.settle().await;
        let resources = self.shared.api.resources.current();
        for resource in resources.iter().filter(|resource| resource.is_stored()) {
            self.collection_is_whole(resource).await?;
        }
        self.read("/openapi/v3", "").await?;
        self.nothing_panicked()
    }

    async fn collection_is_whole(&self, resource: &Resource) -> Result<(), TestCaseError> {
        let path = path_of(resource, "", "");
        let list = self.read(&path, "").await?;
        let mut listed = BTreeMap::new();
        for item in object::items(&list, "/items") {
            let (namespace, name) = (object::namespace(item), object::name(item));
            let revision: u64 = object::revision(item).unwrap_or(0);
            prop_assert!((1..=self.revision()).contains(&revision), "{}", item);
            prop_assert!(
                listed
                    .insert((namespace.to_owned(), name.to_owned()), item.clone())
                    .is_none()
            );
        }
        let changed = listed
            .iter()
            .filter(|(_, item)| object::revision(item) > Some(self.start));
        for ((namespace, name), item) in changed {
            let mut one = self.read(&path_of(resource, namespace, name), "").await?;
            is_of_its_type(resource, &one)?;
            if resource.custom().is_none() {
                let fields = one.as_object_mut().expect("an object");
                prop_assert_eq!(fields.remove("kind"), Some(resource.kind.clone().into()));
                prop_assert_eq!(fields.remove("apiVersion"), Some(resource.api_version().into()));
            }
            prop_assert_eq!(&one, item);
        }
        let replayed = self.replayed(resource, &path).await?;
        let named =
            |objects: BTreeMap<(String, String), Value>| -> Vec<Value> { objects.into_values().collect() };
        let mut listed = named(listed);
        for item in &mut listed {
            item["kind"] = resource.kind.clone().into();
            item["apiVersion"] = resource.api_version().into();
        }
        prop_assert_eq!(
            named(replayed),
            listed,
            "a watch of {} tells of other objects",
            path
        );
        Ok(())
    }

    /// The objects by a watch of everything since the first ones.
    async fn replayed(
        &self,
        resource: &Resource,
        path: &str,
    ) -> Result<BTreeMap<(String, String), Value>, TestCaseError> {
        let at_start = format!("resourceVersion={}&resourceVersionMatch=Exact", self.start);
        let first = self.read(path, &at_start).await?;
        let mut objects = BTreeMap::new();
        let key = |object: &Value| {
            (
                object::namespace(object).to_owned(),
                object::name(object).to_owned(),
            )
        };
        for item in object::items(&first, "/items") {
            let mut item = item.clone();
            item["kind"] = resource.kind.clone().into();
            item["apiVersion"] = resource.api_version().into();
            objects.insert(key(&item), item);
        }
        let query = format!("watch=1&timeoutSeconds=1&resourceVersion={}", self.start);
        let answer = self.ask(&Asked::get(path, &query)).await.expect("a request");
        let mut last = self.start;
        for line in answer
            .body
            .split(|octet| *octet == b'\n')
            .filter(|line| !line.is_empty())
        {
            let event: Value = serde_json::from_slice(line).expect("a line of JSON");
            let object = event["object"].clone();
            let revision = object::revision(&object).unwrap_or(0);
            prop_assert!(revision > last, "after {}: {}", last, event);
            last = revision;
            let known = match event["type"].as_str() {
                Some("ADDED") => objects.insert(key(&object), object).is_none(),
                Some("MODIFIED") => objects.insert(key(&object), object).is_some(),
                Some("DELETED") => objects.remove(&key(&object)).is_some(),
                _ => false,
            };
            prop_assert!(known, "{}", event);
        }
        Ok(objects)
    }
}

fn path_of(resource: &Resource, namespace: &str, name: &str) -> String {
    let root = if resource.group.is_empty() { "api" } else { "apis" };
    let namespace = match namespace {
        "" => String::new(),
        namespace => format!("/namespaces/{namespace}"),
    };
    let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    let path = format!(
        "/{root}/{}{namespace}/{}/{name}",
        resource.api_version(),
        resource.plural
    );
    path.trim_end_matches('/').to_owned()
}

/// A typed client can read it.
fn is_of_its_type(resource: &Resource, object: &Value) -> Result<(), TestCaseError> {
    use k8s_openapi::api::{apps, batch, coordination, core, discovery, networking, rbac};
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
    fn reads<T: DeserializeOwned>(object: &Value) -> Result<(), String> {
        T::deserialize(object)
            .map(drop)
            .map_err(|error| error.to_string())
    }
    if resource.custom().is_some() {
        return Ok(());
    }
    let read = match resource.kind.as_str() {
        "Pod" => reads::<core::v1::Pod>(object),
        "Service" => reads::<core::v1::Service>(object),
        "ConfigMap" => reads::<core::v1::ConfigMap>(object),
        "Secret" => reads::<core::v1::Secret>(object),
        "Node" => reads::<core::v1::Node>(object),
        "Namespace" => reads::<core::v1::Namespace>(object),
        "Event" if resource.group.is_empty() => reads::<core::v1::Event>(object),
        "Event" => reads::<k8s_openapi::api::events::v1::Event>(object),
        "Lease" => reads::<coordination::v1::Lease>(object),
        "EndpointSlice" => reads::<discovery::v1::EndpointSlice>(object),
        "Deployment" => reads::<apps::v1::Deployment>(object),
        "ReplicaSet" => reads::<apps::v1::ReplicaSet>(object),
        "StatefulSet" => reads::<apps::v1::StatefulSet>(object),
        "DaemonSet" => reads::<apps::v1::DaemonSet>(object),
        "Job" => reads::<batch::v1::Job>(object),
        "Ingress" => reads::<networking::v1::Ingress>(object),
        "NetworkPolicy" => reads::<networking::v1::NetworkPolicy>(object),
        "ClusterRole" => reads::<rbac::v1::ClusterRole>(object),
        "RoleBinding" => reads::<rbac::v1::RoleBinding>(object),
        "CustomResourceDefinition" => reads::<apiextensions::v1::CustomResourceDefinition>(object),
        _ => Ok(()),
    };
    read.map_err(|error| TestCaseError::fail(format!("{error}: {object}")))
}

/// A body, or of one without end what came soon.
async fn all_of(mut body: Body) -> Vec<u8> {
    let mut read = Vec::new();
    let _as_far_as_it_goes = tokio::time::timeout(PATIENCE, async {
        while let Some(Ok(frame)) = body.frame().await {
            read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
    })
    .await;
    read
}

fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            before(panic);
        }));
    });
}
