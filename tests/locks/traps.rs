//! What is easily got wrong in locks, each by a small one of our own.

use crosswheel::lock::{FilePreferences, Lock, LockError, Selection};

use crate::workspace::{Workspace, amd64, arm64};

/// A record that is a pure wheel of an index.
fn wheel(name: &str, version: &str, more: &str) -> String {
    format!(
        "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = {{ registry = \"https://index.invalid/simple\" }}\n\
         wheels = [{{ url = \"https://files.invalid/{name}-{version}-py3-none-any.whl\" }}]\n{more}\n"
    )
}

fn app(more: &str) -> String {
    format!("[[package]]\nname = \"app\"\nversion = \"1\"\nsource = {{ virtual = \".\" }}\n{more}\n")
}

fn names(workspace: &Workspace, environment: &pep508_rs::MarkerEnvironment) -> Vec<String> {
    let plan = workspace.plan_with(&Selection::default(), environment, &FilePreferences::default());
    plan.unwrap_or_else(|error| panic!("{error}"))
        .packages
        .iter()
        .map(|package| package.name.to_string())
        .collect()
}

#[test]
fn a_member_may_have_no_version() {
    let app = "[[package]]\nname = \"app\"\nsource = { editable = \".\" }\n";
    assert_eq!(Workspace::of_lock(app).lines("").unwrap(), ["app==(dynamic) local:editable:."]);
}

/// torch 2.9.1 from two indexes.
#[test]
fn the_same_version_from_two_sources_is_two_records() {
    let other =
        wheel("t", "1", "").replace("index.invalid/simple", "index.invalid/cpu").replace("py3", "py2.py3");
    let edge = |source: &str, machine: &str| {
        format!(
            "{{ name = \"t\", version = \"1\", source = {{ registry = \"https://index.invalid/{source}\" }}, \
             marker = \"platform_machine == '{machine}'\" }}"
        )
    };
    let dependencies = format!("dependencies = [{}, {}]", edge("simple", "x86_64"), edge("cpu", "aarch64"));
    let workspace = Workspace::of_lock(&[app(&dependencies), wheel("t", "1", ""), other].concat());
    let line = |environment| {
        let plan = workspace.plan_with(&Selection::default(), &environment, &FilePreferences::default());
        plan.unwrap().lines().collect::<Vec<_>>()
    };
    assert_eq!(line(amd64()), ["t==1 t-1-py3-none-any.whl"]);
    assert_eq!(line(arm64()), ["t==1 t-1-py2.py3-none-any.whl"]);
    let project = workspace.project();
    let mut ids: Vec<_> = project.lock().records().map(|(_, record)| record.id(None).to_string()).collect();
    ids.dedup();
    assert_eq!(
        ids,
        [
            "app 1 virtual . __base__",
            "t 1 registry https://index.invalid/simple __base__",
            "t 1 registry https://index.invalid/cpu __base__",
        ]
    );
}

#[test]
fn an_edge_may_say_only_as_much_as_tells_its_record_from_others() {
    let two = [wheel("t", "1", ""), wheel("t", "2", "")].concat();
    let of =
        |edge: &str| Workspace::of_lock(&[app(&format!("dependencies = [{edge}]")), two.clone()].concat());
    assert_eq!(of("{ name = \"t\", version = \"2.0\" }").names(""), ["t==2"]);
    for (edge, reason) in [
        ("{ name = \"t\" }", "2 packages `t` are meant"),
        ("{ name = \"t\", version = \"3\" }", "no package `t` has that version and source"),
        ("{ name = \"u\" }", "there is no package `u`"),
    ] {
        let error = of(edge).error("").to_string();
        assert!(
            error.contains(reason) && error.contains("uv.lock:8: package[0].dependencies[0]: "),
            "{error}"
        );
    }
}

/// uv leaves out of a marker what reaching the parent implies.
#[test]
fn an_edge_counts_only_where_its_parent_is_reached() {
    let workspace = Workspace::of_lock(
        &[
            app("dependencies = [{ name = \"cb\", marker = \"platform_machine == 'aarch64'\" }]"),
            wheel("ca", "1", ""),
            wheel("cb", "1", "dependencies = [{ name = \"ca\" }]"),
        ]
        .concat(),
    );
    assert_eq!(names(&workspace, &arm64()), ["ca", "cb"]);
    assert!(names(&workspace, &amd64()).is_empty());
}

#[test]
fn an_environment_that_is_not_supported_is_refused() {
    let workspace =
        Workspace::of_lock(&format!("supported-markers = [\"platform_machine == 'x86_64'\"]\n{}", app("")));
    assert!(workspace.lines("").unwrap().is_empty());
    let plan = workspace.plan_with(&Selection::default(), &arm64(), &FilePreferences::default());
    let error = plan.unwrap_err();
    let said = "uv.lock is for platform_machine == 'x86_64', not for CPython 3.12.1 on linux aarch64";
    assert!(error.to_string().ends_with(said), "{error}");
    assert!(error.hint().unwrap().contains("`environments`"));
}

#[test]
fn a_python_the_lock_is_not_for_is_refused() {
    for (requires, fits) in
        [(">=3.13", false), (">=3.10, <3.12", false), (">=3.12.1", true), (">=3.12.2", false)]
    {
        let workspace = Workspace::of_lock(&app(""));
        let lock = fs_err::read_to_string(workspace.path().join("uv.lock")).unwrap();
        workspace.write("uv.lock", &lock.replace(">=3.10", requires));
        let lines = workspace.lines("");
        assert_eq!(lines.is_ok(), fits, "{requires}");
        if let Err(error) = lines {
            assert!(error.to_string().contains("and this is 3.12.1"), "{error}");
        }
    }
}

const CONFLICT: &str =
    "conflicts = [[{ package = \"app\", extra = \"cpu\" }, { package = \"app\", extra = \"gpu\" }]]\n";

/// One `extra` at a time, as markers are usually evaluated, cannot tell them.
#[test]
fn atoms_of_conflicts_are_a_set() {
    let edge = |name: &str, marker: &str| format!("{{ name = \"{name}\", marker = \"{marker}\" }}");
    let (cpu, gpu) = ("extra == 'extra-3-app-cpu'", "extra == 'extra-3-app-gpu'");
    let edges = [
        edge("cpu", cpu),
        edge("gpu", gpu),
        edge("neither", "extra != 'extra-3-app-cpu' and extra != 'extra-3-app-gpu'"),
        edge("padding", &format!("{cpu} and {gpu}")),
        edge(
            "compound",
            &format!(
                "({cpu} and {gpu}) or (platform_machine == 'x86_64' and {cpu} and extra == 'project-3-app')"
            ),
        ),
        edge("grouped", "extra == 'group-3-app-g'"),
    ];
    let base = app(
        "dependencies = [{ name = \"inner\" }]\n[package.optional-dependencies]\ncpu = [{ name = \"inner\" }]\ngpu = [{ name = \"inner\" }]\n[package.dev-dependencies]\ng = [{ name = \"one\" }]\n\
         [package.metadata]\nprovides-extras = [\"cpu\", \"gpu\"]",
    );
    let mut lock =
        [CONFLICT.to_owned(), base, wheel("inner", "1", &format!("dependencies = [{}]", edges.join(", ")))]
            .concat();
    for name in ["cpu", "gpu", "neither", "padding", "compound", "grouped", "one"] {
        lock.push_str(&wheel(name, "1", ""));
    }
    let workspace = Workspace::of_lock(&lock);
    let names = |asked: &str| workspace.names(asked).join(" ").replace("==1", "");
    assert_eq!(names(""), "inner neither");
    assert_eq!(names("+cpu"), "compound cpu inner");
    assert_eq!(names("+gpu"), "gpu inner");
    assert_eq!(names("+gpu,group-g"), "gpu grouped inner one");
    let error = workspace.error("+cpu+gpu");
    assert_eq!(
        error.to_string(),
        "the extra `cpu` of app and the extra `gpu` of app are in conflict with each other and cannot be installed together"
    );
    assert!(matches!(error, LockError::Conflict { .. }) && error.hint().is_some());
}

/// What a conflict decides may be met before what activates its item.
#[test]
fn an_edge_s_extra_is_active_everywhere() {
    let conflict = CONFLICT.replace("\"app\"", "\"m\"");
    let lock = [
        conflict,
        app("dependencies = [{ name = \"first\" }, { name = \"m\", extra = [\"cpu\"] }]"),
        wheel(
            "first",
            "1",
            "dependencies = [{ name = \"slow\", marker = \"extra != 'extra-1-m-cpu'\" }, { name = \"fast\", marker = \"extra == 'extra-1-m-cpu'\" }]",
        ),
        wheel(
            "m",
            "1",
            "[package.optional-dependencies]\ncpu = [{ name = \"m\" }]\ngpu = [{ name = \"m\" }]",
        ),
        wheel("slow", "1", ""),
        wheel("fast", "1", ""),
    ];
    assert_eq!(Workspace::of_lock(&lock.concat()).names(""), ["fast==1", "first==1", "m==1"]);
    let both = lock.concat().replace("\"m\", extra = [\"cpu\"]", "\"m\", extra = [\"cpu\", \"gpu\"]");
    assert!(matches!(Workspace::of_lock(&both).error(""), LockError::Conflict { .. }));
    // One that needs nothing is not in the lock, and not active for uv.
    let empty = lock.concat().replace("cpu = [{ name = \"m\" }]\n", "");
    assert_eq!(Workspace::of_lock(&empty).names(""), ["first==1", "m==1", "slow==1"]);
}

/// A group's edge counts its own extras as active.
#[test]
fn a_group_may_ask_for_the_extra_its_edge_is_about() {
    let lock = [
        CONFLICT.to_owned(),
        app(
            "[package.optional-dependencies]\ncpu = [{ name = \"one\", marker = \"extra == 'extra-3-app-cpu'\" }]\n\
             [package.dev-dependencies]\ndev = [{ name = \"app\", extra = [\"cpu\"], marker = \"extra == 'extra-3-app-cpu'\" }]",
        ),
        wheel("one", "1", ""),
    ];
    assert_eq!(Workspace::of_lock(&lock.concat()).names(""), ["one==1"]);
}

#[test]
fn a_plain_extra_is_true_within_the_dependencies_of_that_extra() {
    let lock = [
        app("dependencies = [{ name = \"p\", extra = [\"x\"] }]"),
        wheel(
            "p",
            "1",
            "dependencies = [{ name = \"never\", marker = \"extra == 'x'\" }]\n[package.optional-dependencies]\n\
             x = [{ name = \"one\", marker = \"extra == 'x'\" }, { name = \"never\", marker = \"extra == 'y'\" }]",
        ),
        wheel("one", "1", ""),
        wheel("never", "1", ""),
    ];
    assert_eq!(Workspace::of_lock(&lock.concat()).names(""), ["one==1", "p==1"]);
}

/// The manifest has requirements without versions: the record is the one whose fork holds.
#[test]
fn groups_of_a_root_without_project_take_the_record_of_their_fork() {
    let fork =
        |version: &str, marker: &str| wheel("t", version, &format!("resolution-markers = [\"{marker}\"]"));
    let lock = [
        "version = 1\nrequires-python = \">=3.10\"\n[manifest.dependency-groups]\ndev = [{ name = \"t\", marker = \"sys_platform == 'linux'\" }]\n".to_owned(),
        fork("1", "platform_machine == 'aarch64'"),
        fork("2", "platform_machine == 'x86_64'"),
    ];
    let workspace = Workspace::new(&[
        ("pyproject.toml", "[dependency-groups]\ndev = [\"t\"]\n"),
        ("uv.lock", &lock.concat()),
    ]);
    assert_eq!(workspace.names(""), ["t==2"]);
    let none = lock.concat().replace("platform_machine == 'x86_64'", "platform_machine == 'riscv64'");
    workspace.write("uv.lock", &none);
    assert!(
        workspace.error("").to_string().contains("is for t in this environment"),
        "{}",
        workspace.error("")
    );
}

#[test]
fn an_extra_implies_its_package_and_may_need_nothing() {
    let lock = [
        app("dependencies = [{ name = \"p\", extra = [\"empty\", \"x\"] }]"),
        wheel(
            "p",
            "1",
            "dependencies = [{ name = \"base\" }]\n[package.optional-dependencies]\nx = [{ name = \"one\" }]",
        ),
        wheel("base", "1", ""),
        wheel("one", "1", ""),
    ];
    let workspace = Workspace::of_lock(&lock.concat());
    assert_eq!(workspace.names(""), ["base==1", "one==1", "p==1"]);
    let plan = workspace.plan_with(&Selection::default(), &amd64(), &FilePreferences::default()).unwrap();
    let extras: Vec<_> = plan.packages[2].extras.iter().map(ToString::to_string).collect();
    assert_eq!(extras, ["empty", "x"]);
}

#[test]
fn markers_see_the_patch_version_and_an_empty_release() {
    let lock = [
        app(
            "dependencies = [{ name = \"one\", marker = \"python_full_version == '3.12.1'\" }, { name = \"two\", marker = \"python_full_version >= '3.12.2'\" }, \
             { name = \"three\", marker = \"platform_release == ''\" }]",
        ),
        wheel("one", "1", ""),
        wheel("two", "1", ""),
        wheel("three", "1", ""),
    ];
    assert_eq!(Workspace::of_lock(&lock.concat()).names(""), ["one==1", "three==1"]);
}

#[test]
fn circles_end() {
    let lock = [
        app("dependencies = [{ name = \"a\" }]"),
        wheel("a", "1", "dependencies = [{ name = \"b\", extra = [\"x\"] }]"),
        wheel(
            "b",
            "1",
            "dependencies = [{ name = \"a\" }]\n[package.optional-dependencies]\nx = [{ name = \"b\" }, { name = \"app\" }]",
        ),
    ];
    assert_eq!(Workspace::of_lock(&lock.concat()).names(""), ["a==1", "b==1"]);
}

#[test]
fn names_of_older_and_keys_of_newer_locks_are_read() {
    let old = app("[package.dependency-groups]\ndev = [{ name = \"t\" }]")
        .replace("[[package]]", "[[distribution]]")
        .replace("[package.", "[distribution.");
    let lock = format!(
        "version = 1\nrequires-python = \">=3.10\"\n{old}{}",
        wheel("t", "1", "").replace("[[package]]", "[[distribution]]")
    );
    let workspace = Workspace::new(&[("pyproject.toml", "[project]\nname = \"app\"\n"), ("uv.lock", &lock)]);
    assert_eq!(workspace.names(""), ["t==1"]);
    let new = format!("version = 1\nrevision = 99\nnew-key = [1]\n{}", app("newer = { still = true }"));
    workspace.write("uv.lock", &new);
    assert!(workspace.names("").is_empty());
}

#[test]
fn another_version_of_the_format_is_refused() {
    let error = Lock::parse("version = 2\n", "uv.lock".as_ref()).unwrap_err();
    assert_eq!(error.to_string(), "uv.lock has version 2 of the format; only version 1 is known");
    assert!(error.hint().is_some());
}
