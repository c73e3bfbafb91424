//! The text that the product shows for a policy: its configuration in the Controller's command language.
//!
//! Pure. Owns the frame of the text; sequences and lists are in files of their own. Invariant: two policies that mean
//! the same thing to the edges, and are named alike, have the same text.

mod lists;
mod sequences;

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};
use std::ops::RangeInclusive;

use uuid::Uuid;

use super::definition::{Definition, DefinitionBody};
use super::list::List;
use super::objects::Objects;
use super::vsmart_policy::{Application, VsmartPolicy};
use crate::policy::{DefaultAction, PolicyDirection};

/// The lists that the text has to spell out, by kind and name.
type Named<'a> = BTreeMap<(&'static str, &'a str), &'a List>;

/// The text of a policy whose references all lead somewhere.
pub(super) fn preview(policy: &VsmartPolicy, objects: &Objects) -> String {
    let mut text = String::new();
    write(&mut text, policy, objects).expect("writing to a string does not fail");
    text
}

/// The text of a definition whose references all lead somewhere, wherever it applies.
pub(super) fn of_definition(definition: &Definition, objects: &Objects) -> String {
    let mut text = Text::new(objects);
    let written = text.write_definition(definition, &format!("_{}", definition.name), None);
    written.expect("writing to a string does not fail");
    text.finish()
}

/// The text of a list whose references all lead somewhere.
pub(super) fn of_list(list: &List, objects: &Objects) -> String {
    let mut text = Text::new(objects);
    text.name_list(list);
    text.finish()
}

/// What the text calls a definition in the service VPNs of a list.
pub(super) fn policy_name(vpn_list: &str, definition: &Definition) -> String {
    format!("_{vpn_list}_{}", definition.name)
}

fn write(out: &mut String, policy: &VsmartPolicy, objects: &Objects) -> fmt::Result {
    let mut text = Text::new(objects);
    let mut applied: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for assembly in &policy.assembly {
        let Some(definition) = objects.definition_of(assembly.definition) else {
            continue;
        };
        if let DefinitionBody::Stored(_) = definition.body {
            text.write_definition(definition, &definition.name, None)?;
            continue;
        }
        for application in &assembly.applications {
            for vpn_list in text.named(&application.vpn_lists) {
                let line = text.write_policy(definition, &vpn_list, application)?;
                for site_list in text.named(&application.site_lists) {
                    applied.entry(site_list).or_default().push(line.clone());
                }
            }
        }
    }
    out.push_str(&text.finish());
    writeln!(out, "apply-policy")?;
    for (site_list, lines) in &applied {
        writeln!(out, " site-list {site_list}\n{}\n !", lines.join("\n"))?;
    }
    writeln!(out, "!")
}

/// The text under way.
struct Text<'a> {
    objects: &'a Objects,
    lists: Named<'a>,
    policies: String,
}

impl<'a> Text<'a> {
    fn new(objects: &'a Objects) -> Self {
        Self {
            objects,
            lists: Named::new(),
            policies: String::new(),
        }
    }

    /// Policies, and the lists that they name.
    fn finish(self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("writing to a string does not fail");
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "viptela-policy:policy")?;
        lists::write_classes(out, &self.lists)?;
        out.push_str(&self.policies);
        writeln!(out, " lists")?;
        for list in self.lists.values() {
            lists::write_list(out, list)?;
        }
        writeln!(out, " !\n!")
    }

    /// Writes a definition as it is for one VPN list, and gives the line that applies it.
    fn write_policy(
        &mut self,
        definition: &Definition,
        vpn_list: &str,
        application: &Application,
    ) -> Result<String, fmt::Error> {
        let name = policy_name(vpn_list, definition);
        self.write_definition(definition, &name, Some(vpn_list))?;
        Ok(match definition.body {
            DefinitionBody::Data(_) => format!("  data-policy {name} {}", direction(application)),
            _ => format!("  app-route-policy {name}"),
        })
    }

    fn write_definition(
        &mut self,
        definition: &Definition,
        name: &str,
        vpn_list: Option<&str>,
    ) -> fmt::Result {
        let vpn_list = vpn_list.map_or_else(String::new, |list| format!("\n  vpn-list {list}"));
        match &definition.body {
            DefinitionBody::Data(data) => {
                writeln!(self.policies, " data-policy {name}{vpn_list}")?;
                for sequence in &data.sequences {
                    self.write_data(sequence)?;
                }
                let default_action = match data.default_action {
                    DefaultAction::Accept => "accept",
                    DefaultAction::Drop => "drop",
                };
                writeln!(self.policies, "    default-action {default_action}\n  !\n !")
            }
            DefinitionBody::AppRoute(app_route) => {
                writeln!(self.policies, " app-route-policy {name}{vpn_list}")?;
                for sequence in &app_route.sequences {
                    self.write_app_route(sequence)?;
                }
                let default_class = app_route.default_class;
                for class in self.named(default_class.as_slice()) {
                    writeln!(self.policies, "    default-action sla-class {class}")?;
                }
                writeln!(self.policies, "  !\n !")
            }
            DefinitionBody::Stored(_) => {
                let lists: Vec<Uuid> = definition.uses().map(|(_, named)| named.id).collect();
                self.named(&lists);
                let type_name = definition.kind().type_name();
                writeln!(
                    self.policies,
                    " ! {type_name} {}: its commands are not emulated",
                    definition.name
                )
            }
        }
    }

    /// Lets a list, and the one that it names, join those that the text has to spell out.
    fn name_list(&mut self, list: &'a List) {
        let inner = list.uses().and_then(|inner| self.objects.list_of(inner.id));
        let both = inner.into_iter().chain([list]);
        (self.lists).extend(both.map(|list| ((list.kind.path, list.name.as_str()), list)));
    }

    /// The names of these lists, which thereby join those that the text has to spell out.
    fn named(&mut self, ids: &[Uuid]) -> Vec<String> {
        let found: Vec<&List> = ids.iter().filter_map(|&id| self.objects.list_of(id)).collect();
        for list in &found {
            self.name_list(list);
        }
        found.into_iter().map(|list| list.name.clone()).collect()
    }

    /// The name of one list.
    fn name(&mut self, id: Uuid) -> String {
        self.named(&[id]).pop().unwrap_or_default()
    }
}

fn direction(application: &Application) -> &'static str {
    match application.direction {
        PolicyDirection::FromService => "from-service",
        PolicyDirection::FromTunnel => "from-tunnel",
        PolicyDirection::All => "all",
    }
}

fn range_text<T: Display + PartialEq>(range: &RangeInclusive<T>) -> String {
    match range.start() == range.end() {
        true => range.start().to_string(),
        false => format!("{}-{}", range.start(), range.end()),
    }
}

fn joined<T: Display>(values: &[T]) -> String {
    values
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests;
