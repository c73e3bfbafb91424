//! The feature profiles and parcels that clients made.
//!
//! Owns storage, names and references between parcels. Invariant: every reference leads to a parcel of the right kind, so
//! nothing that is referred to can be deleted.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::at::ReferenceAt;
use super::{Parcel, ParcelKind, Profile, ProfileKind};

/// Why something was not found, stored or deleted.
#[derive(Debug, thiserror::Error)]
pub(in crate::manager) enum CatalogError {
    /// No profile has this id.
    #[error("no {kind} profile has the id `{id}`")]
    NoProfile { kind: &'static str, id: String },
    /// No parcel has this id.
    #[error("the profile has no {kind} parcel with the id `{id}`")]
    NoParcel { kind: &'static str, id: String },
    /// Another one has this name.
    #[error("another {kind} has the name `{name}`")]
    NameTaken { kind: &'static str, name: String },
    /// A parcel names one that does not exist or is of another kind.
    #[error("{pointer}: `{id}` is not the id of a {kind} parcel")]
    Dangling {
        pointer: String,
        id: Uuid,
        kind: &'static str,
    },
    /// It is named by another parcel.
    #[error("{kind} {name} is referenced by {by}")]
    InUse {
        kind: &'static str,
        name: String,
        by: String,
    },
}

/// All profiles and parcels.
#[derive(Debug, Default)]
pub(in crate::manager) struct Catalog {
    profiles: BTreeMap<Uuid, Profile>,
    parcels: BTreeMap<Uuid, Parcel>,
}

impl Catalog {
    /// The profiles of a kind.
    pub(in crate::manager) fn profiles(&self, kind: ProfileKind) -> impl Iterator<Item = &Profile> {
        self.profiles.values().filter(move |profile| profile.kind == kind)
    }

    /// A profile of a kind, by the text of its id.
    pub(in crate::manager) fn profile(&self, kind: ProfileKind, id: &str) -> Result<&Profile, CatalogError> {
        let found = Uuid::parse_str(id).ok().and_then(|id| self.profiles.get(&id));
        found
            .filter(|profile| profile.kind == kind)
            .ok_or_else(|| CatalogError::NoProfile {
                kind: kind.as_str(),
                id: id.to_owned(),
            })
    }

    /// A profile that a policy group names.
    pub(in crate::manager) fn profile_of(&self, id: Uuid) -> Option<&Profile> {
        self.profiles.get(&id)
    }

    /// The parcels of a profile.
    pub(in crate::manager) fn parcels(&self, profile: Uuid) -> impl Iterator<Item = &Parcel> {
        self.parcels
            .values()
            .filter(move |parcel| parcel.profile == profile)
    }

    /// A parcel of a profile, by the text of its id.
    pub(in crate::manager) fn parcel(
        &self,
        profile: Uuid,
        kind: &ParcelKind,
        id: &str,
    ) -> Result<&Parcel, CatalogError> {
        let found = Uuid::parse_str(id).ok().and_then(|id| self.parcels.get(&id));
        let found = found.filter(|parcel| parcel.profile == profile && parcel.kind == kind);
        found.ok_or_else(|| CatalogError::NoParcel {
            kind: kind.path,
            id: id.to_owned(),
        })
    }

    /// A parcel that another one names.
    pub(in crate::manager) fn parcel_of(&self, id: Uuid) -> Option<&Parcel> {
        self.parcels.get(&id)
    }

    /// Stores a new profile, or a new version of one.
    pub(in crate::manager) fn put_profile(&mut self, profile: Profile) -> Result<(), CatalogError> {
        let taken = |other: &Profile| {
            other.kind == profile.kind && other.name == profile.name && other.id != profile.id
        };
        if self.profiles.values().any(taken) {
            return Err(CatalogError::NameTaken {
                kind: profile.kind.as_str(),
                name: profile.name,
            });
        }
        self.profiles.insert(profile.id, profile);
        Ok(())
    }

    /// Stores a new parcel, or a new version of one.
    pub(in crate::manager) fn put_parcel(&mut self, mut parcel: Parcel) -> Result<(), CatalogError> {
        let taken = |other: &Parcel| {
            // Policy objects of all profiles meet on the edges, where classes are told apart by name.
            let meet = parcel.kind.profile == ProfileKind::PolicyObject || other.profile == parcel.profile;
            meet && other.kind == parcel.kind && other.name == parcel.name && other.id != parcel.id
        };
        if self.parcels.values().any(taken) {
            return Err(CatalogError::NameTaken {
                kind: parcel.kind.path,
                name: parcel.name,
            });
        }
        for (kind, ReferenceAt { pointer, id }) in &parcel.uses.0 {
            if self.parcel_of(*id).is_none_or(|found| found.kind.path != *kind) {
                return Err(CatalogError::Dangling {
                    pointer: pointer.clone(),
                    id: *id,
                    kind,
                });
            }
        }
        parcel.revision = self.parcel_of(parcel.id).map_or(0, |old| old.revision + 1);
        self.parcels.insert(parcel.id, parcel);
        Ok(())
    }

    /// Deletes a parcel that no other names.
    pub(in crate::manager) fn delete_parcel(
        &mut self,
        profile: Uuid,
        kind: &ParcelKind,
        id: &str,
    ) -> Result<Parcel, CatalogError> {
        let parcel = self.parcel(profile, kind, id)?;
        self.check_unused(parcel, |_| true)?;
        let id = parcel.id;
        Ok(self.parcels.remove(&id).expect("the parcel was found above"))
    }

    /// Deletes a profile with its parcels, unless those of other profiles name one of them. That no policy group names it
    /// is for the caller to check.
    pub(in crate::manager) fn delete_profile(
        &mut self,
        kind: ProfileKind,
        id: &str,
    ) -> Result<Profile, CatalogError> {
        let id = self.profile(kind, id)?.id;
        for parcel in self.parcels(id) {
            self.check_unused(parcel, |other| other.profile != id)?;
        }
        self.parcels.retain(|_, parcel| parcel.profile != id);
        Ok(self.profiles.remove(&id).expect("the profile was found above"))
    }

    /// The parcels that name this one.
    pub(in crate::manager) fn users(&self, id: Uuid) -> impl Iterator<Item = &Parcel> {
        self.parcels
            .values()
            .filter(move |parcel| parcel.uses.0.iter().any(|(_, used)| used.id == id))
    }

    fn check_unused(&self, parcel: &Parcel, counts: impl Fn(&Parcel) -> bool) -> Result<(), CatalogError> {
        match self.users(parcel.id).find(|other| counts(other)) {
            Some(by) => Err(CatalogError::InUse {
                kind: parcel.kind.path,
                name: parcel.name.clone(),
                by: format!("{} {}", by.kind.path, by.name),
            }),
            None => Ok(()),
        }
    }
}
