//! CustomResourceDefinitions: what they say, the rules they keep, and the resources that follow from them.
//!
//! Owns the way from a stored definition to rows of the resource table. The invariant: a row exists for every
//! served version of every established definition, and its schema is structural. When rows change is the
//! business of `api`.

mod definition;
mod names;
mod rules;
mod validation;
mod versions;

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::object;
use crate::resources::{Form, Resource, Scope, Subresource, VERBS};
use crate::schema::Schema;
use crate::selector::SelectableField;
use crate::status::{FieldError, FieldRule};
use crate::strategy::{self, Strategy};
use definition::{Names, Spec, Version};
pub(crate) use definition::{PrinterColumn, ScalePaths, rank};
pub(crate) use names::settled;
pub(crate) use rules::{begin_deletion, default_new, default_replacement, end_deletion, validate_change};
pub(crate) use validation::validate;

/// The collection of the definitions in the store.
pub(crate) const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// What a custom resource has beyond the row of a built-in one: one version of its definition.
#[derive(Debug)]
pub(crate) struct Custom {
    /// The `apiVersion` objects are stored with.
    storage_api_version: String,
    pub(crate) list_kind: String,
    pub(crate) schema: Arc<Schema>,
    /// The schema of the version that objects are stored in, where that is another.
    stored: Option<Arc<Schema>>,
    /// The schema as it was given, for OpenAPI.
    pub(crate) document: Value,
    pub(crate) columns: Vec<PrinterColumn>,
    pub(crate) scale: Option<ScalePaths>,
    pub(crate) life: Life,
    /// What clients of the version are warned of.
    pub(crate) deprecation: Option<String>,
    /// Another for each spec and each set of names of a definition.
    pub(crate) edition: u64,
}

/// Which requests a version answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// All of them.
    Served,
    /// All but new objects: the definition is being deleted.
    Ending,
    /// None; its objects exist.
    Hidden,
}

impl Custom {
    /// The object of this version from the one that is stored: versions differ in `apiVersion` alone, and what
    /// the schema of the stored one has learned or forgotten since applies. Defaults are those of the stored one.
    pub(crate) fn serve(&self, api_version: String, stored: &Value) -> Value {
        let mut object = stored.clone();
        object["apiVersion"] = json!(api_version);
        let schema = self.stored.as_deref().unwrap_or(&self.schema);
        schema.prune(&mut object);
        schema.fill_in(&mut object);
        if self.stored.is_some() {
            self.schema.prune(&mut object);
        }
        object
    }

    /// What the object, which is to follow `current`, breaks of the schema and its rules.
    pub(crate) fn validate(&self, current: Option<&Value>, object: &Value) -> Vec<FieldError> {
        let mut errors = self.schema.validate(current, object);
        let broken = self.schema.broken_rules(current, object, &errors);
        errors.extend(self.negative_replicas(object));
        errors.extend(self.embedded_metadata(object));
        errors.extend(broken);
        errors
    }

    /// What is wrong with the metadata of the objects inside.
    fn embedded_metadata(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.schema.embeds() {
            let mut object = object.clone();
            let mut collect = |path: &str, embedded: &mut Value| {
                let broken = strategy::embedded_metadata(embedded).into_iter();
                errors.extend(broken.map(|error| FieldError {
                    field: format!("{path}.{}", error.field),
                    ..error
                }));
                Ok::<(), Infallible>(())
            };
            let Ok(()) = self.schema.for_each_embedded(&mut object, "", &mut collect);
        }
        errors
    }

    /// What is wrong with the numbers that a scale shows.
    fn negative_replicas(&self, object: &Value) -> Vec<FieldError> {
        let paths = self.scale.iter();
        let paths = paths.flat_map(|scale| [&scale.spec_replicas_path, &scale.status_replicas_path]);
        let replicas = paths.filter_map(|path| {
            let replicas = object.pointer(&path.replace('.', "/"))?;
            (replicas.as_i64()? < 0).then(|| (path, replicas.clone()))
        });
        let told = replicas.map(|(path, value)| {
            let expected = "should be a non-negative integer".to_owned();
            FieldError::new(path, FieldRule::Limit { value, expected })
        });
        told.collect()
    }

    /// The object to store from one of this version.
    pub(crate) fn store(&self, object: Value) -> Value {
        let mut object = self.store_part(object);
        self.schema.fill_in(&mut object);
        if let Some(stored) = &self.stored {
            stored.prune(&mut object);
            stored.fill_in(&mut object);
        }
        object
    }

    /// As [`Self::store`], of a part of an object: without defaults.
    pub(crate) fn store_part(&self, mut object: Value) -> Value {
        self.schema.prune(&mut object);
        if let Some(stored) = &self.stored {
            stored.prune(&mut object);
        }
        object["apiVersion"] = json!(self.storage_api_version);
        object
    }
}

/// Whether anything but the metadata differs, which makes a new generation of a custom resource.
pub(crate) fn differs_beyond_metadata(current: &Value, next: &Value) -> bool {
    let rest = |object: &Value| {
        let mut rest = object.clone();
        if let Some(fields) = rest.as_object_mut() {
            fields.remove("metadata");
            fields.remove("apiVersion");
        }
        rest
    };
    rest(current) != rest(next)
}

/// The rows of a definition, one per version; none before it is established.
pub(crate) fn rows(definition: &Value) -> Vec<Resource> {
    if !object::condition_is_true(definition, "Established") {
        return Vec::new();
    }
    let Ok(mut spec) = Spec::of(definition) else {
        return Vec::new();
    };
    let versions = std::mem::take(&mut spec.versions);
    let Some(stored) = versions.iter().find(|version| version.storage) else {
        return Vec::new();
    };
    let document = stored.schema.open_api_v3_schema.as_ref();
    let Some(Ok(schema)) = document.map(Schema::parse) else {
        return Vec::new();
    };
    let storage = Storage {
        api_version: format!("{}/{}", spec.group, stored.name),
        schema: Arc::new(schema),
        edition: edition(definition),
    };
    versions
        .into_iter()
        .filter_map(|version| row(definition, &spec, &storage, version))
        .collect()
}

/// The form in which the objects of all versions are stored.
struct Storage {
    api_version: String,
    schema: Arc<Schema>,
    edition: u64,
}

/// A number that changes with what follows from a definition.
pub(crate) fn edition(definition: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    object::uid(definition).hash(&mut hasher);
    definition["spec"].to_string().hash(&mut hasher);
    definition["status"]["acceptedNames"]
        .to_string()
        .hash(&mut hasher);
    hasher.finish()
}

fn row(definition: &Value, spec: &Spec, storage: &Storage, version: Version) -> Option<Resource> {
    let schema = match (version.storage, &version.schema.open_api_v3_schema) {
        (true, _) => Arc::clone(&storage.schema),
        (false, document) => Arc::new(Schema::parse(document.as_ref()?).ok()?),
    };
    let names = Names::of(&definition["status"]["acceptedNames"]);
    let document = version.schema.open_api_v3_schema.unwrap_or_default();
    let switches = [
        (version.subresources.status.is_some(), Subresource::Status),
        (version.subresources.scale.is_some(), Subresource::Scale),
    ];
    let on = |(is_on, subresource): (bool, Subresource)| is_on.then_some(subresource);
    let custom = Custom {
        storage_api_version: storage.api_version.clone(),
        stored: (!version.storage).then(|| Arc::clone(&storage.schema)),
        list_kind: names.list_kind,
        schema,
        document,
        columns: version.additional_printer_columns,
        scale: version.subresources.scale,
        life: match (version.served, object::is_terminating(definition)) {
            (false, _) => Life::Hidden,
            (true, true) => Life::Ending,
            (true, false) => Life::Served,
        },
        deprecation: version.deprecated.then(|| {
            let api_version = format!("{}/{}", spec.group, version.name);
            let told = version.deprecation_warning.clone();
            told.unwrap_or_else(|| format!("{api_version} {} is deprecated", spec.names.kind))
        }),
        edition: storage.edition,
    };
    let fields = version.selectable_fields.iter();
    Some(Resource {
        group: spec.group.clone(),
        version: version.name,
        kind: names.kind,
        plural: names.plural,
        singular: names.singular,
        short_names: names.short_names,
        categories: names.categories,
        scope: match spec.scope.as_str() {
            "Cluster" => Scope::Cluster,
            _ => Scope::Namespaced,
        },
        subresources: switches.into_iter().filter_map(on).collect(),
        selectable: fields
            .map(|field| SelectableField::custom(field.json_path.trim_start_matches('.')))
            .collect(),
        strategy: Strategy::Custom,
        form: Form::Custom(Arc::new(custom)),
        verbs: &VERBS,
        storage: object::name(definition).into(),
    })
}

#[cfg(test)]
mod tests;
