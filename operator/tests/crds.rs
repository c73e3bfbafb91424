//! The checked-in definitions of the operator's resources.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_cel::Validator;
use rstest::rstest;
use sdwan_operator::api::{SteeringPolicySpec, definitions, yaml};
use serde_json::{Value, json};

#[test]
fn the_checked_in_definitions_are_those_of_the_types() {
    for definition in definitions() {
        let name = format!("deploy/crds/{}.yaml", definition.spec.names.plural);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&name);
        let checked_in = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            checked_in,
            yaml(&definition).unwrap(),
            "{name}: write it anew from `sdwan-operator crds`"
        );
        let read: CustomResourceDefinition = serde_saphyr::from_str(&checked_in).unwrap();
        assert_eq!(read, definition, "{name} reads as something else");
    }
}

/// What the API server's CEL rules say of a SteeringPolicy.
fn broken_rules(policy: &Value, old: Option<&Value>) -> Vec<String> {
    let [definition, _] = definitions();
    let version = serde_json::to_value(&definition.spec.versions[0]).unwrap();
    let schema = kube_cel::compile_schema(&version["schema"]["openAPIV3Schema"]);
    match Validator::new().validate_compiled(&schema, policy, old) {
        Ok(()) => Vec::new(),
        Err(broken) => broken.iter().map(|broken| broken.message.clone()).collect(),
    }
}

fn policy(mut spec: Value) -> Value {
    spec["serviceRef"] = json!({ "name": "business" });
    json!({ "spec": spec })
}

#[rstest]
#[case::tunnel(json!({ "tunnel": "mpls", "fallback": ["lte"] }), &[])]
#[case::opt_out(json!({ "tunnel": "none" }), &[])]
#[case::any_tunnel_that_keeps_it(json!({ "sla": { "latency": 50 } }), &[])]
#[case::drop(json!({ "action": "drop" }), &[])]
#[case::for_one_port(json!({ "ports": [{ "port": "http", "tunnel": "lte" }] }), &[])]
#[case::nothing(json!({}), &["one of tunnel, sla, ports, or action inspect or drop is needed"])]
#[case::only_allow(json!({ "action": "allow" }), &["one of tunnel, sla, ports, or action inspect or drop is needed"])]
#[case::no_bound(json!({ "sla": {} }), &["one of latency, loss and jitter is needed"])]
#[case::fallback_alone(json!({ "action": "inspect", "fallback": ["lte"] }),
    &["fallback needs a tunnel, and has to be other colors"])]
#[case::fallback_to_itself(json!({ "tunnel": "lte", "fallback": ["mpls", "lte"] }),
    &["fallback needs a tunnel, and has to be other colors"])]
fn the_api_server_admits_what_makes_sense(#[case] spec: Value, #[case] broken: &[&str]) {
    assert_eq!(broken_rules(&policy(spec), None), broken);
}

#[test]
fn the_service_cannot_be_changed() {
    let old = policy(json!({ "tunnel": "mpls" }));
    let mut new = old.clone();
    new["spec"]["serviceRef"]["name"] = json!("other");
    assert_eq!(broken_rules(&new, Some(&old)), ["serviceRef cannot be changed"]);
}

#[test]
fn a_policy_and_its_intent_say_the_same() {
    let spec: SteeringPolicySpec = serde_json::from_value(json!({
        "serviceRef": { "name": "business" },
        "tunnel": "biz-internet", "mode": "preferred", "fallback": ["mpls", "lte"],
        "sla": { "latency": 50, "loss": 1, "jitter": 10 }, "encryption": "required", "action": "inspect",
        "tenant": "blue", "ports": [{ "port": "8080", "action": "drop" }, { "port": "metrics", "tunnel": "none" }],
    }))
    .unwrap();
    assert_eq!(SteeringPolicySpec::of("business", &spec.intent().unwrap()), spec);
}

#[test]
fn a_policy_that_was_admitted_before_is_refused_with_the_field() {
    let spec: SteeringPolicySpec = serde_json::from_value(json!({
        "serviceRef": { "name": "business" }, "ports": [{ "port": "http", "mode": "Strict" }],
    }))
    .unwrap();
    assert_eq!(
        spec.intent().unwrap_err().to_string(),
        "field `spec.ports[http].mode`: unknown mode `Strict`; accepted: strict, preferred"
    );
}
