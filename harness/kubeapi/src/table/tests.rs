use serde_json::{Value, json};

use super::*;
use crate::resources::Resources;

/// The cells of one object, by column; `-o wide` columns in parentheses.
fn cells(group: &str, plural: &str, object: Value) -> Vec<(String, Value)> {
    let resources = Resources::builtin();
    let resource = resources.at_path(group, "v1", plural).expect("served");
    let table = table(resource, [&object].into_iter(), IncludeObject::None, json!({}));
    let columns = object::items(&table, "/columnDefinitions").iter();
    let names = columns.map(|column| match column["priority"].as_i64() {
        Some(0) => object::text(column, "/name").to_owned(),
        _ => format!("({})", object::text(column, "/name")),
    });
    names
        .zip(object::items(&table, "/rows/0/cells").iter().cloned())
        .collect()
}

fn check(group: &str, plural: &str, object: Value, expected: &[(&str, Value)]) {
    let found = cells(group, plural, object);
    let found: Vec<(&str, Value)> = found
        .iter()
        .map(|(name, cell)| (name.as_str(), cell.clone()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_pod_shows_readiness_and_where_it_runs() {
    let pod = json!({
        "metadata": {"name": "p"}, "spec": {"containers": [{}, {}], "nodeName": "n"},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [
            {"ready": true, "restartCount": 2}, {"ready": false, "restartCount": 1},
        ]},
    });
    let expected = [
        ("Name", json!("p")),
        ("Ready", json!("1/2")),
        ("Status", json!("Running")),
        ("Restarts", json!("3")),
        ("Age", json!("<unknown>")),
        ("(IP)", json!("10.0.0.1")),
        ("(Node)", json!("n")),
        ("(Nominated Node)", json!("<none>")),
        ("(Readiness Gates)", json!("<none>")),
    ];
    check("", "pods", pod, &expected);
}

#[test]
fn a_service_shows_addresses_ports_and_selector() {
    let service = json!({
        "metadata": {"name": "s"},
        "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.1", "selector": {"app": "web"},
                 "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]},
    });
    let expected = [
        ("Name", json!("s")),
        ("Type", json!("ClusterIP")),
        ("Cluster-IP", json!("10.96.0.1")),
        ("External-IP", json!("<none>")),
        ("Port(s)", json!("80/TCP,53/UDP")),
        ("Age", json!("<unknown>")),
        ("(Selector)", json!("app=web")),
    ];
    check("", "services", service, &expected);
}

#[test]
fn an_endpoint_slice_shows_three_addresses_and_counts_the_rest() {
    let addresses = ["a", "b", "c", "d", "e"].map(|address| json!({"addresses": [address]}));
    let slice =
        json!({"metadata": {"name": "s"}, "addressType": "IPv4", "ports": [], "endpoints": addresses});
    let expected = [
        ("Name", json!("s")),
        ("AddressType", json!("IPv4")),
        ("Ports", json!("<unset>")),
        ("Endpoints", json!("a,b,c + 2 more...")),
        ("Age", json!("<unknown>")),
    ];
    check("discovery.k8s.io", "endpointslices", slice, &expected);
}

#[test]
fn a_cordoned_node_and_a_terminating_pod_say_so() {
    let node = json!({"metadata": {"name": "n"}, "spec": {"unschedulable": true}, "status": {}});
    assert_eq!(
        cells("", "nodes", node)[1].1,
        json!("NotReady,SchedulingDisabled")
    );
    let pod = json!({"metadata": {"name": "p", "deletionTimestamp": "t"}, "status": {"phase": "Running"}});
    assert_eq!(cells("", "pods", pod)[2].1, json!("Terminating"));
}

#[test]
fn an_event_of_either_api_names_its_object_and_message() {
    let core =
        json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p"}, "message": "m"});
    let found = cells("", "events", core);
    assert_eq!((&found[3].1, &found[6].1), (&json!("pod/p"), &json!("m")));
    let event = json!({"metadata": {"name": "e"}, "regarding": {"kind": "Pod", "name": "p"}, "note": "m"});
    let found = cells("events.k8s.io", "events", event);
    assert_eq!((&found[3].1, &found[4].1), (&json!("pod/p"), &json!("m")));
}

#[test]
fn the_other_kinds_show_what_upstream_shows() {
    let lease = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}});
    assert_eq!(
        cells("coordination.k8s.io", "leases", lease)[1],
        ("Holder".to_owned(), json!("me"))
    );
    let map = json!({"metadata": {"name": "m"}, "data": {"a": "", "b": ""}, "binaryData": {"c": ""}});
    assert_eq!(cells("", "configmaps", map)[1], ("Data".to_owned(), json!(3)));
    let secret = json!({"metadata": {"name": "s"}, "type": "Opaque", "data": {"a": ""}});
    assert_eq!(cells("", "secrets", secret)[2], ("Data".to_owned(), json!(1)));
    let namespace = json!({"metadata": {"name": "n"}, "status": {"phase": "Active"}});
    assert_eq!(
        cells("", "namespaces", namespace)[1],
        ("Status".to_owned(), json!("Active"))
    );
}
