//! Watches on what steering depends on, in all namespaces of one cluster.
//!
//! Owns which objects were seen, and hands on what is stated by those that changed; the objects themselves are not kept.
//! Invariant: a change is never lost, and is told to [`Changes`] after it can be had here.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};

use super::backoff::Backoff;
use super::changes::Changes;
use super::facts::{Fact, object};
use super::failures::Failures;
use crate::api::SteeringPolicy;
use crate::core::{AnnotationPrefix, Change, Cluster, Compiler, ObjectRef};

/// Running watches; dropping it ends them.
pub(super) struct Watches {
    queue: Arc<Queue>,
    failures: Arc<Failures>,
    listed: Vec<watch::Receiver<bool>>,
    tasks: Vec<JoinHandle<()>>,
}

/// Changes on their way to the compiler.
struct Queue {
    changes: Mutex<Vec<Change>>,
    arrivals: Arc<Changes>,
}

/// One kind of object in one cluster.
struct Kind {
    cluster: Cluster,
    prefix: AnnotationPrefix,
    queue: Arc<Queue>,
    failures: Arc<Failures>,
    /// The objects that hold facts.
    known: HashSet<ObjectRef>,
    /// Those that the list that is under way has shown so far.
    shown: HashSet<ObjectRef>,
    listed: watch::Sender<bool>,
}

impl Watches {
    pub(super) fn start(
        kubernetes: &Client,
        cluster: &Cluster,
        prefix: &AnnotationPrefix,
        arrivals: &Arc<Changes>,
    ) -> Self {
        let queue = Queue {
            changes: Mutex::default(),
            arrivals: arrivals.clone(),
        };
        let mut watches = Self {
            queue: Arc::new(queue),
            failures: Arc::default(),
            listed: Vec::new(),
            tasks: Vec::new(),
        };
        watches.add::<Service>(kubernetes, cluster, prefix);
        watches.add::<EndpointSlice>(kubernetes, cluster, prefix);
        watches.add::<Namespace>(kubernetes, cluster, prefix);
        watches.add::<SteeringPolicy>(kubernetes, cluster, prefix);
        watches
    }

    fn add<K>(&mut self, kubernetes: &Client, cluster: &Cluster, prefix: &AnnotationPrefix)
    where
        K: Fact + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        K: Resource<DynamicType = ()>,
    {
        let listed = watch::Sender::new(false);
        self.listed.push(listed.subscribe());
        let kind = Kind {
            cluster: cluster.clone(),
            prefix: prefix.clone(),
            queue: self.queue.clone(),
            failures: self.failures.clone(),
            known: HashSet::new(),
            shown: HashSet::new(),
            listed,
        };
        self.tasks
            .push(tokio::spawn(kind.watch(Api::<K>::all(kubernetes.clone()))));
    }

    /// Waits until everything was listed once.
    pub(super) async fn complete(&self) {
        let listed = self.listed.iter().cloned();
        join_all(listed.map(|mut listed| async move {
            let listed = listed.wait_for(|listed| *listed).await;
            listed.expect("the watch tasks live as long as self");
        }))
        .await;
    }

    /// Whether everything was listed once.
    pub(super) fn is_complete(&self) -> bool {
        self.listed.iter().all(|listed| *listed.borrow())
    }

    /// Why the cluster cannot be reached, if it cannot for some time.
    pub(super) fn trouble(&self) -> Option<String> {
        self.failures.lasting(Instant::now())
    }

    /// Whether a watch has ended, which it never should.
    pub(super) fn have_ended(&self) -> bool {
        self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// Tells the compiler what has changed since the last time; nothing before everything was listed.
    pub(super) fn update(&self, compiler: &mut Compiler) {
        if !self.is_complete() {
            return;
        }
        let changes = std::mem::take(&mut *self.queue.changes.lock().unwrap_or_else(PoisonError::into_inner));
        changes.into_iter().for_each(|change| compiler.apply(change));
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Kind {
    async fn watch<K>(mut self, api: Api<K>)
    where
        K: Fact + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        K: Resource<DynamicType = ()>,
    {
        let kind = K::kind(&());
        let mut is_absent = false;
        let events = watcher(api, watcher::Config::default()).backoff(Backoff::default());
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    self.failures.clear();
                    self.take(event);
                }
                // A cluster without the operator's own resources has no facts there.
                Err(error) if is_not_installed(&error) => {
                    self.failures.clear();
                    if !std::mem::replace(&mut is_absent, true) {
                        info!(%kind, "resource not installed");
                    }
                    self.take(watcher::Event::<K>::Init);
                    self.take(watcher::Event::<K>::InitDone);
                }
                Err(error) => {
                    self.failures.add(error.to_string(), Instant::now());
                    warn!(
                        %kind,
                        error = &error as &dyn std::error::Error,
                        "watch interrupted"
                    );
                }
            }
        }
    }

    fn take<K: Fact>(&mut self, event: watcher::Event<K>) {
        let mut changes = Vec::new();
        let was_listed = *self.listed.borrow();
        let is_listing = match event {
            watcher::Event::Init => {
                self.shown.clear();
                true
            }
            watcher::Event::InitApply(shown) => {
                self.shown.insert(object(&shown, &self.cluster));
                changes.extend(self.applied(&shown));
                true
            }
            watcher::Event::InitDone => {
                let (known, shown) = (&mut self.known, std::mem::take(&mut self.shown));
                changes.extend(known.extract_if(|object| !shown.contains(object)).map(K::gone));
                self.listed.send_replace(true);
                false
            }
            watcher::Event::Apply(applied) => {
                changes.extend(self.applied(&applied));
                false
            }
            watcher::Event::Delete(deleted) => {
                let deleted = object(&deleted, &self.cluster);
                changes.extend(self.known.take(&deleted).map(K::gone));
                false
            }
        };
        let mut queued = self.queue.changes.lock().unwrap_or_else(PoisonError::into_inner);
        queued.append(&mut changes);
        let is_news = !queued.is_empty() || !was_listed;
        drop(queued);
        if !is_listing && is_news {
            self.queue.arrivals.arrived();
        }
    }

    fn applied<K: Fact>(&mut self, applied: &K) -> Option<Change> {
        let object = object(applied, &self.cluster);
        match applied.fact(&self.cluster, &self.prefix) {
            Some(fact) => {
                self.known.insert(object);
                Some(fact)
            }
            None => self.known.take(&object).map(K::gone),
        }
    }
}

fn is_not_installed(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}
