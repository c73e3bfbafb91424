//! The match fields of sequences.
//!
//! Owns which fields exist, how the API spells them, and the address family that each belongs to.

use serde::Deserialize;

use super::sequence::Family;

/// The match fields that are emulated, spelled as in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum MatchField {
    SourceDataPrefixList,
    DestinationDataPrefixList,
    SourceDataIpv6PrefixList,
    DestinationDataIpv6PrefixList,
    SourceIp,
    DestinationIp,
    SourceIpv6,
    DestinationIpv6,
    SourcePort,
    DestinationPort,
    Protocol,
    Dscp,
}

impl MatchField {
    /// As the API spells it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::SourceDataPrefixList => "sourceDataPrefixList",
            Self::DestinationDataPrefixList => "destinationDataPrefixList",
            Self::SourceDataIpv6PrefixList => "sourceDataIpv6PrefixList",
            Self::DestinationDataIpv6PrefixList => "destinationDataIpv6PrefixList",
            Self::SourceIp => "sourceIp",
            Self::DestinationIp => "destinationIp",
            Self::SourceIpv6 => "sourceIpv6",
            Self::DestinationIpv6 => "destinationIpv6",
            Self::SourcePort => "sourcePort",
            Self::DestinationPort => "destinationPort",
            Self::Protocol => "protocol",
            Self::Dscp => "dscp",
        }
    }

    /// The address family that the field belongs to, if to one only.
    pub(super) fn family(self) -> Option<Family> {
        match self {
            Self::SourceDataPrefixList
            | Self::DestinationDataPrefixList
            | Self::SourceIp
            | Self::DestinationIp => Some(Family::Ipv4),
            Self::SourceDataIpv6PrefixList
            | Self::DestinationDataIpv6PrefixList
            | Self::SourceIpv6
            | Self::DestinationIpv6 => Some(Family::Ipv6),
            Self::SourcePort | Self::DestinationPort | Self::Protocol | Self::Dscp => None,
        }
    }
}
