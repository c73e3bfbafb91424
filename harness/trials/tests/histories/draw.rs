//! Drawing histories.
//!
//! Pure: the same seed gives the same history.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use kubeapi::{Answer, Fault as ApiFault, Requests as ApiRequests, Skew, Verb};
use netsim::manager::faults::{ExpiryShape, Fault, GatewayAnswer, Requests};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::facts::{Port, Words};
use super::history::{History, SITES, SliceName, Step, Tampering, hosts};
use super::oracle::COLORS;

impl History {
    /// The history of a seed.
    pub fn new(seed: u64) -> Self {
        let mut draw = Draw {
            rng: StdRng::seed_from_u64(seed),
            sla: false,
        };
        draw.sla = draw.chance(30);
        let replicas = draw.chance(12);
        let mut steps = Vec::new();
        // Something to begin with.
        for _ in 0..draw.rng.random_range(1..=3) {
            let service = draw.service();
            steps.push(Step::Service(service, draw.words()));
            steps.push(draw.slice_of(service));
            steps.push(draw.slice_of(service));
        }
        steps.push(if draw.chance(60) {
            Step::Settle
        } else {
            Step::Pause(draw.millis(1, 40))
        });
        for _ in 0..draw.rng.random_range(5..=15) {
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
            55..58 => Step::NodeLost(self.hosts(false, 1, 3)),
            58..62 => {
                let to = self.slice_name(service);
                Step::Moved(self.of(&hosts(to.v6)), to)
            }
            62..65 => Step::Tloc(self.of(&SITES), self.of(&COLORS), self.chance(40)),
            65..67 => Step::Slow(self.of(&COLORS), self.chance(60)),
            67..74 => Step::Manager(self.manager_fault()),
            74..76 => Step::ManagerHeals,
            76..79 => Step::Api(self.api_fault()),
            79..81 => self.api_outage(steps),
            81..87 => self.restart(replicas, steps),
            87..89 => {
                Step::Tampered(self.of(&[Tampering::List, Tampering::Definition, Tampering::Deactivation]))
            }
            89..90 => Step::Foreign,
            90..94 => Step::Pause(self.millis(1, 60)),
            _ => Step::Settle,
        };
        steps.push(step);
        if self.chance(50) {
            steps.push(Step::Pause(self.millis(1, 25)));
        }
    }

    /// An operator ends, often in the middle of something, and another begins.
    fn restart(&mut self, replicas: bool, steps: &mut Vec<Step>) -> Step {
        let service = self.service();
        let which = usize::from(replicas && self.chance(50));
        if self.chance(60) {
            steps.push(Step::Service(service, self.words()));
            steps.push(Step::Pause(self.millis(5, 30)));
        }
        steps.push(if self.chance(75) {
            Step::Killed(which)
        } else {
            Step::Stopped(which)
        });
        if self.chance(40) {
            steps.push(Step::Service(service, self.words()));
        }
        Step::Started(which)
    }

    /// The API cannot be reached while something happens, and forgets how that came about.
    fn api_outage(&mut self, steps: &mut Vec<Step>) -> Step {
        let service = self.service();
        steps.push(Step::Api(ApiFault::Down));
        steps.push(match self.rng.random_range(0..4) {
            0 => Step::ServiceGone(service),
            1 => Step::PolicyGone("p"),
            _ => Step::SliceGone(self.slice_name(service)),
        });
        steps.push(Step::Api(ApiFault::Compact));
        Step::ApiHeals
    }

    fn millis(&mut self, min: u64, max: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(min..=max))
    }

    fn hosts(&mut self, v6: bool, min: usize, max: usize) -> BTreeSet<IpAddr> {
        let all = hosts(v6);
        let count = self.rng.random_range(min..=max);
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
        let hosts = self.hosts(name.v6, 1, 4);
        Step::Slice(name, hosts, ports)
    }

    /// Annotations: mostly a pin, often more, at times nonsense.
    fn words(&mut self) -> Words {
        let mut words = Words::new();
        let mut say = |key: &str, value: &str| {
            words.insert(key.to_owned(), value.to_owned());
        };
        if self.chance(88) {
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
            after: None,
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
