//! What a request asks to do, in the terms that rules are written in.

use std::fmt;

/// A verb and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// An operation on objects.
    Resource(ResourceAction),
    /// A request for a path that is no object.
    Path { verb: String, path: String },
}

/// An operation on objects; what it does not name is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResourceAction {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Action {
    /// Where it happens; empty is the cluster.
    pub(super) fn namespace(&self) -> &str {
        match self {
            Action::Resource(action) => &action.namespace,
            Action::Path { .. } => "",
        }
    }
}

/// As the sentence on who cannot do it goes on: `list resource "pods" in API group "" at the cluster scope`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self {
            Action::Resource(action) => action,
            Action::Path { verb, path } => return write!(f, "{verb} path {path:?}"),
        };
        let ResourceAction {
            verb,
            group,
            resource,
            namespace,
            ..
        } = action;
        let slash = if action.subresource.is_empty() { "" } else { "/" };
        let subresource = &action.subresource;
        write!(
            f,
            "{verb} resource \"{resource}{slash}{subresource}\" in API group \"{group}\" "
        )?;
        match namespace.as_str() {
            "" => write!(f, "at the cluster scope"),
            namespace => write!(f, "in the namespace \"{namespace}\""),
        }
    }
}
