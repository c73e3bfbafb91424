//! Filling in the defaults of a schema.

use serde_json::Value;

use super::Schema;

impl Schema {
    /// Fills in the defaults of absent fields, in objects that are there. A null where none is allowed counts as
    /// absent: it becomes the default, or goes.
    pub(crate) fn fill_in(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, value| !(value.is_null() && self.field(name).is_some_and(vanishes)));
                for (name, property) in &self.properties {
                    if let Some(default) = property.default_value()
                        && fields
                            .get(name)
                            .is_none_or(|value| value.is_null() && property.drops_null())
                    {
                        fields.insert(name.clone(), default.clone());
                    }
                }
                for (name, value) in fields.iter_mut() {
                    if let Some(inner) = self.field(name) {
                        replace_null(inner, value);
                        inner.fill_in(value);
                    }
                }
            }
            Value::Array(elements) => {
                for value in elements {
                    if let Some(items) = self.items() {
                        replace_null(items, value);
                        items.fill_in(value);
                    }
                }
            }
            _ => {}
        }
    }
}

fn vanishes(schema: &Schema) -> bool {
    schema.drops_null() && schema.default_value().is_none()
}

fn replace_null(schema: &Schema, value: &mut Value) {
    if let Some(default) = schema.default_value()
        && value.is_null()
        && schema.drops_null()
    {
        *value = default.clone();
    }
}
