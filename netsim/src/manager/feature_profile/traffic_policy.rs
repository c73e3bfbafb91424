//! Traffic policies: sequences that choose paths by SLA, by color, or both.
//!
//! Owns what a `traffic-policy` parcel becomes in classic terms: an app-route definition, a data definition, or one of
//! each. What single sequences say is in `matching` and `actions`; the rules of sequences are those of classic definitions, since they
//! are made into those. Invariant: as in the parcel, so on the edges: the first sequence that matches a packet decides
//! alone, whichever kind its actions are of.

use serde_json::{Value, json};

use super::at::{At, PlaceError};
use super::{References, actions, matching};
use crate::manager::definition::{AppRouteDefinition, DataDefinition};
use crate::manager::sequence::app_route::{self, AppRouteSequence};
use crate::manager::sequence::data::{self, DataSequence};
use crate::policy::{DefaultAction, PolicyDirection};

/// The highest number of a sequence: edges have the classic range.
const SEQUENCE_MAX: u64 = 65534;

/// What a traffic policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct TrafficPolicy {
    pub(in crate::manager) direction: PolicyDirection,
    /// Where it applies; nowhere when it has no target.
    pub(in crate::manager) service_vpns: Vec<u16>,
    pub(in crate::manager) app_route: Option<AppRouteDefinition>,
    pub(in crate::manager) data: Option<DataDefinition>,
    /// The first field that edges do not act on, with its sequence.
    pub(in crate::manager) not_emulated: Option<(u16, &'static str)>,
}

/// A sequence as it stands in each of the two definitions.
#[derive(Debug)]
struct TrafficSequence {
    id: u16,
    /// Whether it chooses by SLA.
    by_sla: bool,
    /// Whether it does anything else.
    by_data: bool,
    in_app_route: AppRouteSequence,
    in_data: DataSequence,
    not_emulated: Option<&'static str>,
}

/// Reads the `data` of a parcel.
pub(super) fn read(data: &At<'_>, uses: &mut References) -> Result<TrafficPolicy, PlaceError> {
    let fields = data.fields(&[
        "dataDefaultAction",
        "simpleFlow",
        "hasCorViaSig",
        "target",
        "sequences",
    ])?;
    for switch in ["simpleFlow", "hasCorViaSig"] {
        fields.get(switch).map(|at| at.switch()).transpose()?;
    }
    let default_action = fields
        .get("dataDefaultAction")
        .map(|at| at.option_or("accept", "accept", |at| at.word(&["accept", "drop"])));
    let default_action = match default_action.transpose()? {
        Some("drop") => DefaultAction::Drop,
        _ => DefaultAction::Accept,
    };
    let (service_vpns, direction) = match fields.get("target") {
        Some(target) => read_target(&target)?,
        None => (Vec::new(), PolicyDirection::All),
    };
    let mut sequences = Vec::new();
    for at in fields
        .get("sequences")
        .map(|at| at.items())
        .transpose()?
        .unwrap_or_default()
    {
        let sequence = read_sequence(&at, direction, uses)?;
        if sequences
            .iter()
            .any(|known: &TrafficSequence| known.id == sequence.id)
        {
            return Err(at.rule(&format!("sequenceId {} is used twice", sequence.id)));
        }
        sequences.push(sequence);
    }
    sequences.sort_by_key(|sequence| sequence.id);
    Ok(policy(service_vpns, direction, default_action, sequences))
}

/// The service VPN that this is the name of.
pub(in crate::manager) fn service_vpn(name: &str) -> Option<u16> {
    let digits = name
        .strip_prefix("VPN")
        .filter(|digits| !digits.starts_with(['0', '+']))?;
    digits
        .parse()
        .ok()
        .filter(|vpn| (1..=65527).contains(vpn) && *vpn != 512)
}

/// The name of a service VPN.
pub(in crate::manager) fn vpn_name(service_vpn: u16) -> String {
    format!("VPN{service_vpn}")
}

fn read_target(target: &At<'_>) -> Result<(Vec<u16>, PolicyDirection), PlaceError> {
    if target.value.get("vpnRule").is_some() {
        return Err(target.rule(&"field vpnRule is not emulated; name service VPNs in field vpn"));
    }
    let fields = target.fields(&["vpn", "direction"])?;
    let mut service_vpns = fields.need("vpn")?.option(Vec::new(), |at| {
        let vpns = at.some_items()?.into_iter().map(|at| {
            let vpn = service_vpn(at.text()?);
            vpn.ok_or_else(|| at.refuse("the name of a service VPN: VPN and its number, such as VPN10"))
        });
        vpns.collect()
    })?;
    service_vpns.sort_unstable();
    service_vpns.dedup();
    let direction = fields
        .get("direction")
        .map(|at| at.option_or("all", "all", |at| at.word(&["service", "tunnel", "all"])));
    let direction = match direction.transpose()? {
        Some("service") => PolicyDirection::FromService,
        Some("tunnel") => PolicyDirection::FromTunnel,
        _ => PolicyDirection::All,
    };
    Ok((service_vpns, direction))
}

fn read_sequence(
    at: &At<'_>,
    direction: PolicyDirection,
    uses: &mut References,
) -> Result<TrafficSequence, PlaceError> {
    let fields = at.fields(&[
        "sequenceId",
        "sequenceName",
        "baseAction",
        "sequenceIpType",
        "match",
        "actions",
    ])?;
    let id = fields
        .need("sequenceId")?
        .global(|at| at.number(1..=SEQUENCE_MAX))?;
    let id = u16::try_from(id).expect("the limit is that of the type");
    fields
        .get("sequenceName")
        .map(|at| at.option((), |at| at.text().map(drop)))
        .transpose()?;
    let base_action = fields
        .get("baseAction")
        .map(|at| at.option_or("accept", "accept", |at| at.word(&["accept", "drop"])));
    let base_action = base_action.transpose()?.unwrap_or("accept");
    let family = fields
        .get("sequenceIpType")
        .map(|at| at.option_or("ipv4", "ipv4", |at| at.word(&["ipv4", "ipv6", "all"])));
    let family = family.transpose()?.unwrap_or("ipv4");
    let matched = fields.get("match").map(|at| matching::read_match(&at, uses));
    let matched = matched.transpose()?.unwrap_or_default();
    let actions = fields.get("actions").map(|at| actions::read_actions(&at, uses));
    let actions = actions.transpose()?.unwrap_or_default();

    let by_sla = !actions.app_route.is_empty();
    if by_sla && direction == PolicyDirection::FromTunnel {
        return Err(at.rule(&"slaClass and backupSlaPreferredColor do not go with direction tunnel"));
    }
    let mut body = json!({
        "sequenceId": id,
        "sequenceType": "data",
        "sequenceIpType": family,
        "baseAction": base_action,
        "match": { "entries": matched.entries },
    });
    // Counted and logged once, though the sequence may stand in two definitions.
    let (sla_only, data_only) = if by_sla {
        (actions.both, Vec::new())
    } else {
        (Vec::new(), actions.both)
    };
    let by_data = base_action == "drop" || !actions.data.is_empty() || !data_only.is_empty();
    body["actions"] = Value::Array([actions.data, data_only].concat());
    let in_data = data::parse(id, &body).map_err(|problem| at.rule(&problem))?;
    body["sequenceType"] = json!("appRoute");
    body["actions"] = Value::Array([actions.app_route, sla_only].concat());
    if !by_sla {
        body["baseAction"] = json!("accept");
    }
    let in_app_route = app_route::parse(id, &body).map_err(|problem| at.rule(&problem))?;
    Ok(TrafficSequence {
        id,
        by_sla,
        by_data,
        in_app_route,
        in_data,
        not_emulated: matched.not_emulated.or(actions.not_emulated),
    })
}

fn policy(
    service_vpns: Vec<u16>,
    direction: PolicyDirection,
    default_action: DefaultAction,
    sequences: Vec<TrafficSequence>,
) -> TrafficPolicy {
    let by_sla = sequences.iter().any(|sequence| sequence.by_sla);
    let by_data =
        !by_sla || default_action == DefaultAction::Drop || sequences.iter().any(|sequence| sequence.by_data);
    let not_emulated = (sequences.iter()).find_map(|sequence| Some((sequence.id, sequence.not_emulated?)));
    let (app_route, data): (Vec<_>, Vec<_>) = sequences
        .into_iter()
        .map(|sequence| (sequence.in_app_route, sequence.in_data))
        .unzip();
    TrafficPolicy {
        direction,
        service_vpns,
        app_route: by_sla.then_some(AppRouteDefinition {
            default_class: None,
            sequences: app_route,
        }),
        data: by_data.then_some(DataDefinition {
            default_action,
            sequences: data,
        }),
        not_emulated,
    }
}
