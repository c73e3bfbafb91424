//! The decision table of [`netsim::fabric::decision`], row by row and column by column, by packets of both address
//! families: each row is a trial, and all rows share a lab.
//!
//! Site 0 has three colors to site 1, straight and through site 2; no default color is `mpls` or `lte`.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use netsim::policy::{
    Action, AppRoute, AppRoutePolicy, AppRouteSequence, DataPath, DataPolicy, DefaultAction, EdgePolicy,
    Match, PolicyDirection, Sequence,
};
use netsim::sla::TunnelKey;
use tokio::runtime::Runtime;

use super::world::{BOTH, Condition, Flow, Ip, PATIENCE, Plan, QUIET, World};
use table::ROWS;

const COLORS: [&str; 3] = ["default", "mpls", "lte"];
const VPN: u16 = 10;
/// So many flows, each from a port of its own: of three ways none is without any but once in a million times.
const FLOWS: u16 = 40;

/// What is chosen by in a row of the table.
enum By {
    Nothing,
    AppRoute(AppRoute),
    Data(DataPath),
}

/// The tunnels of site 0 (`color` to site 1, `color@2` to site 2, like that to site 1 unless told apart), each `ok`
/// (meets the class), `bad`, `down` or `loss/latency/jitter` of one that does not (lost of 1,000, milliseconds); and
/// the ways that packets then take, `drop` for none.
type Case = (&'static str, &'static str);

struct Row {
    name: &'static str,
    by: fn() -> By,
    cases: &'static [Case],
}

struct Lab {
    runtime: Runtime,
    world: World,
}

static LAB: OnceLock<Mutex<Lab>> = OnceLock::new();

pub fn trials() -> Vec<Trial> {
    let trial = |row: &'static Row| {
        Trial::test(format!("decision: {}", row.name), move || {
            let lab = LAB.get_or_init(|| Mutex::new(Lab::build()));
            // A row that fails leaves a lab that the next row sets up anew.
            let lab = lab.lock().unwrap_or_else(PoisonError::into_inner);
            lab.runtime.block_on(check(&lab.world, row))
        })
    };
    ROWS.iter().map(trial).collect()
}

impl Lab {
    fn build() -> Self {
        let runtime = Runtime::new().unwrap();
        let plan = Plan {
            sites: 3,
            colors: COLORS.to_vec(),
            hub: Some(2),
            ..Plan::default()
        };
        let world = runtime.block_on(World::build(plan));
        Self { runtime, world }
    }
}

async fn check(world: &World, row: &Row) -> Result<(), Failed> {
    let mut failures = Vec::new();
    let policy = policy((row.by)());
    world.edges[0].apply(&policy).await.unwrap();
    for (health, expected) in row.cases {
        world.judge(0, &conditions(health)).await;
        for ip in BOTH {
            let patience = if *expected == "drop" { QUIET } else { PATIENCE };
            let taken = ways_taken(world, ip, patience).await;
            let expected: BTreeSet<String> = expected.split(' ').map(str::to_owned).collect();
            if taken != expected {
                failures.push(format!(
                    "{ip:?} with {health}: expected {expected:?}, took {taken:?}"
                ));
            }
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n").into())
    }
}

fn conditions(health: &str) -> BTreeMap<TunnelKey, Condition> {
    let mut conditions = BTreeMap::new();
    let told: BTreeMap<&str, &str> = health
        .split(' ')
        .map(|way| way.split_once('=').unwrap())
        .collect();
    for (tunnel, color) in COLORS.into_iter().enumerate() {
        let straight = told[color];
        let over_hub = told
            .get(format!("{color}@2").as_str())
            .copied()
            .unwrap_or(straight);
        for (remote, health) in [straight, over_hub].into_iter().enumerate() {
            conditions.insert((tunnel, remote), condition(health));
        }
    }
    conditions
}

fn condition(health: &str) -> Condition {
    match health {
        "ok" => Condition::GOOD,
        "bad" => condition("100/5/1"),
        "down" => Condition::Down,
        measured => {
            let values: Vec<u32> = measured.split('/').map(|value| value.parse().unwrap()).collect();
            Condition::Measured {
                lost: values[0],
                latency: values[1],
                jitter: values[2],
            }
        }
    }
}

/// Which ways the flows took, by the counters of site 0 and of site 2; a flow that was split is a failure.
async fn ways_taken(world: &World, ip: Ip, patience: Duration) -> BTreeSet<String> {
    let flow = Flow {
        flows: FLOWS,
        packets: 2,
        ..Flow::new(0, 1, ip)
    };
    let at_hub = world.received(2, 0).await;
    let (arrived, sent) = world.send(&flow, patience).await;
    let at_hub: Vec<u64> = world
        .received(2, 0)
        .await
        .iter()
        .zip(&at_hub)
        .map(|(after, before)| after - before)
        .collect();
    let mut ways = BTreeSet::new();
    for (position, color) in COLORS.into_iter().enumerate() {
        let (sent, over_hub) = (sent[position], at_hub[position]);
        assert!(
            sent % 2 == 0 && over_hub % 2 == 0,
            "a flow is split: {sent} {over_hub}"
        );
        if sent > over_hub {
            ways.insert(color.to_owned());
        }
        if over_hub > 0 {
            ways.insert(format!("{color}@2"));
        }
    }
    let expected = u32::from(FLOWS) * 2;
    match (arrived, ways.is_empty()) {
        (0, true) => ways.insert("drop".to_owned()),
        (all, false) if all == expected => false,
        _ => panic!("{arrived} of {expected} arrived over {ways:?}, {sent:?} sent"),
    };
    ways
}

fn policy(by: By) -> EdgePolicy {
    let matching = Match {
        protocols: vec![17],
        ..Match::default()
    };
    let mut policy = EdgePolicy::none(100);
    match by {
        By::Nothing => {}
        By::AppRoute(choice) => policy.app_route.push(AppRoutePolicy {
            service_vpn: VPN,
            sequences: [AppRouteSequence {
                id: 1,
                matching,
                choice: Some(choice),
                counter: None,
            }]
            .into(),
            default_class: None,
        }),
        By::Data(path) => policy.data.push(DataPolicy {
            service_vpn: VPN,
            direction: PolicyDirection::FromService,
            default_action: DefaultAction::Accept,
            sequences: [Sequence {
                id: 1,
                matching,
                action: Action::Accept {
                    path: Some(path),
                    inspect: false,
                    dscp: None,
                },
                counter: None,
            }]
            .into(),
        }),
    }
    policy
}
