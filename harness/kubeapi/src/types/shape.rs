//! Types as a decoder needs them: which fields there are, and what each one holds.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::catalogue::catalogue;
use super::facts::{self, Presence};

/// What a value holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// By the name of the type in upstream's code: `string`, `v1.ServiceType`.
    Text(&'static str),
    Bool,
    Int32,
    Int64,
    Float,
    /// Base64.
    Bytes,
    /// RFC 3339, in seconds.
    Time,
    /// RFC 3339, in microseconds.
    MicroTime,
    Quantity,
    IntOrString,
    /// Anything, which is not looked into.
    Raw,
    /// Anything, whose fields come once.
    Any,
    Map(Box<Shape>),
    List(Box<Shape>),
    Struct(StructId),
    /// An object of the first, or else something of the second.
    Either(Box<Shape>, Box<Shape>),
}

/// The place of a [`Struct`] among all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StructId(usize);

/// An object with named fields.
#[derive(Debug)]
pub(crate) struct Struct {
    /// As upstream's code calls it: `ServiceSpec`.
    pub(crate) name: String,
    /// As upstream's code calls it: `v1`.
    package: String,
    pub(crate) fields: BTreeMap<String, Field>,
    /// Those that are always written, and what they are where nothing sets them.
    pub(super) always: Vec<(String, Value)>,
}

/// What upstream's code says of a field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) shape: Shape,
    pub(crate) presence: Presence,
}

impl StructId {
    pub(crate) fn get(self) -> &'static Struct {
        &TYPES.structs[self.0]
    }
}

impl Shape {
    /// The name of the type in upstream's code.
    pub(crate) fn name(&self) -> String {
        match self {
            Shape::Text(name) => (*name).to_owned(),
            Shape::Time | Shape::MicroTime => "string".to_owned(),
            Shape::Bool => "bool".to_owned(),
            Shape::Int32 | Shape::IntOrString => "int32".to_owned(),
            Shape::Int64 => "int64".to_owned(),
            Shape::Float => "float64".to_owned(),
            Shape::Bytes => "[]uint8".to_owned(),
            Shape::Quantity => "resource.Quantity".to_owned(),
            Shape::Raw | Shape::Any => "interface {}".to_owned(),
            Shape::Map(values) => format!("map[string]{}", values.name()),
            Shape::List(elements) => format!("[]{}", elements.name()),
            Shape::Struct(id) => format!("{}.{}", id.get().package, id.get().name),
            Shape::Either(object, _) => object.name(),
        }
    }

    /// The value that is not set to any other.
    pub(crate) fn zero(&self) -> Value {
        match self {
            Shape::Text(_) | Shape::Bytes => json!(""),
            Shape::Bool => json!(false),
            Shape::Int32 | Shape::Int64 | Shape::Float | Shape::IntOrString => json!(0),
            Shape::Quantity => json!("0"),
            Shape::Struct(_) => json!({}),
            Shape::Time
            | Shape::MicroTime
            | Shape::Raw
            | Shape::Any
            | Shape::Map(_)
            | Shape::List(_)
            | Shape::Either(..) => Value::Null,
        }
    }
}

struct Types {
    structs: Vec<Struct>,
    by_definition: HashMap<&'static str, Shape>,
}

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let definitions = &catalogue().definitions;
    let with_fields = definitions
        .iter()
        .filter(|(_, schema)| schema["properties"].is_object());
    let mut by_definition: HashMap<&str, Shape> = HashMap::new();
    for (at, (name, _)) in with_fields.clone().enumerate() {
        by_definition.insert(name, Shape::Struct(StructId(at)));
    }
    let structs = with_fields.map(|(definition, schema)| {
        let (package, name) = definition.rsplit_once('.').unwrap_or_default();
        let fields = schema["properties"].as_object().into_iter().flatten();
        let fields: BTreeMap<String, Field> = fields
            .map(|(field, schema)| (field.clone(), field_of(definition, field, schema, &by_definition)))
            .collect();
        let always = fields.iter().filter_map(|(name, field)| match field.presence {
            Presence::OrZero => Some((name.clone(), field.shape.zero())),
            Presence::OrNull => Some((name.clone(), Value::Null)),
            Presence::UnlessZero | Presence::WhenSet => None,
        });
        Struct {
            name: name.to_owned(),
            package: package.rsplit('.').next().unwrap_or_default().to_owned(),
            always: always.collect(),
            fields,
        }
    });
    Types {
        structs: structs.collect(),
        by_definition,
    }
});

/// The shape of a built-in kind; `None` for one without a type.
pub(crate) fn of_kind(group: &str, version: &str, kind: &str) -> Option<&'static Shape> {
    let root = catalogue().root(group, version, kind)?;
    TYPES.by_definition.get(root.definition.as_str())
}

/// The shape of the metadata of every object.
pub(crate) fn object_meta() -> Option<&'static Shape> {
    TYPES
        .by_definition
        .get("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
}

fn field_of(definition: &str, field: &str, schema: &Value, structs: &HashMap<&str, Shape>) -> Field {
    let fact = facts::of(definition, field);
    let shape = shape_of(
        schema,
        fact.and_then(|fact| fact.text).unwrap_or("string"),
        structs,
    );
    let presence = match (fact.and_then(|fact| fact.presence), &shape) {
        (Some(presence), _) => presence,
        (None, Shape::List(_) | Shape::Map(_) | Shape::Bytes) => Presence::UnlessZero,
        (None, _) => Presence::WhenSet,
    };
    Field { shape, presence }
}

/// The shape of a schema, whose text is of the type `text`.
fn shape_of(schema: &Value, text: &'static str, structs: &HashMap<&str, Shape>) -> Shape {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return match (structs.get(name), name.rsplit('.').next()) {
            (Some(Shape::Struct(id)), _) => Shape::Struct(*id),
            (_, Some("Time")) => Shape::Time,
            (_, Some("MicroTime")) => Shape::MicroTime,
            (_, Some("Quantity")) => Shape::Quantity,
            (_, Some("IntOrString")) => Shape::IntOrString,
            (_, Some(other)) => of_schema(other, structs),
            _ => Shape::Raw,
        };
    }
    let list_or_map = |inner: &Value| Box::new(shape_of(inner, text, structs));
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("string"), Some("byte")) => Shape::Bytes,
        (Some("string"), _) => Shape::Text(text),
        (Some("boolean"), _) => Shape::Bool,
        (Some("integer"), Some("int32")) => Shape::Int32,
        (Some("integer"), _) => Shape::Int64,
        (Some("number"), _) => Shape::Float,
        (Some("array"), _) => Shape::List(list_or_map(&schema["items"])),
        (Some("object"), _) if schema["additionalProperties"].is_object() => {
            Shape::Map(list_or_map(&schema["additionalProperties"]))
        }
        _ => Shape::Raw,
    }
}

/// The shape of what stands in a JSON schema for another one or for something else.
fn of_schema(name: &str, structs: &HashMap<&str, Shape>) -> Shape {
    let schema = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
    let Some(Shape::Struct(id)) = structs.get(schema) else {
        return Shape::Raw;
    };
    let or_else = match name {
        "JSONSchemaPropsOrBool" => Shape::Bool,
        "JSONSchemaPropsOrArray" => Shape::List(Box::new(Shape::Struct(*id))),
        "JSONSchemaPropsOrStringArray" => Shape::List(Box::new(Shape::Text("string"))),
        _ => return Shape::Raw,
    };
    Shape::Either(Box::new(Shape::Struct(*id)), Box::new(or_else))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: &str, path: &[&str]) -> String {
        let (group, kind) = kind.rsplit_once('/').unwrap_or(("", kind));
        let mut shape = of_kind(group, "v1", kind).expect("a kind with a type");
        for step in path {
            shape = match shape {
                Shape::Struct(id) => &id.get().fields[*step].shape,
                Shape::List(inner) | Shape::Map(inner) => inner,
                other => panic!("{step} in {other:?}"),
            };
        }
        shape.name()
    }

    #[test]
    fn fields_have_the_types_that_upstream_names() {
        assert_eq!(field("Service", &["spec", "ports"]), "[]v1.ServicePort");
        assert_eq!(field("Service", &["spec", "type"]), "v1.ServiceType");
        assert_eq!(field("Service", &["spec", "ipFamilies"]), "[]v1.IPFamily");
        assert_eq!(field("apps/Deployment", &["spec", "replicas"]), "int32");
        assert_eq!(field("ConfigMap", &["data"]), "map[string]string");
        assert_eq!(field("Secret", &["data", "a"]), "[]uint8");
        assert_eq!(field("Pod", &["metadata", "generation"]), "int64");
        let limits = ["spec", "containers", "0", "resources", "limits", "cpu"];
        assert_eq!(field("Pod", &limits), "resource.Quantity");
    }

    #[test]
    fn types_with_two_forms_are_known_by_name() {
        let Some(Shape::Struct(port)) = TYPES.by_definition.get("io.k8s.api.core.v1.ServicePort") else {
            panic!("a struct");
        };
        assert_eq!(port.get().fields["targetPort"].shape, Shape::IntOrString);
        let Some(Shape::Struct(lease)) = TYPES.by_definition.get("io.k8s.api.coordination.v1.LeaseSpec")
        else {
            panic!("a struct");
        };
        assert_eq!(lease.get().fields["renewTime"].shape, Shape::MicroTime);
        let Some(Shape::Struct(entry)) = TYPES
            .by_definition
            .get("io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry")
        else {
            panic!("a struct");
        };
        assert_eq!(entry.get().fields["fieldsV1"].shape, Shape::Raw);
        assert_eq!(entry.get().fields["time"].shape, Shape::Time);
    }
}
