//! Profiles, policy objects, a traffic policy and a policy group that are right.

use serde_json::{Value, json};

use super::world::{EDGE, Kind, World};

impl World {
    /// A group of everything that a group is made of, with all that it can say; an edge is to follow it.
    pub(super) async fn fill_groups(&mut self) {
        let objects = self.profile("policy-object", "objects").await;
        let mut ids = Vec::new();
        for (kind, entries) in policy_objects() {
            let body = json!({ "name": kind, "description": "", "data": { "entries": entries } });
            let names = [
                ("type", "policy-object"),
                ("profile", objects.as_str()),
                ("kind", kind),
            ];
            ids.push((kind, self.create(Kind::Parcel, &names, body).await));
        }
        let object = |kind: &str| {
            let id = ids.iter().find(|(known, _)| *known == kind).unwrap();
            json!({ "refId": global(id.1.as_str()) })
        };
        let profile = self.profile("application-priority", "priorities").await;
        let names = [
            ("type", "application-priority"),
            ("profile", profile.as_str()),
            ("kind", "traffic-policy"),
        ];
        self.create(Kind::Parcel, &names, traffic_policy(object)).await;
        let body =
            json!({ "name": "g", "description": "", "solution": "sdwan", "profiles": [{ "id": profile }] });
        let group = self.create(Kind::Group, &[], body).await;
        let devices = format!("/dataservice/v1/policy-group/{group}/device");
        self.ok("POST", &format!("{devices}/associate"), Some(&to_edge()))
            .await;
        self.ok("PUT", &format!("{devices}/variables"), Some(&variables()))
            .await;
    }

    async fn profile(&mut self, of: &'static str, name: &str) -> String {
        let body = json!({ "name": name, "description": "" });
        self.create(Kind::Profile, &[("type", of)], body).await
    }
}

/// The body that names the edge.
pub(super) fn to_edge() -> Value {
    json!({ "devices": [{ "id": EDGE }] })
}

/// The values of the variables in the traffic policy.
pub(super) fn variables() -> Value {
    let values = json!([{ "name": "uplink", "value": ["mpls"] }]);
    json!({ "solution": "sdwan", "devices": [{ "device-id": EDGE, "variables": values }] })
}

fn global(value: impl Into<Value>) -> Value {
    json!({ "optionType": "global", "value": value.into() })
}

/// The entries of a policy object of every kind.
fn policy_objects() -> [(&'static str, Value); 9] {
    let tier =
        |colors: Value| json!({ "colorPreference": global(colors), "pathPreference": global("all-paths") });
    let best = json!({ "criteria": global("loss"), "lossVariance": global(1) });
    let hub = json!({ "tloc": global("10.0.0.1"), "color": global("mpls"), "encap": global("ipsec"), "preference": global("1") });
    let probe = json!({ "map": [{ "color": global("mpls"), "dscp": global(46) }], "forwardingClass": global("voice") });
    [
        (
            "data-prefix",
            json!([{ "ipv4Address": global("10.1.0.0"), "ipv4PrefixLength": global(16) }]),
        ),
        (
            "data-ipv6-prefix",
            json!([{ "ipv6Address": global("fd00::"), "ipv6PrefixLength": global(64) }]),
        ),
        (
            "sla-class",
            json!([{ "loss": global(1), "latency": global(9), "fallbackBestTunnel": best }]),
        ),
        (
            "preferred-color-group",
            json!([{ "primaryPreference": tier(json!(["mpls", "lte"])), "secondaryPreference": tier(json!(["red"])) }]),
        ),
        ("tloc", json!([hub])),
        ("app-probe", json!([probe])),
        ("color", json!([{ "color": global("mpls") }])),
        ("class", json!([{ "queue": global("3") }])),
        (
            "policer",
            json!([{ "burst": global(15000), "exceed": global("drop"), "rate": global(8) }]),
        ),
    ]
}

fn traffic_policy(object: impl Fn(&str) -> Value) -> Value {
    let entries = json!([
        { "sourceDataPrefixList": object("data-prefix") },
        { "destinationIp": global("10.0.0.0/8") },
        { "sourcePort": global(json!(["80", "443-500"])) },
        { "protocol": global(json!(["6"])) },
        { "dscp": global(json!([46])) },
    ]);
    let sla = json!([
        { "slaName": object("sla-class") },
        { "preferredColorGroup": object("preferred-color-group") },
        { "preferredColorGroupRestrict": global(true) },
        { "fallbackToBestPath": global(true) },
    ]);
    let uplink = json!({ "optionType": "variable", "value": "{{uplink}}" });
    let local =
        json!({ "color": uplink, "restrict": global(global(true)), "encap": global(json!(["ipsec"])) });
    let service = json!({ "type": global("IDS"), "vpn": global(10), "local": global(true) });
    let sequence = |id: u16, family: &str, entries: &Value, actions: Value| {
        json!({
            "sequenceId": global(id), "sequenceName": global("x"), "baseAction": global("accept"),
            "sequenceIpType": global(family), "match": { "entries": entries }, "actions": actions,
        })
    };
    let v6 = json!([{ "sourceDataIpv6PrefixList": object("data-ipv6-prefix") }]);
    let none = json!([]);
    let sequences = json!([
        sequence(
            1,
            "ipv4",
            &entries,
            json!([{ "slaClass": sla }, { "count": global("c") }, { "set": [{ "localTlocList": local }] }])
        ),
        sequence(
            2,
            "ipv6",
            &v6,
            json!([{ "backupSlaPreferredColor": global(json!(["mpls"])) }, { "log": global(true) }])
        ),
        sequence(
            3,
            "all",
            &none,
            json!([{ "set": [{ "tlocList": object("tloc") }] }])
        ),
        sequence(4, "all", &none, json!([{ "set": [{ "service": service }] }])),
    ]);
    json!({ "name": "tp", "description": "", "data": {
        "dataDefaultAction": global("accept"),
        "target": { "vpn": global(json!(["VPN10"])), "direction": global("service") },
        "sequences": sequences,
    } })
}
