//! Which of the intents for a Service counts.
//!
//! Owns the precedence of SteeringPolicies, annotations and the defaults of the namespace. Invariant: at most one intent
//! counts, and each that does not is told which goes first.

use super::intent::{Intent, Tunnel};
use super::outcome::{Outcome, Refusal, Subject};
use super::view::{NamespaceView, PolicyView, ServiceView};

/// The intent that counts for a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counting {
    pub(super) subject: Subject,
    pub(super) intent: Result<Intent, Refusal>,
}

/// Finds the intent that counts for a Service, and the outcomes of those that do not.
///
/// The oldest SteeringPolicy goes first, and any of them before annotations.
pub(super) fn counting<'a>(
    service: &ServiceView,
    namespace: Option<&NamespaceView>,
    policies: impl IntoIterator<Item = &'a PolicyView>,
) -> (Option<Counting>, Vec<Outcome>) {
    let mut policies: Vec<_> = policies.into_iter().collect();
    policies.sort_by_key(|policy| (policy.created, &policy.name));
    let mut policies = policies.into_iter();
    let Some(first) = policies.next() else {
        return (annotated(service, namespace), Vec::new());
    };
    let overruled = |subject| Outcome {
        service: service.service.clone(),
        subject,
        intent: None,
        verdict: Err(Refusal::Overruled {
            policy: first.name.clone(),
        }),
    };
    let annotated = service.intent.as_ref().map(|_| annotations_of(service));
    let others = policies
        .map(Subject::of)
        .chain(annotated)
        .map(overruled)
        .collect();
    let counting = Counting {
        subject: Subject::of(first),
        intent: first.intent.clone().map_err(Refusal::Intent),
    };
    (Some(counting), others)
}

fn annotated(service: &ServiceView, namespace: Option<&NamespaceView>) -> Option<Counting> {
    let asks = |namespace: &NamespaceView| namespace.intent.as_ref().map_or(true, Intent::asks_for_steering);
    // Defaults such as a mode are for those that ask for a tunnel.
    if service.intent.is_none() && !namespace.is_some_and(asks) {
        return None;
    }
    let intent = service.intent.clone().unwrap_or_else(|| Ok(Intent::default()));
    let intent = match (intent, namespace) {
        (Err(error), _) => Err(Refusal::Intent(error)),
        (Ok(intent), None) => Ok(intent),
        // Who opts out need not care what the namespace says.
        (Ok(intent), _) if intent.all.tunnel == Some(Tunnel::None) => Ok(intent),
        (Ok(intent), Some(namespace)) => with_defaults(intent, namespace),
    };
    Some(Counting {
        subject: annotations_of(service),
        intent,
    })
}

fn with_defaults(intent: Intent, namespace: &NamespaceView) -> Result<Intent, Refusal> {
    let kube_namespace = namespace.name.clone();
    let defaults = match &namespace.intent {
        Ok(defaults) => defaults,
        Err(error) => {
            let error = error.clone();
            return Err(Refusal::Namespace {
                kube_namespace,
                error,
            });
        }
    };
    if let Some(port) = defaults.ports.keys().next() {
        let port = port.clone();
        return Err(Refusal::NamespacePort { kube_namespace, port });
    }
    Ok(Intent {
        all: intent.all.or(&defaults.all),
        tenant: intent.tenant.or_else(|| defaults.tenant.clone()),
        ports: intent.ports,
    })
}

fn annotations_of(service: &ServiceView) -> Subject {
    Subject::Annotations {
        uid: service.uid.clone(),
    }
}

impl Subject {
    pub(super) fn of(policy: &PolicyView) -> Self {
        Self::Policy {
            name: policy.name.clone(),
            uid: policy.uid.clone(),
            generation: policy.generation,
        }
    }
}
