//! The world of a history: a cluster, a Manager with edges, and the operators, to which steps happen.

use std::time::{Duration, Instant};

use pathproof_trials::{Operator, Rest, Wan, settings};
use sdwan_operator::controller::{Contest, Settings, Timing};
use sdwan_operator::core::{Conventions, ServiceType};
use sdwan_operator::manager::{LoginKind, Patience};

use super::checker::{Floor, Tally, check_policy, check_settled, only};
use super::history::{History, SITES, Step};
use super::oracle::{COLORS, TENANT_VPN, VPN, wishes};
use super::shop::Shop;
use super::wan::{Others, make_others, tamper};

/// How long a step waits for the fabric to be as asked.
const SETTLE_PATIENCE: Duration = Duration::from_millis(300);
/// Between two looks at the edges.
const LOOK: Duration = Duration::from_millis(3);
/// A tunnel that does not meet any class.
const SLOW: Duration = Duration::from_millis(200);
const FAST: Duration = Duration::from_millis(10);

/// What steps happen to.
pub struct World {
    pub wan: Wan,
    pub shop: Shop,
    pub operators: [Option<Operator>; 2],
    /// Objects of others on the Manager.
    pub others: Others,
    pub floors: Vec<Floor>,
    pub history: History,
    starts: u32,
}

impl World {
    /// One in which nothing has happened, and the operators run.
    pub async fn start(history: &History) -> Self {
        let statistics = Duration::from_millis(if history.has_sla() { 40 } else { 1000 });
        let wan = Wan::configured(2, &COLORS, |config| config.statistics_interval = statistics).await;
        let shop = Shop::start(history.resources).await;
        let others = make_others(&wan.rest().await, "0").await;
        let mut world = Self {
            floors: vec![(Instant::now(), Some(shop.chronicle.newest()))],
            wan,
            shop,
            operators: [None, None],
            others,
            history: history.clone(),
            starts: 0,
        };
        world.start_all().await;
        world
    }

    /// Lets a step happen.
    pub async fn take(&mut self, step: &Step) {
        match step.clone() {
            Step::Manager(fault) => drop(self.wan.manager.faults().inject(fault)),
            Step::ManagerHeals => drop(self.wan.manager.faults().heal_all()),
            Step::Api(fault) => drop(self.shop.cluster.faults().inject(fault).expect("it can strike")),
            Step::ApiHeals => drop(self.shop.cluster.faults().heal_all()),
            Step::Tloc(site, color, up) => self.wan.edges.set_up(site, color, up),
            Step::Slow(color, slow) => self.wan.edges.set_latency(color, if slow { SLOW } else { FAST }),
            Step::Killed(which) => {
                if let Some(operator) = self.operators[which].take() {
                    operator.kill();
                }
            }
            Step::Stopped(which) => {
                if let Some(operator) = self.operators[which].take() {
                    operator.stop().await;
                }
            }
            Step::Started(which) => self.run(which).await,
            Step::Tampered(how) => self.tamper(how).await,
            Step::Foreign => {
                if let Some(rest) = self.undisturbed().await {
                    let tag = (self.others.len() / 5).to_string();
                    self.others.extend(make_others(&rest, &tag).await);
                }
            }
            Step::Pause(time) => tokio::time::sleep(time).await,
            Step::Settle => drop(self.settle(SETTLE_PATIENCE).await),
            written => self.write(written),
        }
    }

    fn write(&mut self, step: Step) {
        use super::history::NAMESPACE;
        let shop = &mut self.shop;
        match step {
            Step::Service(name, words) => shop.service(NAMESPACE, name, words),
            Step::ServiceGone(name) => shop.service_gone(name),
            Step::Defaults(words) => shop.namespace(NAMESPACE, words),
            Step::Policy(name, service, words) => shop.policy(NAMESPACE, name, service, words),
            Step::PolicyGone(name) => shop.policy_gone(name),
            Step::Slice(slice, hosts, ports) => shop.slice(slice, hosts, ports),
            Step::SliceGone(slice) => shop.slice_gone(slice),
            Step::NodeLost(hosts) => shop.hosts_gone(&hosts, None),
            Step::Moved(host, to) => shop.host_moved(host, to),
            other => unreachable!("{other:?} writes nothing"),
        }
    }

    async fn tamper(&mut self, how: super::history::Tampering) {
        let Some(rest) = self.undisturbed().await else {
            return;
        };
        self.floors.push((Instant::now(), None));
        tamper(&rest, how).await;
    }

    /// A session of somebody else, if nothing goes wrong at the Manager.
    async fn undisturbed(&self) -> Option<Rest> {
        match self.wan.manager.faults().in_force().is_empty() {
            true => Some(self.wan.rest().await),
            false => None,
        }
    }

    /// Whether somebody else changed the operator's objects since the fabric was known to be as asked.
    pub fn is_tampered(&self) -> bool {
        matches!(self.floors.last(), Some((_, None)))
    }

    /// Ends all faults and brings all tunnels up.
    pub fn heal(&mut self) {
        self.wan.manager.faults().heal_all();
        self.shop.cluster.faults().heal_all();
        for site in SITES {
            for color in COLORS {
                self.wan.edges.set_up(site, color, true);
            }
        }
    }

    /// Starts the operators that do not run.
    pub async fn start_all(&mut self) {
        self.run(0).await;
        if self.history.replicas {
            self.run(1).await;
        }
    }

    /// Ends all operators.
    pub async fn stop_all(&mut self) {
        for operator in self.operators.iter_mut().filter_map(Option::take) {
            operator.stop().await;
        }
    }

    /// Starts an operator, unless it runs.
    pub async fn run(&mut self, which: usize) {
        if self.operators[which].is_some() {
            return;
        }
        self.starts += 1;
        let login = if self.history.tokens {
            LoginKind::Jwt
        } else {
            LoginKind::Session
        };
        let patience = Patience {
            request: Duration::from_secs(1),
            busy: self.history.busy,
            task: Duration::from_secs(2),
        };
        let kubernetes = self.shop.cluster.client().await;
        let clusters = vec![("", VPN, kubernetes)];
        let manager = self.wan.client(login, patience);
        self.operators[which] = Some(Operator::start(clusters, manager, self.settings()));
    }

    fn settings(&self) -> Settings {
        let millis = Duration::from_millis;
        let timing = || Timing::new(millis(2000), millis(1700), millis(100)).expect("good times");
        let contest = self.history.replicas.then(|| Contest {
            kube_namespace: "default".to_owned(),
            name: "operator".to_owned(),
            identity: format!("operator-{}", self.starts),
            timing: timing(),
        });
        let mut settings = settings();
        settings.conventions = Conventions {
            tenants: [("blue".to_owned(), TENANT_VPN)].into(),
            ..Conventions::default()
        };
        settings.contest = contest;
        // The one that the edges have.
        settings.inspection = ServiceType::IntrusionDetection;
        if self.history.resync {
            settings.resync = millis(250);
        }
        if self.history.has_sla() {
            settings.tunnel_poll = millis(20);
        }
        settings
    }

    /// Waits until edges do what is asked now; they have then seen everything up to now.
    pub async fn settle(&mut self, patience: Duration) -> Result<(), String> {
        if self.operators.iter().all(Option::is_none) {
            return Err("no operator runs".to_owned());
        }
        self.shop.light_beacon();
        let position = self.shop.chronicle.newest();
        let allowed = only(&wishes(&self.shop.chronicle.now()));
        self.wait(patience, |world| {
            let policies = SITES.map(|site| world.wan.edges.policy_of(site));
            let tally = &mut Tally::default();
            policies
                .iter()
                .try_for_each(|policy| check_policy(policy, &allowed, tally))
        })
        .await?;
        self.floors.push((Instant::now(), Some(position)));
        Ok(())
    }

    /// Waits until edges do just what is asked now, also by SLA classes.
    pub async fn settle_exactly(&mut self, patience: Duration) -> Result<(), String> {
        self.settle(patience).await?;
        let wishes = wishes(&self.shop.chronicle.now());
        self.wait(patience, |world| {
            let edges = &world.wan.edges;
            let tunnels = edges.tunnels_between((SITES[0], SITES[1]));
            let policies = SITES.map(|site| edges.policy_of(site));
            policies
                .iter()
                .try_for_each(|policy| check_settled(policy, &wishes, &tunnels))
        })
        .await
    }

    /// Waits until it is as it should be; looks only when edges were told something.
    async fn wait(
        &self,
        patience: Duration,
        check: impl Fn(&Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        let mut told = self.wan.edges.count();
        let mut checked = check(self);
        while checked.is_err() && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
            let count = self.wan.edges.count();
            if std::mem::replace(&mut told, count) != count {
                checked = check(self);
            }
        }
        checked
    }
}
