//! The network's other administrators, and an auditor of what the operator keeps on the Manager.

use std::time::Duration;

use pathproof_trials::Rest;
use sdwan_operator::manager::Backend;
use serde_json::{Value, json};

const LISTS: &str = "/template/policy/list";
const DEFINITIONS: &str = "/template/policy/definition";
const POLICIES: &str = "/template/policy/vsmart";
/// What the names of what nothing uses begin with.
pub const UNUSED: &str = "unused ";
const LIST_KINDS: [&str; 6] = [
    "dataprefix",
    "dataipv6prefix",
    "site",
    "vpn",
    "sla",
    "preferredcolorgroup",
];

/// The rows of a collection.
pub async fn rows(rest: &Rest, path: &str) -> Vec<Value> {
    rest.done("GET", path, None).await["data"]
        .as_array()
        .unwrap()
        .clone()
}

/// All lists of the kinds that the operator has, its own and those of others.
pub async fn lists(rest: &Rest) -> Vec<Value> {
    let mut all = Vec::new();
    for kind in LIST_KINDS {
        all.extend(rows(rest, &format!("{LISTS}/{kind}")).await);
    }
    all
}

/// Data and app-route definitions in full.
pub async fn definitions(rest: &Rest) -> Vec<Value> {
    let mut all = Vec::new();
    for kind in ["data", "approute"] {
        for row in rows(rest, &format!("{DEFINITIONS}/{kind}")).await {
            let path = format!("{DEFINITIONS}/{kind}/{}", text(&row, "definitionId"));
            all.push(rest.done("GET", &path, None).await);
        }
    }
    all
}

pub async fn policies(rest: &Rest) -> Vec<Value> {
    rows(rest, POLICIES).await
}

/// The names of what is on the Manager; checks that all of it is used, so that no edit is open.
pub async fn inventory(rest: &Rest, backend: Backend) -> Vec<String> {
    let names = names(rest, backend).await;
    assert!(names.iter().all(|name| !name.starts_with(UNUSED)), "{names:?}");
    names
}

/// The names of what is on the Manager for one of the backends; those of what nothing uses begin with [`UNUSED`].
pub async fn names(rest: &Rest, backend: Backend) -> Vec<String> {
    match backend {
        Backend::Classic => classic_names(rest).await,
        Backend::PolicyGroups => group_names(rest).await,
    }
}

/// Lists, definitions and policies.
async fn classic_names(rest: &Rest) -> Vec<String> {
    let mut names = Vec::new();
    for row in lists(rest).await.iter().chain(&definitions(rest).await) {
        names.push(noted(text(row, "name"), row["referenceCount"] != 0));
    }
    names.extend(
        policies(rest)
            .await
            .iter()
            .map(|row| text(row, "policyName").to_owned()),
    );
    names.sort_unstable();
    names
}

fn noted(name: &str, is_used: bool) -> String {
    if is_used {
        name.to_owned()
    } else {
        format!("{UNUSED}{name}")
    }
}

/// Pushes a policy, or takes it away (`deactivate`).
pub async fn push(rest: &Rest, verb: &str, policy: &str) {
    let body = json!({"isEdited": true});
    let task = rest
        .done(
            "POST",
            &format!("{POLICIES}/{verb}/{policy}?confirm=true"),
            Some(&body),
        )
        .await;
    let path = format!("/device/action/status/{}", text(&task, "id"));
    while rest.done("GET", &path, None).await["summary"]["status"] != "done" {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Stores a policy that drops what goes to 192.0.2.0/24; its id.
pub async fn foreign_policy(rest: &Rest, name: &str) -> String {
    let list = async |kind: &str, typed: &str, entry: Value| {
        let body =
            json!({"name": format!("{name}-{kind}"), "description": "", "type": typed, "entries": [entry]});
        let created = rest.done("POST", &format!("{LISTS}/{kind}"), Some(&body)).await;
        text(&created, "listId").to_owned()
    };
    let sites = list("site", "site", json!({"siteId": "100"})).await;
    let vpns = list("vpn", "vpn", json!({"vpn": "10"})).await;
    let prefixes = list("dataprefix", "dataPrefix", json!({"ipPrefix": "192.0.2.0/24"})).await;
    let definition = json!({
        "name": name, "type": "data", "description": "", "defaultAction": {"type": "accept"},
        "sequences": [{
            "sequenceId": 1, "sequenceName": "s", "baseAction": "drop", "sequenceType": "data", "sequenceIpType": "ipv4",
            "match": {"entries": [{"field": "destinationDataPrefixList", "ref": prefixes}]}, "actions": [],
        }],
    });
    let definition = rest
        .done("POST", &format!("{DEFINITIONS}/data"), Some(&definition))
        .await;
    let policy = json!({
        "policyName": name, "policyDescription": "", "policyType": "feature", "isPolicyActivated": false,
        "policyDefinition": {"assembly": [{
            "definitionId": definition["definitionId"], "type": "data",
            "entries": [{"direction": "service", "siteLists": [sites], "vpnLists": [vpns]}],
        }]},
    });
    let created = rest.done("POST", POLICIES, Some(&policy)).await;
    text(&created, "policyId").to_owned()
}

/// A text of an object.
pub fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("no {key} in {row}"))
}

/// Profiles with what is in them, and groups, each with whether its edges are up to date.
async fn group_names(rest: &Rest) -> Vec<String> {
    const PROFILES: &str = "/v1/feature-profile/sdwan";
    const GROUPS: &str = "/v1/policy-group";
    let all = async |path: &str| rest.done("GET", path, None).await.as_array().unwrap().clone();
    let (mut names, mut traffic) = (Vec::new(), String::new());
    for profile in all(&format!("{PROFILES}/application-priority")).await {
        let id = text(&profile, "profileId");
        for parcel in rows(
            rest,
            &format!("{PROFILES}/application-priority/{id}/traffic-policy"),
        )
        .await
        {
            names.push(text(&parcel["payload"], "name").to_owned());
            traffic += &parcel["payload"].to_string();
        }
        names.push(format!("application priority {}", text(&profile, "profileName")));
    }
    for profile in all(&format!("{PROFILES}/policy-object")).await {
        let id = text(&profile, "profileId");
        for kind in [
            "data-prefix",
            "data-ipv6-prefix",
            "sla-class",
            "preferred-color-group",
        ] {
            for parcel in rows(rest, &format!("{PROFILES}/policy-object/{id}/{kind}")).await {
                let name = text(&parcel["payload"], "name");
                names.push(noted(name, traffic.contains(text(&parcel, "parcelId"))));
            }
        }
        names.push(format!("policy objects {}", text(&profile, "profileName")));
    }
    for group in all(GROUPS).await {
        let path = format!("{GROUPS}/{}/device/associate", text(&group, "id"));
        let associated = rest.done("GET", &path, None).await;
        for device in associated["devices"].as_array().unwrap() {
            let (id, is_up_to_date) = (text(device, "id"), &device["policyGroupUpToDate"]);
            names.push(format!("{id} in {}: {is_up_to_date}", text(&group, "name")));
        }
    }
    names.sort_unstable();
    names
}
