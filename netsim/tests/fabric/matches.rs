//! What each field of a match condition matches, in both address families.

use std::ops::RangeInclusive;

use netsim::policy::Match;

use super::policies::{UDP, apply, from_service, over, plan};
use super::world::{BOTH, Flow, PORT, World};

/// A condition, and whether probes meet it: from 10.200.0.2 and fd10:0:0::2, port 40000, to 10.200.1.2 and
/// fd10:0:1::2, port [`PORT`], with DSCP 46.
struct Case {
    name: &'static str,
    /// Prefixes with blanks between them; `None` is no condition.
    source: Option<&'static str>,
    destination: Option<&'static str>,
    source_ports: &'static [RangeInclusive<u16>],
    destination_ports: &'static [RangeInclusive<u16>],
    protocols: &'static [u8],
    dscp: &'static [u8],
    /// By IPv4 and by IPv6.
    matches: [bool; 2],
}

const ANYTHING: Case = Case {
    name: "anything",
    source: None,
    destination: None,
    source_ports: &[],
    destination_ports: &[],
    protocols: &[],
    dscp: &[],
    matches: [true, true],
};

const CASES: &[Case] = &[
    ANYTHING,
    Case {
        name: "destination",
        destination: Some("10.200.1.0/24 fd10:0:1::2/128"),
        ..ANYTHING
    },
    Case {
        name: "destination of one family",
        destination: Some("fd10:0:1::/48"),
        matches: [false, true],
        ..ANYTHING
    },
    Case {
        name: "another destination",
        destination: Some("10.200.1.3/32 fd10:0:1::3/128"),
        matches: [false, false],
        ..ANYTHING
    },
    Case {
        name: "no destination",
        destination: Some(""),
        matches: [false, false],
        ..ANYTHING
    },
    Case {
        name: "source",
        source: Some("10.200.0.2/32 fd10::/64"),
        ..ANYTHING
    },
    Case {
        name: "another source",
        source: Some("10.200.1.2/32 fd10:0:1::/64"),
        matches: [false, false],
        ..ANYTHING
    },
    Case {
        name: "source port",
        source_ports: &[1..=2, 39_999..=40_000],
        protocols: &[UDP],
        ..ANYTHING
    },
    Case {
        name: "another destination port",
        destination_ports: &[PORT + 1..=u16::MAX, 0..=PORT - 1],
        protocols: &[UDP],
        matches: [false, false],
        ..ANYTHING
    },
    Case {
        name: "several protocols",
        destination_ports: &[PORT..=PORT],
        protocols: &[6, UDP, 132],
        ..ANYTHING
    },
    Case {
        name: "other protocols",
        protocols: &[6, 132],
        matches: [false, false],
        ..ANYTHING
    },
    Case {
        name: "code points",
        dscp: &[0, 46, 63],
        ..ANYTHING
    },
    Case {
        name: "other code points",
        dscp: &[0, 45, 47],
        matches: [false, false],
        ..ANYTHING
    },
    Case {
        name: "all at once",
        source: Some("0.0.0.0/0 ::/0"),
        destination: Some("10.0.0.0/8 fd00::/8"),
        source_ports: &[40_000..=40_000],
        destination_ports: &[PORT..=PORT],
        protocols: &[UDP],
        dscp: &[46],
        ..ANYTHING
    },
];

impl Case {
    fn matching(&self) -> Match {
        let prefixes = |text: &str| {
            let prefixes = text.split_whitespace().map(|prefix| prefix.parse().unwrap());
            prefixes.collect()
        };
        Match {
            source_prefixes: self.source.map(prefixes),
            destination_prefixes: self.destination.map(prefixes),
            source_ports: self.source_ports.to_vec(),
            destination_ports: self.destination_ports.to_vec(),
            protocols: self.protocols.to_vec(),
            dscp: self.dscp.to_vec(),
        }
    }
}

pub async fn each_field_matches_in_both_families() {
    let world = World::build(plan()).await;
    for case in CASES {
        let to_mpls = from_service(vec![(case.matching(), over("mpls", true))]);
        apply(&world, 0, vec![], vec![to_mpls]).await;
        for (ip, matches) in BOTH.into_iter().zip(case.matches) {
            let flow = Flow {
                packets: 1,
                dscp: 46,
                ..Flow::new(0, 1, ip)
            };
            let taken = if matches { [0, 1, 0] } else { [1, 0, 0] };
            assert_eq!(world.arrive(&flow).await, taken, "{}, {ip:?}", case.name);
        }
    }
}
