//! Intents: what is asked for a Service and for its ports.
//!
//! Owns the settings, how those of a Service and of one port replace each other, and what goes together. How they are
//! written is the business of [`annotations`](super::annotations) and [`crate::api`].
//!
//! Invariant: an intent that is only half understood is refused as a whole, so that a Service never believes it has
//! a guarantee that nobody gives.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::color::{Color, UnknownColor};
use super::preference::{Path, Preference};
use super::sla::{Sla, UnacceptableSla};

/// What is asked for a Service: one thing for all ports, and others for some.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Intent {
    /// What holds for every port.
    pub all: Settings,
    /// The name of the tenant whose service VPN the endpoints are in; without, it is that of the cluster.
    pub tenant: Option<String>,
    /// What holds for single ports instead, setting by setting.
    pub ports: BTreeMap<PortKey, Settings>,
}

/// What is asked for some traffic; what is not set is left to the level above, and then to the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Which tunnel.
    pub tunnel: Option<Tunnel>,
    /// What happens without it; strict by default.
    pub mode: Option<Mode>,
    /// The tunnels that take its place, in this order; none by default.
    pub fallback: Option<Vec<Color>>,
    /// What the tunnel has to keep.
    pub sla: Option<Sla>,
    /// Which tunnels are good enough; any by default.
    pub encryption: Option<Encryption>,
    /// What happens to the traffic; it is allowed by default.
    pub action: Option<Action>,
}

/// The tunnel that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tunnel {
    /// That of a color.
    Color(Color),
    /// No steering at all, whatever a level above says.
    None,
}

/// What happens to steered traffic while none of its tunnels can be had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// It is dropped.
    #[default]
    Strict,
    /// It takes any other tunnel.
    Preferred,
}

/// Which encapsulation is good enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encryption {
    /// One that encrypts.
    Required,
    /// Any.
    #[default]
    Any,
}

/// What happens to traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It is forwarded.
    #[default]
    Allow,
    /// It goes through the inspection service of the site.
    Inspect,
    /// It is dropped.
    Drop,
}

/// A port of a Service, as it is referred to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortKey {
    /// By its number.
    Number(u16),
    /// By its name.
    Name(String),
}

/// What is written is not an intent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum IntentError {
    /// A value names no color.
    #[error("{place}: {error}")]
    UnknownColor {
        /// The annotation or field.
        place: Place,
        /// What is wrong with the value.
        error: UnknownColor,
    },
    /// A value is none of the words that are known there.
    #[error("{place}: unknown {} `{value}`; accepted: {accepted}", place.key())]
    UnknownValue {
        /// The annotation or field.
        place: Place,
        /// The value as written.
        value: String,
        /// The words that are known.
        accepted: &'static str,
    },
    /// A value is no SLA class.
    #[error("{place}: {error}")]
    UnacceptableSla {
        /// The annotation or field.
        place: Place,
        /// What is wrong with the value.
        error: UnacceptableSla,
    },
    /// The fallback is not up to two other colors.
    #[error("{place}: {what}; accepted: one or two colors other than the tunnel's, separated by a comma")]
    UnacceptableFallback {
        /// The annotation or field.
        place: Place,
        /// What is wrong with it.
        what: String,
    },
    /// An annotation under the prefix that this operator does not know.
    #[error("unknown {place}; known under this prefix: {KEYS}, each but tenant also with .PORT")]
    UnknownKey {
        /// The annotation.
        place: Place,
    },
    /// Something is asked, but nothing that it could be asked of.
    #[error("{place} is missing")]
    TunnelMissing {
        /// The annotation or field that is missing.
        place: Place,
    },
}

/// The settings by name.
pub(super) const KEYS: &str = "tunnel, mode, fallback, sla, encryption, action, tenant";

/// Where a setting is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// In an annotation with this key.
    Annotation(String),
    /// In this field of a resource.
    Field(String),
}

impl Intent {
    /// Whether it asks for something by itself, and not only for how.
    pub(super) fn asks_for_steering(&self) -> bool {
        let asks = |settings: &Settings| {
            let acts = settings.action.is_some_and(|action| action != Action::Allow);
            settings.tunnel.is_some() || settings.sla.is_some() || acts
        };
        asks(&self.all) || self.ports.values().any(asks)
    }
}

impl Settings {
    /// These settings, with those of the level above where they leave something open.
    #[must_use]
    pub fn or(&self, above: &Self) -> Self {
        Self {
            tunnel: self.tunnel.or(above.tunnel),
            mode: self.mode.or(above.mode),
            fallback: self.fallback.clone().or_else(|| above.fallback.clone()),
            sla: self.sla.or(above.sla),
            encryption: self.encryption.or(above.encryption),
            action: self.action.or(above.action),
        }
    }

    /// What they amount to; `None` if they ask for nothing. `place` says where a setting would be written.
    ///
    /// # Errors
    /// [`IntentError`] if there is something without its tunnel, or a fallback to the tunnel itself.
    pub fn preference(&self, place: impl Fn(&str) -> Place) -> Result<Option<Preference>, IntentError> {
        let action = self.action.unwrap_or_default();
        let tunnel = match self.tunnel {
            Some(Tunnel::None) => return Ok(None),
            Some(Tunnel::Color(color)) => Some(color),
            None => None,
        };
        if action == Action::Drop {
            return Ok(Some(Preference::Drop));
        }
        let fallback = self.fallback.as_deref().unwrap_or_default();
        if let Some(color) = tunnel.filter(|color| fallback.contains(color)) {
            return Err(IntentError::UnacceptableFallback {
                place: place("fallback"),
                what: format!("`{color}` is the tunnel itself"),
            });
        }
        let path = (tunnel.is_some() || (self.sla.is_some() && fallback.is_empty())).then(|| Path {
            colors: tunnel.into_iter().chain(fallback.iter().copied()).collect(),
            sla: self.sla,
            mode: self.mode.unwrap_or_default(),
            encryption: self.encryption.unwrap_or_default(),
        });
        let asks_of_a_path = self.mode.is_some() || self.fallback.is_some() || self.encryption.is_some();
        match (action, path) {
            (Action::Allow, Some(path)) => Ok(Some(Preference::Allow(path))),
            (Action::Inspect, None) if asks_of_a_path => Err(IntentError::TunnelMissing {
                place: place("tunnel"),
            }),
            (Action::Inspect, path) => Ok(Some(Preference::Inspect(path))),
            (_, None) if asks_of_a_path || self.action.is_some() => Err(IntentError::TunnelMissing {
                place: place("tunnel"),
            }),
            (_, _) => Ok(None),
        }
    }
}

macro_rules! words {
    ($type:ident, $accepted:literal, $($variant:ident = $word:literal),+) => {
        impl $type {
            /// The words for it, as text.
            pub const ACCEPTED: &'static str = $accepted;

            /// The word for it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// What a word stands for.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

words!(
    Mode,
    "strict, preferred",
    Strict = "strict",
    Preferred = "preferred"
);
words!(Encryption, "required, any", Required = "required", Any = "any");
words!(
    Action,
    "allow, inspect, drop",
    Allow = "allow",
    Inspect = "inspect",
    Drop = "drop"
);

impl Place {
    /// The setting: what follows the prefix of an annotation, or the last part of a field's path.
    #[must_use]
    pub fn key(&self) -> &str {
        let (Self::Annotation(path) | Self::Field(path)) = self;
        match self {
            Self::Annotation(_) => {
                let key = path.rsplit('/').next().unwrap_or(path);
                key.split('.').next().unwrap_or(key)
            }
            Self::Field(_) => path.rsplit('.').next().unwrap_or(path),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Annotation(key) => write!(f, "annotation `{key}`"),
            Self::Field(path) => write!(f, "field `{path}`"),
        }
    }
}

impl FromStr for PortKey {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text
            .parse()
            .map_or_else(|_| Self::Name(text.to_owned()), Self::Number))
    }
}

impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}
