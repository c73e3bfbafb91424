//! Statistics over time: what the recorder makes of what edges tell, and edges that tell nothing.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod manager_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use manager_support::{DEADLINE, MemoryEdges, Session, Silence, config};
use netsim::manager::{Config, Manager};
use serde_json::{Value, json};

const COUNT: &str = "/statistics/approute/doccount";
const ROWS: &str = "/statistics/approute";

/// A Manager that records all the time.
async fn start(edges: Arc<MemoryEdges>) -> Manager {
    let config = Config {
        statistics_interval: Duration::from_millis(1),
        edge_patience: Duration::from_millis(50),
        ..config()
    };
    Manager::start(config, edges).await.unwrap()
}

/// Waits until the rows of a query are so many, and no more.
async fn wait_for(session: &Session<'_>, query: &Value, rows: u64) {
    let end = Instant::now() + DEADLINE;
    loop {
        let found = session.ok("POST", COUNT, query).await["count"].as_u64().unwrap();
        if found == rows {
            return;
        }
        assert!(
            found < rows && Instant::now() < end,
            "{found} rows, expected {rows}"
        );
        tokio::task::yield_now().await;
    }
}

fn of_edge(system_ip: &str) -> Value {
    let rule =
        json!({ "field": "vdevice_name", "type": "string", "operator": "equal", "value": [system_ip] });
    json!({ "query": { "condition": "AND", "rules": [rule] } })
}

#[tokio::test]
async fn rows_are_of_the_time_since_the_row_before() {
    let edges = Arc::new(MemoryEdges::default());
    let manager = start(edges.clone()).await;
    let session = Session::new(&manager).await;
    wait_for(&session, &json!({}), 4).await;
    edges.count_on();
    edges.count_on();
    let query = of_edge("10.255.0.1");
    // One row for both, or one for each: the recorder may have come between.
    let end = Instant::now() + DEADLINE;
    let rows = loop {
        let answer = session.ok("POST", ROWS, &query).await;
        let rows = answer["data"].as_array().unwrap().clone();
        let up = rows.iter().filter(|row| row["state"] == "Up");
        if up.map(|row| row["total"].as_u64().unwrap()).sum::<u64>() == 3 * 600 {
            break rows;
        }
        assert!(Instant::now() < end, "{answer}");
        tokio::task::yield_now().await;
    };
    for row in rows.iter().filter(|row| row["state"] == "Up") {
        let times = row["total"].as_u64().unwrap() / 600;
        let shown =
            ["total", "loss", "tx_pkts", "rx_octets"].map(|field| row[field].as_u64().unwrap() / times);
        assert_eq!(shown, [600, 12, 20, 1000], "{row}");
        // Means do not add up.
        assert_eq!(
            (&row["latency"], &row["loss_percentage"]),
            (&json!(13), &json!(2))
        );
    }
    // What counted nothing since has no row.
    let before = session.ok("POST", COUNT, &json!({})).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(session.ok("POST", COUNT, &json!({})).await, before);
    manager.shutdown().await;
}

#[tokio::test]
async fn a_scroll_does_not_see_what_is_recorded_later() {
    let edges = Arc::new(MemoryEdges::default());
    let manager = start(edges.clone()).await;
    let session = Session::new(&manager).await;
    wait_for(&session, &json!({}), 4).await;
    let sorted = json!({ "sort": [{ "field": "name", "order": "asc" }] });
    let mut page = session
        .ok("POST", "/statistics/approute/page?count=1", &sorted)
        .await;
    edges.count_on();
    wait_for(&session, &json!({}), 8).await;
    let mut names = vec![page["data"][0]["name"].clone()];
    while page["pageInfo"]["hasMoreData"] == true {
        let id = page["pageInfo"]["scrollId"].as_str().unwrap();
        let next = format!("/statistics/approute/page?scrollId={id}");
        page = session.ok("GET", &next, &Value::Null).await;
        assert_eq!(page["pageInfo"]["count"], 1);
        names.push(page["data"][0]["name"].clone());
    }
    let pair =
        |one: u8, other: u8, color: &str| json!(format!("10.255.0.{one}:{color}-10.255.0.{other}:{color}"));
    let expected = [
        pair(1, 2, "biz-internet"),
        pair(1, 2, "default"),
        pair(2, 1, "biz-internet"),
        pair(2, 1, "default"),
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn an_edge_that_tells_nothing_is_said_to_be_unreachable() {
    for (silence, reason) in [
        (Silence::Refuses, "ask the edge of site 1: no kernel there"),
        (Silence::Hangs, "ask the edge of site 1: no answer within 50ms"),
    ] {
        let edges = Arc::new(MemoryEdges::default());
        edges.silence(Some((1, silence)));
        let manager = start(edges.clone()).await;
        let session = Session::new(&manager).await;
        for resource in [
            "bfd/sessions",
            "app-route/statistics",
            "tunnel/bfd_statistics",
            "tunnel/fec_statistics",
            "omp/routes/received",
            "omp/tlocs/advertised",
            "policy/vsmart",
            "tloc",
        ] {
            let path = format!("/device/{resource}?deviceId=10.255.0.1");
            let (status, answer) = session.send("GET", &path, None).await;
            assert_eq!(
                (status, answer["error"]["details"].as_str()),
                (503, Some(reason)),
                "{path}"
            );
        }
        let inventory = session.ok("GET", "/device?personality=vedge", &Value::Null).await;
        let states = inventory["data"].as_array().unwrap().iter();
        let states: Vec<_> = states.map(|row| row["reachability"].as_str().unwrap()).collect();
        assert_eq!(states, ["unreachable", "reachable"]);
        let counters = session
            .ok("GET", "/device/counters?deviceId=10.255.0.1", &Value::Null)
            .await;
        assert_eq!(counters["data"][0]["ompPeersDown"], 1);
        let feed = session
            .ok("GET", "/data/device/state/BFDSessions", &Value::Null)
            .await;
        assert_eq!(feed["pageInfo"]["count"], 2);
        // The other edge is recorded meanwhile, and this one as soon as it answers.
        wait_for(&session, &of_edge("10.255.0.2"), 2).await;
        wait_for(&session, &of_edge("10.255.0.1"), 0).await;
        edges.silence(None);
        wait_for(&session, &of_edge("10.255.0.1"), 2).await;
    }
}
