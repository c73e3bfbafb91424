//! The client against the exchanges that the Manager's emulation is tested with.
//!
//! The files are the only thing that both sides share. Every write of the client needs an accepted twin in them, and the
//! answers in them have to mean to the client what they say.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sdwan_operator::controller::Reconciler;
use sdwan_operator::core::{Mode, ServiceType, SteeringPolicy};
use sdwan_operator::manager::{Identity, ManagerError};
use serde_json::Value;

use self::support::steering::steering;
use self::support::{FakeManager, Fault};

struct Step {
    file: String,
    call: String,
    request: Value,
    status: u64,
    response: Value,
}

fn steps() -> Vec<Step> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../netsim/contract/manager");
    let mut steps = Vec::new();
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let exchange: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for step in exchange["steps"].as_array().unwrap() {
            let (request, response) = (&step["request"], &step["response"]);
            steps.push(Step {
                file: exchange["name"].as_str().unwrap().to_owned(),
                call: format!(
                    "{} {}",
                    request["method"].as_str().unwrap(),
                    request["path"].as_str().unwrap()
                ),
                request: request["json"].clone(),
                status: response["status"].as_u64().unwrap(),
                response: response["json"].clone(),
            });
        }
    }
    assert!(!steps.is_empty());
    steps
}

/// The answer of the first step that `fits`.
fn answer(fits: impl Fn(&Step) -> bool) -> (u16, String) {
    let step = steps()
        .into_iter()
        .find(fits)
        .expect("the contract has such a step");
    (u16::try_from(step.status).unwrap(), step.response.to_string())
}

/// A call without its ids (captured names in the files, `id-N` from the stand-in) and without the kind of list, which
/// makes no difference to the API.
fn shape_of_call(call: &str) -> String {
    let is_id = |segment: &str| {
        segment.starts_with('$') || segment.contains("id-") || segment.starts_with("vsmart_policy_config-")
    };
    let mut shape: Vec<_> = call
        .split('/')
        .map(|segment| match segment.split_once('?') {
            Some((id, query)) if is_id(id) => format!("$?{query}"),
            None if is_id(segment) => "$".to_owned(),
            _ => segment.to_owned(),
        })
        .collect();
    let list = shape.iter().position(|segment| segment == "list");
    if let Some(kind) = list.and_then(|list| shape.get_mut(list + 1)) {
        *kind = "KIND".to_owned();
    }
    shape.join("/")
}

/// All keys of a body by their place.
fn keys(place: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let place = format!("{place}.{key}");
                keys(&place, value, found);
                found.insert(place);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| keys(place, element, found)),
        _ => {}
    }
}

fn policy(color: &str, mode: Mode, hosts: &[&str]) -> SteeringPolicy {
    steering(&[("business", color, mode, hosts)])
}

async fn steered() -> (FakeManager, Reconciler) {
    let manager = FakeManager::start().await;
    let mut reconciler = Reconciler::new(manager.client(), Identity::default(), ServiceType::default());
    reconciler
        .reconcile(&policy("biz-internet", Mode::Strict, &["10.2.0.5"]))
        .await
        .unwrap();
    (manager, reconciler)
}

#[tokio::test]
async fn every_request_has_an_accepted_twin_in_the_contract() {
    let (manager, mut reconciler) = steered().await;
    reconciler
        .reconcile(&policy("mpls", Mode::Preferred, &["10.2.0.6"]))
        .await
        .unwrap();
    reconciler.reconcile(&SteeringPolicy::default()).await.unwrap();
    reconciler.logout().await;

    let mut accepted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for step in steps().iter().filter(|step| step.status < 400) {
        keys(
            "",
            &step.request,
            accepted.entry(shape_of_call(&step.call)).or_default(),
        );
    }
    let made = manager.shelf().requests.clone();
    assert!(
        made.iter().any(|(call, _)| call.contains("/activate/central/")),
        "the whole flow was made: {made:#?}"
    );
    for (call, body) in &made {
        let shape = shape_of_call(call);
        let known = accepted
            .get(&shape)
            .unwrap_or_else(|| panic!("no step in the contract is like `{shape}`"));
        let mut used = BTreeSet::new();
        keys("", body, &mut used);
        let unknown: Vec<_> = used.difference(known).collect();
        assert!(unknown.is_empty(), "{call}: the contract shows no {unknown:?}");
    }
}

#[tokio::test]
async fn sites_are_those_of_the_wan_edges_in_the_inventory() {
    let (manager, mut reconciler) = steered().await;
    let (status, body) =
        answer(|step| step.call == "GET /dataservice/device" && step.response["data"].is_array());
    manager
        .shelf()
        .faults
        .push_back(Fault::new("GET /dataservice/device", status, body));
    reconciler.forget();
    reconciler
        .reconcile(&policy("mpls", Mode::Strict, &["10.2.0.5"]))
        .await
        .unwrap();
    assert!(
        manager.in_force().starts_with("sites 1 2 vpn 10 service\n"),
        "{}",
        manager.in_force()
    );
}

#[tokio::test]
async fn a_locked_policy_is_waited_for() {
    let (manager, mut reconciler) = steered().await;
    let (status, body) = answer(|step| step.file == "edit-locked" && step.status >= 400);
    let call = "PUT /dataservice/template/policy/definition/data/";
    manager.shelf().faults.push_back(Fault::new(call, status, body));
    reconciler.reconcile(&SteeringPolicy::default()).await.unwrap();
    assert_eq!(
        manager
            .shelf()
            .calls
            .iter()
            .filter(|made| made.starts_with(call))
            .count(),
        2
    );
}

#[tokio::test]
async fn an_edit_whose_lock_expired_is_pushed_all_the_same() {
    let (manager, mut reconciler) = steered().await;
    let (status, body) = answer(|step| {
        step.file == "edit-active" && step.response.to_string().contains("edit request has expired")
    });
    let call = "POST /dataservice/template/policy/vsmart/activate/central/";
    manager.shelf().faults.push_back(Fault::new(call, status, body));
    reconciler.reconcile(&SteeringPolicy::default()).await.unwrap();
    assert!(!manager.in_force().contains("10.2.0.5"), "{}", manager.in_force());
}

#[tokio::test]
async fn every_finished_task_in_the_contract_is_judged_as_it_says() {
    for step in steps()
        .into_iter()
        .filter(|step| step.call.contains("/device/action/status/"))
    {
        // What waits for a Controller that is away is no failure.
        let success = ["success", "success_scheduled"]
            .iter()
            .any(|id| step.response["data"][0]["statusId"] == *id);
        // What the patterns leave open stays open; a skipped push would be repeated.
        if step.status != 200 || step.response["summary"]["status"] != "done" {
            continue;
        }
        let (manager, mut reconciler) = steered().await;
        let file = step.file;
        manager.shelf().task_results.push_back(step.response);
        let outcome = reconciler.reconcile(&SteeringPolicy::default()).await;
        match outcome {
            Ok(()) => assert!(success, "{file}"),
            Err(ManagerError::TaskFailed { .. } | ManagerError::Busy { .. }) => assert!(!success, "{file}"),
            Err(error) => panic!("{file}: {error}"),
        }
    }
}
