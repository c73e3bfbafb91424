//! What can go wrong with faults.

use netsim::fabric::HostError;
use netsim::impair::ImpairError;

/// Why a fault is not as asked.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// A line could not be impaired or healed.
    #[error("impair transport `{transport}`")]
    Impair {
        /// The transport.
        transport: String,
        /// The cause.
        #[source]
        source: ImpairError,
    },
    /// A link could not be taken down or brought up.
    #[error("cut or mend transport `{transport}`")]
    Link {
        /// The transport.
        transport: String,
        /// The cause.
        #[source]
        source: HostError,
    },
    /// Probes did not feel it.
    #[error("verify the fault on transport `{transport}` from {from} to {to}: {felt}")]
    NotFelt {
        /// The transport.
        transport: String,
        /// The sender's site.
        from: String,
        /// The receiver's site.
        to: String,
        /// What they felt, in words.
        felt: String,
    },
    /// A check panicked.
    #[error("verify the fault on transport `{transport}`")]
    Check {
        /// The transport.
        transport: String,
        /// The cause.
        #[source]
        source: tokio::task::JoinError,
    },
    /// More was lost than asked for.
    #[error(
        "impair transport `{transport}`: packets came faster than they could be delayed, {overruns} times some were dropped; lower the rates of the flows"
    )]
    Overrun {
        /// The transport.
        transport: String,
        /// How often.
        overruns: u64,
    },
}
