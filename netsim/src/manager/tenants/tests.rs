use std::net::Ipv4Addr;
use std::sync::Mutex as StdMutex;

use super::*;
use crate::fabric::edge::SequenceCount;
use crate::fabric::nft::RuleCount;
use crate::policy::{AppRoutePolicy, DataPolicy, DefaultAction, PolicyDirection};

/// Remembers what it was told, unless it refuses.
#[derive(Default)]
struct Edge {
    told: StdMutex<Option<EdgePolicy>>,
    refuses: StdMutex<bool>,
}

#[async_trait]
impl Edges for Edge {
    async fn apply(&self, policy: &EdgePolicy) -> Result<(), ApplyError> {
        if *self.refuses.lock().unwrap() {
            let (site_id, reason) = (policy.site_id, "no".to_owned());
            return Err(ApplyError { site_id, reason });
        }
        *self.told.lock().unwrap() = Some(policy.clone());
        Ok(())
    }
}

fn tenant(id: &str, service_vpns: &[u16]) -> Tenant {
    Tenant {
        id: id.to_owned(),
        name: id.to_owned(),
        service_vpns: service_vpns.iter().copied().collect(),
    }
}

fn device(service_vpns: &[u16]) -> Device {
    Device {
        host_name: "edge".to_owned(),
        system_ip: Ipv4Addr::LOCALHOST,
        site_id: 1,
        service_vpns: service_vpns.to_vec(),
        colors: Vec::new(),
    }
}

fn app_route(service_vpn: u16) -> AppRoutePolicy {
    AppRoutePolicy {
        service_vpn,
        sequences: Arc::default(),
        default_class: None,
    }
}

fn data(service_vpn: u16) -> DataPolicy {
    DataPolicy {
        service_vpn,
        direction: PolicyDirection::FromService,
        sequences: Arc::default(),
        default_action: DefaultAction::Accept,
    }
}

/// A policy of both kinds in these service VPNs.
fn policy(service_vpns: &[u16]) -> EdgePolicy {
    EdgePolicy {
        site_id: 1,
        app_route: service_vpns.iter().copied().map(app_route).collect(),
        data: service_vpns.iter().copied().map(data).collect(),
    }
}

#[tokio::test]
async fn what_one_tells_an_edge_leaves_what_others_told_it() {
    let (edges, shares) = (Arc::new(Edge::default()), Arc::new(Shares::new(&[device(&[])])));
    let part = |tenant| Part {
        edges: edges.clone(),
        shares: shares.clone(),
        tenant,
    };
    let told = || edges.told.lock().unwrap().clone().unwrap();
    let (red, blue, provider) = (
        part(Some(tenant("red", &[20]))),
        part(Some(tenant("blue", &[10]))),
        part(None),
    );
    red.apply(&policy(&[20])).await.unwrap();
    provider.apply(&policy(&[15])).await.unwrap();
    blue.apply(&policy(&[10])).await.unwrap();
    assert_eq!(told(), policy(&[10, 15, 20]), "sorted, as an edge wants it");

    *edges.refuses.lock().unwrap() = true;
    blue.apply(&EdgePolicy::none(1)).await.unwrap_err();
    *edges.refuses.lock().unwrap() = false;
    red.apply(&EdgePolicy::none(1)).await.unwrap();
    assert_eq!(told(), policy(&[10, 15]), "what was refused is not in force");

    let nowhere = red.apply(&EdgePolicy::none(7)).await.unwrap_err();
    assert_eq!(nowhere.site_id, 7);
}

#[test]
fn a_tenant_is_told_of_its_own_policy() {
    let count = |of, packets| SequenceCount {
        of,
        sequence: None,
        count: RuleCount { packets, octets: 0 },
    };
    let report = PolicyReport {
        policy: EdgePolicy {
            data: vec![data(20)],
            ..policy(&[10, 20, 30])
        },
        counts: vec![
            count(Counted::AppRoute(0), 1),
            count(Counted::AppRoute(1), 2),
            count(Counted::AppRoute(2), 3),
            count(Counted::Data(0), 4),
        ],
    };
    let share = share_of(&tenant("red", &[20, 30]), report);
    assert_eq!(
        share.policy,
        EdgePolicy {
            data: vec![data(20)],
            ..policy(&[20, 30])
        }
    );
    assert_eq!(
        share.counts,
        [
            count(Counted::AppRoute(0), 2),
            count(Counted::AppRoute(1), 3),
            count(Counted::Data(0), 4)
        ]
    );
}

#[test]
fn the_provider_has_what_no_tenant_has() {
    let tenants = [tenant("red", &[10, 99]), tenant("blue", &[20])];
    let devices = [device(&[10, 20, 30])];
    let service_vpns =
        |tenant: Option<&Tenant>| devices_of(tenant, &tenants, &devices)[0].service_vpns.clone();
    assert_eq!(service_vpns(Some(&tenants[0])), [10]);
    assert_eq!(service_vpns(Some(&tenants[1])), [20]);
    assert_eq!(service_vpns(None), [30]);
}

#[test]
fn tenants_that_cannot_be_told_apart_are_refused() {
    assert_eq!(
        check_tenants(&[tenant("red", &[10]), tenant("blue", &[20])]),
        Ok(())
    );
    let problem = |tenants: &[Tenant]| check_tenants(tenants).unwrap_err().to_string();
    assert_eq!(
        problem(&[tenant("red", &[10]), tenant("blue", &[20, 10])]),
        "give service VPN 10 to tenant `blue`; tenant `red` has it"
    );
    assert_eq!(
        problem(&[tenant("red", &[10]), tenant("red", &[20])]),
        "manage two tenants with the id `red`"
    );
    assert!(problem(&[tenant("", &[])]).starts_with("name a tenant ``"));
    assert!(problem(&[tenant("a/b", &[])]).starts_with("name a tenant `a/b`"));
}
