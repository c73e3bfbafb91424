//! Watchers and reflectors, by lists and by streams.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PartialObjectMeta, PostParams, WatchEvent, WatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event, watch_object, watcher};
use kubeapi::{Fault, Local, ObjectRef, Requests};
use serde_json::json;

use super::config_map;
use crate::lab::{Lab, soon};

async fn three_maps() -> (Lab, Api<ConfigMap>) {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    for name in ["a", "b", "c"] {
        maps.create(&PostParams::default(), &config_map(name, "one"))
            .await
            .unwrap();
    }
    (lab, maps)
}

fn configs() -> [watcher::Config; 3] {
    let config = watcher::Config::default();
    [
        config.clone(),
        config.clone().streaming_lists(),
        config.any_semantic().page_size(2),
    ]
}

#[tokio::test]
async fn a_watcher_tells_what_is_there_then_what_happens_however_it_lists() {
    for config in configs() {
        let (lab, maps) = three_maps().await;
        let mut told = Vec::new();
        let mut events = pin!(watcher(maps.clone(), config));
        while told.len() < 7 {
            let event = soon("an event", events.try_next()).await.unwrap().unwrap();
            told.push(event.to_string());
            if told.len() == 5 {
                maps.create(&PostParams::default(), &config_map("d", "one"))
                    .await
                    .unwrap();
                maps.delete("a", &DeleteParams::default()).await.unwrap();
            }
        }
        let expected = [
            "Init",
            "InitApply(a)",
            "InitApply(b)",
            "InitApply(c)",
            "InitDone",
            "Apply(d)",
            "Delete(a)",
        ];
        assert_eq!(told, expected);
        drop(lab);
    }
}

#[tokio::test]
async fn a_streaming_list_ends_with_its_bookmark_and_goes_on() {
    let (_lab, maps) = three_maps().await;
    let mut events = maps
        .watch(&WatchParams::streaming_lists(), "0")
        .await
        .unwrap()
        .boxed();
    let mut newest = 0;
    for name in ["a", "b", "c"] {
        let event = soon("an object", events.next()).await.unwrap().unwrap();
        let WatchEvent::Added(map) = event else {
            panic!("{event:?}")
        };
        assert_eq!(map.name_any(), name);
        newest = newest.max(map.resource_version().unwrap().parse::<u64>().unwrap());
    }
    let event = soon("a bookmark", events.next()).await.unwrap().unwrap();
    let WatchEvent::Bookmark(bookmark) = event else {
        panic!("{event:?}")
    };
    assert_eq!(bookmark.metadata.annotations["k8s.io/initial-events-end"], "true");
    assert!(bookmark.metadata.resource_version.parse::<u64>().unwrap() >= newest);
    maps.delete("b", &DeleteParams::default()).await.unwrap();
    let event = soon("a deletion", events.next()).await.unwrap().unwrap();
    assert!(matches!(event, WatchEvent::Deleted(map) if map.name_any() == "b"));
}

#[tokio::test]
async fn metadata_alone_is_watched_however_it_is_listed() {
    for config in configs() {
        let (lab, maps) = three_maps().await;
        let metadata: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(lab.client.clone(), "default");
        let mut events = pin!(watcher(metadata, config.labels("value=one")));
        let mut names = Vec::new();
        loop {
            match soon("an event", events.try_next()).await.unwrap().unwrap() {
                Event::Init => {}
                Event::InitApply(map) => {
                    assert_eq!(map.labels()["value"], "one");
                    assert_eq!(map.types.as_ref().unwrap().kind, "PartialObjectMetadata");
                    names.push(map.name_any());
                }
                Event::InitDone => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(names, ["a", "b", "c"]);
        maps.delete("c", &DeleteParams::default()).await.unwrap();
        let event = soon("a deletion", events.try_next()).await.unwrap().unwrap();
        assert!(matches!(event, Event::Delete(map) if map.name_any() == "c"));
    }
}

#[tokio::test]
async fn one_object_is_watched_from_before_it_is_there_until_it_is_gone() {
    let (_lab, maps) = three_maps().await;
    let mut states = pin!(watch_object(maps.clone(), "d"));
    let mut next = async || {
        soon("a state", states.try_next())
            .await
            .unwrap()
            .unwrap()
            .map(|map| map.name_any())
    };
    assert_eq!(next().await, None);
    maps.create(&PostParams::default(), &config_map("d", "one"))
        .await
        .unwrap();
    assert_eq!(next().await.as_deref(), Some("d"));
    maps.delete("d", &DeleteParams::default()).await.unwrap();
    assert_eq!(next().await, None);
}

/// Names with their values.
fn held(store: &Store<ConfigMap>) -> BTreeMap<String, String> {
    let entry = |map: &ConfigMap| (map.name_any(), map.labels()["value"].clone());
    store.state().iter().map(|map| entry(map)).collect()
}

fn change(local: &Local, name: &str, value: &str) {
    let map = ObjectRef::namespaced("v1", "ConfigMap", "default", name);
    local
        .merge_patch(&map, json!({"metadata": {"labels": {"value": value}}}))
        .unwrap();
}

#[tokio::test]
async fn a_store_is_what_the_api_holds_after_whatever_went_wrong() {
    for config in configs() {
        let (lab, maps) = three_maps().await;
        let (store, writer) = reflector::store();
        let stream = watcher(maps.clone(), config.labels("value!=out"))
            .default_backoff()
            .reflect(writer);
        let reflecting = tokio::spawn(stream.for_each(|_| std::future::ready(())));
        soon("the first list", store.wait_until_ready()).await.unwrap();
        let is = async |expected: &[(&str, &str)]| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let expected: BTreeMap<String, String> = expected.iter().map(owned).collect();
            soon("the store to follow", async {
                while held(&store) != expected {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            })
            .await;
        };
        is(&[("a", "one"), ("b", "one"), ("c", "one")]).await;

        let (local, faults) = (lab.server.local(), lab.server.faults());
        let drop_watches = || {
            faults
                .inject(Fault::DropWatches {
                    requests: Requests::default(),
                })
                .unwrap()
        };
        change(&local, "a", "two");
        change(&local, "b", "out");
        is(&[("a", "two"), ("c", "one")]).await;
        drop_watches();
        change(&local, "b", "three");
        is(&[("a", "two"), ("b", "three"), ("c", "one")]).await;

        let down = faults.inject(Fault::Down).unwrap();
        local
            .delete(&ObjectRef::namespaced("v1", "ConfigMap", "default", "c"))
            .unwrap();
        change(&local, "a", "four");
        faults.inject(Fault::Compact).unwrap();
        assert!(faults.heal(down));
        is(&[("a", "four"), ("b", "three")]).await;
        reflecting.abort();
    }
}
