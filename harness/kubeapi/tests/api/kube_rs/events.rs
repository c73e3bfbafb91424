//! What the `Recorder` publishes, seen by both groups of Events.

use k8s_openapi::api::core::v1::{Event as CoreEvent, Node, ObjectReference, Service};
use k8s_openapi::api::events::v1::Event as GroupEvent;
use kube::api::{Api, ListParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Resource, ResourceExt};

use crate::lab::Lab;

fn notice(reason: &str) -> Event {
    Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        note: Some("unknown color".to_owned()),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}

fn recorder(lab: &Lab, instance: Option<&str>) -> Recorder {
    let instance = instance.map(str::to_owned);
    Recorder::new(
        lab.client.clone(),
        Reporter {
            controller: "tester".to_owned(),
            instance,
        },
    )
}

async fn subject(lab: &Lab) -> ObjectReference {
    let services: Api<Service> = Api::namespaced(lab.client.clone(), "default");
    services.get("kubernetes").await.unwrap().object_ref(&())
}

#[tokio::test]
async fn repeats_become_one_series_in_both_groups() {
    let lab = Lab::start().await;
    let subject = subject(&lab).await;
    let recorder = recorder(&lab, Some("tester-0"));
    for _ in 0..3 {
        recorder
            .publish(&notice("IntentRejected"), &subject)
            .await
            .unwrap();
    }
    recorder.publish(&notice("Other"), &subject).await.unwrap();

    let core: Api<CoreEvent> = Api::namespaced(lab.client.clone(), "default");
    let about = ListParams::default().fields("involvedObject.name=kubernetes,involvedObject.kind=Service");
    let mut found = core.list(&about).await.unwrap().items;
    found.sort_by_key(|event| event.reason.clone());
    let told = |event: &CoreEvent| {
        (
            event.reason.clone().unwrap(),
            event.series.as_ref().and_then(|s| s.count),
        )
    };
    let told: Vec<_> = found.iter().map(told).collect();
    assert_eq!(
        told,
        [("IntentRejected".to_owned(), Some(3)), ("Other".to_owned(), None)]
    );
    assert_eq!(found[0].message.as_deref(), Some("unknown color"));
    assert_eq!(found[0].reporting_component.as_deref(), Some("tester"));

    let group: Api<GroupEvent> = Api::namespaced(lab.client.clone(), "default");
    let about = ListParams::default().fields("regarding.name=kubernetes,reason=IntentRejected");
    let seen = group.list(&about).await.unwrap().items;
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].name_any(), seen[0].resource_version()),
        (found[0].name_any(), found[0].resource_version())
    );
    assert_eq!(seen[0].note.as_deref(), Some("unknown color"));
    assert_eq!(seen[0].series.as_ref().map(|series| series.count), Some(3));
    assert_eq!(seen[0].reporting_instance.as_deref(), Some("tester-0"));
}

#[tokio::test]
async fn what_has_no_namespace_is_told_of_in_default() {
    let lab = Lab::start().await;
    let nodes: Api<Node> = Api::all(lab.client.clone());
    let subject = nodes.get("a").await.unwrap().object_ref(&());
    recorder(&lab, None)
        .publish(&notice("Cordoned"), &subject)
        .await
        .unwrap();
    let events: Api<GroupEvent> = Api::all(lab.client.clone());
    let found = events
        .list(&ListParams::default().fields("reason=Cordoned"))
        .await
        .unwrap()
        .items;
    assert_eq!(found[0].namespace().as_deref(), Some("default"));
    assert_eq!(found[0].regarding.as_ref().unwrap().kind.as_deref(), Some("Node"));
}
