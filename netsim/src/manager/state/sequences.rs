//! Policies in force, sequence by sequence, with their counts.
//!
//! Owns the words for what sequences match and which tunnels they choose.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{MatchState, SequenceState};
use crate::fabric::edge::Counted;
use crate::policy::{
    Action, AppRoute, AppRouteSequence, BestPath, ColorGroup, ColorTier, Criterion, DataPath, DataPolicy,
    DefaultAction, Match, PathPreference, PolicyDirection, Preference, RemoteTloc, Sequence, Unmet,
};
use crate::telemetry::PolicyReport;

/// One row for each count, in the order of the counts.
pub(super) fn rows(report: &PolicyReport) -> Vec<SequenceState> {
    let rows = report.counts.iter().filter_map(|count| {
        let row = match count.of {
            Counted::AppRoute(position) => app_route(report, position, count.sequence),
            Counted::Data(position) => data(report, position, count.sequence),
        };
        Some(SequenceState {
            packets: count.count.packets,
            octets: count.count.octets,
            ..row?
        })
    });
    rows.collect()
}

fn row(policy: &str, service_vpn: u16, way: PolicyDirection) -> SequenceState {
    SequenceState {
        policy: policy.to_owned(),
        service_vpn,
        direction: direction(way).to_owned(),
        sequence: None,
        matching: MatchState::default(),
        action: "accept".to_owned(),
        path: None,
        inspect: false,
        set_dscp: None,
        counter: None,
        packets: 0,
        octets: 0,
    }
}

fn app_route(report: &PolicyReport, position: usize, id: Option<u16>) -> Option<SequenceState> {
    let policy = report.policy.app_route.get(position)?;
    let row = row("app-route", policy.service_vpn, PolicyDirection::FromService);
    let Some(id) = id else {
        let path = policy.default_class.as_ref().map(|class| sla(&class.name));
        return Some(SequenceState { path, ..row });
    };
    let sequence = policy.sequences.iter().find(|sequence| sequence.id == id)?;
    let AppRouteSequence {
        matching: conditions,
        choice,
        counter,
        ..
    } = sequence;
    Some(SequenceState {
        sequence: Some(id),
        matching: matching(conditions),
        path: choice.as_ref().map(app_route_path),
        counter: counter.clone(),
        ..row
    })
}

fn data(report: &PolicyReport, position: usize, id: Option<u16>) -> Option<SequenceState> {
    let policy: &DataPolicy = report.policy.data.get(position)?;
    let row = row("data", policy.service_vpn, policy.direction);
    let Some(id) = id else {
        let action = match policy.default_action {
            DefaultAction::Accept => "accept",
            DefaultAction::Drop => "drop",
        };
        let action = action.to_owned();
        return Some(SequenceState { action, ..row });
    };
    let sequence: &Sequence = policy.sequences.iter().find(|sequence| sequence.id == id)?;
    let (action, path, inspect, dscp) = match &sequence.action {
        Action::Drop => ("drop", None, false, None),
        Action::Accept { path, inspect, dscp } => ("accept", path.as_ref(), *inspect, *dscp),
    };
    Some(SequenceState {
        sequence: Some(id),
        matching: matching(&sequence.matching),
        action: action.to_owned(),
        path: path.map(data_path),
        inspect,
        set_dscp: dscp,
        counter: sequence.counter.clone(),
        ..row
    })
}

fn direction(direction: PolicyDirection) -> &'static str {
    match direction {
        PolicyDirection::FromService => "from-service",
        PolicyDirection::FromTunnel => "from-tunnel",
        PolicyDirection::All => "all",
    }
}

fn data_path(path: &DataPath) -> String {
    match path {
        DataPath::Local(tlocs) => format!("{}{}", tlocs.colors.join(" "), restricted(tlocs.restrict)),
        DataPath::Remote(tlocs) => {
            let texts: Vec<_> = tlocs.iter().map(remote).collect();
            format!("to {}", texts.join(", "))
        }
        DataPath::Group(group) => color_group(group),
    }
}

fn remote(tloc: &RemoteTloc) -> String {
    let text = format!("{} {}", tloc.system_ip, tloc.color);
    match tloc.preference {
        0 => text,
        preference => format!("{text} (preference {preference})"),
    }
}

fn app_route_path(choice: &AppRoute) -> String {
    let class = choice.class.as_ref().map(|class| sla(&class.name));
    let preference = match &choice.preference {
        Preference::Equal => None,
        Preference::Colors(colors) => Some(format!("prefer {}", colors.join(" "))),
        Preference::Group(group) => Some(format!("prefer {}", color_group(group))),
    };
    let unmet = match &choice.unmet {
        Unmet::Any => None,
        Unmet::Drop => Some("strict".to_owned()),
        Unmet::Backup(colors) => Some(format!("backup {}", colors.join(" "))),
        Unmet::Best(best) => Some(format!("best by {}", criteria(best))),
    };
    let parts: Vec<_> = [class, preference, unmet].into_iter().flatten().collect();
    match parts.is_empty() {
        true => "any".to_owned(),
        false => parts.join(", "),
    }
}

fn sla(class: &str) -> String {
    format!("sla {class}")
}

fn criteria(best: &BestPath) -> String {
    let words = best.criteria.iter().map(|criterion| match criterion {
        Criterion::Loss(_) => "loss",
        Criterion::Latency(_) => "latency",
        Criterion::Jitter(_) => "jitter",
    });
    words.collect::<Vec<_>>().join(" ")
}

fn color_group(group: &ColorGroup) -> String {
    let tiers: Vec<_> = group.tiers.iter().map(tier).collect();
    let restricted = restricted(group.restrict);
    format!("group {}: {}{restricted}", group.name, tiers.join(" then "))
}

fn tier(tier: &ColorTier) -> String {
    let colors = tier.colors.join(" ");
    match tier.path {
        PathPreference::DirectPath => format!("{colors} direct"),
        PathPreference::MultiHopPath => format!("{colors} multi-hop"),
        PathPreference::AllPaths => colors,
    }
}

fn restricted(restrict: bool) -> &'static str {
    if restrict { " (restrict)" } else { "" }
}

fn matching(matching: &Match) -> MatchState {
    let prefixes = |prefixes: &Option<Arc<[ipnet::IpNet]>>| match prefixes {
        // A list that names nothing matches nothing, which an absent list does not.
        Some(prefixes) if prefixes.is_empty() => vec!["none".to_owned()],
        Some(prefixes) => prefixes.iter().map(ToString::to_string).collect(),
        None => Vec::new(),
    };
    let ports = |ports: &[RangeInclusive<u16>]| ports.iter().map(range).collect();
    let protocols = matching.protocols.iter();
    MatchState {
        source_prefixes: prefixes(&matching.source_prefixes),
        destination_prefixes: prefixes(&matching.destination_prefixes),
        source_ports: ports(&matching.source_ports),
        destination_ports: ports(&matching.destination_ports),
        protocols: protocols.map(|number| protocol(*number)).collect(),
        dscp: matching.dscp.clone(),
    }
}

fn range(range: &RangeInclusive<u16>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{}-{}", range.start(), range.end())
    }
}

/// By the IANA registry of protocol numbers.
fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        number => number.to_string(),
    }
}

#[cfg(test)]
mod tests;
