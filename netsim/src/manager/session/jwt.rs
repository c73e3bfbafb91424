//! JSON web tokens (RFC 7519), signed with HMAC-SHA256 under a key of this run.
//!
//! Owns their form and signature; whose they are and how long they are good is the business of the sessions. Invariant:
//! what [`Signer::open`] answers was signed here, by this run.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The one header that is signed and accepted, so that no token chooses its algorithm.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::manager) struct Claims {
    /// The user.
    pub(in crate::manager) sub: String,
    /// This Manager.
    pub(in crate::manager) iss: String,
    /// Its session.
    pub(in crate::manager) sid: String,
    /// Its own id.
    pub(in crate::manager) jti: Uuid,
    /// What it is for.
    #[serde(rename = "use")]
    pub(in crate::manager) purpose: Purpose,
    /// When it was made, in seconds since the Unix epoch.
    pub(in crate::manager) iat: u64,
    /// From when on it is refused, in seconds since the Unix epoch.
    pub(in crate::manager) exp: u64,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::manager) enum Purpose {
    /// To make requests.
    Access,
    /// To get new tokens, once.
    Refresh,
}

/// Signs tokens, and knows its own again.
pub(super) struct Signer(hmac::Key);

impl Signer {
    /// With a key that nobody has.
    pub(super) fn new() -> Self {
        let random = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes).concat();
        Self(hmac::Key::new(hmac::HMAC_SHA256, &random))
    }

    /// The token that says this.
    pub(super) fn sign(&self, claims: &Claims) -> String {
        let claims = serde_json::to_vec(claims).expect("claims are texts and numbers");
        let signed = format!("{}.{}", encode(HEADER), encode(claims));
        let signature = hmac::sign(&self.0, signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }

    /// What a token says, if it was signed here.
    pub(super) fn open(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        hmac::verify(&self.0, signed.as_bytes(), &signature).ok()?;
        let (header, claims) = signed.split_once('.')?;
        if header != encode(HEADER) {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

fn encode(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn claims() -> Claims {
        Claims {
            sub: "admin".to_owned(),
            iss: "vmanage".to_owned(),
            sid: "s".to_owned(),
            jti: Uuid::nil(),
            purpose: Purpose::Access,
            iat: 1_700_000_000,
            exp: 1_700_001_800,
        }
    }

    #[test]
    fn a_token_is_three_parts_that_anyone_can_read() {
        let token = Signer::new().sign(&claims());
        let parts: Vec<&str> = token.split('.').collect();
        let read =
            |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(parts.len(), 3);
        assert_eq!(read(parts[0]), json!({"alg": "HS256", "typ": "JWT"}));
        assert_eq!(read(parts[1])["exp"], 1_700_001_800);
        assert_eq!(read(parts[1])["use"], "access");
    }

    #[test]
    fn only_what_was_signed_here_is_accepted() {
        let signer = Signer::new();
        let token = signer.sign(&claims());
        assert_eq!(signer.open(&token), Some(claims()));
        assert_eq!(Signer::new().open(&token), None, "another run's");
        for at in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            // The last character holds two bits that are no part of the signature, and have to be zero.
            assert_eq!(signer.open(&String::from_utf8(other).unwrap()), None, "at {at}");
        }
        for form in ["", ".", "..", "a.b", "a.b.c.d", "\u{e9}.x.y"] {
            assert_eq!(signer.open(form), None, "{form}");
        }
    }

    #[test]
    fn a_token_does_not_choose_its_algorithm() {
        let signer = Signer::new();
        let body = encode(serde_json::to_vec(&claims()).unwrap());
        let unsigned = format!("{}.{body}.", encode(r#"{"alg":"none"}"#));
        assert_eq!(signer.open(&unsigned), None);
        let signed = format!("{}.{body}", encode(r#"{"alg":"none"}"#));
        let signature = encode(hmac::sign(&signer.0, signed.as_bytes()));
        assert_eq!(signer.open(&format!("{signed}.{signature}")), None);
    }
}
