//! Real-time resources of one device about its policy: counters and SLA classes.
//!
//! What they say of packets is measured; the names of policies and VPN lists come from the active vSmart policy, since an
//! edge knows none.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::tunnels::{OneDevice, device};
use super::{Answer, Shared};
use crate::fabric::edge::{Counted, SequenceCount};
use crate::manager::Device;
use crate::manager::app::App;
use crate::manager::compile::{self, Place};
use crate::manager::definition::DefinitionKind;
use crate::manager::preview;
use crate::policy::{AppRoutePolicy, EdgePolicy, PolicyDirection, SlaClass};
use crate::telemetry::PolicyReport;

/// The name of the class of index 0, which every tunnel meets.
const ALL_TUNNELS: &str = "__all_tunnels__";

/// `GET /dataservice/device/policy/approutepolicyfilter?deviceId=`: the sequences with a counter.
pub(super) async fn app_route_counters(State(app): Shared, which: OneDevice) -> Answer {
    counters(&app, which, DefinitionKind::AppRoute).await
}

/// `GET /dataservice/device/policy/datapolicyfilter?deviceId=`: the sequences with a counter.
pub(super) async fn data_counters(State(app): Shared, which: OneDevice) -> Answer {
    counters(&app, which, DefinitionKind::Data).await
}

/// `GET /dataservice/device/app-route/sla-class?deviceId=`: the class of all tunnels, then those of the policy in force
/// by name.
pub(super) async fn sla_classes(State(app): Shared, which: OneDevice) -> Answer {
    let device = device(&app, which)?;
    let report = app.telemetry.policy(device.site_id).await?;
    let mut rows = vec![class_row(&app, device, 0, None)];
    let classes = classes(&report.policy);
    rows.extend(
        (1..)
            .zip(&classes)
            .map(|(index, class)| class_row(&app, device, index, Some(class))),
    );
    Ok(Json(json!({ "data": rows })))
}

/// The classes that a policy names, each once; the index of a class is one more than its position.
pub(super) fn classes(policy: &EdgePolicy) -> Vec<SlaClass> {
    let of_policy = |policy: &AppRoutePolicy| {
        let choices = policy
            .sequences
            .iter()
            .filter_map(|sequence| sequence.choice.clone());
        let classes = choices.filter_map(|choice| choice.class);
        classes.chain(policy.default_class.clone()).collect::<Vec<_>>()
    };
    let mut classes: Vec<_> = policy.app_route.iter().flat_map(of_policy).collect();
    classes.sort_unstable();
    classes.dedup();
    classes
}

fn class_row(app: &App, device: &Device, index: u32, class: Option<&SlaClass>) -> Value {
    let millis = |time: Option<Duration>| time.map_or(0, |time| time.as_millis());
    json!({
        "vdevice-name": device.system_ip,
        "vdevice-host-name": device.host_name,
        "lastupdated": app.now_ms(),
        "index": index.to_string(),
        "name": class.map_or(ALL_TUNNELS, |class| class.name.as_str()),
        "loss": class.and_then(|class| class.loss).map_or(0, |loss| loss / 10_000).to_string(),
        "latency": millis(class.and_then(|class| class.latency)).to_string(),
        "jitter": millis(class.and_then(|class| class.jitter)).to_string(),
        "app-probe-class": "None",
    })
}

async fn counters(app: &App, which: OneDevice, kind: DefinitionKind) -> Answer {
    let device = device(app, which)?;
    let report = app.telemetry.policy(device.site_id).await?;
    let counts = report.counts.iter();
    let rows: Vec<Value> = counts
        .filter_map(|count| counter_row(app, device, kind, &report, count))
        .collect();
    Ok(Json(json!({ "data": rows })))
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
    Some(json!({
        "vdevice-name": device.system_ip,
        "vdevice-host-name": device.host_name,
        "lastupdated": app.now_ms(),
        "policy-name": policy_name,
        "vpn-name": vpn_name,
        "counter-name": counter,
        "packets": count.count.packets.to_string(),
        "bytes": count.count.octets.to_string(),
    }))
}

/// What the product calls the policy in a service VPN of a site, and the list that names that VPN; empty while the
/// active policy, as it is stored, has nothing there.
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
    match applied {
        Some((definition, vpn_list)) => (
            preview::policy_name(&vpn_list.name, definition),
            vpn_list.name.clone(),
        ),
        None => (String::new(), String::new()),
    }
}
