//! What Services are given: address families, cluster IPs and node ports.
//!
//! The invariant: what a stored Service holds is taken, and nothing else is. [`Grants::assign`] takes what a new state
//! lacks and gives nothing back; that is for the caller to do, by [`Grants::release`] of what one of the two states
//! holds and the other does not.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde_json::{Value, json};

use super::pools::{Pool, Refusal};
use super::{families, has_node_ports};
use crate::object::{self, items, text};
use crate::status::{FieldError, FieldRule};

/// The default of kube-apiserver's `--service-node-port-range`.
const NODE_PORTS: std::ops::RangeInclusive<u128> = 30_000..=32_767;

/// The ranges Services get their addresses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServiceRanges {
    pub(crate) v4: Ipv4Net,
    pub(crate) v6: Option<Ipv6Net>,
}

impl From<Ipv4Net> for ServiceRanges {
    fn from(v4: Ipv4Net) -> Self {
        ServiceRanges { v4, v6: None }
    }
}

/// Something that one Service holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Held {
    Address(IpAddr),
    NodePort(u16),
}

/// What the Services of one cluster hold.
#[derive(Debug)]
pub(crate) struct Grants {
    v4: Pool,
    v6: Option<Pool>,
    node_ports: Pool,
}

impl Grants {
    pub(crate) fn new(ranges: ServiceRanges) -> Self {
        // The first address of a network is no host's, and of an IPv4 network neither is the last.
        let (first, last) = (ranges.v4.network().to_bits(), ranges.v4.broadcast().to_bits());
        let v6 = ranges.v6.map(|range| {
            let (first, last) = (range.network().to_bits(), range.broadcast().to_bits());
            Pool::new(first.saturating_add(1)..=last)
        });
        Grants {
            v4: Pool::new(u128::from(first) + 1..=u128::from(last).saturating_sub(1)),
            v6,
            node_ports: Pool::new(NODE_PORTS),
        }
    }

    /// Gives the Service what its type has and it does not say itself. After an error nothing is taken.
    pub(crate) fn assign(
        &mut self,
        current: Option<&Value>,
        service: &mut Value,
    ) -> Result<(), Vec<FieldError>> {
        let mut held = current.map(held).unwrap_or_default();
        let before = held.clone();
        let assigned = self.assign_each(service, &mut held);
        if assigned.is_err() {
            self.release(held.difference(&before).copied());
        }
        assigned
    }

    /// Gives back what no Service holds any more.
    pub(crate) fn release(&mut self, held: impl IntoIterator<Item = Held>) {
        for held in held {
            match held {
                Held::Address(IpAddr::V4(address)) => self.v4.release(address.to_bits().into()),
                Held::Address(IpAddr::V6(address)) => {
                    if let Some(pool) = &mut self.v6 {
                        pool.release(address.to_bits());
                    }
                }
                Held::NodePort(port) => self.node_ports.release(port.into()),
            }
        }
    }

    fn assign_each(&mut self, service: &mut Value, held: &mut BTreeSet<Held>) -> Result<(), Vec<FieldError>> {
        if text(service, "/spec/type") == "ExternalName" {
            return Ok(());
        }
        families::settle(service, self.v6.is_some())?;
        if service["spec"]["clusterIP"] == "None" {
            service["spec"]["clusterIPs"] = json!(["None"]);
        } else {
            self.assign_addresses(service, held)
                .map_err(|error| vec![error])?;
        }
        if has_node_ports(&service["spec"]) {
            self.assign_ports(service, held).map_err(|error| vec![error])?;
        }
        Ok(())
    }

    fn assign_addresses(&mut self, service: &mut Value, held: &mut BTreeSet<Held>) -> Result<(), FieldError> {
        let mut wanted: Vec<String> = items(service, "/spec/clusterIPs")
            .iter()
            .filter_map(|address| address.as_str().map(str::to_owned))
            .collect();
        let single = text(service, "/spec/clusterIP");
        if wanted.is_empty() && !single.is_empty() {
            wanted.push(single.to_owned());
        }
        let families: Vec<String> = items(service, "/spec/ipFamilies")
            .iter()
            .filter_map(|family| family.as_str().map(str::to_owned))
            .collect();
        let mut addresses = Vec::new();
        for (at, family) in families.iter().enumerate() {
            let address = match wanted.get(at) {
                Some(text) => self.reserve(text, family, held)?,
                None => self.next_address(family)?,
            };
            held.insert(Held::Address(address));
            addresses.push(address.to_string());
        }
        service["spec"]["clusterIP"] = json!(addresses.first());
        service["spec"]["clusterIPs"] = json!(addresses);
        Ok(())
    }

    fn pool(&mut self, family: &str) -> Option<&mut Pool> {
        match family {
            "IPv6" => self.v6.as_mut(),
            _ => Some(&mut self.v4),
        }
    }

    fn reserve(&mut self, text: &str, family: &str, held: &BTreeSet<Held>) -> Result<IpAddr, FieldError> {
        let refused = |expected: &'static str| FieldError::invalid("spec.clusterIPs", text, expected);
        let unavailable = |why: &str| {
            let (value, expected) = (json!([text]), format!("failed to allocate IP {text}: {why}"));
            FieldError::new("spec.clusterIPs", FieldRule::Limit { value, expected })
        };
        let address: IpAddr = text
            .parse()
            .map_err(|_| refused("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"))?;
        if held.contains(&Held::Address(address)) {
            return Ok(address);
        }
        let number = match address {
            IpAddr::V4(address) if family == "IPv4" => address.to_bits().into(),
            IpAddr::V6(address) if family == "IPv6" => address.to_bits(),
            _ => return Err(refused("expected an address of the family in `ipFamilies`")),
        };
        let reserved = self.pool(family).map(|pool| pool.reserve(number));
        match reserved {
            Some(Ok(())) => Ok(address),
            Some(Err(Refusal::Taken)) => Err(unavailable("provided IP is already allocated")),
            Some(Err(Refusal::OutOfRange)) | None => Err(unavailable(
                "the provided network does not match the current range",
            )),
        }
    }

    fn next_address(&mut self, family: &str) -> Result<IpAddr, FieldError> {
        let number = self.pool(family).and_then(Pool::next_free).ok_or_else(|| {
            let expected = "every address of the service range is allocated";
            FieldError::invalid("spec.clusterIPs", family, expected)
        })?;
        Ok(match u32::try_from(number) {
            Ok(bits) if family == "IPv4" => Ipv4Addr::from_bits(bits).into(),
            _ => Ipv6Addr::from_bits(number).into(),
        })
    }

    fn assign_ports(&mut self, service: &mut Value, held: &mut BTreeSet<Held>) -> Result<(), FieldError> {
        let ports = service["spec"]["ports"].as_array_mut();
        for (at, port) in ports.into_iter().flatten().enumerate() {
            let field = format!("spec.ports[{at}].nodePort");
            let wanted = object::number(port, "/nodePort");
            let number = if wanted == 0 {
                let free = self
                    .node_ports
                    .next_free()
                    .and_then(|free| u16::try_from(free).ok());
                free.ok_or_else(|| FieldError::invalid(&*field, 0, "every node port is allocated"))?
            } else {
                self.reserve_port(&field, wanted, held)?
            };
            held.insert(Held::NodePort(number));
            port["nodePort"] = json!(number);
        }
        Ok(())
    }

    /// One Service may use a port for several protocols.
    fn reserve_port(&mut self, field: &str, wanted: i64, held: &BTreeSet<Held>) -> Result<u16, FieldError> {
        let refused = |expected: &str| {
            let (value, expected) = (json!(wanted), expected.to_owned());
            FieldError::new(field, FieldRule::Limit { value, expected })
        };
        let number = u16::try_from(wanted).unwrap_or(0);
        if held.contains(&Held::NodePort(number)) {
            return Ok(number);
        }
        match self.node_ports.reserve(number.into()) {
            Ok(()) => Ok(number),
            Err(Refusal::Taken) => Err(refused("provided port is already allocated")),
            Err(Refusal::OutOfRange) => Err(refused(
                "provided port is not in the valid range. The range of valid ports is 30000-32767",
            )),
        }
    }
}

/// What the Service holds.
pub(crate) fn held(service: &Value) -> BTreeSet<Held> {
    let addresses = items(service, "/spec/clusterIPs").iter();
    let addresses = addresses.filter_map(|address| address.as_str()?.parse().ok().map(Held::Address));
    let ports = items(service, "/spec/ports").iter();
    let ports =
        ports.filter_map(|port| Some(Held::NodePort(u16::try_from(port["nodePort"].as_u64()?).ok()?)));
    addresses.chain(ports).collect()
}

#[cfg(test)]
mod tests;
