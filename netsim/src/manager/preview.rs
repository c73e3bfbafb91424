//! The text that the product shows for a policy: its configuration in the Controller's command language.
//!
//! Pure. Invariant: two policies that mean the same thing to the edges, and are named alike, have the same text.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};
use std::ops::RangeInclusive;

use uuid::Uuid;

use super::list::{List, ListContent};
use super::objects::Objects;
use super::sequence::{Addresses, BaseAction, DataSequence};
use super::vsmart_policy::{Application, VsmartPolicy};
use crate::policy::{DefaultAction, PolicyDirection};

/// The text of a policy whose references all lead somewhere.
pub(super) fn preview(policy: &VsmartPolicy, objects: &Objects) -> String {
    let mut text = String::new();
    write(&mut text, policy, objects).expect("writing to a string does not fail");
    text
}

fn write(out: &mut String, policy: &VsmartPolicy, objects: &Objects) -> fmt::Result {
    let mut lists = BTreeMap::new();
    let mut applied: BTreeMap<String, Vec<String>> = BTreeMap::new();
    writeln!(out, "viptela-policy:policy")?;
    for assembly in &policy.assembly {
        let Some(definition) = objects.definition_of(assembly.definition) else {
            continue;
        };
        for application in &assembly.applications {
            for vpn_list in named(&application.vpn_lists, objects, &mut lists) {
                let name = format!("_{vpn_list}_{}", definition.name);
                writeln!(out, " data-policy {name}\n  vpn-list {vpn_list}")?;
                for sequence in &definition.data.sequences {
                    write_sequence(out, sequence, objects, &mut lists)?;
                }
                let default_action = match definition.data.default_action {
                    DefaultAction::Accept => "accept",
                    DefaultAction::Drop => "drop",
                };
                writeln!(out, "    default-action {default_action}\n  !\n !")?;
                let line = format!("  data-policy {name} {}", direction(application));
                for site_list in named(&application.site_lists, objects, &mut lists) {
                    applied.entry(site_list).or_default().push(line.clone());
                }
            }
        }
    }
    writeln!(out, " lists")?;
    for list in lists.values() {
        write_list(out, list)?;
    }
    writeln!(out, " !\n!\napply-policy")?;
    for (site_list, lines) in &applied {
        writeln!(out, " site-list {site_list}\n{}\n !", lines.join("\n"))?;
    }
    writeln!(out, "!")
}

fn direction(application: &Application) -> &'static str {
    match application.direction {
        PolicyDirection::FromService => "from-service",
        PolicyDirection::FromTunnel => "from-tunnel",
        PolicyDirection::All => "all",
    }
}

/// The names of these lists, which thereby join those that the text has to spell out.
fn named<'a>(
    ids: &[Uuid],
    objects: &'a Objects,
    lists: &mut BTreeMap<(&'static str, &'a str), &'a List>,
) -> Vec<String> {
    let found: Vec<&List> = ids.iter().filter_map(|&id| objects.list_of(id)).collect();
    lists.extend(
        found
            .iter()
            .map(|list| ((list.kind.path, list.name.as_str()), *list)),
    );
    found.into_iter().map(|list| list.name.clone()).collect()
}

fn write_sequence<'a>(
    out: &mut String,
    sequence: &DataSequence,
    objects: &'a Objects,
    lists: &mut BTreeMap<(&'static str, &'a str), &'a List>,
) -> fmt::Result {
    writeln!(out, "    sequence {}\n     match", sequence.id)?;
    for (side, label) in [
        (&sequence.source, "source"),
        (&sequence.destination, "destination"),
    ] {
        match side {
            Addresses::Any => {}
            Addresses::Prefixes(prefixes) => writeln!(out, "      {label}-ip {}", joined(prefixes))?,
            Addresses::List { id, .. } => {
                for name in named(&[*id], objects, lists) {
                    writeln!(out, "      {label}-{} {name}", list_label(objects, *id))?;
                }
            }
        }
    }
    write_ports(out, "source-port", &sequence.source_ports)?;
    write_ports(out, "destination-port", &sequence.destination_ports)?;
    if !sequence.protocols.is_empty() {
        writeln!(out, "      protocol {}", joined(&sequence.protocols))?;
    }
    if !sequence.dscp.is_empty() {
        writeln!(out, "      dscp {}", joined(&sequence.dscp))?;
    }
    write_action(out, sequence)?;
    writeln!(out, "    !")
}

fn write_action(out: &mut String, sequence: &DataSequence) -> fmt::Result {
    let base_action = match sequence.base_action {
        BaseAction::Accept => "accept",
        BaseAction::Drop => "drop",
    };
    writeln!(out, "     !\n     action {base_action}")?;
    if let Some(counter) = &sequence.counter {
        writeln!(out, "      count {counter}")?;
    }
    if sequence.log {
        writeln!(out, "      log")?;
    }
    if let Some(tlocs) = &sequence.local_tlocs {
        writeln!(
            out,
            "      set\n       local-tloc-list\n        color {}",
            tlocs.colors.join(" ")
        )?;
        if !tlocs.encapsulations.is_empty() {
            let encapsulations: Vec<_> = tlocs.encapsulations.iter().map(|encap| encap.as_str()).collect();
            writeln!(out, "        encap {}", encapsulations.join(" "))?;
        }
        if tlocs.restrict {
            writeln!(out, "        restrict")?;
        }
        writeln!(out, "       !\n      !")?;
    }
    writeln!(out, "     !")
}

fn write_list(out: &mut String, list: &List) -> fmt::Result {
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
        ListContent::Unreferenced => return Ok(()),
    }
    writeln!(out, "  !")
}

fn list_label(objects: &Objects, id: Uuid) -> &'static str {
    match objects.list_of(id).map(|list| list.kind.path) {
        Some("dataipv6prefix") => "data-ipv6-prefix-list",
        _ => "data-prefix-list",
    }
}

fn write_ports(out: &mut String, label: &str, ports: &[RangeInclusive<u16>]) -> fmt::Result {
    if ports.is_empty() {
        return Ok(());
    }
    let ports: Vec<_> = ports.iter().map(range_text).collect();
    writeln!(out, "      {label} {}", ports.join(" "))
}

fn range_text<T: Display + PartialEq>(range: &RangeInclusive<T>) -> String {
    match range.start() == range.end() {
        true => range.start().to_string(),
        false => format!("{}-{}", range.start(), range.end()),
    }
}

fn joined<T: Display>(values: &[T]) -> String {
    values
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests;
