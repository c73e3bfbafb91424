//! The oracle: what is asked for each destination, and what then has to become of its packets.
//!
//! Written after the README of the operator, and shares nothing with it. Whatever is only half understood is refused as
//! a whole; the older of two Services that ask different things for one endpoint wins, and the other gets nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use pathproof_trials::{Fate, Tunnel};

use super::facts::{Facts, Name, Words};

/// The colors that the edges have.
pub const COLORS: [&str; 4] = ["default", "mpls", "lte", "gold"];
/// Colors that exist besides.
const OTHER_COLORS: [&str; 2] = ["biz-internet", "3g"];
/// The service VPN of the cluster.
pub const VPN: u16 = 10;
/// That of the tenant `blue`.
pub const TENANT_VPN: u16 = 20;
/// A tunnel with a latency up to this meets every class of the histories.
const SLA_LATENCY_MS: u128 = 50;
/// The ports of every Service.
const PORTS: [(&str, &str); 2] = [("http", "80"), ("metrics", "81")];

/// Where packets go, or come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// The service VPN.
    pub service_vpn: u16,
    /// The endpoint.
    pub host: IpAddr,
    /// The IP protocol number.
    pub protocol: u8,
    /// The port of the endpoint.
    pub port: u16,
}

/// What is asked for packets.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wish {
    /// They are dropped.
    pub dropped: bool,
    /// The inspection service gets a copy.
    pub inspected: bool,
    /// The tunnels that they take; routing decides without.
    pub path: Option<Path>,
}

/// Tunnels to take.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    colors: Vec<String>,
    sla: Option<String>,
    preferred: bool,
    encrypted: bool,
}

/// It is refused, or cannot be understood.
struct Refused;

/// What a Service asks for its ports.
struct Terms {
    service_vpn: u16,
    all: Option<Wish>,
    by_port: BTreeMap<&'static str, Option<Wish>>,
}

/// What is asked for each destination; nothing for those that are not there.
pub fn wishes(facts: &Facts) -> BTreeMap<Destination, Wish> {
    let mut services: Vec<_> = facts.services.iter().collect();
    services.sort_by_key(|(name, service)| (&service.created, *name));
    let mut held = BTreeMap::new();
    for (name, _) in services {
        let Ok(Some(terms)) = terms(facts, name) else {
            continue;
        };
        let Ok(claims) = claims(facts, name, &terms) else {
            continue;
        };
        let conflicts = |(to, wish): (&Destination, &Wish)| held.get(to).is_some_and(|other| other != wish);
        if !claims.iter().any(conflicts) {
            held.extend(claims);
        }
    }
    held
}

fn claims(facts: &Facts, name: &Name, terms: &Terms) -> Result<BTreeMap<Destination, Wish>, Refused> {
    let mut claims = BTreeMap::new();
    let slices = facts.slices.iter();
    let slices = slices.filter(|((namespace, _), slice)| *namespace == name.0 && slice.service == name.1);
    for (_, slice) in slices {
        for port in &slice.ports {
            let Some(wish) = terms.by_port.get(port.name).unwrap_or(&terms.all) else {
                continue;
            };
            let protocol = match port.protocol {
                "TCP" => 6,
                "UDP" => 17,
                _ => 132,
            };
            for host in &slice.hosts {
                let to = Destination {
                    service_vpn: terms.service_vpn,
                    host: *host,
                    protocol,
                    port: port.number,
                };
                if claims
                    .insert(to, wish.clone())
                    .is_some_and(|other| other != *wish)
                {
                    return Err(Refused);
                }
            }
        }
    }
    Ok(claims)
}

fn terms(facts: &Facts, name: &Name) -> Result<Option<Terms>, Refused> {
    let words = words(facts, name)?;
    let of_all = |key: &String| !key.contains('.');
    let all: Words = words.clone().into_iter().filter(|(key, _)| of_all(key)).collect();
    let ports = words.keys().filter_map(|key| key.split_once('.'));
    if ports.map(|(_, port)| port).any(|port| {
        !PORTS
            .iter()
            .any(|(name, number)| [*name, *number].contains(&port))
    }) {
        return Err(Refused);
    }
    let mut by_port = BTreeMap::new();
    for (name, number) in PORTS {
        let own = |of: &str| -> Words {
            let own = words.iter().filter_map(|(key, value)| {
                let (setting, port) = key.split_once('.')?;
                (port == of).then(|| (setting.to_owned(), value.clone()))
            });
            own.collect()
        };
        // The number goes before the name.
        let mut own_words = own(name);
        own_words.extend(own(number));
        if !own_words.is_empty() {
            let mut settings = all.clone();
            settings.extend(own_words);
            by_port.insert(name, wish(&settings, false)?);
        }
    }
    let for_ports = by_port.values().any(Option::is_some);
    let all_wish = if by_port.len() < PORTS.len() {
        wish(&all, for_ports)?
    } else {
        None
    };
    let service_vpn = match all.get("tenant").map(String::as_str) {
        None => VPN,
        Some("blue") => TENANT_VPN,
        Some(_) => return Err(Refused),
    };
    let asks = all_wish.is_some() || for_ports;
    Ok(asks.then_some(Terms {
        service_vpn,
        all: all_wish,
        by_port,
    }))
}

/// What counts for a Service: the oldest SteeringPolicy, or its annotations over the defaults of the namespace.
fn words(facts: &Facts, name: &Name) -> Result<Words, Refused> {
    let of_service = |((namespace, _), policy): &(&Name, &super::facts::Policy)| {
        *namespace == name.0 && policy.service == name.1
    };
    let policies = facts.policies.iter().filter(of_service);
    if let Some((_, policy)) = policies.min_by_key(|(name, policy)| (&policy.created, *name)) {
        check(&policy.words)?;
        return Ok(policy.words.clone());
    }
    let own = &facts.services[name].words;
    check(own)?;
    let Some(defaults) = facts.namespaces.get(&name.0).filter(|words| !words.is_empty()) else {
        return Ok(own.clone());
    };
    if own.get("tunnel").is_some_and(|tunnel| tunnel == "none") {
        return Ok(own.clone());
    }
    check(defaults)?;
    let asks = ["tunnel", "sla"].iter().any(|key| defaults.contains_key(*key))
        || defaults.get("action").is_some_and(|action| action != "allow");
    if defaults.keys().any(|key| key.contains('.')) {
        return Err(Refused);
    }
    if own.is_empty() && !asks {
        return Ok(Words::new());
    }
    let mut words = defaults.clone();
    words.extend(own.clone());
    Ok(words)
}

/// Whether every word is known by itself.
fn check(words: &Words) -> Result<(), Refused> {
    let is_color = |color: &str| COLORS.contains(&color) || OTHER_COLORS.contains(&color);
    let is_known = |(key, value): (&String, &String)| {
        let (setting, port) = key
            .split_once('.')
            .map_or((key.as_str(), None), |(a, b)| (a, Some(b)));
        match (setting, value.as_str()) {
            ("tunnel", color) => color == "none" || is_color(color),
            ("mode", mode) => ["strict", "preferred"].contains(&mode),
            ("fallback", colors) => {
                let colors: Vec<_> = colors.split(',').collect();
                let different: BTreeSet<_> = colors.iter().collect();
                colors.len() <= 2 && different.len() == colors.len() && colors.iter().all(|c| is_color(c))
            }
            // Of the classes that the histories ask for, all are understood but this one.
            ("sla", sla) => sla != "latency=0ms",
            ("encryption", word) => ["any", "required"].contains(&word),
            ("action", action) => ["allow", "inspect", "drop"].contains(&action),
            ("tenant", _) => port.is_none(),
            _ => false,
        }
    };
    words.iter().all(is_known).then_some(()).ok_or(Refused)
}

/// What settings that are known by themselves amount to together. Where others ask for something, those that only say
/// how need not ask for anything.
fn wish(settings: &Words, others_ask: bool) -> Result<Option<Wish>, Refused> {
    let word = |key: &str| settings.get(key).map(String::as_str);
    let tunnel = word("tunnel");
    if tunnel == Some("none") {
        return Ok(None);
    }
    if word("action") == Some("drop") {
        return Ok(Some(Wish {
            dropped: true,
            ..Wish::default()
        }));
    }
    let fallback: Vec<&str> = word("fallback").map_or(Vec::new(), |colors| colors.split(',').collect());
    if tunnel.is_some_and(|tunnel| fallback.contains(&tunnel)) {
        return Err(Refused);
    }
    let has_path = tunnel.is_some() || (word("sla").is_some() && fallback.is_empty());
    let path = has_path.then(|| Path {
        colors: tunnel.into_iter().chain(fallback).map(str::to_owned).collect(),
        sla: word("sla").map(str::to_owned),
        preferred: word("mode") == Some("preferred"),
        encrypted: word("encryption") == Some("required"),
    });
    let inspected = word("action") == Some("inspect");
    let says_how = ["mode", "fallback", "encryption"]
        .iter()
        .any(|key| settings.contains_key(*key));
    let says_less = says_how || (settings.contains_key("action") && !inspected);
    match path {
        None if says_less && others_ask => Ok(None),
        None if says_less => Err(Refused),
        None if !inspected => Ok(None),
        path => Ok(Some(Wish {
            dropped: false,
            inspected,
            path,
        })),
    }
}

impl Wish {
    /// What may become of packets. Which of the tunnels that an SLA class admits is chosen is left open unless it is
    /// `settled`, after so many polls that it has to be the first that meets the class.
    pub fn fates(&self, tunnels: &[Tunnel], settled: bool) -> BTreeSet<Fate> {
        let fate = match &self.path {
            _ if self.dropped => Fate::Dropped,
            None => routing(tunnels),
            Some(path) if path.sla.is_some() => return path.by_class(tunnels, settled),
            Some(path) => {
                let up = |color: &&String| tunnels.iter().any(|tunnel| tunnel.up && tunnel.color == **color);
                match path.colors.iter().find(up) {
                    Some(color) => Fate::over(color),
                    None if path.preferred => routing(tunnels),
                    None => Fate::Dropped,
                }
            }
        };
        BTreeSet::from([fate])
    }
}

impl Path {
    /// With an SLA class: the chosen tunnel if it meets the class, else any that do, as edges have it.
    fn by_class(&self, tunnels: &[Tunnel], settled: bool) -> BTreeSet<Fate> {
        let up: Vec<_> = tunnels.iter().filter(|tunnel| tunnel.up).collect();
        let meets = |tunnel: &&&Tunnel| tunnel.latency.as_millis() <= SLA_LATENCY_MS;
        let meeting: Vec<&str> = up
            .iter()
            .filter(meets)
            .map(|tunnel| tunnel.color.as_str())
            .collect();
        let over = |colors: &[&str]| Fate::Over(colors.iter().map(|color| (*color).to_owned()).collect());
        if meeting.is_empty() {
            let all: Vec<&str> = up.iter().map(|tunnel| tunnel.color.as_str()).collect();
            let none = if self.preferred && !all.is_empty() {
                over(&all)
            } else {
                Fate::Dropped
            };
            return BTreeSet::from([none]);
        }
        let mut wanted = self
            .colors
            .iter()
            .map(String::as_str)
            .filter(|color| meeting.contains(color));
        let choices: Vec<&str> = if self.colors.is_empty() {
            meeting.clone()
        } else if settled {
            wanted.next().into_iter().collect()
        } else {
            wanted.collect()
        };
        let mut fates: BTreeSet<Fate> = choices.iter().map(|color| Fate::over(color)).collect();
        if choices.is_empty() || !settled {
            fates.insert(over(&meeting));
        }
        fates
    }
}

/// What becomes of packets that nothing is asked for.
fn routing(tunnels: &[Tunnel]) -> Fate {
    let default = tunnels.iter().find(|tunnel| tunnel.color == COLORS[0]);
    default
        .filter(|tunnel| tunnel.up)
        .map_or(Fate::Dropped, |tunnel| Fate::over(&tunnel.color))
}
