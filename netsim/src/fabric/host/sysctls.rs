//! What a host's namespace is set to before it has links.

use super::{Families, Forwarding};

/// Each as its file below `/proc/sys` and what is written to it.
pub(super) fn of(forwarding: Forwarding, families: Families) -> Vec<(&'static str, &'static str)> {
    let mut sysctls = vec![
        // Steering sends replies another way than a reverse path check expects (RFC 3704 section 2.3).
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
    ];
    if forwarding == Forwarding::On {
        sysctls.extend([
            ("net/ipv4/ip_forward", "1"),
            // A router's errors go back in the VPN that the packet was in.
            ("net/ipv4/fwmark_reflect", "1"),
            // Flows, not pairs of hosts, are shared over equal routes: by addresses, protocol and ports.
            ("net/ipv4/fib_multipath_hash_policy", "1"),
        ]);
    }
    if families == Families::Both {
        sysctls.extend([
            ("net/ipv6/conf/default/addr_gen_mode", "1"),
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_ra", "0"),
            ("net/ipv6/conf/default/router_solicitations", "0"),
            // As those of IPv4, they are there again when a link that was cut is up.
            ("net/ipv6/conf/default/keep_addr_on_down", "1"),
            ("net/ipv6/conf/all/disable_ipv6", "0"),
            ("net/ipv6/conf/default/disable_ipv6", "0"),
        ]);
    }
    if (forwarding, families) == (Forwarding::On, Families::Both) {
        sysctls.extend([
            ("net/ipv6/conf/all/forwarding", "1"),
            // Forwarding is up to the line above (`ip6_forward`). An interface that is made with its own would join
            // the group of all routers before it is told to be without multicast, and report that (RFC 3810).
            ("net/ipv6/conf/default/forwarding", "0"),
            ("net/ipv6/fwmark_reflect", "1"),
            ("net/ipv6/fib_multipath_hash_policy", "1"),
        ]);
    }
    sysctls
}
