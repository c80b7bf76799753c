//! When each conflict atom is true in a configuration: as soon as it is known what is wanted, or where an edge is taken that
//! asks for the extra. Knows nothing of what is installed in the end.
//!
//! uv finds the second kind by a walk of its own, nearest first, in which an atom is true from the moment an edge has
//! activated it. So where an atom that an edge activates decides whether another edge is taken, the order of the walk
//! counts, and that depends on the environment. Locks in which it does are rare; for them the walk is made once for each
//! part of the environments in which it goes the same way. For all others, conditions say it at once.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use pep508_rs::{ExtraName, MarkerTree};

use super::configuration::Configuration;
use super::conflicts::ConflictItem;
use super::decision::{Decider, TooComplex, atoms_of, both, either};
use super::edge::Edge;
use super::error::LockError;
use super::fixpoint::reached_under;
use super::graph::{Graph, NodeId};
use super::supported::SupportedEnvironments;

/// Most edges that are looked at in all walks together.
const MOST_STEPS: usize = 4_000_000;
/// Most walks that wait for their turn: each remembers where it has been.
const MOST_WAITING: usize = 512;

/// What is active, and when.
pub(super) struct Activation {
    /// Atoms that are ever true.
    pub(super) atoms: BTreeMap<ExtraName, MarkerTree>,
    /// What is ever active, as conflicts name it: an extra that needs nothing has no atom, but may have been asked for.
    pub(super) items: BTreeMap<ConflictItem, MarkerTree>,
    /// Where everything begins: the roots, and what their groups and the manifest need.
    pub(super) starts: Vec<(NodeId, MarkerTree)>,
}

impl Activation {
    /// What `configuration` activates.
    pub(super) fn of(
        graph: &Graph,
        configuration: &Configuration,
        supported: &SupportedEnvironments,
    ) -> Result<Self, LockError> {
        let search = Search { graph, configuration, supported };
        let activation = search.at_the_start()?;
        if graph.lock().conflicts().is_empty() {
            return Ok(activation);
        }
        if search.order_counts(&activation) {
            search.by_walks(activation).map_err(|error| too_complex("which extras are active", error))
        } else {
            search.by_conditions(activation)
        }
    }

    fn add(&mut self, items: &[ConflictItem], when: &MarkerTree) -> Result<(), TooComplex> {
        for item in items {
            for known in [
                self.atoms.entry(item.atom()).or_insert(MarkerTree::FALSE),
                self.items.entry(item.clone()).or_insert(MarkerTree::FALSE),
            ] {
                *known = either(known, when)?;
            }
        }
        Ok(())
    }
}

struct Search<'s, 'l> {
    graph: &'s Graph<'l>,
    configuration: &'s Configuration,
    supported: &'s SupportedEnvironments,
}

impl<'s> Search<'s, '_> {
    /// What is wanted, and what the groups of that ask for. An edge of a group counts its own extras as active, and makes
    /// them so for those after it.
    fn at_the_start(&self) -> Result<Activation, LockError> {
        let lock = self.graph.lock();
        let always = |item: ConflictItem| (item, MarkerTree::TRUE);
        let mut activation = Activation {
            atoms: self
                .configuration
                .active_atoms(lock)
                .iter()
                .map(|atom| (atom.clone(), MarkerTree::TRUE))
                .collect(),
            items: self.configuration.active_items(lock).into_iter().map(always).collect(),
            starts: self.roots().into_iter().map(|node| (node, MarkerTree::TRUE)).collect(),
        };
        for edge in self.configuration.first_edges(self.graph) {
            let items = self.items_of(edge);
            let complex = |error| too_complex(&lock.record(edge.to).to_string(), error);
            let marker = Decider::new(&activation.atoms)
                .decide(&edge.marker, |atom| items.iter().any(|item| item.atom() == *atom))
                .map_err(complex)?;
            if !marker.is_false() {
                activation.add(&items, &marker).map_err(complex)?;
                activation.starts.extend(self.graph.targets(edge).map(|node| (node, marker.clone())));
            }
        }
        Ok(activation)
    }

    fn roots(&self) -> Vec<NodeId> {
        if self.configuration.only_groups {
            return Vec::new();
        }
        let nodes = self.configuration.roots.iter().flat_map(|root| {
            let extras = root.extras.iter().filter_map(|extra| self.graph.node(root.record, Some(extra)));
            std::iter::once(self.graph.base(root.record)).chain(extras)
        });
        nodes.collect()
    }

    /// What an edge activates: an extra that needs nothing is not in the lock, so it does not become active by an edge.
    fn items_of(&self, edge: &Edge) -> Vec<ConflictItem> {
        let name = &self.graph.lock().record(edge.to).name;
        let extras = edge.extras.iter().filter(|extra| self.graph.node(edge.to, Some(extra)).is_some());
        extras.map(|extra| ConflictItem::extra(name, extra)).collect()
    }

    /// Whether an edge that activates something can change which edges are taken.
    fn order_counts(&self, activation: &Activation) -> bool {
        let edges = || self.graph.nodes().flat_map(|node| self.graph.edges(node));
        let mut activated: BTreeSet<ExtraName> =
            edges().flat_map(|edge| self.items_of(edge)).map(|item| item.atom()).collect();
        activated.retain(|atom| !activation.atoms.get(atom).is_some_and(MarkerTree::is_true));
        let mut seen = HashSet::new();
        let mut markers = edges().map(|edge| &edge.marker).filter(|marker| seen.insert(*marker));
        !activated.is_empty()
            && markers.any(|marker| atoms_of(marker).iter().any(|atom| activated.contains(atom)))
    }

    /// What is reached activates the extras it asks for.
    fn by_conditions(&self, mut activation: Activation) -> Result<Activation, LockError> {
        let graph = self.graph;
        let mut edges = Vec::with_capacity(graph.len());
        let mut activating = Vec::new();
        let mut decider = Decider::new(&activation.atoms);
        for node in graph.nodes() {
            let mut leaving = Vec::new();
            for edge in graph.edges(node) {
                let marker = decider
                    .decide(&edge.marker, |atom| graph.extra(node) == Some(atom))
                    .map_err(|error| too_complex(&graph.lock().record(edge.to).to_string(), error))?;
                leaving.extend(graph.targets(edge).map(|to| (to.position(), marker.clone())));
                let items = self.items_of(edge);
                if !items.is_empty() {
                    activating.push((node, marker, items));
                }
            }
            edges.push(leaving);
        }
        let starts = activation.starts.iter().map(|(node, marker)| (node.position(), marker.clone()));
        let conditions = reached_under(&edges, &starts.collect::<Vec<_>>())
            .map_err(|(at, error)| too_complex(&name_of(graph, at), error))?;
        for (node, marker, items) in activating {
            both(&conditions[node.position()], &marker)
                .and_then(|taken| activation.add(&items, &taken))
                .map_err(|error| too_complex(&graph.record(node).to_string(), error))?;
        }
        Ok(activation)
    }

    /// Walks as uv does, and wherever the environment decides goes on twice.
    fn by_walks(&self, mut activation: Activation) -> Result<Activation, TooComplex> {
        let first_edges = self.configuration.first_edges(self.graph);
        let nothing = BTreeMap::new();
        let mut decider = Decider::new(&nothing);
        let atoms = self.configuration.active_atoms(self.graph.lock());
        let mut waiting =
            vec![Walk::new(self.supported.marker(), atoms.iter().cloned().collect(), self.roots())];
        let mut steps = 0;
        while let Some(mut walk) = waiting.pop() {
            while let Some((within, edge)) = walk.next_edge(self.graph, &first_edges) {
                steps += 1;
                let items = self.items_of(edge);
                let own: Vec<_> = items.iter().map(ConflictItem::atom).collect();
                let marker = decider.decide(&edge.marker, |atom| {
                    within == Some(atom) || own.contains(atom) || walk.active.contains(atom)
                })?;
                let taken = both(&walk.part, &marker)?;
                if taken.is_false() {
                    continue;
                }
                let not_taken = both(&walk.part, &marker.negate())?;
                if !not_taken.is_false() {
                    waiting.push(Walk { part: not_taken, ..walk.clone() });
                }
                if steps > MOST_STEPS || waiting.len() > MOST_WAITING {
                    return Err(TooComplex);
                }
                walk.take(taken, own, items, self.graph.targets(edge));
            }
            activation.add(&walk.items.into_iter().collect::<Vec<_>>(), &walk.part)?;
        }
        Ok(activation)
    }
}

/// A walk in the part of the environments in which it goes the same way.
#[derive(Clone)]
struct Walk {
    part: MarkerTree,
    active: BTreeSet<ExtraName>,
    /// What edges have activated.
    items: BTreeSet<ConflictItem>,
    seen: HashSet<NodeId>,
    ahead: VecDeque<NodeId>,
    /// Whose edges are looked at; none for those that begin it.
    node: Option<NodeId>,
    edges_done: usize,
}

impl Walk {
    fn new(part: &MarkerTree, active: BTreeSet<ExtraName>, roots: Vec<NodeId>) -> Self {
        Self {
            part: part.clone(),
            active,
            items: BTreeSet::new(),
            seen: roots.iter().copied().collect(),
            ahead: roots.into(),
            node: None,
            edges_done: 0,
        }
    }

    /// The next edge, and the extra it is one of. Edges that begin the walk come first.
    fn next_edge<'e>(
        &mut self,
        graph: &Graph<'e>,
        first_edges: &[&'e Edge],
    ) -> Option<(Option<&'e ExtraName>, &'e Edge)> {
        loop {
            let (within, next) = match self.node {
                None => (None, first_edges.get(self.edges_done).copied()),
                Some(node) => (graph.extra(node), graph.edges(node).get(self.edges_done)),
            };
            if let Some(edge) = next {
                self.edges_done += 1;
                return Some((within, edge));
            }
            self.node = Some(self.ahead.pop_front()?);
            self.edges_done = 0;
        }
    }

    fn take(
        &mut self,
        part: MarkerTree,
        atoms: Vec<ExtraName>,
        items: Vec<ConflictItem>,
        targets: impl Iterator<Item = NodeId>,
    ) {
        self.part = part;
        self.active.extend(atoms);
        self.items.extend(items);
        self.ahead.extend(targets.filter(|node| self.seen.insert(*node)));
    }
}

pub(super) fn name_of(graph: &Graph, position: usize) -> String {
    graph.nodes().nth(position).map(|node| graph.record(node).to_string()).unwrap_or_default()
}

pub(super) fn too_complex(what: &str, error: TooComplex) -> LockError {
    LockError::TooComplex { what: what.to_owned(), source: error }
}
