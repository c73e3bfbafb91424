//! Services and service chains that a data sequence sends packets to.
//!
//! Owns which there are, and where they may be.

use serde::Deserialize;

use super::set::{RawTloc, RemoteTlocs};
use crate::manager::sequence::{SequenceError, in_field};
use crate::manager::value::{self, ValueError};

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawService {
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
    /// Some clients say again what it is.
    #[serde(rename = "field")]
    _field: Option<String>,
    #[serde(rename = "ref")]
    reference: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServiceChain {
    #[serde(rename = "type")]
    chain: String,
    vpn: String,
    #[serde(default, deserialize_with = "value::presence")]
    local: bool,
    #[serde(default, deserialize_with = "value::presence")]
    restrict: bool,
    tloc: Option<RawTloc>,
}

impl RawService {
    pub(super) fn parse(self) -> Result<Service, SequenceError> {
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

impl RawServiceChain {
    /// As the command language has it.
    pub(super) fn line(&self) -> Result<String, SequenceError> {
        let value = in_field("serviceChain");
        let chain = value::service_chain(&self.chain).map_err(value)?;
        let mut line = format!("service-chain {chain} vpn {}", vpn(&self.vpn).map_err(value)?);
        for (is_on, word) in [(self.local, " local"), (self.restrict, " restrict")] {
            if is_on {
                line += word;
            }
        }
        if let Some(tloc) = &self.tloc {
            let tloc = tloc.parse("serviceChain")?;
            line += &format!(" tloc {} color {}", tloc.system_ip, tloc.color);
            for encapsulation in &tloc.encapsulations {
                line += &format!(" encap {}", encapsulation.as_str());
            }
        }
        Ok(line)
    }
}

/// The number of a VPN.
pub(super) fn vpn(text: &str) -> Result<u16, ValueError> {
    value::number(text, 0..=65530, "a VPN from 0 to 65530")
}
