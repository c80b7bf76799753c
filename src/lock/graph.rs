//! The lock as a graph: a node for each record and for each extra that needs something. Markers stay as they are.

use std::collections::BTreeMap;

use pep508_rs::ExtraName;

use super::edge::Edge;
use super::group_name::GroupName;
use super::lock_file::Lock;
use super::record::Record;
use super::record_index::RecordIndex;

/// A record, or one of its extras. Nodes of a record are next to each other, itself first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    /// From 0, below [`Graph::len`].
    pub fn position(self) -> usize {
        self.0 as usize
    }
}

struct Node<'l> {
    record: RecordIndex,
    extra: Option<&'l ExtraName>,
    edges: &'l [Edge],
}

/// The nodes and edges of a lock.
pub struct Graph<'l> {
    lock: &'l Lock,
    nodes: Vec<Node<'l>>,
    /// Of each record the first node; one more at the end.
    first: Vec<u32>,
    manifest_groups: BTreeMap<&'l GroupName, Vec<Edge>>,
    requirements: Vec<Edge>,
}

impl<'l> Graph<'l> {
    /// The graph of `lock`.
    pub fn of(lock: &'l Lock) -> Self {
        let (mut nodes, mut first) = (Vec::new(), Vec::new());
        for (record, entry) in lock.records() {
            first.push(nodes.len() as u32);
            nodes.push(Node { record, extra: None, edges: &entry.dependencies });
            nodes.extend(entry.optional_dependencies.iter().map(|(extra, edges)| Node {
                record,
                extra: Some(extra),
                edges,
            }));
        }
        first.push(nodes.len() as u32);
        let flat = |dependencies: &[super::manifest::ManifestDependency]| {
            dependencies.iter().flat_map(|dependency| dependency.candidates.iter().cloned()).collect()
        };
        let manifest = lock.manifest();
        let manifest_groups = manifest
            .dependency_groups
            .iter()
            .map(|(group, dependencies)| (group, flat(dependencies)))
            .collect();
        Self { lock, nodes, first, manifest_groups, requirements: flat(&manifest.requirements) }
    }

    /// The lock it is the graph of.
    pub fn lock(&self) -> &'l Lock {
        self.lock
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// All nodes, in the lock's order.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// The node of a record, or of one of its extras; none for an extra that needs nothing or does not exist.
    pub fn node(&self, record: RecordIndex, extra: Option<&ExtraName>) -> Option<NodeId> {
        self.nodes_of(record).find(|node| self.extra(*node) == extra)
    }

    /// The node of a record itself.
    pub fn base(&self, record: RecordIndex) -> NodeId {
        NodeId(self.first[record.position()])
    }

    /// The nodes of a record: itself, then its extras by name.
    pub fn nodes_of(&self, record: RecordIndex) -> impl Iterator<Item = NodeId> + use<> {
        (self.first[record.position()]..self.first[record.position() + 1]).map(NodeId)
    }

    /// The record of a node.
    pub fn record_index(&self, node: NodeId) -> RecordIndex {
        self.nodes[node.position()].record
    }

    /// The record of a node.
    pub fn record(&self, node: NodeId) -> &'l Record {
        self.lock.record(self.record_index(node))
    }

    /// The extra of a node; none for the record itself.
    pub fn extra(&self, node: NodeId) -> Option<&'l ExtraName> {
        self.nodes[node.position()].extra
    }

    /// What a node needs by itself. That a node of an extra needs the record, too, is no edge.
    pub fn edges(&self, node: NodeId) -> &'l [Edge] {
        self.nodes[node.position()].edges
    }

    /// The nodes an edge leads to: the record's own and those of the extras that need something.
    pub fn targets(&self, edge: &Edge) -> impl Iterator<Item = NodeId> {
        let extras = edge.extras.iter().filter_map(|extra| self.node(edge.to, Some(extra)));
        std::iter::once(self.base(edge.to)).chain(extras)
    }

    /// What a group of a member needs; none if the lock has no such group.
    pub fn group(&self, record: RecordIndex, group: &GroupName) -> Option<&'l [Edge]> {
        self.lock.record(record).dependency_groups.get(group).map(Vec::as_slice)
    }

    /// What a group of the manifest needs, the conditions under which a record is the one included.
    pub fn manifest_group(&self, group: &GroupName) -> Option<&[Edge]> {
        self.manifest_groups.get(group).map(Vec::as_slice)
    }

    /// What the requirements of the manifest (of a script) need.
    pub fn manifest_requirements(&self) -> &[Edge] {
        &self.requirements
    }
}
