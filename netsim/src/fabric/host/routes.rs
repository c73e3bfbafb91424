//! The routes of a host, and the rules that choose a table.
//!
//! Owns the messages for routes (rtnetlink(7), RTM_NEWROUTE) and rules (RTM_NEWRULE) of both address families.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures::TryStreamExt;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteNextHopFlags, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute};
use netlink_packet_route::{AddressFamily, IpProtocol};
use rtnetlink::{RouteMessageBuilder, RouteNextHopBuilder};

use super::{Families, Host, HostError};

/// The kernel's main routing table, RT_TABLE_MAIN of rtnetlink(7).
pub const TABLE_MAIN: u32 = 254;

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Out of these interfaces, at least one; flows are shared over several.
    Over(Vec<NextHop>),
    /// Nowhere: packets are discarded without a word.
    Blackhole,
    /// Nowhere: the sender is told that the destination is unreachable.
    Unreachable,
    /// Nowhere in this table: the next rule is asked, whatever less specific route the table has.
    Throw,
}

/// One way of a route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NextHop {
    /// The interface.
    pub interface: String,
    /// The next router, which need not be in a connected prefix; `None`: the destination is on the link.
    pub gateway: Option<IpAddr>,
}

impl NextHop {
    /// Through `gateway` out of an interface.
    #[must_use]
    pub fn new(interface: &str, gateway: Option<IpAddr>) -> Self {
        Self {
            interface: interface.to_owned(),
            gateway,
        }
    }
}

/// A rule: packets whose firewall mark, under the mask, is this one look their route up in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MarkRule {
    /// The lower, the earlier; the main table's rule has 32766.
    pub priority: u32,
    /// The mark.
    pub mark: u32,
    /// Which bits of it count.
    pub mask: u32,
    /// The table.
    pub table: u32,
}

impl Host {
    /// Adds a route in `table` out of an interface, through `gateway` if there is one; the gateway need not be
    /// in a connected prefix.
    ///
    /// # Errors
    /// [`HostError`], also when there is a route to that destination already.
    pub async fn add_route(
        &self,
        table: u32,
        destination: IpNet,
        interface: &str,
        gateway: Option<IpAddr>,
    ) -> Result<(), HostError> {
        let target = Target::Over(vec![NextHop::new(interface, gateway)]);
        let route = self.route(table, destination, &target)?;
        let added = self.netlink.route().add(route).execute().await;
        added.map_err(|source| self.refused("add route", &destination, source))
    }

    /// Makes the one route in `table` to a destination with that metric lead to `target`, whether or not there was
    /// one before; a packet meets the old or the new one.
    ///
    /// # Errors
    /// [`HostError`].
    ///
    /// # Panics
    /// When `target` leads over no interface.
    pub async fn set_route(
        &self,
        table: u32,
        destination: IpNet,
        metric: u32,
        target: &Target,
    ) -> Result<(), HostError> {
        let mut route = self.route(table, destination, target)?;
        route.attributes.push(RouteAttribute::Priority(metric));
        let set = self.netlink.route().add(route).replace().execute().await;
        set.map_err(|source| self.refused("set route", &destination, source))
    }

    /// Removes the route in `table` to a destination; one that is gone already is no error.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn remove_route(&self, table: u32, destination: IpNet) -> Result<(), HostError> {
        self.remove_route_of(table, destination, None).await
    }

    /// As [`Self::remove_route`], the one with that metric.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn remove_route_of(
        &self,
        table: u32,
        destination: IpNet,
        metric: Option<u32>,
    ) -> Result<(), HostError> {
        let mut route = match destination {
            IpNet::V4(net) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(net.addr(), net.prefix_len())
                .table_id(table)
                .build(),
            IpNet::V6(net) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(net.addr(), net.prefix_len())
                .table_id(table)
                .build(),
        };
        // Whatever it leads to.
        route.header.kind = RouteType::Unspec;
        route.header.scope = RouteScope::NoWhere;
        route.attributes.extend(metric.map(RouteAttribute::Priority));
        match self.netlink.route().del(route).execute().await {
            // The kernel removes routes of its own accord when their device goes down.
            Err(rtnetlink::Error::NetlinkError(answer)) if answer.raw_code() == -libc::ESRCH => Ok(()),
            removed => removed.map_err(|source| self.refused("remove route", &destination, source)),
        }
    }

    /// The routes of a table, of each address family that the host speaks; those over interfaces that were not made on
    /// the host, and those of other types than [`Target`] has, are left out.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn routes(&self, table: u32) -> Result<Vec<(IpNet, Target)>, HostError> {
        let names: BTreeMap<u32, String> = self
            .table()
            .iter()
            .map(|(name, interface)| (interface.index, name.clone()))
            .collect();
        let mut found = Vec::new();
        for family in self.ip_families() {
            let mut asked = RouteMessage::default();
            asked.header.address_family = *family;
            let mut routes = self.netlink.route().get(asked).execute();
            loop {
                let route = routes.try_next().await;
                let route = route.map_err(|source| self.refused("list routes of table", &table, source))?;
                let Some(route) = route else { break };
                if table_of(&route) == table {
                    found.extend(read(&route, &names));
                }
            }
        }
        Ok(found)
    }

    /// Adds a rule for each address family that the host speaks.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn add_mark_rule(&self, rule: MarkRule) -> Result<(), HostError> {
        for family in self.ip_families() {
            let mut request = self
                .netlink
                .rule()
                .add()
                .priority(rule.priority)
                .fw_mark(rule.mark)
                .table_id(rule.table)
                .action(RuleAction::ToTable);
            let message = request.message_mut();
            message.header.family = *family;
            message.attributes.push(RuleAttribute::FwMask(rule.mask));
            let added = request.execute().await;
            added.map_err(|source| self.refused("add rule for mark", &rule.mark, source))?;
        }
        Ok(())
    }

    /// Adds a rule for each address family that the host speaks: what the host itself sends by UDP looks its route
    /// up in the main table.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn add_output_rule(&self, priority: u32) -> Result<(), HostError> {
        for family in self.ip_families() {
            let mut request = self
                .netlink
                .rule()
                .add()
                .priority(priority)
                .input_interface("lo")
                .table_id(TABLE_MAIN)
                .action(RuleAction::ToTable);
            let message = request.message_mut();
            message.header.family = *family;
            message
                .attributes
                .push(RuleAttribute::IpProtocol(IpProtocol::Udp));
            let added = request.execute().await;
            added.map_err(|source| self.refused("add rule for output", &priority, source))?;
        }
        Ok(())
    }

    /// Removes a rule that [`Self::add_mark_rule`] added.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn remove_mark_rule(&self, rule: MarkRule) -> Result<(), HostError> {
        for family in self.ip_families() {
            let mut message = netlink_packet_route::rule::RuleMessage::default();
            message.header.family = *family;
            message.header.action = RuleAction::ToTable;
            message.attributes = vec![
                RuleAttribute::Priority(rule.priority),
                RuleAttribute::FwMark(rule.mark),
                RuleAttribute::FwMask(rule.mask),
                RuleAttribute::Table(rule.table),
            ];
            let removed = self.netlink.rule().del(message).execute().await;
            removed.map_err(|source| self.refused("remove rule for mark", &rule.mark, source))?;
        }
        Ok(())
    }

    fn ip_families(&self) -> &'static [AddressFamily] {
        match self.families {
            Families::Ipv4 => &[AddressFamily::Inet],
            Families::Both => &[AddressFamily::Inet, AddressFamily::Inet6],
        }
    }

    fn route(&self, table: u32, destination: IpNet, target: &Target) -> Result<RouteMessage, HostError> {
        let malformed = |source| self.refused("build route", &destination, source);
        let route = RouteMessageBuilder::<IpAddr>::new()
            .table_id(table)
            .destination_prefix(destination.addr(), destination.prefix_len())
            .expect("a prefix is not longer than its address");
        Ok(match target {
            Target::Blackhole => route.kind(RouteType::BlackHole).build(),
            Target::Unreachable => route.kind(RouteType::Unreachable).build(),
            Target::Throw => route.kind(RouteType::Throw).build(),
            Target::Over(hops) => match hops.as_slice() {
                [hop] => {
                    let route = route.output_interface(self.interface(&hop.interface)?.index);
                    match hop.gateway {
                        Some(gateway) => route
                            .gateway(gateway)
                            .map_err(|error| malformed(rtnetlink::Error::InvalidNla(error.to_string())))?
                            .onlink(),
                        None => route.scope(RouteScope::Link),
                    }
                    .build()
                }
                several => {
                    let mut hops = Vec::new();
                    for hop in several {
                        let builder = match destination {
                            IpNet::V4(_) => RouteNextHopBuilder::new_ipv4(),
                            IpNet::V6(_) => RouteNextHopBuilder::new_ipv6(),
                        };
                        let builder = builder.interface(self.interface(&hop.interface)?.index);
                        let builder = match hop.gateway {
                            Some(gateway) => builder
                                .via(gateway)
                                .map_err(|error| malformed(rtnetlink::Error::InvalidNla(error.to_string())))?
                                .onlink(),
                            None => builder,
                        };
                        hops.push(builder.build());
                    }
                    assert!(!hops.is_empty(), "a route over no interface");
                    route.multipath(hops).build()
                }
            },
        })
    }
}

fn table_of(route: &RouteMessage) -> u32 {
    let attribute = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    attribute.unwrap_or_else(|| route.header.table.into())
}

/// What a route of the kernel leads to; `names` are those of interfaces by index.
fn read(route: &RouteMessage, names: &BTreeMap<u32, String>) -> Option<(IpNet, Target)> {
    let target = match route.header.kind {
        RouteType::Unicast => Target::Over(hops(route, names)?),
        RouteType::BlackHole => Target::Blackhole,
        RouteType::Unreachable => Target::Unreachable,
        RouteType::Throw => Target::Throw,
        _ => return None,
    };
    let destination = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(address) => ip(address),
        _ => None,
    });
    // The default route has no destination.
    let destination = destination.or(match route.header.address_family {
        AddressFamily::Inet => Some(Ipv4Net::default().addr().into()),
        AddressFamily::Inet6 => Some(Ipv6Net::default().addr().into()),
        _ => None,
    })?;
    let prefix = IpNet::new(destination, route.header.destination_prefix_length).ok()?;
    Some((prefix, target))
}

fn hops(route: &RouteMessage, names: &BTreeMap<u32, String>) -> Option<Vec<NextHop>> {
    let several = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops),
        _ => None,
    });
    match several {
        None => {
            let index = route.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Oif(index) => Some(*index),
                _ => None,
            })?;
            Some(vec![NextHop::new(names.get(&index)?, gateway(&route.attributes))])
        }
        Some(hops) => hops
            .iter()
            // The kernel keeps those whose device is down, and does not use them.
            .filter(|hop| !hop.flags.contains(RouteNextHopFlags::Dead))
            .map(|hop| {
                let interface = names.get(&hop.interface_index)?;
                Some(NextHop::new(interface, gateway(&hop.attributes)))
            })
            .collect(),
    }
}

fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => ip(address),
        _ => None,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
