//! Buckets: how the hosts of a class are spread over lists.
//!
//! Invariant: which bucket a host is in depends on the host and on how many hosts there are, on nothing else; so one
//! host more or less changes one bucket, unless their number doubles or halves.

use std::net::IpAddr;

/// About how many hosts a bucket may have.
const SIZE: usize = 1000;

/// How many buckets this many hosts are spread over: a power of two.
pub(super) fn count(hosts: usize) -> usize {
    hosts.div_ceil(SIZE).next_power_of_two()
}

/// Which of `count` buckets a host is in.
pub(super) fn of(host: IpAddr, count: usize) -> usize {
    let bits = match host {
        IpAddr::V4(host) => u64::from(u32::from(host)),
        IpAddr::V6(host) => {
            let bits = u128::from(host);
            // Both halves count; which bits are lost does not matter, since the number is only spread.
            #[expect(clippy::cast_possible_truncation, reason = "the other half is folded in")]
            let folded = (bits >> 64) as u64 ^ (bits as u64).rotate_left(32);
            folded
        }
    };
    let spread = (mix(bits) >> 48) as usize;
    spread & (count - 1)
}

/// The finalizer of MurmurHash3, 64 bits: every bit of the input sways every bit of the output.
fn mix(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}
