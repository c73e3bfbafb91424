//! One sequence of an app-route definition.
//!
//! Owns its actions: what they are, which exclude each other, and their values.

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    BaseAction, Conditions, GroupRef, RawSequence, SequenceError, counter, in_field, list_id, set_once,
};
use crate::manager::definition::DefinitionKind;
use crate::manager::objects::Use;
use crate::manager::shape;
use crate::manager::value;

/// A sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct AppRouteSequence {
    pub(in crate::manager) id: u16,
    pub(in crate::manager) conditions: Conditions,
    pub(in crate::manager) sla: Option<SlaAction>,
    /// `backupSlaPreferredColor`; empty when there is none.
    pub(in crate::manager) backup: Vec<String>,
    pub(in crate::manager) counter: Option<String>,
    pub(in crate::manager) log: bool,
    pub(in crate::manager) cloud_saas: bool,
}

/// `slaClass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct SlaAction {
    /// An `sla` list.
    pub(in crate::manager) class: Uuid,
    pub(in crate::manager) preferred: Preferred,
    pub(in crate::manager) unmet: SlaUnmet,
    /// `preferredRemoteColor`.
    pub(in crate::manager) remote: Option<RemoteColors>,
}

/// `preferredRemoteColor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct RemoteColors {
    pub(in crate::manager) colors: Vec<String>,
    /// `remoteColorRestrict`.
    pub(in crate::manager) restrict: bool,
}

/// What is preferred among the tunnels that meet the class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) enum Preferred {
    /// Nothing.
    None,
    /// `preferredColor`.
    Colors(Vec<String>),
    /// `preferredColorGroup`.
    Group(GroupRef),
}

/// What happens when no tunnel meets the class, apart from backup colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::manager) enum SlaUnmet {
    /// Any tunnel is taken.
    LoadBalance,
    /// `strict`.
    Strict,
    /// `fallbackToBestPath`.
    BestPath,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum SequenceType {
    AppRoute,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Action {
    SlaClass,
    BackupSlaPreferredColor,
    Count,
    Log,
    CloudSaas,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawParameter {
    field: Parameter,
    value: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    #[serde(default, deserialize_with = "value::flag")]
    color_restrict: bool,
    #[serde(default, deserialize_with = "value::flag")]
    remote_color_restrict: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Parameter {
    Name,
    PreferredColor,
    PreferredColorGroup,
    Strict,
    FallbackToBestPath,
    PreferredRemoteColor,
}

/// Parses a sequence whose id is already known to be good.
pub(in crate::manager) fn parse(id: u16, sequence: &Value) -> Result<AppRouteSequence, SequenceError> {
    let raw: RawSequence<SequenceType, Option<BaseAction>, Action> = shape::read(sequence)?;
    if raw.base_action == Some(BaseAction::Drop) {
        return Err(SequenceError::DropInAppRoute);
    }
    let conditions = Conditions::parse(DefinitionKind::AppRoute, raw.sequence_ip_type, &raw.matching)?;
    let (mut sla, mut backup, mut counted) = (None, None, None);
    let (mut log, mut cloud_saas) = (false, false);
    for (index, action) in raw.actions.iter().enumerate() {
        if action.value.is_some() {
            return Err(SequenceError::Without("value", "lossProtectFec"));
        }
        match action.action {
            Action::SlaClass => {
                let parameters: Vec<RawParameter> = action.parameter(index)?;
                set_once(&mut sla, "slaClass", sla_action(&parameters)?)?;
            }
            Action::BackupSlaPreferredColor => {
                let name = "backupSlaPreferredColor";
                set_once(&mut backup, name, colors(name, action.parameter(index)?)?)?;
            }
            Action::Count => set_once(&mut counted, "count", counter(action.parameter(index)?)?)?,
            Action::Log => log = true,
            Action::CloudSaas => cloud_saas = true,
        }
    }
    let excluded = match sla.as_ref().map(|sla: &SlaAction| sla.unmet) {
        Some(SlaUnmet::Strict) => Some("strict"),
        Some(SlaUnmet::BestPath) => Some("fallbackToBestPath"),
        Some(SlaUnmet::LoadBalance) | None => None,
    };
    if let (Some(_), Some(excluded)) = (&backup, excluded) {
        return Err(SequenceError::Exclusive("backupSlaPreferredColor", excluded));
    }
    Ok(AppRouteSequence {
        id,
        conditions,
        sla,
        backup: backup.unwrap_or_default(),
        counter: counted,
        log,
        cloud_saas,
    })
}

impl AppRouteSequence {
    /// The lists that the sequence names.
    pub(in crate::manager) fn uses(&self) -> impl Iterator<Item = Use> + '_ {
        let class = self.sla.iter().map(|sla| Use {
            id: sla.class,
            kind: "sla",
            field: "name",
        });
        let group = self.sla.iter().filter_map(|sla| match sla.preferred {
            Preferred::Group(group) => Some(Use {
                id: group.list,
                kind: "preferredcolorgroup",
                field: "preferredColorGroup",
            }),
            Preferred::None | Preferred::Colors(_) => None,
        });
        self.conditions.uses().chain(class).chain(group)
    }
}

fn sla_action(parameters: &[RawParameter]) -> Result<SlaAction, SequenceError> {
    let (mut class, mut preferred_colors, mut group, mut remote) = (None, None, None, None);
    let (mut strict, mut best_path) = (None, None);
    for raw in parameters {
        raw.check_flags()?;
        match raw.field {
            Parameter::Name => set_once(&mut class, "name", raw.list("name")?)?,
            Parameter::PreferredColor => {
                let name = "preferredColor";
                set_once(&mut preferred_colors, name, raw.colors(name)?)?;
            }
            Parameter::PreferredColorGroup => {
                let name = "preferredColorGroup";
                let restrict = raw.color_restrict;
                let list = raw.list(name)?;
                set_once(&mut group, name, GroupRef { list, restrict })?;
            }
            Parameter::Strict => set_once(&mut strict, "strict", raw.alone("strict")?)?,
            Parameter::FallbackToBestPath => {
                let name = "fallbackToBestPath";
                set_once(&mut best_path, name, raw.alone(name)?)?;
            }
            Parameter::PreferredRemoteColor => {
                let name = "preferredRemoteColor";
                let restrict = raw.remote_color_restrict;
                let colors = raw.colors(name)?;
                set_once(&mut remote, name, RemoteColors { colors, restrict })?;
            }
        }
    }
    let preferred = match (preferred_colors, group) {
        (Some(_), Some(_)) => return Err(SequenceError::Exclusive("preferredColor", "preferredColorGroup")),
        (Some(colors), None) => Preferred::Colors(colors),
        (None, Some(group)) => Preferred::Group(group),
        (None, None) => Preferred::None,
    };
    let unmet = match (strict, best_path) {
        (Some(()), Some(())) => return Err(SequenceError::Exclusive("strict", "fallbackToBestPath")),
        (Some(()), None) => SlaUnmet::Strict,
        (None, Some(())) => SlaUnmet::BestPath,
        (None, None) => SlaUnmet::LoadBalance,
    };
    Ok(SlaAction {
        class: class.ok_or(SequenceError::NoClass)?,
        preferred,
        unmet,
        remote,
    })
}

impl RawParameter {
    fn check_flags(&self) -> Result<(), SequenceError> {
        if self.color_restrict && self.field != Parameter::PreferredColorGroup {
            return Err(SequenceError::Without("colorRestrict", "preferredColorGroup"));
        }
        if self.remote_color_restrict && self.field != Parameter::PreferredRemoteColor {
            return Err(SequenceError::Without(
                "remoteColorRestrict",
                "preferredRemoteColor",
            ));
        }
        Ok(())
    }

    fn list(&self, field: &'static str) -> Result<Uuid, SequenceError> {
        list_id(field, self.reference.as_deref(), self.value.is_some())
    }

    fn colors(&self, field: &'static str) -> Result<Vec<String>, SequenceError> {
        match (&self.value, &self.reference) {
            (Some(text), None) => colors(field, text),
            _ => Err(SequenceError::NotValue(field)),
        }
    }

    /// A word that stands for itself; clients may give it an empty value.
    fn alone(&self, field: &'static str) -> Result<(), SequenceError> {
        match (self.value.as_deref(), &self.reference) {
            (None | Some(""), None) => Ok(()),
            _ => Err(SequenceError::NotAlone(field)),
        }
    }
}

fn colors(field: &'static str, text: &str) -> Result<Vec<String>, SequenceError> {
    value::colors(text).map_err(in_field(field))
}
