//! `GET` of a collection: pages of one revision, and where a watch starts.

use std::ops::Bound;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Api;
use crate::resources::Resource;
use crate::selector::Selector;
use crate::status::{Reason, Status};
use crate::store::{Document, Expired, Key, Scope, State, Watch, WatchEvent};

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
            page(state, resource, request, revision, after)
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

/// Reads the objects of a page and no others, unless it is the selector that tells which these are.
fn page(
    state: &State,
    resource: &Resource,
    request: &ListRequest,
    revision: u64,
    after: Option<Key>,
) -> Result<Page, Status> {
    let snapshot = state
        .scan_at(&resource.storage, request.namespace.as_deref(), revision)
        .map_err(|Expired { .. }| Status::expired())?;
    let limit = match request.limit {
        0 => usize::MAX,
        limit => limit,
    };
    let mut rest = snapshot.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
    let matching = |(key, document): (&Key, &Document)| {
        let object = document.read();
        request
            .selector
            .matches(&object)
            .then(|| (key.clone(), resource.encode(&object)))
    };
    let items: Vec<_> = rest.by_ref().filter_map(matching).take(limit).collect();
    let is_everything = request.selector.is_everything();
    let remaining = match is_everything {
        true => rest.count(),
        false => rest.filter_map(matching).take(1).count(),
    };
    let last = items.last().filter(|_| remaining > 0);
    Ok(Page {
        revision,
        continue_token: last.map(|(key, _)| ContinueToken::encode(revision, key)),
        remaining: (remaining > 0 && is_everything).then_some(remaining),
        items: items.into_iter().map(|(_, object)| object).collect(),
    })
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
