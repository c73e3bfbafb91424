//! Choices made at random, for the properties that hold for any.

use std::net::Ipv4Addr;
use std::time::Duration;

use proptest::prelude::*;

use crate::policy::{
    AppRoute, BestPath, ColorGroup, ColorTier, Criterion, DataPath, LocalTlocs, PathPreference, Preference,
    RemoteTloc, SlaClass, Unmet,
};

/// The system IP of an edge by its number.
pub const fn system_ip(edge: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 255, 0, edge)
}

/// The one class that choices ask for.
pub fn class() -> SlaClass {
    SlaClass {
        name: "voice".to_owned(),
        loss: Some(10_000),
        latency: None,
        jitter: None,
    }
}

/// Some of these colors, not all.
pub fn some_colors(of: &[&'static str]) -> impl Strategy<Value = Vec<String>> + use<> {
    let colors = prop::sample::subsequence(of.to_vec(), 1..of.len());
    colors.prop_map(|colors| colors.into_iter().map(str::to_owned).collect())
}

fn some_group(of: &[&'static str]) -> impl Strategy<Value = ColorGroup> + use<> {
    let path = prop::sample::select(vec![
        PathPreference::DirectPath,
        PathPreference::MultiHopPath,
        PathPreference::AllPaths,
    ]);
    let tier = (some_colors(of), path).prop_map(|(colors, path)| ColorTier { colors, path });
    (prop::collection::vec(tier, 1..=3), any::<bool>()).prop_map(|(tiers, restrict)| ColorGroup {
        name: "tiers".to_owned(),
        tiers,
        restrict,
    })
}

/// App-route's choice among these colors.
pub fn some_app_route(of: &[&'static str]) -> impl Strategy<Value = AppRoute> + use<> {
    let preference = prop_oneof![
        Just(Preference::Equal),
        some_colors(of).prop_map(Preference::Colors),
        some_group(of).prop_map(Preference::Group),
    ];
    let criteria = vec![
        Criterion::Loss(1_000),
        Criterion::Latency(Duration::from_millis(5)),
        Criterion::Jitter(Duration::from_millis(2)),
    ];
    let criteria = prop::sample::subsequence(criteria, 0..=3).prop_shuffle();
    let unmet = prop_oneof![
        Just(Unmet::Any),
        Just(Unmet::Drop),
        some_colors(of).prop_map(Unmet::Backup),
        criteria.prop_map(|criteria| Unmet::Best(BestPath { criteria })),
    ];
    let class = prop::option::of(Just(class()));
    (class, preference, unmet).prop_map(|(class, preference, unmet)| AppRoute {
        class,
        preference,
        unmet,
    })
}

/// A data policy's choice among these colors and three edges.
pub fn some_path(of: &[&'static str]) -> impl Strategy<Value = DataPath> + use<> {
    let color = prop::sample::select(of.to_vec());
    let tloc = (1..=3_u8, color, 0..3_u32).prop_map(|(edge, color, preference)| RemoteTloc {
        system_ip: system_ip(edge),
        color: color.to_owned(),
        preference,
    });
    prop_oneof![
        (some_colors(of), any::<bool>())
            .prop_map(|(colors, restrict)| DataPath::Local(LocalTlocs { colors, restrict })),
        prop::collection::vec(tloc, 1..=4).prop_map(DataPath::Remote),
        some_group(of).prop_map(DataPath::Group),
    ]
}
