//! `GET` of a collection: pages of one revision, and where a watch starts.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Api;
use crate::resources::Resource;
use crate::selector::Selector;
use crate::status::{Reason, Status};
use crate::store::{Expired, Key, Scope, State, Watch, WatchEvent};

/// Which objects, and how many of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListRequest {
    pub(crate) namespace: Option<String>,
    pub(crate) selector: Selector,
    /// The page size; 0 is no limit.
    pub(crate) limit: usize,
    /// The token of the page before.
    pub(crate) continue_token: Option<String>,
    pub(crate) version: VersionMatch,
}

/// How old the answer of a list may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum VersionMatch {
    #[default]
    Newest,
    NotOlderThan(u64),
    Exact(u64),
}

/// One page of a list.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) items: Vec<Arc<Value>>,
    pub(crate) revision: u64,
    pub(crate) continue_token: Option<String>,
    pub(crate) remaining: Option<usize>,
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WatchStart {
    /// With every existing object as added.
    Existing,
    /// With the first change from now on.
    Newest,
    /// With the first change after the revision.
    After(u64),
}

/// The next page: the revision of the first one, and the last key of the one before.
#[derive(Debug, Serialize, Deserialize)]
struct ContinueToken {
    revision: u64,
    namespace: String,
    name: String,
}

impl Api {
    pub(crate) fn list(&self, resource: &Resource, request: &ListRequest) -> Result<Page, Status> {
        let resume = request
            .continue_token
            .as_deref()
            .map(ContinueToken::decode)
            .transpose()?;
        self.store.read(|state| {
            let revision = match (&resume, request.version) {
                (Some(token), _) => token.revision,
                (None, VersionMatch::Exact(revision)) => revision,
                (None, VersionMatch::Newest) => state.revision(),
                (None, VersionMatch::NotOlderThan(oldest)) => state.revision().max(oldest),
            };
            if revision > state.revision() {
                return Err(Status::from_the_future(revision, state.revision()));
            }
            let after = resume.map(|token| Key {
                namespace: token.namespace,
                name: token.name,
            });
            let matching = matching(state, resource, request, revision, after)?;
            Ok(page(resource, request, revision, matching))
        })
    }

    /// A watch, and the events it opens with.
    pub(crate) fn watch(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        selector: Selector,
        start: WatchStart,
    ) -> (Vec<WatchEvent>, Watch) {
        let scope = Scope {
            storage: Arc::clone(&resource.storage),
            namespace: namespace.map(str::to_owned),
            selector,
        };
        match start {
            WatchStart::Newest => {
                let revision = self.store.read(State::revision);
                (Vec::new(), Watch::after(&self.store, scope, revision))
            }
            WatchStart::After(revision) => (Vec::new(), Watch::after(&self.store, scope, revision)),
            WatchStart::Existing => {
                let (existing, revision) = self.store.read(|state| {
                    let objects = state.scan(&scope.storage, namespace).map(|(_, object)| object);
                    let matching = objects.filter(|object| scope.selector.matches(object)).map(added);
                    (matching.collect(), state.revision())
                });
                (existing, Watch::after(&self.store, scope, revision))
            }
        }
    }
}

fn added(object: Arc<Value>) -> WatchEvent {
    WatchEvent {
        kind: crate::store::ChangeKind::Added,
        object,
    }
}

fn matching(
    state: &State,
    resource: &Resource,
    request: &ListRequest,
    revision: u64,
    after: Option<Key>,
) -> Result<Vec<(Key, Arc<Value>)>, Status> {
    let namespace = request.namespace.as_deref();
    let wanted = |key: &Key, object: &Value| {
        after.as_ref().is_none_or(|after| key > after) && request.selector.matches(object)
    };
    if revision == state.revision() {
        let current = state
            .scan(&resource.storage, namespace)
            .filter(|(key, object)| wanted(key, object));
        return Ok(current.map(|(key, object)| (key.clone(), object)).collect());
    }
    let snapshot = state
        .scan_at(&resource.storage, namespace, revision)
        .map_err(|Expired { .. }| Status::expired())?;
    Ok(snapshot
        .into_iter()
        .filter(|(key, object)| wanted(key, object))
        .collect())
}

fn page(
    resource: &Resource,
    request: &ListRequest,
    revision: u64,
    mut matching: Vec<(Key, Arc<Value>)>,
) -> Page {
    let total = matching.len();
    let mut continue_token = None;
    if request.limit > 0 && total > request.limit {
        matching.truncate(request.limit);
        continue_token = matching
            .last()
            .map(|(key, _)| ContinueToken::encode(revision, key));
    }
    let remaining =
        (continue_token.is_some() && request.selector.is_everything()).then(|| total - matching.len());
    let items = matching
        .iter()
        .map(|(_, object)| resource.encode(object))
        .collect();
    Page {
        items,
        revision,
        continue_token,
        remaining,
    }
}

impl ContinueToken {
    fn encode(revision: u64, last: &Key) -> String {
        let token = ContinueToken {
            revision,
            namespace: last.namespace.clone(),
            name: last.name.clone(),
        };
        URL_SAFE_NO_PAD.encode(serde_json::json!(token).to_string())
    }

    fn decode(text: &str) -> Result<Self, Status> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| {
                Status::new(
                    Reason::BadRequest,
                    "invalid continue token: continue key is not valid: expected the token of the previous page",
                )
            })
    }
}
