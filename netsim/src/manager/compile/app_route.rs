//! What one sequence of an app-route definition becomes.

use uuid::Uuid;

use super::matching::{self, matching};
use super::{CompileError, color_group};
use crate::manager::list::{ListContent, SlaBounds};
use crate::manager::objects::Objects;
use crate::manager::sequence::app_route::{AppRouteSequence, Preferred, SlaAction, SlaUnmet};
use crate::policy::{AppRoute, AppRouteSequence as Sequence, Preference, SlaClass, Unmet};

/// The sequence, as an edge follows it.
pub(super) fn sequence(raw: &AppRouteSequence, objects: &Objects) -> Result<Sequence, CompileError> {
    matching::emulated(raw.id, &raw.conditions)?;
    let refuse = |field| {
        let sequence = raw.id;
        Err(CompileError::NotEmulated { sequence, field })
    };
    if raw.cloud_saas {
        let (sequence, action) = (raw.id, "cloudSaas");
        return Err(CompileError::NotDone { sequence, action });
    }
    if raw.sla.as_ref().is_some_and(|sla| sla.remote.is_some()) {
        return refuse("preferredRemoteColor");
    }
    let choice = match &raw.sla {
        Some(sla) => Some(with_class(raw, sla, objects)?),
        None if raw.backup.is_empty() => None,
        // Every tunnel meets no class at all, so that the backup colors come first while they have a tunnel.
        None => Some(AppRoute {
            class: None,
            preference: Preference::Colors(raw.backup.clone()),
            unmet: Unmet::Any,
        }),
    };
    Ok(Sequence {
        id: raw.id,
        matching: matching(&raw.conditions, objects),
        choice,
        counter: raw.counter.clone(),
    })
}

/// An `sla` list as a class.
pub(super) fn class(id: Uuid, objects: &Objects) -> Result<SlaClass, CompileError> {
    let (name, bounds) = sla(id, objects);
    if bounds.app_probe.is_some() {
        return Err(CompileError::AppProbe {
            class: name.to_owned(),
        });
    }
    Ok(SlaClass {
        name: name.to_owned(),
        loss: bounds.loss,
        latency: bounds.latency,
        jitter: bounds.jitter,
    })
}

fn with_class(raw: &AppRouteSequence, sla: &SlaAction, objects: &Objects) -> Result<AppRoute, CompileError> {
    let class = class(sla.class, objects)?;
    let unmet = match sla.unmet {
        SlaUnmet::Strict => Unmet::Drop,
        SlaUnmet::BestPath => {
            let (_, bounds) = self::sla(sla.class, objects);
            let best = bounds.best.clone().ok_or_else(|| CompileError::NoBestTunnel {
                sequence: raw.id,
                class: class.name.clone(),
            })?;
            Unmet::Best(best)
        }
        SlaUnmet::LoadBalance if raw.backup.is_empty() => Unmet::Any,
        SlaUnmet::LoadBalance => Unmet::Backup(raw.backup.clone()),
    };
    Ok(AppRoute {
        class: Some(class),
        preference: match &sla.preferred {
            Preferred::None => Preference::Equal,
            Preferred::Colors(colors) => Preference::Colors(colors.clone()),
            Preferred::Group(group) => Preference::Group(color_group(*group, objects)),
        },
        unmet,
    })
}

fn sla(id: Uuid, objects: &Objects) -> (&str, &SlaBounds) {
    let list = objects.list_of(id).expect("what is referred to is not deleted");
    let ListContent::Sla(bounds) = &list.content else {
        unreachable!("references lead to lists of their kind");
    };
    (&list.name, bounds)
}
