//! Rules of the kinds that hold data by keys: ConfigMap and Secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::names;
use super::validation::invalid;
use crate::object::{self, default_to};
use crate::status::{FieldError, FieldRule, Status};

/// As upstream, of all values together.
const BYTES_MAX: usize = 1024 * 1024;

/// `stringData` is write-only: it becomes `data`.
pub(super) fn default_secret(secret: &mut Value) -> Result<(), Status> {
    let Some(fields) = secret.as_object_mut() else {
        return Ok(());
    };
    default_to(fields, "type", "Opaque");
    let Some(Value::Object(plain)) = fields.remove("stringData") else {
        return Ok(());
    };
    let data = object::map_mut(secret, "data")?;
    for (key, value) in plain {
        let text = value.as_str().unwrap_or_default();
        data.insert(key, json!(STANDARD.encode(text)));
    }
    Ok(())
}

pub(super) fn validate_config_map(map: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut bytes = 0;
    for (key, value) in object::entries(map, "/data") {
        let field = format!("data[{key}]");
        errors.extend(invalid(&field, key, names::config_key(key)));
        if map["binaryData"].get(key).is_some() {
            errors.push(FieldError::invalid(
                field,
                key,
                "duplicate of key present in binaryData",
            ));
        }
        bytes += value.as_str().unwrap_or_default().len();
    }
    for (key, value) in object::entries(map, "/binaryData") {
        errors.extend(invalid(
            &format!("binaryData[{key}]"),
            key,
            names::config_key(key),
        ));
        bytes += decoded(value).len();
    }
    errors.extend(too_long("[]", bytes));
    errors
}

pub(super) fn validate_secret(secret: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut bytes = 0;
    for (key, value) in object::entries(secret, "/data") {
        errors.extend(invalid(&format!("data[{key}]"), key, names::config_key(key)));
        bytes += decoded(value).len();
    }
    errors.extend(too_long("data", bytes));
    errors.extend(validate_type(secret));
    errors
}

/// What the well-known types of secrets hold.
fn validate_type(secret: &Value) -> Vec<FieldError> {
    let lacks = |key: &&str| secret["data"].get(*key).is_none();
    let required = |keys: &[&str]| {
        let missing = keys.iter().filter(|key| lacks(key));
        missing
            .map(|key| FieldError::required(format!("data[{key}]")))
            .collect()
    };
    let json_in = |key: &'static str| {
        let Some(value) = secret["data"].get(key) else {
            return required(&[key]);
        };
        let parsed: Result<Map<String, Value>, _> = serde_json::from_slice(&decoded(value));
        let refused = |error: serde_json::Error| {
            FieldError::invalid(
                format!("data[{key}]"),
                "<secret contents redacted>",
                error.to_string(),
            )
        };
        parsed.err().map(refused).into_iter().collect()
    };
    match object::text(secret, "/type") {
        "kubernetes.io/tls" => required(&["tls.crt", "tls.key"]),
        "kubernetes.io/ssh-auth" => required(&["ssh-privatekey"]),
        "kubernetes.io/basic-auth" if ["username", "password"].iter().all(lacks) => {
            required(&["username", "password"])
        }
        "kubernetes.io/dockercfg" => json_in(".dockercfg"),
        "kubernetes.io/dockerconfigjson" => json_in(".dockerconfigjson"),
        "kubernetes.io/service-account-token"
            if secret["metadata"]["annotations"].get(SERVICE_ACCOUNT).is_none() =>
        {
            vec![FieldError::required(format!(
                "metadata.annotations[{SERVICE_ACCOUNT}]"
            ))]
        }
        _ => Vec::new(),
    }
}

const SERVICE_ACCOUNT: &str = "kubernetes.io/service-account.name";

/// What is `immutable` stays, and stays so.
pub(super) fn validate_change(current: &Value, object: &Value) -> Vec<FieldError> {
    if current["immutable"] != true {
        return Vec::new();
    }
    let why = "field is immutable when `immutable` is set";
    ["immutable", "data", "binaryData"]
        .into_iter()
        .filter(|field| current.get(field) != object.get(field))
        .map(|field| FieldError::new(field, FieldRule::Forbidden { why }))
        .collect()
}

fn too_long(field: &str, bytes: usize) -> Option<FieldError> {
    let bytes_max = BYTES_MAX;
    (bytes > bytes_max).then(|| FieldError::new(field, FieldRule::TooLong { bytes_max }))
}

/// Decoding has refused what is no base64.
fn decoded(value: &Value) -> Vec<u8> {
    STANDARD
        .decode(value.as_str().unwrap_or_default())
        .unwrap_or_default()
}
