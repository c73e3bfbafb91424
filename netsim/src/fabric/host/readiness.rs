//! Waiting for what the kernel does some time after it was asked.
//!
//! Owns the waits for carriers and for addresses, each with a deadline. What is sent or comes before is lost.

use std::net::IpAddr;
use std::time::Duration;

use futures::TryStreamExt;
use ipnet::IpNet;
use netlink_packet_route::link::{LinkAttribute, State as LinkState};
use netlink_packet_route::route::RouteType;
use rtnetlink::RouteMessageBuilder;

use super::{Host, HostError};

/// How long a carrier or an address may take, which are there at once unless the machine stands still.
const KERNEL_DEADLINE: Duration = Duration::from_secs(5);
/// Between two looks.
const KERNEL_PAUSE: Duration = Duration::from_millis(1);

impl Host {
    /// Waits until what is sent over an interface, whose other end has come up after it, is not discarded any more.
    ///
    /// The kernel gives the interface its queue some time after the carrier comes; asked for the link, those from
    /// 6.8 on do it at once.
    ///
    /// # Errors
    /// [`HostError`], also when there is no carrier after 5 s.
    pub async fn await_carrier(&self, interface: &str) -> Result<(), HostError> {
        let deadline = tokio::time::Instant::now() + KERNEL_DEADLINE;
        loop {
            let link = self.link_of(interface).await?;
            let state = link.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::OperState(state) => Some(*state),
                _ => None,
            });
            if state == Some(LinkState::Up) {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(HostError::NoCarrier {
                    interface: interface.to_owned(),
                    host: self.name().to_owned(),
                });
            }
            tokio::time::sleep(KERNEL_PAUSE).await;
        }
    }

    /// Waits until packets to these addresses of the host are its own. An IPv6 address is taken into use some time
    /// after it was added, also without duplicate address detection (`addrconf_dad_work` of net/ipv6/addrconf.c); what
    /// comes before is lost.
    pub(super) async fn await_addresses(&self, addresses: &[IpNet]) -> Result<(), HostError> {
        let deadline = tokio::time::Instant::now() + KERNEL_DEADLINE;
        for address in addresses.iter().map(IpNet::addr).filter(IpAddr::is_ipv6) {
            while !self.is_local(address).await {
                if tokio::time::Instant::now() > deadline {
                    return Err(HostError::NoAddress {
                        address,
                        host: self.name().to_owned(),
                    });
                }
                tokio::time::sleep(KERNEL_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Whether packets to an address are for the host itself, as its routes have it.
    async fn is_local(&self, address: IpAddr) -> bool {
        let route = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(address, IpNet::from(address).prefix_len())
            .expect("a whole address is a prefix")
            .build();
        let mut routes = self.netlink.route().get(route).execute();
        // No route at all is an error.
        matches!(routes.try_next().await, Ok(Some(route)) if route.header.kind == RouteType::Local)
    }
}
