//! Histories: what happens to the cluster, the network, the Manager and the operator, and when.
//!
//! Pure: the same seed gives the same history. Invariant: every step can be done, or be left out without harm, wherever
//! it stands, so that a history without some of its steps is one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use kubeapi::{Answer, Fault as ApiFault, Requests as ApiRequests, Skew, Verb};
use netsim::manager::faults::{ExpiryShape, Fault, GatewayAnswer, Requests};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::facts::{Port, Words};
use super::oracle::COLORS;

/// The sites of a history.
pub const SITES: [u32; 2] = [100, 200];
/// The namespace of all that steps write.
pub const NAMESPACE: &str = "shop";

/// How a history is set up, and what happens.
#[derive(Debug, Clone)]
pub struct History {
    /// There are two operators, who contend for a Lease.
    pub replicas: bool,
    /// The operator's own resources are installed.
    pub resources: bool,
    /// Whether the operator looks at the Manager anew every now and then.
    pub resync: bool,
    /// How long the operator waits for a Manager that is busy.
    pub busy: Duration,
    /// It logs in for tokens.
    pub tokens: bool,
    /// In order.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Step {
    /// A Service is created, or its annotations are replaced.
    Service(&'static str, Words),
    /// A Service is deleted.
    ServiceGone(&'static str),
    /// The annotations of the namespace are replaced.
    Defaults(Words),
    /// A SteeringPolicy for a Service is created, or replaced.
    Policy(&'static str, &'static str, Words),
    /// A SteeringPolicy is deleted.
    PolicyGone(&'static str),
    /// An EndpointSlice of a Service is created, or its endpoints and ports are replaced.
    Slice(SliceName, BTreeSet<IpAddr>, Vec<Port>),
    /// An EndpointSlice is deleted.
    SliceGone(SliceName),
    /// All endpoints with one of these addresses are gone, slice by slice.
    NodeLost(BTreeSet<IpAddr>),
    /// Endpoints with one address come to a slice, and then leave all others.
    Moved(IpAddr, SliceName),
    /// A TLOC goes down, or up again.
    Tloc(u32, &'static str, bool),
    /// All tunnels of a color become slow, or fast again.
    Slow(&'static str, bool),
    /// Something goes wrong at the Manager.
    Manager(Fault),
    /// All faults of the Manager are over.
    ManagerHeals,
    /// Something goes wrong with the Kubernetes API.
    Api(ApiFault),
    /// All faults of the API are over.
    ApiHeals,
    /// An operator ends at once, wherever it is.
    Killed(usize),
    /// An operator is told to end.
    Stopped(usize),
    /// An operator is started.
    Started(usize),
    /// Somebody else changes the operator's objects, and activates what came of it.
    Tampered(Tampering),
    /// Somebody else makes objects of their own.
    Foreign,
    /// It is waited for some time.
    Pause(Duration),
    /// It is waited until the fabric is as asked, if it comes to that soon.
    Settle,
}

/// What somebody else does to the operator's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tampering {
    /// Other prefixes in a list.
    List,
    /// A definition without sequences.
    Definition,
    /// The policy is not active any more.
    Deactivation,
}

/// A slice by its Service, the family of its addresses, and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceName {
    /// Its Service.
    pub service: &'static str,
    /// Its addresses are of IPv6.
    pub v6: bool,
    /// Tells it from others.
    pub number: u8,
}

impl SliceName {
    /// As Kubernetes has it.
    pub fn name(self) -> String {
        let family = if self.v6 { 6 } else { 4 };
        format!("{}-v{family}-{}", self.service, self.number)
    }
}

/// The addresses that endpoints can have.
pub fn hosts(v6: bool) -> Vec<IpAddr> {
    if v6 {
        (1..=2)
            .map(|host| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, host]))
            .collect()
    } else {
        (1..=5).map(|host| IpAddr::from([10, 0, 2, host])).collect()
    }
}

impl History {
    /// The history of a seed.
    pub fn new(seed: u64) -> Self {
        let mut draw = Draw {
            rng: StdRng::seed_from_u64(seed),
            sla: false,
        };
        draw.sla = draw.chance(30);
        let replicas = draw.chance(12);
        let count = draw.rng.random_range(5..=15);
        let mut steps = Vec::new();
        // Something to begin with.
        for _ in 0..draw.rng.random_range(1..=3) {
            let service = draw.service();
            steps.push(Step::Service(service, draw.words()));
            steps.push(draw.slice_of(service));
        }
        for _ in 0..count {
            draw.step(replicas, &mut steps);
        }
        Self {
            replicas,
            resources: draw.chance(30),
            resync: draw.chance(40),
            busy: if draw.chance(90) {
                Duration::from_millis(300)
            } else {
                Duration::from_millis(1500)
            },
            tokens: draw.chance(50),
            steps,
        }
    }

    /// Whether anything in it asks for an SLA class.
    pub fn has_sla(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Service(_, words) | Step::Defaults(words) | Step::Policy(_, _, words) => {
                words.keys().any(|key| key.starts_with("sla"))
            }
            _ => false,
        })
    }
}

struct Draw {
    rng: StdRng,
    sla: bool,
}

impl Draw {
    /// Whether so many in a hundred times.
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_ratio(percent, 100)
    }

    fn of<T: Clone>(&mut self, among: &[T]) -> T {
        among.choose(&mut self.rng).expect("there is one").clone()
    }

    fn service(&mut self) -> &'static str {
        self.of(&["a", "b", "c"])
    }

    fn step(&mut self, replicas: bool, steps: &mut Vec<Step>) {
        let service = self.service();
        let step = match self.rng.random_range(0..100) {
            0..20 => Step::Service(service, self.words()),
            20..24 => Step::ServiceGone(service),
            24..27 => Step::Defaults(if self.chance(30) {
                Words::new()
            } else {
                self.words()
            }),
            27..31 => Step::Policy(self.of(&["p", "q"]), service, self.words()),
            31..33 => Step::PolicyGone(self.of(&["p", "q"])),
            33..52 => self.slice_of(service),
            52..55 => Step::SliceGone(self.slice_name(service)),
            55..58 => Step::NodeLost(self.hosts(false, 3)),
            58..62 => {
                let to = self.slice_name(service);
                Step::Moved(self.of(&hosts(to.v6)), to)
            }
            62..65 => Step::Tloc(self.of(&SITES), self.of(&COLORS), self.chance(40)),
            65..67 => Step::Slow(self.of(&COLORS), self.chance(60)),
            67..74 => Step::Manager(self.manager_fault()),
            74..76 => Step::ManagerHeals,
            76..80 => Step::Api(self.api_fault()),
            80..81 => Step::ApiHeals,
            81..87 => {
                let which = usize::from(replicas && self.chance(50));
                let end = if self.chance(70) {
                    Step::Killed(which)
                } else {
                    Step::Stopped(which)
                };
                steps.push(end);
                if self.chance(50) {
                    steps.push(Step::Service(service, self.words()));
                }
                Step::Started(which)
            }
            87..89 => {
                Step::Tampered(self.of(&[Tampering::List, Tampering::Definition, Tampering::Deactivation]))
            }
            89..90 => Step::Foreign,
            90..94 => Step::Pause(self.millis(1, 60)),
            _ => Step::Settle,
        };
        steps.push(step);
        if self.chance(25) {
            steps.push(Step::Pause(self.millis(1, 15)));
        }
    }

    fn millis(&mut self, min: u64, max: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(min..=max))
    }

    fn hosts(&mut self, v6: bool, max: usize) -> BTreeSet<IpAddr> {
        let all = hosts(v6);
        let count = self.rng.random_range(0..=max);
        (0..count).map(|_| self.of(&all)).collect()
    }

    fn slice_name(&mut self, service: &'static str) -> SliceName {
        SliceName {
            service,
            v6: self.chance(25),
            number: self.of(&[1, 2]),
        }
    }

    fn slice_of(&mut self, service: &'static str) -> Step {
        let name = self.slice_name(service);
        let protocol = if self.chance(75) {
            "TCP"
        } else {
            self.of(&["UDP", "SCTP"])
        };
        let http = Port {
            name: "http",
            protocol,
            number: if self.chance(92) { 8080 } else { 8081 },
        };
        let mut ports = vec![http];
        if self.chance(30) {
            ports.push(Port {
                name: "metrics",
                protocol: "TCP",
                number: 8081,
            });
        }
        Step::Slice(name, self.hosts(name.v6, 4), ports)
    }

    /// Annotations: mostly a pin, often more, at times nonsense.
    fn words(&mut self) -> Words {
        let mut words = Words::new();
        let mut say = |key: &str, value: &str| {
            words.insert(key.to_owned(), value.to_owned());
        };
        if self.chance(80) {
            say(
                "tunnel",
                self.of(&["mpls", "lte", "gold", "mpls", "lte", "default", "biz-internet"]),
            );
        }
        for (key, percent, values) in [
            ("mode", 20, &["preferred", "preferred", "strict"][..]),
            ("fallback", 15, &["gold", "lte", "lte,gold", "mpls,3g"]),
            ("action", 12, &["inspect", "drop", "allow"]),
            ("encryption", 3, &["required", "any"]),
            ("tenant", 4, &["blue", "blue", "green"]),
            ("tunnel.metrics", 8, &["lte", "gold", "none"]),
            ("action.81", 3, &["drop", "inspect"]),
        ] {
            if self.chance(percent) {
                say(key, self.of(values));
            }
        }
        if self.sla && self.chance(60) {
            say("sla", self.of(&["latency=50ms", "latency=60ms,loss=5%"]));
        }
        if self.chance(6) {
            let (key, value) = self.of(&[
                ("tunnel", "purple"),
                ("tunnel", "none"),
                ("mode", "lax"),
                ("fallback", "mpls,mpls"),
                ("colour", "mpls"),
                ("sla", "latency=0ms"),
                ("action", "reject"),
                ("tunnel.admin", "mpls"),
            ]);
            say(key, value);
        }
        words
    }

    fn count(&mut self) -> Option<u32> {
        Some(self.rng.random_range(1..=3))
    }

    fn requests(&mut self) -> Requests {
        let method = self.of(&[None, Some("GET"), Some("POST"), Some("PUT"), Some("DELETE")]);
        let path = self.of(&[
            None,
            None,
            Some("/dataservice/template/policy/list"),
            Some("/dataservice/template/policy/definition"),
            Some("/dataservice/template/policy/vsmart"),
            Some("/dataservice/device/action/status"),
            Some("/dataservice/template/policy/vsmart/activate"),
        ]);
        Requests {
            count: self.count(),
            method: method.map(str::to_owned),
            path: path.map(str::to_owned),
        }
    }

    fn manager_fault(&mut self) -> Fault {
        use GatewayAnswer as With;
        let answers = [
            With::InternalError,
            With::BadGateway,
            With::GatewayTimeout,
            With::Html,
            With::TooManyRequests,
            With::Unavailable,
        ];
        let shapes = [
            None,
            Some(ExpiryShape::LoginPage),
            Some(ExpiryShape::Redirect),
            Some(ExpiryShape::Forbidden),
            Some(ExpiryShape::Cookie),
        ];
        match self.rng.random_range(0..16) {
            0..4 => Fault::AnswerRequests {
                answer: self.of(&answers),
                requests: self.requests(),
            },
            4..7 => Fault::CutReplies {
                requests: self.requests(),
            },
            7..9 => Fault::DelayRequests {
                by_ms: self.rng.random_range(5..100),
                requests: self.requests(),
            },
            9..10 => Fault::ExpireSessions {
                shape: self.of(&shapes),
            },
            10..12 => Fault::FailPushes {
                count: self.count(),
                sites: self.of(&[vec![], vec![SITES[0]], vec![SITES[1]]]),
            },
            12..13 => Fault::HoldLock {},
            13..14 => Fault::DelayTasks {
                by_ms: self.rng.random_range(10..150),
                count: self.count(),
            },
            _ => Fault::LoseController {
                controllers: Vec::new(),
            },
        }
    }

    fn api_fault(&mut self) -> ApiFault {
        let requests = ApiRequests {
            count: self.count(),
            ..ApiRequests::default()
        };
        let answers = [
            Answer::TooManyRequests,
            Answer::InternalError,
            Answer::ServiceUnavailable,
            Answer::GatewayTimeout,
        ];
        match self.rng.random_range(0..12) {
            0..2 => ApiFault::Answer {
                with: self.of(&answers),
                requests,
            },
            2..3 => ApiFault::CutReplies { requests },
            3..5 => ApiFault::Delay {
                by: self.millis(5, 100),
                requests,
            },
            5..8 => ApiFault::DropWatches {
                requests: ApiRequests::default(),
            },
            8..10 => ApiFault::Compact,
            10..11 => ApiFault::Down,
            _ => ApiFault::SkewLeases {
                clock: self.of(&[
                    Skew::Ahead(Duration::from_secs(900)),
                    Skew::Behind(Duration::from_secs(900)),
                ]),
                requests: ApiRequests {
                    verbs: vec![Verb::Create, Verb::Update, Verb::Patch],
                    ..ApiRequests::default()
                },
            },
        }
    }
}
