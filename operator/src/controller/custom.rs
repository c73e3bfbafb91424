//! Watches on resources that may not be installed.
//!
//! Owns the local copy and the knowledge whether the cluster has the resource at all. Invariant: where it has not, the
//! log says so once, and it is looked for again at the pace of failed watches.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::StreamExt;
use kube::runtime::reflector::{Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::backoff::Backoff;

/// A watch on resources of one kind; dropping it ends it.
pub(super) struct Custom<K: Resource + 'static>
where
    K::DynamicType: Eq + Hash,
{
    copies: Store<K>,
    listed: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl<K> Custom<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
{
    /// Watches all, and wakes `changed` for every change.
    pub(super) fn start(api: Api<K>, changed: Arc<Notify>) -> Self {
        let (copies, writer) = store();
        let (listing, listed) = watch::channel(false);
        let task = tokio::spawn(async move {
            let kind = K::kind(&K::DynamicType::default()).into_owned();
            let mut absent = false;
            let events = watcher(api, watcher::Config::default())
                .modify(|object| object.meta_mut().managed_fields = None)
                .reflect(writer)
                .backoff(Backoff::default());
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                match event {
                    Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
                    Ok(event) => {
                        if matches!(event, watcher::Event::InitDone) {
                            absent = false;
                            listing.send_replace(true);
                        }
                        changed.notify_one();
                    }
                    Err(error) if is_not_found(&error) => {
                        listing.send_replace(false);
                        if !std::mem::replace(&mut absent, true) {
                            info!(kind, "resource not installed, nothing is shown there");
                        }
                    }
                    Err(error) => warn!(
                        kind,
                        error = &error as &dyn std::error::Error,
                        "watch interrupted"
                    ),
                }
            }
        });
        Self { copies, listed, task }
    }

    /// All of them; `None` before they were listed, and where there is no such resource.
    pub(super) fn all(&self) -> Option<Vec<Arc<K>>> {
        self.listed.borrow().then(|| self.copies.state())
    }
}

impl<K: Resource + 'static> Drop for Custom<K>
where
    K::DynamicType: Eq + Hash,
{
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn is_not_found(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}
