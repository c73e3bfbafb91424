use serde_json::{Value, json};

use super::*;
use crate::selector::{LabelSelector, Selector};

fn things() -> Arc<str> {
    Arc::from("things")
}

fn thing(name: &str, label: &str) -> Value {
    json!({"metadata": {"namespace": "ns", "name": name, "labels": {"l": label}}})
}

fn scope(selector: &str) -> Scope {
    let labels = LabelSelector::parse(selector).expect("selector parses");
    Scope {
        storage: things(),
        namespace: None,
        selector: Selector {
            labels,
            ..Selector::default()
        },
    }
}

fn seen(events: &[WatchEvent]) -> Vec<(ChangeKind, &str, &str)> {
    let view = |event: &'_ WatchEvent| event.kind;
    events
        .iter()
        .map(|event| {
            (
                view(event),
                object::name(&event.object),
                object::resource_version(&event.object),
            )
        })
        .collect()
}

#[test]
fn every_change_gets_its_own_revision() {
    let store = Store::new(8);
    let revisions: Vec<u64> = store.write(|state| {
        state.put(&things(), thing("a", "x"));
        let put = state.revision();
        state.put(&things(), thing("a", "y"));
        let replaced = state.revision();
        state.remove(&things(), &Key::new("ns", "a"));
        vec![put, replaced, state.revision()]
    });
    assert_eq!(revisions, [2, 3, 4]);
}

#[tokio::test]
async fn a_watch_sees_objects_enter_and_leave_its_selector() {
    let store = Arc::new(Store::new(8));
    let mut watch = Watch::after(&store, scope("l=x"), 1);
    store.write(|state| {
        state.put(&things(), thing("a", "y"));
        state.put(&things(), thing("a", "x"));
        state.put(&things(), thing("a", "y"));
        state.put(&things(), thing("b", "x"));
        state.remove(&things(), &Key::new("ns", "b"));
    });
    let events = watch.next().await.expect("within the history");
    assert_eq!(
        seen(&events),
        [
            (ChangeKind::Added, "a", "3"),
            (ChangeKind::Deleted, "a", "4"),
            (ChangeKind::Added, "b", "5"),
            (ChangeKind::Deleted, "b", "6"),
        ]
    );
    assert_eq!(watch.revision(), 6);
}

#[tokio::test]
async fn a_watch_older_than_the_history_expires_and_one_at_its_edge_does_not() {
    let store = Arc::new(Store::new(2));
    for label in ["1", "2", "3"] {
        store.write(|state| state.put(&things(), thing("a", label)));
    }
    assert!(matches!(
        Watch::after(&store, scope(""), 1).next().await,
        Err(Expired { .. })
    ));
    let events = Watch::after(&store, scope(""), 2)
        .next()
        .await
        .expect("revision 3 and 4 are kept");
    assert_eq!(
        seen(&events),
        [(ChangeKind::Modified, "a", "3"), (ChangeKind::Modified, "a", "4")]
    );
}

#[tokio::test]
async fn a_compaction_expires_who_has_not_seen_everything() {
    let store = Arc::new(Store::new(8));
    store.write(|state| state.put(&things(), thing("a", "1")));
    let mut current = Watch::after(&store, scope(""), 2);
    store.write(State::compact);
    assert!(matches!(
        Watch::after(&store, scope(""), 1).next().await,
        Err(Expired { .. })
    ));
    assert!(store.read(|state| state.scan_at("things", None, 1)).is_err());
    assert!(store.read(|state| state.scan_at("things", None, 2)).is_ok());
    store.write(|state| state.put(&things(), thing("a", "2")));
    let events = current.next().await.expect("it has seen everything before");
    assert_eq!(seen(&events), [(ChangeKind::Modified, "a", "3")]);
}

#[tokio::test]
async fn a_waiting_watch_is_woken_by_the_write() {
    let store = Arc::new(Store::new(8));
    let mut watch = Watch::after(&store, scope(""), 1);
    let waiting = tokio::spawn(async move { watch.next().await.map(|events| events.len()) });
    tokio::task::yield_now().await;
    store.write(|state| state.put(&things(), thing("a", "x")));
    assert_eq!(waiting.await.expect("no panic"), Ok(1));
}

#[test]
fn a_snapshot_shows_the_objects_as_they_were() {
    let store = Store::new(8);
    store.write(|state| {
        state.put(&things(), thing("changed", "old"));
        state.put(&things(), thing("removed", "old"));
        let then = state.revision();
        state.put(&things(), thing("changed", "new"));
        state.remove(&things(), &Key::new("ns", "removed"));
        state.put(&things(), thing("added", "new"));
        let snapshot = state
            .scan_at("things", Some("ns"), then)
            .expect("within the history");
        let labels: Vec<_> = snapshot
            .iter()
            .map(|(key, document)| (key.name.as_str(), document.read()))
            .map(|(name, object)| (name, object::label(&object, "l") == Some("old")))
            .collect();
        assert_eq!(labels, [("changed", true), ("removed", true)]);
        assert!(matches!(state.scan_at("things", None, 0), Err(Expired { .. })));
    });
}

#[tokio::test]
async fn a_subscriber_gets_every_change_even_past_the_history() {
    let store = Store::new(1);
    let mut changes = store.subscribe();
    for label in ["1", "2", "3"] {
        store.write(|state| state.put(&things(), thing("a", label)));
    }
    let mut revisions = Vec::new();
    while let Ok(change) = changes.try_recv() {
        revisions.push(change.revision);
    }
    assert_eq!(revisions, [2, 3, 4]);
}
