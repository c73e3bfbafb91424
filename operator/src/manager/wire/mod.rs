//! The JSON of the Manager's API.
//!
//! Owns the translation between [`core`](crate::core) objects and request and answer bodies. Invariant: answers are
//! read leniently (unknown fields and any order are fine), but a sequence counts as ours only if it says exactly
//! what the operator would write.

mod action;
mod assembly;
mod definition;
mod list;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::core::{DefinitionKey, ListName};

pub(super) use self::assembly::{others, policy_body, policy_content, read_assembly, write_assembly};
pub(super) use self::definition::{
    DEFINITION_KINDS, definition_body, definition_path, ip_type, match_fields, read_definition,
};
pub(super) use self::list::{LIST_KINDS, entry_texts, list_body, list_path, read_list};

/// The ids of lists by name.
pub(super) type ListIds = HashMap<ListName, String>;

/// The ids of definitions.
pub(super) type DefinitionIds = BTreeMap<DefinitionKey, String>;

/// A table of rows, as every list request answers.
#[derive(Debug, Deserialize)]
pub(super) struct Rows<T> {
    pub(super) data: Vec<T>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListRow {
    pub(super) list_id: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) entries: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DefinitionRow {
    pub(super) definition_id: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyRow {
    pub(super) policy_id: String,
    pub(super) policy_name: String,
    #[serde(default)]
    pub(super) policy_description: Option<String>,
    #[serde(default)]
    pub(super) policy_definition: Value,
    #[serde(default)]
    pub(super) is_policy_activated: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct DeviceRow {
    #[serde(default)]
    pub(super) personality: Option<String>,
    #[serde(default, rename = "site-id", deserialize_with = "text_or_number")]
    pub(super) site_id: Option<String>,
    #[serde(default)]
    pub(super) uuid: Option<String>,
    #[serde(default, rename = "host-name")]
    pub(super) host_name: Option<String>,
    #[serde(default)]
    pub(super) reachability: Option<String>,
}

impl DeviceRow {
    /// Whether it is a WAN edge.
    pub(super) fn is_edge(&self) -> bool {
        self.personality.as_deref() == Some("vedge")
    }

    /// Whether the Manager cannot reach it.
    pub(super) fn is_offline(&self) -> bool {
        self.reachability.as_deref() == Some("unreachable")
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListCreated {
    pub(super) list_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DefinitionCreated {
    pub(super) definition_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyCreated {
    pub(super) policy_id: String,
}

/// The Manager's text for something.
#[derive(Debug, Deserialize)]
pub(super) struct Preview {
    pub(super) preview: String,
}

/// A push that was started, of a policy or of a policy group.
#[derive(Debug, Deserialize)]
pub(super) struct TaskStarted {
    #[serde(alias = "parentTaskId")]
    pub(super) id: String,
}

/// An error answer: the envelope if there is one, else the body; of either, as much as a message can hold.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: String,
    #[serde(default)]
    code: String,
}

#[derive(Debug, Deserialize)]
struct Envelope {
    error: Refusal,
}

impl Refusal {
    const EXCERPT: usize = 300;

    pub(super) fn read(body: &[u8]) -> Self {
        let Ok(Envelope { error }) = serde_json::from_slice(body) else {
            return Self {
                message: excerpt(&String::from_utf8_lossy(body)),
                ..Self::default()
            };
        };
        Self {
            message: excerpt(&error.message),
            details: excerpt(&error.details),
            code: error.code,
        }
    }
}

/// The beginning of a text, and of a page only that it is one.
fn excerpt(text: &str) -> String {
    let text = text.trim();
    if text.starts_with('<') {
        return "a page of HTML".to_owned();
    }
    match text.char_indices().nth(Refusal::EXCERPT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.details.is_empty() {
            write!(f, ": {}", self.details)?;
        }
        if !self.code.is_empty() {
            write!(f, " ({})", self.code)?;
        }
        Ok(())
    }
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// The lock that an edit took; edits of what the active policy uses name it.
pub(super) fn process_id(answer: &Value) -> Option<String> {
    answer.get("processId").and_then(Value::as_str).map(str::to_owned)
}

/// Adds the lock that this change set already holds, so that a further edit is part of it.
pub(super) fn with_process_id(mut body: Value, process_id: Option<&str>) -> Value {
    if let (Some(id), Some(fields)) = (process_id, body.as_object_mut()) {
        fields.insert("processId".to_owned(), id.into());
    }
    body
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_quotes_no_page_and_no_more_than_a_message_can_hold() {
        let long = "é".repeat(5000);
        let body = json!({ "error": { "message": long, "details": "<html>whole</html>", "code": "X" } });
        let text = Refusal::read(body.to_string().as_bytes()).to_string();
        assert!(text.ends_with("é…: a page of HTML (X)"), "{text}");
        assert!(text.chars().count() < 400);
        assert_eq!(
            Refusal::read(b" <?xml?><p>oops</p>").to_string(),
            "a page of HTML"
        );
        assert_eq!(Refusal::read(b"oops\n").to_string(), "oops");
    }
}
