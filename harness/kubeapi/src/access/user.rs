//! Users: names and groups, and the names of ServiceAccounts among them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// May do everything, whatever the roles say.
pub(super) const MASTERS: &str = "system:masters";
/// Everyone who is known.
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const ANONYMOUS: &str = "system:anonymous";
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// Someone who makes requests; in its wire form the `UserInfo` of `authentication.k8s.io/v1`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct User {
    #[serde(rename = "username")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) groups: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user who proved to be one: of the given groups and of everyone who is known.
    pub(crate) fn authenticated(name: &str, groups: impl IntoIterator<Item = String>) -> Self {
        let mut groups: Vec<String> = groups.into_iter().collect();
        let has_standing = |group: &String| group == AUTHENTICATED || group == UNAUTHENTICATED;
        if name == ANONYMOUS {
            groups.push(UNAUTHENTICATED.to_owned());
        } else if !groups.iter().any(has_standing) {
            groups.push(AUTHENTICATED.to_owned());
        }
        User {
            name: name.to_owned(),
            groups,
            ..User::default()
        }
    }

    /// The one of the kubeconfig of a server.
    pub(crate) fn administrator() -> Self {
        User::authenticated("kubernetes-admin", [MASTERS.to_owned()])
    }

    pub(crate) fn service_account(namespace: &str, name: &str) -> Self {
        User::authenticated(
            &service_account_name(namespace, name),
            service_account_groups(namespace),
        )
    }

    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }
}

/// The user name of a ServiceAccount.
pub(crate) fn service_account_name(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")
}

/// The namespace and the name of the ServiceAccount that a user name stands for.
pub(crate) fn service_account_of(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')
}

pub(crate) fn service_account_groups(namespace: &str) -> [String; 2] {
    [
        SERVICE_ACCOUNTS.to_owned(),
        format!("{SERVICE_ACCOUNTS}:{namespace}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_a_user_of_three_groups() {
        let user = User::service_account("default", "op");
        assert_eq!(user.name, "system:serviceaccount:default:op");
        assert_eq!(
            user.groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:default",
                "system:authenticated"
            ]
        );
        assert_eq!(service_account_of(&user.name), Some(("default", "op")));
        assert_eq!(service_account_of("op"), None);
    }

    #[test]
    fn only_masters_are_masters() {
        assert!(User::administrator().is_master());
        assert!(!User::authenticated("system:masters", []).is_master());
    }
}
