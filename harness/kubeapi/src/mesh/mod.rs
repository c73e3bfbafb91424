//! Several clusters as one: the view that Cilium Cluster Mesh gives of global Services.
//!
//! Owns, in each cluster, the EndpointSlices of its global Services that show the ready endpoints of the Service of
//! the same namespace and name in another cluster, and no other object. Which Services take part is said by their
//! annotations under `service.cilium.io` (see [`GlobalService`]), as with Cilium's operator
//! (`pkg/clustermesh/endpointslicesync` of cilium/cilium): `global` makes a Service take part, `shared: "false"` keeps
//! its own endpoints at home, and `global-sync-endpoint-slices` asks for slices, which a headless Service gets unless it
//! says `"false"`. Level-triggered, like every controller.
//!
//! # Limits
//! `affinity` is for whoever balances the load, and changes no slice. An endpoint of another cluster has the name of
//! that cluster for its node, as with Cilium, and no `targetRef`. `MCS` exports and imports are not known.

mod global;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tracing::warn;

use crate::api::Api;
use crate::controllers::endpoint_slices::{Family, Group, Slices, Source, of_service};
use crate::controllers::remove_object;
use crate::object::{self, items};
use crate::server::Server;
use crate::status::Status;
use crate::store::{Change, Key};
pub use global::{Affinity, GlobalService};

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Clusters that show each other the endpoints of their global Services, until it is dropped. What is there then
/// stays; [`Mesh::leave`] takes it away.
#[derive(Debug)]
pub struct Mesh {
    members: Arc<Members>,
    dirty: UnboundedSender<Key>,
    /// Ends with the mesh.
    _tasks: JoinSet<()>,
}

/// By name. Each name is that of the cluster in the mesh.
#[derive(Debug)]
struct Members(Mutex<BTreeMap<String, Arc<Api>>>);

impl Mesh {
    /// Joins the clusters, each under its name, which other clusters' slices have for their source.
    ///
    /// Must be called on a tokio runtime.
    pub fn join(clusters: &[(&str, &Server)]) -> Mesh {
        let (dirty, looks) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let mut members = BTreeMap::new();
        for (name, server) in clusters {
            let api = server.api();
            // Heard before the first look, so no change falls in between.
            tasks.spawn(hear(api.store.subscribe(), dirty.clone()));
            mark_all(&api, &dirty);
            members.insert((*name).to_owned(), api);
        }
        let members = Arc::new(Members(Mutex::new(members)));
        tasks.spawn(run(Arc::clone(&members), looks));
        Mesh {
            members,
            dirty,
            _tasks: tasks,
        }
    }

    /// Takes a cluster out: the others forget its endpoints, and it forgets theirs. A name that is not in the mesh
    /// changes nothing.
    pub fn leave(&self, cluster: &str) {
        let Some(gone) = self.members.take(cluster) else {
            return;
        };
        let slices: Vec<Arc<Value>> = gone.store.read(|state| {
            let slices = state.scan("endpointslices.discovery.k8s.io", None);
            let synced = slices.filter(|(_, slice)| matches!(Source::of(slice), Some(Source::Cluster(_))));
            synced.map(|(_, slice)| slice).collect()
        });
        for slice in slices {
            complain(&slice, remove_object(&gone, &slice));
        }
        mark_all(&gone, &self.dirty);
    }
}

impl Members {
    fn all(&self) -> BTreeMap<String, Arc<Api>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self, name: &str) -> Option<Arc<Api>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }
}

fn mark_all(api: &Api, dirty: &UnboundedSender<Key>) {
    api.store.read(|state| {
        for (key, _) in state.scan("services", None) {
            // The receiver lives as long as the mesh.
            let _sent = dirty.send(key.clone());
        }
    });
}

/// Marks the Services whose view a change of a cluster can touch.
async fn hear(mut changes: UnboundedReceiver<Arc<Change>>, dirty: UnboundedSender<Key>) {
    while let Some(change) = changes.recv().await {
        let key = match &*change.storage {
            "services" => Some(change.key.clone()),
            "endpointslices.discovery.k8s.io" => object::label(&change.object(), SERVICE_NAME)
                .map(|service| Key::new(&change.key.namespace, service)),
            _ => None,
        };
        if key.is_some_and(|key| dirty.send(key).is_err()) {
            return;
        }
    }
}

async fn run(members: Arc<Members>, mut looks: UnboundedReceiver<Key>) {
    while let Some(first) = looks.recv().await {
        let mut keys = BTreeSet::from([first]);
        while let Ok(key) = looks.try_recv() {
            keys.insert(key);
        }
        let members = members.all();
        for key in keys {
            for (name, api) in &members {
                sync(&members, name, api, &key);
            }
        }
    }
}

/// Makes the slices of one Service in one cluster show what the other clusters have of it.
fn sync(members: &BTreeMap<String, Arc<Api>>, name: &str, api: &Api, key: &Key) {
    let (service, existing) = api.store.read(|state| {
        let service = state.get("services", key);
        let slices = of_service(state, &key.namespace, &key.name);
        let synced = slices.filter(|slice| matches!(Source::of(slice), Some(Source::Cluster(_))));
        (service, synced.collect::<Vec<_>>())
    });
    // The slices of a Service that is gone go by their owner.
    let Some(service) = service.filter(|service| !object::is_terminating(service)) else {
        return;
    };
    let shows_slices = GlobalService::of(&service).is_some_and(|global| global.shows_slices);
    let others = members.iter().filter(|(other, _)| *other != name && shows_slices);
    let sources: BTreeMap<&str, Vec<Arc<Value>>> = others
        .filter_map(|(other, remote)| Some((other.as_str(), shared_slices(remote, key)?)))
        .collect();
    for family in Family::ALL.into_iter().filter(|family| family.is_of(&service)) {
        for (cluster, remote) in &sources {
            let slices = Slices {
                service: &service,
                family,
                source: Source::Cluster(cluster),
            };
            let own = existing.iter().filter(|slice| {
                family.is_of_slice(slice) && Source::of(slice) == Some(Source::Cluster(cluster))
            });
            let own = own.map(Arc::clone).collect();
            complain(
                &service,
                slices.replace(api, own, groups(cluster, remote, family)),
            );
        }
    }
    for slice in existing {
        let is_shown =
            matches!(Source::of(&slice), Some(Source::Cluster(cluster)) if sources.contains_key(cluster));
        let has_family = Family::ALL
            .into_iter()
            .any(|family| family.is_of_slice(&slice) && family.is_of(&service));
        if !is_shown || !has_family {
            complain(&slice, remove_object(api, &slice));
        }
    }
}

/// The slices of a Service that its cluster shares with the others.
fn shared_slices(api: &Api, key: &Key) -> Option<Vec<Arc<Value>>> {
    api.store.read(|state| {
        let service = state.get("services", key)?;
        let is_shared = GlobalService::of(&service).is_some_and(|global| global.is_shared);
        if !is_shared || object::is_terminating(&service) {
            return None;
        }
        let slices = of_service(state, &key.namespace, &key.name);
        let own = slices.filter(|slice| !matches!(Source::of(slice), Some(Source::Cluster(_))));
        Some(own.collect())
    })
}

/// The ready endpoints of the slices, as they look from another cluster.
fn groups(cluster: &str, slices: &[Arc<Value>], family: Family) -> Vec<Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| family.is_of_slice(slice)) {
        let ready = items(slice, "/endpoints").iter();
        let ready = ready.filter(|endpoint| endpoint["conditions"]["ready"] != false);
        let endpoints = ready.map(|endpoint| {
            let mut shown = json!({
                "addresses": endpoint["addresses"], "nodeName": cluster,
                "conditions": {"ready": true, "serving": true, "terminating": false},
            });
            if let Some(hostname) = endpoint.get("hostname") {
                shown["hostname"] = hostname.clone();
            }
            shown
        });
        let group = groups.entry(slice["ports"].to_string()).or_insert_with(|| Group {
            ports: slice["ports"].clone(),
            endpoints: Vec::new(),
        });
        group.endpoints.extend(endpoints);
    }
    groups
        .into_values()
        .filter(|group| !group.endpoints.is_empty())
        .collect()
}

fn complain<T>(about: &Value, outcome: Result<T, Status>) {
    if let Err(error) = outcome {
        let (kube_namespace, name) = (object::namespace(about), object::name(about));
        warn!(kube_namespace, name, %error, "sync global service");
    }
}
