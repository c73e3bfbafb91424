//! Definitions of custom resources that others publish: each is to be established, and to take objects.
//!
//! They are not kept here: `PARITY_DEFINITIONS` names a file with them, one YAML document each. `installed.yaml` has
//! objects of several.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::case::{Case, Step, Subject};

pub const DEFINITIONS: &str = "PARITY_DEFINITIONS";

const COLLECTION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A case for each definition in a file.
pub fn load(definitions: &Path) -> Subject<Step> {
    let objects = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/installed.yaml");
    let mut objects: BTreeMap<String, Vec<Value>> =
        serde_saphyr::from_str(&fs::read_to_string(objects).unwrap()).unwrap();
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&fs::read_to_string(definitions).unwrap()).unwrap();
    let definitions = documents.iter().filter(|document| !document.is_null());
    let cases: Vec<Case<Step>> = definitions.map(|one| case(one, &mut objects)).collect();
    assert!(!cases.is_empty(), "there is no definition");
    assert!(objects.is_empty(), "nothing defines {:?}", objects.keys());
    Subject::made("installed", cases)
}

fn case(definition: &Value, objects: &mut BTreeMap<String, Vec<Value>>) -> Case<Step> {
    let name = definition["metadata"]["name"].as_str().unwrap();
    let established = json!({"status": {"conditions": ["...", {"type": "Established", "status": "True"}]}});
    let mut steps = vec![
        Step {
            raw: Some(definition.to_string()),
            ..step(json!({"send": format!("POST {COLLECTION}"), "status": 201}))
        },
        step(json!({
            "send": format!("GET {COLLECTION}/{name}"), "status": 200, "until": true, "answer": established,
        })),
    ];
    for object in objects.remove(name).unwrap_or_default() {
        let namespace = match definition["spec"]["scope"].as_str() {
            Some("Namespaced") => "namespaces/$ns/",
            _ => "",
        };
        let (api_version, plural) = (&object["apiVersion"], &definition["spec"]["names"]["plural"]);
        let collection = format!(
            "/apis/{}/{namespace}{}",
            api_version.as_str().unwrap(),
            plural.as_str().unwrap()
        );
        let path = format!("{collection}/{}", object["metadata"]["name"].as_str().unwrap());
        steps.push(step(
            json!({"send": format!("GET {collection}"), "status": 200, "until": true}),
        ));
        steps.push(step(json!({
            "send": format!("POST {collection}?fieldValidation=Strict"), "json": object, "status": 201,
        })));
        steps.push(step(
            json!({"send": format!("GET {path}"), "status": 200, "answer": object}),
        ));
    }
    Case {
        name: name.to_owned(),
        pending: None,
        steps,
    }
}

fn step(step: Value) -> Step {
    serde_json::from_value(step).unwrap()
}
