//! What the kernel counts in a namespace.
//!
//! Owns the two forms of its tables, proc_net(5): `/proc/net/snmp` for IPv4, with a line of names and a line of values,
//! and `/proc/net/snmp6` for IPv6, with a line for each counter.

use std::fs;
use std::net::IpAddr;

use super::{Netns, NetnsError};

/// A counter of UDP in a namespace, such as `RcvbufErrors` or `InCsumErrors`, for the IP version of `address`; `None`
/// where the kernel does not tell it.
///
/// # Errors
/// [`NetnsError::Enter`].
pub fn udp(netns: &Netns, address: IpAddr, name: &str) -> Result<Option<u64>, NetnsError> {
    // The thread that reads it is in the namespace; /proc/net would be that of the process's first thread.
    netns.run(|| match address {
        IpAddr::V4(_) => of_snmp(&fs::read_to_string("/proc/thread-self/net/snmp").ok()?, name),
        IpAddr::V6(_) => of_snmp6(&fs::read_to_string("/proc/thread-self/net/snmp6").ok()?, name),
    })
}

fn of_snmp(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let position = names.split_whitespace().position(|candidate| candidate == name)?;
    values.split_whitespace().nth(position)?.parse().ok()
}

fn of_snmp6(text: &str, name: &str) -> Option<u64> {
    let mut counters = text.lines().filter_map(|line| line.strip_prefix("Udp6"));
    let value = counters.find_map(|counter| counter.strip_prefix(name)?.strip_prefix(char::is_whitespace));
    value?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        let snmp = "Ip: Forwarding\nIp: 1\nUdp: InDatagrams NoPorts RcvbufErrors\nUdp: 7 0 3\nUdpLite: RcvbufErrors\nUdpLite: 9\n";
        assert_eq!(of_snmp(snmp, "RcvbufErrors"), Some(3));
        assert_eq!(of_snmp(snmp, "SndbufErrors"), None);
        let snmp6 = "Ip6InReceives \t5\nUdp6InErrors                   \t4\nUdp6InCsumErrors               \t2\nUdpLite6InCsumErrors \t9\n";
        assert_eq!(of_snmp6(snmp6, "InCsumErrors"), Some(2));
        assert_eq!(of_snmp6(snmp6, "InCsum"), None);
    }
}
