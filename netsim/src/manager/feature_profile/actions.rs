//! What the sequences of traffic policies do.
//!
//! Owns the fields of actions and their translation into classic ones, those of `set` in a file of their own; what edges do
//! not do is noted. Invariant: every action is in the translation, or noted, unless it is switched off.

mod set;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::References;
use super::at::{At, PlaceError};
use crate::manager::value::{self, NameOf};

const ACTIONS: [&str; 16] = [
    "slaClass",
    "backupSlaPreferredColor",
    "set",
    "count",
    "log",
    "lossCorrection",
    "redirectDns",
    "appqoeOptimization",
    "cloudSaas",
    "cloudProbe",
    "cflowd",
    "natPool",
    "nat",
    "sig",
    "fallbackToRouting",
    "sse",
];

const SLA_FIELDS: [&str; 9] = [
    "slaName",
    "preferredColor",
    "preferredColorGroup",
    // One branch of the product's schema spells it so.
    "perferredColorGroup",
    "preferredColorGroupRestrict",
    "strict",
    "fallbackToBestPath",
    "preferredRemoteColor",
    "remoteColorRestrict",
];

/// `actions` in classic terms.
#[derive(Debug, Default)]
pub(super) struct Actions {
    pub(super) app_route: Vec<Value>,
    pub(super) data: Vec<Value>,
    /// Those that both definitions have.
    pub(super) both: Vec<Value>,
    pub(super) not_emulated: Option<&'static str>,
}

/// The fields of several objects that together are one; each field is in one of them.
type Merged<'a> = BTreeMap<&'static str, At<'a>>;

impl Actions {
    /// Notes an action that edges do not do.
    fn note(&mut self, name: &'static str) {
        self.not_emulated = self.not_emulated.or(Some(name));
    }
}

/// Reads `actions`.
pub(super) fn read_actions(at: &At<'_>, uses: &mut References) -> Result<Actions, PlaceError> {
    let mut actions = Actions::default();
    for action in at.items()? {
        let (name, at) = action.only_field(&ACTIONS)?;
        match name {
            "slaClass" => {
                let parameters = read_sla_class(&at, uses)?;
                (actions.app_route).push(json!({ "type": name, "parameter": parameters }));
            }
            "backupSlaPreferredColor" => {
                let colors = colors(&at)?;
                (actions.app_route).push(json!({ "type": name, "parameter": colors }));
            }
            "set" => actions.read_set(&at, uses)?,
            "count" => {
                let counter = at.option("c".to_owned(), |at| {
                    at.parsed(|text| value::name(NameOf::Counter, text))?;
                    at.text().map(str::to_owned)
                })?;
                actions.both.push(json!({ "type": name, "parameter": counter }));
            }
            "log" if at.switch()? => actions.both.push(json!({ "type": name, "parameter": "" })),
            "log" => {}
            "lossCorrection" => {
                check_loss_correction(&at)?;
                actions.note(name);
            }
            _ => {
                at.value.as_object().ok_or_else(|| at.refuse("an object"))?;
                // A switch that is off asks for nothing.
                if at.value.get("value") != Some(&Value::Bool(false)) {
                    actions.note(name);
                }
            }
        }
    }
    Ok(actions)
}

fn read_sla_class(at: &At<'_>, uses: &mut References) -> Result<Vec<Value>, PlaceError> {
    let fields = merged(at, &SLA_FIELDS)?;
    let mut parameters = Vec::new();
    if let Some(class) = fields.get("slaName") {
        parameters.push(json!({ "field": "name", "ref": uses.add(class, "sla-class")? }));
    }
    if let Some(preferred) = fields.get("preferredColor") {
        parameters.push(json!({ "field": "preferredColor", "value": colors(preferred)? }));
    }
    parameters.extend(read_color_group(at, &fields, uses)?);
    for flag in ["strict", "fallbackToBestPath"] {
        if fields.get(flag).map(At::switch).transpose()? == Some(true) {
            parameters.push(json!({ "field": flag }));
        }
    }
    let restrict = fields.get("remoteColorRestrict").map(At::switch).transpose()?;
    match (fields.get("preferredRemoteColor"), restrict) {
        (Some(remote), restrict) => parameters.push(json!({
            "field": "preferredRemoteColor",
            "value": colors(remote)?,
            "remoteColorRestrict": restrict.unwrap_or_default(),
        })),
        (None, Some(true)) => return Err(at.rule(&"field remoteColorRestrict needs preferredRemoteColor")),
        (None, _) => {}
    }
    Ok(parameters)
}

fn read_color_group(
    at: &At<'_>,
    fields: &Merged<'_>,
    uses: &mut References,
) -> Result<Option<Value>, PlaceError> {
    let restrict = fields
        .get("preferredColorGroupRestrict")
        .map(At::switch)
        .transpose()?;
    let group = match (
        fields.get("preferredColorGroup"),
        fields.get("perferredColorGroup"),
    ) {
        (Some(_), Some(misspelt)) => return Err(misspelt.rule(&"preferredColorGroup is given twice")),
        (group, misspelt) => group.or(misspelt),
    };
    match (group, restrict) {
        (Some(group), restrict) => Ok(Some(json!({
            "field": "preferredColorGroup",
            "ref": uses.add(group, "preferred-color-group")?,
            "colorRestrict": restrict.unwrap_or_default(),
        }))),
        (None, Some(_)) => Err(at.rule(&"field preferredColorGroupRestrict needs preferredColorGroup")),
        (None, None) => Ok(None),
    }
}

fn check_loss_correction(at: &At<'_>) -> Result<(), PlaceError> {
    const TYPES: [&str; 3] = ["fecAdaptive", "fecAlways", "packetDuplication"];
    let fields = at.fields(&["lossCorrectionType", "lossCorrectFec"])?;
    let kind = fields
        .need("lossCorrectionType")?
        .option(TYPES[0], |at| at.word(&TYPES))?;
    match fields.get("lossCorrectFec") {
        Some(threshold) if kind != TYPES[0] => {
            Err(threshold.rule(&"lossCorrectFec goes with fecAdaptive only"))
        }
        Some(threshold) => threshold.option(1, |at| at.number(1..=5)).map(drop),
        None => Ok(()),
    }
}

/// The fields of all objects in the array here.
fn merged<'a>(at: &At<'a>, known: &'static [&'static str]) -> Result<Merged<'a>, PlaceError> {
    let mut merged = Merged::new();
    for item in at.items()? {
        let fields = item.fields(known)?;
        for (name, at) in known.iter().filter_map(|name| Some((*name, fields.get(name)?))) {
            if let Some(first) = merged.insert(name, at) {
                return Err(item.rule(&format!("field {name} is given already at {}", first.pointer)));
            }
        }
    }
    Ok(merged)
}

fn colors(at: &At<'_>) -> Result<String, PlaceError> {
    at.option("default".to_owned(), |at| at.words(value::color))
}
