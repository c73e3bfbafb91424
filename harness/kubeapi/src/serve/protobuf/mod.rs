//! Reading the protobuf bodies in which `kubectl create`, `auth` and `create token` send their objects.
//!
//! Owns the wire format and the field numbers of the few kinds these send, from the published `generated.proto` files.
//! Answers are JSON, which the same clients take. Invariant: a field that is not known here is refused, not lost.

mod kept;
mod schema;
mod workloads;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use schema::{Content, Field, Message};

pub(super) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every body starts with.
const MAGIC: &[u8] = b"k8s\0";

/// Why a body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtobufError {
    #[error("it does not start with the magic number of the format")]
    Magic,
    #[error("it ends within a field, or holds a field that is malformed")]
    Malformed,
    #[error("objects of kind \"{kind}\" in \"{api_version}\" are read as JSON only")]
    Kind { api_version: String, kind: String },
    #[error("field {number} of {message} is read as JSON only")]
    Field { message: &'static str, number: u64 },
}

/// The object of a body: its envelope says the kind.
pub(super) fn object(body: &[u8]) -> Result<Value, ProtobufError> {
    let envelope = body.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?;
    let (mut kind, mut content) = (Map::new(), &[][..]);
    for field in Fields(envelope) {
        match field? {
            (1, Wire::Bytes(bytes)) => kind = message(&schema::TYPE_META, bytes)?,
            (2, Wire::Bytes(bytes)) => content = bytes,
            // How the content is encoded, which is always the same.
            (3 | 4, Wire::Bytes(_)) => {}
            _ => return Err(ProtobufError::Malformed),
        }
    }
    let text = |name: &str| kind.get(name).and_then(Value::as_str).unwrap_or_default();
    let Some(schema) = schema::of_kind(text("apiVersion"), text("kind")) else {
        return Err(ProtobufError::Kind {
            api_version: text("apiVersion").to_owned(),
            kind: text("kind").to_owned(),
        });
    };
    let mut object = message(schema, content)?;
    object.append(&mut kind);
    Ok(Value::Object(object))
}

fn message(schema: &Message, bytes: &[u8]) -> Result<Map<String, Value>, ProtobufError> {
    let mut object = Map::new();
    for field in Fields(bytes) {
        let (number, wire) = field?;
        let known = schema.fields.iter().find(|field| field.number == number);
        let field = known.ok_or(ProtobufError::Field {
            message: schema.name,
            number,
        })?;
        put(&mut object, field, wire)?;
    }
    Ok(object)
}

/// As in JSON, a text that is empty is left out, unless it is an element of a list.
fn put(object: &mut Map<String, Value>, field: &Field, wire: Wire<'_>) -> Result<(), ProtobufError> {
    let value = match (field.content, wire) {
        (Content::Ignored, _) => return Ok(()),
        (Content::Text, Wire::Bytes(bytes)) if bytes.is_empty() && !field.is_list => return Ok(()),
        (Content::Text, Wire::Bytes(bytes)) => json!(text(bytes)?),
        // Numbers are sent in two's complement.
        (Content::SetNumber | Content::SetFlag, Wire::Varint(0)) => return Ok(()),
        (Content::Number | Content::SetNumber, Wire::Varint(number)) => json!(number.cast_signed()),
        (Content::Flag | Content::SetFlag, Wire::Varint(number)) => json!(number != 0),
        (Content::IntOrString, Wire::Bytes(bytes)) => int_or_string(bytes)?,
        (Content::SetIntOrString, Wire::Bytes(bytes)) => match int_or_string(bytes)? {
            value if value == 0 => return Ok(()),
            value => value,
        },
        (Content::Inline(schema), Wire::Bytes(bytes)) => {
            object.append(&mut message(schema, bytes)?);
            return Ok(());
        }
        (Content::Message(schema), Wire::Bytes(bytes)) => Value::Object(message(schema, bytes)?),
        (Content::TextMap | Content::BytesMap | Content::QuantityMap, Wire::Bytes(bytes)) => {
            let (key, value) = entry(bytes)?;
            let value = match field.content {
                Content::BytesMap => STANDARD.encode(value),
                Content::QuantityMap => quantity(value)?,
                _ => text(value)?,
            };
            let map = object.entry(field.name).or_insert_with(|| json!({}));
            map[text(key)?] = json!(value);
            return Ok(());
        }
        _ => return Err(ProtobufError::Malformed),
    };
    if !field.is_list {
        object.insert(field.name.to_owned(), value);
    } else if let Value::Array(list) = object.entry(field.name).or_insert_with(|| json!([])) {
        list.push(value);
    }
    Ok(())
}

/// A map is a list of messages of a key and a value.
fn entry(bytes: &[u8]) -> Result<(&[u8], &[u8]), ProtobufError> {
    let (mut key, mut value) = (&[][..], &[][..]);
    for field in Fields(bytes) {
        match field? {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => return Err(ProtobufError::Malformed),
        }
    }
    Ok((key, value))
}

/// Which of the two it is comes first, then both.
fn int_or_string(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let (mut is_text, mut number, mut words) = (false, 0, &[][..]);
    for field in Fields(bytes) {
        match field? {
            (1, Wire::Varint(kind)) => is_text = kind == 1,
            (2, Wire::Varint(value)) => number = value.cast_signed(),
            (3, Wire::Bytes(value)) => words = value,
            _ => return Err(ProtobufError::Malformed),
        }
    }
    Ok(match is_text {
        true => json!(text(words)?),
        false => json!(number),
    })
}

/// A message of one text.
fn quantity(bytes: &[u8]) -> Result<String, ProtobufError> {
    match Fields(bytes).next() {
        Some(Ok((1, Wire::Bytes(bytes)))) => text(bytes),
        _ => Err(ProtobufError::Malformed),
    }
}

fn text(bytes: &[u8]) -> Result<String, ProtobufError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ProtobufError::Malformed)
}

/// The value of a field as it is sent. The other wire types hold floating point numbers, which no kind has here.
enum Wire<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message with their numbers.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Wire<'a>), ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or(ProtobufError::Malformed);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Wire<'a>)> {
        let key = self.varint()?;
        let wire = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Wire::Bytes(bytes)
            }
            _ => return None,
        };
        Some((key >> 3, wire))
    }

    /// Seven bits an octet, the lowest first, at most 64 of them.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&octet, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(octet & 0x7f) << shift;
            if octet < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
