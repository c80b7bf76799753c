//! Locks that others get wrong, and single rules.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use pep508_rs::MarkerEnvironment;

use super::super::Components;
use super::environments::{linux, windows};
use super::oracle::installed;
use crate::lock::aliases::Aliases;
use crate::lock::closure::Closure;
use crate::lock::conditions::Conditions;
use crate::lock::decision::text;
use crate::lock::graph::Graph;
use crate::lock::{Configuration, Lock, LockError, RecordIndex, RequiredPython, Root};

const HEAD: &str = "version = 1\nrevision = 3\nrequires-python = '>=3.10'\n";

/// A registry package: its dependencies, and what else its table has.
fn package(name: &str, version: &str, dependencies: &str) -> String {
    let source = "{ registry = 'https://index.invalid/simple' }";
    format!(
        "[[package]]\nname = '{name}'\nversion = '{version}'\nsource = {source}\ndependencies = [{dependencies}]\n"
    )
}

/// The root, `app`.
fn root(dependencies: &str, more: &str) -> String {
    format!(
        "[[package]]\nname = 'app'\nversion = '0'\nsource = {{ editable = '.' }}\ndependencies = [{dependencies}]\n{more}\n"
    )
}

/// Another member. Its extra `x` needs something; `z` does not, so that the lock does not have it.
fn member() -> String {
    let x = "[package.optional-dependencies]\nx = [{ name = 'member' }]";
    format!("[[package]]\nname = 'member'\nversion = '0'\nsource = {{ editable = 'member' }}\n{x}\n")
}

fn lock(parts: &[String]) -> Lock {
    Lock::parse(&format!("{HEAD}{}", parts.concat()), Path::new("uv.lock")).unwrap()
}

fn find(lock: &Lock, name: &str, version: &str) -> RecordIndex {
    let named = lock.named(&name.parse().unwrap()).iter();
    let is_it = |index: &&RecordIndex| {
        lock.record(**index).version.as_ref().is_some_and(|found| found.to_string() == version)
    };
    *named.clone().find(is_it).unwrap()
}

fn all_of_app(lock: &Lock) -> Configuration {
    let root = Root { record: find(lock, "app", "0"), extras: vec![], groups: vec![] };
    Configuration { roots: vec![root], ..Configuration::default() }
}

fn group_of_app(lock: &Lock, group: &str) -> Configuration {
    let root = Root { record: find(lock, "app", "0"), extras: vec![], groups: vec![group.parse().unwrap()] };
    Configuration { roots: vec![root], only_groups: true, ..Configuration::default() }
}

fn components(lock: &Lock, configuration: &Configuration) -> (Conditions, Components) {
    let graph = Graph::of(lock);
    let conditions = Conditions::of(&graph, configuration).unwrap();
    let components = Components::of(&graph, &conditions).unwrap();
    (conditions, components)
}

/// What depending on `entry` installs, as `name version`.
fn by_entry(
    lock: &Lock,
    components: &Components,
    entry: RecordIndex,
    environment: &MarkerEnvironment,
) -> Vec<String> {
    let installed = installed(components, [entry], environment);
    installed.into_iter().map(|record| lock.record(record).to_string()).collect()
}

fn names(lock: &Lock, records: &[RecordIndex]) -> Vec<String> {
    records.iter().map(|record| lock.record(*record).to_string()).collect()
}

/// Two groups that exclude each other decide which b closes the circle with a.
fn conflicting_circle() -> Lock {
    lock(&[
        "conflicts = [[{ package = 'app', group = 'g1' }, { package = 'app', group = 'g2' }]]\n".into(),
        package(
            "a",
            "1",
            "{ name = 'b', version = '1', marker = \"extra == 'group-3-app-g1'\" },
             { name = 'b', version = '2', marker = \"extra == 'group-3-app-g2'\" }",
        ),
        root(
            "",
            "[package.dev-dependencies]
             g1 = [{ name = 'a' }, { name = 'b', version = '1' }]
             g2 = [{ name = 'a' }, { name = 'b', version = '2' }]",
        ),
        package(
            "b",
            "1",
            "{ name = 'a', marker = \"extra == 'group-3-app-g1'\" },
             { name = 'one', marker = \"extra == 'group-3-app-g1'\" }",
        ),
        package(
            "b",
            "2",
            "{ name = 'a', marker = \"extra == 'group-3-app-g2'\" },
             { name = 'two', marker = \"extra == 'group-3-app-g2'\" }",
        ),
        package("one", "1", ""),
        package("two", "1", ""),
    ])
}

#[test]
fn a_circle_has_the_version_that_the_chosen_group_decides() {
    let lock = conflicting_circle();
    for (group, b, other) in [("g1", "1", "one"), ("g2", "2", "two")] {
        let (_, components) = components(&lock, &group_of_app(&lock, group));
        assert_eq!(components.circles().len(), 1);
        assert_eq!(names(&lock, &components.circles()[0]), ["a 1".to_owned(), format!("b {b}")]);
        let expected: BTreeSet<_> = ["a 1".into(), format!("b {b}"), format!("{other} 1")].into();
        for entry in [find(&lock, "a", "1"), find(&lock, "b", b), find(&lock, "a", "1")] {
            let found = by_entry(&lock, &components, entry, &linux("3.12"));
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
        }
        // The other version is not of this configuration at all.
        let absent = find(&lock, "b", if b == "1" { "2" } else { "1" });
        assert!(components.entry(absent).is_none());
        // Nothing of the groups is left to whoever evaluates the markers.
        let markers =
            components.entries().flat_map(|(_, entry)| entry.members.iter().chain(&entry.dependencies));
        markers.for_each(|(_, marker)| assert!(marker.is_true(), "{marker:?}"));
    }
}

/// The same without groups: the Python decides.
#[test]
fn what_leaves_a_circle_is_needed_only_where_its_member_is() {
    let lock = lock(&[
        package(
            "a",
            "1",
            "{ name = 'b', version = '1', marker = \"python_version < '3.12'\" },
             { name = 'b', version = '2', marker = \"python_version >= '3.12'\" }",
        ),
        root("{ name = 'a' }", ""),
        // As uv writes it: no markers that the way here implies.
        package("b", "1", "{ name = 'a' }, { name = 'one' }"),
        package("b", "2", "{ name = 'a' }, { name = 'two' }"),
        package("one", "1", ""),
        package("two", "1", ""),
    ]);
    let (conditions, components) = components(&lock, &all_of_app(&lock));
    assert_eq!(names(&lock, &components.circles()[0]), ["a 1", "b 1", "b 2"]);
    let a = find(&lock, "a", "1");
    assert_eq!(by_entry(&lock, &components, a, &linux("3.11")), ["a 1", "b 1", "one 1"]);
    assert_eq!(by_entry(&lock, &components, a, &linux("3.13")), ["a 1", "b 2", "two 1"]);
    // Entered at b 1, which is only ever done where that is the one.
    assert_eq!(by_entry(&lock, &components, find(&lock, "b", "1"), &linux("3.11")), ["a 1", "b 1", "one 1"]);
    let graph = Graph::of(&lock);
    let aliases = Aliases::of(&graph, &conditions).unwrap();
    let b = aliases.get(&"b".parse().unwrap());
    let texts: Vec<_> = b.iter().map(|(_, marker)| text(marker).unwrap().unwrap()).collect();
    assert_eq!(texts, ["python_full_version < '3.12'", "python_full_version >= '3.12'"]);
    assert!(aliases.get(&"nobody".parse().unwrap()).is_empty());
}

#[test]
fn an_extra_that_one_package_asks_for_is_there_for_all() {
    let lock = lock(&[
        root("", "[package.dev-dependencies]\ng = [{ name = 'lib' }, { name = 'core', extra = ['fast'] }]"),
        package("core", "1", "") + "[package.optional-dependencies]\nfast = [{ name = 'speed' }]\n",
        package("lib", "1", "{ name = 'core' }"),
        package("speed", "1", ""),
    ]);
    let (_, components) = components(&lock, &group_of_app(&lock, "g"));
    let expected = ["core 1", "lib 1", "speed 1"];
    assert_eq!(by_entry(&lock, &components, find(&lock, "lib", "1"), &linux("3.12")), expected);
    let core = find(&lock, "core", "1");
    assert_eq!(by_entry(&lock, &components, core, &linux("3.12")), ["core 1", "speed 1"]);
}

/// Whoever looks at the last edge of a way alone finds that q always asks for it.
#[test]
fn an_extra_is_there_only_where_the_whole_way_to_it_holds() {
    let lock = lock(&[
        root("{ name = 'p' }", ""),
        package("core", "1", "") + "[package.optional-dependencies]\nfast = [{ name = 'speed' }]\n",
        package("p", "1", "{ name = 'q', marker = \"sys_platform == 'win32'\" }, { name = 'core' }"),
        package("q", "1", "{ name = 'core', extra = ['fast'] }"),
        package("speed", "1", ""),
    ]);
    let (_, components) = components(&lock, &all_of_app(&lock));
    let core = find(&lock, "core", "1");
    assert_eq!(by_entry(&lock, &components, core, &linux("3.12")), ["core 1"]);
    assert_eq!(by_entry(&lock, &components, core, &windows("3.12")), ["core 1", "speed 1"]);
    let p = find(&lock, "p", "1");
    assert_eq!(by_entry(&lock, &components, p, &linux("3.12")), ["core 1", "p 1"]);
    assert_eq!(by_entry(&lock, &components, p, &windows("3.12")), ["core 1", "p 1", "q 1", "speed 1"]);
}

#[test]
fn an_atom_that_only_an_edge_with_a_marker_activates_holds_where_the_edge_does() {
    let lock = lock(&[
        "conflicts = [[{ package = 'member', extra = 'x' }, { package = 'member', extra = 'y' }]]\n".into(),
        root("{ name = 'member', extra = ['x'], marker = \"sys_platform == 'win32'\" }, { name = 'd' }", ""),
        member(),
        package(
            "d",
            "1",
            "{ name = 'e', version = '1', marker = \"extra == 'extra-6-member-x'\" },
             { name = 'e', version = '2', marker = \"extra != 'extra-6-member-x'\" }",
        ),
        package("e", "1", ""),
        package("e", "2", ""),
    ]);
    let (conditions, components) = components(&lock, &all_of_app(&lock));
    let d = components.entry(find(&lock, "d", "1")).unwrap();
    let texts: Vec<_> = d.dependencies.iter().map(|(_, marker)| text(marker).unwrap().unwrap()).collect();
    assert_eq!(texts, ["sys_platform == 'win32'", "sys_platform != 'win32'"]);
    assert!(Aliases::of(&Graph::of(&lock), &conditions).is_ok());
}

#[test]
fn what_the_lock_supports_is_left_out_of_conditions() {
    let lock = lock(&[
        "supported-markers = [\"sys_platform == 'linux'\"]\n".into(),
        root(
            "{ name = 'a', marker = \"python_version >= '3.10' and sys_platform == 'linux'\" },
             { name = 'b', marker = \"sys_platform == 'linux' and platform_machine == 'aarch64'\" },
             { name = 'c', marker = \"sys_platform == 'win32'\" }",
            "",
        ),
        package("a", "1", ""),
        package("b", "1", ""),
        package("c", "1", ""),
    ]);
    let (_, components) = components(&lock, &all_of_app(&lock));
    let app = components.entry(find(&lock, "app", "0")).unwrap();
    let found: Vec<_> = app.dependencies.iter().map(|(to, marker)| (*to, text(marker).unwrap())).collect();
    let aarch64 = Some("platform_machine == 'aarch64'".to_owned());
    assert_eq!(found, [(find(&lock, "a", "1"), None), (find(&lock, "b", "1"), aarch64)]);
}

#[test]
fn two_versions_at_once_are_an_error_that_names_both_and_where() {
    let two = |first: &str, second: &str| {
        let lock = lock(&[
            root(
                &format!(
                    "{{ name = 'a', version = '1', marker = \"{first}\" }},
                     {{ name = 'a', version = '2', marker = \"{second}\" }}"
                ),
                "",
            ),
            package("a", "1", ""),
            package("a", "2", ""),
        ]);
        let graph = Graph::of(&lock);
        let conditions = Conditions::of(&graph, &all_of_app(&lock)).unwrap();
        Aliases::of(&graph, &conditions).map(drop)
    };
    let error = two("python_version < '3.12'", "python_version >= '3.11'").unwrap_err().to_string();
    assert!(error.contains("a 1 ") && error.contains("a 2 "), "{error}");
    assert!(error.ends_with("python_full_version == '3.11.*'"), "{error}");
    // Outside of what the lock is for, nothing matters.
    two("python_version < '3.11'", "python_version < '3.10'").unwrap();
    // No platform is both.
    two("sys_platform == 'win32'", "platform_system == 'Linux'").unwrap();
    two("os_name == 'nt'", "sys_platform == 'darwin'").unwrap();
    two("implementation_name == 'pypy'", "platform_python_implementation == 'CPython'").unwrap();
    // Cygwin is neither Windows nor without `os_name == 'posix'`.
    two("sys_platform == 'cygwin'", "os_name == 'posix'").unwrap_err();
    two("sys_platform == 'android'", "platform_system == 'Linux'").unwrap_err();
}

#[test]
fn conflicts_that_are_always_active_are_an_error_and_others_are_listed() {
    let text_of = |marker: &str| {
        [
            "conflicts = [[{ package = 'app', group = 'g' }, { package = 'member', extra = 'x' }]]\n"
                .to_owned(),
            root(
                "",
                &format!("[package.dev-dependencies]\ng = [{{ name = 'member', extra = ['x']{marker} }}]"),
            ),
            member(),
        ]
    };
    let always = lock(&text_of(""));
    let error = Conditions::of(&Graph::of(&always), &group_of_app(&always, "g")).unwrap_err().to_string();
    assert!(error.contains("the group `g` of app and the extra `x` of member"), "{error}");
    let sometimes = lock(&text_of(", marker = \"sys_platform == 'win32'\""));
    let conditions = Conditions::of(&Graph::of(&sometimes), &group_of_app(&sometimes, "g")).unwrap();
    let [unavailable] = conditions.unavailable() else { panic!("{:?}", conditions.unavailable()) };
    assert_eq!(text(&unavailable.marker).unwrap().unwrap(), "sys_platform == 'win32'");
    assert!(unavailable.reason.to_string().contains("declared as conflicting"));
}

#[test]
fn the_pythons_of_a_group_are_where_it_can_be_had() {
    let lock = lock(&[root("", "[package.dev-dependencies]\ng = [{ name = 'a' }]"), package("a", "1", "")]);
    let mut configuration = group_of_app(&lock, "g");
    let specifiers = ">=3.12".parse().unwrap();
    configuration.required_pythons.push(RequiredPython { by: "the group `g`".into(), specifiers });
    let conditions = Conditions::of(&Graph::of(&lock), &configuration).unwrap();
    let [unavailable] = conditions.unavailable() else { panic!("{:?}", conditions.unavailable()) };
    assert_eq!(text(&unavailable.marker).unwrap().unwrap(), "python_full_version < '3.12'");
    assert_eq!(unavailable.reason.to_string(), "the group `g` needs Python >=3.12");
    configuration.required_pythons[0].specifiers = "<3.10".parse().unwrap();
    assert_eq!(configuration.pythons(&lock).len(), 1);
    let error = Conditions::of(&Graph::of(&lock), &configuration).unwrap_err().to_string();
    assert!(error.contains("the group `g` needs Python <3.10"), "{error}");
}

/// What uv 0.13.9 does with locks made for it: an atom is true from the moment that an edge activates it, nearest first.
#[test]
fn what_an_edge_activates_counts_for_the_edges_after_it() {
    let f = "{ name = 'e', version = '1', marker = \"extra == 'extra-6-member-y'\" },
             { name = 'e', version = '2', marker = \"extra != 'extra-6-member-y'\" }";
    let installed = |app: &str, d: &str, g: &str| {
        let lock = lock(&[
            "conflicts = [[{ package = 'member', extra = 'x' }, { package = 'member', extra = 'z' }],
                          [{ package = 'member', extra = 'y' }, { package = 'member', extra = 'w' }]]\n"
                .into(),
            root(app, ""),
            package("d", "1", d),
            package("e", "1", ""),
            package("e", "2", ""),
            package("f", "1", f),
            package("g", "1", g),
            member() + "y = [{ name = 'member' }]\n",
        ]);
        let graph = Graph::of(&lock);
        let conditions = Conditions::of(&graph, &all_of_app(&lock)).unwrap();
        let closure = Closure::of(&graph, &all_of_app(&lock), &linux("3.12")).unwrap();
        let nodes = conditions.nodes_in(&graph, &linux("3.12"));
        assert!(nodes.iter().copied().eq(closure.nodes()));
        let e = nodes.iter().map(|node| graph.record(*node)).find(|record| record.name.as_ref() == "e");
        let with_y = nodes.iter().any(|node| graph.extra(*node).is_some_and(|extra| extra.as_ref() == "y"));
        (e.unwrap().to_string(), with_y)
    };
    let if_x = "{ name = 'member', extra = ['y'], marker = \"extra == 'extra-6-member-x'\" }";
    let unless_x = "{ name = 'member', extra = ['y'], marker = \"extra != 'extra-6-member-x'\" }";
    let x = "{ name = 'member', extra = ['x'] }";
    let near = format!("{x}, {{ name = 'd' }}, {{ name = 'f' }}");
    assert_eq!(installed(&near, if_x, ""), ("e 1".into(), true));
    assert_eq!(installed(&near, unless_x, ""), ("e 2".into(), false));
    // g, which asks for x, comes after d.
    let far = "{ name = 'd' }, { name = 'f' }, { name = 'g' }";
    assert_eq!(installed(far, if_x, x), ("e 2".into(), true));
    assert_eq!(installed(far, unless_x, x), ("e 1".into(), false));
    // An extra that needs nothing has no atom.
    let z = "{ name = 'member', extra = ['z'] }, { name = 'f' }";
    let if_z = f.replace("-y", "-z");
    assert_eq!(installed(z, "", "").0, "e 2");
    assert_eq!(installed("{ name = 'd' }", &format!("{z}, {if_z}"), "").0, "e 2");
}

/// `a0` needs `a1` needs `a2` …, each on a machine whose name contains one more text, and each also on any other.
fn chain(length: usize, marker: impl Fn(usize) -> String) -> Vec<String> {
    let mut parts = vec![root("{ name = 'a0' }", "")];
    for at in 0..length {
        let next = format!("{{ name = 'a{}', marker = \"{}\" }}", at + 1, marker(at));
        parts.push(package(&format!("a{at}"), "1", &next));
    }
    parts.push(package(&format!("a{length}"), "1", ""));
    parts
}

#[test]
fn conditions_that_are_made_to_grow_are_refused() {
    // Two each on one path: sixteen of them have 65,536 alternatives.
    let pair = |at: usize| format!("'a{at}' in platform_machine or 'b{at}' in platform_release");
    let wide = lock(&chain(60, |at| pair(at).replace(" in platform_release", " in platform_version")));
    let conditions = Conditions::of(&Graph::of(&wide), &all_of_app(&wide));
    assert!(matches!(conditions, Err(LockError::TooComplex { .. })), "{conditions:?}");
    let deep = lock(&chain(400, |at| format!("'a{at}' in platform_machine")));
    let conditions = Conditions::of(&Graph::of(&deep), &all_of_app(&deep));
    assert!(matches!(conditions, Err(LockError::TooComplex { .. })));
    // Every second of many: few decisions, but exponentially many words.
    let mut odd = pep508_rs::MarkerTree::FALSE;
    for at in 0..40 {
        let atom: pep508_rs::MarkerTree = format!("'a{at}' in platform_machine").parse().unwrap();
        let (mut one, mut other) = (odd.clone(), odd.negate());
        one.and(atom.negate());
        other.and(atom);
        one.or(other);
        odd = one;
    }
    assert!(text(&odd).is_err());
    assert!(crate::lock::decision::describe(&odd).contains("too many words"));
}

#[test]
fn a_chain_of_any_length_takes_no_stack_and_a_circle_of_any_size_is_refused() {
    let mut parts = chain(20_000, |_| "python_version >= '3.10'".into());
    let long = lock(&parts);
    let (_, components) = components(&long, &all_of_app(&long));
    assert_eq!(components.entries().count(), 20_002);
    let last = parts.len() - 1;
    parts[last] = package("a20000", "1", "{ name = 'a0' }");
    let round = lock(&parts);
    let graph = Graph::of(&round);
    let conditions = Conditions::of(&graph, &all_of_app(&round)).unwrap();
    let error = Components::of(&graph, &conditions).unwrap_err();
    assert!(matches!(error, LockError::LargeCircle { members: 20_001, .. }), "{error}");
}

/// The eight distributions of Airflow need each other; here all do.
#[test]
fn each_member_of_a_circle_is_an_entry_to_all_of_it() {
    let mut parts = vec![root("{ name = 'a0' }", "")];
    for at in 0..8 {
        let mut others = String::new();
        for other in (0..8).filter(|other| *other != at) {
            let _ = write!(others, "{{ name = 'a{other}' }}, ");
        }
        parts.push(package(&format!("a{at}"), "1", &others));
    }
    let lock = lock(&parts);
    let (_, components) = components(&lock, &all_of_app(&lock));
    for at in 0..8 {
        let entry = components.entry(find(&lock, &format!("a{at}"), "1")).unwrap();
        assert_eq!(entry.members.len(), 8);
        assert!(entry.dependencies.is_empty());
    }
    assert_eq!(names(&lock, &components.starts().iter().map(|(to, _)| *to).collect::<Vec<_>>()), ["app 0"]);
}
