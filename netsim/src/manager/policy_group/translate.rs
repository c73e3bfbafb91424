//! What a policy group means for one device: a centralized policy for its site alone.
//!
//! Pure. Translates into classic objects, so that compiling, collisions, what is not emulated and previews are those of
//! classic policies. A service VPN of a device is named `VPN` and its number; a VPN that the device does not have is left
//! out, as one of a classic VPN list is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Map;
use uuid::Uuid;

use super::{PolicyGroup, Values};
use crate::manager::Device;
use crate::manager::compile::{self, CompileError, Place, Unfit};
use crate::manager::definition::{Definition, DefinitionBody, DefinitionKind};
use crate::manager::feature_profile::Parcel;
use crate::manager::feature_profile::at::PlaceError;
use crate::manager::feature_profile::catalog::Catalog;
use crate::manager::feature_profile::traffic_policy::{TrafficPolicy, vpn_name};
use crate::manager::list::{self, List, ListContent};
use crate::manager::objects::{ObjectError, Objects, Stamp};
use crate::manager::preview;
use crate::manager::vsmart_policy::{Application, Assembly, VsmartPolicy};
use crate::policy::{EdgePolicy, PolicyDirection};

/// A group as one device is to follow it.
#[derive(Debug)]
pub(in crate::manager) struct Translated {
    objects: Objects,
    policy: VsmartPolicy,
    /// Where the definitions come from: profile and parcel.
    places: BTreeMap<Uuid, String>,
    /// What classic definitions have no word for, of the first of them that lacks something.
    not_emulated: Option<(Uuid, CompileError)>,
}

/// Which versions of its parts a policy was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) struct Fingerprint {
    parts: BTreeMap<Uuid, u64>,
    values: Values,
}

/// Why a group cannot be translated for a device.
#[derive(Debug, thiserror::Error)]
pub(in crate::manager) enum TranslateError {
    /// A parcel with the values of the device.
    #[error("device {device}: traffic-policy {parcel}: {problem}")]
    Parcel {
        device: String,
        parcel: String,
        problem: PlaceError,
    },
    /// The policy that it makes.
    #[error("device {device}: {problem}")]
    Policy { device: String, problem: ObjectError },
    /// Something that the edge of the device cannot do.
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

/// The variables without a value for a device.
pub(in crate::manager) fn missing(
    group: &PolicyGroup,
    values: &Values,
    catalog: &Catalog,
) -> BTreeSet<String> {
    let mut names = group.variables(catalog);
    names.retain(|name| !values.contains_key(name));
    names
}

/// Which versions of its parts a policy of now would be made of.
pub(in crate::manager) fn fingerprint(
    group: &PolicyGroup,
    values: &Values,
    catalog: &Catalog,
) -> Fingerprint {
    let mut parts = BTreeMap::from([(group.id, group.revision)]);
    for parcel in traffic_policies(group, catalog) {
        parts.insert(parcel.id, parcel.revision);
        parts.extend(used(parcel, catalog).iter().map(|used| (used.id, used.revision)));
    }
    Fingerprint {
        parts,
        values: values.clone(),
    }
}

/// A group as a device with these values is to follow it.
pub(in crate::manager) fn translate(
    group: &PolicyGroup,
    values: &Values,
    catalog: &Catalog,
    device: &Device,
) -> Result<Translated, TranslateError> {
    let in_policy = |problem| TranslateError::Policy {
        device: device.uuid(),
        problem,
    };
    let mut translated = Translated {
        objects: Objects::default(),
        policy: VsmartPolicy {
            id: group.id,
            name: group.name.clone(),
            description: group.description.clone(),
            as_written: Map::new(),
            assembly: Vec::new(),
            stamp: group.stamp.clone(),
        },
        places: BTreeMap::new(),
        not_emulated: None,
    };
    let site = ListContent::Sites(vec![device.site_id..=device.site_id]);
    let site = translated
        .put_list("site", format!("site{}", device.site_id), site)
        .map_err(in_policy)?;
    for parcel in traffic_policies(group, catalog) {
        let policy = parcel
            .traffic_policy(values)
            .map_err(|problem| TranslateError::Parcel {
                device: device.uuid(),
                parcel: parcel.name.clone(),
                problem,
            })?;
        for list in used(parcel, catalog).into_iter().filter_map(Parcel::list) {
            translated.objects.put_list(list).map_err(in_policy)?;
        }
        if let Some(policy) = policy {
            let profile = catalog.profile_of(parcel.profile);
            let profile = profile.map_or("", |profile| &profile.name);
            let place = format!("profile {profile}: {} {}", parcel.kind.path, parcel.name);
            translated.add(parcel, &place, policy, site).map_err(in_policy)?;
        }
    }
    Ok(translated)
}

impl Translated {
    /// What the edge does.
    pub(in crate::manager) fn compile(&self, device: &Device) -> Result<EdgePolicy, TranslateError> {
        let checked = self.objects.check_policy(&self.policy);
        checked.map_err(|problem| TranslateError::Policy {
            device: device.uuid(),
            problem,
        })?;
        self.check_translated(device)?;
        let edges = compile::compile(&self.policy.assembly, &self.objects, &[place(device)]);
        let edges = edges.map_err(|unfit| self.in_parcel(unfit))?;
        Ok(edges.into_iter().next().expect("one place has one edge"))
    }

    /// The text that the product shows.
    pub(in crate::manager) fn preview(&self, device: &Device) -> Result<String, TranslateError> {
        self.check_translated(device)?;
        Ok(preview::preview(&self.policy, &self.objects))
    }

    /// Checks that everything is in the translation.
    fn check_translated(&self, device: &Device) -> Result<(), Unfit> {
        let Some((id, problem)) = &self.not_emulated else {
            return Ok(());
        };
        let definition = self
            .objects
            .definition_of(*id)
            .expect("it was added with its problem");
        let (assembly, problem) = (&self.policy.assembly, problem.clone());
        let unfit = Unfit::new(definition, problem, assembly, &self.objects, &[place(device)]);
        Err(self.in_parcel(unfit))
    }

    /// The same, where clients find it.
    fn in_parcel(&self, mut unfit: Unfit) -> Unfit {
        unfit.place.clone_from(&self.places[&unfit.definition]);
        unfit
    }

    /// The definition of a kind that applies in one service VPN, and the list that names that VPN.
    pub(in crate::manager) fn applied(
        &self,
        kind: DefinitionKind,
        direction: PolicyDirection,
        place: Place<'_>,
    ) -> Option<(&Definition, &List)> {
        compile::applied(&self.policy.assembly, &self.objects, kind, direction, place)
    }

    fn add(
        &mut self,
        parcel: &Parcel,
        place: &str,
        policy: TrafficPolicy,
        site: Uuid,
    ) -> Result<(), ObjectError> {
        let mut vpn_lists = Vec::new();
        for service_vpn in policy.service_vpns {
            let content = ListContent::ServiceVpns(vec![service_vpn..=service_vpn]);
            vpn_lists.push(self.put_list("vpn", vpn_name(service_vpn), content)?);
        }
        let data = policy
            .data
            .map(|data| (DefinitionBody::Data(data), policy.direction));
        let app_route = policy.app_route.map(DefinitionBody::AppRoute);
        let app_route = app_route.map(|app_route| (app_route, PolicyDirection::FromService));
        for (body, direction) in app_route.into_iter().chain(data) {
            let definition = Definition {
                id: Uuid::new_v4(),
                name: parcel.name.clone(),
                as_written: Map::new(),
                body,
                stamp: parcel.stamp.clone(),
            };
            self.places.insert(definition.id, place.to_owned());
            if let (None, Some((sequence, field))) = (&self.not_emulated, policy.not_emulated) {
                let problem = CompileError::NotEmulated { sequence, field };
                self.not_emulated = Some((definition.id, problem));
            }
            let application = Application {
                direction,
                site_lists: vec![site],
                vpn_lists: vpn_lists.clone(),
            };
            self.policy.assembly.push(Assembly {
                kind: definition.kind(),
                definition: definition.id,
                // A policy without a target applies nowhere.
                applications: (!vpn_lists.is_empty())
                    .then_some(application)
                    .into_iter()
                    .collect(),
            });
            self.put_definition(definition)?;
        }
        Ok(())
    }

    /// Stores a definition; two profiles may have parcels of one name.
    fn put_definition(&mut self, mut definition: Definition) -> Result<(), ObjectError> {
        let name = definition.name.clone();
        let taken = |objects: &Objects, definition: &Definition| {
            objects
                .definitions()
                .any(|other| other.kind() == definition.kind() && other.name == definition.name)
        };
        let mut number = 2;
        while taken(&self.objects, &definition) {
            definition.name = format!("{name}_{number}");
            number += 1;
        }
        self.objects.put_definition(definition)
    }

    /// Stores a list of the group's own, or finds it.
    fn put_list(&mut self, kind: &str, name: String, content: ListContent) -> Result<Uuid, ObjectError> {
        let kind = list::kind(kind).expect("sites and VPNs have lists");
        let known = self
            .objects
            .lists()
            .find(|list| list.kind == kind && list.name == name);
        if let Some(known) = known {
            return Ok(known.id);
        }
        let id = Uuid::new_v4();
        let stamp: Stamp = self.policy.stamp.clone();
        self.objects.put_list(List {
            id,
            kind,
            name,
            description: String::new(),
            entries: Vec::new(),
            content,
            stamp,
        })?;
        Ok(id)
    }
}

fn place(device: &Device) -> Place<'_> {
    Place {
        site_id: device.site_id,
        service_vpns: &device.service_vpns,
    }
}

fn traffic_policies<'a>(group: &'a PolicyGroup, catalog: &'a Catalog) -> impl Iterator<Item = &'a Parcel> {
    group
        .parcels(catalog)
        .filter(|parcel| parcel.kind.path == "traffic-policy")
}

/// The policy objects that a parcel names, and those that these name; what is named comes before what names it.
fn used<'a>(parcel: &Parcel, catalog: &'a Catalog) -> Vec<&'a Parcel> {
    let mut found = Vec::new();
    for (_, reference) in &parcel.uses.0 {
        if let Some(object) = catalog.parcel_of(reference.id) {
            found.extend(used(object, catalog));
            found.push(object);
        }
    }
    found
}

#[cfg(test)]
mod properties;
