//! Tenants of one Manager over the same WAN edges, over HTTPS.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod manager_support;

use std::collections::BTreeSet;
use std::sync::Arc;

use manager_support::{MemoryEdges, Session, config};
use netsim::manager::{Config, Manager, StartError, Tenant, TenantError};
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

const LIST: &str = "/template/policy/list";
const VSMART: &str = "/template/policy/vsmart";

fn tenant(id: &str, service_vpn: u16) -> Tenant {
    Tenant {
        id: id.to_owned(),
        name: format!("Tenant {id}"),
        service_vpns: BTreeSet::from([service_vpn]),
    }
}

/// Two tenants, in service VPNs 10 and 20 of two sites.
async fn start() -> (Manager, Arc<MemoryEdges>) {
    let edges = Arc::new(MemoryEdges::default());
    let tenants = vec![tenant("red", 10), tenant("blue", 20)];
    let manager = Manager::start(Config { tenants, ..config() }, edges.clone()).await;
    (manager.unwrap(), edges)
}

/// A session of the provider that speaks for a tenant.
async fn speaking_for<'a>(manager: &'a Manager, tenant: &str) -> Session<'a> {
    let mut session = Session::new(manager).await;
    let path = format!("/tenant/{tenant}/vsessionid");
    let answer = session.ok("POST", &path, &json!({})).await;
    let value = HeaderValue::from_str(answer["VSessionId"].as_str().unwrap()).unwrap();
    session.headers = HeaderMap::from_iter([("vsessionid".parse().unwrap(), value)]);
    session
}

/// Activates a policy that drops everything in every service VPN that the session has, and counts UDP by this name; gives
/// the policy's id.
async fn drop_everything(session: &Session<'_>, counter: &str) -> String {
    let list = async |kind: &str, entries: Value| {
        let body = json!({"name": kind, "description": "", "type": kind, "entries": entries});
        session.ok("POST", &format!("{LIST}/{kind}"), &body).await["listId"].clone()
    };
    let sites = list("site", json!([{"siteId": "1-2"}])).await;
    let vpns = list("vpn", json!([{"vpn": "1-100"}])).await;
    let sequence = json!({
        "sequenceId": 1, "sequenceName": "udp", "sequenceType": "data", "sequenceIpType": "ipv4", "baseAction": "drop",
        "match": {"entries": [{"field": "protocol", "value": "17"}]},
        "actions": [{"type": "count", "parameter": counter}],
    });
    let definition = json!({
        "name": "nothing", "type": "data", "description": "", "defaultAction": {"type": "drop"},
        "sequences": [sequence],
    });
    let definition = session
        .ok("POST", "/template/policy/definition/data", &definition)
        .await;
    let policy = json!({
        "policyName": "nothing", "policyDescription": "", "policyType": "feature", "isPolicyActivated": false,
        "policyDefinition": {"assembly": [{
            "definitionId": definition["definitionId"], "type": "data",
            "entries": [{"direction": "service", "siteLists": [sites], "vpnLists": [vpns]}],
        }]},
    });
    let policy = session.ok("POST", VSMART, &policy).await;
    let id = policy["policyId"].as_str().unwrap().to_owned();
    push(session, "activate", &id).await;
    id
}

async fn push(session: &Session<'_>, change: &str, policy: &str) {
    let task = session
        .ok(
            "POST",
            &format!("{VSMART}/{change}/{policy}?confirm=true"),
            &json!({}),
        )
        .await;
    let status = session.follow(&task).await;
    assert_eq!(status["summary"]["count"], json!({"Success": 1}), "{status}");
}

/// The service VPNs in which the edge of a site has a data policy.
fn dropping(edges: &MemoryEdges, site_id: u32) -> Vec<u16> {
    let policy = edges.in_force(site_id).unwrap();
    policy.data.iter().map(|policy| policy.service_vpn).collect()
}

#[tokio::test]
async fn e2e_a_tenant_steers_its_own_service_vpns_and_no_others() {
    let (manager, edges) = start().await;
    let red = speaking_for(&manager, "red").await;
    let blue = speaking_for(&manager, "blue").await;
    let of_red = drop_everything(&red, "red").await;
    assert_eq!(dropping(&edges, 1), [10]);
    drop_everything(&blue, "blue").await;
    for site_id in [1, 2] {
        assert_eq!(dropping(&edges, site_id), [10, 20]);
    }
    push(&red, "deactivate", &of_red).await;
    for site_id in [1, 2] {
        assert_eq!(dropping(&edges, site_id), [20], "what blue activated is in force");
    }
    // Nothing is left for the provider, whose policy is everywhere and nowhere.
    drop_everything(&Session::new(&manager).await, "all").await;
    assert_eq!(dropping(&edges, 1), [20]);
}

#[tokio::test]
async fn e2e_a_tenant_sees_its_own_objects_tasks_and_counters() {
    let (manager, _edges) = start().await;
    let red = speaking_for(&manager, "red").await;
    let blue = speaking_for(&manager, "blue").await;
    let of_red = drop_everything(&red, "red").await;
    for (session, rows) in [(&red, 1), (&blue, 0), (&Session::new(&manager).await, 0)] {
        let lists = session.ok("GET", &format!("{LIST}/site"), &Value::Null).await;
        assert_eq!(lists["data"].as_array().unwrap().len(), rows);
    }
    let foreign = format!("{VSMART}/activate/{of_red}");
    assert_eq!(blue.send("POST", &foreign, Some(&json!({}))).await.0, 404);

    drop_everything(&blue, "blue").await;
    let counters = "/device/policy/datapolicyfilter?deviceId=10.255.0.1";
    let names = async |session: &Session<'_>| {
        let rows = session.ok("GET", counters, &Value::Null).await;
        let rows = rows["data"].as_array().unwrap().iter();
        rows.map(|row| row["counter-name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&blue).await, ["blue"]);
    assert_eq!(names(&Session::new(&manager).await).await, ["red", "blue"]);
}

#[tokio::test]
async fn e2e_a_session_speaks_only_for_tenants_that_it_asked_for() {
    let (manager, _edges) = start().await;
    let mut thief = Session::new(&manager).await;
    thief.headers = speaking_for(&manager, "red").await.headers;
    assert_eq!(thief.send("GET", "/device", None).await.0, 403);
    thief.headers = HeaderMap::new();
    assert_eq!(thief.send("POST", "/tenant/green/vsessionid", None).await.0, 404);
}

#[tokio::test]
async fn tenants_with_a_common_service_vpn_do_not_start() {
    let tenants = vec![tenant("red", 10), tenant("blue", 10)];
    let started = Manager::start(Config { tenants, ..config() }, Arc::new(MemoryEdges::default())).await;
    assert!(matches!(
        started.unwrap_err(),
        StartError::Tenants(TenantError::ServiceVpnTwice { service_vpn: 10, .. })
    ));
}
