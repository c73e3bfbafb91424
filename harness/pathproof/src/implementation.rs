//! The operator under test: where it is, and what a cluster needs for it.
//!
//! The bundled one prints what it needs; of another it is in a file. An operator that needs nothing created has no
//! ServiceAccount either, and uses the Kubernetes APIs as their administrator.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The bundled operator's binary.
const BUNDLED: &str = "sdwan-operator";
/// The word that makes it print its manifests.
const PRINT_MANIFESTS: &str = "manifests";
/// Whom the kubeconfig of an operator without a ServiceAccount is for.
const ADMINISTRATOR: &str = "kubernetes-admin";

/// An operator under test.
#[derive(Debug, Clone)]
pub struct Implementation {
    /// Its binary.
    pub binary: PathBuf,
    /// What each cluster needs for it.
    pub manifests: Option<Manifests>,
}

/// What a cluster needs for an operator that runs outside of it.
#[derive(Debug, Clone)]
pub struct Manifests {
    /// In the order in which they are created, without those that run pods: the lab runs the operator.
    pub objects: Vec<Value>,
    /// The one among them, as which the operator runs.
    pub service_account: ServiceAccount,
}

/// A ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its Kubernetes namespace.
    pub kube_namespace: String,
    /// Its name.
    pub name: String,
}

/// There is no operator to test.
#[derive(Debug, thiserror::Error)]
pub enum ImplementationError {
    /// The file given is not there.
    #[error("find operator `{}`", path.display())]
    Given {
        /// The file given.
        path: PathBuf,
        /// The file system's answer.
        #[source]
        source: io::Error,
    },
    /// The bundled one was not built.
    #[error(
        "find the bundled operator at `{}`: build it with `cargo build --package {BUNDLED}`, or name another with --operator",
        path.display()
    )]
    Bundled {
        /// Where it should be.
        path: PathBuf,
    },
    /// The place of this program is unknown.
    #[error("find the folder of this program")]
    Itself(#[source] io::Error),
    /// The file of manifests cannot be read.
    #[error("read manifests `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The file system's answer.
        #[source]
        source: io::Error,
    },
    /// The bundled operator did not print its manifests.
    #[error("print manifests with `{} {PRINT_MANIFESTS}`: {outcome}", path.display())]
    Printed {
        /// The operator.
        path: PathBuf,
        /// How that ended.
        outcome: String,
    },
    /// The manifests are no YAML.
    #[error("read manifests of `{origin}`")]
    NoYaml {
        /// Where they are from.
        origin: String,
        /// Where and what.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// It is not clear as whom the operator runs.
    #[error(
        "read manifests of `{origin}`: {found} of the kind ServiceAccount; accepted: one, as which the operator runs"
    )]
    ServiceAccounts {
        /// Where they are from.
        origin: String,
        /// How many there are.
        found: usize,
    },
}

/// The operator given, or the bundled one, which stands beside this program; `manifests` is the file with what it needs.
///
/// # Errors
/// [`ImplementationError`] when there is no such file, or what is in it cannot be used.
pub fn find(
    operator: Option<&Path>,
    manifests: Option<&Path>,
) -> Result<Implementation, ImplementationError> {
    let binary = match operator {
        Some(path) => path.canonicalize().map_err(|source| ImplementationError::Given {
            path: path.to_owned(),
            source,
        })?,
        None => bundled()?,
    };
    let manifests = match (manifests, operator) {
        (Some(path), _) => Some(Manifests::read(path)?),
        (None, None) => Some(Manifests::printed_by(&binary)?),
        (None, Some(_)) => None,
    };
    Ok(Implementation { binary, manifests })
}

fn bundled() -> Result<PathBuf, ImplementationError> {
    let itself = std::env::current_exe().map_err(ImplementationError::Itself)?;
    let path = itself.with_file_name(BUNDLED);
    if path.is_file() {
        Ok(path)
    } else {
        Err(ImplementationError::Bundled { path })
    }
}

impl Implementation {
    /// As whom it uses the Kubernetes APIs, as RBAC names users.
    #[must_use]
    pub fn user(&self) -> String {
        match &self.manifests {
            Some(Manifests {
                service_account: ServiceAccount { kube_namespace, name },
                ..
            }) => format!("system:serviceaccount:{kube_namespace}:{name}"),
            None => ADMINISTRATOR.to_owned(),
        }
    }
}

impl Manifests {
    fn read(path: &Path) -> Result<Self, ImplementationError> {
        let text = std::fs::read_to_string(path).map_err(|source| ImplementationError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    fn printed_by(binary: &Path) -> Result<Self, ImplementationError> {
        let failed = |outcome| ImplementationError::Printed {
            path: binary.to_owned(),
            outcome,
        };
        let mut command = Command::new(binary);
        let output = command.arg(PRINT_MANIFESTS).stdin(Stdio::null()).output();
        let output = output.map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed(format!("{}; {}", output.status, said.trim_end())));
        }
        let origin = format!("{} {PRINT_MANIFESTS}", binary.display());
        Self::parse(&String::from_utf8_lossy(&output.stdout), &origin)
    }

    fn parse(text: &str, origin: &str) -> Result<Self, ImplementationError> {
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(text).map_err(|source| ImplementationError::NoYaml {
                origin: origin.to_owned(),
                source: Box::new(source),
            })?;
        let accounts: Vec<_> = objects.iter().filter_map(ServiceAccount::of).collect();
        match <[ServiceAccount; 1]>::try_from(accounts) {
            Ok([service_account]) => Ok(Self {
                objects: objects.into_iter().filter(|object| !runs_pods(object)).collect(),
                service_account,
            }),
            Err(accounts) => Err(ImplementationError::ServiceAccounts {
                origin: origin.to_owned(),
                found: accounts.len(),
            }),
        }
    }
}

impl ServiceAccount {
    fn of(object: &Value) -> Option<Self> {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
        (text("/kind") == Some("ServiceAccount")).then(|| Self {
            kube_namespace: text("/metadata/namespace").unwrap_or("default").to_owned(),
            name: text("/metadata/name").unwrap_or_default().to_owned(),
        })
    }
}

/// Whether an object is a pod, or makes some.
fn runs_pods(object: &Value) -> bool {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
    matches!(group, "apps" | "batch") || text("kind") == "Pod"
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: op, namespace: wan}}";
    const DEPLOYMENT: &str = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: op, namespace: wan}}";

    fn parse(documents: &[&str]) -> Result<Manifests, String> {
        let text = documents.join("\n---\n");
        Manifests::parse(&text, "op.yaml").map_err(|error| error.to_string())
    }

    #[test]
    fn an_operator_runs_as_its_service_account_and_not_as_pods() {
        let pod = "{apiVersion: v1, kind: Pod, metadata: {name: op}}";
        let manifests = parse(&[DEPLOYMENT, ACCOUNT, pod]).unwrap();
        let kinds: Vec<_> = manifests.objects.iter().map(|object| &object["kind"]).collect();
        assert_eq!(kinds, ["ServiceAccount"]);
        let operator = Implementation {
            binary: PathBuf::new(),
            manifests: Some(manifests),
        };
        assert_eq!(operator.user(), "system:serviceaccount:wan:op");
    }

    #[test]
    fn manifests_name_one_service_account() {
        let other = ACCOUNT.replace("op", "other");
        for (documents, found) in [(vec![DEPLOYMENT], 0), (vec![ACCOUNT, &other], 2)] {
            let expected = format!(
                "read manifests of `op.yaml`: {found} of the kind ServiceAccount; accepted: one, as which the \
                 operator runs"
            );
            assert_eq!(parse(&documents).unwrap_err(), expected);
        }
        assert_eq!(parse(&["{"]).unwrap_err(), "read manifests of `op.yaml`");
    }

    #[test]
    fn an_operator_without_manifests_is_the_administrator() {
        let itself = std::env::current_exe().unwrap();
        let operator = find(Some(&itself), None).unwrap();
        assert!(operator.manifests.is_none());
        assert_eq!(operator.user(), "kubernetes-admin");
    }
}
