//! Faults of Kubernetes APIs: injected, healed, and the proof that each was felt.
//!
//! Owns which event injected which fault; what a fault does is the API's business.

use kubeapi::{Answer, Fault, FaultId, Faults, Requests, Skew, Verb};
use scenario::model::{self, ApiAnswer, ApiFault, ApiRequests};

use super::LabOptions;
use super::clusters::Cluster;
use super::felt::{Unfelt, Verified, verified};
use super::sabotage::Sabotage;

/// What is wrong with the APIs of a lab, and what was.
#[derive(Debug)]
pub struct ApiFaults {
    /// In the order of the plan.
    clusters: Vec<Faults>,
    /// Those that are not verified yet, the oldest first.
    injected: Vec<Injected>,
    /// Whether faults are only pretended.
    are_dead: bool,
}

#[derive(Debug)]
struct Injected {
    event: String,
    cluster: usize,
    /// Its name at the API; none of one that is pretended.
    id: Option<FaultId>,
    /// Whether it strikes once and has nothing to heal.
    is_momentary: bool,
}

impl ApiFaults {
    /// Nothing wrong yet with the APIs of these clusters.
    #[must_use]
    pub fn new(clusters: &[Cluster], options: &LabOptions) -> Self {
        Self {
            clusters: clusters.iter().map(Cluster::faults).collect(),
            injected: Vec::new(),
            are_dead: options.wan.sabotage == Some(Sabotage::DeadFaults),
        }
    }

    /// Puts the fault of an event in force at the API of a cluster.
    ///
    /// # Panics
    /// When the fault could never strike, which the reader of scenarios rules out.
    pub fn inject(&mut self, event: &str, cluster: usize, fault: &ApiFault) {
        let inject = |fault| self.clusters[cluster].inject(fault);
        let id = (!self.are_dead)
            .then(|| inject(convert(fault)).expect("the reader has checked that it can strike"));
        self.injected.push(Injected {
            event: event.to_owned(),
            cluster,
            id,
            is_momentary: matches!(fault, ApiFault::DropWatches { .. } | ApiFault::Compact),
        });
    }

    /// Ends all faults of the API of a cluster; the answer is what was felt of them.
    ///
    /// # Errors
    /// [`Unfelt`].
    pub fn heal(&mut self, cluster: usize) -> Result<Vec<Verified>, Unfelt> {
        self.clusters[cluster].heal_all();
        self.verify(|fault| fault.cluster == cluster && !fault.is_momentary)
    }

    /// What was felt of all faults that are not verified yet.
    ///
    /// # Errors
    /// [`Unfelt`].
    pub fn end(&mut self) -> Result<Vec<Verified>, Unfelt> {
        self.verify(|_| true)
    }

    fn verify(&mut self, is_over: impl Fn(&Injected) -> bool) -> Result<Vec<Verified>, Unfelt> {
        let over = self.injected.extract_if(.., |fault| is_over(fault));
        let proofs = over.map(
            |Injected {
                 event, cluster, id, ..
             }| {
                let felt = id.and_then(|id| self.clusters[cluster].struck(id));
                verified(event, "the Kubernetes API", felt.unwrap_or_default())
            },
        );
        proofs.collect()
    }
}

/// The fault in the words of the API.
fn convert(fault: &ApiFault) -> Fault {
    match fault {
        ApiFault::Answer { with, requests } => Fault::Answer {
            with: answer(*with),
            requests: those(requests),
        },
        ApiFault::CutReplies { requests } => Fault::CutReplies {
            requests: those(requests),
        },
        ApiFault::Delay { by, requests } => Fault::Delay {
            by: *by,
            requests: those(requests),
        },
        ApiFault::DropWatches { requests } => Fault::DropWatches {
            requests: those(requests),
        },
        ApiFault::Compact => Fault::Compact,
        ApiFault::Down => Fault::Down,
        ApiFault::SkewLeases { clock, requests } => Fault::SkewLeases {
            clock: match clock {
                model::Skew::Ahead(by) => Skew::Ahead(*by),
                model::Skew::Behind(by) => Skew::Behind(*by),
            },
            requests: those(requests),
        },
    }
}

fn those(requests: &ApiRequests) -> Requests {
    Requests {
        count: requests.count,
        verbs: requests.verbs.iter().copied().map(verb).collect(),
        resources: requests.resources.clone(),
        namespace: requests.namespace.clone(),
        user: requests.user.clone(),
    }
}

fn verb(verb: model::Verb) -> Verb {
    match verb {
        model::Verb::Get => Verb::Get,
        model::Verb::List => Verb::List,
        model::Verb::Watch => Verb::Watch,
        model::Verb::Create => Verb::Create,
        model::Verb::Update => Verb::Update,
        model::Verb::Patch => Verb::Patch,
        model::Verb::Delete => Verb::Delete,
        model::Verb::DeleteCollection => Verb::DeleteCollection,
    }
}

fn answer(answer: ApiAnswer) -> Answer {
    match answer {
        ApiAnswer::TooManyRequests => Answer::TooManyRequests,
        ApiAnswer::InternalError => Answer::InternalError,
        ApiAnswer::Unavailable => Answer::ServiceUnavailable,
        ApiAnswer::GatewayTimeout => Answer::GatewayTimeout,
        ApiAnswer::Conflict => Answer::Conflict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_has_the_verbs_of_scenarios() {
        for (word, of_scenario) in model::Verb::NAMES {
            assert_eq!(verb(of_scenario).name(), word);
        }
        assert_eq!(model::Verb::NAMES.len(), Verb::ALL.len());
    }
}
