//! The match fields of sequences.
//!
//! Owns which fields exist, how the API spells them, the type of definition and the address family that each belongs to,
//! which exclude each other, and what values are.

use serde::Deserialize;

use super::definition::DefinitionKind;
use super::sequence::Family;

/// The match fields, spelled as in the API.
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
    AppList,
    DnsAppList,
    SaasAppList,
    Dns,
    Plp,
    DestinationRegion,
    TrafficTo,
    IcmpMessage,
    PacketLength,
    Tcp,
    ServiceArea,
    TrafficCategory,
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
            Self::AppList => "appList",
            Self::DnsAppList => "dnsAppList",
            Self::SaasAppList => "saasAppList",
            Self::Dns => "dns",
            Self::Plp => "plp",
            Self::DestinationRegion => "destinationRegion",
            Self::TrafficTo => "trafficTo",
            Self::IcmpMessage => "icmpMessage",
            Self::PacketLength => "packetLength",
            Self::Tcp => "tcp",
            Self::ServiceArea => "serviceArea",
            Self::TrafficCategory => "trafficCategory",
        }
    }

    /// The type of definition that has the field, if only one has.
    pub(super) fn definition(self) -> Option<DefinitionKind> {
        match self {
            Self::SaasAppList | Self::ServiceArea | Self::TrafficCategory => Some(DefinitionKind::AppRoute),
            Self::PacketLength | Self::Tcp => Some(DefinitionKind::Data),
            _ => None,
        }
    }

    /// Whether a sequence takes one of the two fields, not both: each says the same of a packet.
    pub(super) fn excludes(self, other: Self) -> bool {
        const SIDES: [[MatchField; 4]; 2] = [
            [
                MatchField::SourceIp,
                MatchField::SourceDataPrefixList,
                MatchField::SourceIpv6,
                MatchField::SourceDataIpv6PrefixList,
            ],
            [
                MatchField::DestinationIp,
                MatchField::DestinationDataPrefixList,
                MatchField::DestinationIpv6,
                MatchField::DestinationDataIpv6PrefixList,
            ],
        ];
        let mut sides = SIDES.iter();
        sides.any(|side| side.contains(&self) && side.contains(&other))
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
            _ => None,
        }
    }

    /// The kind of list that its `ref` leads to, if it takes one.
    pub(super) fn list_kind(self) -> Option<&'static str> {
        match self {
            Self::SourceDataPrefixList | Self::DestinationDataPrefixList => Some("dataprefix"),
            Self::SourceDataIpv6PrefixList | Self::DestinationDataIpv6PrefixList => Some("dataipv6prefix"),
            Self::AppList | Self::DnsAppList | Self::SaasAppList => Some("app"),
            _ => None,
        }
    }

    /// The words of a field that takes one of a few, and how to say them.
    pub(super) fn words(self) -> Option<(&'static [&'static str], &'static str)> {
        match self {
            Self::Dns => Some((&["request", "response"], "request or response")),
            Self::Plp => Some((&["low", "high"], "low or high")),
            Self::DestinationRegion => Some((
                &["primary-region", "secondary-region", "other-region"],
                "primary-region, secondary-region or other-region",
            )),
            Self::TrafficTo => Some((&["access", "core", "service"], "access, core or service")),
            Self::Tcp => Some((&["syn"], "syn")),
            Self::TrafficCategory => Some((
                &["all", "optimize", "optimize-allow"],
                "all, optimize or optimize-allow",
            )),
            _ => None,
        }
    }
}
