//! Whatever happens to pushes, against a model that knows only what clients may rely on.

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::manager::caller::Caller;
use crate::manager::fixture::{self, parse_list, put_definition, put_list, sequence, set_tlocs};
use crate::manager::gateway::Gateway;
use crate::manager::list::List;
use crate::manager::store::{Accepted, Release, StoreError};
use crate::manager::{Config, Controller, Device, Distribution, PushDelay, SecretString};
use crate::policy::{ApplyError, Edges};
use crate::telemetry::{PolicyReport, RoutingReport, Telemetry, TelemetryError, TunnelReport};

const SITES: [u32; 2] = [1, 2];
const POLICIES: u8 = 3;
const LONGEST: u64 = 100;

/// What a policy says: its number and the version of its list.
type Said = Option<(u8, u8)>;

/// What befalls a push while it runs.
#[derive(Debug, Clone, Copy)]
enum Mishap {
    None,
    /// The edge of this site refuses.
    Refusal(u32),
    /// Someone cancels it after so many milliseconds.
    Cancel(u64),
    /// All Controllers are lost after so many milliseconds.
    Loss(u64),
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Edit {
        policy: u8,
        session: usize,
    },
    Activate {
        policy: u8,
        session: usize,
        is_edited: bool,
        mishap: Mishap,
    },
    Deactivate {
        policy: u8,
        session: usize,
        mishap: Mishap,
    },
    ReleaseLock,
    Lose(usize),
    Restore,
    /// The next step begins before anything that waited has come.
    RestoreAtOnce,
}

fn step() -> impl Strategy<Value = Step> {
    let mishap = || {
        prop_oneof![
            3 => Just(Mishap::None),
            1 => (1_u32..3).prop_map(Mishap::Refusal),
            1 => (1..LONGEST).prop_map(Mishap::Cancel),
            1 => (1..LONGEST).prop_map(Mishap::Loss),
        ]
    };
    let (policy, session) = (|| 0..POLICIES, || 0_usize..2);
    prop_oneof![
        3 => (policy(), session()).prop_map(|(policy, session)| Step::Edit { policy, session }),
        4 => (policy(), session(), any::<bool>(), mishap()).prop_map(|(policy, session, is_edited, mishap)| {
            Step::Activate { policy, session, is_edited, mishap }
        }),
        2 => (policy(), session(), mishap())
            .prop_map(|(policy, session, mishap)| Step::Deactivate { policy, session, mishap }),
        1 => Just(Step::ReleaseLock),
        2 => (0_usize..2).prop_map(Step::Lose),
        2 => Just(Step::Restore),
        1 => Just(Step::RestoreAtOnce),
    ]
}

impl Mishap {
    /// The same, at a moment at which no edge is programmed; timers are as fine as milliseconds.
    fn between(self, push: u64, delay: PushDelay) -> Self {
        let clear = |mut at: u64| {
            let close = |at: u64| {
                let at = Duration::from_millis(at);
                SITES
                    .iter()
                    .any(|site| delay.of(push, *site).abs_diff(at) < Duration::from_millis(3))
            };
            while close(at) {
                at += 1;
            }
            at
        };
        match self {
            Self::Cancel(at) => Self::Cancel(clear(at)),
            Self::Loss(at) => Self::Loss(clear(at)),
            other => other,
        }
    }
}

/// What the Manager should be like, in the simplest words.
#[derive(Debug, Default)]
struct Model {
    versions: [u8; POLICIES as usize],
    active: Option<u8>,
    lock: Option<usize>,
    lost: [bool; 2],
    pushes: u64,
    edges: [Said; 2],
    waiting: [Option<Said>; 2],
}

impl Model {
    /// Whether an edit is accepted.
    fn edit(&mut self, policy: u8, session: usize) -> bool {
        if self.active == Some(policy) || self.is_followed(policy) {
            if self.lock.is_some_and(|holder| holder != session) {
                return false;
            }
            self.lock = Some(session);
        }
        self.versions[usize::from(policy)] += 1;
        true
    }

    fn is_followed(&self, policy: u8) -> bool {
        self.edges
            .iter()
            .flatten()
            .any(|(followed, _)| *followed == policy)
    }

    /// Whether a deactivation has something to end.
    fn is_in_force(&self, policy: u8) -> bool {
        let followed = self.is_followed(policy);
        self.active.map_or(followed, |active| active == policy)
    }

    fn push(&mut self, said: Said, mishap: Mishap, delay: PushDelay) {
        self.pushes += 1;
        let nobody = self.lost == [true, true];
        let mut waiting = [None, None];
        let mut failed = false;
        for (index, site) in SITES.into_iter().enumerate() {
            let late = |at: u64| delay.of(self.pushes, site) > Duration::from_millis(at);
            match mishap {
                _ if nobody => waiting[index] = Some(said),
                Mishap::Refusal(refusing) if refusing == site => failed = true,
                Mishap::Cancel(at) if late(at) => failed = true,
                Mishap::Loss(at) if late(at) => waiting[index] = Some(said),
                _ => {
                    self.edges[index] = said;
                    self.waiting[index] = None;
                }
            }
        }
        if !failed {
            self.active = said.map(|(policy, _)| policy);
            self.lock = None;
            self.waiting = waiting;
        }
        if let Mishap::Loss(_) = mishap {
            self.lost = [true, true];
        }
    }

    /// What waits is delivered as soon as a Controller is online.
    fn settle(&mut self) {
        if self.lost != [true, true] {
            for (edge, waiting) in self.edges.iter_mut().zip(&mut self.waiting) {
                *edge = waiting.take().unwrap_or(*edge);
            }
        }
    }
}

/// Edges that remember what they were told.
#[derive(Default)]
struct Memory(Mutex<[Said; 2]>);

#[async_trait]
impl Edges for Memory {
    async fn apply(&self, policy: &EdgePolicy) -> Result<(), ApplyError> {
        let prefix = policy.data.first().map(|data| {
            let prefixes = data.sequences[0].matching.source_prefixes.as_ref().unwrap();
            prefixes[0].to_string()
        });
        let said = prefix.map(|prefix| {
            let mut octets = prefix.split('.').skip(1).map(|octet| octet.parse().unwrap());
            (octets.next().unwrap(), octets.next().unwrap())
        });
        self.0.lock().unwrap()[policy.site_id as usize - 1] = said;
        Ok(())
    }
}

#[async_trait]
impl Telemetry for Memory {
    async fn tunnels(&self, _: u32) -> Result<Vec<TunnelReport>, TelemetryError> {
        Ok(Vec::new())
    }

    async fn policy(&self, site_id: u32) -> Result<PolicyReport, TelemetryError> {
        Ok(PolicyReport {
            policy: EdgePolicy::none(site_id),
            counts: Vec::new(),
        })
    }

    async fn routing(&self, _: u32) -> Result<RoutingReport, TelemetryError> {
        Ok(RoutingReport::default())
    }
}

struct Real {
    app: Arc<App>,
    edges: Arc<Memory>,
    lists: Vec<Uuid>,
    policies: Vec<Uuid>,
}

fn servers(policy: u8, version: u8) -> List {
    let entries = json!([{ "ipPrefix": format!("10.{policy}.{version}.0/24") }]);
    parse_list("dataprefix", &format!("servers-{policy}"), entries).unwrap()
}

fn callers() -> [Caller; 2] {
    ["a", "b"].map(Caller::test)
}

impl Real {
    fn new(delay: PushDelay) -> Self {
        let device = |site_id: u32| Device {
            host_name: format!("edge-{site_id}"),
            system_ip: [10, 255, 0, u8::try_from(site_id).unwrap()].into(),
            site_id,
            service_vpns: vec![10],
            colors: Vec::new(),
        };
        let devices = SITES.map(device).to_vec();
        let password = SecretString::from("");
        let mut config = Config::new(Vec::new(), String::new(), password, devices);
        config.push_delay = delay;
        config.controllers.push(Controller {
            host_name: "vsmart2".to_owned(),
            system_ip: [172, 16, 255, 6].into(),
        });
        let edges = Arc::new(Memory::default());
        let app = Arc::clone(&super::super::apps(&Arc::new(Gateway::new(&config)), &config, &edges)[0]);
        app.start_deliveries();
        let (mut lists, mut policies) = (Vec::new(), Vec::new());
        let mut store = app.store();
        let objects = store.objects_for_creation();
        let sites = put_list(objects, "site", "sites", json!([{ "siteId": "1-2" }]));
        let vpns = put_list(objects, "vpn", "vpns", json!([{ "vpn": "10" }]));
        for number in 0..POLICIES {
            let list = servers(number, 0);
            let entries = json!([{ "field": "sourceDataPrefixList", "ref": list.id }]);
            lists.push(list.id);
            objects.put_list(list).unwrap();
            let steering = json!([sequence(1, entries, set_tlocs(json!({ "color": "mpls" })))]);
            let definition = put_definition(objects, &format!("steer-{number}"), steering);
            let assembly = json!([fixture::assembly(definition, "service", sites, vpns)]);
            policies.push(fixture::put_policy(
                objects,
                &format!("policy-{number}"),
                assembly,
            ));
        }
        drop(store);
        Self {
            app,
            edges,
            lists,
            policies,
        }
    }

    fn edit(&self, policy: u8, session: usize, version: u8) -> bool {
        let id = self.lists[usize::from(policy)];
        let list = List {
            id,
            ..servers(policy, version)
        };
        let mut store = self.app.store();
        let edited = store.edit(&callers()[session], id, None, |objects| objects.put_list(list));
        edited.is_ok()
    }

    /// Whether the push was accepted; it has then ended, and what waits has come as far as it can.
    async fn push(&self, push: Result<Accepted, StoreError>, mishap: Mishap) -> bool {
        let Ok(accepted) = push else { return false };
        let refusal = match mishap {
            Mishap::Refusal(site) => Some(self.app.faults.inject(Fault::FailPushes {
                count: None,
                sites: vec![site],
            })),
            _ => None,
        };
        let task = self.app.start_push(accepted);
        match mishap {
            Mishap::Cancel(at) => {
                sleep(Duration::from_millis(at)).await;
                // It may be over.
                let _ = self.app.store().cancel(&task);
            }
            Mishap::Loss(at) => {
                sleep(Duration::from_millis(at)).await;
                self.lose(Vec::new());
            }
            Mishap::None | Mishap::Refusal(_) => {}
        }
        sleep(Duration::from_millis(2 * LONGEST)).await;
        assert!(
            !self.app.store().task(&task).unwrap().is_running(),
            "the push has not ended"
        );
        if let Some(id) = refusal {
            self.app.faults.heal(id);
        }
        true
    }

    fn lose(&self, controllers: Vec<String>) {
        self.app.faults.inject(Fault::LoseController { controllers });
    }
}

/// Does a step on both sides; the answers have to be the same.
async fn take(step: Step, real: &Real, model: &mut Model) {
    let places = real.app.places();
    let delay = real.app.push_delay;
    let between = |mishap: Mishap| mishap.between(model.pushes + 1, delay);
    match step {
        Step::Edit { policy, session } => {
            let version = model.versions[usize::from(policy)] + 1;
            let accepted = real.edit(policy, session, version);
            assert_eq!(accepted, model.edit(policy, session));
        }
        Step::Activate {
            policy,
            session,
            is_edited,
            mishap,
        } => {
            let mishap = between(mishap);
            let id = real.policies[usize::from(policy)].to_string();
            let release = Release {
                is_edited,
                process_id: None,
            };
            let accepted = (real.app.store()).activate(&callers()[session], &id, &release, &places);
            let expected = is_edited || model.lock.is_none();
            assert_eq!(real.push(accepted, mishap).await, expected);
            if expected {
                let version = model.versions[usize::from(policy)];
                model.push(Some((policy, version)), mishap, delay);
            }
        }
        Step::Deactivate {
            policy,
            session,
            mishap,
        } => {
            let mishap = between(mishap);
            let id = real.policies[usize::from(policy)].to_string();
            let accepted =
                real.app
                    .store()
                    .deactivate(&callers()[session], &id, &Release::default(), &places);
            let free = model.lock.is_none_or(|holder| holder == session);
            let expected = model.is_in_force(policy) && free;
            assert_eq!(real.push(accepted, mishap).await, expected);
            if expected {
                model.push(None, mishap, delay);
            }
        }
        Step::ReleaseLock => {
            let held = real.process_id();
            assert_eq!(held.is_some(), model.lock.take().is_some());
            if let Some(id) = held {
                real.app.store().release_lock(&callers()[0], &id).unwrap();
            }
        }
        Step::Lose(index) => {
            real.lose(vec![["vsmart1", "vsmart2"][index].to_owned()]);
            model.lost[index] = true;
        }
        Step::Restore | Step::RestoreAtOnce => {
            real.app.faults.heal_all();
            model.lost = [false, false];
        }
    }
    if !matches!(step, Step::RestoreAtOnce) {
        sleep(RETRY_AFTER + Duration::from_millis(2 * LONGEST)).await;
        model.settle();
    }
}

impl Real {
    /// That of the edit under way.
    fn process_id(&self) -> Option<String> {
        self.app.store().edit_under_way(&callers()[0])
    }

    fn check(&self, model: &Model) {
        let active = model.active.map(|policy| self.policies[usize::from(policy)]);
        assert_eq!(self.app.store().active(), active);
        assert_eq!(*self.edges.0.lock().unwrap(), model.edges);
        assert_eq!(self.process_id().is_some(), model.lock.is_some());
    }
}

async fn run_steps(steps: Vec<Step>, delay: PushDelay) {
    let real = Real::new(delay);
    let mut events = real.app.activity.listen();
    let mut model = Model::default();
    for step in steps {
        take(step, &real, &mut model).await;
        real.check(&model);
    }
    // Whatever happened, everybody can go on.
    take(Step::Restore, &real, &mut model).await;
    let end = Step::Activate {
        policy: 0,
        session: 1,
        is_edited: true,
        mishap: Mishap::None,
    };
    take(end, &real, &mut model).await;
    real.check(&model);
    assert_eq!(model.edges, [Some((0, model.versions[0])); 2]);
    assert_eq!(model.lock, None);
    let mut pushed = BTreeSet::new();
    while let Some(activity) = events.try_next() {
        if let Event::Pushed { task, site_id } = activity.event {
            assert!(
                pushed.insert((task.clone(), site_id)),
                "{task} reached site {site_id} twice"
            );
        }
    }
    real.app.stop_pushes().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn edges_follow_the_last_successful_push(
        steps in prop::collection::vec(step(), 1..24),
        seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let longest = Duration::from_millis(LONGEST);
        let distribution = Distribution::Uniform { min: Duration::ZERO, max: longest };
        runtime.block_on(run_steps(steps, PushDelay { distribution, seed }));
    }
}
