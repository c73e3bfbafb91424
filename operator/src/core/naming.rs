//! Names of Manager objects.
//!
//! Owns how an object's name is built and how the operator knows its own objects again. Invariant: the name of a
//! list is a function of its content, so a list under a known name never needs to be edited to be right, and
//! equal names mean equal lists.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::objects::ListKind;

/// The Manager's limit for names of lists.
const LIST_NAME_MAX: usize = 32;
/// Nine base-32 digits: 45 bits.
const DIGEST_LEN: usize = 9;
const POLICY_NAME_MAX: usize = 127;
const OWNER_MAX: usize = 8;

/// The short name of this operator on the Manager: prefix of its lists, and part of its mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(String);

/// The name of a list on the Manager.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListName(String);

/// The name of the centralized policy and of its data definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyName(String);

/// A text that cannot be a name on the Manager.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnacceptableName {
    /// Not an owner.
    #[error("unacceptable owner `{0}`; accepted: 1 to 8 of a-z and 0-9")]
    Owner(String),
    /// Not a policy name.
    #[error("unacceptable policy name `{0}`; accepted: 1 to 127 of A-Z, a-z, 0-9, _ and -")]
    Policy(String),
}

impl Owner {
    /// The mark in the description of every object of this owner.
    #[must_use]
    pub fn mark(&self) -> String {
        format!("managed by sdwan-operator/{}", self.0)
    }

    /// The name of the list that exists from before an edit until the fabric is known to have it.
    #[must_use]
    pub fn edit_mark(&self) -> ListName {
        ListName(format!("{}-edit-in-progress", self.0))
    }

    /// The name for a list: owner, a readable part (shortened to fit), and a digest of everything.
    ///
    /// `label` says what the list is for; `attempt` is 0 unless the name turned out to be taken.
    pub(super) fn list_name(
        &self,
        kind: ListKind,
        label: &str,
        entries: &BTreeSet<String>,
        attempt: u32,
    ) -> ListName {
        let mut digest = Fnv1a::new();
        digest.update(format!("{kind:?}/{label}/{attempt}").as_bytes());
        for entry in entries {
            digest.update(b"\0");
            digest.update(entry.as_bytes());
        }
        let room = LIST_NAME_MAX - self.0.len() - DIGEST_LEN - 2;
        let readable: String = label.chars().take(room).collect();
        ListName(format!("{}-{readable}-{}", self.0, digest.base32()))
    }

    /// The name as one of this owner's lists; `None` if it cannot be one.
    #[must_use]
    pub fn own_list(&self, name: &str) -> Option<ListName> {
        let rest = name.strip_prefix(self.0.as_str())?;
        rest.starts_with('-').then(|| ListName(name.to_owned()))
    }
}

impl Default for Owner {
    fn default() -> Self {
        Self("ppo".to_owned())
    }
}

impl FromStr for Owner {
    type Err = UnacceptableName;

    fn from_str(text: &str) -> Result<Self, UnacceptableName> {
        let fits = (1..=OWNER_MAX).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(UnacceptableName::Owner(text.to_owned()))
        }
    }
}

impl PolicyName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for PolicyName {
    fn default() -> Self {
        Self("k8s-steering".to_owned())
    }
}

impl FromStr for PolicyName {
    type Err = UnacceptableName;

    fn from_str(text: &str) -> Result<Self, UnacceptableName> {
        let fits = (1..=POLICY_NAME_MAX).contains(&text.len());
        if fits
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(UnacceptableName::Policy(text.to_owned()))
        }
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ListName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ListName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// FNV-1a, 64 bits: the standard library's hasher may change between releases, and these names are stored.
struct Fnv1a(u64);

impl Fnv1a {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn base32(&self) -> String {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
        // The low bits of FNV-1a mix worst; fold the high half in.
        let folded = self.0 ^ (self.0 >> 32);
        (0..DIGEST_LEN)
            .map(|i| char::from(DIGITS[(folded >> (5 * i)) as usize & 31]))
            .collect()
    }
}
