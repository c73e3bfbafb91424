//! Classes that the Manager refuses, and the search for them.
//!
//! Owns which classes are held back: left out of what is asked of the Manager, so that they do not hold up the others,
//! while what is in force for their endpoints stays. Where a refusal can be about several classes, all of them are held
//! back, and then tried again by halves, one group in a round.
//!
//! Invariants: what is in force is never suspected; between two resyncs there are at most [`TRIALS_MAX`] trials; where a
//! trial takes a push, they become rare.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::compile::Compiler;
use super::naming::ListName;
use super::objects::{Definition, DefinitionKey, List, ListKind, ObjectKey, Objects, Sequence};
use super::rule::{Class, SteeringPolicy, SteeringRule};
use super::view::ServiceRef;

/// Enough to find one class among thousands: two for each halving.
const TRIALS_MAX: u32 = 32;
/// After how many resyncs, at most, a class is tried again whose refusal takes a push.
const PAUSE_MAX: u32 = 64;

/// The classes that are held back.
#[derive(Debug)]
pub struct HoldBack {
    held: BTreeMap<Class, Held>,
    /// Groups that are to be tried again.
    queue: VecDeque<Vec<Class>>,
    /// Held classes that are tried in this round.
    trying: BTreeSet<Class>,
    trials_left: u32,
    resyncs: u32,
}

/// A class that is held back.
#[derive(Debug)]
pub struct Held {
    /// Its rule as it is asked for.
    pub rule: Arc<SteeringRule>,
    /// What the Manager says of it; `None` while others may be the reason.
    pub words: Option<String>,
    /// What was refused, when nobody else was the reason.
    by: Option<ObjectKey>,
    /// How many resyncs there are between two trials of it, and the one at which it is tried next.
    pause: u32,
    due: u32,
}

/// Classes of which at least one is refused, and what the Manager says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// The rules of the classes.
    pub rules: Vec<Arc<SteeringRule>>,
    /// What was refused.
    pub object: ObjectKey,
    /// What the Manager says.
    pub words: String,
}

/// What a policy asks for and what was there before, to find who may be the reason for a refusal.
pub struct Search<'a> {
    in_force: &'a Objects,
    /// The sequences in force, by definition and list.
    sequences: HashMap<(DefinitionKey, &'a ListName), Vec<&'a Sequence>>,
    /// The rules that ask for something else than what is in force, with the objects of each.
    new: Vec<(Arc<SteeringRule>, Objects)>,
}

impl<'a> Search<'a> {
    /// Looks among the rules of a policy; `objects_of` are the objects that one rule asks for.
    pub fn new(
        asked: &SteeringPolicy,
        in_force: &'a Objects,
        objects_of: impl Fn(&Arc<SteeringRule>) -> Objects,
    ) -> Self {
        let mut sequences: HashMap<_, Vec<_>> = HashMap::new();
        for (key, definition) in &in_force.definitions {
            for sequence in definition.sequences() {
                sequences
                    .entry((*key, &sequence.hosts))
                    .or_default()
                    .push(sequence);
            }
        }
        let mut search = Self {
            in_force,
            sequences,
            new: Vec::new(),
        };
        let rules = asked.rules.iter();
        let rules: Vec<_> = rules.map(|rule| (rule.clone(), objects_of(rule))).collect();
        let is_new = |(_, objects): &(_, Objects)| !search.is_in_force(objects);
        let new = rules.into_iter().filter(is_new).collect();
        search.new = new;
        search
    }

    /// For each object that was refused, the classes that ask for it and are not in force as they are asked for.
    #[must_use]
    pub fn suspicions(&self, refused: &[(ObjectKey, String)]) -> Vec<Suspicion> {
        let suspicions = refused.iter().map(|(object, words)| {
            let concerned = self.new.iter().filter(|(_, objects)| match object {
                ObjectKey::List(name) => objects.lists.get(name).is_some_and(is_of_classes),
                ObjectKey::Definition(key) => !self.has_sequences(objects, *key),
                ObjectKey::Policy => true,
            });
            Suspicion {
                rules: concerned.map(|(rule, _)| rule.clone()).collect(),
                object: object.clone(),
                words: words.clone(),
            }
        });
        suspicions
            .filter(|suspicion| !suspicion.rules.is_empty())
            .collect()
    }

    fn is_in_force(&self, objects: &Objects) -> bool {
        let mut lists = objects.lists.iter();
        lists.all(|(name, list)| {
            let present = self.in_force.lists.get(name);
            match list.hosts().zip(present.and_then(List::hosts)) {
                Some((wanted, present)) => wanted.is_subset(present),
                None => !is_of_classes(list) || present == Some(list),
            }
        }) && objects
            .definitions
            .keys()
            .all(|key| self.has_sequences(objects, *key))
    }

    /// Whether all that these objects say in a definition is in force.
    fn has_sequences(&self, objects: &Objects, key: DefinitionKey) -> bool {
        let wanted = objects.definitions.get(&key).map(Definition::sequences);
        wanted.unwrap_or_default().iter().all(|sequence| {
            let present = self.sequences.get(&(key, &sequence.hosts));
            present.is_some_and(|present| present.contains(&sequence))
        })
    }
}

impl HoldBack {
    /// Begins a round: takes note of what is asked for now, and chooses what is tried again.
    pub fn begin(&mut self, policy: &SteeringPolicy) {
        self.held.retain(|class, held| {
            let Some(rule) = rule_of(policy, class) else {
                return false;
            };
            if held.may_do_as(rule) {
                self.trying.insert(class.clone());
            }
            held.rule = rule.clone();
            true
        });
        self.trying.retain(|class| self.held.contains_key(class));
        while self.trials_left > 0
            && let Some(mut group) = self.queue.pop_front()
        {
            group.retain(|class| self.held.contains_key(class));
            if !group.is_empty() {
                self.trying.extend(group);
                self.trials_left -= 1;
                break;
            }
        }
    }

    /// Of a policy, what is asked of the Manager in this round.
    #[must_use]
    pub fn asked<'a>(&self, policy: &'a SteeringPolicy) -> Cow<'a, SteeringPolicy> {
        if self.kept().next().is_none() {
            return Cow::Borrowed(policy);
        }
        let is_asked = |rule: &&Arc<SteeringRule>| !self.is_held(&rule.class);
        Cow::Owned(SteeringPolicy {
            rules: policy.rules.iter().filter(is_asked).cloned().collect(),
        })
    }

    /// The rules of the classes that are not asked for in this round.
    pub fn kept(&self) -> impl Iterator<Item = &SteeringRule> {
        let held = self.held.iter();
        let kept = held.filter(|(class, _)| !self.trying.contains(*class));
        kept.map(|(_, held)| &*held.rule)
    }

    fn is_held(&self, class: &Class) -> bool {
        self.held.contains_key(class) && !self.trying.contains(class)
    }

    /// Holds back those who may be the reason for a refusal.
    pub fn hold(&mut self, suspicions: Vec<Suspicion>) {
        for Suspicion { rules, object, words } in suspicions {
            let classes: Vec<_> = rules.iter().map(|rule| rule.class.clone()).collect();
            for rule in rules {
                self.trying.remove(&rule.class);
                self.held.entry(rule.class.clone()).or_insert(Held::new(rule));
            }
            match classes.as_slice() {
                [class] => {
                    let held = self.held.get_mut(class).expect("it was inserted");
                    held.refuse(object, words, self.resyncs);
                }
                classes => {
                    let (one, other) = classes.split_at(classes.len() / 2);
                    self.queue.extend([one.to_vec(), other.to_vec()]);
                }
            }
        }
    }

    /// Takes note that the Manager has accepted all that was asked.
    pub fn accept(&mut self) {
        for class in std::mem::take(&mut self.trying) {
            self.held.remove(&class);
        }
    }

    /// Has what is held back tried again, at a resync: first what was not tried alone yet, then the rest together.
    pub fn retry(&mut self) {
        self.resyncs += 1;
        let waiting: BTreeSet<_> = self.queue.iter().flatten().collect();
        let rest = self.held.iter();
        let rest = rest.filter(|(class, held)| held.due <= self.resyncs && !waiting.contains(class));
        let rest: Vec<_> = rest.map(|(class, _)| class.clone()).collect();
        self.queue.extend((!rest.is_empty()).then_some(rest));
        self.trials_left = TRIALS_MAX;
    }

    /// Whether something held back is tried in this round.
    #[must_use]
    pub fn is_trying(&self) -> bool {
        !self.trying.is_empty()
    }

    /// Whether there is more to try at once.
    #[must_use]
    pub fn has_more_to_try(&self) -> bool {
        self.trials_left > 0 && !self.queue.is_empty()
    }

    /// All that is held back.
    pub fn held(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }
}

impl Held {
    fn new(rule: Arc<SteeringRule>) -> Self {
        Self {
            rule,
            words: None,
            by: None,
            pause: 0,
            due: 0,
        }
    }

    /// Takes note that nobody else was the reason for a refusal.
    fn refuse(&mut self, object: ObjectKey, words: String, resync: u32) {
        // The fabric feels a push that fails, and the one that takes it back.
        self.pause = match object {
            ObjectKey::Policy => (self.pause * 2).clamp(1, PAUSE_MAX),
            ObjectKey::List(_) | ObjectKey::Definition(_) => 0,
        };
        self.due = resync + self.pause;
        (self.words, self.by) = (Some(words), Some(object));
    }

    /// Whether a rule for the class differs in what may have been the reason.
    fn may_do_as(&self, rule: &SteeringRule) -> bool {
        let way = |rule: &SteeringRule| (rule.choice, rule.encapsulations);
        // Other hosts are another list.
        let is_by_list = matches!(self.by, Some(ObjectKey::List(_)));
        way(&self.rule) != way(rule) || (is_by_list && self.rule.buckets != rule.buckets)
    }
}

impl Default for HoldBack {
    fn default() -> Self {
        Self {
            held: BTreeMap::new(),
            queue: VecDeque::new(),
            trying: BTreeSet::new(),
            trials_left: TRIALS_MAX,
            resyncs: 0,
        }
    }
}

/// Whether a list is there for what some class asks; all have the sites in common.
fn is_of_classes(list: &List) -> bool {
    list.kind() != ListKind::Site
}

fn rule_of<'a>(policy: &'a SteeringPolicy, class: &Class) -> Option<&'a Arc<SteeringRule>> {
    let at = policy.rules.binary_search_by(|rule| rule.class.cmp(class));
    at.ok().map(|at| &policy.rules[at])
}

impl Compiler {
    /// The Services that have endpoints in these classes, each with those of them that it is in.
    #[must_use]
    pub fn services_in<'a>(
        &self,
        classes: &BTreeSet<&'a Class>,
    ) -> BTreeMap<ServiceRef, BTreeSet<&'a Class>> {
        if classes.is_empty() {
            return BTreeMap::new();
        }
        let preferences: BTreeSet<_> = classes.iter().map(|class| &class.preference).collect();
        let mut services: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        let accepted = self.members.iter().filter(|member| member.accepted);
        for member in accepted.filter(|member| member.asks_for_one_of(&preferences)) {
            for (to, preference) in member
                .slices
                .values()
                .flat_map(|slice| &slice.claims.destinations)
            {
                if let Some(class) = classes.get(&to.class(preference)) {
                    services.entry(member.name.clone()).or_default().insert(*class);
                }
            }
        }
        services
    }
}
