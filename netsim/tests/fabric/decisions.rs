//! The decision table of [`netsim::fabric::decision`], row by row and column by column, by packets of both address
//! families: each row is a trial, and all rows share a lab.
//!
//! Site 0 has three colors to site 1, straight and through site 2; no default color is `mpls` or `lte`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use netsim::policy::{
    Action, AppRoute, AppRoutePolicy, AppRouteSequence, BestPath, ColorGroup, ColorTier, Criterion, DataPath,
    DataPolicy, DefaultAction, EdgePolicy, LocalTlocs, Match, PathPreference, PolicyDirection, Preference,
    RemoteTloc, Sequence, SlaClass, Unmet,
};
use netsim::sla::TunnelKey;
use tokio::runtime::Runtime;

use super::world::{BOTH, Condition, Flow, Ip, Plan, World, system_ip};

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
            let taken = ways_taken(world, ip).await;
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
async fn ways_taken(world: &World, ip: Ip) -> BTreeSet<String> {
    let flow = Flow {
        flows: FLOWS,
        packets: 2,
        ..Flow::new(0, 1, ip)
    };
    let at_hub = world.received(2, 0).await;
    let (arrived, sent) = world.send(&flow).await;
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
            sequences: vec![AppRouteSequence {
                id: 1,
                matching,
                choice: Some(choice),
                counter: None,
            }],
            default_class: None,
        }),
        By::Data(path) => policy.data.push(DataPolicy {
            service_vpn: VPN,
            direction: PolicyDirection::FromService,
            default_action: DefaultAction::Accept,
            sequences: vec![Sequence {
                id: 1,
                matching,
                action: Action::Accept {
                    path: Some(path),
                    inspect: false,
                },
                counter: None,
            }],
        }),
    }
    policy
}

fn class() -> SlaClass {
    SlaClass {
        name: "voice".into(),
        loss: Some(10_000),
        latency: Some(Duration::from_millis(50)),
        jitter: Some(Duration::from_millis(20)),
    }
}

fn colors(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn sla(preference: Preference, unmet: Unmet) -> By {
    By::AppRoute(AppRoute {
        class: Some(class()),
        preference,
        unmet,
    })
}

fn unjudged(preference: Preference, unmet: Unmet) -> By {
    By::AppRoute(AppRoute {
        class: None,
        preference,
        unmet,
    })
}

fn prefers(text: &str) -> Preference {
    Preference::Colors(colors(text))
}

fn backup(text: &str) -> Unmet {
    Unmet::Backup(colors(text))
}

/// Tiers `colors:path`, where the path is `direct`, `hops` or `all`.
fn group(tiers: &[&str], restrict: bool) -> ColorGroup {
    let tiers = tiers.iter().map(|tier| {
        let (names, path) = tier.split_once(':').unwrap();
        ColorTier {
            colors: colors(names),
            path: match path {
                "direct" => PathPreference::DirectPath,
                "hops" => PathPreference::MultiHopPath,
                _ => PathPreference::AllPaths,
            },
        }
    });
    ColorGroup {
        name: "tiers".into(),
        tiers: tiers.collect(),
        restrict,
    }
}

fn best() -> Unmet {
    Unmet::Best(BestPath {
        criteria: vec![
            Criterion::Loss(5_000),
            Criterion::Latency(Duration::from_millis(10)),
            Criterion::Jitter(Duration::ZERO),
        ],
    })
}

fn local(text: &str, restrict: bool) -> By {
    By::Data(DataPath::Local(LocalTlocs {
        colors: colors(text),
        restrict,
    }))
}

/// TLOCs `site/color/preference`.
fn remote(tlocs: &[&str]) -> By {
    let tlocs = tlocs.iter().map(|tloc| {
        let parts: Vec<&str> = tloc.split('/').collect();
        RemoteTloc {
            system_ip: system_ip(parts[0].parse().unwrap()),
            color: parts[1].into(),
            preference: parts[2].parse().unwrap(),
        }
    });
    By::Data(DataPath::Remote(tlocs.collect()))
}

const ALL_DOWN: Case = ("default=down mpls=down lte=down", "drop");

const ROWS: &[Row] = &[
    Row {
        name: "no choice",
        by: || By::Nothing,
        cases: &[
            ("default=ok mpls=ok lte=ok", "default"),
            ("default=bad mpls=ok lte=ok", "default"),
            ("default=down default@2=ok mpls=ok lte=ok", "default@2"),
            ("default=down mpls=ok lte=ok", "drop"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "class",
        by: || sla(Preference::Equal, Unmet::Any),
        cases: &[
            ("default=ok mpls=ok lte=ok", "default mpls lte"),
            ("default=bad mpls=ok lte=ok", "mpls lte"),
            ("default=down mpls=bad lte=ok", "lte"),
            ("default=down mpls=bad mpls@2=ok lte=down", "mpls@2"),
            ("default=bad mpls=bad lte=bad", "default mpls lte"),
            ("default=down mpls=bad lte=bad", "mpls lte"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "class, preferred color",
        by: || sla(prefers("mpls"), Unmet::Any),
        cases: &[
            ("default=ok mpls=ok lte=ok", "mpls"),
            ("default=ok mpls=bad lte=bad", "default"),
            ("default=ok mpls=down lte=ok", "default lte"),
            ("default=bad mpls=bad lte=bad", "default mpls lte"),
            ("default=bad mpls=down lte=bad", "default lte"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "class, preferred colors",
        by: || sla(prefers("mpls lte"), Unmet::Any),
        cases: &[
            ("default=ok mpls=ok lte=ok", "mpls lte"),
            ("default=ok mpls=bad lte=ok", "lte"),
            ("default=ok mpls=bad lte=down", "default"),
        ],
    },
    Row {
        name: "class, preferred color, backup",
        by: || sla(prefers("mpls"), backup("lte")),
        cases: &[
            ("default=ok mpls=ok lte=ok", "mpls"),
            ("default=ok mpls=bad lte=bad", "default"),
            ("default=bad mpls=bad lte=bad", "lte"),
            ("default=bad mpls=bad lte=down", "default mpls"),
            ("default=bad mpls=down lte=down", "default"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "class, strict",
        by: || sla(Preference::Equal, Unmet::Drop),
        cases: &[
            ("default=ok mpls=ok lte=bad", "default mpls"),
            ("default=bad mpls=bad lte=bad", "drop"),
            ("default=bad mpls=down lte=bad", "drop"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "class, preferred color, strict",
        by: || sla(prefers("mpls"), Unmet::Drop),
        cases: &[
            ("default=ok mpls=ok lte=ok", "mpls"),
            ("default=ok mpls=bad lte=ok", "default lte"),
            ("default=bad mpls=down lte=ok", "lte"),
            ("default=bad mpls=bad lte=bad", "drop"),
            ("default=bad mpls=down lte=bad", "drop"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "class, best path",
        by: || sla(Preference::Equal, best()),
        cases: &[
            ("default=ok mpls=bad lte=ok", "default lte"),
            // By loss,
            ("default=90/60/5 mpls=60/60/5 lte=90/60/5", "mpls"),
            // by latency among those whose loss is within the variance,
            ("default=60/90/5 mpls=62/60/5 lte=90/10/5", "mpls"),
            // and by jitter.
            ("default=60/60/5 mpls=62/62/4 lte=60/65/3", "lte"),
            ("default=60/60/5 mpls=62/62/5 lte=90/60/5", "default mpls"),
            ("default=down mpls=90/60/5 lte=60/60/5", "lte"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "class, preferred color, best path",
        by: || sla(prefers("mpls"), best()),
        cases: &[
            ("default=ok mpls=bad lte=bad", "default"),
            ("default=60/60/5 mpls=62/62/5 lte=60/60/5", "mpls"),
            ("default=60/60/5 mpls=90/62/5 lte=90/60/5", "default"),
        ],
    },
    Row {
        name: "class, color group",
        by: || {
            let tiers = group(&["mpls:direct", "lte:hops", "mpls:all"], false);
            sla(Preference::Group(tiers), Unmet::Any)
        },
        cases: &[
            ("default=ok mpls=ok lte=ok", "mpls"),
            ("default=ok mpls=bad lte=ok", "lte@2"),
            ("default=ok mpls=bad mpls@2=ok lte=bad", "mpls@2"),
            ("default=ok mpls=bad lte=bad", "default"),
            ("default=bad mpls=bad lte=bad", "default mpls lte"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "class, restricted color group",
        by: || {
            let tiers = group(&["mpls:direct", "lte:all"], true);
            sla(Preference::Group(tiers), Unmet::Any)
        },
        cases: &[
            ("default=ok mpls=ok lte=ok", "mpls"),
            ("default=ok mpls=bad lte=ok", "lte lte@2"),
            ("default=ok mpls=bad lte=bad", "mpls lte"),
            ("default=ok mpls=bad lte=down", "mpls"),
            ("default=ok mpls=down lte=down", "drop"),
            ("default=ok mpls=down mpls@2=ok lte=down", "drop"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "preferred color",
        by: || unjudged(prefers("mpls"), Unmet::Any),
        cases: &[
            ("default=ok mpls=bad lte=ok", "mpls"),
            ("default=ok mpls=down lte=bad", "default lte"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "backup alone",
        by: || unjudged(Preference::Equal, backup("lte")),
        cases: &[
            ("default=ok mpls=ok lte=bad", "lte"),
            ("default=ok mpls=bad lte=down", "default mpls"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "preferred color, backup",
        by: || unjudged(prefers("mpls"), backup("lte")),
        cases: &[
            ("default=ok mpls=bad lte=ok", "mpls"),
            ("default=ok mpls=down lte=ok", "lte"),
            ("default=ok mpls=down lte=down", "default"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "preferred color, strict",
        by: || unjudged(prefers("mpls"), Unmet::Drop),
        cases: &[
            ("default=ok mpls=bad lte=ok", "mpls"),
            ("default=ok mpls=down lte=ok", "default lte"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "color group",
        by: || {
            let tiers = group(&["mpls:direct", "lte:direct"], false);
            unjudged(Preference::Group(tiers), Unmet::Any)
        },
        cases: &[
            ("default=ok mpls=bad lte=ok", "mpls"),
            ("default=ok mpls=down lte=ok", "lte"),
            ("default=ok mpls=down mpls@2=ok lte=down", "default"),
            ("default=down mpls=down mpls@2=ok lte=down", "drop"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "color group, strict",
        by: || unjudged(Preference::Group(group(&["mpls:all"], false)), Unmet::Drop),
        cases: &[
            ("default=ok mpls=bad lte=ok", "mpls mpls@2"),
            ("default=ok mpls=down lte=ok", "default lte"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "restricted color group",
        by: || {
            let tiers = group(&["mpls:direct", "lte:hops"], true);
            unjudged(Preference::Group(tiers), Unmet::Any)
        },
        cases: &[
            ("default=ok mpls=bad lte=ok", "mpls"),
            ("default=ok mpls=down mpls@2=ok lte=ok", "lte@2"),
            ("default=ok mpls=down mpls@2=ok lte=ok lte@2=down", "drop"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "data policy: local TLOCs",
        by: || local("mpls lte", false),
        cases: &[
            ("default=ok mpls=bad lte=ok", "mpls lte"),
            ("default=ok mpls=down lte=ok", "lte"),
            ("default=ok mpls=down mpls@2=ok lte=down", "mpls@2"),
            ("default=ok mpls=down lte=down", "default"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "data policy: restricted local TLOCs",
        by: || local("mpls", true),
        cases: &[
            ("default=ok mpls=bad lte=ok", "mpls"),
            ("default=ok mpls=down lte=ok", "drop"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "data policy: remote TLOCs",
        by: || remote(&["2/mpls/20", "1/lte/20", "1/mpls/10", "7/mpls/90"]),
        cases: &[
            // A way to the hub counts as much as one to the destination itself.
            ("default=ok mpls=bad lte=ok", "mpls@2 lte"),
            ("default=ok mpls=ok mpls@2=down lte=ok", "lte"),
            ("default=ok mpls=ok mpls@2=down lte=down", "mpls"),
            ("default=ok mpls=down lte=down lte@2=ok", "drop"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "data policy: color group",
        by: || {
            By::Data(DataPath::Group(group(
                &["mpls:hops", "mpls lte:direct", "lte:all"],
                false,
            )))
        },
        cases: &[
            ("default=ok mpls=bad lte=ok", "mpls@2"),
            ("default=ok mpls=ok mpls@2=down lte=ok", "mpls lte"),
            ("default=ok mpls=down lte=down lte@2=ok", "lte@2"),
            ("default=ok mpls=down lte=down", "default"),
            ALL_DOWN,
        ],
    },
    Row {
        name: "data policy: restricted color group",
        by: || By::Data(DataPath::Group(group(&["mpls:direct"], true))),
        cases: &[
            ("default=ok mpls=bad lte=ok", "mpls"),
            ("default=ok mpls=down mpls@2=ok lte=ok", "drop"),
            ALL_DOWN,
        ],
    },
];
