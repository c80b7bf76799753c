//! Any lock: packages in one or two versions, edges with markers, extras, groups, conflicts and cycles, and what is wanted of
//! it. Markers ask for platforms and Pythons, for conflict atoms, and for both.

use std::fmt::Write;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use crate::lock::{Configuration, Lock, Root};

/// What the packages are called. The first two are members, with extras and groups of their own.
const NAMES: [&str; 7] = ["root", "member", "a", "b", "c", "d", "e"];
const MEMBERS: usize = 2;
const EXTRAS: [&str; 3] = ["x", "y", "z"];
const GROUPS: [&str; 2] = ["g", "h"];
const MANIFEST_GROUPS: [&str; 2] = ["m", "n"];

const PLATFORM_ATOMS: [&str; 16] = [
    "python_version < '3.12'",
    "python_version >= '3.12'",
    "python_full_version >= '3.11.4'",
    "python_full_version == '3.12.1'",
    "python_version in '3.10 3.13'",
    "sys_platform == 'linux'",
    "sys_platform != 'linux'",
    "sys_platform == 'win32'",
    "platform_system == 'Darwin'",
    "os_name == 'nt'",
    "platform_machine == 'x86_64'",
    "platform_machine != 'aarch64'",
    "'arm' in platform_machine",
    "'rpi' not in platform_release",
    "platform_machine in 'x86_64 AMD64'",
    "implementation_name == 'cpython'",
];

const CONFLICT_ATOMS: [&str; 10] = [
    "extra-4-root-x",
    "extra-4-root-y",
    "extra-6-member-x",
    "group-4-root-g",
    "group-4-root-h",
    "group-6-member-g",
    "project-4-root",
    "extra-1-a-x",
    "extra-1-a-y",
    "extra-1-b-x",
];

/// What `CONFLICT_ATOMS` stand for, as `conflicts` spells it.
const CONFLICT_ITEMS: [&str; 10] = [
    "package = 'root', extra = 'x'",
    "package = 'root', extra = 'y'",
    "package = 'member', extra = 'x'",
    "package = 'root', group = 'g'",
    "package = 'root', group = 'h'",
    "package = 'member', group = 'g'",
    "package = 'root'",
    "package = 'a', extra = 'x'",
    "package = 'a', extra = 'y'",
    "package = 'b', extra = 'x'",
];

const REQUIRES_PYTHON: [&str; 4] = ["", ">=3.10", ">=3.11", ">=3.10,<3.13"];

/// A lock, and what is wanted of it.
#[derive(Clone, Debug)]
pub struct Generated {
    pub text: String,
    pub configuration: Wanted,
}

/// What is wanted, by names.
#[derive(Clone, Debug)]
pub struct Wanted {
    roots: Vec<(&'static str, Vec<&'static str>, Vec<&'static str>)>,
    manifest_groups: Vec<&'static str>,
    only_groups: bool,
}

impl Generated {
    pub fn lock(&self) -> Lock {
        Lock::parse(&self.text, Path::new("uv.lock")).unwrap()
    }
}

impl Wanted {
    pub fn of(&self, lock: &Lock) -> Configuration {
        let roots = self.roots.iter().map(|(name, extras, groups)| Root {
            record: lock.named(&name.parse().unwrap())[0],
            extras: extras.iter().map(|extra| extra.parse().unwrap()).collect(),
            groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
        });
        Configuration {
            roots: roots.collect(),
            manifest_groups: self.manifest_groups.iter().map(|group| group.parse().unwrap()).collect(),
            only_groups: self.only_groups,
            ..Configuration::default()
        }
    }
}

/// An edge before it is known between what.
#[derive(Clone, Debug)]
struct LooseEdge {
    from: Index,
    slot: Slot,
    to: Index,
    extras: Vec<&'static str>,
    marker: Option<String>,
}

#[derive(Clone, Debug)]
enum Slot {
    Base,
    Extra(&'static str),
    Group(&'static str),
    Manifest(&'static str),
}

/// Any of them.
pub fn generated() -> impl Strategy<Value = Generated> {
    (
        proptest::collection::vec(any::<bool>(), NAMES.len() - MEMBERS),
        any::<bool>(),
        proptest::collection::vec(edge(), 3..26),
        proptest::collection::vec(subsequence(CONFLICT_ITEMS.to_vec(), 2..4), 0..3),
        prop_oneof![
            2 => Just(Vec::new()),
            1 => proptest::collection::vec(platform_marker(), 1..3)
        ],
        select(REQUIRES_PYTHON.to_vec()),
        wanted(),
    )
        .prop_map(
            |(twice, are_forks, edges, conflicts, environments, requires_python, configuration)| {
                let records = records(&twice);
                let text = text(&records, are_forks, &edges, &conflicts, &environments, requires_python);
                Generated { text, configuration }
            },
        )
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let root = |name| {
        let extras = subsequence(EXTRAS.to_vec(), 0..=EXTRAS.len());
        (Just(name), extras, subsequence(GROUPS.to_vec(), 0..=GROUPS.len()))
    };
    let roots = (root("root"), root("member"), 0..4_u8).prop_map(|(root, member, which)| match which {
        0 => vec![root, member],
        1 => vec![member],
        _ => vec![root],
    });
    let manifest_groups = subsequence(MANIFEST_GROUPS.to_vec(), 0..=MANIFEST_GROUPS.len());
    (roots, manifest_groups, proptest::bool::weighted(0.2))
        .prop_map(|(roots, manifest_groups, only_groups)| Wanted { roots, manifest_groups, only_groups })
}

fn edge() -> impl Strategy<Value = LooseEdge> {
    let slot = prop_oneof![
        6 => Just(Slot::Base),
        4 => select(EXTRAS.to_vec()).prop_map(Slot::Extra),
        2 => select(GROUPS.to_vec()).prop_map(Slot::Group),
        1 => select(MANIFEST_GROUPS.to_vec()).prop_map(Slot::Manifest),
    ];
    let extras = prop_oneof![
        2 => Just(Vec::new()),
        1 => subsequence(EXTRAS.to_vec(), 1..3),
    ];
    let marker = proptest::option::weighted(0.6, marker());
    (any::<Index>(), slot, any::<Index>(), extras, marker)
        .prop_map(|(from, slot, to, extras, marker)| LooseEdge { from, slot, to, extras, marker })
}

/// One with conflict atoms or without.
pub fn marker() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        3 => select(PLATFORM_ATOMS.to_vec()).prop_map(str::to_owned),
        2 => (select(CONFLICT_ATOMS.to_vec()), select(vec!["==", "!="]))
            .prop_map(|(name, operator)| format!("extra {operator} '{name}'")),
        1 => select(EXTRAS.to_vec()).prop_map(|extra| format!("extra == '{extra}'")),
    ];
    compound(atom.boxed())
}

/// One about the environment alone.
pub fn platform_marker() -> impl Strategy<Value = String> {
    compound(select(PLATFORM_ATOMS.to_vec()).prop_map(str::to_owned).boxed())
}

fn compound(atom: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    atom.prop_recursive(2, 5, 3, |inner| {
        (proptest::collection::vec(inner, 2..4), select(vec![" and ", " or "]))
            .prop_map(|(parts, operator)| format!("({})", parts.join(operator)))
    })
}

/// Name and version of each record.
fn records(twice: &[bool]) -> Vec<(&'static str, &'static str)> {
    let mut records: Vec<_> = NAMES[..MEMBERS].iter().map(|name| (*name, "0")).collect();
    for (name, twice) in NAMES[MEMBERS..].iter().zip(twice) {
        records.push((name, "1"));
        if *twice {
            records.push((name, "2"));
        }
    }
    records
}

fn text(
    records: &[(&'static str, &'static str)],
    are_forks: bool,
    edges: &[LooseEdge],
    conflicts: &[Vec<&str>],
    environments: &[String],
    requires_python: &str,
) -> String {
    let mut text = format!("version = 1\nrevision = 3\nrequires-python = \"{requires_python}\"\n");
    let list = |items: &[String]| items.iter().map(|item| format!("\"{item}\", ")).collect::<String>();
    if !environments.is_empty() {
        let _ = writeln!(text, "supported-markers = [{}]", list(environments));
    }
    let sets = conflicts
        .iter()
        .map(|set| format!("[{}], ", set.iter().map(|item| format!("{{ {item} }}, ")).collect::<String>()));
    let _ = writeln!(text, "conflicts = [{}]", sets.collect::<String>());
    let _ = writeln!(text, "[manifest]\nmembers = ['root', 'member']\n[manifest.dependency-groups]");
    let written = |edge: &LooseEdge, by_version: bool| {
        let (name, version) = edge.to.get(records);
        let mut written = format!("  {{ name = \"{name}\"");
        if by_version {
            let _ = write!(written, ", version = \"{version}\"");
        }
        if !edge.extras.is_empty() {
            let extras: Vec<_> = edge.extras.iter().map(|extra| (*extra).to_owned()).collect();
            let _ =
                write!(written, ", {} = [{}]", if by_version { "extra" } else { "extras" }, list(&extras));
        }
        if let Some(marker) = &edge.marker {
            let _ = write!(written, ", marker = \"{marker}\"");
        }
        written + " },\n"
    };
    for group in MANIFEST_GROUPS {
        let of_group = edges.iter().filter(|edge| matches!(edge.slot, Slot::Manifest(name) if name == group));
        let _ =
            writeln!(text, "{group} = [\n{}]", of_group.map(|edge| written(edge, false)).collect::<String>());
    }
    for (at, (name, version)) in records.iter().enumerate() {
        let here = edges.iter().filter(|edge| edge.from.index(records.len()) == at);
        let of = |is_of: &dyn Fn(&Slot) -> bool| {
            here.clone().filter(|edge| is_of(&edge.slot)).map(|edge| written(edge, true)).collect::<String>()
        };
        let is_member = at < MEMBERS;
        let source =
            if is_member { "editable = \".\"" } else { "registry = \"https://index.invalid/simple\"" };
        let _ = writeln!(
            text,
            "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = {{ {source} }}"
        );
        let is_one_of_two = records.iter().filter(|(other, _)| other == name).count() == 2;
        if are_forks && is_one_of_two {
            let operator = if *version == "1" { "<" } else { ">=" };
            let _ = writeln!(text, "resolution-markers = [\"python_version {operator} '3.12'\"]");
        }
        let _ = writeln!(text, "dependencies = [\n{}]", of(&|slot| matches!(slot, Slot::Base)));
        let _ = writeln!(text, "[package.optional-dependencies]");
        for extra in EXTRAS {
            let edges = of(&|slot| matches!(slot, Slot::Extra(name) if *name == extra));
            if !edges.is_empty() {
                let _ = writeln!(text, "{extra} = [\n{edges}]");
            }
        }
        if is_member {
            let _ = writeln!(text, "[package.dev-dependencies]");
            for group in GROUPS {
                let edges = of(&|slot| matches!(slot, Slot::Group(name) if *name == group));
                let _ = writeln!(text, "{group} = [\n{edges}]");
            }
        }
    }
    text
}
