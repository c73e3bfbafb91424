use serde_json::json;

use super::*;
use crate::patch::Patch;
use crate::selector::Selector;
use crate::status::Reason;
use crate::strategy::Part;

fn api() -> Api {
    let api = Api::new("10.96.0.0/24".parse::<ipnet::Ipv4Net>().expect("a network"), 64);
    let namespaces = &api.resources.of_kind("v1", "Namespace").expect("served");
    api.create(
        namespaces,
        "",
        json!({"metadata": {"name": "ns"}}),
        Effect::Persist,
    )
    .expect("created");
    api
}

fn target(api: &Api, api_version: &str, kind: &str, name: &str) -> Target {
    Target::new(
        &api.resources.of_kind(api_version, kind).expect("served"),
        "ns",
        name,
    )
}

fn create(api: &Api, kind: &str, body: Value) -> Result<Arc<Value>, Status> {
    api.create(
        &api.resources.of_kind("v1", kind).expect("served"),
        "ns",
        body,
        Effect::Persist,
    )
}

fn service(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}})
}

fn merge(api: &Api, target: &Target, patch: Value) -> Result<Arc<Value>, Status> {
    api.patch(target, Part::Main, &Patch::Merge(patch), Effect::Persist)
}

#[test]
fn a_new_service_is_defaulted_as_upstream_does() {
    let created = create(&api(), "Service", service("web")).expect("created");
    assert_eq!(
        created["spec"],
        json!({
            "type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster", "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"],
            "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}],
        })
    );
}

#[test]
fn what_breaks_a_rule_is_refused_with_every_broken_field() {
    let body = json!({"metadata": {"name": "Web"}, "spec": {"ports": [{"port": 0}, {"port": 80}]}});
    let refused = create(&api(), "Service", body).expect_err("two unnamed ports, one of them zero");
    assert_eq!(refused.reason, Reason::Invalid);
    let status = refused.to_json();
    let fields: Vec<&str> = object::items(&status, "/details/causes")
        .iter()
        .filter_map(|cause| cause["field"].as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "metadata.name",
            "spec.ports[0].name",
            "spec.ports[0].port",
            "spec.ports[0].targetPort",
            "spec.ports[1].name"
        ]
    );
}

#[test]
fn names_are_generated_or_taken() {
    let api = api();
    let generated = create(&api, "ConfigMap", json!({"metadata": {"generateName": "c-"}})).expect("created");
    let name = object::name(&generated);
    assert!(name.starts_with("c-") && name.len() == 7, "{name}");
    let again = create(&api, "ConfigMap", json!({"metadata": {"name": name}})).expect_err("taken");
    assert_eq!((again.reason, again.code()), (Reason::AlreadyExists, 409));
    let nameless = create(&api, "ConfigMap", json!({"metadata": {}})).expect_err("no name");
    assert_eq!(nameless.reason, Reason::Invalid);
}

#[test]
fn a_dry_run_answers_but_stores_nothing_and_takes_no_address() {
    let api = api();
    let services = &api.resources.of_kind("v1", "Service").expect("served");
    let dry = api
        .create(services, "ns", service("dry"), Effect::DryRun)
        .expect("accepted");
    assert_eq!(dry["spec"]["clusterIP"], "10.96.0.1");
    assert_eq!(
        api.get(&target(&api, "v1", "Service", "dry"))
            .expect_err("not stored")
            .code(),
        404
    );
    let mut wet = service("wet");
    wet["spec"]["clusterIP"] = json!("10.96.0.1");
    create(&api, "Service", wet).expect("the address is still free");
}

#[test]
fn a_write_that_changes_nothing_keeps_its_version() {
    let api = api();
    let created = create(&api, "Service", service("web")).expect("created");
    let target = target(&api, "v1", "Service", "web");
    let same = api
        .update(&target, Part::Main, (*created).clone(), Effect::Persist)
        .expect("accepted");
    assert_eq!(same, created);
    // A client that sends what it once created, without what the server filled in, changes nothing either.
    let same = api
        .update(&target, Part::Main, service("web"), Effect::Persist)
        .expect("accepted");
    assert_eq!(same, created);
    let annotated = merge(&api, &target, json!({"metadata": {"annotations": {"a": "1"}}})).expect("accepted");
    assert_ne!(
        object::resource_version(&annotated),
        object::resource_version(&created)
    );
}

#[test]
fn a_stale_version_conflicts_in_put_and_in_patch() {
    let api = api();
    let created = create(&api, "ConfigMap", json!({"metadata": {"name": "c"}})).expect("created");
    let target = target(&api, "v1", "ConfigMap", "c");
    merge(&api, &target, json!({"data": {"k": "v"}})).expect("accepted");
    let stale = api
        .update(&target, Part::Main, (*created).clone(), Effect::Persist)
        .expect_err("stale");
    assert_eq!(stale.reason, Reason::Conflict);
    let version = object::resource_version(&created);
    let stale = merge(
        &api,
        &target,
        json!({"metadata": {"resourceVersion": version}, "data": null}),
    );
    assert_eq!(stale.expect_err("stale").reason, Reason::Conflict);
}

#[test]
fn the_status_and_the_rest_are_written_through_different_doors() {
    let api = api();
    create(&api, "Service", service("web")).expect("created");
    let target = target(&api, "v1", "Service", "web");
    let ingress =
        json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}, "spec": {"type": "X"}});
    let main = merge(&api, &target, json!({"status": ingress["status"]})).expect("accepted");
    assert_eq!(main["status"], json!({"loadBalancer": {}}));
    let patch = Patch::Merge(ingress);
    let status = api
        .patch(&target, Part::Status, &patch, Effect::Persist)
        .expect("accepted");
    assert_eq!(
        (
            &status["spec"]["type"],
            &status["status"]["loadBalancer"]["ingress"][0]["ip"]
        ),
        (&json!("ClusterIP"), &json!("192.0.2.1"))
    );
}

#[test]
fn a_finalizer_holds_an_object_until_it_is_taken_away() {
    let api = api();
    create(
        &api,
        "ConfigMap",
        json!({"metadata": {"name": "c", "finalizers": ["x/y"]}}),
    )
    .expect("created");
    let target = target(&api, "v1", "ConfigMap", "c");
    let deleted = api
        .delete(&target, &DeleteOptions::default(), Effect::Persist)
        .expect("accepted");
    assert!(matches!(&deleted, Deleted::Terminating(object) if object::is_terminating(object)));
    let more = merge(&api, &target, json!({"metadata": {"finalizers": ["x/y", "z/z"]}}));
    assert_eq!(more.expect_err("too late for another").reason, Reason::Invalid);
    merge(&api, &target, json!({"metadata": {"finalizers": null}})).expect("accepted");
    assert_eq!(api.get(&target).expect_err("gone").reason, Reason::NotFound);
}

#[test]
fn preconditions_guard_a_deletion() {
    let api = api();
    create(&api, "ConfigMap", json!({"metadata": {"name": "c"}})).expect("created");
    let target = target(&api, "v1", "ConfigMap", "c");
    let refused = api.delete(&target, &DeleteOptions::now("another-uid"), Effect::Persist);
    assert_eq!(refused.expect_err("not that object").reason, Reason::Conflict);
}

#[test]
fn pages_of_a_list_show_one_revision() {
    let api = api();
    for name in ["a", "b", "c"] {
        create(&api, "ConfigMap", json!({"metadata": {"name": name}})).expect("created");
    }
    let resource = &api.resources.of_kind("v1", "ConfigMap").expect("served");
    let request = ListRequest {
        limit: 2,
        ..ListRequest::default()
    };
    let first = api.list(resource, &request).expect("a page");
    assert_eq!((first.items.len(), first.remaining), (2, Some(1)));
    let target = target(&api, "v1", "ConfigMap", "c");
    api.delete(&target, &DeleteOptions::default(), Effect::Persist)
        .expect("deleted");
    create(&api, "ConfigMap", json!({"metadata": {"name": "d"}})).expect("created");
    let request = ListRequest {
        continue_token: first.continue_token,
        ..request
    };
    let second = api.list(resource, &request).expect("a page");
    let names: Vec<&str> = second.items.iter().map(|object| object::name(object)).collect();
    assert_eq!((names, second.revision), (vec!["c"], first.revision));
}

#[test]
fn a_page_whose_revision_is_forgotten_has_expired() {
    let api = api();
    for n in 0..80 {
        create(&api, "ConfigMap", json!({"metadata": {"name": format!("c{n}")}})).expect("created");
    }
    let resource = &api.resources.of_kind("v1", "ConfigMap").expect("served");
    let list = |version| {
        let request = ListRequest {
            version,
            ..ListRequest::default()
        };
        api.list(resource, &request)
            .map(|page| page.items.len())
            .map_err(|status| status.reason)
    };
    assert_eq!(list(VersionMatch::Exact(3)), Err(Reason::Expired));
    assert_eq!(list(VersionMatch::NotOlderThan(3)), Ok(80));
    assert_eq!(list(VersionMatch::NotOlderThan(9999)), Err(Reason::Timeout));
}

#[test]
fn both_event_apis_show_the_same_event() {
    let api = api();
    let body = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Why",
        "eventTime": "2026-01-01T00:00:00.000000Z", "regarding": {"kind": "Pod", "name": "p", "namespace": "ns"},
        "note": "text", "type": "Normal", "action": "Do", "reportingController": "c", "reportingInstance": "c-1",
    });
    let new = &api
        .resources
        .of_kind("events.k8s.io/v1", "Event")
        .expect("served");
    api.create(new, "ns", body, Effect::Persist).expect("created");
    let core = api
        .get(&target(&api, "v1", "Event", "e"))
        .expect("the same storage");
    assert_eq!(
        (&core["message"], &core["involvedObject"]["name"]),
        (&json!("text"), &json!("p"))
    );
    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}});
    let target = target(&api, "events.k8s.io/v1", "Event", "e");
    let repeated = merge(&api, &target, series).expect("accepted");
    assert_eq!(
        (&repeated["series"]["count"], &repeated["note"]),
        (&json!(2), &json!("text"))
    );
}

#[test]
fn a_pod_keeps_its_spec_but_for_its_image() {
    let api = api();
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    create(&api, "Pod", pod).expect("created");
    let target = target(&api, "v1", "Pod", "p");
    merge(
        &api,
        &target,
        json!({"spec": {"containers": [{"name": "c", "image": "i:2"}]}}),
    )
    .expect("an image");
    let refused = merge(&api, &target, json!({"spec": {"hostNetwork": true}})).expect_err("not the network");
    assert_eq!(refused.reason, Reason::Invalid);
}

#[test]
fn a_deleted_collection_is_what_the_selector_matches() {
    let api = api();
    for (name, app) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let body = json!({"metadata": {"name": name, "labels": {"app": app}}});
        create(&api, "ConfigMap", body).expect("created");
    }
    let resource = &api.resources.of_kind("v1", "ConfigMap").expect("served");
    let labels = crate::selector::LabelSelector::parse("app=x").expect("parses");
    let selector = Selector {
        labels,
        ..Selector::default()
    };
    let deleted = api.delete_collection(
        resource,
        Some("ns"),
        &selector,
        &DeleteOptions::default(),
        Effect::Persist,
    );
    assert_eq!(deleted.expect("deleted").len(), 2);
    assert_eq!(
        api.list(resource, &ListRequest::default())
            .expect("listed")
            .items
            .len(),
        1
    );
}

#[test]
fn nothing_is_created_in_a_namespace_that_is_missing_or_going() {
    let api = api();
    let maps = &api.resources.of_kind("v1", "ConfigMap").expect("served");
    let body = json!({"metadata": {"name": "c"}});
    let missing = api
        .create(maps, "nowhere", body.clone(), Effect::Persist)
        .expect_err("no namespace");
    assert_eq!(
        (missing.reason, missing.message.as_str()),
        (Reason::NotFound, "namespaces \"nowhere\" not found")
    );
    let namespace = Target::new(
        &api.resources.of_kind("v1", "Namespace").expect("served"),
        "",
        "ns",
    );
    api.delete(&namespace, &DeleteOptions::default(), Effect::Persist)
        .expect("accepted");
    let going = create(&api, "ConfigMap", body).expect_err("terminating");
    assert_eq!(going.reason, Reason::Forbidden);
}
