//! The annotation grammar: `<prefix>/<setting>` and, for one port, `<prefix>/<setting>.<port>`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::color::Color;
use super::intent::{Action, Encryption, Intent, IntentError, Mode, Place, Settings, Tunnel};

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
    /// [`IntentError`] if an annotation under the prefix is unknown or has an unknown value.
    pub fn read(
        annotations: &BTreeMap<String, String>,
        prefix: &AnnotationPrefix,
    ) -> Result<Option<Self>, IntentError> {
        let mut intent = None;
        for (key, value) in annotations {
            if let Some(setting) = prefix.strip(key) {
                let intent = intent.get_or_insert_with(Self::default);
                read(intent, setting, value.trim(), Place::Annotation(key.clone()))?;
            }
        }
        Ok(intent)
    }
}

fn read(intent: &mut Intent, setting: &str, value: &str, place: Place) -> Result<(), IntentError> {
    match setting.split_once('.') {
        None if setting == "tenant" => intent.tenant = Some(value.to_owned()),
        None => return read_setting(&mut intent.all, setting, value, place),
        Some((setting, port)) if !port.is_empty() => {
            let port = port.parse().unwrap_or_else(|never| match never {});
            return read_setting(intent.ports.entry(port).or_default(), setting, value, place);
        }
        Some(_) => return Err(IntentError::UnknownKey { place }),
    }
    Ok(())
}

fn read_setting(
    settings: &mut Settings,
    setting: &str,
    value: &str,
    place: Place,
) -> Result<(), IntentError> {
    match setting {
        "tunnel" if value == "none" => settings.tunnel = Some(Tunnel::None),
        "tunnel" => settings.tunnel = Some(Tunnel::Color(color(value, &place)?)),
        "mode" => settings.mode = Some(word(Mode::from_word(value), value, place, Mode::ACCEPTED)?),
        "fallback" => {
            let colors = value.split(',').map(|name| color(name.trim(), &place));
            settings.fallback = Some(fallback(colors.collect::<Result<_, _>>()?, place)?);
        }
        "sla" => {
            let sla = value
                .parse()
                .map_err(|error| IntentError::UnacceptableSla { place, error })?;
            settings.sla = Some(sla);
        }
        "encryption" => {
            let known = Encryption::from_word(value);
            settings.encryption = Some(word(known, value, place, Encryption::ACCEPTED)?);
        }
        "action" => settings.action = Some(word(Action::from_word(value), value, place, Action::ACCEPTED)?),
        _ => return Err(IntentError::UnknownKey { place }),
    }
    Ok(())
}

/// Reads a color that is written at `place`.
pub(crate) fn color(name: &str, place: &Place) -> Result<Color, IntentError> {
    name.parse().map_err(|error| IntentError::UnknownColor {
        place: place.clone(),
        error,
    })
}

/// Checks the fallback that is written at `place`.
pub(crate) fn fallback(colors: Vec<Color>, place: Place) -> Result<Vec<Color>, IntentError> {
    let what = match colors.as_slice() {
        [_] => return Ok(colors),
        [first, second] if first != second => return Ok(colors),
        [first, _] => format!("`{first}` twice"),
        others => format!("{} colors", others.len()),
    };
    Err(IntentError::UnacceptableFallback { place, what })
}

/// Takes a word for what it stands for, if that is known.
pub(crate) fn word<T>(
    known: Option<T>,
    value: &str,
    place: Place,
    accepted: &'static str,
) -> Result<T, IntentError> {
    known.ok_or_else(|| IntentError::UnknownValue {
        place,
        value: value.to_owned(),
        accepted,
    })
}

impl AnnotationPrefix {
    /// The rest of `key` after the prefix and its slash; `None` if it is under another prefix.
    #[must_use]
    pub fn strip<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(self.0.as_str())?.strip_prefix('/')
    }

    /// Where a setting is written.
    #[must_use]
    pub fn place(&self, setting: &str) -> Place {
        Place::Annotation(format!("{}/{setting}", self.0))
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
