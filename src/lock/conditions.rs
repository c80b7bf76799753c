//! Under which condition a configuration reaches each node of a lock, markers left open: one answer for all targets.
//! Knows nothing of any one target, nor of who selects by the conditions.
//!
//! Conflict atoms come first. They depend on the configuration alone, unless only an edge with a marker activates them;
//! then that edge's condition stands in their place. What remains is PEP 508 on the platform, and a node is reached under
//! `or` over the edges into it of `and` of the condition of where they come from and their markers. Both is what
//! [`super::closure`] does for one environment, in the same order: evaluated in one, these conditions are its nodes.

use std::collections::BTreeSet;
use std::fmt;

use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree, PackageName};

use super::activation::{Activation, name_of, too_complex};
use super::configuration::{Configuration, RequiredPython};
use super::conflicts::ConflictItem;
use super::decision::{Decider, TooComplex, both};
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
    /// A group needs another Python.
    Python(RequiredPython),
    /// The lock has no record for what a group of the manifest asks for.
    NoFork(PackageName),
}

impl Conditions {
    /// The conditions of `configuration` in the lock of `graph`. What cannot be had in any environment the lock supports is an
    /// error, what cannot be had in some is [`Conditions::unavailable`].
    pub fn of(graph: &Graph, configuration: &Configuration) -> Result<Self, LockError> {
        let lock = graph.lock();
        let supported = SupportedEnvironments::new(lock.supported_markers(), lock.requires_python())
            .map_err(|error| too_complex("the lock's supported environments", error))?;
        let activation = Activation::of(graph, configuration, &supported)?;
        let search = Search { graph, configuration, activation, supported };
        let unavailable = search.unavailable()?;
        search.finish(unavailable)
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
            Self::Python(python) => write!(f, "{} needs Python {}", python.by, python.specifiers),
            Self::NoFork(name) => write!(f, "no package of the lock is for {name}"),
        }
    }
}

/// Conditions in the making.
struct Search<'g, 'l> {
    graph: &'g Graph<'l>,
    configuration: &'g Configuration,
    activation: Activation,
    supported: SupportedEnvironments,
}

impl Search<'_, '_> {
    /// Where two items of one set of conflicts are active, or a group needs another Python. An error if that is everywhere.
    fn unavailable(&self) -> Result<Vec<Unavailable>, LockError> {
        let supported = &self.supported;
        let mut unavailable = Vec::new();
        for set in self.graph.lock().conflicts() {
            let set: BTreeSet<_> = set.iter().collect();
            let active: Vec<_> =
                set.into_iter().filter_map(|item| Some((item, self.activation.items.get(item)?))).collect();
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
            let reason = UnavailableReason::Python(python);
            unavailable.push(Unavailable { marker: marker.negate(), reason });
        }
        unavailable.extend(self.without_fork()?);
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

    /// Where no record is for what a group of the manifest asks for.
    fn without_fork(&self) -> Result<Vec<Unavailable>, LockError> {
        let atoms = self.configuration.active_items(self.graph.lock());
        let atoms = atoms.iter().map(|item| (item.atom(), MarkerTree::TRUE)).collect();
        let mut decider = Decider::new(&atoms);
        let mut decide = |marker: &MarkerTree| decider.decide(marker, |_| false);
        let groups = &self.graph.lock().manifest().dependency_groups;
        let chosen = self.configuration.manifest_groups.iter().filter_map(|group| groups.get(group));
        let mut unavailable = Vec::new();
        for dependency in chosen.flatten() {
            let name = &dependency.requirement.name;
            let complex = |error| too_complex(name.as_ref(), error);
            let mut marker = decide(&dependency.requirement.marker).map_err(complex)?;
            for candidate in &dependency.candidates {
                let here = decide(&candidate.marker).map_err(complex)?;
                marker = both(&marker, &here.negate()).map_err(complex)?;
            }
            unavailable.push(Unavailable { marker, reason: UnavailableReason::NoFork(name.clone()) });
        }
        Ok(unavailable)
    }

    /// With all atoms known, follows the edges again.
    fn finish(self, unavailable: Vec<Unavailable>) -> Result<Conditions, LockError> {
        let supported = &self.supported;
        let mut edges = self.decided_edges()?;
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
        let Self { activation, supported, .. } = self;
        Ok(Conditions { nodes, edges, starts: activation.starts, supported, unavailable })
    }

    fn decided_edges(&self) -> Result<Vec<Vec<ConditionalEdge>>, LockError> {
        let mut decider = Decider::new(&self.activation.atoms);
        let mut decided = Vec::with_capacity(self.graph.len());
        for node in self.graph.nodes() {
            let within = self.graph.extra(node);
            let mut edges = Vec::new();
            for edge in self.graph.edges(node) {
                let marker = decider
                    .decide(&edge.marker, |atom| within == Some(atom))
                    .map_err(|error| self.too_complex(edge.to, error))?;
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
        let starts = self.activation.starts.iter().map(|(node, marker)| (node.position(), marker.clone()));
        reached_under(&flat, &starts.collect::<Vec<_>>())
            .map_err(|(position, error)| too_complex(&name_of(graph, position), error))
    }

    fn too_complex(&self, record: RecordIndex, error: TooComplex) -> LockError {
        too_complex(&self.graph.lock().record(record).to_string(), error)
    }
}
