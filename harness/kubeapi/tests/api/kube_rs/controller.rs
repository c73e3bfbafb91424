//! A controller that keeps a Secret for every ConfigMap.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::wait::await_condition;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use kubeapi::{Fault, Requests};
use serde_json::json;
use tokio::task::JoinHandle;

use super::config_map;
use crate::lab::{Lab, soon};

const SOON: Duration = Duration::from_millis(20);

struct Keeper {
    secrets: Api<Secret>,
    /// How often it has looked at an object, and how often that fails.
    looks: AtomicUsize,
    failures: usize,
    then: Action,
}

/// A running controller, which ends with it.
struct Running {
    lab: Lab,
    maps: Api<ConfigMap>,
    keeper: Arc<Keeper>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("not yet")]
    NotYet,
    #[error("apply the secret")]
    Apply(#[from] kube::Error),
}

async fn reconcile(map: Arc<ConfigMap>, keeper: Arc<Keeper>) -> Result<Action, KeepError> {
    if keeper.looks.fetch_add(1, Ordering::SeqCst) < keeper.failures {
        return Err(KeepError::NotYet);
    }
    let name = map.name_any();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "ownerReferences": [map.controller_owner_ref(&())]},
        "stringData": map.data,
    });
    let force = PatchParams::apply("keeper").force();
    keeper.secrets.patch(&name, &force, &Patch::Apply(secret)).await?;
    Ok(keeper.then.clone())
}

impl Running {
    async fn start(config: watcher::Config, failures: usize, then: Action) -> Self {
        let lab = Lab::start().await;
        let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "default");
        let secrets: Api<Secret> = Api::namespaced(lab.client.clone(), "default");
        let keeper = Arc::new(Keeper {
            secrets: secrets.clone(),
            looks: AtomicUsize::new(0),
            failures,
            then,
        });
        let controller = Controller::new(maps.clone(), config.clone()).owns(secrets, config);
        let on_error = |_: Arc<ConfigMap>, error: &KeepError, _: Arc<Keeper>| match error {
            KeepError::NotYet => Action::requeue(SOON),
            // Whoever is away does not get better by being asked all the time.
            KeepError::Apply(_) => Action::requeue(5 * SOON),
        };
        let results = controller.run(reconcile, on_error, Arc::clone(&keeper));
        let task = tokio::spawn(results.for_each(|_| std::future::ready(())));
        Running {
            lab,
            maps,
            keeper,
            task,
        }
    }

    async fn create(&self, name: &str) {
        let map = config_map(name, "one");
        self.maps.create(&PostParams::default(), &map).await.unwrap();
    }

    /// The secret once it says so.
    async fn kept(&self, name: &str, holds: impl Fn(&Secret) -> bool) -> Secret {
        let condition = |secret: Option<&Secret>| secret.is_some_and(&holds);
        let found = await_condition(self.keeper.secrets.clone(), name, condition);
        soon("the secret", found).await.unwrap().unwrap()
    }
}

fn says(value: &str) -> impl Fn(&Secret) -> bool {
    move |secret| {
        secret
            .data
            .as_ref()
            .is_some_and(|data| data["value"].0 == value.as_bytes())
    }
}

#[tokio::test]
async fn a_controller_keeps_what_it_owns_as_its_objects_say() {
    let running = Running::start(watcher::Config::default(), 0, Action::await_change()).await;
    running.create("a").await;
    let first = running.kept("a", says("one")).await;
    let owner = &first.owner_references()[0];
    assert_eq!((owner.kind.as_str(), owner.controller), ("ConfigMap", Some(true)));

    running
        .keeper
        .secrets
        .delete("a", &DeleteParams::default())
        .await
        .unwrap();
    let second = running.kept("a", |secret| secret.uid() != first.uid()).await;
    assert!(says("one")(&second));

    let change = Patch::Merge(json!({"data": {"value": "two"}}));
    running
        .maps
        .patch("a", &PatchParams::default(), &change)
        .await
        .unwrap();
    running.kept("a", says("two")).await;

    let foreign = Patch::Merge(json!({"data": {"value": "c3RvbGVu"}}));
    running
        .keeper
        .secrets
        .patch("a", &PatchParams::default(), &foreign)
        .await
        .unwrap();
    running.kept("a", says("two")).await;

    running.maps.delete("a", &DeleteParams::default()).await.unwrap();
    let gone = await_condition(running.keeper.secrets.clone(), "a", |secret: Option<&Secret>| {
        secret.is_none()
    });
    soon("the secret to go with its owner", gone).await.unwrap();
}

#[tokio::test]
async fn a_controller_tries_again_after_errors_and_comes_back_after_its_time() {
    let running = Running::start(watcher::Config::default(), 3, Action::requeue(SOON)).await;
    running.create("a").await;
    let secret = running.kept("a", says("one")).await;
    assert!(running.keeper.looks.load(Ordering::SeqCst) > 3);
    soon("more looks", async {
        while running.keeper.looks.load(Ordering::SeqCst) < 8 {
            tokio::time::sleep(SOON).await;
        }
    })
    .await;
    let again = running.keeper.secrets.get("a").await.unwrap();
    assert_eq!(
        again.resource_version(),
        secret.resource_version(),
        "what changes nothing is not written"
    );
}

#[tokio::test]
async fn a_controller_outlives_dropped_watches_lost_history_and_an_api_that_is_away() {
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let running = Running::start(config, 0, Action::await_change()).await;
        let faults = running.lab.server.faults();
        running.create("first").await;
        running.kept("first", says("one")).await;

        let drop_watches = || {
            faults
                .inject(Fault::DropWatches {
                    requests: Requests::default(),
                })
                .unwrap()
        };
        let dropped = drop_watches();
        assert!(faults.struck(dropped) >= Some(2), "of both kinds");
        running.create("after-drop").await;
        running.kept("after-drop", says("one")).await;

        // Behind the history, and at once without a watch: both kinds have to be listed again.
        faults.inject(Fault::Compact).unwrap();
        drop_watches();
        running.create("after-compaction").await;
        running.kept("after-compaction", says("one")).await;

        let down = faults.inject(Fault::Down).unwrap();
        let local = running.lab.server.local();
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "while-away"}, "data": {"value": "one"},
        });
        local.create(&map).unwrap();
        local
            .delete(&kubeapi::ObjectRef::namespaced(
                "v1", "Secret", "default", "first",
            ))
            .unwrap();
        assert!(faults.heal(down));
        running.kept("while-away", says("one")).await;
        running.kept("first", says("one")).await;
    }
}
