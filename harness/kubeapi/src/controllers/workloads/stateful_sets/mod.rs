//! StatefulSets: pods with numbers, which keep their names.
//!
//! Owns what a pod of a number looks like, and the writes; which pods come and go is for `steps` to say.

mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::claims;
use super::pods::{self, min_ready};
use super::revisions::{self, HASH, Revisions};
use crate::api::{Api, Effect};
use crate::controllers::objects::{self, modify};
use crate::controllers::recorder::{Component, Severity, record};
use crate::object::{self, number, text};
use crate::status::{Reason, Status};
use crate::strategy::Part;
use steps::{Order, Replica, Rules, State, Step};

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

pub(super) fn sync(api: &Api, set: &Value, now: Timestamp) -> Result<Option<Timestamp>, Status> {
    if object::is_terminating(set) {
        return Ok(None);
    }
    let revisions = Revisions::sync(api, set)?;
    let current = current_revision(set, &revisions).clone();
    let pods = numbered_pods(api, set)?;
    let replicas = pods.iter().map(|(&number, pod)| {
        let replica = Replica {
            state: state(pod, min_ready(set), now),
            is_updated: object::label(pod, HASH) == Some(object::name(revisions.update())),
        };
        (number, replica)
    });
    let rules = rules(set);
    let mut done = Ok(());
    for step in steps::next(rules, &replicas.collect()) {
        let is_old = |at: i64| rules.update_from.is_some_and(|from| at < from);
        done = match step {
            Step::Create(at) if is_old(at) => create(api, set, &current, at),
            Step::Create(at) => create(api, set, revisions.update(), at),
            Step::Delete(at) => delete(api, set, &pods[&at]),
            Step::Replace(at) => replace(api, set, &pods[&at]),
        };
        if done.is_err() {
            break;
        }
    }
    let pods = numbered_pods(api, set)?;
    report(api, set, &pods, (&current, revisions.update()), now)?;
    let is_live = |revision: &Value| {
        let name = object::name(revision);
        name == object::name(&current) || pods.values().any(|pod| object::label(pod, HASH) == Some(name))
    };
    revisions.delete_surplus(api, set, is_live)?;
    done?;
    Ok(pods::next_available(pods.values(), min_ready(set), now))
}

fn rules(set: &Value) -> Rules {
    let spec = &set["spec"];
    let start = number(spec, "/ordinals/start");
    let is_rolling = spec["updateStrategy"]["type"] == "RollingUpdate";
    Rules {
        start,
        replicas: number(spec, "/replicas"),
        order: match text(spec, "/podManagementPolicy") {
            "Parallel" => Order::Parallel,
            _ => Order::OneByOne,
        },
        update_from: is_rolling.then(|| start + number(spec, "/updateStrategy/rollingUpdate/partition")),
    }
}

fn current_revision<'a>(set: &Value, revisions: &'a Revisions) -> &'a Value {
    let current = revisions.named(text(set, "/status/currentRevision"));
    current.unwrap_or_else(|| revisions.update())
}

fn numbered_pods(api: &Api, set: &Value) -> Result<BTreeMap<i64, Arc<Value>>, Status> {
    let pods = claims::claim(api, set, "pods", |pod| number_of(set, pod).is_some())?;
    let numbered = pods
        .into_iter()
        .filter_map(|pod| Some((number_of(set, &pod)?, pod)));
    Ok(numbered.collect())
}

/// The number in the name of a pod of the set.
fn number_of(set: &Value, pod: &Value) -> Option<i64> {
    let number = object::name(pod)
        .strip_prefix(object::name(set))?
        .strip_prefix('-')?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    number.parse().ok()
}

fn state(pod: &Value, min_ready: SignedDuration, now: Timestamp) -> State {
    if object::is_terminating(pod) {
        State::Terminating
    } else if pods::has_ended(pod) {
        State::Ended
    } else if pods::is_available(pod, min_ready, now) {
        State::Available
    } else {
        State::Unavailable
    }
}

fn create(api: &Api, set: &Value, revision: &Value, at: i64) -> Result<(), Status> {
    let name = format!("{}-{at}", object::name(set));
    let created = create_claims(api, set, at).and_then(|()| pods::create(api, pod(set, revision, &name, at)));
    match created {
        Ok(_) => {
            tell(api, set, "create", &name);
            Ok(())
        }
        Err(error) => {
            let message = format!(
                "create Pod {name} in StatefulSet {} failed error: {error}",
                object::name(set)
            );
            let what = (Severity::Warning, "FailedCreate");
            record(api, set, Component::StatefulSet, what, &message);
            Err(error)
        }
    }
}

fn pod(set: &Value, revision: &Value, name: &str, at: i64) -> Value {
    let mut pod = pods::from_template(set, &revisions::template(revision));
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["labels"][HASH] = revision["metadata"]["name"].clone();
    pod["metadata"]["labels"][POD_NAME] = json!(name);
    pod["metadata"]["labels"][POD_INDEX] = json!(at.to_string());
    pod["spec"]["hostname"] = json!(name);
    pod["spec"]["subdomain"] = set["spec"]["serviceName"].clone();
    let claims = object::items(set, "/spec/volumeClaimTemplates").iter();
    let claimed: Vec<Value> = claims
        .map(|claim| {
            let claim_name = format!("{}-{name}", object::name(claim));
            json!({"name": object::name(claim), "persistentVolumeClaim": {"claimName": claim_name}})
        })
        .collect();
    if !claimed.is_empty() {
        let others = object::items(&pod, "/spec/volumes").iter();
        let others = others.filter(|volume| claimed.iter().all(|claim| claim["name"] != volume["name"]));
        let volumes: Vec<Value> = claimed.iter().chain(others).cloned().collect();
        pod["spec"]["volumes"] = json!(volumes);
    }
    pod
}

/// The volume claims of a pod outlive it. Nothing is made where they are not served.
fn create_claims(api: &Api, set: &Value, at: i64) -> Result<(), Status> {
    let Ok(resource) = api.resources.of_kind("v1", "PersistentVolumeClaim") else {
        return Ok(());
    };
    for template in object::items(set, "/spec/volumeClaimTemplates") {
        let mut claim = template.clone();
        let name = format!("{}-{}-{at}", object::name(template), object::name(set));
        claim["metadata"]["name"] = json!(name);
        claim["metadata"]["labels"] = set["spec"]["selector"]["matchLabels"].clone();
        match api.create(&resource, object::namespace(set), claim, Effect::Persist) {
            Err(error) if error.reason != Reason::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn delete(api: &Api, set: &Value, pod: &Value) -> Result<(), Status> {
    if objects::delete(api, pod)? {
        tell(api, set, "delete", object::name(pod));
    }
    Ok(())
}

fn replace(api: &Api, set: &Value, pod: &Value) -> Result<(), Status> {
    let message = format!(
        "StatefulSet {}/{} is recreating failed Pod {}",
        object::namespace(set),
        object::name(set),
        object::name(pod)
    );
    let what = (Severity::Warning, "RecreatingFailedPod");
    record(api, set, Component::StatefulSet, what, &message);
    delete(api, set, pod)
}

fn tell(api: &Api, set: &Value, verb: &str, pod: &str) {
    let message = format!("{verb} Pod {pod} in StatefulSet {} successful", object::name(set));
    let reason = if verb == "create" {
        "SuccessfulCreate"
    } else {
        "SuccessfulDelete"
    };
    record(
        api,
        set,
        Component::StatefulSet,
        (Severity::Normal, reason),
        &message,
    );
}

fn report(
    api: &Api,
    set: &Value,
    pods: &BTreeMap<i64, Arc<Value>>,
    (current, update): (&Value, &Value),
    now: Timestamp,
) -> Result<(), Status> {
    let count = |test: &dyn Fn(&Value) -> bool| pods.values().filter(|pod| test(pod)).count();
    let of = |revision: &Value| {
        count(&|pod| !object::is_terminating(pod) && object::label(pod, HASH) == Some(object::name(revision)))
    };
    let ready = count(&pods::is_ready);
    let (updated, mut current_count, mut current) = (of(update), of(current), current);
    let is_rolling = set["spec"]["updateStrategy"]["type"] == "RollingUpdate";
    let wanted = usize::try_from(number(set, "/spec/replicas")).unwrap_or(0);
    if is_rolling && [pods.len(), updated, ready].iter().all(|&count| count == wanted) {
        (current, current_count) = (update, updated);
    }
    let mut status = json!({
        "observedGeneration": set["metadata"]["generation"], "replicas": pods.len(),
        "availableReplicas": count(&|pod| pods::is_available(pod, min_ready(set), now)),
        "currentRevision": object::name(current), "updateRevision": object::name(update), "collisionCount": 0,
    });
    let counts = [
        ("readyReplicas", ready),
        ("currentReplicas", current_count),
        ("updatedReplicas", updated),
    ];
    for (field, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        status[field] = json!(count);
    }
    modify(api, set, Part::Status, |set| {
        set["status"] = status;
        Ok(())
    })
    .map(drop)
}
