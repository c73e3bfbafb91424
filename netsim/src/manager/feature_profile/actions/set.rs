//! The fields of `set`.

use serde_json::{Value, json};

use super::{Actions, colors, merged, read_color_group};
use crate::manager::feature_profile::References;
use crate::manager::feature_profile::at::{At, PlaceError};
use crate::manager::value;

const SET_FIELDS: [&str; 16] = [
    "localTlocList",
    "preferredColorGroup",
    "perferredColorGroup",
    "preferredColorGroupRestrict",
    "tloc",
    "tlocList",
    "service",
    "dscp",
    "policer",
    "forwardingClass",
    "preferredRemoteColor",
    "serviceChain",
    "nextHop",
    "nextHopIpv6",
    "nextHopLoose",
    "vpn",
];

impl Actions {
    /// Reads one `set`.
    pub(super) fn read_set(&mut self, at: &At<'_>, uses: &mut References) -> Result<(), PlaceError> {
        let fields = merged(at, &SET_FIELDS)?;
        let mut parameters = Vec::from_iter(read_color_group(at, &fields, uses)?);
        for (&name, at) in &fields {
            let parameter = match name {
                "localTlocList" => json!({ "field": name, "value": read_local_tlocs(at)? }),
                "tloc" => json!({ "field": name, "value": read_tloc(at)? }),
                "tlocList" => json!({ "field": name, "ref": uses.add(at, "tloc")? }),
                "vpn" => json!({ "field": name, "value": read_vpn(at)? }),
                "dscp" => json!({ "field": name, "value": read_dscp(at)? }),
                "service" => match read_service(at, uses)? {
                    Some(service) => json!({ "field": name, "value": service }),
                    None => {
                        self.note("service of type appqoe");
                        continue;
                    }
                },
                "preferredColorGroup" | "perferredColorGroup" | "preferredColorGroupRestrict" => continue,
                other => {
                    check_other(other, at, uses)?;
                    self.note(name);
                    continue;
                }
            };
            parameters.push(parameter);
        }
        if !parameters.is_empty() {
            self.data.push(json!({ "type": "set", "parameter": parameters }));
        }
        Ok(())
    }
}

fn read_local_tlocs(at: &At<'_>) -> Result<Value, PlaceError> {
    let fields = at.fields(&["color", "restrict", "encap"])?;
    let mut value = json!({ "color": colors(&fields.need("color")?)? });
    if let Some(encap) = fields.get("encap") {
        value["encap"] = json!(encapsulations(&encap)?);
    }
    if fields.get("restrict").map(|at| at.switch()).transpose()? == Some(true) {
        value["restrict"] = json!("");
    }
    Ok(value)
}

fn read_tloc(at: &At<'_>) -> Result<Value, PlaceError> {
    let fields = at.fields(&["color", "encap", "ip"])?;
    let color =
        fields
            .need("color")?
            .option("default".to_owned(), |at| match at.some_items()?.as_slice() {
                [color] => color.parsed(value::color),
                _ => Err(at.refuse("an array of one color")),
            })?;
    let ip = fields
        .need("ip")?
        .option([0, 0, 0, 0].into(), |at| at.parsed(value::system_ip))?;
    let encap = encapsulations(&fields.need("encap")?)?;
    Ok(json!({ "ip": ip, "color": color, "encap": encap }))
}

/// A service; nothing for one of a type that classic policies do not have.
fn read_service(at: &At<'_>, uses: &mut References) -> Result<Option<Value>, PlaceError> {
    const TYPES: [&str; 8] = [
        "IDS", "FW", "IDP", "netsvc1", "netsvc2", "netsvc3", "netsvc4", "appqoe",
    ];
    let fields = at.fields(&["type", "vpn", "local", "restrict", "tloc", "tlocList"])?;
    let kind = fields.need("type")?.option(TYPES[0], |at| at.word(&TYPES))?;
    let mut service = json!({ "type": kind });
    if let Some(vpn) = fields.get("vpn") {
        service["vpn"] = json!(read_vpn(&vpn)?);
    }
    for flag in ["local", "restrict"] {
        if fields.get(flag).map(|at| at.switch()).transpose()? == Some(true) {
            service[flag] = json!("");
        }
    }
    if let Some(tloc) = fields.get("tloc") {
        service["tloc"] = read_tloc(&tloc)?;
    }
    if let Some(list) = fields.get("tlocList") {
        service["tlocList"] = json!({ "ref": uses.add(&list, "tloc")? });
    }
    Ok((kind != "appqoe").then_some(service))
}

fn read_vpn(at: &At<'_>) -> Result<String, PlaceError> {
    let vpn = at.option(0, |at| at.number(0..=65530))?;
    Ok(vpn.to_string())
}

fn read_dscp(at: &At<'_>) -> Result<String, PlaceError> {
    let code = at.option(0, |at| at.number(0..=63))?;
    Ok(code.to_string())
}

/// Checks a field of `set` that edges do not act on.
fn check_other(name: &str, at: &At<'_>, uses: &mut References) -> Result<(), PlaceError> {
    match name {
        "nextHopLoose" => at.switch().map(drop),
        "policer" => uses.add(at, "policer").map(drop),
        "forwardingClass" => uses.add(at, "class").map(drop),
        "preferredRemoteColor" => {
            let fields = at.fields(&["color", "remoteColorRestrict"])?;
            colors(&fields.need("color")?)?;
            fields
                .get("remoteColorRestrict")
                .map(|at| at.switch())
                .transpose()
                .map(drop)
        }
        "serviceChain" => at
            .value
            .as_object()
            .map(drop)
            .ok_or_else(|| at.refuse("an object")),
        _ => at.option((), |at| at.text().map(drop)),
    }
}

/// A text since 20.15, an array before.
fn encapsulations(at: &At<'_>) -> Result<String, PlaceError> {
    at.option("ipsec".to_owned(), |at| match at.value.is_array() {
        true => at.words(value::encapsulation),
        false => at
            .parsed(value::encapsulation)
            .map(|encap| encap.as_str().to_owned()),
    })
}
