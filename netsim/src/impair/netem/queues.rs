//! The queues of an interface: a `prio` queue with its filters, and a netem queue in each band.
//!
//! Owns the messages (linux/pkt_sched.h) and the numbers that netem counts in.

use std::io;
use std::time::Duration;

use netlink_bindings::tc::{
    self, TcNetemGemodel, TcNetemQopt, TcNetemRate, TcNetemReorder, TcPrioQopt, Tcmsg,
};

use super::socket::RouteSocket;
use crate::impair::impairment::{Impairment, Loss, Percent};

/// Handle of the `prio` queue of an interface.
const ROOT: u32 = 1 << 16;
/// Its bands for lines; the first one is for everything else.
pub(super) const BANDS: std::ops::RangeInclusive<u32> = 2..=16;
/// TC_H_ROOT of linux/pkt_sched.h.
const TC_H_ROOT: u32 = u32::MAX;
/// Packets that may wait where there is no rate, as in the queue of the userspace hop.
const WAITING_MAX: u32 = 1 << 17;
/// How long packets may wait for a rate, and octets of one of full size.
const BUFFER: Duration = Duration::from_millis(100);
const FULL_SIZE: u128 = 1_514;

/// Makes a netem queue on an interface and removes it: whether the kernel has that.
pub(super) fn try_netem(socket: &mut RouteSocket, index: u32) -> io::Result<()> {
    let message = message(index, ROOT, TC_H_ROOT);
    let mut request = tc::Request::new()
        .set_create()
        .set_excl()
        .op_newqdisc_do(&message);
    drop(request.encode().nested_options_netem(&TcNetemQopt::new()));
    socket.ask(&request)?;
    socket.ask(&tc::Request::new().op_delqdisc_do(&message))
}

/// Gives an interface its bands, and the filters that lead to them.
pub(super) fn add_bands(socket: &mut RouteSocket, index: u32) -> io::Result<()> {
    let mut request = tc::Request::new()
        .set_change()
        .op_newqdisc_do(&message(index, ROOT, TC_H_ROOT));
    let mut options = TcPrioQopt::new();
    options.bands = *BANDS.end();
    // Whatever a packet's priority is, it goes to the first band.
    options.priomap = [0; 16];
    drop(request.encode().nested_options_prio(&options));
    socket.ask(&request)?;
    for band in BANDS {
        // The handle of a `fw` filter is the mark that it is for.
        let mut filter = message(index, band, ROOT);
        // Priority 1, and ETH_P_ALL in network byte order.
        filter.info = 1 << 16 | u32::from(3_u16.to_be());
        let mut request = tc::Request::new().set_create().op_newtfilter_do(&filter);
        drop(request.encode().nested_options_fw().push_classid(ROOT | band));
        socket.ask(&request)?;
    }
    Ok(())
}

/// Makes the netem queue of a band, or changes it; packets in it stay.
pub(super) fn set_netem(
    socket: &mut RouteSocket,
    index: u32,
    band: u32,
    impairment: &Impairment,
    seed: u64,
) -> io::Result<()> {
    let mut request =
        tc::Request::new()
            .set_change()
            .op_newqdisc_do(&message(index, band << 20, ROOT | band));
    let mut options = TcNetemQopt::new();
    options.limit = limit(impairment);
    // Every packet may skip the delay, not only one of so many.
    options.gap = u32::from(impairment.reorder > Percent::ZERO);
    if let Loss::Random(share) = impairment.loss {
        options.loss = probability(share);
    }
    let mut rate = TcNetemRate::new();
    rate.rate = impairment
        .rate
        .map_or(0, |rate| u32::try_from(rate.get() / 8).unwrap_or(u32::MAX));
    let mut reorder = TcNetemReorder::new();
    reorder.probability = probability(impairment.reorder);
    // What is left out keeps its old value, but for the model of losses.
    let attributes = request
        .encode()
        .nested_options_netem(&options)
        .push_latency64(nanos(impairment.delay))
        .push_jitter64(nanos(impairment.jitter))
        .push_rate(rate)
        .push_reorder(reorder)
        .push_prng_seed(seed);
    if let Loss::Burst { enter, leave } = impairment.loss {
        let mut model = TcNetemGemodel::new();
        (model.p, model.r) = (probability(enter), probability(leave));
        drop(attributes.nested_loss().push_ge(model));
    } else {
        drop(attributes);
    }
    socket.ask(&request)
}

/// How many packets may wait.
fn limit(impairment: &Impairment) -> u32 {
    let Some(rate) = impairment.rate else {
        return WAITING_MAX;
    };
    let longest = impairment.delay + impairment.jitter + BUFFER;
    let octets = u128::from(rate.get()) * longest.as_nanos() / 8_000_000_000;
    u32::try_from(octets / FULL_SIZE + 1).unwrap_or(u32::MAX)
}

fn probability(share: Percent) -> u32 {
    let all = u64::from(Percent::ALL.millionths());
    let scaled = u64::from(share.millionths()) * u64::from(u32::MAX) / all;
    u32::try_from(scaled).expect("a share is at most all")
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).expect("an impairment is seconds at most")
}

fn message(index: u32, handle: u32, parent: u32) -> Tcmsg {
    let mut message = Tcmsg::new();
    message.ifindex = index.cast_signed();
    message.handle = handle;
    message.parent = parent;
    message
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    #[test]
    fn values_are_scaled_to_what_netem_counts_in() {
        assert_eq!(probability(Percent::ALL), u32::MAX);
        assert_eq!(probability(Percent::ZERO), 0);
        let mut slow = Impairment {
            rate: NonZeroU64::new(16_000),
            ..Impairment::default()
        };
        assert_eq!(limit(&slow), 1);
        slow.rate = NonZeroU64::new(1_000_000_000);
        // 12.5 MB in 100 ms.
        assert_eq!(limit(&slow), 8_257);
    }
}
