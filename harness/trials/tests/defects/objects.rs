//! Objects on the Manager: found, named, well formed.

use std::collections::{BTreeMap, BTreeSet};

use netsim::manager::Event;
use pathproof_trials::settings;
use sdwan_operator::controller::Settings;
use sdwan_operator::core::ServiceType;
use sdwan_operator::manager::Backend;
use serde_json::Value;

use crate::support::admin::{definitions, foreign_policy, inventory, lists, policies, text};
use crate::support::{Trial, events, failures};

/// The policy is found only if it is the first that is listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_own_policy_is_found_wherever_it_is_listed() {
    let trial = Trial::start().await;
    let rest = trial.wan.rest().await;
    for name in ["a-policy", "a-second-policy"] {
        foreign_policy(&rest, name).await;
    }
    trial.service("business", &[("tunnel", "mpls")], &["10.0.2.5"]);
    let first = trial.operator(settings()).await;
    trial.until_taken("10.0.2.5", "mpls").await;
    first.stop().await;
    foreign_policy(&rest, "z-policy").await;

    let second = trial.operator(settings()).await;
    trial.endpoints("business", &["10.0.2.6"]);
    trial.until_taken("10.0.2.6", "mpls").await;
    second.stop().await;
    let policies = policies(&rest).await;
    let names: BTreeSet<&str> = policies.iter().map(|row| text(row, "policyName")).collect();
    assert_eq!((names.len(), policies.len()), (4, 4), "{names:?}");
    let active = policies.iter().filter(|row| row["isPolicyActivated"] == true);
    assert_eq!(
        active.map(|row| text(row, "policyName")).collect::<Vec<_>>(),
        ["k8s-steering"]
    );
}

/// Lists are told apart by the first 20 characters of their names, and names are longer than the Manager takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_whose_names_begin_alike_do_not_meet() {
    let trial = Trial::start().await;
    let long = |last: char| format!("{}{last}", "checkout-".repeat(7).trim_end_matches('-'));
    let names = [
        "checkout-api".to_owned(),
        "checkout-api2".to_owned(),
        long('a'),
        long('b'),
    ];
    let colors = ["biz-internet", "mpls", "mpls", "biz-internet"];
    for (last, (name, color)) in names.iter().zip(colors).enumerate() {
        trial.service(name, &[("tunnel", color)], &[&format!("10.0.2.{last}")]);
    }
    let operator = trial.operator(settings()).await;
    for (last, color) in colors.iter().enumerate() {
        trial.until_taken(&format!("10.0.2.{last}"), color).await;
    }
    let rest = trial.wan.rest().await;
    let inventory = inventory(&rest, Backend::Classic).await;
    let different: BTreeSet<&String> = inventory.iter().collect();
    assert_eq!(different.len(), inventory.len(), "{inventory:?}");
    for list in lists(&rest).await {
        assert!(text(&list, "name").len() <= 32, "{list}");
    }
    trial.cluster.delete_service(&names[0]);
    trial.cluster.delete_service(&names[2]);
    trial.until_taken("10.0.2.0", "default").await;
    trial.until_taken("10.0.2.2", "default").await;
    assert!(trial.takes("10.0.2.1", "mpls") && trial.takes("10.0.2.3", "biz-internet"));
    operator.stop().await;
}

/// What is spliced into a definition closes one bracket too many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_the_manager_takes_what_is_sent() {
    let trial = Trial::start().await;
    let asked: [&[(&str, &str)]; 7] = [
        &[("tunnel", "biz-internet")],
        &[("tunnel", "mpls"), ("mode", "preferred")],
        &[("tunnel", "biz-internet"), ("fallback", "mpls")],
        &[("tunnel", "mpls"), ("sla", "latency=50ms,loss=1%,jitter=10ms")],
        &[("sla", "latency=80ms")],
        &[("tunnel", "mpls"), ("action", "inspect")],
        &[("action", "drop")],
    ];
    for (number, annotations) in asked.iter().enumerate() {
        let name = format!("service-{number}");
        trial.service(&name, annotations, &[&format!("10.0.2.{number}")]);
        trial.slice(&name, "UDP", 53, &[&format!("fd00:2::{number}")]);
    }
    let mut activities = trial.wan.manager.activity();
    // The edges know no other service.
    let inspection = ServiceType::IntrusionDetection;
    let operator = trial
        .operator(Settings {
            inspection,
            ..settings()
        })
        .await;
    trial.until_taken("10.0.2.0", "biz-internet").await;
    trial.until_taken("10.0.2.2", "biz-internet").await;
    for failed in ["refused", "task_failed", "decode", "unclear"] {
        assert_eq!(failures(&operator, failed), 0.0, "{failed}");
    }
    operator.stop().await;
    let happened = events(&mut activities);
    assert!(
        !happened
            .iter()
            .any(|event| matches!(event, Event::TaskFailed { .. })),
        "{happened:?}"
    );

    let rest = trial.wan.rest().await;
    let lists = lists(&rest).await;
    let types = lists
        .iter()
        .map(|list| (text(list, "listId"), text(list, "type")))
        .collect();
    let definitions = definitions(&rest).await;
    let names: BTreeSet<&str> = definitions.iter().map(|row| text(row, "name")).collect();
    assert_eq!(names, ["k8s-steering-vpn10", "k8s-steering-vpn10-sla"].into());
    definitions
        .iter()
        .for_each(|definition| check_sequences(definition, &types));
}

/// Each sequence has a number of its own, says what it does, and matches by lists of its address family.
fn check_sequences(definition: &Value, types: &BTreeMap<&str, &str>) {
    let sequences = definition["sequences"].as_array().unwrap();
    let numbers: BTreeSet<u64> = sequences
        .iter()
        .map(|one| one["sequenceId"].as_u64().unwrap())
        .collect();
    assert!(
        !sequences.is_empty() && numbers.len() == sequences.len(),
        "{definition}"
    );
    for sequence in sequences {
        let list = match text(sequence, "sequenceIpType") {
            "ipv4" => "dataPrefix",
            "ipv6" => "dataIpv6Prefix",
            other => panic!("{other}: {sequence}"),
        };
        let entries = sequence["match"]["entries"].as_array().unwrap();
        let refs: Vec<&str> = entries.iter().filter_map(|entry| entry["ref"].as_str()).collect();
        assert_eq!(
            refs.iter().map(|id| types[id]).collect::<Vec<_>>(),
            [list],
            "{sequence}"
        );
        assert!(
            entries.iter().any(|entry| entry["field"] == "protocol"),
            "{sequence}"
        );
        let acts = !sequence["actions"].as_array().unwrap().is_empty();
        assert!(acts || sequence["baseAction"] == "drop", "{sequence}");
    }
}
