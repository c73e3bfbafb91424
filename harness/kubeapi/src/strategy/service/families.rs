//! The address families of a Service, from what it asks for and what its cluster has.

use serde_json::{Value, json};

use crate::object::{items, text};
use crate::status::FieldError;

/// Settles the policy and the families of a Service that is no mere name. IPv4 is the family every cluster has.
pub(super) fn settle(service: &mut Value, is_dual: bool) -> Result<(), Vec<FieldError>> {
    let is_headless = service["spec"]["clusterIP"] == "None";
    let has_selector = service["spec"]["selector"]
        .as_object()
        .is_some_and(|pairs| !pairs.is_empty());
    let is_free = is_headless && !has_selector;
    let policy = match text(service, "/spec/ipFamilyPolicy") {
        "" if is_free => "RequireDualStack".to_owned(),
        "" => "SingleStack".to_owned(),
        policy => policy.to_owned(),
    };
    let mut families: Vec<&str> = items(service, "/spec/ipFamilies")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    if families.is_empty() {
        families = families_of_addresses(service);
    }
    if families.is_empty() {
        families.push("IPv4");
    }
    let errors = refusals(service, &policy, &families, is_dual || is_free);
    if !errors.is_empty() {
        return Err(errors);
    }
    if policy != "SingleStack" && families.len() == 1 && (is_dual || is_free) {
        families.push(if families[0] == "IPv4" { "IPv6" } else { "IPv4" });
    }
    let families = json!(families);
    service["spec"]["ipFamilyPolicy"] = json!(policy);
    service["spec"]["ipFamilies"] = families;
    Ok(())
}

fn families_of_addresses(service: &Value) -> Vec<&'static str> {
    let single =
        Some(&service["spec"]["clusterIP"]).filter(|_| items(service, "/spec/clusterIPs").is_empty());
    let addresses = items(service, "/spec/clusterIPs").iter().chain(single);
    let addresses = addresses
        .filter_map(Value::as_str)
        .filter(|address| !matches!(*address, "" | "None"));
    addresses
        .map(|address| if address.contains(':') { "IPv6" } else { "IPv4" })
        .collect()
}

fn refusals(service: &Value, policy: &str, families: &[&str], has_both: bool) -> Vec<FieldError> {
    let of_policy = |expected: &'static str| FieldError::invalid("spec.ipFamilyPolicy", policy, expected);
    if policy == "SingleStack" {
        let mut errors = Vec::new();
        if items(service, "/spec/clusterIPs").len() == 2 {
            errors.push(of_policy(
                "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified",
            ));
        }
        if items(service, "/spec/ipFamilies").len() == 2 {
            errors.push(of_policy(
                "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
            ));
        }
        if !errors.is_empty() {
            return errors;
        }
    }
    if has_both {
        return Vec::new();
    }
    let mut errors = Vec::new();
    if policy == "RequireDualStack" {
        errors.push(of_policy(
            "this cluster is not configured for dual-stack services",
        ));
    }
    for (at, family) in families
        .iter()
        .enumerate()
        .filter(|(_, family)| **family != "IPv4")
    {
        let field = format!("spec.ipFamilies[{at}]");
        errors.push(FieldError::invalid(
            field,
            family,
            "not configured on this cluster",
        ));
    }
    errors
}
