//! Markers as functions of the environment: how large one is, its atoms decided, its branches that cannot matter left
//! out, its text. pep508_rs keeps a marker as a decision diagram and offers to walk it; that is all that is done here.
//! Knows nothing of locks, nor of what an `extra` atom stands for.
//!
//! Everything that walks a diagram, here and in pep508_rs, goes as deep as there are variables on one path, and two
//! diagrams of sizes m and n may make one of m·n. So nothing is done with a diagram before [`bounded`] has seen it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use pep440_rs::{Version, VersionSpecifier};
use pep508_rs::{
    ExtraName, MarkerExpression, MarkerOperator, MarkerTree, MarkerTreeKind, MarkerValueExtra,
    MarkerValueString, MarkerValueVersion,
};

/// Most decisions of one marker. Real locks need some 60 at most.
const MOST_DECISIONS: usize = 512;
/// Most variables on one path through a marker: each is a level of recursion in pep508_rs.
const DEEPEST: usize = 96;
/// Most alternatives of a marker that is written as text; each is an `or`.
const MOST_ALTERNATIVES: u64 = 1024;

/// A marker is too large to be worked with. None that a resolver writes is; one that is made to be can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its condition has more than {MOST_DECISIONS} decisions, or more than {DEEPEST} below each other")]
pub struct TooComplex;

/// The shape of a diagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// Variables on the longest path.
    depth: usize,
    /// Paths to `true`.
    alternatives: u64,
}

/// Refuses `marker` if it is too large.
pub fn bounded(marker: MarkerTree) -> Result<MarkerTree, TooComplex> {
    shape(&marker)?;
    Ok(marker)
}

/// `one` and `other`, which are bounded.
pub fn both(one: &MarkerTree, other: &MarkerTree) -> Result<MarkerTree, TooComplex> {
    let mut marker = one.clone();
    marker.and(other.clone());
    if marker == *other || marker == *one { Ok(marker) } else { bounded(marker) }
}

/// `one` or `other`, which are bounded.
pub fn either(one: &MarkerTree, other: &MarkerTree) -> Result<MarkerTree, TooComplex> {
    let mut marker = one.clone();
    marker.or(other.clone());
    if marker == *other || marker == *one { Ok(marker) } else { bounded(marker) }
}

/// The text of `marker`, `None` if it always holds. One that never holds is `python_version < '0'`, as in pep508_rs.
/// What would be longer than anybody can use is refused: text lists all ways through a diagram, and there can be
/// exponentially many.
pub fn text(marker: &MarkerTree) -> Result<Option<String>, TooComplex> {
    if shape(marker)?.alternatives > MOST_ALTERNATIVES {
        return Err(TooComplex);
    }
    Ok(marker.try_to_string())
}

/// [`text()`] for messages, where any marker must do.
pub fn describe(marker: &MarkerTree) -> String {
    match text(marker) {
        Ok(Some(text)) => text,
        Ok(None) => "any environment".into(),
        Err(_) => "environments that take too many words".into(),
    }
}

/// Walks without recursion: what comes in here may be of any size.
fn shape(marker: &MarkerTree) -> Result<Shape, TooComplex> {
    let mut shapes: HashMap<MarkerTree, Shape> = HashMap::new();
    let mut open = vec![(marker.clone(), false)];
    while let Some((tree, children_are_known)) = open.pop() {
        if shapes.contains_key(&tree) {
            continue;
        }
        let children = children(&tree);
        if !children_are_known && !children.is_empty() {
            if open.len() > MOST_DECISIONS * 4 {
                return Err(TooComplex);
            }
            open.push((tree, true));
            open.extend(children.into_iter().map(|child| (child, false)));
            continue;
        }
        let below = children.iter().filter_map(|child| shapes.get(child));
        let shape = below.fold(Shape { depth: 0, alternatives: 0 }, |sum, child| Shape {
            depth: sum.depth.max(child.depth + 1),
            alternatives: sum.alternatives.saturating_add(child.alternatives),
        });
        let shape = Shape { alternatives: shape.alternatives + u64::from(tree.is_true()), ..shape };
        shapes.insert(tree, shape);
        if shapes.len() > MOST_DECISIONS || shape.depth > DEEPEST {
            return Err(TooComplex);
        }
    }
    Ok(shapes[marker])
}

fn children(tree: &MarkerTree) -> Vec<MarkerTree> {
    match tree.kind() {
        MarkerTreeKind::True | MarkerTreeKind::False => Vec::new(),
        MarkerTreeKind::Version(node) => node.edges().map(|(_, child)| child).collect(),
        MarkerTreeKind::String(node) => node.children().map(|(_, child)| child).collect(),
        MarkerTreeKind::In(node) => vec![node.edge(true), node.edge(false)],
        MarkerTreeKind::Contains(node) => vec![node.edge(true), node.edge(false)],
        MarkerTreeKind::Extra(node) => vec![node.edge(true), node.edge(false)],
    }
}

/// The `extra` atoms in `marker`, each once.
pub fn atoms_of(marker: &MarkerTree) -> Vec<ExtraName> {
    let (mut seen, mut atoms) = (HashSet::new(), BTreeSet::new());
    let mut open = vec![marker.clone()];
    while let Some(tree) = open.pop() {
        if let MarkerTreeKind::Extra(node) = tree.kind()
            && let MarkerValueExtra::Extra(name) = node.name()
        {
            atoms.insert(name.clone());
        }
        open.extend(children(&tree).into_iter().filter(|child| seen.insert(child.clone())));
    }
    atoms.into_iter().collect()
}

/// Puts a condition in the place of each `extra` atom, `true` and `false` among them.
/// ([`MarkerTree::simplify_extras_with`] can only make atoms true.) Locks have few markers on many edges, so each is
/// decided once.
pub struct Decider<'a> {
    conditions: &'a BTreeMap<ExtraName, MarkerTree>,
    atoms: HashMap<MarkerTree, Vec<ExtraName>>,
    /// By the marker and what is true in it beside `conditions`.
    decided: HashMap<(MarkerTree, Vec<ExtraName>), MarkerTree>,
}

impl<'a> Decider<'a> {
    /// Replaces each atom by its condition; by `false` if it has none.
    pub fn new(conditions: &'a BTreeMap<ExtraName, MarkerTree>) -> Self {
        Self { conditions, atoms: HashMap::new(), decided: HashMap::new() }
    }

    /// `marker` without atoms; those that `is_given` are true.
    pub fn decide(
        &mut self,
        marker: &MarkerTree,
        is_given: impl Fn(&ExtraName) -> bool,
    ) -> Result<MarkerTree, TooComplex> {
        if !self.atoms.contains_key(marker) {
            self.atoms.insert(marker.clone(), atoms_of(&bounded(marker.clone())?));
        }
        let given = self.atoms[marker].iter().filter(|atom| is_given(atom)).cloned().collect();
        self.without_atoms(marker, &given)
    }

    fn without_atoms(&mut self, tree: &MarkerTree, given: &Vec<ExtraName>) -> Result<MarkerTree, TooComplex> {
        let key = (tree.clone(), given.clone());
        if let Some(known) = self.decided.get(&key) {
            return Ok(known.clone());
        }
        let decided = match tree.kind() {
            MarkerTreeKind::True | MarkerTreeKind::False => tree.clone(),
            MarkerTreeKind::Extra(node) => {
                let condition = match node.name() {
                    MarkerValueExtra::Extra(name) if given.contains(name) => MarkerTree::TRUE,
                    MarkerValueExtra::Extra(name) => {
                        self.conditions.get(name).cloned().unwrap_or(MarkerTree::FALSE)
                    }
                    MarkerValueExtra::Arbitrary(_) => MarkerTree::FALSE,
                };
                let (yes, no) = (node.edge(true), node.edge(false));
                choose(&condition, &self.without_atoms(&yes, given)?, &self.without_atoms(&no, given)?)?
            }
            _ if self.atoms.get(tree).is_some_and(Vec::is_empty) => tree.clone(),
            _ => {
                let mut decided = MarkerTree::FALSE;
                for (branch, child) in branches(tree) {
                    decided = either(&decided, &both(&branch, &self.without_atoms(&child, given)?)?)?;
                }
                decided
            }
        };
        self.decided.insert(key, decided.clone());
        Ok(decided)
    }
}

/// `yes` where `condition` holds, `no` elsewhere.
fn choose(condition: &MarkerTree, yes: &MarkerTree, no: &MarkerTree) -> Result<MarkerTree, TooComplex> {
    either(&both(condition, yes)?, &both(&condition.negate(), no)?)
}

/// The ways on from the first decision of `tree`: a marker that says which, and what follows.
fn branches(tree: &MarkerTree) -> Vec<(MarkerTree, MarkerTree)> {
    let binary = |yes: MarkerExpression, when_true: MarkerTree, when_false: MarkerTree| {
        let yes = MarkerTree::expression(yes);
        vec![(yes.clone(), when_true), (yes.negate(), when_false)]
    };
    let containment = |key: &MarkerValueString, operator, value: &str| MarkerExpression::String {
        key: key.clone(),
        operator,
        value: value.to_owned(),
    };
    match tree.kind() {
        MarkerTreeKind::True | MarkerTreeKind::False => Vec::new(),
        MarkerTreeKind::Version(node) => {
            let key = node.key().clone();
            pieces(node.edges().map(|(range, child)| (range.bounding_range(), child)))
                .into_iter()
                .map(|(interval, child)| (interval.of_versions(&key), child))
                .collect()
        }
        MarkerTreeKind::String(node) => {
            let key = node.key().clone();
            pieces(node.children().map(|(range, child)| (range.bounding_range(), child)))
                .into_iter()
                .map(|(interval, child)| (interval.of_strings(&key), child))
                .collect()
        }
        MarkerTreeKind::In(node) => {
            let yes = containment(node.key(), MarkerOperator::In, node.value());
            binary(yes, node.edge(true), node.edge(false))
        }
        MarkerTreeKind::Contains(node) => {
            let yes = containment(node.key(), MarkerOperator::Contains, node.value());
            binary(yes, node.edge(true), node.edge(false))
        }
        MarkerTreeKind::Extra(node) => {
            let yes = MarkerExpression::Extra {
                operator: pep508_rs::ExtraOperator::Equal,
                name: node.name().clone(),
            };
            binary(yes, node.edge(true), node.edge(false))
        }
    }
}

/// Values from one bound to another, without gaps.
#[derive(Clone, Debug)]
struct Interval<V> {
    lower: Bound<V>,
    upper: Bound<V>,
}

type Borrowed<'a, V> = Option<(Bound<&'a V>, Bound<&'a V>)>;

fn pieces<'a, V: Clone + 'a>(
    edges: impl Iterator<Item = (Borrowed<'a, V>, MarkerTree)>,
) -> Vec<(Interval<V>, MarkerTree)> {
    edges
        .filter_map(|(bounds, child)| {
            let (lower, upper) = bounds?;
            Some((Interval { lower: lower.cloned(), upper: upper.cloned() }, child))
        })
        .collect()
}

impl Interval<Version> {
    fn of_versions(&self, key: &MarkerValueVersion) -> MarkerTree {
        let mut marker = MarkerTree::TRUE;
        for specifier in VersionSpecifier::from_release_only_bounds((&self.lower, &self.upper)) {
            marker.and(MarkerTree::expression(MarkerExpression::Version { key: key.clone(), specifier }));
        }
        marker
    }
}

impl Interval<String> {
    fn of_strings(&self, key: &MarkerValueString) -> MarkerTree {
        let mut marker = MarkerTree::TRUE;
        for (operator, value) in MarkerOperator::from_bounds((&self.lower, &self.upper)) {
            let expression = MarkerExpression::String { key: key.clone(), operator, value };
            marker.and(MarkerTree::expression(expression));
        }
        marker
    }
}

/// `marker` without what `assumed` implies: it gives the same answer in every environment in which `assumed` holds, and
/// any elsewhere. Never longer than `marker`.
pub fn simplify_where(marker: &MarkerTree, assumed: &MarkerTree) -> Result<MarkerTree, TooComplex> {
    if marker.is_true() || marker.is_false() || assumed.is_true() {
        return Ok(marker.clone());
    }
    if both(marker, assumed)?.is_false() {
        return Ok(MarkerTree::FALSE);
    }
    if both(&marker.negate(), assumed)?.is_false() {
        return Ok(MarkerTree::TRUE);
    }
    let simplified = bounded(restrict(marker, assumed, &mut HashMap::new())?)?;
    let (before, after) = (shape(marker)?, shape(&simplified)?);
    let is_better = (after.alternatives, after.depth) < (before.alternatives, before.depth);
    Ok(if is_better { simplified } else { marker.clone() })
}

type Restricted = HashMap<(MarkerTree, MarkerTree), MarkerTree>;

/// Goes down both diagrams at once; where `assumed` is false, anything will do, so what is beside it is taken.
fn restrict(
    marker: &MarkerTree,
    assumed: &MarkerTree,
    known: &mut Restricted,
) -> Result<MarkerTree, TooComplex> {
    if marker.is_true() || marker.is_false() || assumed.is_true() || assumed.is_false() {
        return Ok(marker.clone());
    }
    let key = (marker.clone(), assumed.clone());
    if let Some(restricted) = known.get(&key) {
        return Ok(restricted.clone());
    }
    if known.len() > MOST_DECISIONS * 8 {
        return Err(TooComplex);
    }
    let restricted = match variable(marker).cmp(&variable(assumed)) {
        // What `assumed` says of a variable that `marker` does not ask for helps nobody.
        std::cmp::Ordering::Greater => {
            let mut anyhow = MarkerTree::FALSE;
            for child in children(assumed) {
                anyhow = either(&anyhow, &child)?;
            }
            restrict(marker, &anyhow, known)?
        }
        std::cmp::Ordering::Less => {
            let parts = branches(marker).into_iter();
            merged(parts.map(|(branch, child)| (branch, child, assumed.clone())).collect(), known)?
        }
        std::cmp::Ordering::Equal => merged(common_branches(marker, assumed), known)?,
    };
    known.insert(key, restricted.clone());
    Ok(restricted)
}

/// Puts `(which branch, what follows, what is assumed there)` together again.
fn merged(
    parts: Vec<(MarkerTree, MarkerTree, MarkerTree)>,
    known: &mut Restricted,
) -> Result<MarkerTree, TooComplex> {
    let mut results = Vec::with_capacity(parts.len());
    for (_, child, assumed) in &parts {
        results.push(if assumed.is_false() { None } else { Some(restrict(child, assumed, known)?) });
    }
    let first = results.iter().flatten().next().cloned().unwrap_or(MarkerTree::FALSE);
    let mut beside = first;
    let mut marker = MarkerTree::FALSE;
    for ((branch, _, _), result) in parts.iter().zip(results) {
        beside = result.unwrap_or(beside);
        marker = either(&marker, &both(branch, &beside)?)?;
    }
    Ok(marker)
}

/// The branches of two diagrams that decide the same variable first, cut where either is.
fn common_branches(one: &MarkerTree, other: &MarkerTree) -> Vec<(MarkerTree, MarkerTree, MarkerTree)> {
    match (one.kind(), other.kind()) {
        (MarkerTreeKind::Version(a), MarkerTreeKind::Version(b)) => {
            let a_pieces = pieces(a.edges().map(|(range, child)| (range.bounding_range(), child)));
            let b_pieces = pieces(b.edges().map(|(range, child)| (range.bounding_range(), child)));
            let cut = cut_alike(&a_pieces, &b_pieces).into_iter();
            cut.map(|(interval, a_child, b_child)| (interval.of_versions(a.key()), a_child, b_child))
                .collect()
        }
        (MarkerTreeKind::String(a), MarkerTreeKind::String(b)) => {
            let a_pieces = pieces(a.children().map(|(range, child)| (range.bounding_range(), child)));
            let b_pieces = pieces(b.children().map(|(range, child)| (range.bounding_range(), child)));
            let cut = cut_alike(&a_pieces, &b_pieces).into_iter();
            cut.map(|(interval, a_child, b_child)| (interval.of_strings(a.key()), a_child, b_child)).collect()
        }
        _ => {
            let others = branches(other).into_iter().map(|(_, child)| child);
            branches(one)
                .into_iter()
                .zip(others)
                .map(|((branch, a_child), b_child)| (branch, a_child, b_child))
                .collect()
        }
    }
}

/// Both partitions of the same values, in order, cut wherever one of them is.
fn cut_alike<V: Ord + Clone>(
    one: &[(Interval<V>, MarkerTree)],
    other: &[(Interval<V>, MarkerTree)],
) -> Vec<(Interval<V>, MarkerTree, MarkerTree)> {
    let mut cut = Vec::new();
    let (mut at, mut other_at) = (0, 0);
    let mut lower = Bound::Unbounded;
    while let (Some((a, a_child)), Some((b, b_child))) = (one.get(at), other.get(other_at)) {
        let order = compare_ends(&a.upper, &b.upper);
        let upper = if order.is_le() { a.upper.clone() } else { b.upper.clone() };
        at += usize::from(order.is_le());
        other_at += usize::from(order.is_ge());
        let next = match &upper {
            Bound::Included(value) => Bound::Excluded(value.clone()),
            Bound::Excluded(value) => Bound::Included(value.clone()),
            Bound::Unbounded => Bound::Unbounded,
        };
        cut.push((Interval { lower, upper }, a_child.clone(), b_child.clone()));
        lower = next;
    }
    cut
}

fn compare_ends<V: Ord>(one: &Bound<V>, other: &Bound<V>) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    let (a, b) = match (one, other) {
        (Bound::Unbounded, Bound::Unbounded) => return Ordering::Equal,
        (Bound::Unbounded, _) => return Ordering::Greater,
        (_, Bound::Unbounded) => return Ordering::Less,
        (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => (a, b),
    };
    let is_included = |bound: &Bound<V>| matches!(bound, Bound::Included(_));
    a.cmp(b).then(is_included(one).cmp(&is_included(other)))
}

/// What a diagram decides first. The order is that of pep508_rs, in which variables come on every path.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Variable {
    Version(MarkerValueVersion),
    String(MarkerValueString),
    In(MarkerValueString, String),
    Contains(MarkerValueString, String),
    Extra(MarkerValueExtra),
    None,
}

fn variable(tree: &MarkerTree) -> Variable {
    match tree.kind() {
        MarkerTreeKind::True | MarkerTreeKind::False => Variable::None,
        MarkerTreeKind::Version(node) => Variable::Version(node.key().clone()),
        MarkerTreeKind::String(node) => Variable::String(node.key().clone()),
        MarkerTreeKind::In(node) => Variable::In(node.key().clone(), node.value().to_owned()),
        MarkerTreeKind::Contains(node) => Variable::Contains(node.key().clone(), node.value().to_owned()),
        MarkerTreeKind::Extra(node) => Variable::Extra(node.name().clone()),
    }
}
