//! The smallest world: two sites, two transports, one host behind each edge, IPv4.

use std::net::IpAddr;
use std::ops::Deref;
use std::time::Duration;

use netsim::fabric::Families;
use netsim::sla::Polling;

use super::world::{Ip, PORT, Plan, World};

pub const VPN: u16 = 10;
pub const COLORS: [&str; 2] = ["biz-internet", "default"];
pub const BIZ: usize = 0;
pub const DEFAULT: usize = 1;

pub struct TwoSites(World);

impl Deref for TwoSites {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

fn plan() -> Plan {
    Plan {
        colors: COLORS.to_vec(),
        vpns: vec![VPN],
        families: Families::Ipv4,
        polling: Polling::default(),
        ..Plan::default()
    }
}

pub fn host_address(site: u8) -> IpAddr {
    plan().address(site, 0, Ip::V4, 2)
}

impl TwoSites {
    pub async fn build() -> Self {
        Self(World::build(plan()).await)
    }

    /// Sends `count` datagrams from the host of site 0 to port 8080 of the host of site 1, each after the one before
    /// has arrived; how many arrived.
    pub fn send(&self, count: u32) -> u32 {
        let to = self.bind(1, 0, Ip::V4, PORT);
        let from = self.bind(0, 0, Ip::V4, 40_000);
        to.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut arrived = 0;
        for _ in 0..count {
            from.send_to(b"probe", to.local_addr().unwrap()).unwrap();
            arrived += u32::from(to.recv(&mut [0; 16]).is_ok());
            if arrived == 0 {
                // Nothing gets through: one time-out tells as much as many.
                break;
            }
        }
        arrived
    }

    /// Packets that each tunnel of site 0 has sent.
    pub async fn sent_by_tunnel(&self) -> [u64; 2] {
        self.sent(0, 0).await.try_into().unwrap()
    }
}
