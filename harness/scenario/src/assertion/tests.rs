//! Tests of the grammar: examples, refusals with their places, and the round trip.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn point(kind: PointKind, glob: &str) -> PointPattern {
    PointPattern {
        kind: PatternKind::Of(kind),
        glob: glob.to_owned(),
        service_vpn: None,
    }
}

#[test]
fn the_demo_assertion_has_the_tree_that_it_reads_like() {
    let text = "all biz.both via tunnel/bizinternet only when within 500ms of annotate until remove";
    let expected = Formula {
        quantifier: Quantifier::All,
        flow: FlowSelector::Flow("biz".to_owned(), DirectionSelector::Both),
        clauses: vec![Clause::Via {
            points: PointSet(vec![point(PointKind::Tunnel, "bizinternet")]),
            only: true,
        }],
        unless: None,
        window: Window::Within {
            limit: Duration::from_millis(500),
            event: "annotate".to_owned(),
            until: Some("remove".to_owned()),
        },
    };
    assert_eq!(Formula::parse(text), Ok(expected));
}

#[rstest]
#[case("all biz delivered", "all biz delivered when always")]
#[case(
    "no any at underlay/* unless via tunnel/*",
    "no any at underlay/* unless via tunnel/* when always"
)]
#[case(
    "at least 95% be.reply via node/near-? delivered",
    "at least 95% be.reply via node/near-? delivered when always"
)]
#[case(
    "at most 12 !be avoiding tunnel/a | underlay/b",
    "at most 12 !be avoiding tunnel/a|underlay/b when always"
)]
#[case(
    "some be at node/a when from e + 1.5s",
    "some be at node/a when from e+1500ms"
)]
#[case(
    "all be delivered when from e-1 until f-2 -20ms",
    "all be delivered when from e-1 until f-2 - 20ms"
)]
#[case(
    "all be delivered when from e+0s until f - 0s",
    "all be delivered when from e until f"
)]
#[case("  all\tbe   delivered ", "all be delivered when always")]
#[case(
    "all of via tunnel/a when from when until until",
    "all of via tunnel/a when from when until until"
)]
#[case(
    "all biz along node/near-1->..->tunnel/biz*@10? -> if/wan?? -> node/*",
    "all biz along node/near-1 -> .. -> tunnel/biz*@10? -> if/wan?? -> node/* when always"
)]
#[case(
    "all !biz same  path across annotate when during steady-state",
    "all !biz same path across annotate when during steady-state"
)]
#[case("no biz dropped", "no biz dropped when always")]
#[case(
    "some biz dropped by underlay/5g | node/near-1 when from e",
    "some biz dropped by underlay/5g|node/near-1 when from e"
)]
#[case(
    "no any at if/wan* unless encapsulated",
    "no any at if/wan* unless encapsulated when always"
)]
#[case(
    "all biz encapsulated as wireguard dscp 046",
    "all biz encapsulated as wireguard dscp 46 when always"
)]
fn texts_print_in_canonical_spelling(#[case] text: &str, #[case] canonical: &str) {
    assert_eq!(
        Formula::parse(text).expect("follows the grammar").to_string(),
        canonical
    );
}

#[rstest]
#[case(
    "",
    0,
    0,
    "expected `all`, `no`, `some`, `at least` or `at most`, found the end of the assertion",
    None
)]
#[case(
    "al biz delivered",
    0,
    2,
    "expected `all`, `no`, `some`, `at least` or `at most`, found `al`",
    Some("did you mean `all`?")
)]
#[case(
    "at leest 3 biz delivered",
    3,
    5,
    "expected `least` or `most`, found `leest`",
    Some("did you mean `least`?")
)]
#[case(
    "at least 101% biz delivered",
    9,
    4,
    "expected a number or a percentage such as `95%`, found `101%`",
    Some("a percentage is between 0% and 100%")
)]
#[case(
    "at most -1 biz delivered",
    8,
    1,
    "expected a number or a percentage such as `95%`, found `-`",
    None
)]
#[case(
    "all biz.boht delivered",
    8,
    4,
    "expected `reply` or `both`, found `boht`",
    Some("did you mean `both`?")
)]
#[case(
    "some !biz.reply delivered",
    9,
    1,
    "expected `via`, `avoiding`, `at`, `along`, `delivered`, `dropped`, `encapsulated`, `dscp` or `same path`, found `.`",
    None
)]
#[case(
    "all biz",
    7,
    0,
    "expected `via`, `avoiding`, `at`, `along`, `delivered`, `dropped`, `encapsulated`, `dscp` or `same path`, found the end of the assertion",
    None
)]
#[case(
    "all Biz delivered",
    4,
    3,
    "expected the name of a flow, `!` and a name, or `any`, found `Biz`",
    None
)]
#[case(
    "all biz thru tunnel/a",
    8,
    4,
    "expected `via`, `avoiding`, `at`, `along`, `delivered`, `dropped`, `encapsulated`, `dscp` or `same path`, found `thru`",
    None
)]
#[case(
    "all biz via tunel/a",
    12,
    5,
    "expected a point such as `tunnel/NAME`, `underlay/NAME`, `node/NAME`, `inspection/NAME` or `if/NAME`, found `tunel`",
    Some("did you mean `tunnel`?")
)]
#[case(
    "all biz via tunnel bizinternet",
    19,
    11,
    "expected `/` and a name after `tunnel`, found `bizinternet`",
    None
)]
#[case(
    "all biz via tunnel/Biz",
    19,
    3,
    "expected a name, in which `*` and `?` are wildcards, found `Biz`",
    None
)]
#[case(
    "all biz delivered only",
    18,
    4,
    "expected `via`, `avoiding`, `at`, `along`, `delivered`, `dropped`, `encapsulated`, `dscp`, `same path`, `unless`, `when` or the end, found `only`",
    None
)]
#[case(
    "all biz delivered wehn always",
    18,
    4,
    "expected `via`, `avoiding`, `at`, `along`, `delivered`, `dropped`, `encapsulated`, `dscp`, `same path`, `unless`, `when` or the end, found `wehn`",
    Some("did you mean `when`?")
)]
#[case(
    "all biz delivered when within 500 of e",
    30,
    3,
    "expected a duration such as `500ms`, `1.5s` or `2m`, found `500`",
    Some("a duration is a number and one of the units us, ms, s, m")
)]
#[case(
    "all biz delivered when within 1s after e",
    33,
    5,
    "expected `of`, found `after`",
    None
)]
#[case(
    "all biz delivered when within 1s of e till f",
    38,
    4,
    "expected `until` or the end, found `till`",
    None
)]
#[case(
    "all biz delivered when within 1s of e until f - 1s",
    46,
    1,
    "expected the end, found `-`",
    None
)]
#[case(
    "all biz delivered when from e until f-1s extra",
    41,
    5,
    "expected `-` and a duration, or the end, found `extra`",
    None
)]
#[case(
    "all biz delivered when från e",
    23,
    5,
    "expected `always`, `within`, `from` or `during`, found `från`",
    None
)]
#[case("all biz same way across e", 13, 3, "expected `path`, found `way`", None)]
#[case("all biz same path as e", 18, 2, "expected `across`, found `as`", None)]
#[case(
    "all biz delivered unless same path across e",
    25,
    4,
    "expected a clause about one probe after `unless`, found `same`",
    None
)]
#[case(
    "all biz delivered when during",
    29,
    0,
    "expected the name of a phase, found the end of the assertion",
    None
)]
#[case(
    "all biz dscp 64",
    13,
    2,
    "expected a DSCP, a number from 0 to 63, found `64`",
    None
)]
#[case(
    "all biz encapsulated as vxlam",
    24,
    5,
    "expected `vxlan`, `gre`, `esp` or `wireguard`, found `vxlam`",
    Some("did you mean `vxlan`?")
)]
#[case(
    "all biz along node/a -> ",
    23,
    0,
    "expected a point such as `tunnel/NAME`, `underlay/NAME`, `node/NAME`, `inspection/NAME` or `if/NAME`, found the end of the assertion",
    None
)]
#[case(
    "all biz along node/a - node/b",
    21,
    1,
    "expected `via`, `avoiding`, `at`, `along`, `delivered`, `dropped`, `encapsulated`, `dscp`, `same path`, `unless`, `when` or the end, found `-`",
    None
)]
#[case(
    "all biz along node/?",
    19,
    1,
    "expected a name, in which `*` and `?` are wildcards, found `?`",
    None
)]
fn refusals_point_at_the_word(
    #[case] text: &str,
    #[case] offset: usize,
    #[case] length: usize,
    #[case] message: &str,
    #[case] hint: Option<&str>,
) {
    let expected = ParseError {
        offset,
        length,
        message: message.to_owned(),
        hint: hint.map(ToOwned::to_owned),
    };
    assert_eq!(Formula::parse(text), Err(expected));
}

#[test]
fn mentions_name_what_the_scenario_must_declare() {
    let text = "all biz via tunnel/a|node/b* when from e+1s until f";
    let (_, mentions) = parse::parse_with_mentions(text).expect("follows the grammar");
    let found: Vec<&str> = mentions
        .iter()
        .map(|m| &text[m.offset..m.offset + m.length])
        .collect();
    assert_eq!(found, ["biz", "tunnel/a", "node/b*", "e", "f"]);
}

fn identifier() -> impl Strategy<Value = String> {
    "[a-z]([a-z0-9-]{0,8}[a-z0-9])?".prop_map(String::from)
}

fn duration() -> impl Strategy<Value = Duration> {
    (0..=86_400_000_000_000_u64).prop_map(Duration::from_nanos)
}

fn quantifier() -> impl Strategy<Value = Quantifier> {
    let amount = prop_oneof![
        any::<u64>().prop_map(Amount::Count),
        (0.0..=100.0).prop_map(Amount::Percent),
        Just(Amount::Percent(100.0)),
    ];
    prop_oneof![
        Just(Quantifier::All),
        Just(Quantifier::No),
        Just(Quantifier::Some),
        amount.clone().prop_map(Quantifier::AtLeast),
        amount.prop_map(Quantifier::AtMost),
    ]
}

fn flow() -> impl Strategy<Value = FlowSelector> {
    let name = || identifier().prop_filter("`any` is a keyword", |name| name != "any");
    let direction = prop_oneof![
        Just(DirectionSelector::Request),
        Just(DirectionSelector::Reply),
        Just(DirectionSelector::Both)
    ];
    prop_oneof![
        Just(FlowSelector::Any),
        identifier().prop_map(FlowSelector::Except),
        (name(), direction).prop_map(|(name, direction)| FlowSelector::Flow(name, direction)),
    ]
}

fn points() -> impl Strategy<Value = PointSet> {
    prop::collection::vec(pattern("[a-z0-9?*]([a-z0-9*?-]{0,8}[a-z0-9*?])?"), 1..4).prop_map(PointSet)
}

fn pattern(glob: &'static str) -> impl Strategy<Value = PointPattern> {
    let kind = prop::sample::select(PatternKind::NAMES.map(|(_, kind)| kind).to_vec());
    (kind, glob, prop::option::of(any::<u16>())).prop_map(|(kind, glob, vpn)| PointPattern {
        kind,
        glob,
        service_vpn: vpn.filter(|_| kind == PatternKind::Of(PointKind::Tunnel)),
    })
}

fn path() -> impl Strategy<Value = PathPattern> {
    // No question mark at the end: there it is not the glob's.
    let point =
        || pattern("[a-z0-9*?]([a-z0-9*?-]{0,8}[a-z0-9*])?").prop_filter("no lone `?`", |p| p.glob != "?");
    let step = prop_oneof![
        Just(PathStep::Any),
        point().prop_map(PathStep::At),
        point().prop_map(PathStep::Perhaps),
    ];
    prop::collection::vec(step, 1..=PathPattern::STEPS_MAX).prop_map(PathPattern)
}

fn clause() -> impl Strategy<Value = Clause> {
    prop_oneof![
        (points(), any::<bool>()).prop_map(|(points, only)| Clause::Via { points, only }),
        points().prop_map(Clause::Avoiding),
        points().prop_map(Clause::At),
        path().prop_map(Clause::Along),
        Just(Clause::Delivered),
        prop::option::of(points()).prop_map(Clause::Dropped),
        prop::option::of(prop::sample::select(
            Encapsulation::NAMES
                .map(|(_, encapsulation)| encapsulation)
                .to_vec()
        ))
        .prop_map(Clause::Encapsulated),
        (0..=crate::quantity::DSCP_MAX).prop_map(Clause::Dscp),
    ]
}

fn claim() -> impl Strategy<Value = Clause> {
    prop_oneof![4 => clause(), 1 => identifier().prop_map(Clause::SamePath)]
}

fn window() -> impl Strategy<Value = Window> {
    let until = || prop::option::of((identifier(), duration()));
    prop_oneof![
        Just(Window::Always),
        identifier().prop_map(Window::During),
        (duration(), identifier(), prop::option::of(identifier()))
            .prop_map(|(limit, event, until)| Window::Within { limit, event, until }),
        (identifier(), duration(), until()).prop_map(|(event, delay, until)| {
            let margin = until.as_ref().map_or(Duration::ZERO, |(_, margin)| *margin);
            Window::From {
                event,
                delay,
                until: until.map(|(event, _)| event),
                margin,
            }
        }),
    ]
}

proptest! {
    #[test]
    fn a_printed_formula_reads_back(
        quantifier in quantifier(),
        flow in flow(),
        clauses in prop::collection::vec(claim(), 1..4),
        unless in prop::option::of(clause()),
        window in window(),
    ) {
        let formula = Formula { quantifier, flow, clauses, unless, window };
        let printed = formula.to_string();
        prop_assert_eq!(Formula::parse(&printed), Ok(formula), "{}", printed);
    }

    #[test]
    fn a_refusal_points_into_the_text(text in "[a-z0-9 ./|!+%@é>?-]{0,40}") {
        if let Err(error) = Formula::parse(&text) {
            prop_assert!(text.get(error.offset..error.offset + error.length).is_some(), "{:?}", error);
        }
    }
}
