//! Colors: Cisco's fixed set of transport names.

use std::fmt;
use std::str::FromStr;

/// One of the 22 colors that a TLOC can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Color(&'static str);

/// A name that is none of Cisco's colors.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("unknown color `{name}`; known colors: {}", COLORS.join(", "))]
pub struct UnknownColor {
    /// The name as written.
    pub name: String,
}

const COLORS: [&str; 22] = [
    "default",
    "mpls",
    "metro-ethernet",
    "biz-internet",
    "public-internet",
    "lte",
    "3g",
    "red",
    "green",
    "blue",
    "gold",
    "silver",
    "bronze",
    "custom1",
    "custom2",
    "custom3",
    "private1",
    "private2",
    "private3",
    "private4",
    "private5",
    "private6",
];

impl Color {
    /// The name as the Manager spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// All colors.
    pub fn all() -> impl Iterator<Item = Self> {
        COLORS.into_iter().map(Self)
    }
}

impl FromStr for Color {
    type Err = UnknownColor;

    /// Reads a color; `bizinternet`, a spelling found in the wild, is accepted for `biz-internet`.
    fn from_str(name: &str) -> Result<Self, UnknownColor> {
        let canonical = if name == "bizinternet" {
            "biz-internet"
        } else {
            name
        };
        Self::all()
            .find(|color| color.0 == canonical)
            .ok_or_else(|| UnknownColor {
                name: name.to_owned(),
            })
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
