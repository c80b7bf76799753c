//! What one environment needs of a lock: the nodes that are reached. Knows nothing of files.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, MarkerEnvironment};

use super::configuration::Configuration;
use super::conflicts::{ActiveAtoms, ConflictItem};
use super::decision::describe;
use super::edge::Edge;
use super::error::{LockError, described};
use super::graph::{Graph, NodeId};
use super::lock_file::Lock;
use super::project::Project;
use super::record_index::RecordIndex;

/// What one environment needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure {
    nodes: BTreeSet<NodeId>,
    extras: BTreeMap<RecordIndex, BTreeSet<ExtraName>>,
}

impl Closure {
    /// The nodes of `graph` that `configuration` reaches in an environment.
    ///
    /// # Errors
    /// If the lock or a group is not for that environment, or if what is in conflict becomes active together.
    pub fn of(
        graph: &Graph<'_>,
        configuration: &Configuration,
        environment: &MarkerEnvironment,
    ) -> Result<Self, LockError> {
        check_environment(graph.lock(), configuration, environment)?;
        check_forks(graph.lock(), configuration, environment)?;
        let mut walk = Walk { graph, environment, active: Active::of(configuration, graph.lock()) };
        let start = walk.start(configuration);
        if !graph.lock().conflicts().is_empty() {
            walk.activate(&start);
            walk.active.check(graph.lock())?;
        }
        Ok(walk.reach(&start))
    }

    /// The nodes reached: records, and those of their extras that need something.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().copied()
    }

    /// Whether a node is reached.
    pub fn contains(&self, node: NodeId) -> bool {
        self.nodes.contains(&node)
    }

    /// The records reached, in the lock's order, each with the extras asked for, those that need nothing included.
    pub fn records(&self) -> impl Iterator<Item = (RecordIndex, &BTreeSet<ExtraName>)> {
        self.extras.iter().map(|(record, extras)| (*record, extras))
    }
}

impl Project {
    /// What `configuration` needs in an environment.
    ///
    /// # Errors
    /// Those of [`Closure::of`].
    pub fn closure(
        &self,
        configuration: &Configuration,
        environment: &MarkerEnvironment,
    ) -> Result<Closure, LockError> {
        Closure::of(&Graph::of(self.lock()), configuration, environment)
    }
}

fn check_environment(
    lock: &Lock,
    configuration: &Configuration,
    environment: &MarkerEnvironment,
) -> Result<(), LockError> {
    let no_atoms = ActiveAtoms::default();
    let supported = lock.supported_markers();
    if !supported.is_empty() && !supported.iter().any(|marker| no_atoms.hold(marker, environment, None)) {
        let texts: Vec<_> = supported.iter().map(describe).collect();
        return Err(LockError::UnsupportedEnvironment {
            lock: lock.path().to_owned(),
            environment: described(environment),
            supported: texts.join(" or "),
        });
    }
    check_python(&lock.path().display().to_string(), lock.requires_python(), environment)?;
    let groups = configuration.pythons(lock);
    groups.iter().try_for_each(|group| check_python(&group.by, &group.specifiers, environment))
}

/// Whether `what` is for the Python of `environment`.
pub(super) fn check_python(
    what: &str,
    requires: &VersionSpecifiers,
    environment: &MarkerEnvironment,
) -> Result<(), LockError> {
    let python = &environment.python_full_version().version;
    // A pre-release of 3.14 is a 3.14 here, as for uv.
    if requires.contains(&Version::new(python.release())) {
        return Ok(());
    }
    Err(LockError::RequiresPython {
        what: what.to_owned(),
        requires: requires.to_string(),
        python: python.to_string(),
    })
}

/// What the manifest asks for has no version, so that a record has to be for the environment.
fn check_forks(
    lock: &Lock,
    configuration: &Configuration,
    environment: &MarkerEnvironment,
) -> Result<(), LockError> {
    let active = configuration.active_atoms(lock);
    let manifest = lock.manifest();
    let groups =
        configuration.manifest_groups.iter().filter_map(|group| manifest.dependency_groups.get(group));
    for dependency in groups.flatten() {
        let holds = |marker| active.hold(marker, environment, None);
        let is_met = dependency.candidates.iter().any(|candidate| holds(&candidate.marker));
        if holds(&dependency.requirement.marker) && !is_met {
            return Err(LockError::NoFork {
                lock: lock.path().to_owned(),
                requirement: dependency.requirement.name.to_string(),
                environment: described(environment),
            });
        }
    }
    Ok(())
}

/// The atoms that are true, and the items that made them so.
struct Active {
    atoms: ActiveAtoms,
    items: BTreeSet<ConflictItem>,
}

impl Active {
    fn of(configuration: &Configuration, lock: &Lock) -> Self {
        let items = configuration.active_items(lock).into_iter().collect();
        Self { atoms: configuration.active_atoms(lock), items }
    }

    fn activate(&mut self, items: Vec<ConflictItem>) {
        for item in items {
            self.atoms.activate(&item);
            self.items.insert(item);
        }
    }

    fn check(&self, lock: &Lock) -> Result<(), LockError> {
        for set in lock.conflicts() {
            let active: BTreeSet<_> = set.iter().filter(|item| self.items.contains(item)).collect();
            let mut active = active.into_iter();
            if let (Some(first), Some(second)) = (active.next(), active.next()) {
                return Err(LockError::Conflict { first: first.clone(), second: second.clone() });
            }
        }
        Ok(())
    }
}

/// A record, with an extra or none: an extra that needs nothing has no node.
type Target<'l> = (RecordIndex, Option<&'l ExtraName>);

struct Walk<'g, 'l> {
    graph: &'g Graph<'l>,
    environment: &'g MarkerEnvironment,
    active: Active,
}

impl<'g> Walk<'g, '_> {
    /// Where the configuration begins. Activates the extras that its groups ask for.
    fn start<'c: 'g>(&mut self, configuration: &'c Configuration) -> Vec<Target<'g>> {
        let mut start = Vec::new();
        if !configuration.only_groups {
            for root in &configuration.roots {
                start.push((root.record, None));
                start.extend(root.extras.iter().map(|extra| (root.record, Some(extra))));
            }
        }
        for edge in configuration.first_edges(self.graph) {
            if self.holds_with_its_own_extras(edge, None) {
                self.active.activate(self.items(edge));
                start.extend(targets(edge));
            }
        }
        start
    }

    /// Activates the extras of all edges that are taken.
    fn activate(&mut self, start: &[Target<'g>]) {
        self.walk(start, |walk, edge, within| {
            let holds = walk.holds_with_its_own_extras(edge, within);
            if holds {
                walk.active.activate(walk.items(edge));
            }
            holds
        });
    }

    fn reach(mut self, start: &[Target<'g>]) -> Closure {
        let visited = self
            .walk(start, |walk, edge, within| walk.active.atoms.hold(&edge.marker, walk.environment, within));
        let mut closure = Closure { nodes: BTreeSet::new(), extras: BTreeMap::new() };
        for (record, extra) in visited {
            closure.nodes.insert(self.graph.base(record));
            closure.nodes.extend(self.graph.node(record, extra));
            closure.extras.entry(record).or_default().extend(extra.cloned());
        }
        closure
    }

    /// All that is reached from `start` by edges that `takes` says are taken, the nearest first.
    fn walk(
        &mut self,
        start: &[Target<'g>],
        mut takes: impl FnMut(&mut Self, &Edge, Option<&ExtraName>) -> bool,
    ) -> Vec<Target<'g>> {
        let graph = self.graph;
        let mut seen: HashSet<Target<'g>> = HashSet::new();
        let (mut visited, mut ahead) = (Vec::new(), VecDeque::new());
        ahead.extend(start.iter().copied().filter(|target| seen.insert(*target)));
        while let Some((record, extra)) = ahead.pop_front() {
            visited.push((record, extra));
            let node = graph.node(record, extra);
            for edge in node.into_iter().flat_map(|node| graph.edges(node)) {
                if takes(self, edge, extra) {
                    ahead.extend(targets(edge).filter(|target| seen.insert(*target)));
                }
            }
        }
        visited
    }

    /// Whether an edge is taken if the extras it asks for are active.
    fn holds_with_its_own_extras(&self, edge: &Edge, within: Option<&ExtraName>) -> bool {
        if edge.extras.is_empty() || edge.marker.is_true() {
            return self.active.atoms.hold(&edge.marker, self.environment, within);
        }
        let mut atoms = self.active.atoms.clone();
        for item in self.items(edge) {
            atoms.activate(&item);
        }
        atoms.hold(&edge.marker, self.environment, within)
    }

    /// What an edge activates: an extra that needs nothing is not in the lock, so it does not become active by an edge.
    fn items(&self, edge: &Edge) -> Vec<ConflictItem> {
        let name = &self.graph.lock().record(edge.to).name;
        let extras = edge.extras.iter().filter(|extra| self.graph.node(edge.to, Some(extra)).is_some());
        extras.map(|extra| ConflictItem::extra(name, extra)).collect()
    }
}

fn targets(edge: &Edge) -> impl Iterator<Item = Target<'_>> {
    std::iter::once((edge.to, None)).chain(edge.extras.iter().map(|extra| (edge.to, Some(extra))))
}
