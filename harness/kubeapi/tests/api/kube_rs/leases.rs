//! An election by Lease, as operators hold them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use tokio::task::JoinSet;

use super::refusal;
use crate::lab::{Lab, soon};

const TERM_SECONDS: i32 = 1;
const RENEW_EVERY: Duration = Duration::from_millis(50);

/// Takes the lead if it is free, or its term is over, by what was read; fails if another was faster.
async fn campaign(leases: &Api<Lease>, name: &str) -> kube::Result<bool> {
    let now = Timestamp::now();
    let spec = |transitions: i32| LeaseSpec {
        holder_identity: Some(name.to_owned()),
        lease_duration_seconds: Some(TERM_SECONDS),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    };
    let Some(mut lease) = leases.get_opt("leader").await? else {
        let metadata = ObjectMeta {
            name: Some("leader".to_owned()),
            ..ObjectMeta::default()
        };
        let lease = Lease {
            metadata,
            spec: Some(spec(0)),
        };
        return leases.create(&PostParams::default(), &lease).await.map(|_| true);
    };
    let held = lease.spec.clone().unwrap_or_default();
    let transitions = held.lease_transitions.unwrap_or(0);
    let is_mine = held.holder_identity.as_deref() == Some(name);
    let is_over = held
        .renew_time
        .is_none_or(|time| time.0 + SignedDuration::from_secs(TERM_SECONDS.into()) < now);
    if !is_mine && !is_over {
        return Ok(false);
    }
    lease.spec = Some(spec(if is_mine { transitions } else { transitions + 1 }));
    leases
        .replace("leader", &PostParams::default(), &lease)
        .await
        .map(|_| true)
}

/// Stands for election until it leads, then renews until it is stopped.
async fn lead(leases: Api<Lease>, name: &'static str, won: tokio::sync::mpsc::UnboundedSender<&'static str>) {
    let mut leads = false;
    loop {
        let led = std::mem::replace(&mut leads, campaign(&leases, name).await.unwrap_or(false));
        if leads && !led {
            won.send(name).unwrap();
        }
        tokio::time::sleep(RENEW_EVERY).await;
    }
}

#[tokio::test]
async fn of_two_contenders_one_leads_and_the_other_follows_when_it_is_gone() {
    let lab = Lab::start().await;
    let leases: Api<Lease> = Api::namespaced(lab.client.clone(), "default");
    let (won, mut winners) = tokio::sync::mpsc::unbounded_channel();
    let mut contenders = JoinSet::new();
    let tasks: Vec<_> = ["first", "second"]
        .into_iter()
        .map(|name| (name, contenders.spawn(lead(leases.clone(), name, won.clone()))))
        .collect();
    let leader = soon("a leader", winners.recv()).await.unwrap();
    // It keeps the lead for longer than a term.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(winners.try_recv().is_err());
    let held = leases.get("leader").await.unwrap().spec.unwrap();
    assert_eq!(
        (held.holder_identity.as_deref(), held.lease_transitions),
        (Some(leader), Some(0))
    );

    tasks
        .iter()
        .filter(|(name, _)| *name == leader)
        .for_each(|(_, task)| task.abort());
    let next = soon("the next leader", winners.recv()).await.unwrap();
    assert_ne!(next, leader);
    let held = leases.get("leader").await.unwrap().spec.unwrap();
    assert_eq!(
        (held.holder_identity.as_deref(), held.lease_transitions),
        (Some(next), Some(1))
    );
}

#[tokio::test]
async fn of_two_that_read_the_same_lease_one_writes_it() {
    let lab = Lab::start().await;
    let leases: Api<Lease> = Api::namespaced(lab.client.clone(), "default");
    let rivals = async || tokio::join!(campaign(&leases, "first"), campaign(&leases, "second"));
    for _ in 0..20 {
        let (first, second) = rivals().await;
        let won = [&first, &second]
            .into_iter()
            .filter(|outcome| matches!(outcome, Ok(true)))
            .count();
        assert_eq!(won, 1, "{first:?} {second:?}");
        let lost = [first, second]
            .into_iter()
            .find(|outcome| !matches!(outcome, Ok(true)))
            .unwrap();
        // Who looked late saw the winner; who looked in time was refused.
        assert!(matches!(lost, Ok(false)) || refusal(lost).0 == 409);
        leases.delete("leader", &DeleteParams::default()).await.unwrap();
    }
}
