//! The printer columns of custom resources, as their definitions name them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age;
use crate::custom::{Custom, PrinterColumn};
use crate::json_path::JsonPath;

/// The columns of one version after the name: those of the definition, or the age where it names none.
pub(super) fn of(custom: &Custom) -> Vec<Printer> {
    let named = custom.columns.iter().map(|column| Printer {
        path: JsonPath::parse(&column.json_path),
        column: column.clone(),
    });
    let named: Vec<Printer> = named.collect();
    if named.is_empty() {
        vec![Printer::age()]
    } else {
        named
    }
}

/// One column with its path.
#[derive(Debug)]
pub(super) struct Printer {
    column: PrinterColumn,
    path: Option<JsonPath>,
}

impl Printer {
    fn age() -> Self {
        let json_path = ".metadata.creationTimestamp".to_owned();
        Printer {
            path: JsonPath::parse(&json_path),
            column: PrinterColumn {
                name: "Age".to_owned(),
                type_name: "date".to_owned(),
                json_path,
                ..PrinterColumn::default()
            },
        }
    }

    pub(super) fn definition(&self) -> Value {
        let column = &self.column;
        let description = match column.description.as_str() {
            "" => format!(
                "Custom resource definition column (in JSONPath format): {}",
                column.json_path
            ),
            description => description.to_owned(),
        };
        json!({
            "name": column.name, "type": column.type_name, "format": column.format,
            "description": description, "priority": column.priority,
        })
    }

    /// The first value the path leads to, or null where it has not the column's type.
    pub(super) fn cell(&self, object: &Value) -> Value {
        let found = self
            .path
            .as_ref()
            .map(|path| path.find(object))
            .unwrap_or_default();
        let Some(&value) = found.first() else {
            return Value::Null;
        };
        match (self.column.type_name.as_str(), value) {
            ("string", Value::String(text)) => json!(text),
            ("string", Value::Null) => json!("<nil>"),
            ("string", other) => json!(other.to_string()),
            ("integer", Value::Number(number)) => match number.as_i64() {
                Some(whole) => json!(whole),
                // As Go converts: towards zero.
                None => json!(number.as_f64().unwrap_or_default().trunc()),
            },
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
            ("date", Value::String(stamp)) => match stamp.parse::<Timestamp>() {
                Ok(_) => json!(age::since(stamp, Timestamp::now())),
                Err(_) => json!("<invalid>"),
            },
            _ => Value::Null,
        }
    }
}
