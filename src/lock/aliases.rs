//! Which record a name means in a configuration, and when: several records of one name exclude each other. Knows nothing of
//! what a record needs.

use std::collections::BTreeMap;

use pep508_rs::{MarkerTree, PackageName};

use super::conditions::Conditions;
use super::decision::{describe, either};
use super::error::LockError;
use super::graph::Graph;
use super::record_index::RecordIndex;

/// The records of each name that a configuration reaches.
#[derive(Clone, Debug)]
pub struct Aliases {
    aliases: BTreeMap<PackageName, Vec<(RecordIndex, MarkerTree)>>,
}

impl Aliases {
    /// The names of a configuration with these `conditions`. That two records of one name are reached in one environment is an
    /// error: only one of them could be installed.
    pub fn of(graph: &Graph, conditions: &Conditions) -> Result<Self, LockError> {
        let mut aliases: BTreeMap<PackageName, Vec<(RecordIndex, MarkerTree)>> = BTreeMap::new();
        // Where any record of the name is reached.
        let mut taken: BTreeMap<&PackageName, MarkerTree> = BTreeMap::new();
        for (index, record) in graph.lock().records() {
            let condition = conditions.of_node(graph.base(index));
            if condition.is_false() {
                continue;
            }
            let complex = |error| LockError::TooComplex { what: record.to_string(), source: error };
            let alias = aliases.entry(record.name.clone()).or_default();
            let taken = taken.entry(&record.name).or_insert(MarkerTree::FALSE);
            if let Some(overlap) = conditions.supported().overlap(condition, taken).map_err(complex)? {
                return Err(two_at_once(graph, alias, index, &overlap));
            }
            *taken = either(taken, condition).map_err(complex)?;
            alias.push((index, condition.clone()));
        }
        Ok(Self { aliases })
    }

    /// The records of `name` and when each is meant. At most one is in any environment; where none is, the configuration
    /// does without the name. Empty if it always does.
    pub fn get(&self, name: &PackageName) -> &[(RecordIndex, MarkerTree)] {
        self.aliases.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// All names, sorted, with their records.
    pub fn iter(&self) -> impl Iterator<Item = (&PackageName, &[(RecordIndex, MarkerTree)])> {
        self.aliases.iter().map(|(name, records)| (name, records.as_slice()))
    }
}

fn two_at_once(
    graph: &Graph,
    known: &[(RecordIndex, MarkerTree)],
    second: RecordIndex,
    overlap: &MarkerTree,
) -> LockError {
    let first = known.iter().find(|(_, condition)| !condition.is_disjoint(overlap));
    let named = |record: RecordIndex| graph.lock().record(record).id(None).to_string();
    LockError::TwoAtOnce {
        first: named(first.map_or(second, |(record, _)| *record)),
        second: named(second),
        environments: describe(overlap),
    }
}
