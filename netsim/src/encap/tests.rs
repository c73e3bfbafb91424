//! The words, the choice and the arithmetic.

use rstest::rstest;

use super::keys::RunSecret;
use super::{Abilities, Ability, Choice, EncapError, Encapsulation, Means, Requested, Underlay};

fn abilities(gre: bool, wireguard: bool, esp: bool) -> Abilities {
    let ability = |available: bool| {
        if available {
            Ability::Available
        } else {
            Ability::Missing("not built in".to_owned())
        }
    };
    Abilities {
        gre: ability(gre),
        wireguard: ability(wireguard),
        esp: ability(esp),
    }
}

#[rstest]
#[case("vxlan", (false, false, false), Encapsulation::Vxlan, Means::Kernel)]
#[case("gre", (true, false, false), Encapsulation::Gre, Means::Kernel)]
#[case("ipsec", (false, false, true), Encapsulation::Ipsec, Means::Kernel)]
#[case("wireguard", (false, true, true), Encapsulation::Wireguard, Means::Kernel)]
#[case("wireguard", (false, false, true), Encapsulation::Wireguard, Means::Userspace)]
#[case("auto", (true, true, true), Encapsulation::Ipsec, Means::Kernel)]
#[case("auto", (true, true, false), Encapsulation::Wireguard, Means::Kernel)]
#[case("auto", (true, false, false), Encapsulation::Wireguard, Means::Userspace)]
fn a_word_is_resolved_by_what_the_host_can_do(
    #[case] word: &str,
    #[case] (gre, wireguard, esp): (bool, bool, bool),
    #[case] encapsulation: Encapsulation,
    #[case] means: Means,
) {
    let requested: Requested = word.parse().unwrap();
    let choice = requested.resolve(&abilities(gre, wireguard, esp)).unwrap();
    assert_eq!(choice, Choice { encapsulation, means });
    assert!(word != "auto" || encapsulation.is_encrypted());
}

#[rstest]
#[case("gre", "use encapsulation `gre`: not built in")]
#[case("ipsec", "use encapsulation `ipsec`: not built in")]
fn what_the_host_lacks_is_refused_with_its_reason(#[case] word: &str, #[case] message: &str) {
    let requested: Requested = word.parse().unwrap();
    let error = requested.resolve(&abilities(false, false, false)).unwrap_err();
    assert!(matches!(error, EncapError::Unsupported { .. }));
    assert_eq!(error.to_string(), message);
}

#[test]
fn an_unknown_word_names_the_known_ones() {
    let error = "IPsec".parse::<Requested>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "read encapsulation `IPsec`: it is one of vxlan, gre, wireguard, ipsec, auto"
    );
    assert_eq!(Requested::default(), Requested::Only(Encapsulation::Vxlan));
}

#[rstest]
#[case(Encapsulation::Vxlan, 50, 70)]
#[case(Encapsulation::Gre, 42, 62)]
#[case(Encapsulation::Wireguard, 110, 130)]
#[case(Encapsulation::Ipsec, 84, 104)]
fn overheads_are_those_of_the_headers(
    #[case] encapsulation: Encapsulation,
    #[case] v4: u32,
    #[case] v6: u32,
) {
    assert_eq!(encapsulation.overhead(Underlay::V4), v4);
    assert_eq!(encapsulation.overhead(Underlay::V6), v6);
    assert_eq!(encapsulation.tunnel_mtu(1500, Underlay::V4), 1500 - v4);
    assert_eq!(encapsulation.tunnel_mtu(0, Underlay::V6), 0);
}

#[test]
fn esp_leaves_the_octets_of_its_padding_unused() {
    let mtus: Vec<u32> = (1500..1505)
        .map(|path| Encapsulation::Ipsec.tunnel_mtu(path, Underlay::V4))
        .collect();
    assert_eq!(mtus, [1416, 1416, 1416, 1416, 1420]);
}

#[test]
fn keys_are_of_their_run_device_and_direction_and_never_show() {
    let (run, other) = (RunSecret::of_seed(1), RunSecret::of_seed(2));
    assert_eq!(
        run.wireguard("a").public(),
        RunSecret::of_seed(1).wireguard("a").public()
    );
    assert_ne!(run.wireguard("a").public(), run.wireguard("b").public());
    assert_ne!(run.wireguard("a").public(), other.wireguard("a").public());
    assert!(run.esp("a", "b") == run.esp("a", "b"));
    assert!(run.esp("a", "b") != run.esp("b", "a"));
    assert!(run.esp("a", "bc") != run.esp("ab", "c"));
    assert!(run.esp("a", "b").spi > 255);
    assert_eq!(
        format!("{run:?} {:?}", run.wireguard("a")),
        "RunSecret(..) PrivateKey(..)"
    );
    let shown = format!("{:?}", run.esp("a", "b"));
    assert!(shown.starts_with("EspKey(spi 0x") && shown.len() < 32, "{shown}");
}
