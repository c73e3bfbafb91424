//! The network's other administrators: what they have on the Manager, what they do to the operator's objects, and what
//! is left of the operator's in the end.

use std::time::Duration;

use pathproof_trials::Rest;
use serde_json::{Value, json};

use super::history::Tampering;

const LISTS: &str = "/template/policy/list";
const DEFINITIONS: &str = "/template/policy/definition";
const POLICIES: &str = "/template/policy/vsmart";
/// The lists and definitions that an operator can have.
const KINDS: [&str; 6] = [
    "dataprefix",
    "dataipv6prefix",
    "site",
    "vpn",
    "sla",
    "preferredcolorgroup",
];
const DEFINITION_KINDS: [&str; 2] = ["data", "approute"];
const MARK: &str = "managed by sdwan-operator/ppo";
/// How long somebody else waits for their push.
const PUSH_POLLS: u32 = 500;

/// Objects of somebody else, as they were made: the path of each, and what it says.
pub type Others = Vec<(String, Value)>;

/// Makes a policy that is never active, and all that belongs to it; `tag` tells it from others.
pub async fn make_others(rest: &Rest, tag: &str) -> Others {
    let mut paths = Vec::new();
    let entries = json!([{"ipPrefix": "10.0.2.1/32"}, {"ipPrefix": "10.7.0.0/16"}]);
    // A name such as the operator's, without its mark.
    let printers = make_list(
        rest,
        "dataprefix",
        "dataPrefix",
        &format!("ppo-printers-{tag}"),
        entries,
    )
    .await;
    let sites = make_list(
        rest,
        "site",
        "site",
        &format!("halls-{tag}"),
        json!([{"siteId": "100"}]),
    )
    .await;
    let vpns = make_list(
        rest,
        "vpn",
        "vpn",
        &format!("staff-{tag}"),
        json!([{"vpn": "10"}]),
    )
    .await;
    for (kind, id) in [("dataprefix", &printers), ("site", &sites), ("vpn", &vpns)] {
        paths.push(format!("{LISTS}/{kind}/{id}"));
    }
    let sequence = json!({"sequenceId": 1, "sequenceName": "printers", "sequenceType": "trafficEngineering",
        "sequenceIpType": "ipv4", "baseAction": "drop", "actions": [],
        "match": {"entries": [{"field": "sourceDataPrefixList", "ref": printers}]}});
    let body = json!({"name": format!("printers-{tag}"), "type": "data", "description": "no printing",
        "defaultAction": {"type": "accept"}, "sequences": [sequence]});
    let made = rest
        .done("POST", &format!("{DEFINITIONS}/data"), Some(&body))
        .await;
    let definition = text(&made["definitionId"]);
    paths.push(format!("{DEFINITIONS}/data/{definition}"));
    let entry = json!({"direction": "service", "siteLists": [sites], "vpnLists": [vpns]});
    let body = json!({"policyName": format!("printers-{tag}"), "policyDescription": "", "policyType": "feature",
        "isPolicyActivated": false, "policyDefinition": {"regionRoleAssembly": [],
            "assembly": [{"definitionId": definition, "type": "data", "entries": [entry]}]}});
    let made = rest.done("POST", POLICIES, Some(&body)).await;
    paths.push(format!("{POLICIES}/definition/{}", text(&made["policyId"])));
    let mut others = Others::new();
    for path in paths {
        let said = rest.done("GET", &path, None).await;
        others.push((path, said));
    }
    others
}

/// What is wrong with the objects of others.
pub async fn check_others(rest: &Rest, others: &Others) -> Result<(), String> {
    for (path, made) in others {
        let (status, now) = rest.send("GET", path, None).await;
        if now != *made {
            return Err(format!(
                "somebody else's {path} is {status} {now}, and was {made}"
            ));
        }
    }
    Ok(())
}

/// What is wrong with the operator's objects, now that it has nothing to do.
pub async fn check_own(rest: &Rest) -> Result<(), String> {
    let lists = KINDS.map(|kind| format!("{LISTS}/{kind}"));
    let definitions = DEFINITION_KINDS.map(|kind| format!("{DEFINITIONS}/{kind}"));
    for path in lists.iter().chain(&definitions) {
        for row in own(rest, path).await {
            if row["referenceCount"] == 0 {
                return Err(format!("nothing refers to {}", row["name"]));
            }
        }
    }
    let policies = own(rest, POLICIES).await;
    match policies.as_slice() {
        [] => Ok(()),
        [policy] if policy["isPolicyActivated"] == true => check_lock(rest).await,
        others => Err(format!("not one policy that is active: {others:?}")),
    }
}

/// Whether the lock can be had: by an edit that changes nothing, and is given up.
async fn check_lock(rest: &Rest) -> Result<(), String> {
    let sites = own(rest, &format!("{LISTS}/site")).await;
    let list = sites.first().ok_or("the policy has no sites")?;
    let path = format!("{LISTS}/site/{}", text(&list["listId"]));
    let (status, answer) = rest.send("PUT", &path, Some(&body_of(list))).await;
    if status != 200 {
        return Err(format!("the lock is held: {status} {answer}"));
    }
    release(rest, &answer).await;
    Ok(())
}

/// Does something to the operator's objects, and waits until the edges have it; `None` if it cannot be done.
pub async fn tamper(rest: &Rest, how: Tampering) -> Option<()> {
    let policies = own(rest, POLICIES).await;
    let policy = text(
        &policies
            .iter()
            .find(|policy| policy["isPolicyActivated"] == true)?["policyId"],
    );
    if how == Tampering::Deactivation {
        let path = format!("{POLICIES}/deactivate/{policy}?confirm=true");
        return push(rest, &path, &json!({})).await;
    }
    let (path, body) = match how {
        Tampering::List => {
            let lists = own(rest, &format!("{LISTS}/dataprefix")).await;
            let mut list = lists.into_iter().next()?;
            list["entries"] = json!([{"ipPrefix": "10.0.2.3/32"}, {"ipPrefix": "10.0.2.99/32"}]);
            (
                format!("{LISTS}/dataprefix/{}", text(&list["listId"])),
                body_of(&list),
            )
        }
        _ => {
            let path = format!("{DEFINITIONS}/data");
            let definition = own(rest, &path).await.into_iter().next()?;
            let path = format!("{path}/{}", text(&definition["definitionId"]));
            let (_, mut body) = rest.send("GET", &path, None).await;
            body["sequences"] = json!([]);
            (path, body)
        }
    };
    let (status, answer) = rest.send("PUT", &path, Some(&body)).await;
    if status != 200 {
        return None;
    }
    let body = json!({"isEdited": true, "processId": answer["processId"]});
    let path = format!("{POLICIES}/activate/central/{policy}?confirm=true");
    let pushed = push(rest, &path, &body).await;
    if pushed.is_none() {
        release(rest, &answer).await;
    }
    // What is stored gets to the edges with the next push at the latest.
    Some(())
}

async fn push(rest: &Rest, path: &str, body: &Value) -> Option<()> {
    let (status, answer) = rest.send("POST", path, Some(body)).await;
    let task = answer["id"].as_str().filter(|_| status == 200)?;
    for _ in 0..PUSH_POLLS {
        let (_, task) = rest
            .send("GET", &format!("/device/action/status/{task}"), None)
            .await;
        if task["summary"]["status"] == "done" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Some(())
}

async fn release(rest: &Rest, answer: &Value) {
    if let Some(lock) = answer["processId"].as_str() {
        rest.send("DELETE", &format!("/template/lock/{lock}"), None).await;
    }
}

/// The rows with the operator's mark.
async fn own(rest: &Rest, path: &str) -> Vec<Value> {
    let (_, answer) = rest.send("GET", path, None).await;
    let rows = answer["data"].as_array().cloned().unwrap_or_default();
    let is_own = |row: &Value| {
        let description = row["description"].as_str().or(row["policyDescription"].as_str());
        description.is_some_and(|description| description.contains(MARK))
    };
    rows.into_iter().filter(is_own).collect()
}

/// What a list of this row is written with.
fn body_of(row: &Value) -> Value {
    json!({"name": row["name"], "description": row["description"], "type": row["type"], "entries": row["entries"]})
}

async fn make_list(rest: &Rest, kind: &str, type_name: &str, name: &str, entries: Value) -> String {
    let body = json!({"name": name, "description": "of the branch", "type": type_name, "entries": entries});
    let made = rest.done("POST", &format!("{LISTS}/{kind}"), Some(&body)).await;
    text(&made["listId"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
