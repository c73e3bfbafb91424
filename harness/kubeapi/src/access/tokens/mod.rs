//! Bearer tokens: the one of the administrator, and those of ServiceAccounts.
//!
//! The tokens of ServiceAccounts are JSON web tokens (RFC 7519) under a key of this run. The invariant: a token is
//! good only while the very ServiceAccount it was made for exists.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::User;
use super::user::{service_account_name, service_account_of};
use crate::object;
use crate::store::{Key, Store};

/// The one header that is signed and accepted, so that no token chooses its algorithm.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
/// Who makes the tokens, and whom they are for unless they say otherwise.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// When a token is good, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) from: i64,
    pub(crate) until: i64,
}

/// What a token is asked for.
#[derive(Debug, Clone)]
pub(crate) struct TokenRequest {
    /// Empty is this API.
    pub(crate) audiences: Vec<String>,
    pub(crate) lifetime: Lifetime,
}

/// What a token of a ServiceAccount says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    iss: String,
    jti: String,
    #[serde(rename = "kubernetes.io")]
    bound: Bound,
    nbf: i64,
    sub: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Bound {
    namespace: String,
    serviceaccount: Reference,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Reference {
    name: String,
    uid: String,
}

/// Knows the tokens of one run.
pub(crate) struct Authenticator {
    administrator_token: String,
    administrator: Arc<User>,
    key: hmac::Key,
}

/// Without the secrets: they must not end up in a log.
impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

impl Authenticator {
    /// With secrets that nobody has.
    pub(crate) fn new() -> Self {
        let token: [u8; 32] = rand::random();
        let key: [u8; 32] = rand::random();
        Authenticator {
            administrator_token: URL_SAFE_NO_PAD.encode(token),
            administrator: Arc::new(User::administrator()),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        }
    }

    /// The token with which everything is allowed.
    pub(crate) fn administrator_token(&self) -> &str {
        &self.administrator_token
    }

    /// The user a request to this API with the token is made by.
    pub(crate) fn user_of(&self, store: &Store, token: &str, now: i64) -> Option<Arc<User>> {
        if token == self.administrator_token {
            return Some(Arc::clone(&self.administrator));
        }
        let (user, _) = self.review(store, token, &[], now)?;
        Some(Arc::new(user))
    }

    /// The user of a token that is good for one of the audiences (none: this API), and for which of them it is.
    pub(crate) fn review(
        &self,
        store: &Store,
        token: &str,
        audiences: &[String],
        now: i64,
    ) -> Option<(User, Vec<String>)> {
        let own = [ISSUER.to_owned()];
        let wanted = if audiences.is_empty() { &own } else { audiences };
        let (user, good_for) = if token == self.administrator_token {
            (User::clone(&self.administrator), own.to_vec())
        } else {
            let claims = self.open(token)?;
            let good_for = claims.aud.clone();
            (claims.user(store, now)?, good_for)
        };
        let common: Vec<String> = wanted
            .iter()
            .filter(|audience| good_for.contains(audience))
            .cloned()
            .collect();
        (!common.is_empty()).then_some((user, common))
    }

    /// A token of the ServiceAccount.
    pub(crate) fn issue(&self, account: &Value, request: &TokenRequest) -> String {
        let (namespace, name) = (object::namespace(account), object::name(account));
        let audiences = match request.audiences[..] {
            [] => vec![ISSUER.to_owned()],
            _ => request.audiences.clone(),
        };
        self.sign(&Claims {
            aud: audiences,
            exp: request.lifetime.until,
            iat: request.lifetime.from,
            iss: ISSUER.to_owned(),
            jti: uuid::Uuid::new_v4().to_string(),
            bound: Bound {
                namespace: namespace.to_owned(),
                serviceaccount: Reference {
                    name: name.to_owned(),
                    uid: object::uid(account).to_owned(),
                },
            },
            nbf: request.lifetime.from,
            sub: service_account_name(namespace, name),
        })
    }

    fn sign(&self, claims: &Claims) -> String {
        let claims = serde_json::json!(claims).to_string();
        let signed = format!("{}.{}", encode(HEADER), encode(claims));
        let signature = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }

    /// What a token says, if it was signed here.
    fn open(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        hmac::verify(&self.key, signed.as_bytes(), &signature).ok()?;
        let (header, claims) = signed.split_once('.')?;
        if header != encode(HEADER) {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

impl Claims {
    /// The user, if the token is good at this time and its ServiceAccount is still there.
    fn user(self, store: &Store, now: i64) -> Option<User> {
        if now < self.nbf || now >= self.exp {
            return None;
        }
        let (namespace, name) = service_account_of(&self.sub)?;
        let key = Key::new(namespace, name);
        let account = store.read(|state| state.get("serviceaccounts", &key))?;
        let uid = self.bound.serviceaccount.uid;
        if object::uid(&account) != uid {
            return None;
        }
        let credential = vec![format!("JTI={}", self.jti)];
        Some(User {
            uid,
            extra: [(
                "authentication.kubernetes.io/credential-id".to_owned(),
                credential,
            )]
            .into(),
            ..User::service_account(namespace, name)
        })
    }
}

fn encode(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

#[cfg(test)]
mod tests;
