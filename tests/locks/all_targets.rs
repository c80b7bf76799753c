//! Every configuration of the expected files with its markers left open: evaluated on each target, the same as planned for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crosswheel::lock::{Aliases, Closure, Components, Conditions, Graph, NodeId, Project, RecordIndex};
use pep508_rs::{MarkerEnvironment, MarkerTree};

use crate::scene::{Case, environment};

/// The projects with their expected files' names.
fn cases() -> Vec<(PathBuf, String)> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/locks/data");
    let projects = fs_err::read_dir(data).unwrap().map(|project| project.unwrap().path());
    let projects = projects.filter(|project| project.join("expected").is_dir());
    let cases = projects.flat_map(|project| {
        let files = fs_err::read_dir(project.join("expected")).unwrap();
        files.map(move |file| {
            let name = file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
            (project.clone(), name)
        })
    });
    cases.collect()
}

fn environments() -> Vec<MarkerEnvironment> {
    let targets = ["linux_amd64", "linux_arm64"].map(|target| target.parse().unwrap());
    targets.into_iter().flat_map(|target| [10, 11, 12, 13].map(|minor| environment(target, minor))).collect()
}

fn here(list: &[(RecordIndex, MarkerTree)], environment: &MarkerEnvironment) -> Vec<RecordIndex> {
    list.iter().filter(|(_, marker)| marker.evaluate(environment, &[])).map(|(record, _)| *record).collect()
}

/// What is installed if the configuration is depended on as a build tool would.
fn installed(components: &Components, environment: &MarkerEnvironment) -> BTreeSet<RecordIndex> {
    let mut open = here(components.starts(), environment);
    let (mut entered, mut installed) = (BTreeSet::new(), BTreeSet::new());
    while let Some(record) = open.pop() {
        if entered.insert(record) {
            let entry = components.entry(record).expect("what is needed has an entry");
            installed.extend(here(&entry.members, environment));
            open.extend(here(&entry.dependencies, environment));
        }
    }
    installed
}

#[test]
fn real_locks_with_markers_left_open_give_what_each_target_needs() {
    let cases = cases();
    assert!(cases.len() >= 44, "only {} expected files", cases.len());
    let mut compared = 0;
    for (project, name) in cases {
        let project = Project::open(&project).unwrap();
        let configuration = project.configuration(&Case::of_name(&name).selection).unwrap();
        let graph = Graph::of(project.lock());
        let conditions = Conditions::of(&graph, &configuration).unwrap();
        let components = Components::of(&graph, &conditions).unwrap();
        let aliases = Aliases::of(&graph, &conditions).unwrap();
        for environment in environments() {
            // Some are for no Python as old as that.
            let Ok(closure) = Closure::of(&graph, &configuration, &environment) else {
                assert!(!conditions.supported().include(&environment), "{name}");
                continue;
            };
            compared += 1;
            let nodes: BTreeSet<NodeId> = conditions.nodes_in(&graph, &environment).into_iter().collect();
            assert_eq!(nodes, closure.nodes().collect(), "{name}");
            let records: BTreeSet<_> = closure.records().map(|(record, _)| record).collect();
            assert_eq!(installed(&components, &environment), records, "{name}");
            for (_, alternatives) in aliases.iter() {
                assert!(here(alternatives, &environment).len() <= 1, "{name}");
            }
        }
    }
    assert!(compared >= 250, "only {compared} environments could be compared");
}
