//! What goes wrong at the Manager, at the Kubernetes API and between replicas, one thing a test: steering that is in force
//! stays, and what was missed is made up for.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod cluster;
mod pushes;
mod replicas;

use pathproof_trials::Operator;
use sdwan_operator::controller::Settings;

use self::support::Trial;

/// A WAN with one Service that is steered, `business` with 10.0.2.5 over biz-internet.
async fn steered(trial: &Trial, settings: Settings) -> Operator {
    trial.service("business", &[("tunnel", "biz-internet")], &["10.0.2.5"]);
    let operator = trial.operator(settings).await;
    trial.until_taken("10.0.2.5", "biz-internet").await;
    operator
}
