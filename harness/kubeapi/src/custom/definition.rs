//! The spec of a CustomResourceDefinition, parsed.

use std::cmp::Reverse;

use serde::Deserialize;
use serde_json::Value;

use crate::status::Status;

/// `spec` of a definition.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) group: String,
    pub(super) names: Names,
    pub(super) scope: String,
    pub(super) versions: Vec<Version>,
    pub(super) conversion: Conversion,
    pub(super) preserve_unknown_fields: bool,
}

/// How the resource is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Names {
    pub(super) plural: String,
    pub(super) singular: String,
    pub(super) kind: String,
    pub(super) list_kind: String,
    pub(super) short_names: Vec<String>,
    pub(super) categories: Vec<String>,
}

/// How objects of one version become those of another.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Conversion {
    pub(super) strategy: String,
    pub(super) webhook: Option<Webhook>,
}

/// Who converts them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Webhook {
    pub(super) client_config: Option<Value>,
    pub(super) conversion_review_versions: Vec<String>,
}

/// One version of the resource.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Version {
    pub(super) name: String,
    pub(super) served: bool,
    pub(super) storage: bool,
    pub(super) deprecated: bool,
    pub(super) deprecation_warning: Option<String>,
    pub(super) schema: Validation,
    pub(super) subresources: Subresources,
    pub(super) additional_printer_columns: Vec<PrinterColumn>,
    pub(super) selectable_fields: Vec<Selectable>,
}

/// `schema` of a version.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Validation {
    #[serde(rename = "openAPIV3Schema")]
    pub(super) open_api_v3_schema: Option<Value>,
}

/// The subresources that are switched on.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Subresources {
    pub(super) status: Option<Value>,
    pub(super) scale: Option<ScalePaths>,
}

/// Where the scale of an object is, as paths from its root with a leading dot.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ScalePaths {
    pub(crate) spec_replicas_path: String,
    pub(crate) status_replicas_path: String,
    pub(crate) label_selector_path: Option<String>,
}

/// A column of `kubectl get`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PrinterColumn {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) format: String,
    pub(crate) description: String,
    pub(crate) priority: i32,
    pub(crate) json_path: String,
}

/// A field for field selectors.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Selectable {
    pub(super) json_path: String,
}

impl Spec {
    pub(super) fn of(definition: &Value) -> Result<Spec, Status> {
        Spec::deserialize(&definition["spec"]).map_err(|error| {
            Status::bad_request(format!(
                "CustomResourceDefinition in version \"v1\" cannot be handled as a CustomResourceDefinition: {error}"
            ))
        })
    }

    pub(super) fn storage_version(&self) -> Option<&str> {
        let stored = self.versions.iter().find(|version| version.storage);
        stored.map(|version| version.name.as_str())
    }
}

impl Names {
    /// The names, or none where they cannot be read.
    pub(super) fn of(names: &Value) -> Names {
        Names::deserialize(names).unwrap_or_default()
    }
}

/// Where a version comes among those of its group: `v2`, `v1`, `v2beta1`, `v1alpha1`, then all others by name.
pub(crate) fn rank(version: &str) -> (u8, Reverse<u32>, Reverse<u32>, String) {
    parsed(version).map_or_else(
        || (3, Reverse(0), Reverse(0), version.to_owned()),
        |(stage, major, minor)| (stage, Reverse(major), Reverse(minor), String::new()),
    )
}

fn parsed(version: &str) -> Option<(u8, u32, u32)> {
    let version = version.strip_prefix('v')?;
    for (stage, name) in [(1, "beta"), (2, "alpha")] {
        if let Some((major, minor)) = version.split_once(name) {
            return Some((stage, major.parse().ok()?, minor.parse().ok()?));
        }
    }
    Some((0, version.parse().ok()?, 0))
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn versions_are_ranked_by_stability_then_number() {
        let ranked = [
            "v10",
            "v2",
            "v1",
            "v11beta2",
            "v10beta3",
            "v3beta1",
            "v12alpha1",
            "v11alpha2",
            "foo1",
            "foo10",
        ];
        let mut sorted = ranked;
        sorted.reverse();
        sorted.sort_by_cached_key(|version| rank(version));
        assert_eq!(sorted, ranked);
    }
}
