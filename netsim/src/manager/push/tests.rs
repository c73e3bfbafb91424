use serde_json::json;

use super::*;
use crate::manager::caller::Caller;
use crate::manager::compile::Place;
use crate::manager::dry::{self, DryEdges};
use crate::manager::faults::Fault;
use crate::manager::fixture;
use crate::manager::gateway::Gateway;
use crate::manager::store::Release;
use crate::manager::{Config, SecretString};

/// A Manager of the sites 100 and 200, and a policy for these and site 300, which has no edge.
fn app() -> (Arc<App>, String) {
    let devices = dry::devices(2);
    let edges = Arc::new(DryEdges::new(&devices));
    let config = Config::new(Vec::new(), "admin".to_owned(), SecretString::from(""), devices);
    let app = Arc::clone(&super::super::apps(&Arc::new(Gateway::new(&config)), &config, &edges)[0]);
    let mut store = app.store();
    let ids = fixture::policy(&mut store);
    let objects = store.objects_for_creation();
    let sites = fixture::put_list(objects, "site", "all", json!([{ "siteId": "100-300" }]));
    let assembly = json!([fixture::assembly(ids.definition, "all", sites, ids.vpns)]);
    let policy = fixture::put_policy(objects, "wide", assembly).to_string();
    drop(store);
    (app, policy)
}

#[tokio::test]
async fn a_push_that_panics_fails_and_the_next_one_has_its_turn() {
    let (app, policy) = app();
    let places = [100, 300].map(|site_id| Place {
        site_id,
        service_vpns: &[10],
    });
    let (caller, release) = (Caller::test("a"), Release::default());
    let accepted = app.store().activate(&caller, &policy, &release, &places).unwrap();
    let task = app.start_push(accepted);
    app.push_ended.notified().await;
    let status = app.store().task(&task).unwrap().status();
    assert_eq!(status["data"][0]["statusId"], "failure");
    let activity = status["data"][0]["activity"].to_string();
    assert!(
        activity.contains("applied by the WAN edge of site 100"),
        "{activity}"
    );
    assert!(
        activity.contains("site 300: the emulation panicked"),
        "{activity}"
    );
    let next = app.store().activate(&caller, &policy, &release, &places[..1]);
    app.start_push(next.unwrap());
    app.push_ended.notified().await;
    assert!(app.store().active().is_some());
}

#[tokio::test]
async fn whatever_panics_ends_the_push_as_failed() {
    let end = ended(vec![1, 2], async { panic!("on purpose") }).await;
    assert_eq!(end.failure.as_deref(), Some(PANICKED));
    assert_eq!(end.failed.into_keys().collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn a_delivery_that_panics_is_tried_again_and_holds_up_no_other() {
    let (app, policy) = app();
    let away = app.faults.inject(Fault::LoseController {
        controllers: Vec::new(),
    });
    let places = [100, 300].map(|site_id| Place {
        site_id,
        service_vpns: &[10],
    });
    let (caller, release) = (Caller::test("a"), Release::default());
    let accepted = app.store().activate(&caller, &policy, &release, &places).unwrap();
    app.start_push(accepted);
    app.push_ended.notified().await;
    assert!(
        deliver(&app).await,
        "nobody brings anything while no Controller is there"
    );
    assert_eq!(app.store().deliverable().len(), 2);
    app.faults.heal(away);
    assert!(!deliver(&app).await);
    let waiting: Vec<u32> = app
        .store()
        .deliverable()
        .iter()
        .map(|scheduled| scheduled.policy.site_id)
        .collect();
    assert_eq!(waiting, [300]);
}
