//! Faults as clients meet them: each is proved by what it does to kube-rs, or on the wire.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use axum::http::Request;
use futures::{Stream, StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::client::Body;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::{self, Event, watcher};
use kubeapi::{Answer, Fault, FaultId, Faults, Requests, Verb};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::lab::{Lab, soon, without_retries};

pub fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

fn maps(lab: &Lab) -> Api<ConfigMap> {
    Api::namespaced(lab.client.clone(), "default")
}

async fn create(maps: &Api<ConfigMap>, name: &str) -> kube::Result<ConfigMap> {
    soon("a write", maps.create(&PostParams::default(), &config_map(name))).await
}

fn writes(count: Option<u32>) -> Requests {
    Requests {
        count,
        verbs: Verb::WRITES.to_vec(),
        resources: vec!["configmaps".to_owned()],
        ..Requests::default()
    }
}

fn watches() -> Requests {
    Requests {
        resources: vec!["configmaps".to_owned()],
        ..Requests::default()
    }
}

fn drop_watches(faults: &Faults) -> u64 {
    let id = faults.inject(Fault::DropWatches { requests: watches() });
    faults.struck(id.unwrap()).unwrap()
}

/// The code, the reason, and the header that says when to come again.
async fn read(lab: &Lab, path: &str) -> (u16, Value, Option<String>) {
    let client = without_retries(&lab.server.kubeconfig()).await;
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = client.send(request).await.unwrap();
    let later = response.headers().get("retry-after");
    let later = later.map(|value| value.to_str().unwrap().to_owned());
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let status: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status["kind"], "Status");
    assert_eq!(status["code"], code);
    (code, status["reason"].clone(), later)
}

#[tokio::test]
async fn answers_come_in_place_of_the_work() {
    let lab = Lab::start().await;
    let client = without_retries(&lab.server.kubeconfig()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let faults = lab.server.faults();
    for (with, code, reason, later) in [
        (Answer::TooManyRequests, 429, "TooManyRequests", Some("1")),
        (Answer::InternalError, 500, "InternalError", None),
        (Answer::ServiceUnavailable, 503, "ServiceUnavailable", None),
        (Answer::GatewayTimeout, 504, "Timeout", None),
    ] {
        let requests = Requests::default();
        let id = faults.inject(Fault::Answer { with, requests }).unwrap();
        for path in ["/api/v1/namespaces/default/configmaps", "/version"] {
            let found = read(&lab, path).await;
            assert_eq!(found, (code, json!(reason), later.map(str::to_owned)));
        }
        let refused = create(&maps, "new").await.unwrap_err();
        assert!(
            matches!(refused, kube::Error::Api(status) if status.code == code && status.reason == reason)
        );
        assert!(faults.heal(id));
        assert_eq!(faults.struck(id), Some(3));
        assert!(maps.get_opt("new").await.unwrap().is_none());
    }
    create(&maps, "new").await.unwrap();
}

#[tokio::test]
async fn a_conflict_strikes_only_writes_of_what_is_there() {
    let lab = Lab::start().await;
    let with = Answer::Conflict;
    let requests = Requests::default();
    let id = lab
        .server
        .faults()
        .inject(Fault::Answer { with, requests })
        .unwrap();
    let maps = maps(&lab);
    create(&maps, "mine").await.unwrap();
    let patch = Patch::Merge(json!({"data": {"k": "v"}}));
    let refused = maps
        .patch("mine", &PatchParams::default(), &patch)
        .await
        .unwrap_err();
    let kube::Error::Api(status) = refused else {
        panic!("{refused}")
    };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert!(
        status.message.contains(r#"configmaps "mine""#),
        "{}",
        status.message
    );
    assert_eq!(maps.get("mine").await.unwrap().data, None);
    assert_eq!(lab.server.faults().struck(id), Some(1));
}

#[tokio::test]
async fn a_client_that_tries_again_outlives_a_limited_fault() {
    let lab = Lab::start().await;
    let with = Answer::ServiceUnavailable;
    let requests = writes(Some(2));
    let id = lab
        .server
        .faults()
        .inject(Fault::Answer { with, requests })
        .unwrap();
    // kube-rs tries again by itself.
    create(&maps(&lab), "new").await.unwrap();
    assert_eq!(lab.server.faults().struck(id), Some(2));
    assert_eq!(lab.server.faults().in_force(), []);
}

#[tokio::test]
async fn faults_stand_in_front_of_authorization_and_tell_users_apart() {
    let lab = Lab::start().await;
    let as_user = async |name: &str| {
        let kubeconfig = lab.server.kubeconfig_for_user(name, &[]).unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(without_retries(&kubeconfig).await, "default");
        match maps.list(&ListParams::default()).await {
            Err(kube::Error::Api(status)) => status.code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(as_user("struck").await, 403);
    let requests = Requests {
        user: Some("struck".to_owned()),
        ..Requests::default()
    };
    let with = Answer::ServiceUnavailable;
    let id = lab
        .server
        .faults()
        .inject(Fault::Answer { with, requests })
        .unwrap();
    assert_eq!((as_user("struck").await, as_user("spared").await), (503, 403));
    assert!(maps(&lab).list(&ListParams::default()).await.is_ok());
    assert_eq!(lab.server.faults().struck(id), Some(1));
}

#[tokio::test]
async fn a_write_whose_reply_is_cut_is_done() {
    let lab = Lab::start().await;
    let maps = maps(&lab);
    let requests = writes(Some(1));
    let id = lab
        .server
        .faults()
        .inject(Fault::CutReplies { requests })
        .unwrap();
    let cut = create(&maps, "new").await.unwrap_err();
    assert!(!matches!(cut, kube::Error::Api(_)), "{cut}");
    assert_eq!(lab.server.faults().struck(id), Some(1));
    let again = create(&maps, "new").await.unwrap_err();
    assert!(matches!(again, kube::Error::Api(status) if status.reason == "AlreadyExists"));
}

#[tokio::test]
async fn a_cut_reply_begins_as_the_whole_one() {
    let lab = Lab::start().await;
    let path = "/api/v1/namespaces/default";
    let request = || Request::get(path).body(Body::empty()).unwrap();
    let whole = lab.client.send(request()).await.unwrap();
    let whole = whole.into_body().collect().await.unwrap().to_bytes();
    let requests = Requests::default();
    lab.server
        .faults()
        .inject(Fault::CutReplies { requests })
        .unwrap();
    let reply = soon("a reply", lab.client.send(request())).await.unwrap();
    assert_eq!(reply.status(), 200);
    let mut chunks = pin!(reply.into_body().into_data_stream());
    let mut read = Vec::new();
    let end = loop {
        match soon("the end", chunks.next()).await {
            Some(Ok(chunk)) => read.extend_from_slice(&chunk),
            end => break end,
        }
    };
    assert!(matches!(end, Some(Err(_))), "it ended as if it were whole");
    assert_eq!(read, whole[..whole.len() / 2]);
}

fn delayed_writes(millis: u64, count: Option<u32>) -> Fault {
    Fault::Delay {
        by: Duration::from_millis(millis),
        requests: writes(count),
    }
}

async fn has_struck(faults: &Faults, id: FaultId) {
    soon("the fault to strike", async {
        while faults.struck(id) == Some(0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_write_that_is_delayed_is_done_late_or_not_at_all() {
    let lab = Lab::start().await;
    let maps = maps(&lab);
    let faults = lab.server.faults();
    let given_up = faults.inject(delayed_writes(300, Some(1))).unwrap();
    tokio::select! {
        _ = create(&maps, "never") => panic!("it was not delayed"),
        () = has_struck(&faults, given_up) => {}
    }
    // This one ends after what was given up would have.
    faults.inject(delayed_writes(400, Some(1))).unwrap();
    let begin = Instant::now();
    create(&maps, "late").await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(400));
    assert!(maps.get_opt("never").await.unwrap().is_none());
    assert_eq!(faults.in_force(), []);
}

#[tokio::test]
async fn a_healed_delay_lets_go_at_once() {
    let lab = Lab::start().await;
    let maps = maps(&lab);
    let faults = lab.server.faults();
    let minute = faults.inject(delayed_writes(60_000, None)).unwrap();
    let heal = async {
        has_struck(&faults, minute).await;
        faults.heal(minute)
    };
    let (created, healed) = tokio::join!(create(&maps, "freed"), heal);
    assert!(created.is_ok() && healed);
}

/// What a watcher tells; an error is told as such.
async fn next<S>(events: &mut S) -> String
where
    S: Stream<Item = watcher::Result<Event<ConfigMap>>> + Unpin,
{
    match soon("a watcher event", events.next()).await.unwrap() {
        Ok(event) => event.to_string(),
        Err(error) => {
            assert!(!matches!(error, watcher::Error::WatchError(_)), "{error}");
            "broken".to_owned()
        }
    }
}

async fn until<S>(events: &mut S, last: &str) -> Vec<String>
where
    S: Stream<Item = watcher::Result<Event<ConfigMap>>> + Unpin,
{
    let mut told = Vec::new();
    while told.last().is_none_or(|event| event != last) {
        told.push(next(events).await);
    }
    told
}

#[tokio::test]
async fn a_watcher_goes_on_where_its_dropped_watch_ended() {
    let lab = Lab::start().await;
    let maps = maps(&lab);
    create(&maps, "old").await.unwrap();
    let mut events = pin!(watcher(maps.clone(), watcher::Config::default()));
    until(&mut events, "InitDone").await;
    // The watch runs once something has come from it.
    create(&maps, "before").await.unwrap();
    assert_eq!(next(&mut events).await, "Apply(before)");
    assert_eq!(drop_watches(&lab.server.faults()), 1);
    create(&maps, "after").await.unwrap();
    let mut told = until(&mut events, "Apply(after)").await;
    told.retain(|event| event != "broken");
    assert_eq!(told, ["Apply(after)"], "it listed again");
    assert_eq!(drop_watches(&lab.server.faults()), 1);
}

#[tokio::test]
async fn only_the_watches_that_are_meant_are_dropped() {
    let lab = Lab::start().await;
    let request = Request::get("/api/v1/namespaces/default/configmaps?watch=1");
    let dropped = lab.client.send(request.body(Body::empty()).unwrap()).await;
    let others: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "kube-system");
    let mut spared = others.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let requests = Requests {
        namespace: Some("default".to_owned()),
        ..Requests::default()
    };
    let faults = lab.server.faults();
    let id = faults.inject(Fault::DropWatches { requests }).unwrap();
    assert_eq!(faults.struck(id), Some(1));
    let end = soon("the end", dropped.unwrap().into_body().collect()).await;
    assert!(end.is_err(), "it ended as by its time");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "kube-system"}});
    lab.server.local().create(&map).unwrap();
    let event = soon("an event", spared.next()).await.unwrap().unwrap();
    assert!(matches!(event, WatchEvent::Added(map) if map.name_any() == "m"));
}

#[tokio::test]
async fn new_watches_are_refused_by_an_answer() {
    let lab = Lab::start().await;
    let requests = Requests {
        verbs: vec![Verb::Watch],
        ..Requests::default()
    };
    let with = Answer::InternalError;
    lab.server
        .faults()
        .inject(Fault::Answer { with, requests })
        .unwrap();
    let maps = maps(&lab);
    assert!(maps.list(&ListParams::default()).await.is_ok());
    let (code, reason, _) = read(&lab, "/api/v1/configmaps?watch=1").await;
    assert_eq!((code, reason), (500, json!("InternalError")));
}

#[tokio::test]
async fn a_compaction_makes_clients_that_lag_behind_list_again() {
    let lab = Lab::start().await;
    let maps = maps(&lab);
    for name in ["a", "b", "c"] {
        create(&maps, name).await.unwrap();
    }
    let page = maps.list(&ListParams::default().limit(1)).await.unwrap();
    let token = page.metadata.continue_.unwrap();
    let mut events = pin!(watcher(maps.clone(), watcher::Config::default()));
    until(&mut events, "InitDone").await;
    create(&maps, "before").await.unwrap();
    assert_eq!(next(&mut events).await, "Apply(before)");

    let id = lab.server.faults().inject(Fault::Compact).unwrap();
    let later = ListParams::default().limit(1).continue_token(&token);
    let expired = maps.list(&later).await.unwrap_err();
    assert!(matches!(expired, kube::Error::Api(status) if status.code == 410 && status.reason == "Expired"));
    let old = page.metadata.resource_version.unwrap();
    let mut watch = maps.watch(&WatchParams::default(), &old).await.unwrap().boxed();
    let told = soon("an event", watch.next()).await.unwrap().unwrap();
    assert!(matches!(told, WatchEvent::Error(status) if status.code == 410 && status.reason == "Expired"));
    assert_eq!(lab.server.faults().struck(id), Some(2));

    // A watch that has seen everything goes on.
    create(&maps, "after").await.unwrap();
    assert_eq!(next(&mut events).await, "Apply(after)");
    // One that comes back from before has to list, and so has one that has not yet looked at the last write.
    lab.server
        .local()
        .create(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "unseen"}}))
        .unwrap();
    let id = lab.server.faults().inject(Fault::Compact).unwrap();
    drop_watches(&lab.server.faults());
    let mut relisted = Vec::new();
    while relisted.last().is_none_or(|event| event != "InitDone") {
        match soon("a watcher event", events.next()).await.unwrap() {
            Ok(event) => relisted.push(event.to_string()),
            Err(watcher::Error::WatchError(status)) => relisted.push(status.code.to_string()),
            Err(_) => {}
        }
    }
    assert_eq!(relisted[..2], ["410", "Init"]);
    assert_eq!(lab.server.faults().struck(id), Some(1));
}

#[tokio::test]
async fn a_reflector_is_right_again_when_the_api_is_back() {
    let lab = Lab::start().await;
    let maps = maps(&lab);
    create(&maps, "old").await.unwrap();
    let (store, writer) = reflector::store();
    let stream = watcher(maps.clone(), watcher::Config::default())
        .reflect(writer)
        .map_err(drop);
    let reflecting = tokio::spawn(stream.for_each(|_| std::future::ready(())));
    soon("the first list", store.wait_until_ready()).await.unwrap();

    let faults = lab.server.faults();
    let down = faults.inject(Fault::Down).unwrap();
    let open = faults.struck(down).unwrap();
    assert!(open >= 1, "the watch has a connection");
    maps.list(&ListParams::default()).await.unwrap_err();
    assert!(faults.struck(down) > Some(open));
    // Whoever is inside goes on.
    let local = lab.server.local();
    let reference = |name: &str| kubeapi::ObjectRef::namespaced("v1", "ConfigMap", "default", name);
    local.delete(&reference("old")).unwrap();
    let new = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}});
    local.create(&new).unwrap();
    assert!(store.get(&ObjectRef::new("old").within("default")).is_some());

    assert_eq!(faults.heal_all(), 1);
    let is_right = || {
        let names: BTreeMap<String, ()> = store.state().iter().map(|map| (map.name_any(), ())).collect();
        names.contains_key("new") && !names.contains_key("old")
    };
    soon("the reflector to catch up", async {
        while !is_right() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    reflecting.abort();
}

#[tokio::test]
async fn connections_to_an_api_that_is_down_are_reset() {
    let lab = Lab::start().await;
    let kubeconfig = kube::config::Kubeconfig::from_yaml(&lab.server.kubeconfig()).unwrap();
    let url = kubeconfig.clusters[0].cluster.clone().unwrap().server.unwrap();
    let address = url.trim_start_matches("https://").to_owned();
    let faults = lab.server.faults();
    let mut open = tokio::net::TcpStream::connect(&address).await.unwrap();
    // An answer to something says that the connection is served.
    open.write_all(b"no handshake").await.unwrap();
    assert_ne!(soon("an alert", open.read(&mut [0; 64])).await.unwrap(), 0);

    let mut idle = tokio::net::TcpStream::connect(&address).await.unwrap();
    soon("the connection to be accepted", async {
        while faults.struck(faults.inject(Fault::Down).unwrap()) == Some(0) {
            faults.heal_all();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let mut new = tokio::net::TcpStream::connect(&address).await.unwrap();
    for stream in [&mut idle, &mut new] {
        let end = soon("the end", stream.read(&mut [0; 64])).await;
        assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }
    faults.heal_all();
    assert_eq!(read(&lab, "/api/v1/nothings").await.0, 404);
}
