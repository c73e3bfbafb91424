//! Sequences in the command language.

use std::fmt::{self, Write};
use std::ops::RangeInclusive;

use super::{Text, joined, range_text};
use crate::manager::sequence::app_route::{AppRouteSequence, Preferred, SlaAction, SlaUnmet};
use crate::manager::sequence::data::{DataSequence, LocalTlocList, RemoteTlocs, Service, Tloc};
use crate::manager::sequence::{Addresses, BaseAction, Conditions, Family, GroupRef, Other};
use crate::manager::value::{Encapsulation, kebab};

impl Text<'_> {
    pub(super) fn write_data(&mut self, sequence: &DataSequence) -> fmt::Result {
        self.write_conditions(sequence.id, &sequence.conditions)?;
        let base_action = match sequence.base_action {
            BaseAction::Accept => "accept",
            BaseAction::Drop => "drop",
        };
        writeln!(self.policies, "     !\n     action {base_action}")?;
        self.write_counting(sequence.counter.as_deref(), sequence.log)?;
        for line in sequence.undone.iter().flat_map(|undone| &undone.lines) {
            writeln!(self.policies, "      {line}")?;
        }
        self.write_set(sequence)?;
        writeln!(self.policies, "     !\n    !")
    }

    pub(super) fn write_app_route(&mut self, sequence: &AppRouteSequence) -> fmt::Result {
        self.write_conditions(sequence.id, &sequence.conditions)?;
        writeln!(self.policies, "     !\n     action")?;
        if let Some(sla) = &sequence.sla {
            self.write_sla(sla)?;
        }
        if !sequence.backup.is_empty() {
            let colors = sequence.backup.join(" ");
            writeln!(self.policies, "      backup-sla-preferred-color {colors}")?;
        }
        if sequence.cloud_saas {
            writeln!(self.policies, "      cloud-saas")?;
        }
        self.write_counting(sequence.counter.as_deref(), sequence.log)?;
        writeln!(self.policies, "     !\n    !")
    }

    fn write_conditions(&mut self, id: u16, conditions: &Conditions) -> fmt::Result {
        writeln!(self.policies, "    sequence {id}\n     match")?;
        let family = match conditions.family {
            Family::Ipv6 => "-ipv6",
            Family::Ipv4 | Family::All => "",
        };
        for (side, label) in [
            (&conditions.source, "source"),
            (&conditions.destination, "destination"),
        ] {
            match side {
                Addresses::Any => {}
                Addresses::Prefixes(prefixes) => {
                    let key = if family.is_empty() { "-ip" } else { family };
                    writeln!(self.policies, "      {label}{key} {}", joined(prefixes))?;
                }
                Addresses::List { id, .. } => {
                    let name = self.name(*id);
                    writeln!(self.policies, "      {label}-data{family}-prefix-list {name}")?;
                }
            }
        }
        self.write_ports("source-port", &conditions.source_ports)?;
        self.write_ports("destination-port", &conditions.destination_ports)?;
        if !conditions.protocols.is_empty() {
            writeln!(self.policies, "      protocol {}", joined(&conditions.protocols))?;
        }
        if !conditions.dscp.is_empty() {
            writeln!(self.policies, "      dscp {}", joined(&conditions.dscp))?;
        }
        for (field, other) in &conditions.others {
            let value = match other {
                Other::List(id) => self.name(*id),
                Other::Words(words) => words.join(" "),
            };
            writeln!(self.policies, "      {} {value}", kebab(field.as_str()))?;
        }
        Ok(())
    }

    fn write_ports(&mut self, label: &str, ports: &[RangeInclusive<u16>]) -> fmt::Result {
        if ports.is_empty() {
            return Ok(());
        }
        let ports: Vec<_> = ports.iter().map(range_text).collect();
        writeln!(self.policies, "      {label} {}", ports.join(" "))
    }

    fn write_counting(&mut self, counter: Option<&str>, log: bool) -> fmt::Result {
        if let Some(counter) = counter {
            writeln!(self.policies, "      count {counter}")?;
        }
        if log {
            writeln!(self.policies, "      log")?;
        }
        Ok(())
    }

    fn write_sla(&mut self, sla: &SlaAction) -> fmt::Result {
        let mut line = format!("      sla-class {}", self.name(sla.class));
        line += match sla.unmet {
            SlaUnmet::LoadBalance => "",
            SlaUnmet::Strict => " strict",
            SlaUnmet::BestPath => " fallback-to-best-path",
        };
        match &sla.preferred {
            Preferred::None => {}
            Preferred::Colors(colors) => write!(line, " preferred-color {}", colors.join(" "))?,
            Preferred::Group(group) => write!(line, " {}", self.group(*group))?,
        }
        if let Some(remote) = &sla.remote {
            write!(line, " preferred-remote-color {}", remote.colors.join(" "))?;
            if remote.restrict {
                line += " remote-color-restrict";
            }
        }
        writeln!(self.policies, "{line}")
    }

    fn write_set(&mut self, sequence: &DataSequence) -> fmt::Result {
        let set = &sequence.set;
        let mut lines = String::new();
        if let Some(tlocs) = &set.local_tlocs {
            write_local(&mut lines, tlocs)?;
        }
        if let Some(group) = set.color_group {
            writeln!(lines, "       {}", self.group(group))?;
        }
        if let Some(remote) = &set.remote {
            writeln!(lines, "       {}", self.remote(remote))?;
        }
        if let Some(service) = &set.service {
            writeln!(lines, "       {}", self.service(service))?;
        }
        if let Some(vpn) = set.vpn {
            writeln!(lines, "       vpn {vpn}")?;
        }
        if let Some(code) = set.dscp {
            writeln!(lines, "       dscp {code}")?;
        }
        if let Some(class) = &set.forwarding_class {
            writeln!(lines, "       forwarding-class {class}")?;
        }
        if let Some(policer) = set.policer {
            writeln!(lines, "       policer {}", self.name(policer))?;
        }
        for line in set.undone.iter().flat_map(|undone| &undone.lines) {
            writeln!(lines, "       {line}")?;
        }
        if lines.is_empty() {
            return Ok(());
        }
        writeln!(self.policies, "      set\n{lines}      !")
    }

    fn group(&mut self, group: GroupRef) -> String {
        let restrict = if group.restrict { " color-restrict" } else { "" };
        format!("preferred-color-group {}{restrict}", self.name(group.list))
    }

    fn remote(&mut self, remote: &RemoteTlocs) -> String {
        match remote {
            RemoteTlocs::One(tloc) => tloc_text(tloc),
            RemoteTlocs::List(id) => format!("tloc-list {}", self.name(*id)),
        }
    }

    fn service(&mut self, service: &Service) -> String {
        let mut text = format!("service {}", service.kind.as_str());
        if service.local {
            text += " local";
        }
        if service.restrict {
            text += " restrict";
        }
        if let Some(service_vpn) = service.service_vpn {
            text += &format!(" vpn {service_vpn}");
        }
        if let Some(at) = &service.at {
            text += &format!(" {}", self.remote(at));
        }
        text
    }
}

fn write_local(out: &mut String, tlocs: &LocalTlocList) -> fmt::Result {
    writeln!(
        out,
        "       local-tloc-list\n        color {}",
        tlocs.colors.join(" ")
    )?;
    if !tlocs.encapsulations.is_empty() {
        writeln!(out, "        encap {}", encapsulations(&tlocs.encapsulations))?;
    }
    if tlocs.restrict {
        writeln!(out, "        restrict")?;
    }
    writeln!(out, "       !")
}

fn tloc_text(tloc: &Tloc) -> String {
    let mut text = format!("tloc {} color {}", tloc.system_ip, tloc.color);
    if !tloc.encapsulations.is_empty() {
        text += &format!(" encap {}", encapsulations(&tloc.encapsulations));
    }
    text
}

fn encapsulations(encapsulations: &[Encapsulation]) -> String {
    let words: Vec<_> = encapsulations.iter().map(|encap| encap.as_str()).collect();
    words.join(" ")
}
