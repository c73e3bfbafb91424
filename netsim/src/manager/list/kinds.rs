//! The kinds of lists, a row each.
//!
//! Invariant: every kind that clients of centralized, localized and security policies write is here, once.

use serde_json::Value;

use super::plain::{self, Count, Key, Plain};
use super::{EntryError, Form, ListContent, ListKind, entries};

/// Every kind of list.
pub(in crate::manager) static KINDS: [ListKind; 29] = [
    typed("dataprefix", "dataPrefix", entries::data_prefixes),
    typed("dataipv6prefix", "dataIpv6Prefix", entries::data_ipv6_prefixes),
    typed("site", "site", entries::sites),
    typed("vpn", "vpn", entries::service_vpns),
    typed("color", "color", entries::colors),
    typed("tloc", "tloc", entries::tlocs),
    typed("sla", "sla", entries::sla_class),
    typed("preferredcolorgroup", "preferredColorGroup", entries::color_group),
    typed("appprobe", "appProbe", entries::app_probe),
    typed("app", "app", entries::apps),
    typed("policer", "policer", entries::policer),
    plain(
        "aspath",
        "asPath",
        "as-path-list",
        &[Key::always("asPath", plain::as_path)],
    ),
    ListKind {
        path: "class",
        type_name: "class",
        form: Form::Plain(Plain {
            label: "class-map",
            entries: Count::One,
            keys: &[Key::always("queue", plain::queue)],
        }),
    },
    plain(
        "community",
        "community",
        "community-list",
        &[Key::always("community", plain::community)],
    ),
    plain(
        "expandedcommunity",
        "expandedCommunity",
        "expanded-community-list",
        &[Key::always("community", plain::line)],
    ),
    plain(
        "fqdn",
        "fqdn",
        "fqdn-list",
        &[Key::always("pattern", plain::word)],
    ),
    plain(
        "geolocation",
        "geoLocation",
        "geo-location-list",
        &[
            Key::sometimes("country", plain::country),
            Key::sometimes("continent", plain::continent),
        ],
    ),
    plain(
        "ipssignature",
        "ipsSignature",
        "ips-signature-list",
        &[
            Key::always("generatorId", plain::signature),
            Key::always("signatureId", plain::signature),
        ],
    ),
    plain(
        "ipv6prefix",
        "ipv6prefix",
        "ipv6-prefix-list",
        &[
            Key::always("ipv6Prefix", plain::prefix_v6),
            Key::sometimes("ge", plain::length_v6),
            Key::sometimes("le", plain::length_v6),
        ],
    ),
    plain(
        "localapp",
        "localApp",
        "local-app-list",
        &[
            Key::alone("app", plain::word),
            Key::alone("appFamily", plain::word),
        ],
    ),
    plain(
        "localdomain",
        "localDomain",
        "local-domain-list",
        &[Key::always("nameServer", plain::domain)],
    ),
    plain(
        "mirror",
        "mirror",
        "mirror",
        &[
            Key::always("remoteDest", plain::address),
            Key::always("source", plain::address),
        ],
    ),
    plain("port", "port", "port-list", &[Key::always("port", plain::port)]),
    plain(
        "prefix",
        "prefix",
        "prefix-list",
        &[
            Key::always("ipPrefix", plain::prefix),
            Key::sometimes("ge", plain::length),
            Key::sometimes("le", plain::length),
        ],
    ),
    plain(
        "protocolname",
        "protocolName",
        "protocol-name-list",
        &[Key::always("protocolName", plain::word)],
    ),
    plain(
        "region",
        "region",
        "region-list",
        &[Key::always("regionId", plain::regions)],
    ),
    plain(
        "urlwhitelist",
        "urlWhiteList",
        "url-allow-list",
        &[Key::always("pattern", plain::line)],
    ),
    plain(
        "urlblacklist",
        "urlBlackList",
        "url-block-list",
        &[Key::always("pattern", plain::line)],
    ),
    plain(
        "zone",
        "zone",
        "zone",
        &[
            Key::alone("vpn", plain::vpn),
            Key::alone("interface", plain::word),
        ],
    ),
];

const fn typed(
    path: &'static str,
    type_name: &'static str,
    parse: fn(&[Value]) -> Result<ListContent, EntryError>,
) -> ListKind {
    ListKind {
        path,
        type_name,
        form: Form::Typed(parse),
    }
}

const fn plain(
    path: &'static str,
    type_name: &'static str,
    label: &'static str,
    keys: &'static [Key],
) -> ListKind {
    let entries = Count::Any;
    ListKind {
        path,
        type_name,
        form: Form::Plain(Plain { label, entries, keys }),
    }
}
