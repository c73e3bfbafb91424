//! Lists, definitions and a policy that are right.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::world::{Kind, World};
use crate::manager::fixture::stored;
use crate::manager::list;

impl World {
    async fn list(&mut self, kind: &'static str, type_name: &str, entries: Value) -> String {
        let body = json!({"name": kind, "description": "", "type": type_name, "entries": entries});
        self.create(Kind::List, &[("kind", kind)], body).await
    }

    /// One object of every kind, with all that it can say.
    pub(super) async fn fill_classic(&mut self) {
        let tier = |colors: &str| json!({"colorPreference": colors, "pathPreference": "all-paths"});
        let fallback = json!({"criteria": "loss", "lossVariance": "1"});
        let class = json!([{"loss": "1", "latency": "9", "fallbackBestTunnel": fallback}]);
        let group = json!([{"primaryPreference": tier("mpls lte"), "secondaryPreference": tier("red")}]);
        let hub = json!({"tloc": "10.255.0.1", "color": "mpls", "encap": "ipsec", "preference": "1"});
        let probe = json!([{"forwardingClass": "voice", "map": [{"color": "mpls", "dscp": 46}]}]);
        let sites = self.list("site", "site", json!([{"siteId": "100-200"}])).await;
        let vpns = self.list("vpn", "vpn", json!([{"vpn": "10"}])).await;
        let hosts = json!([{"ipPrefix": "10.1.0.0/16"}, {"ipPrefix": "10.2.0.5/32"}]);
        let hosts = self.list("dataprefix", "dataPrefix", hosts).await;
        let hosts6 = json!([{"ipv6Prefix": "fd00::/64"}]);
        let hosts6 = self.list("dataipv6prefix", "dataIpv6Prefix", hosts6).await;
        let class = self.list("sla", "sla", class).await;
        let group = self
            .list("preferredcolorgroup", "preferredColorGroup", group)
            .await;
        let hubs = self.list("tloc", "tloc", json!([hub])).await;
        self.list("appprobe", "appProbe", probe).await;
        let colors = self.list("color", "color", json!([{"color": "mpls"}])).await;
        self.list("app", "app", json!([{"app": "amazon"}, {"appFamily": "webmail"}]))
            .await;
        let policer = json!([{"burst": "15000", "rate": "8", "exceed": "remark"}]);
        let policer = self.list("policer", "policer", policer).await;
        let conditions = json!([
            {"field": "sourceDataPrefixList", "ref": hosts}, {"field": "destinationIp", "value": "10.0.0.0/8"},
            {"field": "sourcePort", "value": "80 443"}, {"field": "protocol", "value": "6"},
            {"field": "dscp", "value": "46"},
        ]);
        let v6 = json!([{"field": "sourceDataIpv6PrefixList", "ref": hosts6}]);
        let data = data_definition(&conditions, &v6, (&group, &hubs));
        let data = self.create(Kind::Definition, &[("kind", "data")], data).await;
        let app_route = app_route_definition(&conditions, (&class, &group));
        let app_route = self
            .create(Kind::Definition, &[("kind", "approute")], app_route)
            .await;
        let entry = json!({"siteLists": [sites], "vpnLists": [vpns]});
        let directed = json!({"direction": "service", "siteLists": [sites], "vpnLists": [vpns]});
        let assembly = json!([
            {"definitionId": app_route, "type": "appRoute", "entries": [entry]},
            {"definitionId": data, "type": "data", "entries": [directed]},
        ]);
        let body = json!({
            "policyName": "p", "policyDescription": "", "policyType": "feature",
            "policyDefinition": {"assembly": assembly, "regionRoleAssembly": []},
        });
        self.create(Kind::Policy, &[], body).await;
        let known = [
            ("color", colors),
            ("dataipv6prefix", hosts6),
            ("dataprefix", hosts),
            ("policer", policer),
            ("site", sites),
            ("tloc", hubs),
            ("vpn", vpns),
        ];
        self.fill_stored(BTreeMap::from(known)).await;
    }

    /// What edges do not act on; `ids` are those of the other lists that it names.
    async fn fill_stored(&mut self, mut ids: BTreeMap<&'static str, String>) {
        for (kind, entries) in stored::lists() {
            let type_name = list::kind(kind).unwrap().type_name;
            let id = self.list(kind, type_name, entries).await;
            ids.insert(kind, id);
        }
        for kind in stored::DEFINITIONS {
            let body = stored::definition(kind, &|kind| ids[kind].clone());
            let id = self.create(Kind::Definition, &[("kind", kind)], body).await;
            ids.insert(kind, id);
        }
        let entry = json!({"direction": "in", "siteLists": [ids["site"]]});
        let assembly = json!([
            {"definitionId": ids["control"], "type": "control", "entries": [entry]},
            {"definitionId": ids["mesh"], "type": "mesh"},
        ]);
        let body = json!({
            "policyName": "q", "policyType": "feature", "policyDefinition": {"assembly": assembly},
        });
        self.create(Kind::Policy, &[], body).await;
    }
}

fn data_definition(conditions: &Value, v6: &Value, (group, hubs): (&str, &str)) -> Value {
    let sequence = |id: u16, entries: &Value, family: &str, field: Value| {
        let actions = json!([{"type": "set", "parameter": [field]}, {"type": "count", "parameter": "c"}]);
        json!({
            "sequenceId": id, "sequenceName": "x", "sequenceType": "data", "sequenceIpType": family,
            "baseAction": "accept", "match": {"entries": entries}, "actions": actions,
        })
    };
    let local = json!({"color": "mpls lte", "encap": "ipsec", "restrict": ""});
    let service = json!({"type": "IDS", "vpn": "10", "local": ""});
    let grouped = json!({"field": "preferredColorGroup", "ref": group, "colorRestrict": true});
    let sequences = [
        sequence(
            1,
            conditions,
            "ipv4",
            json!({"field": "localTlocList", "value": local}),
        ),
        sequence(2, v6, "ipv6", grouped),
        sequence(3, &json!([]), "all", json!({"field": "tlocList", "ref": hubs})),
        sequence(
            4,
            &json!([]),
            "all",
            json!({"field": "service", "value": service}),
        ),
    ];
    json!({
        "name": "d", "description": "", "type": "data", "defaultAction": {"type": "accept"}, "sequences": sequences,
    })
}

fn app_route_definition(conditions: &Value, (class, group): (&str, &str)) -> Value {
    let sequence = |id: u16, actions: Value| {
        json!({
            "sequenceId": id, "sequenceType": "appRoute", "sequenceIpType": "ipv4",
            "match": {"entries": conditions}, "actions": actions,
        })
    };
    let of_class = json!({"type": "slaClass", "parameter": [
        {"field": "name", "ref": class}, {"field": "preferredColorGroup", "ref": group}, {"field": "strict"},
    ]});
    let sequences = [
        sequence(1, json!([of_class, {"type": "count", "parameter": "c"}])),
        sequence(
            2,
            json!([{"type": "backupSlaPreferredColor", "parameter": "mpls"}]),
        ),
    ];
    json!({
        "name": "a", "description": "", "type": "appRoute",
        "defaultAction": {"type": "slaClass", "ref": class}, "sequences": sequences,
    })
}
