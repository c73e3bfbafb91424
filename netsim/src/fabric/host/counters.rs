//! What the kernel counts on the interfaces of a host.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};

use super::{Host, HostError};

/// Packets that an interface received and sent, as the kernel counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacketCount {
    /// Received.
    pub received: u64,
    /// Sent.
    pub sent: u64,
    /// Octets of those received.
    pub received_octets: u64,
    /// Octets of those sent.
    pub sent_octets: u64,
    /// Taken for sending and then given up, such as over a link that is down: a tap sees these, too.
    pub unsent: u64,
}

impl PacketCount {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            received: self.received + other.received,
            sent: self.sent + other.sent,
            received_octets: self.received_octets + other.received_octets,
            sent_octets: self.sent_octets + other.sent_octets,
            unsent: self.unsent + other.unsent,
        }
    }
}

impl Host {
    /// The kernel's packet counters of an interface.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn packet_count(&self, interface: &str) -> Result<PacketCount, HostError> {
        let link = self.link_of(interface).await?;
        counted(&link).ok_or_else(|| HostError::NoInterface {
            interface: interface.to_owned(),
            host: self.name().to_owned(),
        })
    }

    /// As [`Self::packet_count`], of all interfaces that were made on the host, by name: one request, however many.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn packet_counts(&self) -> Result<BTreeMap<String, PacketCount>, HostError> {
        let mut links = self.netlink.link().get().execute();
        let mut by_index = BTreeMap::new();
        loop {
            let link = links.try_next().await;
            let link = link.map_err(|source| self.refused("look at interfaces of", &self.name(), source))?;
            let Some(link) = link else { break };
            by_index.extend(counted(&link).map(|count| (link.header.index, count)));
        }
        let interfaces = self.table();
        let named = interfaces.iter();
        Ok(named
            .filter_map(|(name, interface)| Some((name.clone(), *by_index.get(&interface.index)?)))
            .collect())
    }
}

/// What the kernel has counted on an interface.
fn counted(link: &LinkMessage) -> Option<PacketCount> {
    let stats = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Stats64(stats) => Some(stats),
        _ => None,
    })?;
    Some(PacketCount {
        received: stats.rx_packets,
        sent: stats.tx_packets,
        received_octets: stats.rx_bytes,
        sent_octets: stats.tx_bytes,
        unsent: stats.tx_errors + stats.tx_dropped,
    })
}
