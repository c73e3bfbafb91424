//! Elections by Lease while a clock is wrong.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kubeapi::{Fault, Requests, Skew};

use crate::lab::{Lab, connect_with};

const LEASE_SECONDS: i32 = 15;
const WRONG_BY: Duration = Duration::from_secs(60);

/// Someone who wants to lead, and believes the times of the Lease: with clocks that agree, at most one leads.
struct Candidate {
    name: &'static str,
    leases: Api<Lease>,
}

impl Candidate {
    async fn new(lab: &Lab, name: &'static str) -> Self {
        let kubeconfig = lab.server.kubeconfig_for_user(name, &["system:masters"]);
        let client = connect_with(&kubeconfig.unwrap()).await;
        Candidate {
            name,
            leases: Api::namespaced(client, "default"),
        }
    }

    /// Takes or keeps the lead if that is right by the Lease; the answer is whether it leads.
    async fn campaign(&self) -> bool {
        let now = Timestamp::now();
        let Some(mut lease) = self.leases.get_opt("leader").await.unwrap() else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some("leader".to_owned()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.term(now, now)),
            };
            return self.leases.create(&PostParams::default(), &lease).await.is_ok();
        };
        let spec = lease.spec.clone().unwrap();
        let is_mine = spec.holder_identity.as_deref() == Some(self.name);
        let end = spec.renew_time.unwrap().0 + SignedDuration::from_secs(LEASE_SECONDS.into());
        if !is_mine && end > now {
            return false;
        }
        let acquired = if is_mine {
            spec.acquire_time.unwrap().0
        } else {
            now
        };
        lease.spec = Some(self.term(acquired, now));
        let parameters = PostParams::default();
        self.leases.replace("leader", &parameters, &lease).await.is_ok()
    }

    fn term(&self, acquired: Timestamp, renewed: Timestamp) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.name.to_owned()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            acquire_time: Some(MicroTime(acquired)),
            renew_time: Some(MicroTime(renewed)),
            ..LeaseSpec::default()
        }
    }

    /// When the lead was taken and last kept.
    async fn times(&self) -> [Timestamp; 2] {
        let spec = self.leases.get("leader").await.unwrap().spec.unwrap();
        [spec.acquire_time.unwrap().0, spec.renew_time.unwrap().0]
    }
}

fn wrong(clock: Skew, user: &str) -> Fault {
    let requests = Requests {
        user: Some(user.to_owned()),
        ..Requests::default()
    };
    Fault::SkewLeases { clock, requests }
}

#[tokio::test]
async fn a_leader_whose_clock_is_behind_is_overthrown() {
    let lab = Lab::start().await;
    let (slow, other) = (
        Candidate::new(&lab, "slow").await,
        Candidate::new(&lab, "other").await,
    );
    assert!(slow.campaign().await);
    assert!(!other.campaign().await, "the lead is taken");

    let faults = lab.server.faults();
    let id = faults.inject(wrong(Skew::Behind(WRONG_BY), "slow")).unwrap();
    let before = slow.times().await;
    assert!(slow.campaign().await);
    let [acquired, renewed] = slow.times().await;
    assert_eq!(acquired, before[0], "what is written as it was read stays");
    assert!(renewed < before[1]);
    assert!(other.campaign().await, "by its times the Lease has run out");
    assert!(!slow.campaign().await);
    // The times of another writer are right.
    let [acquired, renewed] = other.times().await;
    assert_eq!(acquired, renewed);
    assert!(acquired > before[0]);
    assert_eq!(faults.struck(id), Some(1));
}

#[tokio::test]
async fn a_lease_of_a_leader_whose_clock_is_ahead_outlives_it() {
    let lab = Lab::start().await;
    let (fast, other) = (
        Candidate::new(&lab, "fast").await,
        Candidate::new(&lab, "other").await,
    );
    let faults = lab.server.faults();
    let id = faults.inject(wrong(Skew::Ahead(WRONG_BY), "fast")).unwrap();
    let begin = Timestamp::now();
    assert!(fast.campaign().await);
    let wrong_by = SignedDuration::try_from(WRONG_BY).unwrap();
    let [acquired, first] = fast.times().await;
    assert!(acquired == first && first >= begin + wrong_by);
    // Each renewal is wrong by the same, and not by more and more.
    assert!(fast.campaign().await);
    let [kept, second] = fast.times().await;
    assert_eq!(kept, acquired);
    assert!(second > first && second <= Timestamp::now() + wrong_by);
    assert_eq!(faults.struck(id), Some(2));
    // Healed, it stays as it was stored.
    faults.heal(id);
    assert!(!other.campaign().await);
    assert_eq!(other.times().await, [kept, second]);
}
