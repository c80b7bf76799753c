//! One environment, done as plainly as it can be: what conditions and entries are compared with. Written from uv's rules and
//! sharing no code with what it judges.

use std::collections::{BTreeSet, VecDeque};

use pep508_rs::{ExtraName, MarkerEnvironment};

use super::super::Components;
use crate::lock::conflicts::{ActiveAtoms, ConflictItem, ConflictKind};
use crate::lock::graph::{Graph, NodeId};
use crate::lock::{Configuration, Edge, RecordIndex};

/// What a configuration needs in one environment.
pub struct Needed {
    pub nodes: BTreeSet<NodeId>,
    /// Whether two items of one set of conflicts are active.
    pub is_in_conflict: bool,
    /// Whether no record is for something that a group of the manifest asks for.
    pub is_without_fork: bool,
    active: Vec<ConflictItem>,
}

pub fn needed(graph: &Graph, configuration: &Configuration, environment: &MarkerEnvironment) -> Needed {
    let lock = graph.lock();
    // Items that were asked for, and those of them that are true in markers.
    let mut asked = Vec::new();
    let mut active = Vec::new();
    let mut start = Vec::new();
    for root in &configuration.roots {
        let name = &lock.record(root.record).name;
        if !configuration.only_groups {
            active.push(ConflictItem::project(name));
            asked.extend(root.extras.iter().map(|extra| ConflictItem::extra(name, extra)));
            start.push(graph.base(root.record));
            for extra in &root.extras {
                if let Some(node) = graph.node(root.record, Some(extra)) {
                    start.push(node);
                    active.push(ConflictItem::extra(name, extra));
                }
            }
        }
        active.extend(root.groups.iter().map(|group| ConflictItem::group(name, group)));
    }
    let is_without_fork = is_without_fork(graph, configuration, environment, &active);
    let of_roots = configuration.roots.iter().flat_map(|root| {
        root.groups.iter().flat_map(|group| graph.group(root.record, group).unwrap_or_default())
    });
    let of_manifest = configuration
        .manifest_groups
        .iter()
        .flat_map(|group| graph.manifest_group(group).unwrap_or_default());
    for edge in of_roots.chain(of_manifest) {
        let mut with_own = active.clone();
        with_own.extend(extras_of(graph, edge));
        if holds(edge, environment, &with_own, None) {
            active = with_own;
            start.extend(targets(graph, edge));
        }
    }
    if !lock.conflicts().is_empty() {
        let _ = walk(graph, &start, |node, edge| {
            let mut with_own = active.clone();
            with_own.extend(extras_of(graph, edge));
            let holds = holds(edge, environment, &with_own, graph.extra(node));
            if holds {
                active = with_own;
            }
            holds
        });
    }
    let nodes = walk(graph, &start, |node, edge| holds(edge, environment, &active, graph.extra(node)));
    let is_in_conflict = lock.conflicts().iter().any(|set| {
        let set: BTreeSet<_> = set.iter().collect();
        set.into_iter().filter(|item| active.contains(item) || asked.contains(item)).count() > 1
    });
    Needed { nodes, is_in_conflict, is_without_fork, active }
}

fn is_without_fork(
    graph: &Graph,
    configuration: &Configuration,
    environment: &MarkerEnvironment,
    active: &[ConflictItem],
) -> bool {
    let groups = &graph.lock().manifest().dependency_groups;
    let atoms: Vec<_> = active.iter().map(ConflictItem::atom).collect();
    configuration.manifest_groups.iter().filter_map(|group| groups.get(group)).flatten().any(|dependency| {
        let holds = |marker: &pep508_rs::MarkerTree| marker.evaluate(environment, &atoms);
        holds(&dependency.requirement.marker)
            && !dependency.candidates.iter().any(|candidate| holds(&candidate.marker))
    })
}

/// The nearest first.
fn walk(graph: &Graph, start: &[NodeId], mut follows: impl FnMut(NodeId, &Edge) -> bool) -> BTreeSet<NodeId> {
    let mut seen = BTreeSet::new();
    let mut ahead: VecDeque<_> = start.iter().copied().filter(|node| seen.insert(*node)).collect();
    while let Some(node) = ahead.pop_front() {
        for edge in graph.edges(node) {
            if follows(node, edge) {
                ahead.extend(targets(graph, edge).into_iter().filter(|target| seen.insert(*target)));
            }
        }
    }
    seen
}

fn targets(graph: &Graph, edge: &Edge) -> Vec<NodeId> {
    let extras = edge.extras.iter().filter_map(|extra| graph.node(edge.to, Some(extra)));
    std::iter::once(graph.base(edge.to)).chain(extras).collect()
}

fn extras_of(graph: &Graph, edge: &Edge) -> Vec<ConflictItem> {
    let name = &graph.lock().record(edge.to).name;
    let has_needs =
        |extra: &&ExtraName| graph.lock().record(edge.to).optional_dependencies.contains_key(*extra);
    edge.extras.iter().filter(has_needs).map(|extra| ConflictItem::extra(name, extra)).collect()
}

fn holds(
    edge: &Edge,
    environment: &MarkerEnvironment,
    active: &[ConflictItem],
    within: Option<&ExtraName>,
) -> bool {
    let mut atoms: Vec<ExtraName> = active
        .iter()
        .map(|item| {
            let package = item.package.as_ref();
            let length = package.len();
            match &item.kind {
                ConflictKind::Extra(extra) => format!("extra-{length}-{package}-{extra}"),
                ConflictKind::Group(group) => format!("group-{length}-{package}-{group}"),
                ConflictKind::Project => format!("project-{length}-{package}"),
            }
        })
        .map(|text| text.parse().unwrap())
        .collect();
    atoms.extend(within.cloned());
    let mut active_atoms = ActiveAtoms::default();
    active.iter().for_each(|item| {
        active_atoms.activate(item);
    });
    let holds = edge.marker.evaluate(environment, &atoms);
    assert_eq!(holds, active_atoms.hold(&edge.marker, environment, within));
    holds
}

/// The records that are installed where `entries` are depended on, as a build tool would find them: each entry's members, and
/// its dependencies in turn.
pub fn installed(
    components: &Components,
    entries: impl IntoIterator<Item = RecordIndex>,
    environment: &MarkerEnvironment,
) -> BTreeSet<RecordIndex> {
    let mut open: Vec<_> = entries.into_iter().collect();
    let mut entered = BTreeSet::new();
    let mut installed = BTreeSet::new();
    while let Some(record) = open.pop() {
        if !entered.insert(record) {
            continue;
        }
        let entry = components.entry(record).expect("what is depended on has an entry");
        let here = |list: &[(RecordIndex, pep508_rs::MarkerTree)]| -> Vec<RecordIndex> {
            list.iter().filter(|(_, marker)| marker.evaluate(environment, &[])).map(|(to, _)| *to).collect()
        };
        installed.extend(here(&entry.members));
        open.extend(here(&entry.dependencies));
    }
    installed
}

/// The records that `from` needs where `needed` is all that the configuration needs.
pub fn reachable(
    graph: &Graph,
    from: RecordIndex,
    needed: &Needed,
    environment: &MarkerEnvironment,
) -> BTreeSet<RecordIndex> {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(record) = open.pop() {
        for node in graph.nodes_of(record).filter(|node| needed.nodes.contains(node)) {
            let holds = |edge: &&Edge| holds(edge, environment, &needed.active, graph.extra(node));
            let edges = graph.edges(node).iter().filter(holds);
            open.extend(edges.map(|edge| edge.to).filter(|to| seen.insert(*to)));
        }
    }
    seen
}
