//! `Api` on whole objects: reads, writes in all forms, deletes.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::ResourceExt;
use kube::api::entry::Entry;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GetParams, ListParams, Patch, PatchParams, PostParams,
    Preconditions, PropagationPolicy, VersionMatch,
};
use kube::core::GroupVersionKind;
use kube::runtime::wait::{await_condition, conditions};
use serde_json::{Value, json};

use super::{config_map, refusal, status};
use crate::lab::{Lab, pod, service, soon};

async fn maps() -> (Lab, Api<ConfigMap>) {
    let lab = Lab::start().await;
    let maps = Api::namespaced(lab.client.clone(), "default");
    (lab, maps)
}

fn value(map: &ConfigMap) -> &str {
    map.data.as_ref().map_or("", |data| data["value"].as_str())
}

#[tokio::test]
async fn every_form_of_patch_changes_what_it_says() {
    let (lab, maps) = maps().await;
    maps.create(&PostParams::default(), &config_map("m", "one"))
        .await
        .unwrap();
    let params = PatchParams::default();
    let merge = Patch::Merge(json!({"data": {"value": "two", "other": "x"}}));
    assert_eq!(value(&maps.patch("m", &params, &merge).await.unwrap()), "two");
    let operations = json!([
        {"op": "test", "path": "/data/value", "value": "two"},
        {"op": "remove", "path": "/data/other"},
        {"op": "replace", "path": "/data/value", "value": "three"},
    ]);
    let operations: Patch<ConfigMap> = Patch::Json(serde_json::from_value(operations).unwrap());
    let patched = maps.patch("m", &params, &operations).await.unwrap();
    assert_eq!(
        (value(&patched), patched.data.as_ref().unwrap().len()),
        ("three", 1)
    );
    assert_eq!(
        refusal(maps.patch("m", &params, &operations).await),
        (422, "Invalid".to_owned())
    );

    let services: Api<Service> = Api::namespaced(lab.client.clone(), "default");
    let web = serde_json::from_value(service("web", "web")).unwrap();
    services.create(&PostParams::default(), &web).await.unwrap();
    let ports = Patch::Strategic(json!({"spec": {"ports": [{"port": 9090, "name": "admin"}]}}));
    let patched = services
        .patch("web", &params, &ports)
        .await
        .unwrap()
        .spec
        .unwrap()
        .ports
        .unwrap();
    let numbers: Vec<_> = patched.iter().map(|port| port.port).collect();
    assert_eq!(numbers, [9090, 8081], "merged by port, not replaced");

    let applied = Patch::Apply(config_map("m", "four"));
    let conflict = status(maps.patch("m", &PatchParams::apply("me"), &applied).await);
    assert_eq!((conflict.code, conflict.reason.as_str()), (409, "Conflict"));
    let patched = maps
        .patch("m", &PatchParams::apply("me").force(), &applied)
        .await
        .unwrap();
    assert_eq!(value(&patched), "four");
    let label = Patch::Merge(json!({"metadata": {"labels": {"more": "x"}}}));
    let metadata = maps.patch_metadata("m", &params, &label).await.unwrap();
    assert_eq!(metadata.labels()["more"], "x");
}

#[tokio::test]
async fn fields_that_nobody_knows_are_refused_or_dropped_as_asked() {
    let (_lab, maps) = maps().await;
    maps.create(&PostParams::default(), &config_map("m", "one"))
        .await
        .unwrap();
    let misspelt = Patch::Merge(json!({"dat": {}, "data": {"value": "two"}}));
    let params = PatchParams::default();
    let refused = status(
        maps.patch("m", &params.clone().validation_strict(), &misspelt)
            .await,
    );
    assert_eq!(refused.code, 422);
    assert!(
        refused.message.contains("unknown field \"dat\""),
        "{}",
        refused.message
    );
    assert_eq!(value(&maps.get("m").await.unwrap()), "one");
    for lenient in [params.clone().validation_warn(), params.validation_ignore()] {
        assert_eq!(value(&maps.patch("m", &lenient, &misspelt).await.unwrap()), "two");
    }
    // An apply is by the types of the fields, so it needs to know all of them.
    let mut applied = serde_json::to_value(config_map("n", "one")).unwrap();
    applied["dat"] = json!({});
    let lenient = PatchParams::apply("me").validation_ignore();
    let refused = status(maps.patch("n", &lenient, &Patch::Apply(applied)).await);
    assert!(
        refused.message.contains(".dat: field not declared in schema"),
        "{}",
        refused.message
    );
    assert!(maps.get_opt("n").await.unwrap().is_none());
}

#[tokio::test]
async fn a_dry_run_answers_as_if_and_changes_nothing() {
    let (_lab, maps) = maps().await;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let answered = maps.create(&dry, &config_map("m", "one")).await.unwrap();
    assert!(answered.uid().is_some());
    assert!(maps.get_opt("m").await.unwrap().is_none());

    let created = maps
        .create(&PostParams::default(), &config_map("m", "one"))
        .await
        .unwrap();
    let mut next = created.clone();
    next.data = config_map("m", "two").data;
    assert_eq!(value(&maps.replace("m", &dry, &next).await.unwrap()), "two");
    let merge = Patch::Merge(json!({"data": {"value": "three"}}));
    let patched = maps
        .patch("m", &PatchParams::default().dry_run(), &merge)
        .await
        .unwrap();
    assert_eq!(value(&patched), "three");
    maps.delete("m", &DeleteParams::default().dry_run())
        .await
        .unwrap();
    maps.delete_collection(&DeleteParams::default().dry_run(), &ListParams::default())
        .await
        .unwrap();
    assert_eq!(maps.get("m").await.unwrap(), created);
    // What would be refused is refused.
    assert_eq!(
        refusal(maps.create(&dry, &config_map("m", "one")).await),
        (409, "AlreadyExists".to_owned())
    );
}

#[tokio::test]
async fn lists_come_in_pages_of_one_moment_and_as_metadata() {
    let (_lab, maps) = maps().await;
    for name in ["a", "b", "c", "d", "e"] {
        maps.create(&PostParams::default(), &config_map(name, "one"))
            .await
            .unwrap();
    }
    let mut params = ListParams::default().labels("value=one").limit(2);
    let mut pages: Vec<Vec<String>> = Vec::new();
    let mut versions = Vec::new();
    loop {
        let page = maps.list(&params).await.unwrap();
        pages.push(page.iter().map(ResourceExt::name_any).collect());
        versions.push(page.metadata.resource_version);
        // What comes and goes between two pages is not in them.
        maps.create(
            &PostParams::default(),
            &config_map(&format!("cc-{}", pages.len()), "one"),
        )
        .await
        .unwrap();
        maps.delete("e", &DeleteParams::default()).await.ok();
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(pages, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
    assert!(versions.iter().all(|version| *version == versions[0]));

    let old = versions[0].clone().unwrap();
    let exact = ListParams::default().at(&old).matching(VersionMatch::Exact);
    assert_eq!(
        maps.list(&exact)
            .await
            .unwrap()
            .items
            .iter()
            .filter(|map| value(map) == "one")
            .count(),
        5
    );
    let metadata = maps
        .list_metadata(&ListParams::default().fields("metadata.name=a"))
        .await
        .unwrap();
    assert_eq!(metadata.items.len(), 1);
    assert_eq!(metadata.items[0].labels()["value"], "one");
    assert_eq!(maps.get_metadata("a").await.unwrap().name_any(), "a");
    assert!(maps.get_metadata_opt("z").await.unwrap().is_none());
    assert_eq!(
        maps.get_with("a", &GetParams::any()).await.unwrap().name_any(),
        "a"
    );
}

#[tokio::test]
async fn what_another_has_changed_is_not_replaced() {
    let (_lab, maps) = maps().await;
    let created = maps
        .create(&PostParams::default(), &config_map("m", "one"))
        .await
        .unwrap();
    let mut mine = created.clone();
    mine.data = config_map("m", "mine").data;
    maps.replace("m", &PostParams::default(), &mine).await.unwrap();
    let lost = status(maps.replace("m", &PostParams::default(), &mine).await);
    assert_eq!((lost.code, lost.reason.as_str()), (409, "Conflict"));
    assert!(lost.message.contains("the object has been modified"));
    // Without a version the last one wins.
    mine.metadata.resource_version = None;
    maps.replace("m", &PostParams::default(), &mine).await.unwrap();
    let stale = Patch::Merge(json!({"metadata": {"resourceVersion": created.resource_version()}}));
    assert_eq!(
        refusal(maps.patch("m", &PatchParams::default(), &stale).await),
        (409, "Conflict".to_owned())
    );
    assert_eq!(
        refusal(
            maps.replace("none", &PostParams::default(), &config_map("none", "one"))
                .await
        ),
        (404, "NotFound".to_owned())
    );
}

#[tokio::test]
async fn an_entry_creates_changes_and_notices_others() {
    let (_lab, maps) = maps().await;
    let params = PostParams::default();
    let mut new = maps
        .entry("m")
        .await
        .unwrap()
        .or_insert(|| config_map("m", "one"));
    new.commit(&PostParams {
        dry_run: true,
        ..params.clone()
    })
    .await
    .unwrap();
    assert!(maps.get_opt("m").await.unwrap().is_none());
    let mut rival = maps
        .entry("m")
        .await
        .unwrap()
        .or_insert(|| config_map("m", "rival"));
    new.commit(&params).await.unwrap();
    assert!(
        rival
            .commit(&params)
            .await
            .unwrap_err()
            .to_string()
            .contains("already exists")
    );

    let Entry::Occupied(first) = maps.entry("m").await.unwrap() else {
        panic!("vacant")
    };
    let Entry::Occupied(second) = maps.entry("m").await.unwrap() else {
        panic!("vacant")
    };
    let set = |text: &'static str| move |map: &mut ConfigMap| map.data = config_map("m", text).data;
    first.and_modify(set("two")).commit(&params).await.unwrap();
    let lost = second.and_modify(set("three")).commit(&params).await.unwrap_err();
    assert!(
        lost.to_string().contains("the object has been modified"),
        "{lost}"
    );
    assert_eq!(value(&maps.get("m").await.unwrap()), "two");
}

#[tokio::test]
async fn a_delete_holds_its_preconditions_and_answers_what_is_left() {
    let (_lab, maps) = maps().await;
    let mut held = config_map("m", "one");
    held.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
    let held = maps.create(&PostParams::default(), &held).await.unwrap();
    let on = |uid: Option<String>, resource_version: Option<&str>| {
        let resource_version = resource_version.map(str::to_owned);
        DeleteParams::default().preconditions(Preconditions {
            resource_version,
            uid,
        })
    };
    for wrong in [on(Some("other".to_owned()), None), on(None, Some("1"))] {
        assert_eq!(
            refusal(maps.delete("m", &wrong).await),
            (409, "Conflict".to_owned())
        );
    }
    let right = on(held.uid(), held.resource_version().as_deref());
    let terminating = maps.delete("m", &right).await.unwrap().left().unwrap();
    assert!(terminating.metadata.deletion_timestamp.is_some());
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("m", &PatchParams::default(), &free).await.unwrap();
    assert_eq!(
        refusal(maps.delete("m", &DeleteParams::default()).await),
        (404, "NotFound".to_owned())
    );
    maps.create(&PostParams::default(), &config_map("m", "one"))
        .await
        .unwrap();
    let done = maps
        .delete("m", &DeleteParams::default())
        .await
        .unwrap()
        .right()
        .unwrap();
    assert_eq!(done.details.unwrap().name, "m");
}

fn replica_set(name: &str) -> ReplicaSet {
    let template = json!({"metadata": {"labels": {"app": name}}, "spec": pod(name, name, 80)["spec"]});
    let spec = json!({"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template});
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
}

#[tokio::test]
async fn dependents_go_before_with_or_without_their_owner() {
    let lab = Lab::start().await;
    let sets: Api<ReplicaSet> = Api::namespaced(lab.client.clone(), "default");
    let pods: Api<Pod> = Api::namespaced(lab.client.clone(), "default");
    for (policy, name, stays) in [
        (PropagationPolicy::Background, "back", false),
        (PropagationPolicy::Foreground, "fore", false),
        (PropagationPolicy::Orphan, "orphan", true),
    ] {
        let set = sets
            .create(&PostParams::default(), &replica_set(name))
            .await
            .unwrap();
        let scaled = |set: Option<&ReplicaSet>| {
            set.and_then(|set| set.status.as_ref())
                .is_some_and(|status| status.ready_replicas == Some(1))
        };
        soon("its pod", await_condition(sets.clone(), name, scaled))
            .await
            .unwrap();
        let of_set = ListParams::default().labels(&format!("app={name}"));
        let pod = pods.list(&of_set).await.unwrap().items.remove(0);
        let params = DeleteParams {
            propagation_policy: Some(policy),
            ..DeleteParams::default()
        };
        let uid = set.uid().unwrap();
        sets.delete(name, &params).await.unwrap();
        let gone = await_condition(sets.clone(), name, conditions::is_deleted(&uid));
        soon("the set to go", gone).await.unwrap();
        if stays {
            let orphan = pods.get(&pod.name_any()).await.unwrap();
            assert!(orphan.owner_references().is_empty());
        } else {
            let (name, uid) = (pod.name_any(), pod.uid().unwrap());
            let gone = await_condition(pods.clone(), &name, conditions::is_deleted(&uid));
            soon("the pod to go", gone).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_collection_is_deleted_as_far_as_it_is_selected() {
    let (_lab, maps) = maps().await;
    for (name, value) in [("a", "one"), ("b", "two"), ("c", "one")] {
        maps.create(&PostParams::default(), &config_map(name, value))
            .await
            .unwrap();
    }
    let ones = ListParams::default().labels("value=one");
    let deleted = maps
        .delete_collection(&DeleteParams::default(), &ones)
        .await
        .unwrap();
    let deleted = deleted.left().unwrap();
    assert_eq!(
        deleted.iter().map(ResourceExt::name_any).collect::<Vec<_>>(),
        ["a", "c"]
    );
    let left = maps.list(&ListParams::default()).await.unwrap();
    assert_eq!(left.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn an_object_of_no_type_is_handled_by_its_names_alone() {
    let lab = Lab::start().await;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("coordination.k8s.io", "v1", "Lease"));
    let leases: Api<DynamicObject> = Api::namespaced_with(lab.client.clone(), "default", &kind);
    let lease = DynamicObject::new("l", &kind).data(json!({"spec": {"holderIdentity": "me"}}));
    let created = leases.create(&PostParams::default(), &lease).await.unwrap();
    assert_eq!(created.types.as_ref().unwrap().kind, "Lease");
    let mut next = created.clone();
    next.data["spec"]["holderIdentity"] = json!("you");
    leases.replace("l", &PostParams::default(), &next).await.unwrap();
    assert_eq!(
        refusal(leases.replace("l", &PostParams::default(), &next).await).0,
        409
    );
    let applied = Patch::Apply(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
        "spec": {"leaseDurationSeconds": 15},
    }));
    let applied = leases
        .patch("l", &PatchParams::apply("me"), &applied)
        .await
        .unwrap();
    assert_eq!(
        applied.data["spec"],
        json!({"holderIdentity": "you", "leaseDurationSeconds": 15})
    );
    let found: Vec<Value> = leases
        .list(&ListParams::default())
        .await
        .unwrap()
        .into_iter()
        .map(|l| l.data)
        .collect();
    assert_eq!(found, [applied.data]);
    leases.delete("l", &DeleteParams::default()).await.unwrap();
    assert!(leases.get_opt("l").await.unwrap().is_none());
}
