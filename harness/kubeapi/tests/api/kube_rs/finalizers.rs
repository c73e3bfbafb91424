//! The finalizer helper, by itself.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Error, Event, finalizer};
use kube::{Resource, ResourceExt};
use serde_json::json;

use super::config_map;
use crate::lab::Lab;

const HOLD: &str = "example.com/hold";

#[derive(Debug, thiserror::Error)]
#[error("not now")]
struct NotNow;

/// The time after which to come back tells what was done.
async fn reconcile(event: Event<ConfigMap>) -> Result<Action, NotNow> {
    match event {
        Event::Apply(map) if map.labels().contains_key("fail") => Err(NotNow),
        Event::Apply(_) => Ok(Action::requeue(Duration::from_secs(1))),
        Event::Cleanup(map) if map.labels().contains_key("fail") => Err(NotNow),
        Event::Cleanup(_) => Ok(Action::requeue(Duration::from_secs(2))),
    }
}

async fn held() -> (Lab, Api<ConfigMap>, Arc<ConfigMap>) {
    let lab = Lab::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
    let new = maps
        .create(&PostParams::default(), &config_map("m", "one"))
        .await
        .unwrap();
    let action = finalizer(&maps, HOLD, Arc::new(new), reconcile).await.unwrap();
    assert_eq!(action, Action::await_change(), "the finalizer comes first");
    let held = maps.get("m").await.unwrap();
    assert_eq!(held.finalizers(), [HOLD]);
    (lab, maps, Arc::new(held))
}

async fn label(maps: &Api<ConfigMap>, label: Option<&str>) -> Arc<ConfigMap> {
    let patch = Patch::Merge(json!({"metadata": {"labels": {"fail": label}}}));
    Arc::new(maps.patch("m", &PatchParams::default(), &patch).await.unwrap())
}

#[tokio::test]
async fn an_object_is_applied_then_cleaned_up_then_gone() {
    let (_lab, maps, held) = held().await;
    let applied = finalizer(&maps, HOLD, held, reconcile).await.unwrap();
    assert_eq!(applied, Action::requeue(Duration::from_secs(1)));
    maps.delete("m", &DeleteParams::default()).await.unwrap();
    let terminating = maps.get("m").await.unwrap();
    assert!(terminating.meta().deletion_timestamp.is_some());
    let cleaned = finalizer(&maps, HOLD, Arc::new(terminating), reconcile)
        .await
        .unwrap();
    assert_eq!(cleaned, Action::requeue(Duration::from_secs(2)));
    assert!(maps.get_opt("m").await.unwrap().is_none());
}

#[tokio::test]
async fn a_cleanup_that_fails_keeps_the_object() {
    let (_lab, maps, _) = held().await;
    let failing = label(&maps, Some("yes")).await;
    let failed = finalizer(&maps, HOLD, failing, reconcile).await;
    assert!(matches!(failed, Err(Error::ApplyFailed(NotNow))));
    maps.delete("m", &DeleteParams::default()).await.unwrap();
    let terminating = Arc::new(maps.get("m").await.unwrap());
    let failed = finalizer(&maps, HOLD, terminating, reconcile).await;
    assert!(matches!(failed, Err(Error::CleanupFailed(NotNow))));
    assert_eq!(maps.get("m").await.unwrap().finalizers(), [HOLD]);
    let healed = label(&maps, None).await;
    finalizer(&maps, HOLD, healed, reconcile).await.unwrap();
    assert!(maps.get_opt("m").await.unwrap().is_none());
}

#[tokio::test]
async fn finalizers_of_others_are_neither_overwritten_nor_removed() {
    let (_lab, maps, stale) = held().await;
    // Someone who read it before HOLD was there, and someone who read it after.
    let mut before = (*stale).clone();
    before.metadata.finalizers = None;
    let late = finalizer(&maps, "example.com/other", Arc::new(before), reconcile).await;
    assert!(matches!(late, Err(Error::AddFinalizer(kube::Error::Api(status))) if status.code == 422));
    finalizer(&maps, "example.com/other", stale, reconcile)
        .await
        .unwrap();
    let both = maps.get("m").await.unwrap();
    assert_eq!(both.finalizers(), [HOLD, "example.com/other"]);

    maps.delete("m", &DeleteParams::default()).await.unwrap();
    let terminating = Arc::new(maps.get("m").await.unwrap());
    finalizer(&maps, HOLD, Arc::clone(&terminating), reconcile)
        .await
        .unwrap();
    // By what it read, the second one is where the list has ended since.
    let late = finalizer(&maps, "example.com/other", terminating, reconcile).await;
    assert!(matches!(late, Err(Error::RemoveFinalizer(kube::Error::Api(status))) if status.code == 422));
    let last = Arc::new(maps.get("m").await.unwrap());
    assert_eq!(last.finalizers(), ["example.com/other"]);
    finalizer(&maps, "example.com/other", last, reconcile)
        .await
        .unwrap();
    assert!(maps.get_opt("m").await.unwrap().is_none());
}
