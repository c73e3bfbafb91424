use std::pin::pin;

use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Resource, ResourceExt};
use kubeapi::{Local, ObjectRef};
use serde_json::{Value, json};

use crate::lab::{Lab, soon};

fn config_map(name: &str, color: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"color": color}}})).unwrap()
}

/// More changes than the server remembers.
fn outrun_history(local: &Local) {
    let manifest = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "busy", "namespace": "default"},
        "data": {"padding": "x".repeat(512)},
    });
    local.create(&manifest).unwrap();
    let busy = ObjectRef::of(&manifest);
    for n in 0..17_000 {
        local
            .merge_patch(&busy, json!({"data": {"n": n.to_string()}}))
            .unwrap();
    }
}

async fn next_line<K>(
    events: &mut (impl Stream<Item = kube::Result<WatchEvent<K>>> + Unpin),
) -> WatchEvent<K> {
    soon("a watch event", events.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_watcher_of_kube_rs_follows_a_selector() {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    maps.create(&PostParams::default(), &config_map("old", "red"))
        .await
        .unwrap();
    let mut events = pin!(watcher(
        maps.clone(),
        watcher::Config::default().labels("color=red")
    ));
    let mut told = Vec::new();
    let mut step = 0;
    while told.len() < 7 {
        let event = soon("a watcher event", events.try_next()).await.unwrap().unwrap();
        told.push(event.to_string());
        if told.last().is_some_and(|last| last.starts_with("InitDone")) && step == 0 {
            step = 1;
            maps.create(&PostParams::default(), &config_map("new", "red"))
                .await
                .unwrap();
            maps.create(&PostParams::default(), &config_map("other", "blue"))
                .await
                .unwrap();
            let local = lab.server.local();
            let color = |name: &str, color: &str| {
                let map = ObjectRef::namespaced("v1", "ConfigMap", "default", name);
                local
                    .merge_patch(&map, json!({"metadata": {"labels": {"color": color}}}))
                    .unwrap();
            };
            color("new", "blue");
            color("other", "red");
            maps.delete("other", &DeleteParams::default()).await.unwrap();
        }
    }
    assert_eq!(
        told,
        [
            "Init",
            "InitApply(old)",
            "InitDone",
            "Apply(new)",
            "Delete(new)",
            "Apply(other)",
            "Delete(other)"
        ]
    );
}

#[tokio::test]
async fn a_streaming_list_marks_the_end_of_what_exists() {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    maps.create(&PostParams::default(), &config_map("old", "red"))
        .await
        .unwrap();
    let events = watcher(maps, watcher::Config::default().streaming_lists());
    let told: Vec<Event<ConfigMap>> = soon("a list", events.take(3).try_collect()).await.unwrap();
    assert!(
        matches!(&told[..], [Event::Init, Event::InitApply(map), Event::InitDone] if map.name_any() == "old")
    );
}

#[tokio::test]
async fn a_watch_from_a_forgotten_version_is_told_so_in_its_stream() {
    let lab = Lab::start().await;
    outrun_history(&lab.server.local());
    let request = axum::http::Request::get("/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=2");
    let request = request.body(kube::client::Body::empty()).unwrap();
    let response = lab.client.send(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap()
        .to_bytes();
    let lines: Vec<Value> = body
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["type"], "ERROR");
    assert_eq!(
        (&lines[0]["object"]["code"], &lines[0]["object"]["reason"]),
        (&json!(410), &json!("Expired"))
    );
}

#[tokio::test]
async fn a_watcher_that_cannot_keep_up_lists_again() {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    let mut events = pin!(watcher(maps, watcher::Config::default()));
    while !matches!(
        soon("the first list", events.try_next()).await,
        Ok(Some(Event::InitDone))
    ) {}
    outrun_history(&lab.server.local());
    let mut expired = 0;
    loop {
        match soon("a second list", events.next()).await.unwrap() {
            Err(watcher::Error::WatchError(status)) if status.code == 410 => expired += 1,
            Ok(Event::InitApply(map)) if map.data.as_ref().is_some_and(|data| data["n"] == "16999") => break,
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(expired, 1);
}

#[tokio::test]
async fn a_resumed_watch_misses_and_repeats_nothing() {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    let parameters = WatchParams::default();
    maps.create(&PostParams::default(), &config_map("a", "red"))
        .await
        .unwrap();
    let mut events = maps.watch(&parameters, "0").await.unwrap().boxed();
    assert!(matches!(next_line(&mut events).await, WatchEvent::Added(_)));
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    let WatchEvent::Deleted(last) = next_line(&mut events).await else {
        panic!("expected a deletion")
    };
    drop(events);
    maps.create(&PostParams::default(), &config_map("b", "red"))
        .await
        .unwrap();
    let version = last.resource_version().unwrap();
    let mut events = maps.watch(&parameters, &version).await.unwrap().boxed();
    assert!(matches!(next_line(&mut events).await, WatchEvent::Added(map) if map.name_any() == "b"));
}

#[tokio::test]
async fn a_watch_ends_at_its_timeout_with_a_bookmark() {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    let parameters = WatchParams::default().timeout(1);
    let events = maps.watch(&parameters, "0").await.unwrap();
    let told: Vec<WatchEvent<ConfigMap>> = soon("the end", events.try_collect()).await.unwrap();
    assert!(matches!(&told[..], [WatchEvent::Bookmark(_)]), "{told:?}");
}

#[tokio::test]
async fn metadata_can_be_watched_without_the_rest() {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    maps.create(&PostParams::default(), &config_map("a", "red"))
        .await
        .unwrap();
    let mut events = maps
        .watch_metadata(&WatchParams::default(), "0")
        .await
        .unwrap()
        .boxed();
    assert!(
        matches!(next_line(&mut events).await, WatchEvent::Added(map) if map.meta().name.as_deref() == Some("a"))
    );
}

#[tokio::test]
async fn a_shut_down_server_ends_its_watches() {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    let events = maps.watch(&WatchParams::default(), "0").await.unwrap();
    lab.server.shutdown().await;
    let rest: Vec<_> = soon("the end", events.collect()).await;
    assert!(rest.is_empty(), "{rest:?}");
}
