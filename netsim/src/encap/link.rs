//! The devices of tunnels, by route netlink.
//!
//! Owns the requests that are the same for every encapsulation. Invariants: indices of our devices are from a range
//! of their own, far above those of [`Host`] and of the kernel, and none is used twice in a process; neighbours are
//! permanent and routes to peers are of one address, so that nothing is ever looked for.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, State};
use netlink_packet_route::route::RouteScope;
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder};

use super::EncapError;
use crate::fabric::TABLE_MAIN;
use crate::fabric::{Host, Mac};
use crate::netns::Netns;

/// Indices of our devices count from here.
static NEXT_INDEX: AtomicU32 = AtomicU32::new(1 << 20);

/// How long the kernel may take to notice a carrier: milliseconds, unless others make and end namespaces meanwhile.
const CARRIER_DEADLINE: Duration = Duration::from_secs(5);

/// An index that no other device has, and the one behind it, for the far end of a link.
pub(super) fn next_index() -> u32 {
    NEXT_INDEX.fetch_add(2, Ordering::Relaxed)
}

/// A route netlink connection into a host's namespace.
pub(super) struct Link<'a> {
    netns: &'a Netns,
    netlink: Handle,
}

impl<'a> Link<'a> {
    pub(super) fn open(host: &'a Host) -> Result<Self, EncapError> {
        Self::of_netns(host.netns())
    }

    pub(super) fn of_netns(netns: &'a Netns) -> Result<Self, EncapError> {
        let netlink = netns.netlink()?;
        Ok(Self { netns, netlink })
    }

    pub(super) async fn add(
        &self,
        operation: &'static str,
        name: &str,
        device: LinkMessage,
    ) -> Result<(), EncapError> {
        let added = self.netlink.link().add(device).execute().await;
        added.map_err(|source| self.refused(operation, &name, source))
    }

    pub(super) async fn set_up(&self, index: u32, name: &str) -> Result<(), EncapError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().index(index).up().build();
        let set = self.netlink.link().change(message).execute().await;
        set.map_err(|source| self.refused("bring up device", &name, source))
    }

    /// Waits until a device that is up has noticed that the other end of its link is.
    pub(super) async fn wait_for_carrier(&self, index: u32, name: &str) -> Result<(), EncapError> {
        let deadline = Instant::now() + CARRIER_DEADLINE;
        loop {
            let found = self
                .netlink
                .link()
                .get()
                .match_index(index)
                .execute()
                .try_next()
                .await;
            let link = found.map_err(|source| self.refused("look at device", &name, source))?;
            let is_up = |attribute: &LinkAttribute| *attribute == LinkAttribute::OperState(State::Up);
            if link.is_some_and(|link| link.attributes.iter().any(is_up)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let late = io::Error::from(io::ErrorKind::TimedOut);
                return Err(self.failed("wait for the carrier of device", &name, late));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets a device have IPv6 addresses, and nothing that comes of them: no link-local address, no duplicate
    /// address detection, no router solicitation.
    pub(super) fn allow_ipv6(&self, name: &str) -> Result<(), EncapError> {
        let settings = [
            ("addr_gen_mode", "1"),
            ("accept_dad", "0"),
            ("dad_transmits", "0"),
            ("router_solicitations", "0"),
            ("accept_ra", "0"),
            ("disable_ipv6", "0"),
        ];
        for (key, value) in settings {
            self.netns.sysctl(&format!("net/ipv6/conf/{name}/{key}"), value)?;
        }
        Ok(())
    }

    /// Adds an address without a prefix around it.
    pub(super) async fn add_address(&self, index: u32, address: IpAddr) -> Result<(), EncapError> {
        let added = self
            .netlink
            .address()
            .add(index, address, whole(address))
            .execute()
            .await;
        added.map_err(|source| self.refused("add address", &address, source))
    }

    pub(super) async fn add_neighbour(
        &self,
        index: u32,
        address: IpAddr,
        mac: Mac,
    ) -> Result<(), EncapError> {
        let added = self
            .netlink
            .neighbours()
            .add(index, address)
            .link_layer_address(&mac.0)
            .execute()
            .await;
        added.map_err(|source| self.refused("add neighbour", &address, source))
    }

    /// Adds a route to one address, directly out of a device.
    pub(super) async fn add_route(&self, index: u32, address: IpAddr) -> Result<(), EncapError> {
        let route = RouteMessageBuilder::<IpAddr>::new()
            .table_id(TABLE_MAIN)
            .output_interface(index)
            .scope(RouteScope::Link)
            .destination_prefix(address, whole(address))
            .map_err(|error| self.failed("add route", &address, io::Error::other(error)))?
            .build();
        let added = self.netlink.route().add(route).execute().await;
        added.map_err(|source| self.refused("add route", &address, source))
    }

    pub(super) fn refused(
        &self,
        operation: &'static str,
        object: &impl fmt::Display,
        source: rtnetlink::Error,
    ) -> EncapError {
        EncapError::Netlink {
            operation,
            object: object.to_string(),
            host: self.netns.name().to_owned(),
            source: Box::new(source),
        }
    }

    pub(super) fn failed(
        &self,
        operation: &'static str,
        object: &impl fmt::Display,
        source: io::Error,
    ) -> EncapError {
        failed(self.netns, operation, object, source)
    }
}

pub(super) fn failed(
    netns: &Netns,
    operation: &'static str,
    object: &impl fmt::Display,
    source: io::Error,
) -> EncapError {
    EncapError::Kernel {
        operation,
        object: object.to_string(),
        host: netns.name().to_owned(),
        source,
    }
}

/// Length of the prefix that holds this address alone.
const fn whole(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The errno in an answer to a route netlink request.
pub(super) fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(answer) => Some(-answer.raw_code()),
        _ => None,
    }
}
