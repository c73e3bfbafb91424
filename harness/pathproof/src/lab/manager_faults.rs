//! Faults of the Manager: injected, healed, and the proof that each was felt.
//!
//! Owns which event injected which fault.

use std::collections::BTreeMap;

use netsim::manager::faults::{self, Fault, Faults};
use netsim::manager::{Activities, Event, Manager};
use scenario::model::{ExpiryShape, GatewayAnswer, ManagerFault, Method, Requests};
use scenario::plan::Plan;

use super::LabOptions;
use super::felt::{Unfelt, Verified, verified};
use super::sabotage::Sabotage;

/// What is wrong with the Manager of a lab, and what was.
#[derive(Debug)]
pub struct ManagerFaults {
    faults: Faults,
    /// Tells what was felt.
    activities: Activities,
    site_ids: BTreeMap<String, u32>,
    /// Those that are not verified yet, the oldest first.
    injected: Vec<Injected>,
    /// Whether faults are only pretended.
    are_dead: bool,
}

#[derive(Debug)]
struct Injected {
    event: String,
    /// Its name at the Manager; none of one that is pretended.
    id: Option<u64>,
    felt: u64,
    /// Whether it strikes once and has nothing to heal.
    is_momentary: bool,
}

impl ManagerFaults {
    /// Nothing wrong yet.
    #[must_use]
    pub fn new(manager: &Manager, plan: &Plan, options: &LabOptions) -> Self {
        let edges = plan.edges.iter();
        Self {
            faults: manager.faults().clone(),
            activities: manager.activity(),
            site_ids: edges.map(|edge| (edge.site.clone(), edge.site_id)).collect(),
            injected: Vec::new(),
            are_dead: options.wan.sabotage == Some(Sabotage::DeadFaults),
        }
    }

    /// Puts the fault of an event in force.
    ///
    /// # Panics
    /// When there is no site of such a name, which the reader of scenarios rules out.
    pub fn inject(&mut self, event: &str, fault: &ManagerFault) {
        let converted = convert(fault, &self.site_ids);
        self.injected.push(Injected {
            event: event.to_owned(),
            id: (!self.are_dead).then(|| self.faults.inject(converted)),
            felt: 0,
            is_momentary: matches!(fault, ManagerFault::ExpireSessions(_)),
        });
    }

    /// Ends all faults; the answer is what was felt of them.
    ///
    /// # Errors
    /// [`Unfelt`].
    pub fn heal(&mut self) -> Result<Vec<Verified>, Unfelt> {
        self.faults.heal_all();
        self.verify(|fault| !fault.is_momentary)
    }

    /// What was felt of all faults that are not verified yet.
    ///
    /// # Errors
    /// [`Unfelt`].
    pub fn end(&mut self) -> Result<Vec<Verified>, Unfelt> {
        self.verify(|_| true)
    }

    fn verify(&mut self, is_over: impl Fn(&Injected) -> bool) -> Result<Vec<Verified>, Unfelt> {
        while let Some(activity) = self.activities.try_next() {
            let Event::FaultFelt { id: felt } = activity.event else {
                continue;
            };
            let mut injected = self.injected.iter_mut();
            if let Some(fault) = injected.find(|fault| fault.id == Some(felt)) {
                fault.felt += 1;
            }
        }
        let over = self.injected.extract_if(.., |fault| is_over(fault));
        let proofs = over.map(|Injected { event, felt, .. }| verified(event, "the Manager", felt));
        proofs.collect()
    }
}

/// The fault in the words of the Manager, which knows sites by their ids.
fn convert(fault: &ManagerFault, site_ids: &BTreeMap<String, u32>) -> Fault {
    match fault {
        ManagerFault::FailPushes { count, sites } => Fault::FailPushes {
            count: *count,
            sites: sites.iter().map(|site| site_ids[site]).collect(),
        },
        ManagerFault::HoldLock => Fault::HoldLock {},
        ManagerFault::DelayTasks { by, count } => Fault::DelayTasks {
            by_ms: millis(*by),
            count: *count,
        },
        ManagerFault::Answer { with, requests } => Fault::AnswerRequests {
            answer: answer(*with),
            requests: those(requests),
        },
        ManagerFault::CutReplies { requests } => Fault::CutReplies {
            requests: those(requests),
        },
        ManagerFault::DelayRequests { by, requests } => Fault::DelayRequests {
            by_ms: millis(*by),
            requests: those(requests),
        },
        ManagerFault::ExpireSessions(shape) => Fault::ExpireSessions {
            shape: Some(expiry(*shape)),
        },
        ManagerFault::LoseController => Fault::LoseController {
            controllers: Vec::new(),
        },
    }
}

/// Whole milliseconds, at least one: shorter delays are refused by the reader of scenarios.
fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("the reader has checked that it is at most a minute")
}

fn those(requests: &Requests) -> faults::Requests {
    let name = |method: Method| Method::NAMES.into_iter().find(|(_, known)| *known == method);
    let method = requests.method.and_then(name);
    faults::Requests {
        count: requests.count,
        after: requests.after,
        method: method.map(|(name, _)| name.to_owned()),
        path: requests.path.clone(),
    }
}

fn answer(answer: GatewayAnswer) -> faults::GatewayAnswer {
    match answer {
        GatewayAnswer::TooManyRequests => faults::GatewayAnswer::TooManyRequests,
        GatewayAnswer::InternalError => faults::GatewayAnswer::InternalError,
        GatewayAnswer::BadGateway => faults::GatewayAnswer::BadGateway,
        GatewayAnswer::Unavailable => faults::GatewayAnswer::Unavailable,
        GatewayAnswer::GatewayTimeout => faults::GatewayAnswer::GatewayTimeout,
        GatewayAnswer::Html => faults::GatewayAnswer::Html,
    }
}

fn expiry(shape: ExpiryShape) -> faults::ExpiryShape {
    match shape {
        ExpiryShape::LoginPage => faults::ExpiryShape::LoginPage,
        ExpiryShape::Redirect => faults::ExpiryShape::Redirect,
        ExpiryShape::Forbidden => faults::ExpiryShape::Forbidden,
        ExpiryShape::Cookie => faults::ExpiryShape::Cookie,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn told(fault: &ManagerFault) -> Value {
        let site_ids = BTreeMap::from([("near".to_owned(), 100), ("far".to_owned(), 200)]);
        serde_json::to_value(convert(fault, &site_ids)).unwrap()
    }

    #[test]
    fn sites_are_told_by_their_ids_and_delays_in_milliseconds() {
        let (count, sites) = (Some(2), vec!["far".to_owned()]);
        assert_eq!(
            told(&ManagerFault::FailPushes { count, sites }),
            json!({"fault": "failPushes", "count": 2, "sites": [200]})
        );
        let (by, count) = (Duration::from_millis(1500), Some(1));
        assert_eq!(
            told(&ManagerFault::DelayTasks { by, count }),
            json!({"fault": "delayTasks", "byMs": 1500, "count": 1})
        );
    }

    #[test]
    fn the_manager_has_the_words_of_scenarios() {
        for (word, method) in Method::NAMES {
            let requests = Requests {
                count: Some(3),
                after: Some(2),
                method: Some(method),
                path: Some("/dataservice".to_owned()),
            };
            let requests_told = json!({"count": 3, "after": 2, "method": word, "path": "/dataservice"});
            assert_eq!(
                told(&ManagerFault::CutReplies { requests }),
                json!({"fault": "cutReplies", "requests": requests_told})
            );
        }
        for (word, with) in GatewayAnswer::NAMES {
            let requests = Requests::default();
            assert_eq!(
                told(&ManagerFault::Answer { with, requests }),
                json!({"fault": "answerRequests", "answer": word, "requests": {}})
            );
        }
        for (word, shape) in ExpiryShape::NAMES {
            assert_eq!(
                told(&ManagerFault::ExpireSessions(shape)),
                json!({"fault": "expireSessions", "shape": word})
            );
        }
    }
}
