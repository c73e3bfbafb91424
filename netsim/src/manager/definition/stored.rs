//! Definitions that edges do not carry out: kept as they are written.
//!
//! Owns finding the objects that such a definition names, wherever in it; what else it says is not read. Invariant: whatever
//! stands where an object is named is known by its kind and its place, or the definition is refused.

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::DefinitionError;
use super::kinds::StoredKind;
use crate::manager::objects::Use;
use crate::manager::shape::shown;

/// A definition that edges do not carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct StoredDefinition {
    pub(in crate::manager) kind: &'static StoredKind,
    /// What it names, each with its place.
    pub(super) uses: Vec<(String, Use)>,
}

/// The fields that name objects, and the kinds of these. Ids stand under such a field or, below it, under `ref`; the field of
/// what has a `field` is that, and the field of an action's `parameter` is the `type` of the action.
static NAMES: [(&str, &str); 39] = [
    ("appList", "localapp"),
    ("class", "class"),
    ("classMapRef", "class"),
    ("colorList", "color"),
    ("community", "community"),
    ("dataIPV6PrefixList", "dataipv6prefix"),
    ("dataPrefixList", "dataprefix"),
    ("destinationDataIpv6PrefixList", "dataipv6prefix"),
    ("destinationDataPrefixList", "dataprefix"),
    ("destinationFqdnList", "fqdn"),
    ("destinationGeoLocationList", "geolocation"),
    ("destinationIPV6DataPrefixList", "dataipv6prefix"),
    ("destinationPortList", "port"),
    ("destinationSecurityGroup", "securitygroup"),
    ("destinationZone", "zone"),
    ("expandedCommunity", "expandedcommunity"),
    ("fqdnList", "fqdn"),
    ("geoLocationList", "geolocation"),
    ("ipv6PrefixLists", "ipv6prefix"),
    ("mirror", "mirror"),
    ("policer", "policer"),
    ("portList", "port"),
    ("prefixList", "prefix"),
    ("prefixLists", "prefix"),
    ("protocolNameList", "protocolname"),
    ("regionList", "region"),
    ("ruleSetList", "ruleset"),
    ("siteList", "site"),
    ("siteLists", "site"),
    ("sourceDataIpv6PrefixList", "dataipv6prefix"),
    ("sourceDataPrefixList", "dataprefix"),
    ("sourceFqdnList", "fqdn"),
    ("sourceGeoLocationList", "geolocation"),
    ("sourceIPV6DataPrefixList", "dataipv6prefix"),
    ("sourcePortList", "port"),
    ("sourceSecurityGroup", "securitygroup"),
    ("sourceZone", "zone"),
    ("tlocList", "tloc"),
    ("vpnList", "vpn"),
];

/// What stands in place of an id where nothing is named.
const NOTHING: [(&str, &str); 2] = [("classMapRef", ""), ("sourceZone", "self")];

/// The body of any kind: which keys are there differs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawStored {
    pub(super) name: String,
    // This and the mode are read through the body as it is written.
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(rename = "type")]
    pub(super) type_name: String,
    #[serde(rename = "mode")]
    _mode: Option<String>,
    sequence_ip_type: Option<String>,
    default_action: Option<Map<String, Value>>,
    sequences: Option<Vec<Value>>,
    definition: Option<Map<String, Value>>,
}

/// Parses what a body says besides its name and type.
pub(super) fn parse(
    kind: &'static StoredKind,
    raw: &RawStored,
    body: &Map<String, Value>,
) -> Result<StoredDefinition, DefinitionError> {
    let given = [
        ("sequenceIpType", raw.sequence_ip_type.is_some()),
        ("defaultAction", raw.default_action.is_some()),
        ("sequences", raw.sequences.is_some()),
        ("definition", raw.definition.is_some()),
    ];
    for (key, is_given) in given {
        if is_given && !kind.keys.contains(&key) {
            return Err(DefinitionError::NoKey(key));
        }
    }
    if raw.definition.is_none() && kind.keys.contains(&"definition") {
        return Err(DefinitionError::MissingKey("definition"));
    }
    let mut found = Found::default();
    found.below("", "", body)?;
    Ok(StoredDefinition {
        kind,
        uses: found.uses,
    })
}

/// What has been found so far.
#[derive(Default)]
struct Found {
    uses: Vec<(String, Use)>,
}

impl Found {
    /// Looks at a value, which stands under a field.
    fn at(&mut self, place: &str, field: &str, value: &Value) -> Result<(), DefinitionError> {
        match value {
            Value::Object(object) => self.below(place, field, object),
            Value::Array(values) => {
                let mut values = values.iter().enumerate();
                values.try_for_each(|(index, value)| self.at(&format!("{place}[{index}]"), field, value))
            }
            Value::Null => Ok(()),
            _ => match NAMES.iter().find(|(known, _)| *known == field) {
                Some(&name) => self.ids(place, name, value),
                None => Ok(()),
            },
        }
    }

    fn below(
        &mut self,
        place: &str,
        field: &str,
        object: &Map<String, Value>,
    ) -> Result<(), DefinitionError> {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let own = text("field").unwrap_or(field);
        for (key, value) in object {
            let joint = if place.is_empty() { "" } else { "." };
            let place = format!("{place}{joint}{key}");
            let field = match key.as_str() {
                "ref" if NAMES.iter().all(|(known, _)| *known != own) => {
                    let field = own.to_owned();
                    return Err(DefinitionError::NoReference { place, field });
                }
                "ref" => own,
                "parameter" => text("type").unwrap_or(key),
                _ => key,
            };
            self.at(&place, field, value)?;
        }
        Ok(())
    }

    /// One id or, with spaces between them, several.
    fn ids(
        &mut self,
        place: &str,
        (field, kind): (&'static str, &'static str),
        value: &Value,
    ) -> Result<(), DefinitionError> {
        let not_an_id = || DefinitionError::Id {
            place: place.to_owned(),
            found: shown(value),
        };
        let text = value.as_str().ok_or_else(not_an_id)?;
        if NOTHING.contains(&(field, text)) {
            return Ok(());
        }
        let mut ids = text.split_ascii_whitespace().peekable();
        ids.peek().ok_or_else(not_an_id)?;
        for id in ids {
            let id = Uuid::parse_str(id).map_err(|_| not_an_id())?;
            self.uses.push((place.to_owned(), Use { id, kind, field }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
