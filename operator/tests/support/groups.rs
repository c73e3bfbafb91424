//! The stand-in's policy groups: profiles, parcels, groups with their devices, and deployments.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Shelf, refuse, reply, table, text};

#[derive(Default)]
pub struct Groups {
    /// Kind and id to row.
    pub profiles: BTreeMap<(String, String), Value>,
    /// Profile, kind and id to row.
    pub parcels: BTreeMap<(String, String, String), Value>,
    pub groups: BTreeMap<String, Value>,
    /// Group and device to what the device was told, which is nothing before the first deployment.
    pub devices: BTreeMap<(String, String), Option<String>>,
    /// What each edge does, as of the last successful deployment to it.
    pub in_force: BTreeMap<String, String>,
}

impl Shelf {
    pub(super) fn route_profiles(&mut self, method: &Method, path: &[&str], body: Value) -> Response {
        match (method.as_str(), path) {
            ("GET", [kind]) => {
                let rows = self.groups.profiles.iter().filter(|((k, _), _)| k == kind);
                reply(rows.map(|(_, row)| row.clone()).collect())
            }
            ("POST", [kind]) => {
                let name = &body["name"];
                let taken =
                    |((k, _), row): (&(String, String), &Value)| k == kind && row["profileName"] == *name;
                if self.groups.profiles.iter().any(taken) {
                    return refuse(400, "name taken");
                }
                let id = self.id();
                let row = json!({ "profileId": id, "profileName": name, "description": body["description"] });
                self.groups.profiles.insert(((*kind).to_owned(), id.clone()), row);
                reply(json!({ "id": id }))
            }
            ("DELETE", [kind, id]) => {
                let used = self.groups.groups.values().any(|group| {
                    let mut profiles = group["profiles"].as_array().unwrap().iter();
                    profiles.any(|profile| profile["id"] == *id)
                });
                let referred = self
                    .groups
                    .parcels
                    .keys()
                    .any(|(profile, _, _)| profile == id && *kind == "policy-object");
                if used || referred {
                    return refuse(400, "Profile is in use");
                }
                self.groups.parcels.retain(|(profile, _, _), _| profile != id);
                match self
                    .groups
                    .profiles
                    .remove(&((*kind).to_owned(), (*id).to_owned()))
                {
                    Some(_) => StatusCode::OK.into_response(),
                    None => refuse(404, "Failed to find specified resource"),
                }
            }
            (_, [_, profile, kind, rest @ ..]) => self.route_parcels(method, profile, kind, rest, body),
            _ => refuse(405, "method"),
        }
    }

    fn route_parcels(
        &mut self,
        method: &Method,
        profile: &str,
        kind: &str,
        path: &[&str],
        body: Value,
    ) -> Response {
        let key = |id: &str| (profile.to_owned(), kind.to_owned(), id.to_owned());
        let row =
            |id: &str, payload: Value| json!({ "parcelId": id, "parcelType": kind, "payload": payload });
        match (method.as_str(), path) {
            ("GET", []) => {
                let parcels = self.groups.parcels.iter();
                table(
                    parcels
                        .filter(|((p, k, _), _)| p == profile && k == kind)
                        .map(|(_, row)| row),
                )
            }
            ("POST", []) => {
                let mut known = self.groups.parcels.iter();
                if known.any(|((_, k, _), row)| k == kind && row["payload"]["name"] == body["name"]) {
                    return refuse(400, "name taken");
                }
                let id = self.id();
                self.groups.parcels.insert(key(&id), row(&id, body));
                reply(json!({ "parcelId": id }))
            }
            ("PUT", [id]) if self.groups.parcels.contains_key(&key(id)) => {
                self.groups.parcels.insert(key(id), row(id, body));
                reply(json!({ "parcelId": id }))
            }
            ("DELETE", [id]) => {
                let reference = format!("\"{id}\"");
                let used = |(k, row): (&(String, String, String), &Value)| {
                    k.2 != *id && row["payload"].to_string().contains(&reference)
                };
                if self.groups.parcels.iter().any(used) {
                    return refuse(400, "Parcel is in use");
                }
                match self.groups.parcels.remove(&key(id)) {
                    Some(_) => StatusCode::OK.into_response(),
                    None => refuse(404, "Failed to find specified resource"),
                }
            }
            _ => refuse(404, "Failed to find specified resource"),
        }
    }

    pub(super) fn route_groups(&mut self, method: &Method, path: &[&str], mut body: Value) -> Response {
        match (method.as_str(), path) {
            ("GET", []) => reply(self.groups.groups.values().cloned().collect()),
            ("POST", []) => {
                let id = self.id();
                body["id"] = json!(id);
                self.groups.groups.insert(id.clone(), body);
                reply(json!({ "id": id }))
            }
            ("PUT", [id]) => {
                body["id"] = json!(id);
                self.groups.groups.insert((*id).to_owned(), body);
                reply(json!({ "id": id }))
            }
            ("DELETE", [id]) => {
                let in_use = self.groups.devices.keys().any(|(group, _)| group == id)
                    || self
                        .groups
                        .in_force
                        .values()
                        .any(|text| text.starts_with(&format!("{id}\n")));
                if in_use {
                    return refuse(400, "Policy group has devices");
                }
                match self.groups.groups.remove(*id) {
                    Some(_) => StatusCode::OK.into_response(),
                    None => refuse(404, "Failed to find specified resource"),
                }
            }
            (_, [id, "device", "associate"]) => self.associate(method, id, &body),
            ("POST", [id, "device", "deploy"]) => self.deploy(id, &body),
            _ => refuse(405, "method"),
        }
    }

    fn associate(&mut self, method: &Method, group: &str, body: &Value) -> Response {
        if method == Method::GET {
            let now = self.grouped(group);
            let rows = self.groups.devices.iter().filter(|((g, _), _)| g == group);
            let rows = rows.map(|((_, device), told)| {
                json!({ "id": device, "policyGroupUpToDate": told.as_ref() == Some(&now) })
            });
            return reply(json!({ "devices": rows.collect::<Vec<_>>() }));
        }
        for device in ids(body) {
            if let Some((other, _)) = self
                .groups
                .devices
                .keys()
                .find(|(g, d)| g != group && *d == device)
            {
                return refuse(
                    400,
                    &format!("device {device} is already associated to group(s) {other}"),
                );
            }
            let key = (group.to_owned(), device);
            if method == Method::DELETE {
                self.groups.devices.remove(&key);
            } else {
                self.groups.devices.entry(key).or_default();
            }
        }
        StatusCode::OK.into_response()
    }

    fn deploy(&mut self, group: &str, body: &Value) -> Response {
        let devices = ids(body);
        let foreign = |device: &&String| {
            !self
                .groups
                .devices
                .contains_key(&(group.to_owned(), (*device).clone()))
                && !self.groups.in_force.contains_key(*device)
        };
        if let Some(device) = devices.iter().find(foreign) {
            return refuse(400, &format!("device {device} is not associated"));
        }
        let task = format!("deploy_policy_group-{}", self.id());
        if self.finish(&task) {
            let now = self.grouped(group);
            for device in devices {
                match self.groups.devices.get_mut(&(group.to_owned(), device.clone())) {
                    Some(told) => {
                        *told = Some(now.clone());
                        self.groups.in_force.insert(device, now.clone());
                    }
                    None => {
                        self.groups.in_force.remove(&device);
                    }
                }
            }
        }
        reply(json!({ "parentTaskId": task }))
    }

    /// What edges do under a group: its id, and one line for each sequence.
    fn grouped(&self, group: &str) -> String {
        let mut lines = format!("{group}\n");
        let Some(row) = self.groups.groups.get(group) else {
            return lines;
        };
        let profiles: BTreeSet<&str> = row["profiles"]
            .as_array()
            .unwrap()
            .iter()
            .map(|profile| text(profile, "id"))
            .collect();
        let policies = self.groups.parcels.iter().filter(|((profile, kind, _), _)| {
            kind == "traffic-policy" && profiles.contains(profile.as_str())
        });
        for (_, parcel) in policies {
            let data = &parcel["payload"]["data"];
            writeln!(
                lines,
                "{} {}",
                bare(&data["target"]["vpn"]),
                bare(&data["target"]["direction"])
            )
            .unwrap();
            for sequence in data["sequences"].as_array().unwrap() {
                let mut says = String::new();
                let entries = sequence["match"]["entries"].as_array().unwrap();
                for part in entries.iter().chain(sequence["actions"].as_array().unwrap()) {
                    self.say(part, &mut says);
                }
                writeln!(lines, "{says}{}", bare(&sequence["baseAction"])).unwrap();
            }
            writeln!(lines, "default {}", bare(&data["dataDefaultAction"])).unwrap();
        }
        lines
    }

    /// The names and values of options, references as what they refer to.
    fn say(&self, part: &Value, says: &mut String) {
        match part {
            Value::Array(parts) => parts.iter().for_each(|part| self.say(part, says)),
            Value::Object(_) if part.get("optionType").is_some() => {
                write!(says, "{}, ", bare(part)).unwrap();
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value.get("refId") {
                        Some(id) => {
                            let id = id["value"].as_str().unwrap();
                            let parcel = self.groups.parcels.iter().find(|((_, _, known), _)| known == id);
                            let (_, row) = parcel.expect("a known parcel");
                            write!(says, "{name} ").unwrap();
                            self.say(&row["payload"]["data"]["entries"], says);
                        }
                        None => {
                            write!(says, "{name} ").unwrap();
                            self.say(value, says);
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

fn bare(option: &Value) -> String {
    match &option["value"] {
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let texts: Vec<_> = values.iter().map(|value| value.as_str().unwrap()).collect();
            texts.join(" ")
        }
        other => other.to_string(),
    }
}

fn ids(body: &Value) -> Vec<String> {
    let rows = body["devices"].as_array().unwrap();
    assert!(!rows.is_empty());
    rows.iter().map(|row| text(row, "id").to_owned()).collect()
}
