//! Intents: what the annotations of one Service ask for.
//!
//! Owns the annotation grammar. An intent that is only half understood is refused as a whole, so that a Service
//! never believes it has a guarantee that nobody gives.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::color::{Color, UnknownColor};

/// What one Service asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Intent {
    /// The tunnel its traffic shall take, by color.
    pub tunnel: Color,
    /// What happens while that tunnel is down.
    pub mode: Mode,
}

/// What happens to steered traffic while its tunnel is down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// It is dropped.
    #[default]
    Strict,
    /// It takes any other tunnel.
    Preferred,
}

/// The annotations of a Service are not an intent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum IntentError {
    /// The `tunnel` annotation names no color.
    #[error("annotation `{key}`: {error}")]
    UnknownColor {
        /// The full annotation key.
        key: String,
        /// What is wrong with the value.
        error: UnknownColor,
    },
    /// The `mode` annotation has another value than the two modes.
    #[error("annotation `{key}`: unknown mode `{value}`; accepted: strict, preferred")]
    UnknownMode {
        /// The full annotation key.
        key: String,
        /// The value as written.
        value: String,
    },
    /// An annotation under the prefix that this operator does not know.
    #[error("unknown annotation `{key}`; known under this prefix: tunnel, mode")]
    UnknownKey {
        /// The full annotation key.
        key: String,
    },
    /// There are annotations under the prefix, but none that names a tunnel.
    #[error("annotation `{key}` is missing")]
    TunnelMissing {
        /// The full annotation key that is missing.
        key: String,
    },
}

/// The part of an annotation key before the slash, such as `policy.sdwan.cisco.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationPrefix(String);

/// A text that cannot be the prefix of an annotation key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unacceptable annotation prefix `{text}`; accepted: a DNS subdomain such as policy.sdwan.cisco.com")]
pub struct UnacceptablePrefix {
    /// The text as written.
    pub text: String,
}

impl Intent {
    /// Reads the intent from annotations; `None` if none is under the prefix.
    ///
    /// # Errors
    /// [`IntentError`] if an annotation under the prefix is unknown, has an unknown value, or lacks its tunnel.
    pub fn read(
        annotations: &BTreeMap<String, String>,
        prefix: &AnnotationPrefix,
    ) -> Result<Option<Self>, IntentError> {
        let mut tunnel = None;
        let mut mode = None;
        for (key, value) in annotations {
            match prefix.strip(key) {
                None => {}
                Some("tunnel") => {
                    let color = value.parse().map_err(|error| IntentError::UnknownColor {
                        key: key.clone(),
                        error,
                    })?;
                    tunnel = Some(color);
                }
                Some("mode") => mode = Some(read_mode(key, value)?),
                Some(_) => return Err(IntentError::UnknownKey { key: key.clone() }),
            }
        }
        match (tunnel, mode) {
            (Some(tunnel), mode) => Ok(Some(Self {
                tunnel,
                mode: mode.unwrap_or_default(),
            })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(IntentError::TunnelMissing {
                key: format!("{}/tunnel", prefix.0),
            }),
        }
    }
}

fn read_mode(key: &str, value: &str) -> Result<Mode, IntentError> {
    match value {
        "strict" => Ok(Mode::Strict),
        "preferred" => Ok(Mode::Preferred),
        _ => Err(IntentError::UnknownMode {
            key: key.to_owned(),
            value: value.to_owned(),
        }),
    }
}

impl Mode {
    /// The value of the `mode` annotation that asks for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Preferred => "preferred",
        }
    }
}

impl AnnotationPrefix {
    /// The rest of `key` after the prefix and its slash; `None` if it is under another prefix.
    #[must_use]
    pub fn strip<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(self.0.as_str())?.strip_prefix('/')
    }
}

impl Default for AnnotationPrefix {
    fn default() -> Self {
        Self("policy.sdwan.cisco.com".to_owned())
    }
}

impl FromStr for AnnotationPrefix {
    type Err = UnacceptablePrefix;

    fn from_str(text: &str) -> Result<Self, UnacceptablePrefix> {
        let label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if text.len() <= 253 && text.split('.').all(label) {
            Ok(Self(text.to_owned()))
        } else {
            Err(UnacceptablePrefix {
                text: text.to_owned(),
            })
        }
    }
}

impl fmt::Display for AnnotationPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
