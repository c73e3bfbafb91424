//! The client against the exchanges that the Manager's emulation is tested with.
//!
//! The files are the only thing that both sides share. Every write of the client needs an accepted twin in them, and the
//! answers in them have to mean to the client what they say.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rstest::rstest;
use sdwan_operator::controller::Reconciler;
use sdwan_operator::core::{Mode, ServiceType, SteeringPolicy};
use sdwan_operator::manager::{Backend, Identity, ManagerError};
use serde_json::Value;

use self::support::steering::{everything, steering};
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

/// A call without its ids (captured names in the files, `id-N` from the stand-in) and without the kind of list or
/// of policy object, which makes no difference to the API.
fn shape_of_call(call: &str) -> String {
    let is_id = |segment: &str| {
        segment.starts_with('$') || segment.contains("id-") || segment.starts_with("vsmart_policy_config-")
    };
    let mut shape: Vec<_> = call
        .split('/')
        .map(|segment| match segment.split_once('?') {
            Some((id, query)) if is_id(id) => format!("$?{query}"),
            Some((path, query)) if query.starts_with("count=") => format!("{path}?count=N"),
            None if is_id(segment) => "$".to_owned(),
            _ => segment.to_owned(),
        })
        .collect();
    for (parent, places) in [("list", 1), ("policy-object", 2)] {
        let parent = shape.iter().position(|segment| segment == parent);
        if let Some(kind) = parent.and_then(|parent| shape.get_mut(parent + places)) {
            *kind = "KIND".to_owned();
        }
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

#[rstest]
#[case::classic(Backend::Classic, "/activate/central/", "/deactivate/")]
#[case::policy_groups(
    Backend::PolicyGroups,
    "/device/deploy",
    "DELETE /dataservice/v1/policy-group/"
)]
#[tokio::test]
async fn every_request_has_an_accepted_twin_in_the_contract(
    #[case] backend: Backend,
    #[case] edit: &str,
    #[case] end: &str,
) {
    let manager = FakeManager::start().await;
    {
        let mut shelf = manager.shelf();
        shelf.sessions.jwt = true;
        shelf.canned.insert(
            "GET /dataservice/data/device/state/BFDSessions?count=1000",
            serde_json::json!({ "data": [
                { "vdevice-name": "1", "system-ip": "2", "local-color": "mpls", "color": "mpls" }
            ] }),
        );
        let rows = serde_json::json!({ "data": [] });
        shelf.canned.insert("POST /dataservice/statistics/approute", rows);
    }
    let identity = Identity {
        backend,
        ..Identity::default()
    };
    let mut reconciler = Reconciler::new(manager.client(), identity.clone(), ServiceType::default());
    reconciler.reconcile(&everything()).await.unwrap();
    for policy in [
        policy("biz-internet", Mode::Strict, &["10.2.0.5"]),
        policy("biz-internet", Mode::Strict, &["10.2.0.6"]),
        everything(),
        SteeringPolicy::default(),
    ] {
        reconciler.plan(&policy).await.unwrap();
        reconciler.reconcile(&policy).await.unwrap();
    }
    reconciler.tunnels().await.unwrap();
    reconciler.logout().await;
    manager.client().uninstall(&identity).await.unwrap();

    let mut accepted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for step in steps().iter().filter(|step| step.status < 400) {
        keys(
            "",
            &step.request,
            accepted.entry(shape_of_call(&step.call)).or_default(),
        );
    }
    let made = manager.shelf().requests.clone();
    for part in [edit, end] {
        assert!(
            made.iter().any(|(call, _)| call.contains(part)),
            "no {part} in {made:#?}"
        );
    }
    for (call, body) in &made {
        // A preview takes what would be stored, whatever its kind.
        let shape = shape_of_call(call.trim_end_matches("/preview"));
        let known = accepted
            .get(&shape)
            .unwrap_or_else(|| panic!("no step in the contract is like `{shape}`"));
        let mut used = BTreeSet::new();
        keys("", body, &mut used);
        // A definition of any kind is edited under the lock of the edit that it is part of.
        if call.starts_with("PUT /dataservice/template/policy/definition/") {
            used.remove(".processId");
        }
        // An object can be replaced with what it can be created with.
        let creation = shape
            .strip_prefix("PUT ")
            .and_then(|path| path.strip_suffix("/$"));
        if let Some(creation) = creation.and_then(|path| accepted.get(&format!("POST {path}"))) {
            used.retain(|key| !creation.contains(key));
        }
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
