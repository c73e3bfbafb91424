//! A policy of thousands of sequences and prefixes on its way to ten edges, while others ask.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod manager_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use manager_support::{MemoryEdges, Session, config, device};
use netsim::manager::{Config, Manager};
use serde_json::{Value, json};

const EDGES: u8 = 10;
const PREFIXES: u32 = 10_000;
const SEQUENCES: u32 = 5_000;

async fn list(session: &Session<'_>, kind: &str, type_name: &str, entries: Value) -> String {
    let body = json!({"name": kind, "description": "", "type": type_name, "entries": entries});
    let path = format!("/template/policy/list/{kind}");
    let answer = session.ok("POST", &path, &body).await;
    answer["listId"].as_str().unwrap().to_owned()
}

/// Creates a policy that applies everywhere, and gives its id.
async fn create(session: &Session<'_>) -> String {
    let prefix = |number: u32| json!({"ipPrefix": format!("10.{}.{}.0/24", number / 256, number % 256)});
    let prefixes: Vec<Value> = (0..PREFIXES).map(prefix).collect();
    let servers = list(session, "dataprefix", "dataPrefix", json!(prefixes)).await;
    let sites = list(session, "site", "site", json!([{"siteId": "1-100"}])).await;
    let vpns = list(session, "vpn", "vpn", json!([{"vpn": "10"}])).await;
    let sequence = |number: u32| {
        json!({
            "sequenceId": number,
            "sequenceName": "steer",
            "sequenceType": "trafficEngineering",
            "sequenceIpType": "ipv4",
            "baseAction": "accept",
            "match": {"entries": [
                {"field": "destinationDataPrefixList", "ref": servers},
                {"field": "destinationPort", "value": number.to_string()},
                {"field": "protocol", "value": "6"},
            ]},
            "actions": [{"type": "set", "parameter": [{
                "field": "localTlocList",
                "value": {"color": "biz-internet", "encap": "ipsec", "restrict": ""},
            }]}],
        })
    };
    let sequences: Vec<Value> = (1..=SEQUENCES).map(sequence).collect();
    let definition = json!({
        "name": "large", "type": "data", "description": "", "defaultAction": {"type": "accept"},
        "sequences": sequences,
    });
    let definition = session
        .ok("POST", "/template/policy/definition/data", &definition)
        .await;
    let entry = json!({"direction": "service", "siteLists": [sites], "vpnLists": [vpns]});
    let assembly = json!({"definitionId": definition["definitionId"], "type": "data", "entries": [entry]});
    let policy = json!({
        "policyName": "large",
        "policyDescription": "",
        "policyType": "feature",
        "isPolicyActivated": false,
        "policyDefinition": {"assembly": [assembly], "regionRoleAssembly": []},
    });
    let policy = session.ok("POST", "/template/policy/vsmart", &policy).await;
    policy["policyId"].as_str().unwrap().to_owned()
}

/// Asks for the tasks until `end`, and gives the longest wait for an answer.
async fn poll(manager: &Manager, until: Duration) -> Duration {
    let session = Session::new(manager).await;
    let (begin, mut longest) = (Instant::now(), Duration::ZERO);
    while begin.elapsed() < until {
        let asked = Instant::now();
        session
            .ok("GET", "/device/action/status/tasks", &Value::Null)
            .await;
        longest = longest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_a_large_policy_reaches_every_edge_once_and_shares_its_lists() {
    let edges = Arc::new(MemoryEdges::default());
    let config = Config {
        devices: (1..=EDGES).map(device).collect(),
        ..config()
    };
    let manager = Manager::start(config, edges.clone()).await.unwrap();
    let session = Session::new(&manager).await;
    let policy = create(&session).await;
    let path = format!("/template/policy/vsmart/activate/{policy}?confirm=true");
    let activate = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begin = Instant::now();
        let task = session.ok("POST", &path, &json!({})).await;
        let status = session.follow(&task).await;
        assert_eq!(status["data"][0]["statusId"], "success");
        edges.last_applied() - begin
    };
    let (took, waited) = tokio::join!(activate, poll(&manager, Duration::from_secs(1)));
    println!("the last edge after {took:?}; another client waited {waited:?} at most");
    assert_eq!(edges.applied(), usize::from(EDGES));
    let prefixes = |site| {
        let policy = edges.in_force(site).unwrap();
        assert_eq!(policy.data[0].sequences.len(), SEQUENCES as usize);
        policy.data[0].sequences[0]
            .matching
            .destination_prefixes
            .clone()
            .unwrap()
    };
    let first = prefixes(1);
    assert_eq!(first.len(), PREFIXES as usize);
    assert!(
        Arc::ptr_eq(&first, &prefixes(u32::from(EDGES))),
        "each edge has a list of its own"
    );
}
