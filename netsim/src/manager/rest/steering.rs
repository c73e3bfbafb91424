//! Real-time resources of one device about its policy: counters and SLA classes.
//!
//! What they say of packets is measured; the names of policies and VPN lists come from the active vSmart policy and from
//! policy groups, since an edge knows none.

use std::time::Duration;

use axum::extract::State;
use serde_json::{Value, json};

use super::asked::{Asked, stamp};
use super::{Answer, Shared};
use crate::fabric::edge::{Counted, SequenceCount};
use crate::manager::Device;
use crate::manager::app::App;
use crate::manager::compile::{self, Place};
use crate::manager::definition::DefinitionKind;
use crate::manager::preview;
use crate::manager::sla_classes;
use crate::policy::{PolicyDirection, SlaClass};
use crate::telemetry::PolicyReport;

/// `GET /dataservice/device/policy/approutepolicyfilter?deviceId=`: the sequences with a counter.
pub(super) async fn app_route_counters(State(app): Shared, asked: Asked) -> Answer {
    counters(&app, &asked, DefinitionKind::AppRoute).await
}

/// `GET /dataservice/device/policy/datapolicyfilter?deviceId=`: the sequences with a counter.
pub(super) async fn data_counters(State(app): Shared, asked: Asked) -> Answer {
    counters(&app, &asked, DefinitionKind::Data).await
}

/// `GET /dataservice/device/app-route/sla-class?deviceId=`: the class of all tunnels, then those of the policy in force
/// by name.
pub(super) async fn sla_classes(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    let report = app.policy(device).await?;
    let mut rows = vec![class_row(&app, device, 0, None)];
    let classes = sla_classes::of(&report.policy);
    rows.extend(
        (1..)
            .zip(&classes)
            .map(|(index, class)| class_row(&app, device, index, Some(class))),
    );
    asked.answer(&app, rows)
}

fn class_row(app: &App, device: &Device, index: u32, class: Option<&SlaClass>) -> Value {
    let millis = |time: Option<Duration>| time.map_or(0, |time| time.as_millis());
    let mut row = stamp(app, device, &index.to_string());
    row["index"] = json!(index.to_string());
    row["name"] = json!(class.map_or(sla_classes::ALL_TUNNELS, |class| class.name.as_str()));
    row["loss"] = json!(
        class
            .and_then(|class| class.loss)
            .map_or(0, |loss| loss / 10_000)
            .to_string()
    );
    row["latency"] = json!(millis(class.and_then(|class| class.latency)).to_string());
    row["jitter"] = json!(millis(class.and_then(|class| class.jitter)).to_string());
    row["app-probe-class"] = json!("None");
    row
}

async fn counters(app: &App, asked: &Asked, kind: DefinitionKind) -> Answer {
    let device = asked.device(app)?;
    let report = app.policy(device).await?;
    let counts = report.counts.iter();
    let rows = counts.filter_map(|count| counter_row(app, device, kind, &report, count));
    asked.answer(app, rows)
}

fn counter_row(
    app: &App,
    device: &Device,
    kind: DefinitionKind,
    report: &PolicyReport,
    count: &SequenceCount,
) -> Option<Value> {
    let id = count.sequence?;
    let (service_vpn, direction, counter) = match (kind, count.of) {
        (DefinitionKind::AppRoute, Counted::AppRoute(position)) => {
            let policy = report.policy.app_route.get(position)?;
            let sequence = policy.sequences.iter().find(|sequence| sequence.id == id)?;
            (
                policy.service_vpn,
                PolicyDirection::FromService,
                &sequence.counter,
            )
        }
        (DefinitionKind::Data, Counted::Data(position)) => {
            let policy = report.policy.data.get(position)?;
            let sequence = policy.sequences.iter().find(|sequence| sequence.id == id)?;
            (policy.service_vpn, policy.direction, &sequence.counter)
        }
        _ => return None,
    };
    let counter = counter.as_ref()?;
    let (policy_name, vpn_name) = names(app, kind, device.site_id, service_vpn, direction);
    let mut row = stamp(app, device, &format!("{policy_name}-{vpn_name}-{counter}"));
    row["policy-name"] = json!(policy_name);
    row["vpn-name"] = json!(vpn_name);
    row["counter-name"] = json!(counter);
    row["packets"] = json!(count.count.packets.to_string());
    row["bytes"] = json!(count.count.octets.to_string());
    Some(row)
}

/// `GET /dataservice/device/policy/vsmart?deviceId=`: what is in force on the edge, by service VPN.
pub(super) async fn from_controller(State(app): Shared, asked: Asked) -> Answer {
    let device = asked.device(&app)?;
    let policy = app.policy(device).await?.policy;
    let app_route = policy.app_route.iter().map(|policy| {
        let of = (policy.service_vpn, PolicyDirection::FromService);
        let kind = (DefinitionKind::AppRoute, "app-route-policy");
        in_force(&app, device, kind, of, policy.sequences.len())
    });
    let data = policy.data.iter().map(|policy| {
        let of = (policy.service_vpn, policy.direction);
        let kind = (DefinitionKind::Data, "data-policy");
        in_force(&app, device, kind, of, policy.sequences.len())
    });
    asked.answer(&app, app_route.chain(data))
}

fn in_force(
    app: &App,
    device: &Device,
    (kind, policy_type): (DefinitionKind, &str),
    (service_vpn, direction): (u16, PolicyDirection),
    sequences: usize,
) -> Value {
    let (policy_name, vpn_name) = names(app, kind, device.site_id, service_vpn, direction);
    let direction = match direction {
        PolicyDirection::FromService => "from-service",
        PolicyDirection::FromTunnel => "from-tunnel",
        PolicyDirection::All => "all",
    };
    let mut row = stamp(app, device, &format!("{policy_type}-{service_vpn}-{direction}"));
    row["policy-type"] = json!(policy_type);
    row["policy-name"] = json!(policy_name);
    row["vpn-name"] = json!(vpn_name);
    row["vpn-id"] = json!(service_vpn.to_string());
    row["direction"] = json!(direction);
    row["sequences"] = json!(sequences);
    row
}

/// What the product calls the policy in a service VPN of a site, and the list that names that VPN; empty while neither the
/// active policy, as it is stored, nor a policy group has anything there.
fn names(
    app: &App,
    kind: DefinitionKind,
    site_id: u32,
    service_vpn: u16,
    direction: PolicyDirection,
) -> (String, String) {
    let store = app.store();
    let objects = store.objects();
    let place = Place {
        site_id,
        service_vpns: &[service_vpn],
    };
    let active = (objects.policies()).find(|policy| store.active() == Some(policy.id));
    let applied =
        active.and_then(|policy| compile::applied(&policy.assembly, objects, kind, direction, place));
    let part = store.in_force().group(site_id);
    let applied = applied.or_else(|| part?.translated.applied(kind, direction, place));
    match applied {
        Some((definition, vpn_list)) => (
            preview::policy_name(&vpn_list.name, definition),
            vpn_list.name.clone(),
        ),
        None => (String::new(), String::new()),
    }
}
