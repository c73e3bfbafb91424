//! What a world is made of, and the specifications of its edges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netsim::fabric::{
    DeviceSpec, EdgeSpec, Families, Framing, InspectionSpec, Mac, NextHop, RemotePrefix, RemoteSpec,
    RemoteVpn, SiteRoute, TunnelSpec, VpnSpec,
};
use netsim::sla::Polling;

/// Which addresses probes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ip {
    V4,
    V6,
}

pub const BOTH: [Ip; 2] = [Ip::V4, Ip::V6];

/// What a world is made of; all sites are alike.
#[derive(Debug, Clone)]
pub struct Plan {
    pub sites: u8,
    pub colors: Vec<&'static str>,
    pub default_colors: Vec<&'static str>,
    pub vpns: Vec<u16>,
    pub families: Families,
    /// Outer addresses are of IPv6.
    pub underlay6: bool,
    /// All VPNs have the addresses of the first.
    pub same_addresses: bool,
    /// A site that forwards between the others.
    pub hub: Option<u8>,
    /// Pairs of sites without a tunnel.
    pub apart: Vec<(u8, u8)>,
    /// A site with an inspection service.
    pub inspection: Option<u8>,
    pub tunnel_mtu: u32,
    pub polling: Polling,
    /// (site, VPN that gets it, VPN that has it): at that site the one VPN reaches what the other has.
    pub leaks: Vec<(u8, u16, u16)>,
    /// A site that stands for every address which no other has.
    pub default_at: Option<u8>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            sites: 2,
            colors: vec!["biz-internet", "default"],
            default_colors: vec!["default"],
            vpns: vec![10],
            families: Families::Both,
            underlay6: false,
            same_addresses: false,
            hub: None,
            apart: Vec::new(),
            inspection: None,
            tunnel_mtu: 1400,
            // Each poll is judged for itself, so that a test says at once how a tunnel stands.
            polling: Polling {
                interval: Duration::from_millis(100),
                multiplier: 1,
                hold_down: Duration::ZERO,
            },
            leaks: Vec::new(),
            default_at: None,
        }
    }
}

pub fn uplink(plan: &Plan, site: u8, transport: u8) -> IpAddr {
    if plan.underlay6 {
        Ipv6Addr::new(0xfd64, transport.into(), 0, 0, 0, 0, 0, u16::from(site) + 1).into()
    } else {
        Ipv4Addr::new(100, 64 + transport, 0, site + 1).into()
    }
}

pub fn system_ip(site: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 255, 0, site + 1)
}

pub fn site_id(site: u8) -> u32 {
    100 + u32::from(site)
}

pub fn mac(kind: u8, site: u8, position: u8) -> Mac {
    Mac::local(kind, u32::from(site) * 256 + u32::from(position))
}

pub fn small(position: usize) -> u8 {
    u8::try_from(position).unwrap()
}

impl Plan {
    pub fn families(&self) -> impl Iterator<Item = Ip> + use<> {
        let both = self.families == Families::Both;
        BOTH.into_iter().filter(move |ip| *ip == Ip::V4 || both)
    }

    /// The address of host `octet` in a VPN of a site, 1 being the edge.
    pub fn address(&self, site: u8, vpn: usize, ip: Ip, octet: u8) -> IpAddr {
        let vpn = if self.same_addresses { 0 } else { small(vpn) };
        match ip {
            Ip::V4 => Ipv4Addr::new(10, 200 + vpn, site, octet).into(),
            Ip::V6 => Ipv6Addr::new(0xfd10, vpn.into(), site.into(), 0, 0, 0, 0, octet.into()).into(),
        }
    }

    pub fn prefix(&self, site: u8, vpn: usize, ip: Ip) -> IpNet {
        let len = match ip {
            Ip::V4 => 24,
            Ip::V6 => 64,
        };
        IpNet::new(self.address(site, vpn, ip, 0), len).unwrap()
    }

    fn overlay(&self, site: u8, transport: u8, vpn: usize, ip: Ip) -> IpNet {
        let vpn = small(vpn);
        match ip {
            Ip::V4 => Ipv4Net::new(Ipv4Addr::new(198, 18, 8 * transport + vpn, site + 1), 24)
                .unwrap()
                .into(),
            Ip::V6 => {
                let address = Ipv6Addr::new(
                    0xfd18,
                    transport.into(),
                    vpn.into(),
                    0,
                    0,
                    0,
                    0,
                    u16::from(site) + 1,
                );
                Ipv6Net::new(address, 64).unwrap().into()
            }
        }
    }

    fn linked(&self, one: u8, other: u8) -> bool {
        let apart = |pair: &(u8, u8)| *pair == (one, other) || *pair == (other, one);
        one != other && !self.apart.iter().any(apart)
    }

    /// The sites at the other ends of a site's tunnels, in the order of [`TunnelKey`].
    pub fn remotes(&self, site: u8) -> Vec<u8> {
        (0..self.sites)
            .filter(|other| self.linked(site, *other))
            .collect()
    }

    fn vpn_position(&self, service_vpn: u16) -> usize {
        self.vpns.iter().position(|vpn| *vpn == service_vpn).unwrap()
    }

    pub fn spec(&self, site: u8) -> EdgeSpec {
        let vpns = self
            .vpns
            .iter()
            .enumerate()
            .map(|(position, service_vpn)| VpnSpec {
                service_vpn: *service_vpn,
                interfaces: vec![format!("lan{position}")],
                routes: self.site_routes(site, position),
            });
        let inspects = self.inspection == Some(site);
        let addresses = self.families().map(|ip| inspection_address(ip, 2));
        EdgeSpec {
            site_id: site_id(site),
            system_ip: system_ip(site),
            vpns: vpns.collect(),
            tunnels: (0..small(self.colors.len()))
                .map(|transport| self.tunnel(site, transport))
                .collect(),
            default_colors: self
                .default_colors
                .iter()
                .map(|color| (*color).to_owned())
                .collect(),
            polling: self.polling,
            inspection: inspects.then(|| InspectionSpec {
                interface: "inspect0".into(),
                addresses: addresses.collect(),
            }),
        }
    }

    fn site_routes(&self, site: u8, position: usize) -> Vec<SiteRoute> {
        let own = [position].into_iter();
        let leaked = self
            .leaks
            .iter()
            .filter(|(at, gets, _)| *at == site && *gets == self.vpns[position])
            .map(|(_, _, has)| self.vpn_position(*has));
        own.chain(leaked)
            .flat_map(|vpn| self.families().map(move |ip| (vpn, ip)))
            .map(|(vpn, ip)| SiteRoute {
                prefix: self.prefix(site, vpn, ip),
                hop: NextHop::new(&format!("lan{vpn}"), None),
            })
            .collect()
    }

    fn tunnel(&self, site: u8, transport: u8) -> TunnelSpec {
        let vpns = || self.vpns.iter().enumerate();
        let overlay = |site, vpn| {
            self.families()
                .map(move |ip| self.overlay(site, transport, vpn, ip))
        };
        let device = |site, vpn| mac(5, site, transport * 8 + small(vpn));
        let devices = vpns().map(|(position, service_vpn)| DeviceSpec {
            service_vpn: *service_vpn,
            interface: format!("tun{transport}v{position}"),
            mac: device(site, position),
            addresses: overlay(site, position).collect(),
        });
        let remotes = self.remotes(site).into_iter().map(|remote| RemoteSpec {
            site_id: site_id(remote),
            system_ip: system_ip(remote),
            underlay: uplink(self, remote, transport),
            vpns: vpns()
                .map(|(position, service_vpn)| RemoteVpn {
                    service_vpn: *service_vpn,
                    mac: device(remote, position),
                    addresses: overlay(remote, position).map(|net| net.addr()).collect(),
                    prefixes: self.remote_prefixes(site, remote, position),
                })
                .collect(),
        });
        TunnelSpec {
            color: self.colors[usize::from(transport)].into(),
            local: uplink(self, site, transport),
            framing: Framing::Vxlan {
                port: 4789 + u16::from(transport),
            },
            mtu: self.tunnel_mtu,
            devices: devices.collect(),
            remotes: remotes.collect(),
        }
    }

    fn remote_prefixes(&self, site: u8, remote: u8, position: usize) -> Vec<RemotePrefix> {
        let leaked = self
            .leaks
            .iter()
            .filter(|(at, gets, _)| *at == remote && *gets == self.vpns[position])
            .map(|(_, _, has)| (remote, self.vpn_position(*has), 1));
        let is_hub = self.hub == Some(remote);
        let behind_hub = (0..self.sites)
            .filter(|other| is_hub && *other != site && *other != remote)
            .map(|other| (other, position, 2));
        let of_sites = [(remote, position, 1)]
            .into_iter()
            .chain(leaked)
            .chain(behind_hub);
        let mut prefixes: Vec<RemotePrefix> = of_sites
            .flat_map(|(site, vpn, hops)| self.families().map(move |ip| (self.prefix(site, vpn, ip), hops)))
            .map(|(prefix, hops)| RemotePrefix { prefix, hops })
            .collect();
        if self.default_at == Some(remote) {
            let defaults = [IpNet::from(Ipv4Net::default()), IpNet::from(Ipv6Net::default())];
            let defaults = defaults
                .into_iter()
                .filter(|prefix| matches!(prefix, IpNet::V4(_)) || self.families == Families::Both);
            prefixes.extend(defaults.map(|prefix| RemotePrefix { prefix, hops: 1 }));
        }
        prefixes
    }
}

pub fn inspection_address(ip: Ip, octet: u8) -> IpAddr {
    match ip {
        Ip::V4 => Ipv4Addr::new(10, 199, 0, octet).into(),
        Ip::V6 => Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, octet.into()).into(),
    }
}
