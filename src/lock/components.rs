//! A configuration as targets that depend on each other without cycles. Targets of a build graph cannot go in circles and
//! packages can, so the packages of a circle are one target; but what of the circle is needed depends on where it is
//! entered, so there is one such target for each member as the entry. Knows nothing of any build tool.
//!
//! Extras belong to the configuration, not to who asks: a record has the edges of each of its extras under the condition
//! under which anything in the configuration reaches that extra. So one target per record is enough, and all who depend
//! on it, packages and people, get the same. Circles are found after conflict atoms were decided: what two configurations
//! that exclude each other need is in no circle together.

use std::collections::BTreeMap;

use pep508_rs::MarkerTree;

use super::conditions::Conditions;
use super::decision::{TooComplex, both, either};
use super::error::LockError;
use super::fixpoint::{reached_under, strongly_connected};
use super::graph::Graph;
use super::record_index::RecordIndex;

/// Most packages that may be in one circle. The largest known has 8.
const MOST_MEMBERS: usize = 256;

/// A record, and when it is needed.
pub type ConditionalRecord = (RecordIndex, MarkerTree);

/// A configuration's records as entries, and where it begins.
#[derive(Clone, Debug)]
pub struct Components {
    /// By position of the record; none if it is never reached.
    entries: Vec<Option<Entry>>,
    circles: Vec<Vec<RecordIndex>>,
    starts: Vec<ConditionalRecord>,
}

/// What depending on a record means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is installed: the record always, and other members of its circle where a way through the circle leads to them.
    /// In the lock's order.
    pub members: Vec<ConditionalRecord>,
    /// The entries outside the circle that are needed in turn. In the lock's order.
    pub dependencies: Vec<ConditionalRecord>,
}

impl Components {
    /// The entries of a configuration with these `conditions`.
    pub fn of(graph: &Graph, conditions: &Conditions) -> Result<Self, LockError> {
        Packages { graph, conditions }.components()
    }

    /// What depending on `record` means; none if the configuration never reaches it.
    pub fn entry(&self, record: RecordIndex) -> Option<&Entry> {
        self.entries.get(record.position())?.as_ref()
    }

    /// All entries, in the lock's order.
    pub fn entries(&self) -> impl Iterator<Item = (RecordIndex, &Entry)> {
        let entries = self.entries.iter().enumerate();
        entries.filter_map(|(at, entry)| Some((RecordIndex::from_position(at), entry.as_ref()?)))
    }

    /// The circles: each set of two or more records that all need each other, by some way and in some environment.
    pub fn circles(&self) -> &[Vec<RecordIndex>] {
        &self.circles
    }

    /// The entries that the configuration itself depends on: its roots and what its groups need.
    pub fn starts(&self) -> &[ConditionalRecord] {
        &self.starts
    }
}

/// The records of a configuration, with the extras merged in.
struct Packages<'a> {
    graph: &'a Graph<'a>,
    conditions: &'a Conditions,
}

/// What each record needs, by position.
type Needs = Vec<Vec<(usize, MarkerTree)>>;

impl Packages<'_> {
    fn components(&self) -> Result<Components, LockError> {
        let records = self.graph.lock().records().map(|(index, _)| index);
        let needs: Needs = records.map(|record| self.needs_of(record)).collect::<Result<_, _>>()?;
        let mut entries = vec![None; needs.len()];
        let mut circles = Vec::new();
        for members in strongly_connected(&needs) {
            if self.condition(members[0]).is_false() {
                continue;
            }
            if let [only] = *members {
                let members = vec![(record(only), MarkerTree::TRUE)];
                let dependencies = needs[only].iter().map(|(to, marker)| (record(*to), marker.clone()));
                entries[only] = Some(Entry { members, dependencies: dependencies.collect() });
                continue;
            }
            if members.len() > MOST_MEMBERS {
                return Err(LockError::LargeCircle { members: members.len(), limit: MOST_MEMBERS });
            }
            for (at, member) in members.iter().enumerate() {
                entries[*member] = Some(self.entry_into(&members, at, &needs)?);
            }
            circles.push(members.into_iter().map(record).collect());
        }
        circles.sort();
        Ok(Components { entries, circles, starts: self.starts()? })
    }

    /// What `of` needs where it is reached: the edges of each of its extras count where anything reaches that extra. What
    /// would only be needed where `of` itself is not reached is left out.
    fn needs_of(&self, of: RecordIndex) -> Result<Vec<(usize, MarkerTree)>, LockError> {
        let base = self.graph.base(of);
        let mut needs = BTreeMap::new();
        for node in self.graph.nodes_of(of) {
            let always = MarkerTree::TRUE;
            let here = if node == base { &always } else { self.conditions.of_node(node) };
            for edge in self.conditions.edges(node).iter().filter(|edge| edge.to != of) {
                let marker = both(here, &edge.marker).map_err(|error| self.too_complex(of, error))?;
                add(&mut needs, edge.to.position(), &marker).map_err(|error| self.too_complex(of, error))?;
            }
        }
        self.sorted(needs, of)
    }

    /// An entry into the circle of `members` at one of them.
    fn entry_into(&self, members: &[usize], entry: usize, needs: &Needs) -> Result<Entry, LockError> {
        let inside = |of: usize| members.binary_search(&of);
        let mut edges = Vec::with_capacity(members.len());
        for member in members {
            let within = needs[*member].iter().filter_map(|(to, marker)| Some((inside(*to).ok()?, marker)));
            edges.push(within.map(|(to, marker)| (to, marker.clone())).collect::<Vec<_>>());
        }
        let within = reached_under(&edges, &[(entry, MarkerTree::TRUE)])
            .map_err(|(at, error)| self.too_complex(record(members[at]), error))?;
        let entered = record(members[entry]);
        let (mut reached, mut leaving) = (BTreeMap::new(), BTreeMap::new());
        for (member, within) in members.iter().zip(&within) {
            let complex = |error| self.too_complex(record(*member), error);
            add(&mut reached, *member, within).map_err(complex)?;
            for (to, marker) in needs[*member].iter().filter(|(to, _)| inside(*to).is_err()) {
                let needed = both(within, marker).map_err(complex)?;
                add(&mut leaving, *to, &needed).map_err(complex)?;
            }
        }
        let with_records = |list: Vec<(usize, MarkerTree)>| {
            list.into_iter().map(|(at, marker)| (record(at), marker)).collect()
        };
        Ok(Entry {
            members: with_records(self.sorted(reached, entered)?),
            dependencies: with_records(self.sorted(leaving, entered)?),
        })
    }

    fn starts(&self) -> Result<Vec<ConditionalRecord>, LockError> {
        let mut starts = BTreeMap::new();
        for (node, marker) in self.conditions.starts() {
            let record = self.graph.record_index(*node);
            add(&mut starts, record.position(), marker).map_err(|error| self.too_complex(record, error))?;
        }
        let supported = self.conditions.supported();
        starts.retain(|_, marker| !supported.exclude(marker));
        let mut sorted = Vec::with_capacity(starts.len());
        for (at, marker) in starts {
            let marker = supported.simplify(&marker).map_err(|error| self.too_complex(record(at), error))?;
            sorted.push((record(at), marker));
        }
        Ok(sorted)
    }

    /// What is never needed where `of` is reached is left out, the rest simplified.
    fn sorted(
        &self,
        needs: BTreeMap<usize, MarkerTree>,
        of: RecordIndex,
    ) -> Result<Vec<(usize, MarkerTree)>, LockError> {
        let supported = self.conditions.supported();
        let reached = self.condition(of.position());
        let mut sorted = Vec::with_capacity(needs.len());
        for (to, marker) in needs {
            let simplified = both(reached, &marker)
                .and_then(|needed| {
                    if supported.exclude(&needed) {
                        Ok(MarkerTree::FALSE)
                    } else {
                        supported.simplify(&marker)
                    }
                })
                .map_err(|error| self.too_complex(of, error))?;
            if !simplified.is_false() {
                sorted.push((to, simplified));
            }
        }
        Ok(sorted)
    }

    fn condition(&self, position: usize) -> &MarkerTree {
        self.conditions.of_node(self.graph.base(record(position)))
    }

    fn too_complex(&self, record: RecordIndex, error: TooComplex) -> LockError {
        LockError::TooComplex { what: self.graph.lock().record(record).to_string(), source: error }
    }
}

fn record(position: usize) -> RecordIndex {
    RecordIndex::from_position(position)
}

fn add(to: &mut BTreeMap<usize, MarkerTree>, at: usize, marker: &MarkerTree) -> Result<(), TooComplex> {
    let known = to.entry(at).or_insert(MarkerTree::FALSE);
    *known = either(known, marker)?;
    Ok(())
}

#[cfg(test)]
mod tests;
