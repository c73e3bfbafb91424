//! The checked-in roles: they allow what the operator asks of an API server, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/operator.rs"]
mod operator;
#[path = "support/rbac.rs"]
mod rbac;
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use sdwan_operator::controller::Settings;
use serde_json::json;

use self::cluster::{FakeCluster, POLICIES, TUNNELS};
use self::operator::{Operator, contest, eventually, settings};
use self::support::FakeManager;

/// Has the Manager report one tunnel, which is up.
fn report(manager: &FakeManager, color: &str) {
    let call = "GET /dataservice/data/device/state/BFDSessions?count=1000";
    let session = json!({
        "vdevice-name": "1.1.1.1", "system-ip": "1.1.1.2", "local-color": color, "color": color,
        "proto": "ipsec", "state": "up",
    });
    let mut shelf = manager.shelf();
    shelf.canned.insert(call, json!({ "data": [session] }));
    let call = "POST /dataservice/statistics/approute";
    shelf.canned.insert(call, json!({ "data": [] }));
}

#[tokio::test]
async fn the_checked_in_roles_allow_what_is_asked_for_and_nothing_else() {
    let (cluster, manager) = (FakeCluster::new(), FakeManager::start().await);
    report(&manager, "mpls");
    cluster.service("business", &[("tunnel", "mpls")]);
    cluster.endpoints("business", &["10.2.0.5"]);
    let refused = || cluster.service("broken", &[("tunnel", "business-class")]);
    refused();
    let contest = Some(contest("one"));
    let settings = Settings {
        contest,
        tunnel_poll: Duration::from_millis(50),
        ..settings()
    };
    let operator = Operator::with(&cluster, &manager, settings);
    let is_shown = |name: &str| {
        cluster
            .get(POLICIES, "shop", name)
            .is_some_and(|policy| !policy["status"].is_null())
    };
    eventually("shown", || is_shown("business")).await;
    let tunnel = |color: &str| {
        cluster
            .get(TUNNELS, "", color)
            .is_some_and(|tunnel| !tunnel["status"].is_null())
    };
    eventually("a tunnel is shown", || tunnel("mpls")).await;
    eventually("two Events", || cluster.events().len() == 2).await;

    report(&manager, "lte");
    eventually("another tunnel is shown", || tunnel("lte") && !tunnel("mpls")).await;
    cluster.service("business", &[]);
    eventually("gone", || !is_shown("business")).await;
    // The same Event again is the first one, counted twice; what is shown in between was published without the refusal.
    cluster.service("broken", &[]);
    cluster.service("business", &[("tunnel", "mpls")]);
    eventually("shown again", || is_shown("business")).await;
    refused();
    let asked = |kind: &str| cluster.accesses().keys().any(|access| access.kind() == kind);
    eventually("counted", || asked("patch events.events.k8s.io")).await;
    operator.stop().await;

    let accesses = cluster.accesses();
    let refused: Vec<_> = accesses.iter().filter(|(_, allowed)| !**allowed).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let used: BTreeSet<_> = accesses.keys().map(rbac::Access::kind).collect();
    assert_eq!(used, rbac::allowed());
}
