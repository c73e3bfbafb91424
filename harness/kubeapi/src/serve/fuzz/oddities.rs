//! What no client would send, in place of a part of what one would.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::mutations::{odd_value, words};
use super::requests::{Asked, query};

/// Where things differ from what a client would send.
#[derive(Debug, Clone)]
pub(super) enum Oddity {
    Method(&'static str),
    Path(String),
    Below(String),
    Header(&'static str, Vec<u8>),
    Body(Vec<u8>),
    Truncated(Index),
    Twice,
}

pub(super) fn any_oddity() -> impl Strategy<Value = Oddity> {
    let methods = words("GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE BREW");
    let below = words("/ /x /status /scale // /.. /%2e%2e /%00 /%ff %20 /log /finalize");
    let media_types = words(
        "application/json application/yaml application/json-patch+json application/merge-patch+json \
         application/strategic-merge-patch+json application/apply-patch+yaml application/apply-patch+cbor \
         application/cbor application/vnd.kubernetes.protobuf application/json;charset=utf-8 text/plain",
    );
    let headers = words(
        "user-agent impersonate-user impersonate-group impersonate-extra-%ff if-none-match content-type authorization",
    );
    prop_oneof![
        3 => methods.prop_map(Oddity::Method),
        2 => any_path().prop_map(Oddity::Path),
        2 => below.prop_map(|below| Oddity::Below(below.to_owned())),
        4 => media_types.prop_map(|value| Oddity::Header("content-type", value.into())),
        1 => (headers, vec(any::<u8>(), 0..16)).prop_map(|(name, value)| Oddity::Header(name, value)),
        4 => any_body().prop_map(Oddity::Body),
        1 => any::<Index>().prop_map(Oddity::Truncated),
        1 => Just(Oddity::Twice),
    ]
}

impl Oddity {
    pub(super) fn befall(self, asked: &mut Asked) {
        match self {
            Oddity::Method(method) => method.clone_into(&mut asked.method),
            Oddity::Path(path) => asked.path = path,
            Oddity::Below(below) => asked.path.push_str(&below),
            Oddity::Header(name, value) => asked.headers.push((name, value)),
            Oddity::Body(body) => asked.body = body,
            Oddity::Truncated(at) => asked.body.truncate(at.index(asked.body.len() + 1)),
            // Every key of an object comes twice, the second time with what the first key had.
            Oddity::Twice => {
                let text = String::from_utf8_lossy(&asked.body);
                asked.body = text
                    .replace("\"metadata\":", "\"metadata\":{},\"metadata\":")
                    .into_bytes();
            }
        }
    }
}

fn any_path() -> impl Strategy<Value = String> {
    let known = words(
        "/ /api /apis /version /healthz /openapi/v2 /openapi/v3 /openapi/v3/api/v1 /apis/apps /apis/apps/v1 /api/v1 \
         /openapi/v3/apis/fuzz.example.com/v1 /api/v2 /apis/none/v1 /api/v1/watch/pods /api//pods /metrics \
         /api/v1/watch/namespaces/default/pods/as /api/v1/namespaces /api/v1/namespaces/default/finalize \
         /apis/authorization.k8s.io/v1/subjectaccessreviews /api/v1/namespaces/default/serviceaccounts/default/token \
         /api/v1/%F0%28%8C%28 /apis/%ff/v1 /openapi/v3/api/%ff /apis/%ff /api/%c3%28",
    );
    let segment = prop_oneof![
        words("api apis v1 apps namespaces default pods as status watch scale .").prop_map(str::to_owned),
        vec(any::<u8>(), 0..6).prop_map(|segment| query(&[("", segment)])[1..].to_owned()),
    ];
    prop_oneof![
        known.prop_map(str::to_owned),
        vec(segment, 0..8).prop_map(|segments| format!("/{}", segments.join("/"))),
    ]
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let known: [&'static [u8]; 12] = [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\"x\"",
        b"{\"metadata\":null}",
        b"k8s\0",
        b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap",
        b"\xd9\xd9\xf7\xa1\x61\x61\x01",
        b"a: &a [*a]",
        b"---\n---\n",
        b"{\"kind\":\"DeleteOptions\",\"preconditions\":{\"uid\":\"u\"}}",
    ];
    prop_oneof![
        6 => select(known.to_vec()).prop_map(<[u8]>::to_vec),
        3 => odd_value().prop_map(|value| value.to_string().into_bytes()),
        2 => vec(any::<u8>(), 0..64),
        1 => vec(any::<u8>(), 0..64).prop_map(|rest| [b"k8s\0".to_vec(), rest].concat()),
        1 => (1_usize..20_000).prop_map(|depth| "[".repeat(depth).into_bytes()),
        1 => (1_usize..5_000).prop_map(|depth| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)).into_bytes()),
        1 => (1_usize..2_000).prop_map(|depth| format!("{}1", "- ".repeat(depth)).into_bytes()),
        1 => bombs(),
    ]
}

/// Bodies that say more than they hold, or hold more than is read.
fn bombs() -> impl Strategy<Value = Vec<u8>> {
    let laughs = (1..9).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
        let last = format!("*a{}", n - 1);
        let many = vec![last; 9].join(", ");
        format!("{text}a{n}: &a{n} [{many}]\n")
    });
    select(vec![
        laughs.into_bytes(),
        format!("{{\"data\":\"{}\"}}", "x".repeat(3 << 20)).into_bytes(),
    ])
}
