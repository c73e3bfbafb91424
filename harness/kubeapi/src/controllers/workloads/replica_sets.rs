//! ReplicaSets: as many pods as asked for.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::claims;
use super::pods::{self, min_ready};
use crate::api::Api;
use crate::controllers::objects::modify;
use crate::controllers::recorder::Component;
use crate::object::{self, number};
use crate::selector::LabelSelector;
use crate::status::Status;
use crate::strategy::Part;

pub(super) fn sync(api: &Api, set: &Value, now: Timestamp) -> Result<Option<Timestamp>, Status> {
    let mut pods = active_pods(api, set)?;
    let mut managed = Ok(());
    let wanted = usize::try_from(number(set, "/spec/replicas")).unwrap_or(0);
    if !object::is_terminating(set) && pods.len() != wanted {
        managed = manage(api, set, pods, wanted);
        pods = active_pods(api, set)?;
    }
    report(api, set, &pods, managed.as_ref().err(), now)?;
    managed?;
    Ok(pods::next_available(pods.iter(), min_ready(set), now))
}

fn active_pods(api: &Api, set: &Value) -> Result<Vec<Arc<Value>>, Status> {
    let mut pods = claims::claim(api, set, "pods", |_| true)?;
    pods.retain(|pod| pods::is_active(pod));
    Ok(pods)
}

fn manage(api: &Api, set: &Value, mut pods: Vec<Arc<Value>>, wanted: usize) -> Result<(), Status> {
    for _ in pods.len()..wanted {
        let mut pod = pods::from_template(set, &set["spec"]["template"]);
        pod["metadata"]["generateName"] = json!(format!("{}-", object::name(set)));
        pods::create_and_tell(api, set, Component::ReplicaSet, pod)?;
    }
    if pods.len() > wanted {
        pods::rank_for_deletion(&mut pods);
        for pod in &pods[..pods.len() - wanted] {
            pods::delete_and_tell(api, set, Component::ReplicaSet, pod)?;
        }
    }
    Ok(())
}

fn report(
    api: &Api,
    set: &Value,
    pods: &[Arc<Value>],
    failure: Option<&Status>,
    now: Timestamp,
) -> Result<(), Status> {
    let min_ready = min_ready(set);
    let labels = object::entries(set, "/spec/template/metadata/labels");
    let template = LabelSelector::from_pairs(labels);
    let count = |test: &dyn Fn(&Value) -> bool| pods.iter().filter(|pod| test(pod)).count();
    let counts = [
        ("fullyLabeledReplicas", count(&|pod| template.matches(pod))),
        ("readyReplicas", count(&pods::is_ready)),
        (
            "availableReplicas",
            count(&|pod| pods::is_available(pod, min_ready, now)),
        ),
    ];
    let generation = set["metadata"]["generation"].clone();
    modify(api, set, Part::Status, |set| {
        let status = object::map_mut(set, "status")?;
        status.insert("replicas".to_owned(), json!(pods.len()));
        for (field, count) in counts {
            // As upstream: what there is none of is left out.
            match count {
                0 => status.remove(field),
                count => status.insert(field.to_owned(), json!(count)),
            };
        }
        match failure {
            Some(failure) => object::set_condition(
                status,
                json!({
                    "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                    "message": failure.to_string(),
                }),
            ),
            None => object::remove_condition(status, "ReplicaFailure"),
        }
        status.insert("observedGeneration".to_owned(), generation);
        Ok(())
    })
    .map(drop)
}
