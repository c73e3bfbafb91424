//! What a change of faults must feel like, and the probes that tell whether it does.
//!
//! Owns the choice of paths: every edge with another one, both ways, and every part that is named.

use serde_json::{Value, json};

use super::state::{Scope, State};
use super::{Change, FaultError, Faults};
use crate::lab::fault_check::{self, Expected, Path};

/// What a change must feel like.
#[derive(Debug)]
pub struct Check {
    transport: String,
    paths: Vec<(String, String, Path, Expected)>,
    left_out: Vec<String>,
    /// Who impairs packets of the transport.
    backends: Vec<String>,
}

impl Faults {
    /// What a change must feel like, from the state before it and after.
    pub(super) fn check(&self, transport: usize, change: Change, before: &State, state: &State) -> Check {
        let (Change::Impair(scope, _) | Change::Cut(scope) | Change::Flap(scope, ..) | Change::Heal(scope)) =
            change;
        // Every edge with another one, both ways: then every line has been sent over. And what is named.
        let others = (0..self.plan.edges.len()).filter_map(|edge| {
            let remotes = &self.plan.tloc(edge, transport)?.remotes;
            let next = remotes
                .iter()
                .find(|remote| remote.edge > edge)
                .or(remotes.first())?;
            Some(Scope::Tunnel(edge, next.edge))
        });
        let named = [before, state].into_iter().flat_map(|state| {
            let scopes = state.impaired.keys().chain(&state.cut).chain(state.flaps.keys());
            scopes.copied().filter(|named| scope.contains(*named))
        });
        let mut directions: Vec<(usize, usize)> = others.chain(named).flat_map(Scope::directions).collect();
        directions.retain(|(from, to)| scope.covers((*from, *to)) && self.are_joined(*from, *to, transport));
        directions.sort_unstable();
        directions.dedup();
        let (mut paths, mut left_out) = (Vec::new(), Vec::new());
        for (from, to) in directions {
            let site = |edge: usize| self.plan.edges[edge].site.clone();
            let expected = match change {
                Change::Flap(_, down, up) => Expected::Flapping { down, up },
                _ if state.flap((from, to)).is_some() => {
                    left_out.push(format!("{} to {} flaps", site(from), site(to)));
                    continue;
                }
                _ => match (before.between((from, to)), state.between((from, to))) {
                    (before, Some(asked)) => Expected::Impaired { asked, before },
                    (Some(before), None) => Expected::Healed { before },
                    (None, None) => continue,
                },
            };
            let end = |edge: usize| {
                let address = self.uplink(edge, transport)?;
                Some((self.edges[edge].host().netns().clone(), address))
            };
            let (Some(from_end), Some(to_end)) = (end(from), end(to)) else {
                continue;
            };
            let path = Path {
                from: from_end,
                to: to_end,
            };
            paths.push((site(from), site(to), path, expected));
        }
        if paths.is_empty() && left_out.is_empty() {
            left_out.push("no two sites have a tunnel there, or nothing changed between them".to_owned());
        }
        Check {
            transport: self.plan.transports[transport].name.clone(),
            paths,
            left_out,
            backends: self.transports[transport]
                .impairer
                .in_use()
                .iter()
                .map(ToString::to_string)
                .collect(),
        }
    }

    /// Whether there is a tunnel between two edges on a transport; without one they have no routes to each other.
    fn are_joined(&self, from: usize, to: usize, transport: usize) -> bool {
        let tloc = self.plan.tloc(from, transport);
        tloc.is_some_and(|tloc| tloc.remotes.iter().any(|remote| remote.edge == to))
    }
}

impl Check {
    /// Runs the check; says what it covered.
    ///
    /// # Errors
    /// [`FaultError::NotFelt`].
    pub async fn run(self) -> Result<Value, FaultError> {
        let transport = self.transport.clone();
        let checked = tokio::task::spawn_blocking(move || self.run_blocking()).await;
        checked.map_err(|source| FaultError::Check { transport, source })?
    }

    fn run_blocking(self) -> Result<Value, FaultError> {
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .paths
                .iter()
                .map(|(_, _, path, expected)| scope.spawn(|| fault_check::check(path, *expected)))
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined
                .map(|result| result.unwrap_or_else(|_| Err("the check panicked".to_owned())))
                .collect()
        });
        let mut left_out = self.left_out;
        for ((from, to, _, _), result) in self.paths.iter().zip(results) {
            left_out.extend(result.map_err(|felt| FaultError::NotFelt {
                transport: self.transport.clone(),
                from: from.clone(),
                to: to.clone(),
                felt,
            })?);
        }
        left_out.dedup();
        Ok(json!({
            "transport": self.transport,
            "paths": self.paths.len(),
            "not checked": left_out,
            "impaired by": self.backends,
        }))
    }
}
