//! What one sequence of a data definition becomes.

use super::matching::{self, matching};
use super::{CompileError, color_group, content};
use crate::manager::list::ListContent;
use crate::manager::objects::Objects;
use crate::manager::sequence::BaseAction;
use crate::manager::sequence::data::{DataSequence, LocalTlocList, RemoteTlocs, Service, ServiceKind};
use crate::manager::value::Encapsulation;
use crate::policy::{Action, DataPath, LocalTlocs, RemoteTloc, Sequence};

/// The sequence, as an edge follows it in one service VPN.
pub(super) fn sequence(
    raw: &DataSequence,
    service_vpn: u16,
    objects: &Objects,
) -> Result<Sequence, CompileError> {
    emulated(raw, objects)?;
    let elsewhere = |service: &Service| service.service_vpn.is_some_and(|other| other != service_vpn);
    if raw.set.service.as_ref().is_some_and(elsewhere) {
        return refuse(raw, "service vpn");
    }
    if let Some(vpn) = raw.set.vpn.filter(|vpn| *vpn != service_vpn) {
        let sequence = raw.id;
        return Err(CompileError::Leaks {
            sequence,
            service_vpn,
            vpn,
        });
    }
    let action = match raw.base_action {
        BaseAction::Drop => Action::Drop,
        BaseAction::Accept => Action::Accept {
            path: path(raw, objects),
            inspect: raw.set.service.is_some(),
            dscp: raw.set.dscp,
        },
    };
    Ok(Sequence {
        id: raw.id,
        matching: matching(&raw.conditions, objects),
        action,
        counter: raw.counter.clone(),
    })
}

/// Checks that edges can act on the sequence, as far as that does not depend on where it applies.
pub(super) fn emulated(raw: &DataSequence, objects: &Objects) -> Result<(), CompileError> {
    matching::emulated(raw.id, &raw.conditions)?;
    let set = &raw.set;
    if let Some(action) = raw.undone.first() {
        return refuse_action(raw, action.name);
    }
    if let Some(field) = set.undone.first() {
        return refuse(raw, field.name);
    }
    if set.policer.is_some() {
        return refuse(raw, "policer");
    }
    let local = set.local_tlocs.as_ref();
    if local.is_some_and(|tlocs| !is_ours(&tlocs.encapsulations)) {
        return refuse(raw, "encap gre");
    }
    if let Some(remote) = &set.remote {
        if local.is_some() || set.color_group.is_some() {
            return refuse(raw, "tloc together with local colors");
        }
        if remote_tlocs(remote, objects).is_empty() {
            return refuse(raw, "encap gre");
        }
    }
    match &set.service {
        Some(service) if !inspects(service.kind) => {
            refuse(raw, "service of a type other than FW, IDS and IDP")
        }
        Some(service) if !service.local || service.at.is_some() => refuse(raw, "service that is not local"),
        Some(service) if service.restrict => refuse(raw, "service restrict"),
        Some(_) | None => Ok(()),
    }
}

/// Whether the inspection service of a site is of that kind: it stands for all that look at packets.
fn inspects(kind: ServiceKind) -> bool {
    matches!(
        kind,
        ServiceKind::Firewall | ServiceKind::IntrusionDetection | ServiceKind::IntrusionPrevention
    )
}

fn refuse<T>(raw: &DataSequence, field: &'static str) -> Result<T, CompileError> {
    let sequence = raw.id;
    Err(CompileError::NotEmulated { sequence, field })
}

fn refuse_action<T>(raw: &DataSequence, action: &'static str) -> Result<T, CompileError> {
    let sequence = raw.id;
    Err(CompileError::NotDone { sequence, action })
}

/// The way that the sequence sets; it sets one at most.
fn path(raw: &DataSequence, objects: &Objects) -> Option<DataPath> {
    let local = |list: &LocalTlocList| {
        DataPath::Local(LocalTlocs {
            colors: list.colors.clone(),
            restrict: list.restrict,
        })
    };
    let group = |group| DataPath::Group(color_group(group, objects));
    let remote = |remote| DataPath::Remote(remote_tlocs(remote, objects));
    let set = &raw.set;
    (set.local_tlocs.as_ref().map(local))
        .or_else(|| set.color_group.map(group))
        .or_else(|| set.remote.as_ref().map(remote))
}

/// Those that can exist: no TLOC of the emulated edges has the encapsulation GRE.
fn remote_tlocs(remote: &RemoteTlocs, objects: &Objects) -> Vec<RemoteTloc> {
    match remote {
        RemoteTlocs::One(tloc) if is_ours(&tloc.encapsulations) => vec![RemoteTloc {
            system_ip: tloc.system_ip,
            color: tloc.color.clone(),
            preference: 0,
        }],
        RemoteTlocs::One(_) => Vec::new(),
        RemoteTlocs::List(id) => {
            let ListContent::Tlocs(tlocs) = content(*id, objects) else {
                unreachable!("references lead to lists of their kind");
            };
            let ours = tlocs.iter().filter(|tloc| is_ours(&[tloc.encapsulation]));
            ours.map(|tloc| RemoteTloc {
                system_ip: tloc.system_ip,
                color: tloc.color.clone(),
                preference: tloc.preference.unwrap_or(0),
            })
            .collect()
        }
    }
}

/// Whether TLOCs of the emulated edges are among those with these encapsulations; none stands for any.
fn is_ours(encapsulations: &[Encapsulation]) -> bool {
    encapsulations.is_empty() || encapsulations.contains(&Encapsulation::Ipsec)
}
