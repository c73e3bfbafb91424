//! Any request: one that a client would send, more or less.

use std::fmt;

use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use super::kinds::{KINDS, Kind, NAMES};
use super::mutations::{any_mutation, odd_value, pointers, words};
use super::oddities::any_oddity;

/// A request, before it is one.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: Vec<(&'static str, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}?{}", self.method, self.path, self.query)?;
        for (name, value) in &self.headers {
            write!(f, " | {name}: {}", value.escape_ascii())?;
        }
        let shown = &self.body[..self.body.len().min(4096)];
        write!(
            f,
            " | {} octets: {}",
            self.body.len(),
            String::from_utf8_lossy(shown)
        )
    }
}

impl Asked {
    /// A plain read.
    pub(super) fn get(path: &str, query: &str) -> Self {
        Asked {
            method: "GET".to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// What a client creates.
    pub(super) fn create(path: &str, object: &Value) -> Self {
        Asked {
            method: "POST".to_owned(),
            body: object.to_string().into_bytes(),
            ..Asked::get(path, "")
        }
    }

    pub(super) fn accept(&self) -> &[u8] {
        let accept = self.headers.iter().find(|(name, _)| *name == "accept");
        accept.map_or(b"", |(_, value)| value)
    }

    /// The request of whoever has the token; none where HTTP itself does not let it be.
    pub(super) fn request(&self, token: &str) -> Option<Request<Body>> {
        let uri = match self.query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        };
        let mut request = Request::builder().method(self.method.as_str()).uri(uri);
        let headers = request.headers_mut()?;
        headers.insert(
            header::AUTHORIZATION,
            HeaderValue::from_str(&format!("Bearer {token}")).ok()?,
        );
        for (name, value) in &self.headers {
            headers.insert(*name, HeaderValue::from_bytes(value).ok()?);
        }
        request.body(Body::from(self.body.clone())).ok()
    }
}

/// What a client is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Create,
    Replace,
    Merge,
    JsonPatch,
    Strategic,
    Apply,
    Delete,
    DeleteAll,
    Get,
    List,
    Watch,
}

/// Any request.
pub(super) fn any_request() -> impl Strategy<Value = Asked> {
    let work = prop_oneof![
        6 => Just(Work::Create),
        3 => Just(Work::Replace),
        3 => Just(Work::Merge),
        3 => Just(Work::JsonPatch),
        2 => Just(Work::Strategic),
        4 => Just(Work::Apply),
        3 => Just(Work::Delete),
        1 => Just(Work::DeleteAll),
        2 => Just(Work::Get),
        3 => Just(Work::List),
        1 => Just(Work::Watch),
    ];
    let below = prop_oneof![8 => Just(""), 2 => Just("/status"), 2 => Just("/scale"), 1 => Just("/token"), 1 => Just("/eviction")];
    let place = (any::<Index>(), select(&NAMES[..]), any_namespace(), below);
    let mutations = vec(any_mutation(), 0..3);
    let options = prop_oneof![2 => Just(Vec::new()), 1 => vec(any_option(), 1..4)];
    let oddities = prop_oneof![6 => Just(Vec::new()), 1 => vec(any_oddity(), 1..3)];
    let content = (mutations, vec(any_operation(), 0..4), any::<bool>());
    (work, place, content, options, any_accept(), oddities).prop_map(
        |(
            work,
            (kind, name, namespace, below),
            (mutations, operations, in_yaml),
            options,
            accept,
            oddities,
        )| {
            let kind = kind.get(&KINDS);
            let mut object = kind.sample(name);
            mutations.iter().for_each(|mutation| mutation.change(&mut object));
            let mut asked = plain(work, kind, name, namespace, below);
            asked.body = content_of(work, &object, &operations, in_yaml, &mut asked);
            asked.query = [asked.query, query(&options)]
                .join("&")
                .trim_matches('&')
                .to_owned();
            if let Some(accept) = accept {
                asked.headers.push(("accept", accept));
            }
            oddities.into_iter().for_each(|oddity| oddity.befall(&mut asked));
            asked
        },
    )
}

/// A request without its body.
fn plain(work: Work, kind: &Kind, name: &str, namespace: Option<&str>, below: &str) -> Asked {
    let one = || {
        let namespace = namespace.or(Some("default"));
        format!("{}/{}{below}", kind.path(namespace), kind.named(name))
    };
    let (method, path) = match work {
        // The token of a ServiceAccount is made, not stored.
        Work::Create if matches!(below, "/token" | "/eviction") => ("POST", one()),
        Work::Create => ("POST", kind.path(namespace.or(Some("default")))),
        Work::DeleteAll => ("DELETE", kind.path(namespace)),
        Work::List | Work::Watch => ("GET", kind.path(namespace)),
        Work::Replace => ("PUT", one()),
        Work::Delete => ("DELETE", one()),
        Work::Get => ("GET", one()),
        Work::Merge | Work::JsonPatch | Work::Strategic | Work::Apply => ("PATCH", one()),
    };
    let query = match work {
        Work::Watch => "watch=1&allowWatchBookmarks=true",
        Work::Apply => "fieldManager=me",
        _ => "",
    };
    Asked {
        method: method.to_owned(),
        ..Asked::get(&path, query)
    }
}

/// The body for the work, whose media type it adds.
fn content_of(
    work: Work,
    object: &Value,
    operations: &[Operation],
    in_yaml: bool,
    asked: &mut Asked,
) -> Vec<u8> {
    let media_type = match work {
        Work::Create | Work::Replace if in_yaml => "application/yaml",
        Work::Create | Work::Replace => "application/json",
        Work::Merge => "application/merge-patch+json",
        Work::JsonPatch => "application/json-patch+json",
        Work::Strategic => "application/strategic-merge-patch+json",
        Work::Apply => "application/apply-patch+yaml",
        Work::Delete | Work::DeleteAll | Work::Get | Work::List | Work::Watch => return Vec::new(),
    };
    asked.headers.push(("content-type", media_type.into()));
    if work == Work::JsonPatch {
        let places = pointers(object);
        let operations: Vec<Value> = operations.iter().map(|operation| operation.at(&places)).collect();
        return json!(operations).to_string().into_bytes();
    }
    let may_be_yaml = matches!(work, Work::Create | Work::Replace | Work::Apply);
    match serde_saphyr::to_string(object) {
        Ok(yaml) if in_yaml && may_be_yaml => yaml.into_bytes(),
        _ => object.to_string().into_bytes(),
    }
}

/// One operation of a JSON patch.
#[derive(Debug, Clone)]
struct Operation {
    op: &'static str,
    path: (Index, &'static str),
    from: Index,
    value: Value,
}

impl Operation {
    fn at(&self, places: &[String]) -> Value {
        let (path, suffix) = &self.path;
        let path = format!("{}{suffix}", path.get(places));
        json!({"op": self.op, "path": path, "from": self.from.get(places), "value": self.value})
    }
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let op = words("add remove replace move copy test merge");
    let suffix = prop_oneof![3 => Just(""), 1 => words("/- /0 /new /18446744073709551616 /~2 / ~")];
    let path = (any::<Index>(), suffix);
    (op, path, any::<Index>(), odd_value()).prop_map(|(op, path, from, value)| Operation {
        op,
        path,
        from,
        value,
    })
}

fn any_namespace() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![
        12 => Just(Some("default")),
        3 => Just(None),
        2 => Just(Some("as")),
        1 => Just(Some("kube-system")),
        1 => Just(Some("%ff")),
    ]
}

fn any_accept() -> impl Strategy<Value = Option<Vec<u8>>> {
    let known = words(
        "*/* application/json application/yaml application/cbor application/vnd.kubernetes.protobuf \
         application/json;as=Table;v=v1;g=meta.k8s.io,application/json application/json;as=Table;g=meta.k8s.io;v=v1 \
         application/json;as=Table;v=v9;g=meta.k8s.io application/vnd.kubernetes.protobuf,*/* \
         application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1 \
         application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json \
         application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io",
    );
    prop_oneof![
        6 => Just(None),
        3 => known.prop_map(|accept| Some(accept.into())),
        1 => vec(any::<u8>(), 0..20).prop_map(Some),
    ]
}

/// A parameter of a query, not encoded.
fn any_option() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let name = words(
        "labelSelector fieldSelector limit continue resourceVersion resourceVersionMatch watch timeoutSeconds \
         allowWatchBookmarks sendInitialEvents dryRun fieldManager fieldValidation force propagationPolicy \
         gracePeriodSeconds orphanDependents includeObject pretty unknown",
    );
    let values = words(
        "1 0 2 -1 true false All Strict Warn Ignore Exact NotOlderThan 18446744073709551615 18446744073709551616 \
         9223372036854775807 Foreground Background Orphan Object None app=web app= == a,!b metadata.name=as \
         metadata.name!=as spec.color=red status.phase=Running spec.nodeName= a=b=c é me",
    );
    let value = prop_oneof![
        9 => values.prop_map(|value| value.as_bytes().to_vec()),
        1 => words("app+in+(web,x),!y a+notin+()").prop_map(|value| value.replace('+', " ").into_bytes()),
        1 => vec(any::<u8>(), 0..16),
    ];
    (name, value)
}

pub(super) fn query(options: &[(&str, Vec<u8>)]) -> String {
    let encode = |value: &[u8]| {
        percent_encoding::percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let options = options
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)));
    options.collect::<Vec<_>>().join("&")
}

/// Some requests, one after the other.
pub(super) fn any_history() -> impl Strategy<Value = Vec<Asked>> {
    vec(any_request(), 1..10)
}
