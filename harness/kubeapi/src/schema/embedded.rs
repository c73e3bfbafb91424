//! The objects inside of an object: each has a kind and metadata of its own.

use serde_json::Value;

use super::{Schema, child, element};

impl Schema {
    /// Calls `visit` with each object that is embedded in `value`, which is at `path`, and its own path.
    pub(crate) fn for_each_embedded<E>(
        &self,
        value: &mut Value,
        path: &str,
        visit: &mut impl FnMut(&str, &mut Value) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.is_embedded_resource && value.is_object() {
            visit(path, value)?;
        }
        match value {
            Value::Object(fields) => fields
                .iter_mut()
                .try_for_each(|(name, value)| match self.field(name) {
                    Some(inner) => inner.for_each_embedded(value, &child(path, name), visit),
                    None => Ok(()),
                }),
            Value::Array(elements) => {
                let mut elements = elements.iter_mut().enumerate();
                elements.try_for_each(|(at, value)| match self.items() {
                    Some(items) => items.for_each_embedded(value, &element(path, at), visit),
                    None => Ok(()),
                })
            }
            _ => Ok(()),
        }
    }

    /// Whether objects are embedded at all.
    pub(crate) fn embeds(&self) -> bool {
        self.is_embedded_resource || self.parts().any(Schema::embeds)
    }

    /// The schemas of what is inside.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Schema> {
        let others = match &self.additional_properties {
            Some(super::Additional::Of(schema)) => Some(&**schema),
            Some(super::Additional::Allowed(_)) | None => None,
        };
        self.properties.values().chain(self.items()).chain(others)
    }
}
