//! The octets that encapsulations add, in one place.
//!
//! Pure arithmetic on header lengths. Each figure names the RFC that it is from.

use std::net::IpAddr;

use super::Encapsulation;

/// RFC 791 section 3.1, without options.
const IPV4: u32 = 20;
/// RFC 8200 section 3, without extension headers.
const IPV6: u32 = 40;
/// RFC 768.
const UDP: u32 = 8;
/// RFC 7348 section 5.
const VXLAN: u32 = 8;
/// Without a VLAN tag or a checksum, as tunnels carry it.
const ETHERNET: u32 = 14;
/// RFC 2784 section 2 and the key of RFC 2890 section 2.
const GRE: u32 = 4 + 4;
/// Type, receiver and counter (16) and the tag of Poly1305 (16): wireguard.com/protocol. The padding to 16 octets
/// never goes beyond the device's MTU.
const WIREGUARD: u32 = 16 + 16;
/// SPI and sequence number, RFC 4303 section 2; initialization vector and check value, RFC 4106 sections 3.1 and 6.
const ESP_HEADERS: u32 = 8 + 8 + 16;
/// Pad length and next header, RFC 4303 section 2.
const ESP_TRAILER: u32 = 2;

/// The family of underlay addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Underlay {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Underlay {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    const fn header(self) -> u32 {
        match self {
            Self::V4 => IPV4,
            Self::V6 => IPV6,
        }
    }
}

/// Octets from the underlay's IP header up to the inner IP packet of a WireGuard device: what its MTU is below that
/// of the underlay.
#[must_use]
pub const fn ip_overhead(underlay: Underlay) -> u32 {
    underlay.header() + UDP + WIREGUARD
}

impl Encapsulation {
    /// Octets that a packet of the overlay grows by on the underlay: from the outer IP header to the inner Ethernet
    /// header.
    ///
    /// Inside WireGuard the VXLAN device has an IPv4 address. ESP pads to 4 octets, which is not in here:
    /// [`Encapsulation::tunnel_mtu`] reckons with it.
    #[must_use]
    pub const fn overhead(self, underlay: Underlay) -> u32 {
        let vxlan = UDP + VXLAN + ETHERNET;
        match self {
            Self::Vxlan => underlay.header() + vxlan,
            Self::Gre => underlay.header() + GRE + ETHERNET,
            Self::Wireguard => ip_overhead(underlay) + IPV4 + vxlan,
            Self::Ipsec => underlay.header() + ESP_HEADERS + ESP_TRAILER + vxlan,
        }
    }

    /// The largest IP packet that a tunnel carries over a path of that MTU without fragments; 0 where there is no
    /// room.
    #[must_use]
    pub const fn tunnel_mtu(self, path_mtu: u32, underlay: Underlay) -> u32 {
        let unusable = match self {
            // RFC 4303 section 2.4: the trailer ends on a boundary of 4 octets.
            Self::Ipsec => path_mtu.saturating_sub(underlay.header() + ESP_HEADERS) % 4,
            Self::Vxlan | Self::Gre | Self::Wireguard => 0,
        };
        path_mtu.saturating_sub(unusable + self.overhead(underlay))
    }
}
