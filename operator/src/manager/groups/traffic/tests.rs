use std::str::FromStr;

use rstest::rstest;

use super::*;
use crate::core::{Color, Direction, Family, Owner, Protocol};

fn list(name: &str) -> ListName {
    Owner::default().own_list(&format!("ppo-{name}")).unwrap()
}

fn ids(pair: &Pair) -> ListIds {
    let sequences = [&pair.data, &pair.app_route].into_iter().flatten();
    let hosts = sequences
        .flat_map(Definition::sequences)
        .map(|sequence| sequence.hosts.clone());
    let names = hosts.chain([list("sla")]);
    names
        .map(|name| (name.clone(), format!("id of {name}")))
        .collect()
}

fn sequence(hosts: &str, action: SequenceAction) -> Sequence {
    Sequence {
        direction: Direction::Requests,
        family: Family::V4,
        hosts: list(hosts),
        protocol: Protocol::Sctp,
        port: 8080,
        action,
    }
}

fn definition(hosts: &str, action: &SequenceAction) -> Option<Definition> {
    let sequences = hosts
        .split_whitespace()
        .map(|hosts| sequence(hosts, action.clone()));
    Some(Definition::Sequences(sequences.collect()))
}

fn pair(data: &str, app_route: &str) -> Pair {
    let color = Color::from_str("mpls").unwrap();
    let set = SequenceAction::Set {
        inspect: None,
        tunnels: Some(Tunnels::Color {
            color,
            encapsulations: Encapsulations::IpsecAndGre,
            mode: Mode::Preferred,
        }),
    };
    let keep = SequenceAction::KeepSla {
        class: list("sla"),
        preferred: Some(color),
        mode: Mode::Strict,
    };
    Pair {
        data: definition(data, &set),
        app_route: definition(app_route, &keep),
    }
}

#[rstest]
#[case::nothing("", "", "")]
#[case::data_only("a b", "", "a b")]
#[case::app_route_only("", "a b", "a b")]
#[case::apart("a b", "c d", "a b c d")]
#[case::shared("a s b", "c s d", "a c s b d")]
#[case::all_shared("a b", "a b", "a b")]
#[case::shared_first("s a", "s b", "s a b")]
fn both_definitions_are_one_list_and_known_again(
    #[case] data: &str,
    #[case] app_route: &str,
    #[case] merged: &str,
) {
    let pair = pair(data, app_route);
    let ids = ids(&pair);
    let body = body("tp", "mark", 10, &pair, &ids);
    let sequences = body["data"]["sequences"].as_array().unwrap();
    let hosts = sequences.iter().map(|sequence| {
        let id = &sequence["match"]["entries"][0]["destinationDataPrefixList"]["refId"]["value"];
        id.as_str().unwrap().trim_start_matches("id of ppo-").to_owned()
    });
    assert_eq!(hosts.collect::<Vec<_>>().join(" "), merged);
    assert_eq!(read(&body["data"], 10, &ids), pair.normalized());
    assert_eq!(read(&body["data"], 20, &ids).data, Some(Definition::Altered));
}
