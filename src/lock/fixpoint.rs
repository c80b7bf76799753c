//! Under which condition each node of a graph is reached, if its edges have conditions. Knows nothing of what the nodes are.

use std::collections::{BTreeMap, BTreeSet};

use pep508_rs::MarkerTree;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::DfsPostOrder;

use super::decision::{TooComplex, both, either};

/// Most times that the condition of one node may grow. It does once per way that is found to it out of order, which only
/// cycles make more than a few.
const MOST_GROWTHS: usize = 256;

/// Edges by the node they leave: where to, and when they hold.
pub type ConditionalEdges = [Vec<(usize, MarkerTree)>];

/// The least conditions such that each of `starts` holds, and a node does wherever a node with an edge to it does and
/// that edge: `or` over all ways of `and` along each. `Err` names the node at which they grow too large.
///
/// Nodes are visited in an order in which those of a graph without cycles come after all that leads to them, so that each
/// is visited once; cycles are gone round until nothing grows.
pub fn reached_under(
    edges: &ConditionalEdges,
    starts: &[(usize, MarkerTree)],
) -> Result<Vec<MarkerTree>, (usize, TooComplex)> {
    let order = order(edges, starts);
    let mut conditions = vec![MarkerTree::FALSE; edges.len()];
    let mut growths = vec![0_usize; edges.len()];
    let mut waiting = BTreeSet::new();
    let mut grow = |node: usize, by: &MarkerTree, conditions: &mut Vec<MarkerTree>| {
        let grown = either(&conditions[node], by).map_err(|error| (node, error))?;
        if grown == conditions[node] {
            return Ok(false);
        }
        growths[node] += 1;
        if growths[node] > MOST_GROWTHS {
            return Err((node, TooComplex));
        }
        conditions[node] = grown;
        Ok(true)
    };
    for (node, condition) in starts {
        if grow(*node, condition, &mut conditions)? {
            waiting.insert((order[node], *node));
        }
    }
    while let Some((_, node)) = waiting.pop_first() {
        let here = conditions[node].clone();
        for (to, marker) in &edges[node] {
            let there = both(&here, marker).map_err(|error| (*to, error))?;
            if grow(*to, &there, &mut conditions)? {
                waiting.insert((order[to], *to));
            }
        }
    }
    Ok(conditions)
}

/// The place of each node that can be reached in a reverse post-order.
fn order(edges: &ConditionalEdges, starts: &[(usize, MarkerTree)]) -> BTreeMap<usize, usize> {
    let graph = graph(edges);
    let mut search = DfsPostOrder::empty(&graph);
    let mut finished = Vec::new();
    for (start, _) in starts {
        search.move_to(NodeIndex::new(*start));
        while let Some(node) = search.next(&graph) {
            finished.push(node.index());
        }
    }
    finished.into_iter().rev().enumerate().map(|(place, node)| (node, place)).collect()
}

/// The sets of nodes that all reach each other, each sorted, by the set of each node. Kosaraju's algorithm, which, unlike
/// petgraph's version of Tarjan's, does not recurse.
pub fn strongly_connected(edges: &ConditionalEdges) -> Vec<Vec<usize>> {
    let components = petgraph::algo::kosaraju_scc(&graph(edges));
    components
        .into_iter()
        .map(|component| {
            let mut nodes: Vec<_> = component.into_iter().map(NodeIndex::index).collect();
            nodes.sort_unstable();
            nodes
        })
        .collect()
}

fn graph(edges: &ConditionalEdges) -> DiGraph<(), ()> {
    let mut graph = DiGraph::with_capacity(edges.len(), edges.iter().map(Vec::len).sum());
    for _ in edges {
        graph.add_node(());
    }
    for (from, edges) in edges.iter().enumerate() {
        for (to, _) in edges {
            graph.add_edge(NodeIndex::new(from), NodeIndex::new(*to), ());
        }
    }
    graph
}
