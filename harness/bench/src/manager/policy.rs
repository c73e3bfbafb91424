//! The large policy, and the small lists that other clients edit meanwhile.
//!
//! One data definition of 10,000 prefix entries, each sequence with a list of its own, a port and a color.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::client::Client;

/// Prefix entries of a policy.
const ENTRIES: u32 = 10_000;
/// As for 5,000 ports of Services with two endpoints each.
pub(super) const MANY_SEQUENCES: u32 = 5000;
/// As the bundled operator makes them, one for each class of traffic.
pub(super) const FEW_SEQUENCES: u32 = 100;
const LISTS: &str = "/template/policy/list";

/// The policy as it is at the Manager.
pub(super) struct Large {
    policy: String,
    /// The lists of its sequences.
    lists: Vec<String>,
}

impl Large {
    /// Where it is activated.
    pub(super) fn activate(&self) -> String {
        format!("/template/policy/vsmart/activate/{}?confirm=true", self.policy)
    }

    /// Where it is deactivated.
    pub(super) fn deactivate(&self) -> String {
        format!("/template/policy/vsmart/deactivate/{}?confirm=true", self.policy)
    }

    /// Moves an endpoint of one list, another one each turn.
    pub(super) async fn edit_a_list(&self, client: &Client, turn: usize) -> Result<()> {
        let number = turn * 997 % self.lists.len();
        let path = format!("{LISTS}/dataprefix/{}", self.lists[number]);
        let mut list = client.get(&path).await?;
        let moved = Ipv4Addr::from(0x0c00_0000 + u32::try_from(turn)?);
        list["entries"][0] = json!({ "ipPrefix": format!("{moved}/32") });
        client.put(&path, &list).await?;
        Ok(())
    }
}

/// Makes the policy of so many sequences; nothing is in force.
pub(super) async fn create(client: &Client, sequences: u32) -> Result<Large> {
    let sites = id(client, "site", &json!([{ "siteId": "1-100000" }]), "sites").await?;
    let vpns = id(client, "vpn", &json!([{ "vpn": "10" }]), "vpns").await?;
    let mut lists = Vec::new();
    let entries_of_list = ENTRIES / sequences;
    for number in 0..sequences {
        let first = number * entries_of_list;
        let entries = (first..first + entries_of_list).map(|endpoint| {
            let address = Ipv4Addr::from(0x0b00_0000 + 2 * endpoint);
            json!({ "ipPrefix": format!("{address}/32") })
        });
        let entries = Value::from_iter(entries);
        lists.push(id(client, "dataprefix", &entries, &format!("endpoints-{number}")).await?);
    }
    let sequences = (1..).zip(&lists).map(|(id, list)| sequence(id, list));
    let body = json!({
        "name": "large", "type": "data", "description": "", "defaultAction": { "type": "accept" },
        "sequences": Value::from_iter(sequences),
    });
    let answer = client.post("/template/policy/definition/data", &body).await?;
    let definition = answer["definitionId"]
        .as_str()
        .context("a definition has an id")?;
    let entry = json!({ "direction": "service", "siteLists": [sites], "vpnLists": [vpns] });
    let assembly = json!([{ "definitionId": definition, "type": "data", "entries": [entry] }]);
    let body = json!({
        "policyName": "large", "policyType": "feature", "policyDescription": "",
        "policyDefinition": { "assembly": assembly },
    });
    let answer = client.post("/template/policy/vsmart", &body).await?;
    let policy = answer["policyId"]
        .as_str()
        .context("a policy has an id")?
        .to_owned();
    Ok(Large { policy, lists })
}

fn sequence(id: u32, list: &str) -> Value {
    let color = if id.is_multiple_of(2) {
        "biz-internet"
    } else {
        "mpls"
    };
    let tlocs = json!({ "color": color, "encap": "ipsec", "restrict": "" });
    json!({
        "sequenceId": id, "sequenceName": "endpoints", "sequenceType": "data", "sequenceIpType": "ipv4",
        "baseAction": "accept",
        "match": { "entries": [
            { "field": "destinationDataPrefixList", "ref": list },
            { "field": "destinationPort", "value": (8000 + id % 100).to_string() },
            { "field": "protocol", "value": "6" },
        ]},
        "actions": [{ "type": "set", "parameter": [{ "field": "localTlocList", "value": tlocs }] }],
    })
}

/// A list that one client edits.
pub(super) struct OwnList {
    id: String,
    name: String,
}

impl OwnList {
    /// Where it is.
    pub(super) fn path(&self) -> String {
        format!("{LISTS}/dataprefix/{}", self.id)
    }
}

/// Makes a list that no policy uses.
pub(super) async fn own_list(client: &Client, number: usize) -> Result<OwnList> {
    let name = format!("own-{number}");
    let id = id(
        client,
        "dataprefix",
        &json!([{ "ipPrefix": "10.0.0.0/8" }]),
        &name,
    )
    .await?;
    Ok(OwnList { id, name })
}

/// Replaces the entries of a client's own list.
pub(super) async fn edit(client: &Client, list: &OwnList, turn: usize) -> Result<()> {
    let entries = json!([{ "ipPrefix": format!("10.0.{}.0/24", turn % 256) }]);
    let body = body("dataprefix", &entries, &list.name);
    client.put(&list.path(), &body).await?;
    Ok(())
}

async fn id(client: &Client, kind: &str, entries: &Value, name: &str) -> Result<String> {
    let answer = client
        .post(&format!("{LISTS}/{kind}"), &body(kind, entries, name))
        .await?;
    let id = answer["listId"].as_str().context("a list has an id")?;
    Ok(id.to_owned())
}

fn body(kind: &str, entries: &Value, name: &str) -> Value {
    let type_name = if kind == "dataprefix" { "dataPrefix" } else { kind };
    json!({ "name": name, "type": type_name, "description": "", "entries": entries })
}
