//! Under which condition a configuration reaches each node of a lock, markers left open: one answer for all targets.
//! Knows nothing of any one target, nor of who selects by the conditions.
//!
//! Conflict atoms come first. They depend on the configuration alone, unless only an edge with a marker activates them;
//! then that edge's condition stands in their place. What remains is PEP 508 on the platform, and a node is reached under
//! `or` over the edges into it of `and` of the condition of where they come from and their markers. Both is what
//! [`super::closure`] does for one environment, in the same order: evaluated in one, these conditions are its nodes.

use std::collections::BTreeMap;
use std::fmt;

use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree};

use super::configuration::Configuration;
use super::conflicts::ConflictItem;
use super::decision::{Decider, TooComplex, both, either, has_atoms};
use super::edge::Edge;
use super::error::LockError;
use super::fixpoint::reached_under;
use super::graph::{Graph, NodeId};
use super::record_index::RecordIndex;
use super::supported::{SupportedEnvironments, python_marker};

/// What a configuration reaches, and when.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// By position of the node; `false` if it is not reached.
    nodes: Vec<MarkerTree>,
    /// By position of the node they leave; those that never hold are left out.
    edges: Vec<Vec<ConditionalEdge>>,
    starts: Vec<(NodeId, MarkerTree)>,
    supported: SupportedEnvironments,
    unavailable: Vec<Unavailable>,
}

/// An edge of the lock for one configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionalEdge {
    /// On which record.
    pub to: RecordIndex,
    /// With which of its extras.
    pub extras: Vec<ExtraName>,
    /// When, if what has it is reached. Without conflict atoms.
    pub marker: MarkerTree,
}

/// Supported environments in which a configuration cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Which.
    pub marker: MarkerTree,
    /// Why.
    pub reason: UnavailableReason,
}

/// Why a configuration cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnavailableReason {
    /// Two items of one set of conflicts are active.
    Conflict(ConflictItem, ConflictItem),
    /// A group, as a message names it, needs another Python.
    Python(String),
}

impl Conditions {
    /// The conditions of `configuration` in the lock of `graph`. What cannot be had in any environment the lock supports is an
    /// error, what cannot be had in some is [`Conditions::unavailable`].
    pub fn of(graph: &Graph, configuration: &Configuration) -> Result<Self, LockError> {
        let lock = graph.lock();
        let supported = SupportedEnvironments::new(lock.supported_markers(), lock.requires_python())
            .map_err(|error| too_complex("the lock's supported environments", error))?;
        let mut search = Search::of(graph, configuration)?;
        if !lock.conflicts().is_empty() {
            search.activate_along_edges()?;
        }
        let unavailable = search.unavailable(&supported)?;
        search.finish(supported, unavailable)
    }

    /// When a node is reached: the same answer as the closure's in each environment the lock supports.
    pub fn of_node(&self, node: NodeId) -> &MarkerTree {
        &self.nodes[node.position()]
    }

    /// What a node needs by itself, whenever it is reached.
    pub fn edges(&self, node: NodeId) -> &[ConditionalEdge] {
        &self.edges[node.position()]
    }

    /// Where everything begins: the roots and what their groups need, and when.
    pub fn starts(&self) -> &[(NodeId, MarkerTree)] {
        &self.starts
    }

    /// The environments the lock is for.
    pub fn supported(&self) -> &SupportedEnvironments {
        &self.supported
    }

    /// Where the configuration cannot be had although the lock supports the environment.
    pub fn unavailable(&self) -> &[Unavailable] {
        &self.unavailable
    }

    /// The nodes that are reached in any environment.
    pub fn reached<'g>(&'g self, graph: &Graph<'g>) -> impl Iterator<Item = NodeId> + use<'g> {
        graph.nodes().filter(|node| !self.of_node(*node).is_false())
    }

    /// The nodes that are reached in `environment`.
    pub fn nodes_in(&self, graph: &Graph, environment: &MarkerEnvironment) -> Vec<NodeId> {
        graph.nodes().filter(|node| self.of_node(*node).evaluate(environment, &[])).collect()
    }
}

/// As an error says it.
impl fmt::Display for UnavailableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(first, second) => write!(f, "{first} and {second} are declared as conflicting"),
            Self::Python(group) => write!(f, "{group} needs another Python"),
        }
    }
}

/// Conditions in the making.
struct Search<'g, 'l> {
    graph: &'g Graph<'l>,
    configuration: &'g Configuration,
    /// When each conflict atom is true; never, if it is not there.
    active: BTreeMap<ExtraName, MarkerTree>,
    starts: Vec<(NodeId, MarkerTree)>,
}

impl<'g, 'l> Search<'g, 'l> {
    /// Begins with the roots, and what their groups and the manifest need.
    fn of(graph: &'g Graph<'l>, configuration: &'g Configuration) -> Result<Self, LockError> {
        let mut search = Self { graph, configuration, active: BTreeMap::new(), starts: Vec::new() };
        for root in &configuration.roots {
            let name = &graph.lock().record(root.record).name;
            if !configuration.only_groups {
                search.active.insert(ConflictItem::project(name).atom(), MarkerTree::TRUE);
                search.starts.push((graph.base(root.record), MarkerTree::TRUE));
                for extra in &root.extras {
                    search.active.insert(ConflictItem::extra(name, extra).atom(), MarkerTree::TRUE);
                    let node = graph.node(root.record, Some(extra));
                    search.starts.extend(node.map(|node| (node, MarkerTree::TRUE)));
                }
            }
        }
        for (record, group) in configuration.groups() {
            let name = &graph.lock().record(record).name;
            search.active.insert(ConflictItem::group(name, group).atom(), MarkerTree::TRUE);
        }
        for edge in configuration.first_edges(graph) {
            search.start_with(edge)?;
        }
        Ok(search)
    }

    /// An edge of a group counts its own extras as active, and makes them so for those after it.
    fn start_with(&mut self, edge: &Edge) -> Result<(), LockError> {
        let own = self.atoms_of(edge);
        let marker = self.decide(edge, None, &own).map_err(|error| self.too_complex(edge.to, error))?;
        if !marker.is_false() {
            self.add_atoms(own, &marker).map_err(|error| self.too_complex(edge.to, error))?;
            self.starts.extend(self.graph.targets(edge).map(|node| (node, marker.clone())));
        }
        Ok(())
    }

    /// Where two items of one set of conflicts are active, or a group needs another Python. An error if that is everywhere.
    fn unavailable(&self, supported: &SupportedEnvironments) -> Result<Vec<Unavailable>, LockError> {
        let mut unavailable = Vec::new();
        for set in self.graph.lock().conflicts() {
            let active: Vec<_> =
                set.iter().filter_map(|item| Some((item, self.active.get(&item.atom())?))).collect();
            for (at, (first, first_marker)) in active.iter().enumerate() {
                for (second, second_marker) in &active[at + 1..] {
                    let marker = both(first_marker, second_marker)
                        .map_err(|error| too_complex(&first.to_string(), error))?;
                    let reason = UnavailableReason::Conflict((*first).clone(), (*second).clone());
                    unavailable.push(Unavailable { marker, reason });
                }
            }
        }
        for python in self.configuration.pythons(self.graph.lock()) {
            let marker = python_marker(&python.specifiers).map_err(|error| too_complex(&python.by, error))?;
            unavailable
                .push(Unavailable { marker: marker.negate(), reason: UnavailableReason::Python(python.by) });
        }
        unavailable.retain(|unavailable| !supported.exclude(&unavailable.marker));
        for unavailable in &mut unavailable {
            unavailable.marker = supported
                .simplify(&unavailable.marker)
                .map_err(|error| too_complex("what is in conflict", error))?;
        }
        match unavailable.iter().find(|unavailable| unavailable.marker.is_true()) {
            Some(everywhere) => Err(LockError::Unavailable { reason: everywhere.reason.to_string() }),
            None => Ok(unavailable),
        }
    }

    /// Follows all edges with the atoms that are active from the start and those of the edge itself; what is reached so
    /// activates the extras it asks for.
    fn activate_along_edges(&mut self) -> Result<(), LockError> {
        let edges = self.decided_edges(|search, node, edge| {
            search.decide(edge, search.graph.extra(node), &search.atoms_of(edge))
        })?;
        let conditions = self.reach(&edges)?;
        for node in self.graph.nodes() {
            let condition = &conditions[node.position()];
            for edge in edges[node.position()].iter().filter(|edge| !edge.extras.is_empty()) {
                let atoms = self.atoms_of_extras(edge.to, &edge.extras);
                both(condition, &edge.marker)
                    .and_then(|taken| self.add_atoms(atoms, &taken))
                    .map_err(|error| self.too_complex(edge.to, error))?;
            }
        }
        Ok(())
    }

    /// With all atoms known, follows the edges again.
    fn finish(
        self,
        supported: SupportedEnvironments,
        unavailable: Vec<Unavailable>,
    ) -> Result<Conditions, LockError> {
        let mut edges =
            self.decided_edges(|search, node, edge| search.decide(edge, search.graph.extra(node), &[]))?;
        for edges in &mut edges {
            edges.retain(|edge| !supported.exclude(&edge.marker));
        }
        let mut nodes = self.reach(&edges)?;
        for node in self.graph.nodes() {
            let record = self.graph.record_index(node);
            let simplify = |marker: &MarkerTree| {
                supported.simplify(marker).map_err(|error| self.too_complex(record, error))
            };
            nodes[node.position()] = simplify(&nodes[node.position()])?;
            if nodes[node.position()].is_false() {
                edges[node.position()].clear();
            }
            for edge in &mut edges[node.position()] {
                edge.marker = simplify(&edge.marker)?;
            }
        }
        Ok(Conditions { nodes, edges, starts: self.starts, supported, unavailable })
    }

    fn decided_edges(
        &self,
        decide: impl Fn(&Self, NodeId, &Edge) -> Result<MarkerTree, TooComplex>,
    ) -> Result<Vec<Vec<ConditionalEdge>>, LockError> {
        let mut decided = Vec::with_capacity(self.graph.len());
        for node in self.graph.nodes() {
            let mut edges = Vec::new();
            for edge in self.graph.edges(node) {
                let marker = decide(self, node, edge).map_err(|error| self.too_complex(edge.to, error))?;
                if !marker.is_false() {
                    edges.push(ConditionalEdge { to: edge.to, extras: edge.extras.clone(), marker });
                }
            }
            decided.push(edges);
        }
        Ok(decided)
    }

    fn reach(&self, edges: &[Vec<ConditionalEdge>]) -> Result<Vec<MarkerTree>, LockError> {
        let graph = self.graph;
        let mut flat: Vec<Vec<(usize, MarkerTree)>> = Vec::with_capacity(edges.len());
        for edges in edges {
            let mut to = Vec::with_capacity(edges.len());
            for edge in edges {
                let extras = edge.extras.iter().filter_map(|extra| graph.node(edge.to, Some(extra)));
                let nodes = std::iter::once(graph.base(edge.to)).chain(extras);
                to.extend(nodes.map(|node| (node.position(), edge.marker.clone())));
            }
            flat.push(to);
        }
        let starts: Vec<_> =
            self.starts.iter().map(|(node, marker)| (node.position(), marker.clone())).collect();
        reached_under(&flat, &starts).map_err(|(position, error)| {
            let node = graph.nodes().nth(position);
            too_complex(&node.map(|node| graph.record(node).to_string()).unwrap_or_default(), error)
        })
    }

    /// The marker of an edge of the extra `within`, or of none, with every atom replaced.
    fn decide(
        &self,
        edge: &Edge,
        within: Option<&ExtraName>,
        own: &[ExtraName],
    ) -> Result<MarkerTree, TooComplex> {
        if !has_atoms(&edge.marker) {
            return super::decision::bounded(edge.marker.clone());
        }
        let atom = |name: &ExtraName| {
            if within == Some(name) || own.contains(name) {
                return MarkerTree::TRUE;
            }
            self.active.get(name).cloned().unwrap_or(MarkerTree::FALSE)
        };
        Decider::new(&atom).decide(&edge.marker)
    }

    fn atoms_of(&self, edge: &Edge) -> Vec<ExtraName> {
        self.atoms_of_extras(edge.to, &edge.extras)
    }

    fn atoms_of_extras(&self, record: RecordIndex, extras: &[ExtraName]) -> Vec<ExtraName> {
        let name = &self.graph.lock().record(record).name;
        extras.iter().map(|extra| ConflictItem::extra(name, extra).atom()).collect()
    }

    fn add_atoms(&mut self, atoms: Vec<ExtraName>, when: &MarkerTree) -> Result<(), TooComplex> {
        for atom in atoms {
            let known = self.active.entry(atom).or_insert(MarkerTree::FALSE);
            *known = either(known, when)?;
        }
        Ok(())
    }

    fn too_complex(&self, record: RecordIndex, error: TooComplex) -> LockError {
        too_complex(&self.graph.lock().record(record).to_string(), error)
    }
}

fn too_complex(what: &str, error: TooComplex) -> LockError {
    LockError::TooComplex { what: what.to_owned(), source: error }
}
