//! The actions of data sequences that the emulated edges do not do.
//!
//! Owns their values, the rules between them, and how the command language has them.

use serde::Deserialize;
use serde_json::Value;

use super::{Action, Set};
use crate::manager::sequence::{RawAction, SequenceError, in_field};
use crate::manager::value::{self, ValueError, kebab};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawField<Name> {
    field: Name,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Pool {
    Pool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum NatField {
    UseVpn,
    Fallback,
    Bypass,
    DiaPool,
    DiaInterface,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum RedirectField {
    IpAddress,
    DnsType,
}

/// An action in the command language.
pub(super) fn lines(raw: &RawAction<Action>, index: usize) -> Result<Vec<String>, SequenceError> {
    let name = raw.action.as_str();
    let of = in_field(name);
    let line = match raw.action {
        Action::Nat => return nat(raw, index),
        Action::LossProtect | Action::LossProtectPktDup => {
            format!("{} {}", kebab(name), kebab(loss_protection(raw, index)?))
        }
        Action::LossProtectFec => {
            let mut line = format!("{} {}", kebab(name), kebab(loss_protection(raw, index)?));
            if let Some(text) = &raw.value {
                let percent = value::number(text, 1..=5_u8, "a loss from 1 to 5 percent").map_err(of)?;
                line += &format!(" threshold {percent}");
            }
            line
        }
        Action::RedirectDns => {
            let redirect: RawField<RedirectField> = raw.parameter(index)?;
            let to = match redirect.field {
                RedirectField::IpAddress => value::address(&redirect.value).map(|to| to.to_string()),
                RedirectField::DnsType => {
                    value::one_of(&redirect.value, &["host", "umbrella"], "host or umbrella")
                }
            };
            format!("redirect-dns {}", to.map_err(of)?)
        }
        Action::ServiceNodeGroup => {
            let group: &str = raw.parameter(index)?;
            value::service_node_group(group).map_err(of)?;
            format!("service-node-group {group}").trim_end().to_owned()
        }
        _ => {
            // A word that stands for itself; clients may give it an empty parameter.
            if raw.parameter.is_some() {
                let text: &str = raw.parameter(index)?;
                value::one_of(text, &[""], "an empty text").map_err(of)?;
            }
            kebab(name)
        }
    };
    Ok(vec![line])
}

/// Checks the rules between the actions of a sequence, each of which it has once.
pub(super) fn check(actions: &[RawAction<Action>], set: &Set) -> Result<(), SequenceError> {
    let find = |wanted| actions.iter().find(|raw| raw.action == wanted);
    let name = |raw: &RawAction<Action>| raw.action.as_str();
    let set = |names: &[&str]| {
        let mut fields = set.undone.iter().map(|undone| undone.name);
        fields.find(|name| names.contains(name))
    };
    let ways = [
        find(Action::Nat).map(name),
        set(&["nextHop", "nextHopIpv6"]),
        set(&["serviceChain"]),
    ];
    let ways: Vec<_> = ways.into_iter().flatten().collect();
    let mut first_two = find(Action::Sig)
        .map(name)
        .into_iter()
        .chain(ways.iter().copied());
    if let (Some(first), Some(second)) = (first_two.next(), first_two.next()) {
        return Err(SequenceError::Exclusive(first, second));
    }
    // It is what becomes of packets without a gateway, so it comes with `sig`.
    if let (Some(_), Some(other)) = (find(Action::FallbackToRouting), ways.first()) {
        return Err(SequenceError::Exclusive("fallbackToRouting", other));
    }
    check_loss_protection(
        find(Action::LossProtect),
        [find(Action::LossProtectFec), find(Action::LossProtectPktDup)],
    )
}

/// `lossProtect` comes with the one of the other two that says how, with the same parameter.
fn check_loss_protection(
    protect: Option<&RawAction<Action>>,
    [fec, duplication]: [Option<&RawAction<Action>>; 2],
) -> Result<(), SequenceError> {
    if let (Some(fec), Some(duplication)) = (fec, duplication) {
        return Err(SequenceError::Exclusive(
            fec.action.as_str(),
            duplication.action.as_str(),
        ));
    }
    match (protect, fec.or(duplication)) {
        (None, None) => Ok(()),
        (None, Some(partner)) => Err(SequenceError::Without(partner.action.as_str(), "lossProtect")),
        (Some(protect), partner) => {
            let wanted = match protect.parameter.as_ref().and_then(Value::as_str) {
                Some("packetDuplication") => Action::LossProtectPktDup,
                _ => Action::LossProtectFec,
            };
            let partner = partner.filter(|partner| partner.action == wanted);
            let partner = partner.ok_or(SequenceError::Without("lossProtect", wanted.as_str()))?;
            match partner.parameter == protect.parameter {
                true => Ok(()),
                false => Err(SequenceError::Unlike(wanted.as_str(), "lossProtect")),
            }
        }
    }
}

fn loss_protection(raw: &RawAction<Action>, index: usize) -> Result<&str, SequenceError> {
    const TYPES: [&str; 3] = ["fecAdaptive", "fecAlways", "packetDuplication"];
    let text: &str = raw.parameter(index)?;
    let checked = value::one_of(text, &TYPES, "fecAdaptive, fecAlways or packetDuplication");
    checked.map_err(in_field(raw.action.as_str()))?;
    Ok(text)
}

/// Either a pool, or fields of NAT in the transport VPN.
fn nat(raw: &RawAction<Action>, index: usize) -> Result<Vec<String>, SequenceError> {
    let of = in_field("nat");
    if raw.parameter.as_ref().is_some_and(Value::is_object) {
        let RawField::<Pool> { value: text, .. } = raw.parameter(index)?;
        let pool = value::number(&text, 1..=31_u8, "a NAT pool from 1 to 31").map_err(of)?;
        return Ok(vec![format!("nat pool {pool}")]);
    }
    let fields: Vec<RawField<NatField>> = raw.parameter(index)?;
    if fields.is_empty() {
        return Err(SequenceError::Without("nat", "pool or useVpn"));
    }
    let lines = fields.iter().map(|field| nat_line(field.field, &field.value));
    lines.collect::<Result<_, _>>().map_err(of)
}

fn nat_line(field: NatField, text: &str) -> Result<String, ValueError> {
    let words = |parse: fn(&str) -> Result<String, ValueError>, form| {
        value::words(text, form, parse).map(|words| words.join(" "))
    };
    let flag = || value::one_of(text, &["", "true"], "an empty text or true");
    Ok(match field {
        NatField::UseVpn => format!("nat use-vpn {}", value::number(text, 0..=0_u16, "VPN 0")?),
        NatField::Fallback => flag().map(|_| "nat fallback".to_owned())?,
        NatField::Bypass => flag().map(|_| "nat bypass".to_owned())?,
        NatField::DiaPool => {
            let pool = |text: &str| {
                value::number(text, 1..=31_u8, "a NAT pool from 1 to 31").map(|pool| pool.to_string())
            };
            format!("nat dia-pool {}", words(pool, "one or more NAT pools")?)
        }
        NatField::DiaInterface => {
            format!(
                "nat dia-interface {}",
                words(value::word, "one or more interfaces")?
            )
        }
    })
}
