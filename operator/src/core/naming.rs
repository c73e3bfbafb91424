//! Names of Manager objects.
//!
//! Owns how an object's name is built and how the operator knows its own objects again. Invariant: the name of a
//! list is a function of what it is for, not of its content, so that it is edited in place when endpoints come and go.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::objects::{DefinitionKey, DefinitionKind, ListKind};

/// The Manager's limit for names of lists.
const LIST_NAME_MAX: usize = 32;
/// Nine base-32 digits: 45 bits.
const DIGEST_LEN: usize = 9;
/// The Manager's limit for names of policies, less what is added for names of definitions.
const POLICY_NAME_MAX: usize = 127 - "-vpn65530-sla".len();
const OWNER_MAX: usize = 8;

/// The short name of this operator on the Manager: prefix of its lists, and part of its mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(String);

/// The name of a list on the Manager.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListName(Arc<str>);

/// The name of the centralized policy, which those of its definitions begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyName(String);

/// A text that cannot be a name on the Manager.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnacceptableName {
    /// Not an owner.
    #[error("unacceptable owner `{0}`; accepted: 1 to 8 of a-z and 0-9")]
    Owner(String),
    /// Not a policy name.
    #[error("unacceptable policy name `{0}`; accepted: 1 to 114 of A-Z, a-z, 0-9, _ and -")]
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
        ListName(format!("{}-edit-in-progress", self.0).into())
    }

    /// The name for a list: owner, a readable part (shortened to fit), and a digest of what the list is for.
    ///
    /// `label` and `identity` say that; the content is none of it. `attempt` is 0 unless the name turned out to be
    /// taken.
    pub(super) fn list_name(&self, kind: ListKind, label: &str, identity: &str, attempt: u32) -> ListName {
        let mut digest = Fnv1a::new();
        digest.update(format!("{kind:?}/{label}/{identity}/{attempt}").as_bytes());
        let room = LIST_NAME_MAX - self.0.len() - DIGEST_LEN - 2;
        let readable: String = label.chars().take(room).collect();
        ListName(format!("{}-{readable}-{}", self.0, digest.base32()).into())
    }

    /// The name as one of this owner's lists; `None` if it cannot be one.
    #[must_use]
    pub fn own_list(&self, name: &str) -> Option<ListName> {
        let rest = name.strip_prefix(self.0.as_str())?;
        rest.starts_with('-').then(|| ListName(name.into()))
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

impl DefinitionKey {
    /// The name of the definition, which belongs to the policy of this name.
    #[must_use]
    pub fn name(&self, policy: &PolicyName) -> String {
        let suffix = match self.kind {
            DefinitionKind::Data => "",
            DefinitionKind::AppRoute => "-sla",
        };
        format!("{policy}-vpn{}{suffix}", self.service_vpn)
    }

    /// Reads the name of a definition of this kind; `None` if it does not belong to the policy of this name.
    #[must_use]
    pub fn from_name(name: &str, kind: DefinitionKind, policy: &PolicyName) -> Option<Self> {
        let rest = name.strip_prefix(policy.as_str())?.strip_prefix("-vpn")?;
        let service_vpn = rest.strip_suffix("-sla").unwrap_or(rest).parse().ok()?;
        let key = Self { service_vpn, kind };
        (key.name(policy) == name).then_some(key)
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
