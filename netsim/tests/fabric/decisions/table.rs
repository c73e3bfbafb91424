//! The rows.

use std::time::Duration;

use netsim::policy::{
    AppRoute, BestPath, ColorGroup, ColorTier, Criterion, DataPath, LocalTlocs, PathPreference, Preference,
    RemoteTloc, SlaClass, Unmet,
};

use super::super::world::system_ip;
use super::{By, Case, Row};

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

pub const ROWS: &[Row] = &[
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
