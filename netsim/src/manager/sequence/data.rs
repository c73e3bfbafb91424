//! One sequence of a data definition.
//!
//! Owns its actions: what they are, which exclude each other, and their values.

use std::net::Ipv4Addr;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use uuid::Uuid;

use super::{BaseAction, Conditions, GroupRef, RawSequence, SequenceError, counter, list_id, set_once};
use crate::manager::match_field::MatchField;
use crate::manager::objects::ListUse;
use crate::manager::value::{self, Encapsulation, ValueError};

/// A sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct DataSequence {
    pub(in crate::manager) id: u16,
    pub(in crate::manager) conditions: Conditions,
    pub(in crate::manager) base_action: BaseAction,
    pub(in crate::manager) counter: Option<String>,
    pub(in crate::manager) log: bool,
    pub(in crate::manager) set: Set,
}

/// `set`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::manager) struct Set {
    pub(in crate::manager) local_tlocs: Option<LocalTlocList>,
    pub(in crate::manager) color_group: Option<GroupRef>,
    pub(in crate::manager) remote: Option<RemoteTlocs>,
    pub(in crate::manager) service: Option<Service>,
    /// The VPN in which packets go on.
    pub(in crate::manager) vpn: Option<u16>,
}

/// `set local-tloc-list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct LocalTlocList {
    pub(in crate::manager) colors: Vec<String>,
    /// Empty means any.
    pub(in crate::manager) encapsulations: Vec<Encapsulation>,
    pub(in crate::manager) restrict: bool,
}

/// `set tloc` or `set tloc-list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) enum RemoteTlocs {
    /// Written in the sequence.
    One(Tloc),
    /// A `tloc` list.
    List(Uuid),
}

/// A TLOC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct Tloc {
    pub(in crate::manager) system_ip: Ipv4Addr,
    pub(in crate::manager) color: String,
    /// Empty means any.
    pub(in crate::manager) encapsulations: Vec<Encapsulation>,
}

/// `set service`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct Service {
    pub(in crate::manager) kind: ServiceKind,
    pub(in crate::manager) service_vpn: Option<u16>,
    pub(in crate::manager) local: bool,
    pub(in crate::manager) restrict: bool,
    pub(in crate::manager) at: Option<RemoteTlocs>,
}

/// The kinds of services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(in crate::manager) enum ServiceKind {
    #[serde(rename = "FW")]
    Firewall,
    #[serde(rename = "IDP")]
    IntrusionPrevention,
    #[serde(rename = "IDS")]
    IntrusionDetection,
    #[serde(rename = "netsvc1")]
    Custom1,
    #[serde(rename = "netsvc2")]
    Custom2,
    #[serde(rename = "netsvc3")]
    Custom3,
    #[serde(rename = "netsvc4")]
    Custom4,
    #[serde(rename = "netsvc5")]
    Custom5,
}

impl ServiceKind {
    /// As the API spells it.
    pub(in crate::manager) fn as_str(self) -> &'static str {
        match self {
            Self::Firewall => "FW",
            Self::IntrusionPrevention => "IDP",
            Self::IntrusionDetection => "IDS",
            Self::Custom1 => "netsvc1",
            Self::Custom2 => "netsvc2",
            Self::Custom3 => "netsvc3",
            Self::Custom4 => "netsvc4",
            Self::Custom5 => "netsvc5",
        }
    }
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

#[derive(Deserialize)]
#[serde(
    tag = "type",
    content = "parameter",
    rename_all = "camelCase",
    deny_unknown_fields
)]
enum RawAction {
    Set(Vec<RawSet>),
    Count(String),
    Log(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawSet {
    field: SetField,
    value: Option<Value>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    #[serde(default, deserialize_with = "value::flag")]
    color_restrict: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum SetField {
    LocalTlocList,
    PreferredColorGroup,
    Tloc,
    TlocList,
    Service,
    Vpn,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLocalTlocList {
    color: String,
    encap: Option<String>,
    // The product looks for the key, not at its value.
    #[serde(default, deserialize_with = "value::presence")]
    restrict: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTloc {
    ip: String,
    color: String,
    encap: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawService {
    #[serde(rename = "type")]
    kind: ServiceKind,
    vpn: Option<String>,
    #[serde(default, deserialize_with = "value::presence")]
    local: bool,
    #[serde(default, deserialize_with = "value::presence")]
    restrict: bool,
    tloc: Option<RawTloc>,
    tloc_list: Option<RawTlocList>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTlocList {
    #[serde(rename = "ref")]
    reference: String,
}

/// Parses a sequence whose id is already known to be good.
pub(in crate::manager) fn parse(id: u16, sequence: &Value) -> Result<DataSequence, SequenceError> {
    let raw = RawSequence::<SequenceType, BaseAction>::deserialize(sequence).map_err(SequenceError::Shape)?;
    let conditions = Conditions::parse(raw.sequence_ip_type, &raw.matching)?;
    let saas = MatchField::SaasAppList;
    if conditions.others.iter().any(|(field, _)| *field == saas) {
        return Err(SequenceError::WrongDefinition(saas.as_str()));
    }
    let mut parsed = DataSequence {
        id,
        conditions,
        base_action: raw.base_action,
        counter: None,
        log: false,
        set: Set::default(),
    };
    for (action, place) in raw.actions.iter().zip(1..) {
        let in_place = |problem| SequenceError::Action { place, problem };
        match RawAction::deserialize(action).map_err(in_place)? {
            RawAction::Set(_) if parsed.base_action == BaseAction::Drop => {
                return Err(SequenceError::SetOnDrop);
            }
            RawAction::Set(fields) => fields
                .into_iter()
                .try_for_each(|field| parsed.set.add(field, place))?,
            RawAction::Count(name) => set_once(&mut parsed.counter, "count", counter(name)?)?,
            RawAction::Log(_) => parsed.log = true,
        }
    }
    if parsed.set.local_tlocs.is_some() && parsed.set.color_group.is_some() {
        return Err(SequenceError::Exclusive("localTlocList", "preferredColorGroup"));
    }
    Ok(parsed)
}

impl DataSequence {
    /// The lists that the sequence names.
    pub(in crate::manager) fn uses(&self) -> impl Iterator<Item = ListUse> + '_ {
        let group = self.set.color_group.map(|group| ListUse {
            id: group.list,
            kind: "preferredcolorgroup",
            field: "preferredColorGroup",
        });
        let service = self.set.service.iter().flat_map(|service| &service.at);
        let remotes = self.set.remote.iter().chain(service);
        let tlocs = remotes.filter_map(|remote| match remote {
            RemoteTlocs::One(_) => None,
            RemoteTlocs::List(id) => Some(ListUse {
                id: *id,
                kind: "tloc",
                field: "tlocList",
            }),
        });
        self.conditions.uses().chain(group).chain(tlocs)
    }
}

impl Set {
    fn add(&mut self, raw: RawSet, place: usize) -> Result<(), SequenceError> {
        if raw.color_restrict && raw.field != SetField::PreferredColorGroup {
            return Err(SequenceError::Without("colorRestrict", "preferredColorGroup"));
        }
        match raw.field {
            SetField::LocalTlocList => {
                let tlocs: RawLocalTlocList = raw.value("localTlocList", place)?;
                set_once(&mut self.local_tlocs, "set localTlocList", tlocs.parse()?)
            }
            SetField::PreferredColorGroup => {
                let group = GroupRef {
                    list: raw.list("preferredColorGroup")?,
                    restrict: raw.color_restrict,
                };
                set_once(&mut self.color_group, "set preferredColorGroup", group)
            }
            SetField::Tloc => {
                let tloc: RawTloc = raw.value("tloc", place)?;
                self.set_remote(RemoteTlocs::One(tloc.parse("tloc")?))
            }
            SetField::TlocList => self.set_remote(RemoteTlocs::List(raw.list("tlocList")?)),
            SetField::Service => {
                let service: RawService = raw.value("service", place)?;
                set_once(&mut self.service, "set service", service.parse()?)
            }
            SetField::Vpn => {
                let text: String = raw.value("vpn", place)?;
                set_once(&mut self.vpn, "set vpn", vpn(&text).map_err(in_field("vpn"))?)
            }
        }
    }

    fn set_remote(&mut self, to: RemoteTlocs) -> Result<(), SequenceError> {
        match self.remote.replace(to) {
            Some(_) => Err(SequenceError::Exclusive("tloc", "tlocList")),
            None => Ok(()),
        }
    }
}

impl RawSet {
    fn value<'a, T: Deserialize<'a>>(
        &'a self,
        field: &'static str,
        place: usize,
    ) -> Result<T, SequenceError> {
        let (Some(value), None) = (&self.value, &self.reference) else {
            return Err(SequenceError::NotValue(field));
        };
        T::deserialize(value).map_err(|problem| SequenceError::Action { place, problem })
    }

    fn list(&self, field: &'static str) -> Result<Uuid, SequenceError> {
        list_id(field, self.reference.as_deref(), self.value.is_some())
    }
}

impl RawLocalTlocList {
    fn parse(self) -> Result<LocalTlocList, SequenceError> {
        let value = in_field("localTlocList");
        Ok(LocalTlocList {
            colors: value::colors(&self.color).map_err(value)?,
            encapsulations: encapsulations(self.encap.as_deref()).map_err(value)?,
            restrict: self.restrict,
        })
    }
}

impl RawTloc {
    fn parse(&self, field: &'static str) -> Result<Tloc, SequenceError> {
        let value = in_field(field);
        Ok(Tloc {
            system_ip: value::system_ip(&self.ip).map_err(value)?,
            color: value::color(&self.color).map_err(value)?,
            encapsulations: encapsulations(self.encap.as_deref()).map_err(value)?,
        })
    }
}

impl RawService {
    fn parse(self) -> Result<Service, SequenceError> {
        let value = in_field("service");
        let at = match (&self.tloc, &self.tloc_list) {
            (Some(_), Some(_)) => return Err(SequenceError::Exclusive("tloc", "tlocList")),
            (Some(tloc), None) => Some(RemoteTlocs::One(tloc.parse("service")?)),
            (None, Some(list)) => Some(RemoteTlocs::List(value::list_id(&list.reference).map_err(value)?)),
            (None, None) => None,
        };
        Ok(Service {
            kind: self.kind,
            service_vpn: self.vpn.as_deref().map(vpn).transpose().map_err(value)?,
            local: self.local,
            restrict: self.restrict,
            at,
        })
    }
}

fn encapsulations(text: Option<&str>) -> Result<Vec<Encapsulation>, ValueError> {
    let parse = |text| value::words(text, "ipsec, gre or both", value::encapsulation);
    text.map_or_else(|| Ok(Vec::new()), parse)
}

fn vpn(text: &str) -> Result<u16, ValueError> {
    value::number(text, 0..=65530, "a VPN from 0 to 65530")
}

fn in_field(field: &'static str) -> impl Fn(ValueError) -> SequenceError + Copy {
    move |problem| SequenceError::Value { field, problem }
}
