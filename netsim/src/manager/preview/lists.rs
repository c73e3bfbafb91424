//! Lists in the command language, and the classes that the product keeps beside them.

use std::fmt::{self, Write};

use super::{Named, range_text};
use crate::manager::list::{AppProbe, List, ListContent, ListedTloc, Policer, SlaBounds};
use crate::manager::value::kebab;
use crate::policy::{ColorTier, Criterion, PathPreference};

/// SLA classes, app-probe classes and policers, which stand before the policies.
pub(super) fn write_classes(out: &mut String, lists: &Named<'_>) -> fmt::Result {
    for list in lists.values() {
        match &list.content {
            ListContent::AppProbe(probe) => write_app_probe(out, &list.name, probe)?,
            ListContent::Sla(bounds) => write_sla_class(out, &list.name, bounds, lists)?,
            ListContent::Policer(policer) => write_policer(out, &list.name, policer)?,
            _ => {}
        }
    }
    Ok(())
}

/// Everything else, which stands under `lists`.
pub(super) fn write_list(out: &mut String, list: &List) -> fmt::Result {
    let name = &list.name;
    match &list.content {
        ListContent::Prefixes(prefixes) => {
            let (label, key) = match list.kind.path {
                "dataipv6prefix" => ("data-ipv6-prefix-list", "ipv6-prefix"),
                _ => ("data-prefix-list", "ip-prefix"),
            };
            writeln!(out, "  {label} {name}")?;
            prefixes
                .iter()
                .try_for_each(|prefix| writeln!(out, "   {key} {prefix}"))?;
        }
        ListContent::Sites(ranges) => {
            writeln!(out, "  site-list {name}")?;
            ranges
                .iter()
                .try_for_each(|range| writeln!(out, "   site-id {}", range_text(range)))?;
        }
        ListContent::ServiceVpns(ranges) => {
            writeln!(out, "  vpn-list {name}")?;
            ranges
                .iter()
                .try_for_each(|range| writeln!(out, "   vpn {}", range_text(range)))?;
        }
        ListContent::ColorGroup(tiers) => write_color_group(out, name, tiers)?,
        ListContent::Tlocs(tlocs) => {
            writeln!(out, "  tloc-list {name}")?;
            tlocs.iter().try_for_each(|tloc| write_tloc(out, tloc))?;
        }
        ListContent::Apps(apps) => {
            writeln!(out, "  app-list {name}")?;
            apps.iter()
                .try_for_each(|(key, name)| writeln!(out, "   {key} {name}"))?;
        }
        ListContent::Colors => {
            writeln!(out, "  color-list {name}")?;
            let mut colors = list.entries.iter().filter_map(|entry| entry["color"].as_str());
            colors.try_for_each(|color| writeln!(out, "   color {color}"))?;
        }
        ListContent::Plain { label, entries } => {
            writeln!(out, "  {label} {name}")?;
            for entry in entries {
                let words = entry.iter().map(|(key, value)| format!("{} {value}", kebab(key)));
                writeln!(out, "   {}", words.collect::<Vec<_>>().join(" "))?;
            }
        }
        ListContent::Sla(_) | ListContent::AppProbe(_) | ListContent::Policer(_) => return Ok(()),
    }
    writeln!(out, "  !")
}

fn write_app_probe(out: &mut String, name: &str, probe: &AppProbe) -> fmt::Result {
    let class = &probe.forwarding_class;
    writeln!(out, " app-probe-class {name}\n  forwarding-class {class}")?;
    for (color, dscp) in &probe.marks {
        writeln!(out, "  color {color} dscp {dscp}")?;
    }
    writeln!(out, " !")
}

fn write_policer(out: &mut String, name: &str, policer: &Policer) -> fmt::Result {
    let Policer { burst, rate, exceed } = policer;
    writeln!(
        out,
        " policer {name}\n  rate {rate}\n  burst {burst}\n  exceed {exceed}\n !"
    )
}

fn write_sla_class(out: &mut String, name: &str, bounds: &SlaBounds, lists: &Named<'_>) -> fmt::Result {
    writeln!(out, " sla-class {name}")?;
    if let Some(loss) = bounds.loss {
        writeln!(out, "  loss {}", percent(loss))?;
    }
    if let Some(latency) = bounds.latency {
        writeln!(out, "  latency {}", latency.as_millis())?;
    }
    if let Some(jitter) = bounds.jitter {
        writeln!(out, "  jitter {}", jitter.as_millis())?;
    }
    let probe = lists.values().find(|list| Some(list.id) == bounds.app_probe);
    if let Some(probe) = probe {
        writeln!(out, "  app-probe-class {}", probe.name)?;
    }
    if let Some(best) = &bounds.best {
        let words: Vec<_> = best.criteria.iter().map(criterion).collect();
        writeln!(out, "  fallback-best-tunnel\n   criteria {}", words.join(" "))?;
        for variance in &best.criteria {
            let amount = match variance {
                Criterion::Loss(loss) => u128::from(percent(*loss)),
                Criterion::Latency(time) | Criterion::Jitter(time) => time.as_millis(),
            };
            writeln!(out, "   {}-variance {amount}", criterion(variance))?;
        }
        writeln!(out, "  !")?;
    }
    writeln!(out, " !")
}

fn percent(millionths: u32) -> u32 {
    millionths / 10_000
}

fn criterion(criterion: &Criterion) -> &'static str {
    match criterion {
        Criterion::Loss(_) => "loss",
        Criterion::Latency(_) => "latency",
        Criterion::Jitter(_) => "jitter",
    }
}

fn write_color_group(out: &mut String, name: &str, tiers: &[ColorTier]) -> fmt::Result {
    writeln!(out, "  preferred-color-group {name}")?;
    for (tier, rank) in tiers.iter().zip(["primary", "secondary", "tertiary"]) {
        let path = match tier.path {
            PathPreference::DirectPath => "direct-path",
            PathPreference::MultiHopPath => "multi-hop-path",
            PathPreference::AllPaths => "all-paths",
        };
        let colors = tier.colors.join(" ");
        writeln!(
            out,
            "   {rank}-preference\n    color-preference {colors}\n    path-preference {path}\n   !"
        )?;
    }
    Ok(())
}

fn write_tloc(out: &mut String, tloc: &ListedTloc) -> fmt::Result {
    let encapsulation = tloc.encapsulation.as_str();
    write!(
        out,
        "   tloc {} color {} encap {encapsulation}",
        tloc.system_ip, tloc.color
    )?;
    if let Some(preference) = tloc.preference {
        write!(out, " preference {preference}")?;
    }
    writeln!(out)
}
