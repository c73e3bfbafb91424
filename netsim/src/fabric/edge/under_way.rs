//! Packets that are on their way through the kernel while a policy changes.
//!
//! A transaction of nftables returns before those packets are through that met the old rules: on another processor one
//! may have been marked and not yet routed, for as long as the host of a virtual machine lets that processor wait. What
//! the old marks lead to has to stay until then, and so have the old rules themselves, of which the kernel keeps but
//! one version.

use std::time::Duration;

use rustix::thread::{MembarrierCommand, membarrier};
use tokio::task::JoinHandle;

/// Far more than a packet takes from rules to routes.
const LONG: Duration = Duration::from_millis(100);

/// The packets that were on their way at one time, until they are through.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Option<JoinHandle<()>>);

impl UnderWay {
    /// Those of now. The kernel handles packets in read-side sections of RCU, and `MEMBARRIER_CMD_GLOBAL` of
    /// membarrier(2) waits for the end of all that have begun, which takes milliseconds.
    pub(super) fn begin() -> Self {
        Self(Some(tokio::task::spawn_blocking(|| {
            if membarrier(MembarrierCommand::Global).is_err() {
                // A kernel without it, or of which some processors have no tick.
                std::thread::sleep(LONG);
            }
        })))
    }

    /// Returns when they are through.
    pub(super) async fn are_through(&mut self) {
        if let Some(waiting) = &mut self.0 {
            waiting.await.expect("waiting does not panic");
            self.0 = None;
        }
    }
}
