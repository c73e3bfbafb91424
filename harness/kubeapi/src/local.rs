//! The API without sockets, for the process that runs the server.
//!
//! Owns a small vocabulary over JSON objects. Every call runs the same operation as the HTTP route for it, so an
//! object written here is defaulted, checked and watched like any other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use futures::{Stream, stream};
use serde_json::Value;
use tokio::time::Instant;

use crate::api::{Api, DeleteOptions, Deleted, Effect, ListRequest, Target, WatchStart};
use crate::decoding;
use crate::object;
use crate::patch::Patch;
use crate::readiness::{self, Readiness};
use crate::resources::{Resource, Scope};
use crate::selector::{FieldSelector, LabelSelector, Selector};
use crate::status::{Reason, Status};
pub use crate::store::WatchEvent;
use crate::store::{Change, ChangeKind, Expired};
use crate::strategy::Part;

/// The namespace of an object that names none, as with `kubectl`.
const DEFAULT_NAMESPACE: &str = "default";

/// The address of one object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectRef {
    /// For instance `v1` or `discovery.k8s.io/v1`.
    pub api_version: String,
    /// For instance `Service`.
    pub kind: String,
    /// Not looked at for cluster-scoped kinds.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectRef {
    /// An object in a namespace.
    pub fn namespaced(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        let [api_version, kind, namespace, name] = [api_version, kind, namespace, name].map(str::to_owned);
        ObjectRef {
            api_version,
            kind,
            namespace,
            name,
        }
    }

    /// An object outside of namespaces.
    pub fn cluster(api_version: &str, kind: &str, name: &str) -> Self {
        ObjectRef::namespaced(api_version, kind, "", name)
    }

    /// The address a manifest has. Missing parts are empty and refused when used.
    pub fn of(manifest: &Value) -> Self {
        let namespace = match object::namespace(manifest) {
            "" => DEFAULT_NAMESPACE,
            namespace => namespace,
        };
        let api_version = object::text(manifest, "/apiVersion");
        ObjectRef::namespaced(
            api_version,
            object::text(manifest, "/kind"),
            namespace,
            object::name(manifest),
        )
    }
}

/// A set of objects of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Collection {
    /// For instance `v1`.
    pub api_version: String,
    /// For instance `Pod`.
    pub kind: String,
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// In the grammar of `kubectl -l`; empty for all.
    pub label_selector: String,
}

impl Collection {
    /// Every object of the kind.
    pub fn all(api_version: &str, kind: &str) -> Self {
        Collection {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            label_selector: String::new(),
        }
    }

    /// Only those in one namespace.
    pub fn in_namespace(self, namespace: &str) -> Self {
        Collection {
            namespace: Some(namespace.to_owned()),
            ..self
        }
    }

    /// Only those the selector matches.
    pub fn labelled(self, selector: &str) -> Self {
        Collection {
            label_selector: selector.to_owned(),
            ..self
        }
    }
}

/// One write to the API, by whomever.
#[derive(Debug, Clone)]
pub struct WriteEvent {
    /// The collection: `services`, `endpointslices.discovery.k8s.io`.
    pub resource: String,
    /// What happened.
    pub kind: ChangeKind,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// The name of the object.
    pub name: String,
    /// The revision of the write; each has its own, in order.
    pub resource_version: u64,
    /// When it was stored.
    pub time: SystemTime,
    /// The new state, or the last one of a deleted object.
    pub object: Arc<Value>,
}

/// Why [`Local::wait_for`] gave up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The object cannot be watched.
    #[error("watch {kind} `{name}`")]
    Refused {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// The refusal.
        #[source]
        source: Status,
    },
    /// The condition did not hold in time.
    #[error("wait for {kind} `{name}`: the condition did not hold before the deadline")]
    Deadline {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// The last state seen, if there was one.
        last: Option<Arc<Value>>,
    },
}

/// A client inside the process of the server. What it writes belongs to the field manager `kubeapi`.
#[derive(Debug, Clone)]
pub struct Local {
    api: Arc<Api>,
}

impl Local {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Local { api }
    }

    /// Creates the object of a manifest, in its namespace or else in `default`.
    ///
    /// # Errors
    /// As `POST`: `AlreadyExists`, `Invalid`, `NotFound` for the namespace, `BadRequest` for an unknown kind.
    pub fn create(&self, manifest: &Value) -> Result<Arc<Value>, Status> {
        let target = self.target(&ObjectRef::of(manifest))?;
        let object = decoding::from_object(&target.resource, manifest)?.object;
        self.api
            .create(&target.resource, &target.key.namespace, object, Effect::Persist)
    }

    /// Reads one object.
    ///
    /// # Errors
    /// `NotFound`, or `BadRequest` for an unknown kind.
    pub fn get(&self, reference: &ObjectRef) -> Result<Arc<Value>, Status> {
        self.api.get(&self.target(reference)?)
    }

    /// Reads the objects of a collection, ordered by namespace and name.
    ///
    /// # Errors
    /// `BadRequest` for an unknown kind or a selector that cannot be parsed.
    pub fn list(&self, collection: &Collection) -> Result<Vec<Arc<Value>>, Status> {
        let resource = self.resource(&collection.api_version, &collection.kind)?;
        let request = ListRequest {
            namespace: collection.namespace.clone(),
            selector: label_selector(&collection.label_selector)?,
            ..ListRequest::default()
        };
        Ok(self.api.list(&resource, &request)?.items)
    }

    /// Applies a JSON merge patch to everything but the status; null removes a field.
    ///
    /// # Errors
    /// As `PATCH`: `NotFound`, `Conflict` when the patch names another resource version, `Invalid`.
    pub fn merge_patch(&self, reference: &ObjectRef, patch: Value) -> Result<Arc<Value>, Status> {
        self.api.patch(
            &self.target(reference)?,
            Part::Main,
            &Patch::Merge(patch),
            Effect::Persist,
        )
    }

    /// Applies a JSON merge patch to the status.
    ///
    /// # Errors
    /// As [`Local::merge_patch`].
    pub fn merge_patch_status(&self, reference: &ObjectRef, patch: Value) -> Result<Arc<Value>, Status> {
        self.api.patch(
            &self.target(reference)?,
            Part::Status,
            &Patch::Merge(patch),
            Effect::Persist,
        )
    }

    /// Reports of a running pod what a readiness probe of its containers would. The pod is ready again, and the
    /// endpoints with it, only if its readiness gates agree.
    ///
    /// # Errors
    /// `NotFound` when there is no such pod.
    pub fn report_readiness(
        &self,
        namespace: &str,
        name: &str,
        readiness: Readiness,
    ) -> Result<Arc<Value>, Status> {
        let pod = self.target(&ObjectRef::namespaced("v1", "Pod", namespace, name))?;
        self.api.modify(&pod, Part::Status, Effect::Persist, |current| {
            let mut next = (**current).clone();
            readiness::report(&mut next, readiness)?;
            Ok(next)
        })
    }

    /// Asks for the removal of an object and returns its last state so far. A pod, a namespace or an object with
    /// finalizers may be terminating for a while; wait with [`Local::wait_for`].
    ///
    /// # Errors
    /// `NotFound`, or `BadRequest` for an unknown kind.
    pub fn delete(&self, reference: &ObjectRef) -> Result<Arc<Value>, Status> {
        let deleted = self.api.delete(
            &self.target(reference)?,
            &DeleteOptions::default(),
            Effect::Persist,
        )?;
        Ok(match deleted {
            Deleted::Gone(object) | Deleted::Terminating(object) => object,
        })
    }

    /// The objects of a collection as added, then every change to them. Ends after an `Expired` error, which a
    /// consumer that falls thousands of writes behind gets.
    ///
    /// # Errors
    /// As [`Local::list`].
    pub fn watch(
        &self,
        collection: &Collection,
    ) -> Result<impl Stream<Item = Result<WatchEvent, Status>> + Send + use<>, Status> {
        let resource = self.resource(&collection.api_version, &collection.kind)?;
        let selector = label_selector(&collection.label_selector)?;
        Ok(self.stream(&resource, collection.namespace.as_deref(), selector))
    }

    /// Waits until `condition` holds of the object (`None`: it does not exist) and returns the object.
    ///
    /// # Errors
    /// [`WaitError::Deadline`] with the last state when `deadline` passes first; [`WaitError::Refused`] for an
    /// unknown kind.
    pub async fn wait_for(
        &self,
        reference: &ObjectRef,
        deadline: Instant,
        mut condition: impl FnMut(Option<&Value>) -> bool,
    ) -> Result<Option<Arc<Value>>, WaitError> {
        let ObjectRef { kind, name, .. } = reference.clone();
        let refused = |source| WaitError::Refused {
            kind: kind.clone(),
            name: name.clone(),
            source,
        };
        let target = self.target(reference).map_err(refused)?;
        let fields = FieldSelector::parse(&format!("metadata.name={name}"), &[]).map_err(refused)?;
        let namespace = Some(target.key.namespace.as_str());
        let selector = Selector {
            fields,
            ..Selector::default()
        };
        // The watch starts before the read, so no change falls in between.
        let (_, mut watch) = self
            .api
            .watch(&target.resource, namespace, selector, WatchStart::Newest);
        loop {
            let current = match self.api.get(&target) {
                Ok(object) => Some(object),
                Err(status) if status.reason == Reason::NotFound => None,
                Err(status) => return Err(refused(status)),
            };
            if condition(current.as_deref()) {
                return Ok(current);
            }
            // A watch that fell behind only means that there was a change.
            match tokio::time::timeout_at(deadline, watch.next()).await {
                Ok(Ok(_) | Err(Expired { .. })) => {}
                Err(_) => {
                    return Err(WaitError::Deadline {
                        kind,
                        name,
                        last: current,
                    });
                }
            }
        }
    }

    /// Every write from now on, in order and without loss, for a log.
    pub fn events(&self) -> impl Stream<Item = WriteEvent> + Send + use<> {
        let changes = self.api.store.subscribe();
        stream::unfold(changes, |mut changes| async move {
            let change = changes.recv().await?;
            Some((WriteEvent::of(&change), changes))
        })
    }

    fn stream(
        &self,
        resource: &Arc<Resource>,
        namespace: Option<&str>,
        selector: Selector,
    ) -> impl Stream<Item = Result<WatchEvent, Status>> + Send + use<> {
        let (opening, watch) = self
            .api
            .watch(resource, namespace, selector, WatchStart::Existing);
        let resource = Arc::clone(resource);
        let start = (VecDeque::from(opening), Some(watch));
        stream::unfold(start, move |(mut queue, mut watch)| {
            let resource = Arc::clone(&resource);
            async move {
                while queue.is_empty() {
                    match watch.as_mut()?.next().await {
                        Ok(events) => queue.extend(events),
                        Err(Expired { oldest }) => {
                            let status = Status::too_old(watch.as_ref()?.revision(), oldest);
                            return Some((Err(status), (queue, None)));
                        }
                    }
                }
                let WatchEvent { kind, object } = queue.pop_front()?;
                Some((
                    Ok(WatchEvent {
                        kind,
                        object: resource.encode(&object),
                    }),
                    (queue, watch),
                ))
            }
        })
    }

    fn resource(&self, api_version: &str, kind: &str) -> Result<Arc<Resource>, Status> {
        self.api.resources.of_kind(api_version, kind)
    }

    fn target(&self, reference: &ObjectRef) -> Result<Target, Status> {
        let resource = self.resource(&reference.api_version, &reference.kind)?;
        if resource.scope == Scope::Namespaced && reference.namespace.is_empty() {
            return Err(Status::bad_request(format!(
                "a {} needs a namespace",
                reference.kind
            )));
        }
        Ok(Target::new(&resource, &reference.namespace, &reference.name))
    }
}

impl WriteEvent {
    fn of(change: &Change) -> Self {
        WriteEvent {
            resource: change.storage.to_string(),
            kind: change.kind,
            namespace: change.key.namespace.clone(),
            name: change.key.name.clone(),
            resource_version: change.revision,
            time: change.time.into(),
            object: change.object(),
        }
    }
}

fn label_selector(text: &str) -> Result<Selector, Status> {
    Ok(Selector {
        labels: LabelSelector::parse(text)?,
        ..Selector::default()
    })
}
