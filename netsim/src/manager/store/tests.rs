use serde_json::json;

use super::*;
use crate::manager::controllers::Controller;
use crate::manager::fixture::{self, Ids, PLACES, parse_list};
use crate::manager::list;

fn done(store: &mut Store, accepted: Accepted) {
    store.end_push(
        &accepted.push.expect("the push was accepted"),
        PushEnd::default(),
        0,
    );
}

fn failed(reason: &str) -> PushEnd {
    PushEnd {
        failure: Some(reason.to_owned()),
        ..PushEnd::default()
    }
}

fn activate(store: &mut Store, caller: &Caller, id: Uuid, release: &Release) -> Result<Accepted, StoreError> {
    store.activate(caller, &id.to_string(), release, &PLACES)
}

fn edit_servers(
    store: &mut Store,
    caller: &Caller,
    ids: &Ids,
    process_id: Option<&str>,
) -> Result<Edited, StoreError> {
    let entries = json!([{"ipPrefix": "10.1.0.6/32"}]);
    let list = list::List {
        id: ids.servers,
        ..parse_list("dataprefix", "servers", entries).unwrap()
    };
    store.edit(caller, ids.servers, process_id, |objects| objects.put_list(list))
}

fn is_edited() -> Release {
    Release {
        is_edited: true,
        process_id: None,
    }
}

/// A store with an active policy, and two callers.
fn active() -> (Store, Ids, [Caller; 2]) {
    let mut store = Store::default();
    let ids = fixture::policy(&mut store);
    let callers = ["a", "b"].map(Caller::test);
    let accepted = activate(&mut store, &callers[0], ids.policy, &Release::default()).unwrap();
    done(&mut store, accepted);
    assert_eq!(store.active(), Some(ids.policy));
    (store, ids, callers)
}

#[test]
fn edits_of_one_session_share_a_process_id() {
    let (mut store, ids, [a, _]) = active();
    let first = edit_servers(&mut store, &a, &ids, None).unwrap();
    assert_eq!(first.master_templates_affected, [template::ID]);
    let id = first.process_id.clone().unwrap();
    assert_eq!(edit_servers(&mut store, &a, &ids, None).unwrap(), first);
    assert_eq!(edit_servers(&mut store, &a, &ids, Some(&id)).unwrap(), first);
}

#[test]
fn a_locked_policy_is_edited_by_no_other_session() {
    let (mut store, ids, [a, b]) = active();
    let edited = edit_servers(&mut store, &a, &ids, None).unwrap();
    assert!(matches!(
        edit_servers(&mut store, &b, &ids, None),
        Err(StoreError::Locked)
    ));
    assert!(matches!(
        edit_servers(&mut store, &b, &ids, Some("x")),
        Err(StoreError::EditExpired(_))
    ));
    edit_servers(&mut store, &b, &ids, edited.process_id.as_deref()).unwrap();
}

#[test]
fn a_refused_edit_takes_no_lock() {
    let (mut store, ids, [a, b]) = active();
    let refused = store.edit(&a, ids.servers, None, |_| {
        Err(ObjectError::NameTaken {
            kind: crate::manager::ObjectKind::List,
            name: "x".to_owned(),
        })
    });
    assert!(refused.is_err());
    edit_servers(&mut store, &b, &ids, None).unwrap();
}

#[test]
fn an_edit_reaches_edges_with_the_next_activation_only() {
    let (mut store, ids, [a, _]) = active();
    edit_servers(&mut store, &a, &ids, None).unwrap();
    let accepted = activate(&mut store, &a, ids.policy, &is_edited()).unwrap();
    let push = accepted.push.as_ref().unwrap();
    let matching = &push.edges[0].data[0].sequences[0].matching;
    assert_eq!(
        matching.source_prefixes,
        Some(["10.1.0.6/32".parse().unwrap()].into())
    );
    assert!(push.edges[1].data.is_empty());
}

#[test]
fn a_success_releases_the_lock_and_a_failure_keeps_it() {
    let (mut store, ids, [a, b]) = active();
    let process_id = edit_servers(&mut store, &a, &ids, None).unwrap().process_id;
    let release = Release {
        is_edited: true,
        process_id,
    };
    let accepted = activate(&mut store, &a, ids.policy, &release).unwrap();
    store.end_push(&accepted.push.unwrap(), failed("site 1: no"), 0);
    assert_eq!(store.active(), Some(ids.policy));
    assert!(matches!(
        edit_servers(&mut store, &b, &ids, None),
        Err(StoreError::Locked)
    ));
    let accepted = activate(&mut store, &a, ids.policy, &release).unwrap();
    done(&mut store, accepted);
    edit_servers(&mut store, &b, &ids, None).unwrap();
}

#[test]
fn an_edit_that_is_being_pushed_is_not_given_up() {
    let (mut store, ids, [a, _]) = active();
    let process_id = edit_servers(&mut store, &a, &ids, None).unwrap().process_id;
    let id = process_id.clone().unwrap();
    let release = Release {
        is_edited: true,
        process_id,
    };
    let accepted = activate(&mut store, &a, ids.policy, &release).unwrap();
    assert!(matches!(store.release_lock(&a, &id), Err(StoreError::Locked)));
    store.extend_lock(&a, &id).unwrap();
    store.end_push(&accepted.push.unwrap(), failed("site 1: no"), 0);
    store.release_lock(&a, &id).unwrap();
    assert!(matches!(
        store.extend_lock(&a, &id),
        Err(StoreError::EditExpired(_))
    ));
}

#[test]
fn an_edit_whose_lock_expired_is_pushed_by_the_next_activation() {
    let (mut store, ids, [a, mut b]) = active();
    edit_servers(&mut store, &a, &ids, None).unwrap();
    b.at_ms += lock::LIFETIME_MS;
    let accepted = activate(&mut store, &b, ids.policy, &Release::default()).unwrap();
    let push = accepted.push.unwrap();
    let matching = &push.edges[0].data[0].sequences[0].matching;
    assert_eq!(
        matching.source_prefixes,
        Some(["10.1.0.6/32".parse().unwrap()].into())
    );
}

#[test]
fn a_bare_activation_does_not_end_an_edit() {
    let (mut store, ids, [a, b]) = active();
    edit_servers(&mut store, &a, &ids, None).unwrap();
    let bare = activate(&mut store, &a, ids.policy, &Release::default());
    assert!(matches!(bare, Err(StoreError::Locked)));
    let accepted = activate(&mut store, &b, ids.policy, &is_edited()).unwrap();
    done(&mut store, accepted);
}

#[test]
fn a_first_activation_that_fails_activates_nothing() {
    let mut store = Store::default();
    let ids = fixture::policy(&mut store);
    let accepted = activate(&mut store, &Caller::test("a"), ids.policy, &Release::default()).unwrap();
    let push = accepted.push.unwrap();
    store.queue_push(&push, [Controller::default().target()].into_iter());
    store.end_push(&push, failed("site 2: no"), 0);
    assert_eq!(store.active(), None);
    let row = &store.task(&accepted.task).unwrap().status()["data"][0];
    assert_eq!(row["statusId"], "failure");
}

/// A store with a policy that the edge of site 1 has taken and that of site 2 refused, and two callers.
fn partly_in_force() -> (Store, Ids, [Caller; 2]) {
    let mut store = Store::default();
    let ids = fixture::policy(&mut store);
    let callers = ["a", "b"].map(Caller::test);
    let accepted = activate(&mut store, &callers[0], ids.policy, &Release::default()).unwrap();
    take_at_site_1(&mut store, accepted);
    (store, ids, callers)
}

fn take_at_site_1(store: &mut Store, accepted: Accepted) {
    let push = accepted.push.unwrap();
    store.note_pushed(&push.origin(), &push.edges[0], 0);
    store.end_push(&push, failed("site 2: no"), 0);
}

#[test]
fn a_policy_that_some_edges_follow_is_deactivated_and_not_deleted() {
    let (mut store, ids, [a, _]) = partly_in_force();
    assert_eq!(store.active(), None);
    let id = ids.policy.to_string();
    assert!(matches!(store.delete_policy(&id), Err(StoreError::Attached(_))));
    let accepted = store.deactivate(&a, &id, &Release::default(), &PLACES).unwrap();
    take_at_site_1(&mut store, accepted);
    assert!(matches!(
        store.deactivate(&a, &id, &Release::default(), &PLACES),
        Err(StoreError::NotActive(_))
    ));
    store.delete_policy(&id).unwrap();
}

#[test]
fn an_edit_of_a_policy_that_some_edges_follow_takes_the_lock_and_is_pushed_by_template() {
    let (mut store, ids, [a, b]) = partly_in_force();
    edit_servers(&mut store, &a, &ids, None).unwrap();
    assert!(matches!(
        edit_servers(&mut store, &b, &ids, None),
        Err(StoreError::Locked)
    ));
    let accepted = store.attach_again(&b, Work::FeatureTemplate, &PLACES).unwrap();
    done(&mut store, accepted);
    assert_eq!(store.active(), Some(ids.policy));
}

#[test]
fn a_policy_that_some_edges_follow_beside_the_active_one_is_not_deactivated() {
    let (mut store, ids, [a, _]) = active();
    let sites = fixture::put_list(
        store.objects_for_creation(),
        "site",
        "near",
        json!([{"siteId": "1"}]),
    );
    let assembly = json!([fixture::assembly(ids.definition, "all", sites, ids.vpns)]);
    let second = fixture::put_policy(store.objects_for_creation(), "second", assembly);
    let accepted = activate(&mut store, &a, second, &Release::default()).unwrap();
    take_at_site_1(&mut store, accepted);
    assert_eq!(store.active(), Some(ids.policy));
    let id = second.to_string();
    assert!(matches!(
        store.deactivate(&a, &id, &Release::default(), &PLACES),
        Err(StoreError::NotActive(_))
    ));
    assert!(matches!(store.delete_policy(&id), Err(StoreError::Attached(_))));
}

#[test]
fn an_edit_without_the_lock_is_pushed_by_template_once() {
    let (mut store, ids, [a, _]) = active();
    let attach = |store: &mut Store| store.attach_again(&a, Work::FeatureTemplate, &PLACES);
    let edited = store.edit_central(&a, ids.policy, |_| Ok(())).unwrap();
    assert_eq!(edited.master_templates_affected, [template::ID]);
    assert_eq!(edited.process_id, None);
    let accepted = attach(&mut store).unwrap();
    store.end_push(&accepted.push.unwrap(), failed("site 1: no"), 0);
    let accepted = attach(&mut store).unwrap();
    done(&mut store, accepted);
    assert!(matches!(attach(&mut store), Err(StoreError::NothingEdited)));
}

#[test]
fn while_a_push_runs_nothing_of_it_changes() {
    let (mut store, ids, [a, _]) = active();
    let accepted = activate(&mut store, &a, ids.policy, &is_edited()).unwrap();
    assert!(matches!(
        edit_servers(&mut store, &a, &ids, None),
        Err(StoreError::Locked)
    ));
    assert!(matches!(
        store.edit_central(&a, ids.policy, |_| Ok(())),
        Err(StoreError::Locked)
    ));
    let second = activate(&mut store, &a, ids.policy, &is_edited()).unwrap();
    assert!(second.push.is_err());
    assert_ne!(second.task, accepted.task);
    let status = store.task(&second.task).unwrap().status();
    assert_eq!(status["validation"]["statusId"], "validation_failure");
    assert!(
        status["validation"]["activity"][0]
            .as_str()
            .unwrap()
            .contains("operation is already in progress")
    );
    assert_eq!(store.running_tasks().count(), 1);
    done(&mut store, accepted);
    edit_servers(&mut store, &a, &ids, None).unwrap();
}

#[test]
fn lists_that_came_to_overlap_fail_the_activation() {
    let mut store = Store::default();
    let ids = fixture::policy(&mut store);
    let objects = store.objects_for_creation();
    let far = fixture::put_list(objects, "site", "far", json!([{"siteId": "7"}]));
    let assembly = [ids.sites, far].map(|sites| fixture::assembly(ids.definition, "all", sites, ids.vpns));
    let policy = fixture::put_policy(objects, "two", json!(assembly));
    let near = parse_list("site", "far", json!([{"siteId": "1-7"}])).unwrap();
    objects.put_list(list::List { id: far, ..near }).unwrap();
    let error = activate(&mut store, &Caller::test("a"), policy, &Release::default()).unwrap_err();
    let expected = "definitions steer and steer both apply to site 1, VPN 10 in one direction";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn another_session_deactivates_with_the_edit_it_goes_on_with() {
    for is_edited in [false, true] {
        let (mut store, ids, [a, b]) = active();
        let edited = edit_servers(&mut store, &a, &ids, None).unwrap();
        let release = Release {
            is_edited,
            process_id: edited.process_id.filter(|_| !is_edited),
        };
        let accepted = store.deactivate(&b, &ids.policy.to_string(), &release, &PLACES);
        done(&mut store, accepted.unwrap());
        assert_eq!(store.active(), None);
    }
}

#[test]
fn deactivation_empties_every_edge() {
    let (mut store, ids, [a, b]) = active();
    edit_servers(&mut store, &a, &ids, None).unwrap();
    let id = ids.policy.to_string();
    assert!(matches!(
        store.deactivate(&b, &id, &Release::default(), &PLACES),
        Err(StoreError::Locked)
    ));
    assert!(matches!(store.delete_policy(&id), Err(StoreError::Attached(_))));
    let accepted = store.deactivate(&a, &id, &Release::default(), &PLACES).unwrap();
    assert!(
        accepted
            .push
            .as_ref()
            .unwrap()
            .edges
            .iter()
            .all(|edge| edge.data.is_empty())
    );
    done(&mut store, accepted);
    assert_eq!(store.active(), None);
    assert!(matches!(
        store.deactivate(&a, &id, &Release::default(), &PLACES),
        Err(StoreError::NotActive(_))
    ));
    store.delete_policy(&id).unwrap();
}
