//! What a Service is held to, in the order in which upstream tells it.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::super::validation;
use super::ports;
use crate::object::{items, text};
use crate::status::{FieldError, FieldRule};

const ONLY_LOAD_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";
/// A day, which is the longest that a client stays with its pod.
const AFFINITY_SECONDS_MAX: i64 = 86_400;

pub(in crate::strategy) fn validate(service: &Value) -> Vec<FieldError> {
    let spec = &service["spec"];
    let mut errors = validate_type(spec);
    errors.extend(ports::validate(spec));
    errors.extend(validation::labels("spec.selector", &spec["selector"]));
    errors.extend(validate_affinity(spec));
    if spec["type"] != "ExternalName" {
        errors.extend(validate_addresses(spec));
        errors.extend(validate_families(spec));
    }
    errors.extend(validate_external_ips(spec));
    let types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    errors.extend(one_of(spec, "type", &types));
    errors.extend(ports::validate_numbers(spec));
    errors.extend(validate_load_balancer(spec));
    errors.extend(validate_policies(spec));
    errors
}

/// What the type asks for, and what it does not have.
fn validate_type(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (kind, is_headless) = (text(spec, "/type"), spec["clusterIP"] == "None");
    if items(spec, "/ports").is_empty() && !is_headless && kind != "ExternalName" {
        errors.push(FieldError::required("spec.ports"));
    }
    match kind {
        "NodePort" | "LoadBalancer" if is_headless => {
            let expected = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid("spec.clusterIPs[0]", "None", expected));
        }
        "ExternalName" => {
            let why = "may not be set for ExternalName services";
            if !text(spec, "/clusterIP").is_empty() || !items(spec, "/clusterIPs").is_empty() {
                errors.push(FieldError::new("spec.clusterIPs", FieldRule::Forbidden { why }));
            }
            for field in ["ipFamilies", "ipFamilyPolicy"] {
                if !spec[field].is_null() {
                    errors.push(FieldError::new(
                        format!("spec.{field}"),
                        FieldRule::Forbidden { why },
                    ));
                }
            }
            let name = text(spec, "/externalName");
            match name.strip_suffix('.').unwrap_or(name) {
                "" => errors.push(FieldError::required("spec.externalName")),
                name => errors.extend(validation::subdomain("spec.externalName", name)),
            }
        }
        _ => {}
    }
    errors
}

fn validate_affinity(spec: &Value) -> Vec<FieldError> {
    let mut errors = one_of(spec, "sessionAffinity", &["ClientIP", "None"]);
    let seconds = &spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"];
    if spec["sessionAffinity"] == "ClientIP"
        && seconds
            .as_i64()
            .is_some_and(|seconds| !(1..=AFFINITY_SECONDS_MAX).contains(&seconds))
    {
        let expected = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
        let value = seconds.clone();
        let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
        errors.push(FieldError::new(field, FieldRule::Limit { value, expected }));
    }
    errors
}

/// The two ways to ask for an address say the same, and say addresses.
fn validate_addresses(spec: &Value) -> Vec<FieldError> {
    let (single, all) = (text(spec, "/clusterIP"), items(spec, "/clusterIPs"));
    let refused = |expected: &str| {
        let (value, expected) = (json!(all), expected.to_owned());
        vec![FieldError::new(
            "spec.clusterIPs",
            FieldRule::Limit { value, expected },
        )]
    };
    match all.first() {
        Some(_) if single.is_empty() => return refused("must be empty when `clusterIP` is not specified"),
        Some(first) if first != single => return refused("first value must match `clusterIP`"),
        _ => {}
    }
    let addresses = all.iter().filter_map(Value::as_str);
    let addresses = addresses.chain(Some(single).filter(|_| all.is_empty()));
    let wrong = addresses
        .enumerate()
        .filter(|(_, address)| !matches!(*address, "" | "None") && address.parse::<IpAddr>().is_err());
    wrong
        .map(|(at, address)| FieldError::invalid(format!("spec.clusterIPs[{at}]"), address, NO_ADDRESS))
        .collect()
}

const NO_ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

fn validate_families(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let families = items(spec, "/ipFamilies");
    for (at, family) in families.iter().enumerate() {
        let field = format!("spec.ipFamilies[{at}]");
        if family != "IPv4" && family != "IPv6" {
            let family = family.as_str().unwrap_or_default();
            errors.push(validation::unsupported(field, family, &["IPv4", "IPv6"]));
        } else if families[..at].contains(family) {
            let rule = FieldRule::Duplicate {
                value: family.clone(),
            };
            errors.push(FieldError::new(field, rule));
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    errors.extend(one_of(spec, "ipFamilyPolicy", &policies));
    errors
}

fn validate_external_ips(spec: &Value) -> Vec<FieldError> {
    let addresses = items(spec, "/externalIPs")
        .iter()
        .filter_map(Value::as_str)
        .enumerate();
    let wrong = addresses.filter_map(|(at, text)| {
        let expected = match text.parse::<IpAddr>() {
            Err(_) => NO_ADDRESS,
            Ok(address) if address.is_unspecified() => "may not be unspecified (0.0.0.0 or ::)",
            Ok(address) if address.is_loopback() => "may not be in the loopback range (127.0.0.0/8, ::1/128)",
            Ok(_) => return None,
        };
        Some(FieldError::invalid(
            format!("spec.externalIPs[{at}]"),
            text,
            expected,
        ))
    });
    wrong.collect()
}

/// What only a load balancer has.
fn validate_load_balancer(spec: &Value) -> Vec<FieldError> {
    let is_load_balancer = spec["type"] == "LoadBalancer";
    let forbidden = |field: &str| {
        let why = ONLY_LOAD_BALANCER;
        FieldError::new(field, FieldRule::Forbidden { why })
    };
    let mut errors = Vec::new();
    // Upstream writes the name of this field in another case than the field has.
    let field = "spec.LoadBalancerSourceRanges";
    let ranges = items(spec, "/loadBalancerSourceRanges");
    if !ranges.is_empty() && !is_load_balancer {
        errors.push(forbidden(field));
    }
    for (at, range) in ranges.iter().filter_map(Value::as_str).enumerate() {
        if range.trim().parse::<IpNet>().is_err() {
            let expected = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            errors.push(FieldError::invalid(
                format!("{field}[{at}]"),
                range.trim(),
                expected,
            ));
        }
    }
    if !is_load_balancer && !spec["allocateLoadBalancerNodePorts"].is_null() {
        errors.push(forbidden("spec.allocateLoadBalancerNodePorts"));
    }
    let class = "spec.loadBalancerClass";
    match spec["loadBalancerClass"].as_str() {
        Some(_) if !is_load_balancer => errors.push(forbidden(class)),
        Some(name) => errors.extend(validation::qualified_name(class, name)),
        None => {}
    }
    errors
}

/// Where traffic goes.
fn validate_policies(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let external = text(spec, "/externalTrafficPolicy");
    let is_reached = matches!(text(spec, "/type"), "NodePort" | "LoadBalancer")
        || spec["type"] == "ClusterIP" && !items(spec, "/externalIPs").is_empty();
    if is_reached {
        errors.extend(one_of(spec, "externalTrafficPolicy", &["Cluster", "Local"]));
    } else if !external.is_empty() {
        let expected = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(
            "spec.externalTrafficPolicy",
            external,
            expected,
        ));
    }
    errors.extend(one_of(spec, "internalTrafficPolicy", &["Cluster", "Local"]));
    let distributions = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    errors.extend(one_of(spec, "trafficDistribution", &distributions));
    errors
}

/// Whether a field that is there has one of the values.
fn one_of(spec: &Value, field: &str, supported: &[&str]) -> Vec<FieldError> {
    let found = spec[field].as_str().filter(|found| !supported.contains(found));
    found
        .map(|found| validation::unsupported(format!("spec.{field}"), found, supported))
        .into_iter()
        .collect()
}

/// Addresses and classes stay.
pub(in crate::strategy) fn validate_change(current: &Value, service: &Value) -> Vec<FieldError> {
    let (before, spec) = (&current["spec"], &service["spec"]);
    let refused = |field: &str, value: Value| {
        let expected = "may not change once set".to_owned();
        FieldError::new(field, FieldRule::Limit { value, expected })
    };
    let mut errors = Vec::new();
    let has_address = |spec: &Value| spec["type"] != "ExternalName";
    if has_address(before) && has_address(spec) && before["clusterIP"] != spec["clusterIP"] {
        errors.push(refused("spec.clusterIPs[0]", json!([spec["clusterIP"]])));
    }
    let is_load_balancer = |spec: &Value| spec["type"] == "LoadBalancer";
    let class = &spec["loadBalancerClass"];
    if is_load_balancer(before) && is_load_balancer(spec) && before["loadBalancerClass"] != *class {
        errors.push(refused("spec.loadBalancerClass", class.clone()));
    }
    errors
}
