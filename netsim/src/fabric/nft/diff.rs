//! What has to change for one table to become another.
//!
//! Pure. Where only the elements of one set differ, the change names them, so that it costs as much as it changes
//! and rules keep their counters; anything else asks for all rules and sets to be replaced. Elements of several sets
//! do, too: a packet that meets one set before the transaction and another after it would meet neither the old table
//! nor the new one.

use std::ops::RangeInclusive;

use super::{Elements, Set, Table};

/// The way from tables to others.
#[derive(Debug)]
pub struct Update<'a> {
    /// Old and new ones that differ, and how.
    pub(super) tables: Vec<(&'a Table, &'a Table, Change)>,
}

impl<'a> Update<'a> {
    /// Makes each table of `new` out of the one at the same position of `old`.
    #[must_use]
    pub fn between(old: &'a [Table], new: &'a [Table]) -> Self {
        let tables = old.iter().zip(new).map(|(old, new)| (old, new, diff(old, new)));
        Self {
            tables: tables.filter(|(.., change)| *change != Change::Nothing).collect(),
        }
    }

    /// Whether it replaces the rules of a table.
    #[must_use]
    pub fn replaces_rules(&self) -> bool {
        let mut changes = self.tables.iter().map(|(.., change)| change);
        changes.any(|change| *change == Change::Replace)
    }
}

/// The way from one table to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// They are equal.
    Nothing,
    /// Elements of one set.
    Elements(SetChange),
    /// All rules and sets.
    Replace,
}

/// Elements that leave and enter one set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetChange {
    /// The set.
    pub set: String,
    /// Whether the set was made for ranges; single keys are ranges of one in such a set.
    pub holds_ranges: bool,
    /// In the old set only.
    pub remove: Elements,
    /// In the new set only.
    pub add: Elements,
}

/// The change that makes `new` out of `old`.
#[must_use]
pub fn diff(old: &Table, new: &Table) -> Change {
    let same_frame = (old.family, old.name) == (new.family, new.name)
        && old.chains == new.chains
        && old.sets.len() == new.sets.len();
    if !same_frame {
        return Change::Replace;
    }
    let mut differing = old.sets.iter().zip(&new.sets).filter(|(old, new)| old != new);
    match (differing.next(), differing.next()) {
        (None, _) => Change::Nothing,
        (Some((old, new)), None) => set_change(old, new).map_or(Change::Replace, Change::Elements),
        (Some(_), Some(_)) => Change::Replace,
    }
}

/// `None` when the kernel's set cannot take the new elements: it is of another name, type or structure.
fn set_change(old: &Set, new: &Set) -> Option<SetChange> {
    let holds_ranges = old.elements.has_ranges();
    if old.name != new.name || holds_ranges != new.elements.has_ranges() {
        return None;
    }
    let (remove, add) = match (&old.elements, &new.elements) {
        (Elements::Addresses(old), Elements::Addresses(new)) => {
            let (remove, add) = differences(old, new);
            (Elements::Addresses(remove), Elements::Addresses(add))
        }
        (Elements::Addresses6(old), Elements::Addresses6(new)) => {
            let (remove, add) = differences(old, new);
            (Elements::Addresses6(remove), Elements::Addresses6(add))
        }
        (Elements::Ports(old), Elements::Ports(new)) => {
            let (remove, add) = differences(old, new);
            (Elements::Ports(remove), Elements::Ports(add))
        }
        _ => return None,
    };
    Some(SetChange {
        set: new.name.clone(),
        holds_ranges,
        remove,
        add,
    })
}

type Ranges<T> = Vec<RangeInclusive<T>>;

/// What is only in the first and only in the second of two sorted lists.
fn differences<T: Copy + Ord>(
    old: &[RangeInclusive<T>],
    new: &[RangeInclusive<T>],
) -> (Ranges<T>, Ranges<T>) {
    let key = |range: &RangeInclusive<T>| (*range.start(), *range.end());
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return (gone, come),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(old), Some(new)) => key(old).cmp(&key(new)),
        };
        if order.is_le() {
            let range = old.next();
            if order.is_lt() {
                gone.extend(range.cloned());
            }
        }
        if order.is_ge() {
            let range = new.next();
            if order.is_gt() {
                come.extend(range.cloned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::{Chain, Expression, Family, Field};
    use super::*;

    fn table(elements: Elements) -> Table {
        Table {
            family: Family::Ipv4,
            name: "sdwan",
            sets: vec![Set {
                name: "vpn10-from-service-1-dst".into(),
                elements,
            }],
            chains: vec![Chain {
                name: "vpn10-from-service".into(),
                prerouting: None,
                rules: vec![vec![
                    Expression::In(Field::DestinationAddress, "vpn10-from-service-1-dst".into()),
                    Expression::Count,
                ]],
            }],
        }
    }

    fn addresses(keys: &[u32]) -> Elements {
        Elements::Addresses(keys.iter().map(|key| *key..=*key).collect())
    }

    #[test]
    fn equal_tables_ask_for_nothing() {
        let table = table(addresses(&[1, 2]));
        assert_eq!(diff(&table, &table), Change::Nothing);
    }

    #[test]
    fn one_endpoint_more_is_one_element_more() {
        let change = SetChange {
            set: "vpn10-from-service-1-dst".into(),
            holds_ranges: false,
            remove: addresses(&[]),
            add: addresses(&[2]),
        };
        assert_eq!(
            diff(&table(addresses(&[1, 3])), &table(addresses(&[1, 2, 3]))),
            Change::Elements(change)
        );
    }

    #[test]
    fn a_range_that_grows_is_taken_out_and_put_in() {
        let ranges = |end| Elements::Addresses(vec![0..=end, 40..=41]);
        let change = SetChange {
            set: "vpn10-from-service-1-dst".into(),
            holds_ranges: true,
            remove: Elements::Addresses(vec![0..=7]),
            add: Elements::Addresses(vec![0..=15]),
        };
        assert_eq!(
            diff(&table(ranges(7)), &table(ranges(15))),
            Change::Elements(change)
        );
    }

    #[test]
    fn another_rule_or_kind_of_set_replaces_the_table() {
        let old = table(addresses(&[1]));
        let mut other_rule = old.clone();
        other_rule.chains[0].rules[0].push(Expression::SetMark {
            mask: u32::MAX,
            value: 1000,
        });
        let mut other_name = old.clone();
        other_name.sets[0].name = "vpn10-from-service-2-dst".into();
        let ranges = table(Elements::Addresses(vec![1..=2]));
        let ports = table(Elements::Ports(vec![1..=1]));
        for new in [other_rule, other_name, ranges, ports] {
            assert_eq!(diff(&old, &new), Change::Replace, "{new:?}");
        }
    }

    #[test]
    fn an_element_that_moves_from_one_set_to_another_replaces_the_table() {
        let two = |first: &[u32], second: &[u32]| {
            let mut table = table(addresses(first));
            table.sets.push(Set {
                name: "vpn10-from-service-2-dst".into(),
                elements: addresses(second),
            });
            table
        };
        assert_eq!(diff(&two(&[1, 2], &[3]), &two(&[1], &[2, 3])), Change::Replace);
    }

    proptest! {
        #[test]
        fn a_change_applied_to_the_old_set_gives_the_new_one(
            old in proptest::collection::btree_set(0_u32..64, 0..32),
            new in proptest::collection::btree_set(0_u32..64, 0..32),
        ) {
            let as_table = |keys: &BTreeSet<u32>| table(addresses(&keys.iter().copied().collect::<Vec<_>>()));
            let mut keys = old.clone();
            match diff(&as_table(&old), &as_table(&new)) {
                Change::Nothing => {}
                Change::Replace => prop_assert!(false, "only elements differ"),
                Change::Elements(change) => {
                    let (Elements::Addresses(remove), Elements::Addresses(add)) = (change.remove, change.add) else {
                        panic!("a set of addresses")
                    };
                    for range in remove {
                        prop_assert!(keys.remove(range.start()));
                    }
                    for range in add {
                        prop_assert!(keys.insert(*range.start()));
                    }
                }
            }
            prop_assert_eq!(keys, new);
        }
    }
}
