//! `set`: what a data sequence makes of the packets that go on.
//!
//! Owns its fields, which of them exclude each other, and their values. What the emulated edges do not do is kept as the
//! command language has it.

use std::net::Ipv4Addr;

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::service::{RawService, RawServiceChain, Service, vpn};
use crate::manager::sequence::{GroupRef, SequenceError, Undone, in_field, list_id, set_once};
use crate::manager::shape;
use crate::manager::value::{self, Encapsulation, ValueError};

/// `set`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::manager) struct Set {
    pub(in crate::manager) local_tlocs: Option<LocalTlocList>,
    pub(in crate::manager) color_group: Option<GroupRef>,
    pub(in crate::manager) remote: Option<RemoteTlocs>,
    pub(in crate::manager) service: Option<Service>,
    /// The VPN in which packets go on.
    pub(in crate::manager) vpn: Option<u16>,
    /// The code point that packets leave with.
    pub(in crate::manager) dscp: Option<u8>,
    pub(in crate::manager) forwarding_class: Option<String>,
    /// A `policer` list.
    pub(in crate::manager) policer: Option<Uuid>,
    /// Next hops and service chains.
    pub(in crate::manager) undone: Vec<Undone>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawSet {
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
    Dscp,
    ForwardingClass,
    Policer,
    NextHop,
    NextHopIpv6,
    NextHopLoose,
    ServiceChain,
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
pub(super) struct RawTloc {
    ip: String,
    color: String,
    encap: Option<String>,
}

#[derive(Deserialize)]
struct Flag(#[serde(deserialize_with = "value::flag")] bool);

/// Where a field is: in the action at `index`, and there at `position`.
#[derive(Clone, Copy)]
struct Place {
    index: usize,
    position: usize,
}

impl Set {
    /// Adds the fields of one `set`, which is at `index` among the actions.
    pub(super) fn add_all(&mut self, fields: &[RawSet], index: usize) -> Result<(), SequenceError> {
        for (position, field) in fields.iter().enumerate() {
            let place = Place { index, position };
            self.add(field, place)?;
        }
        Ok(())
    }

    /// Checks the rules between fields.
    pub(super) fn check(&self) -> Result<(), SequenceError> {
        if self.local_tlocs.is_some() && self.color_group.is_some() {
            return Err(SequenceError::Exclusive("localTlocList", "preferredColorGroup"));
        }
        let has = |name| self.undone.iter().any(|undone| undone.name == name);
        if has("nextHopLoose") && !has("nextHop") && !has("nextHopIpv6") {
            return Err(SequenceError::Without("nextHopLoose", "nextHop or nextHopIpv6"));
        }
        Ok(())
    }

    fn add(&mut self, raw: &RawSet, place: Place) -> Result<(), SequenceError> {
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
            SetField::Dscp => {
                let code = raw.parsed("dscp", place, value::dscp)?;
                set_once(&mut self.dscp, "set dscp", code)
            }
            SetField::ForwardingClass => {
                let class = raw.parsed("forwardingClass", place, value::forwarding_class)?;
                set_once(&mut self.forwarding_class, "set forwardingClass", class)
            }
            SetField::Policer => set_once(&mut self.policer, "set policer", raw.list("policer")?),
            SetField::NextHop => {
                let to = raw.parsed("nextHop", place, value::address)?;
                self.add_undone("nextHop", "set nextHop", Some(format!("next-hop {to}")))
            }
            SetField::NextHopIpv6 => {
                let to = raw.parsed("nextHopIpv6", place, value::ipv6_address)?;
                self.add_undone(
                    "nextHopIpv6",
                    "set nextHopIpv6",
                    Some(format!("next-hop-ipv6 {to}")),
                )
            }
            SetField::NextHopLoose => {
                let Flag(loose) = raw.value("nextHopLoose", place)?;
                let line = loose.then(|| "next-hop-loose".to_owned());
                self.add_undone("nextHopLoose", "set nextHopLoose", line)
            }
            SetField::ServiceChain => {
                let chain: RawServiceChain = raw.value("serviceChain", place)?;
                self.add_undone("serviceChain", "set serviceChain", Some(chain.line()?))
            }
        }
    }

    fn add_undone(
        &mut self,
        name: &'static str,
        said: &'static str,
        line: Option<String>,
    ) -> Result<(), SequenceError> {
        if self.undone.iter().any(|undone| undone.name == name) {
            return Err(SequenceError::ActionTwice(said));
        }
        let lines = line.into_iter().collect();
        self.undone.push(Undone { name, lines });
        Ok(())
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
        place: Place,
    ) -> Result<T, SequenceError> {
        let (Some(value), None) = (&self.value, &self.reference) else {
            return Err(SequenceError::NotValue(field));
        };
        let Place { index, position } = place;
        let read = shape::read(value).map_err(|error| error.under("value").within("parameter", position));
        Ok(read.map_err(|error| error.within("actions", index))?)
    }

    /// The text of a value, as `parse` has it.
    fn parsed<T>(
        &self,
        field: &'static str,
        place: Place,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Result<T, SequenceError> {
        parse(self.value(field, place)?).map_err(in_field(field))
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
    pub(super) fn parse(&self, field: &'static str) -> Result<Tloc, SequenceError> {
        let value = in_field(field);
        Ok(Tloc {
            system_ip: value::system_ip(&self.ip).map_err(value)?,
            color: value::color(&self.color).map_err(value)?,
            encapsulations: encapsulations(self.encap.as_deref()).map_err(value)?,
        })
    }
}

fn encapsulations(text: Option<&str>) -> Result<Vec<Encapsulation>, ValueError> {
    let parse = |text| value::words(text, "ipsec, gre or both", value::encapsulation);
    text.map_or_else(|| Ok(Vec::new()), parse)
}
