#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::fabric::strategies::{class, system_ip};
use crate::policy::LocalTlocs;

mod properties;

/// A way with what is known of its tunnel, written `color[.hops][@edge]=health`; the health is `ok` (meets the
/// class), `bad` (does not), `down`, or `loss/latency/jitter` in millionths and milliseconds of a bad one.
struct Line {
    label: String,
    color: String,
    system_ip: Ipv4Addr,
    hops: u16,
    health: Health,
}

impl Line {
    fn parse(text: &str) -> Self {
        let (label, health) = text.split_once('=').unwrap();
        let (way, edge) = label.split_once('@').unwrap_or((label, "1"));
        let (color, hops) = way.split_once('.').unwrap_or((way, "1"));
        Self {
            label: label.to_owned(),
            color: color.to_owned(),
            system_ip: system_ip(edge.parse().unwrap()),
            hops: hops.parse().unwrap(),
            health: match health {
                "ok" => Health {
                    up: true,
                    met: [class()].into(),
                    ..Health::default()
                },
                "bad" => bad(Means::default()),
                "down" => Health::default(),
                measured => bad(means(measured)),
            },
        }
    }
}

fn bad(means: Means) -> Health {
    Health {
        up: true,
        met: BTreeSet::new(),
        means,
    }
}

fn means(text: &str) -> Means {
    let values: Vec<u32> = text.split('/').map(|value| value.parse().unwrap()).collect();
    let millis = |value: u32| Some(Duration::from_millis(u64::from(value)));
    Means {
        loss: Some(values[0]),
        latency: millis(values[1]),
        jitter: millis(values[2]),
    }
}

fn colors(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Equal preference and a loose class.
fn sla() -> AppRoute {
    AppRoute {
        class: Some(class()),
        preference: Preference::Equal,
        unmet: Unmet::Any,
    }
}

fn prefers(text: &str) -> AppRoute {
    AppRoute {
        preference: Preference::Colors(colors(text)),
        ..sla()
    }
}

/// A group from tiers of `colors[:path]`, separated by `>`.
fn group(tiers: &str) -> ColorGroup {
    let tier = |text: &str| {
        let (text, path) = text.split_once(':').unwrap_or((text, "direct"));
        ColorTier {
            colors: colors(text),
            path: match path.trim() {
                "direct" => PathPreference::DirectPath,
                "multi-hop" => PathPreference::MultiHopPath,
                "all" => PathPreference::AllPaths,
                other => panic!("path preference {other}"),
            },
        }
    };
    ColorGroup {
        name: "tiers".to_owned(),
        tiers: tiers.split('>').map(tier).collect(),
        restrict: false,
    }
}

fn restricted(tiers: &str) -> ColorGroup {
    ColorGroup {
        restrict: true,
        ..group(tiers)
    }
}

fn by_group(group: ColorGroup) -> AppRoute {
    AppRoute {
        preference: Preference::Group(group),
        ..sla()
    }
}

fn without_class(choice: AppRoute) -> AppRoute {
    AppRoute {
        class: None,
        ..choice
    }
}

fn or(choice: AppRoute, unmet: Unmet) -> AppRoute {
    AppRoute { unmet, ..choice }
}

fn strict(choice: AppRoute) -> AppRoute {
    or(choice, Unmet::Drop)
}

fn backup(choice: AppRoute, text: &str) -> AppRoute {
    or(choice, Unmet::Backup(colors(text)))
}

fn best<const N: usize>(choice: AppRoute, criteria: [Criterion; N]) -> AppRoute {
    let criteria = criteria.to_vec();
    or(choice, Unmet::Best(BestPath { criteria }))
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Decides among the ways in `text` and tells the labels of those taken, `routing` or `drop`.
fn decided(text: &str, decide: impl Fn(&[Way<'_>]) -> Decision) -> String {
    let lines: Vec<Line> = text.split_whitespace().map(Line::parse).collect();
    let ways = lines.iter().map(|line| Way {
        color: &line.color,
        system_ip: line.system_ip,
        hops: line.hops,
        health: &line.health,
    });
    match decide(&ways.collect::<Vec<_>>()) {
        Decision::Over(taken) => {
            let labels: Vec<&str> = taken.iter().map(|taken| lines[*taken].label.as_str()).collect();
            labels.join(" ")
        }
        Decision::Routing => "routing".to_owned(),
        Decision::Drop => "drop".to_owned(),
    }
}

#[rstest]
#[case::ok("mpls=ok lte=ok", "mpls lte")]
#[case::one_ok("mpls=bad lte=ok gold=down", "lte")]
#[case::bad("mpls=bad lte=bad gold=down", "mpls lte")]
#[case::down("mpls=down lte=down", "routing")]
#[case::no_way("", "routing")]
#[case::fewest_hops("mpls=ok lte=ok mpls.2=ok", "mpls lte")]
#[case::longer_but_ok("mpls=bad lte.2=ok lte.3=ok", "lte.2")]
#[case::bad_fewest_hops("mpls=down mpls.2=bad lte.2=bad lte.3=bad", "mpls.2 lte.2")]
fn a_class_takes_what_meets_it(#[case] ways: &str, #[case] taken: &str) {
    assert_eq!(decided(ways, |ways| app_route(&sla(), ways)), taken);
}

#[rstest]
#[case::ok("mpls=ok lte=ok gold=ok", "mpls")]
#[case::bad("mpls=bad lte=ok gold=ok", "lte gold")]
#[case::down("mpls=down lte=ok gold=bad", "lte")]
#[case::none_meets("mpls=bad lte=bad gold=down", "mpls lte")]
#[case::down_none_meets("mpls=down lte=bad gold=bad", "lte gold")]
#[case::nothing_up("mpls=down lte=down", "routing")]
#[case::longer_but_preferred("mpls.2=ok mpls.3=ok lte=ok", "mpls.2")]
#[case::two_hops_more("mpls=ok mpls.2=ok lte=ok", "mpls")]
fn a_preferred_color_goes_first(#[case] ways: &str, #[case] taken: &str) {
    assert_eq!(decided(ways, |ways| app_route(&prefers("mpls"), ways)), taken);
}

#[rstest]
#[case::both("mpls=ok lte=ok gold=ok", "mpls lte")]
#[case::one_bad("mpls=ok lte=bad gold=ok", "mpls")]
#[case::one_down("mpls=down lte=ok gold=ok", "lte")]
#[case::neither("mpls=down lte=bad gold=ok", "gold")]
fn several_preferred_colors_share(#[case] ways: &str, #[case] taken: &str) {
    assert_eq!(decided(ways, |ways| app_route(&prefers("lte mpls"), ways)), taken);
}

#[rstest]
#[case::sla_ok(sla(), "mpls=ok lte=ok gold=bad", "mpls lte")]
#[case::sla_bad(sla(), "mpls=bad lte=bad gold=bad", "gold")]
#[case::sla_down(sla(), "mpls=bad lte=bad gold=down", "mpls lte")]
#[case::sla_nothing_up(sla(), "mpls=down gold=down", "routing")]
#[case::sla_only_backup_ok(sla(), "mpls=bad gold=ok", "gold")]
#[case::preferred_ok(prefers("mpls"), "mpls=ok lte=ok gold=ok", "mpls")]
#[case::preferred_bad(prefers("mpls"), "mpls=bad lte=ok gold=bad", "lte")]
#[case::preferred_none_meets(prefers("mpls"), "mpls=bad lte=bad gold=bad", "gold")]
#[case::alone_ok(without_class(sla()), "mpls=ok gold=ok", "gold")]
#[case::alone_bad(without_class(sla()), "mpls=ok gold=bad", "gold")]
#[case::alone_down(without_class(sla()), "mpls=bad lte=ok gold=down", "mpls lte")]
#[case::alone_nothing_up(without_class(sla()), "mpls=down gold=down", "routing")]
#[case::alone_after_preferred(without_class(prefers("mpls")), "mpls=bad lte=ok gold=ok", "mpls")]
#[case::alone_preferred_down(without_class(prefers("mpls")), "mpls=down lte=ok gold=ok", "gold")]
#[case::group_ok(by_group(group("mpls > lte")), "mpls=bad lte=ok gold=ok", "lte")]
#[case::group_bad(by_group(group("mpls > lte")), "mpls=bad lte=bad gold=bad", "gold")]
#[case::restricted_bad(by_group(restricted("mpls > lte")), "mpls=bad lte=bad gold=ok", "mpls lte")]
#[case::alone_after_tiers(without_class(by_group(group("mpls"))), "mpls=down lte=ok gold=ok", "gold")]
fn a_backup_color_is_for_when_nothing_meets(
    #[case] choice: AppRoute,
    #[case] ways: &str,
    #[case] taken: &str,
) {
    let choice = backup(choice, "gold");
    assert_eq!(decided(ways, |ways| app_route(&choice, ways)), taken);
}

#[rstest]
#[case::ok(sla(), "mpls=ok lte=ok gold=bad", "mpls lte")]
#[case::bad(sla(), "mpls=bad lte=bad", "drop")]
#[case::down(sla(), "mpls=down lte=bad", "drop")]
#[case::nothing_up(sla(), "mpls=down lte=down", "drop")]
#[case::no_way(sla(), "", "drop")]
#[case::preferred_ok(prefers("mpls"), "mpls=ok lte=ok", "mpls")]
#[case::preferred_bad(prefers("mpls"), "mpls=bad lte=ok gold=bad", "lte")]
#[case::preferred_down(prefers("mpls"), "mpls=down lte=ok", "lte")]
#[case::preferred_none_meets(prefers("mpls"), "mpls=bad lte=bad", "drop")]
#[case::preferred_down_none_meets(prefers("mpls"), "mpls=down lte=bad", "drop")]
#[case::group_second_tier(by_group(group("mpls > lte")), "mpls=bad lte=ok gold=ok", "lte")]
#[case::group_others_meet(by_group(group("mpls > lte")), "mpls=bad lte=down gold=ok", "gold")]
#[case::group_none_meets(by_group(group("mpls > lte")), "mpls=bad lte=bad gold=bad", "drop")]
#[case::restricted_others_meet(by_group(restricted("mpls")), "mpls=bad gold=ok", "drop")]
#[case::no_class_ok(without_class(prefers("mpls")), "mpls=bad lte=ok", "mpls")]
#[case::no_class_down(without_class(prefers("mpls")), "mpls=down lte=bad", "lte")]
#[case::no_class_nothing_up(without_class(prefers("mpls")), "mpls=down lte=down", "drop")]
#[case::no_class_group_down(without_class(by_group(group("mpls"))), "mpls=down lte=bad", "lte")]
fn strict_drops_what_meets_nothing(#[case] choice: AppRoute, #[case] ways: &str, #[case] taken: &str) {
    let choice = strict(choice);
    assert_eq!(decided(ways, |ways| app_route(&choice, ways)), taken);
}

const LOSS: Criterion = Criterion::Loss(1_000);
const LATENCY: Criterion = Criterion::Latency(millis(5));
const JITTER: Criterion = Criterion::Jitter(millis(2));

#[rstest]
#[case::ok(best(sla(), [LOSS]), "mpls=0/0/0 lte=ok", "lte")]
#[case::bad(best(sla(), [LOSS]), "mpls=5000/9/9 lte=2000/9/9", "lte")]
#[case::best_down(best(sla(), [LOSS]), "mpls=5000/9/9 lte=2000/9/9 gold=down", "lte")]
#[case::nothing_up(best(sla(), [LOSS]), "mpls=down", "routing")]
#[case::at_the_variance(best(sla(), [LOSS]), "mpls=3000/9/9 lte=2000/9/9", "mpls lte")]
#[case::beyond_the_variance(best(sla(), [LOSS]), "mpls=3001/9/9 lte=2000/9/9", "lte")]
#[case::latency(best(sla(), [LATENCY]), "mpls=0/26/0 lte=90/20/9 gold=90/25/9", "lte gold")]
#[case::jitter(best(sla(), [JITTER]), "mpls=0/0/9 lte=90/20/6 gold=90/25/8", "lte gold")]
#[case::second_criterion(best(sla(), [LOSS, LATENCY]), "mpls=900/30/9 lte=0/60/9 gold=9999/1/1", "mpls")]
#[case::order(best(sla(), [LATENCY, LOSS]), "mpls=900/30/9 lte=0/60/9 gold=9999/1/1", "gold")]
#[case::third(best(sla(), [LOSS, LATENCY, JITTER]), "mpls=0/30/9 lte=0/33/4 gold=0/99/0", "lte")]
#[case::no_criterion(best(sla(), []), "mpls=0/30/9 lte=0/33/4", "mpls lte")]
#[case::unmeasured(best(sla(), [LOSS]), "mpls=bad lte=999999/9/9", "lte")]
#[case::nothing_measured(best(sla(), [LOSS, LATENCY]), "mpls=bad lte=bad", "mpls lte")]
#[case::hops_come_last(best(sla(), [LOSS]), "mpls=9999/1/1 lte.2=0/1/1 gold.2=0/1/1 gold.3=0/1/1", "lte.2 gold.2")]
#[case::preferred_ok(best(prefers("mpls"), [LOSS]), "mpls=ok lte=0/0/0", "mpls")]
#[case::preferred_among_best(best(prefers("mpls"), [LOSS]), "mpls=500/9/9 lte=0/9/9", "mpls")]
#[case::preferred_not_best(best(prefers("mpls"), [LOSS]), "mpls=5000/9/9 lte=0/9/9", "lte")]
#[case::tier_among_best(
    best(by_group(group("gold > lte > mpls")), [LATENCY]), "gold=0/22/0 lte=0/20/0 mpls=0/90/0", "gold"
)]
#[case::restricted(best(by_group(restricted("gold > lte")), [LATENCY]), "gold=0/50/0 lte=0/20/0 mpls=0/1/0", "lte")]
fn the_best_path_is_by_criteria_within_variances(
    #[case] choice: AppRoute,
    #[case] ways: &str,
    #[case] taken: &str,
) {
    assert_eq!(decided(ways, |ways| app_route(&choice, ways)), taken);
}

#[rstest]
#[case::first("mpls=ok lte=ok gold=ok red=ok", "mpls")]
#[case::second("mpls=bad lte=ok gold=ok red=ok", "lte")]
#[case::third("mpls=bad lte=down gold=ok red=ok", "gold")]
#[case::others("mpls=bad lte=bad gold=bad red=ok", "red")]
#[case::others_with_tiers_down("mpls=down lte=down gold=down red=ok", "red")]
#[case::none_meets("mpls=bad lte=bad gold=down red=bad", "mpls lte red")]
#[case::nothing_up("mpls=down lte=down gold=down red=down", "routing")]
fn a_class_counts_before_the_tiers(#[case] ways: &str, #[case] taken: &str) {
    let choice = by_group(group("mpls > lte > gold"));
    assert_eq!(decided(ways, |ways| app_route(&choice, ways)), taken);
}

#[rstest]
#[case::first("mpls=ok lte=ok gold=ok red=ok", "mpls")]
#[case::second("mpls=bad lte=ok gold=ok red=ok", "lte")]
#[case::none_meets("mpls=bad lte=bad gold=bad red=ok", "mpls lte gold")]
#[case::tiers_down("mpls=down lte=down gold=down red=ok", "drop")]
#[case::nothing_up("mpls=down red=down", "drop")]
fn a_restricted_group_is_never_left(#[case] ways: &str, #[case] taken: &str) {
    let choice = by_group(restricted("mpls > lte > gold"));
    assert_eq!(decided(ways, |ways| app_route(&choice, ways)), taken);
}

/// The same in app-route without a class and in data policy.
#[rstest]
#[case::first(group("mpls > lte"), "mpls=bad lte=ok gold=ok", "mpls")]
#[case::second(group("mpls > lte"), "mpls=down lte=bad gold=ok", "lte")]
#[case::down(group("mpls > lte"), "mpls=down lte=down gold=ok", "routing")]
#[case::restricted_first(restricted("mpls > lte"), "mpls=bad lte=ok gold=ok", "mpls")]
#[case::restricted_down(restricted("mpls > lte"), "mpls=down lte=down gold=ok", "drop")]
#[case::several_colors(group("lte mpls > gold"), "mpls=bad lte=ok gold=ok", "mpls lte")]
#[case::several_one_down(group("lte mpls > gold"), "mpls=down lte=ok gold=ok", "lte")]
#[case::direct(group("mpls:direct > lte"), "mpls.2=ok lte=ok", "lte")]
#[case::direct_only(group("mpls:direct"), "mpls=ok mpls.2=ok", "mpls")]
#[case::direct_restricted(restricted("mpls:direct"), "mpls.2=ok", "drop")]
#[case::multi_hop(group("mpls:multi-hop > lte"), "mpls=ok lte=ok", "lte")]
#[case::multi_hop_equally(group("mpls:multi-hop"), "mpls=ok mpls.2=ok mpls.3=ok", "mpls.2 mpls.3")]
#[case::all_equally(group("mpls:all"), "mpls=ok mpls.2=ok mpls.3=down", "mpls mpls.2")]
#[case::one_color_twice(group("mpls:direct > mpls:multi-hop"), "mpls=down mpls.2=ok lte=ok", "mpls.2")]
fn tiers_go_by_up_and_path(#[case] group: ColorGroup, #[case] ways: &str, #[case] taken: &str) {
    let choice = without_class(by_group(group.clone()));
    assert_eq!(decided(ways, |ways| app_route(&choice, ways)), taken);
    let path = DataPath::Group(group);
    assert_eq!(decided(ways, |ways| data_path(&path, ways)), taken);
}

#[rstest]
#[case::up(without_class(sla()), "mpls=bad lte=ok gold=down", "mpls lte")]
#[case::nothing_up(without_class(sla()), "mpls=down", "routing")]
#[case::preferred_up(without_class(prefers("mpls")), "mpls=bad lte=ok", "mpls")]
#[case::preferred_down(without_class(prefers("mpls")), "mpls=down lte=ok gold=bad", "lte gold")]
#[case::best_is_for_classes(best(without_class(sla()), [LOSS]), "mpls=0/0/0 lte=9/9/9", "mpls lte")]
fn without_a_class_only_up_counts(#[case] choice: AppRoute, #[case] ways: &str, #[case] taken: &str) {
    assert_eq!(decided(ways, |ways| app_route(&choice, ways)), taken);
}

#[rstest]
#[case::up("mpls", false, "mpls=bad lte=ok", "mpls")]
#[case::down("mpls", false, "mpls=down lte=ok", "routing")]
#[case::restrict_up("mpls", true, "mpls=bad lte=ok", "mpls")]
#[case::restrict_down("mpls", true, "mpls=down lte=ok", "drop")]
#[case::several("mpls lte", true, "mpls=bad lte=ok gold=ok", "mpls lte")]
#[case::several_one_down("mpls lte", true, "mpls=down lte=ok gold=ok", "lte")]
#[case::several_down("mpls lte", false, "mpls=down lte=down gold=ok", "routing")]
#[case::fewest_hops("mpls lte", true, "mpls.2=ok lte.3=ok lte.2=ok", "mpls.2 lte.2")]
#[case::unknown_color("silver", false, "mpls=ok", "routing")]
fn local_tlocs(#[case] text: &str, #[case] restrict: bool, #[case] ways: &str, #[case] taken: &str) {
    let colors = colors(text);
    let path = DataPath::Local(LocalTlocs { colors, restrict });
    assert_eq!(decided(ways, |ways| data_path(&path, ways)), taken);
}

#[rstest]
#[case::up("mpls@2:100", "mpls@2=bad mpls@1=ok lte@2=ok", "mpls@2")]
#[case::down("mpls@2:100", "mpls@2=down mpls@1=ok lte@2=ok", "drop")]
#[case::unknown("gold@2:100", "mpls@2=ok", "drop")]
#[case::highest("mpls@2:100 lte@3:200", "mpls@2=ok lte@3=ok", "lte@3")]
#[case::highest_down("mpls@2:100 lte@3:200", "mpls@2=ok lte@3=down", "mpls@2")]
#[case::equal(
    "mpls@2:100 lte@3:100 gold@3:50",
    "mpls@2=ok lte@3=ok gold@3=ok",
    "mpls@2 lte@3"
)]
#[case::hops_do_not_count("mpls@2:100 lte@3:100", "mpls.2@2=ok lte@3=ok", "mpls.2@2 lte@3")]
#[case::named_twice("mpls@2:100 mpls@2:300 lte@3:200", "mpls@2=ok lte@3=ok", "mpls@2")]
#[case::all_down("mpls@2:100 lte@3:200", "mpls@2=down lte@3=down mpls@1=ok", "drop")]
fn remote_tlocs(#[case] tlocs: &str, #[case] ways: &str, #[case] taken: &str) {
    let tloc = |text: &str| {
        let (tloc, preference) = text.split_once(':').unwrap();
        let (color, edge) = tloc.split_once('@').unwrap();
        RemoteTloc {
            system_ip: system_ip(edge.parse().unwrap()),
            color: color.to_owned(),
            preference: preference.parse().unwrap(),
        }
    };
    let path = DataPath::Remote(tlocs.split_whitespace().map(tloc).collect());
    assert_eq!(decided(ways, |ways| data_path(&path, ways)), taken);
}

#[rstest]
#[case::up("mpls", "mpls=bad lte=ok", "mpls")]
#[case::several("mpls lte", "mpls=bad lte=ok gold=ok", "mpls lte")]
#[case::never_another_tunnel("mpls", "mpls=down lte=ok", "drop")]
#[case::fewest_hops("mpls lte", "mpls.2=ok lte.3=ok", "mpls.2")]
#[case::around_a_broken_tunnel("mpls", "mpls=down mpls.2=ok mpls.3=ok", "mpls.2")]
#[case::no_default("", "mpls=ok", "drop")]
#[case::no_way("mpls", "", "drop")]
fn routing_keeps_to_the_default_colors(#[case] text: &str, #[case] ways: &str, #[case] taken: &str) {
    let colors = colors(text);
    assert_eq!(decided(ways, |ways| routing(&colors, ways)), taken);
}
