//! One sequence of a data definition.
//!
//! Owns its actions: what they are, which exclude each other, and their values; those of `set` are in [`set`], those that
//! the emulated edges do not do in [`undone`].

mod service;
mod set;
mod undone;

use serde::Deserialize;
use serde_json::Value;

use super::{BaseAction, Conditions, RawAction, RawSequence, SequenceError, Undone, counter, set_once};
use crate::manager::definition::DefinitionKind;
use crate::manager::objects::Use;
use crate::manager::shape;
pub(in crate::manager) use service::{Service, ServiceKind};
use set::RawSet;
pub(in crate::manager) use set::{LocalTlocList, RemoteTlocs, Set, Tloc};

/// A sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct DataSequence {
    pub(in crate::manager) id: u16,
    pub(in crate::manager) conditions: Conditions,
    pub(in crate::manager) base_action: BaseAction,
    pub(in crate::manager) counter: Option<String>,
    pub(in crate::manager) log: bool,
    pub(in crate::manager) set: Set,
    /// Every other action.
    pub(in crate::manager) undone: Vec<Undone>,
}

/// How the product's pages group sequences; it has no effect on the edges.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum SequenceType {
    Data,
    TrafficEngineering,
    Qos,
    ServiceChaining,
    ApplicationFirewall,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Action {
    Set,
    Count,
    Log,
    Nat,
    Cflowd,
    Sig,
    FallbackToRouting,
    LossProtect,
    LossProtectFec,
    LossProtectPktDup,
    RedirectDns,
    TcpOptimization,
    DreOptimization,
    ServiceNodeGroup,
}

impl Action {
    /// As the API spells it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Count => "count",
            Self::Log => "log",
            Self::Nat => "nat",
            Self::Cflowd => "cflowd",
            Self::Sig => "sig",
            Self::FallbackToRouting => "fallbackToRouting",
            Self::LossProtect => "lossProtect",
            Self::LossProtectFec => "lossProtectFec",
            Self::LossProtectPktDup => "lossProtectPktDup",
            Self::RedirectDns => "redirectDns",
            Self::TcpOptimization => "tcpOptimization",
            Self::DreOptimization => "dreOptimization",
            Self::ServiceNodeGroup => "serviceNodeGroup",
        }
    }
}

/// Parses a sequence whose id is already known to be good.
pub(in crate::manager) fn parse(id: u16, sequence: &Value) -> Result<DataSequence, SequenceError> {
    let raw: RawSequence<SequenceType, BaseAction, Action> = shape::read(sequence)?;
    let mut parsed = DataSequence {
        id,
        conditions: Conditions::parse(DefinitionKind::Data, raw.sequence_ip_type, &raw.matching)?,
        base_action: raw.base_action,
        counter: None,
        log: false,
        set: Set::default(),
        undone: Vec::new(),
    };
    for (index, action) in raw.actions.iter().enumerate() {
        parsed.add(action, index)?;
    }
    parsed.set.check()?;
    undone::check(&raw.actions, &parsed.set)?;
    Ok(parsed)
}

impl DataSequence {
    /// The lists that the sequence names.
    pub(in crate::manager) fn uses(&self) -> impl Iterator<Item = Use> + '_ {
        let group = self.set.color_group.map(|group| Use {
            id: group.list,
            kind: "preferredcolorgroup",
            field: "preferredColorGroup",
        });
        let policer = self.set.policer.map(|id| Use {
            id,
            kind: "policer",
            field: "policer",
        });
        let service = self.set.service.iter().flat_map(|service| &service.at);
        let remotes = self.set.remote.iter().chain(service);
        let tlocs = remotes.filter_map(|remote| match remote {
            RemoteTlocs::One(_) => None,
            RemoteTlocs::List(id) => Some(Use {
                id: *id,
                kind: "tloc",
                field: "tlocList",
            }),
        });
        self.conditions.uses().chain(group).chain(policer).chain(tlocs)
    }

    fn add(&mut self, raw: &RawAction<Action>, index: usize) -> Result<(), SequenceError> {
        let action = raw.action;
        if raw.value.is_some() && action != Action::LossProtectFec {
            return Err(SequenceError::Without("value", "lossProtectFec"));
        }
        let is_on_any = matches!(action, Action::Count | Action::Log);
        if self.base_action == BaseAction::Drop && !is_on_any {
            return Err(SequenceError::OnDrop(action.as_str()));
        }
        match action {
            Action::Set => {
                let fields: Vec<RawSet> = raw.parameter(index)?;
                self.set.add_all(&fields, index)
            }
            Action::Count => set_once(&mut self.counter, "count", counter(raw.parameter(index)?)?),
            Action::Log => {
                self.log = true;
                Ok(())
            }
            _ => {
                let name = action.as_str();
                if self.undone.iter().any(|undone| undone.name == name) {
                    return Err(SequenceError::ActionTwice(name));
                }
                let lines = undone::lines(raw, index)?;
                self.undone.push(Undone { name, lines });
                Ok(())
            }
        }
    }
}
