//! What of a project is wanted: as uv 0.13.9 answered `uv sync --frozen --dry-run` for these very workspaces.

use crate::workspace::Workspace;

const PACKAGES: [&str; 12] = [
    "both-m",
    "both-r",
    "m-dep",
    "m-dev",
    "m-t",
    "m-x",
    "n-dep",
    "n-dev",
    "root-dep",
    "root-dev",
    "root-lint",
    "root-x",
];

/// A workspace with the members m and n, whose root has a `[project]` or not.
fn workspace(root_is_project: bool) -> Workspace {
    let mut lock = String::from("version = 1\nrevision = 5\nrequires-python = \">=3.10\"\n[manifest]\n");
    let (members, groups) = match root_is_project {
        true => ("\"m\", \"n\", \"root-app\"", ""),
        false => (
            "\"m\", \"n\"",
            "default-groups = [\"lint\"]\n[manifest.dependency-groups]\nboth = [{ name = \"both-r\" }]\ndev = [{ name = \"root-dev\" }]\n\
             lint = [{ name = \"root-lint\" }]\n",
        ),
    };
    lock.push_str(&format!("members = [{members}]\n{groups}"));
    for name in PACKAGES {
        lock.push_str(&format!(
            "[[package]]\nname = \"{name}\"\nversion = \"1.0\"\nsource = {{ registry = \"../links\" }}\n\
             wheels = [{{ path = \"{}-1.0-py3-none-any.whl\" }}]\n",
            name.replace('-', "_")
        ));
    }
    lock.push_str(
        r#"[[package]]
name = "m"
version = "1.0"
source = { virtual = "m" }
default-groups = ["t"]
dependencies = [{ name = "m-dep" }]
[package.optional-dependencies]
x = [{ name = "m-x" }]
[package.dev-dependencies]
both = [{ name = "both-m" }]
dev = [{ name = "m-dev" }]
t = [{ name = "m-t" }]
[[package]]
name = "n"
version = "1.0"
source = { virtual = "n" }
dependencies = [{ name = "n-dep" }]
[package.dev-dependencies]
dev = [{ name = "n-dev" }]
"#,
    );
    let groups = "[dependency-groups]\ndev = [\"root-dev\"]\nlint = [\"root-lint\"]\nboth = [\"both-r\"]\n[tool.uv]\ndefault-groups = [\"lint\"]\n[tool.uv.workspace]\nmembers = [\"m\", \"n\"]\n";
    let mut project = String::new();
    if root_is_project {
        lock.push_str(
            r#"[[package]]
name = "root-app"
version = "1.0"
source = { virtual = "." }
default-groups = ["lint"]
dependencies = [{ name = "root-dep" }]
[package.optional-dependencies]
x = [{ name = "root-x" }]
[package.dev-dependencies]
both = [{ name = "both-r" }]
dev = [{ name = "root-dev" }]
lint = [{ name = "root-lint" }]
"#,
        );
        project
            .push_str("[project]\nname = \"root-app\"\n[project.optional-dependencies]\nx = [\"root-x\"]\n");
    }
    Workspace::new(&[
        ("uv.lock", &lock),
        ("pyproject.toml", &format!("{project}{groups}")),
        (
            "m/pyproject.toml",
            "[project]\nname = \"m\"\n[project.optional-dependencies]\nx = [\"m-x\"]\n[dependency-groups]\ndev = [\"m-dev\"]\nt = [\"m-t\"]\nboth = [\"both-m\"]\n[tool.uv]\ndefault-groups = [\"t\"]\n",
        ),
        ("n/pyproject.toml", "[project]\nname = \"n\"\n[dependency-groups]\ndev = [\"n-dev\"]\n"),
    ])
}

#[track_caller]
fn holds(workspace: &Workspace, cases: &[(&str, &str)]) {
    for (asked, packages) in cases {
        let names = workspace.names(asked).join(" ").replace("==1.0", "");
        assert_eq!(names, *packages, "{asked}");
    }
}

#[test]
fn a_workspace_whose_root_is_a_project() {
    holds(
        &workspace(true),
        &[
            ("", "root-dep root-lint"),
            (",package-m", "m-dep m-t"),
            (",package-n", "n-dep n-dev"),
            (",package-root-app", "root-dep root-lint"),
            (",all-packages", "m-dep n-dep root-dep root-lint"),
            (",group-dev", "root-dep root-dev root-lint"),
            // A group that the member does not have is taken of the root.
            (",package-m,group-lint", "m-dep m-t root-lint"),
            (",package-m,group-dev", "m-dep m-dev m-t"),
            (",package-m,all-groups", "both-m m-dep m-dev m-t root-lint"),
            (",package-m,only-lint", "root-lint"),
            (",package-m,package-n", "m-dep n-dep"),
            (",package-m,package-n,group-t", "m-dep m-t n-dep"),
            (",package-m,package-n,all-groups", "both-m m-dep m-dev m-t n-dep n-dev"),
            (",package-m,package-root-app,group-lint", "m-dep root-dep root-lint"),
            (",all-packages,group-dev", "m-dep m-dev n-dep n-dev root-dep root-dev root-lint"),
            (",all-packages,no-default-groups", "m-dep n-dep root-dep"),
            (",all-packages,only-both", "both-m both-r"),
            (",only-dev", "root-dev"),
            (",no-default-groups,group-dev", "root-dep root-dev"),
            (",no-group-lint", "root-dep"),
            (",all-groups,no-group-dev", "both-r root-dep root-lint"),
            (",only-dev,no-group-dev", ""),
            ("+x", "root-dep root-lint root-x"),
            (",all-packages+x", "m-dep m-x n-dep root-dep root-lint root-x"),
            (",all-extras", "root-dep root-lint root-x"),
            (",all-extras,no-extra-x", "root-dep root-lint"),
        ],
    );
}

#[test]
fn a_workspace_whose_root_is_no_project() {
    holds(
        &workspace(false),
        &[
            ("", "m-dep n-dep root-lint"),
            (",package-m", "m-dep m-t"),
            (",all-packages", "m-dep n-dep root-lint"),
            (",group-dev", "m-dep m-dev n-dep n-dev root-dev root-lint"),
            (",group-t", "m-dep m-t n-dep root-lint"),
            (",package-m,group-lint", "m-dep m-t root-lint"),
            (",package-m,group-dev", "m-dep m-dev m-t"),
            (",package-m,all-groups", "both-m m-dep m-dev m-t root-lint"),
            (",package-m,package-n", "m-dep n-dep root-lint"),
            (",package-m,package-n,group-dev", "m-dep m-dev n-dep n-dev root-dev root-lint"),
            (",package-m,package-n,only-lint", "root-lint"),
            (",only-dev", "m-dev n-dev root-dev"),
            (",package-m,only-lint", "root-lint"),
            ("+x", "m-dep m-x n-dep root-lint"),
            (",all-groups,no-group-dev", "both-m both-r m-dep m-t n-dep root-lint"),
        ],
    );
}

#[test]
fn somebody_may_stand_in_a_member_or_below() {
    let workspace = workspace(true);
    workspace.write("m/src/deep/file", "");
    workspace.write("apart/pyproject.toml", "[project]\nname = \"apart\"\n");
    let names = |place: &str, asked: &str| {
        let case = crate::scene::Case::of_name(&format!("linux_amd64-py3.12{asked}"));
        let lines = case.lines(&workspace.path().join(place)).map_err(|error| error.to_string())?;
        Ok::<_, String>(
            lines
                .iter()
                .filter_map(|line| line.split_once("=="))
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
                .join(" "),
        )
    };
    assert_eq!(names("m", "").unwrap(), "m-dep m-t");
    assert_eq!(names("m/src/deep", "").unwrap(), "m-dep m-t");
    assert_eq!(names("m", ",package-n").unwrap(), "n-dep n-dev");
    assert_eq!(names("m", ",all-packages").unwrap(), "m-dep m-t n-dep root-dep");
    let apart = names("apart", "").unwrap_err();
    assert!(apart.starts_with("the project has no lock: ") && apart.contains("apart/uv.lock"), "{apart}");
    let nowhere = tempfile::tempdir().unwrap();
    let error = crosswheel::lock::Project::open(nowhere.path()).unwrap_err();
    assert!(error.to_string().starts_with("there is no pyproject.toml in "), "{error}");
}

#[test]
fn all_is_a_list_of_default_groups() {
    let workspace = workspace(true);
    let text = fs_err::read_to_string(workspace.path().join("pyproject.toml")).unwrap();
    workspace
        .write("pyproject.toml", &text.replace("default-groups = [\"lint\"]", "default-groups = \"all\""));
    holds(
        &workspace,
        &[
            ("", "both-r root-dep root-dev root-lint"),
            (",all-packages", "both-m both-r m-dep m-dev m-t n-dep n-dev root-dep root-dev root-lint"),
            (",no-group-both", "root-dep root-dev root-lint"),
        ],
    );
}

#[test]
fn what_is_unknown_is_answered_with_what_is_nearest() {
    let (project, none) = (workspace(true), workspace(false));
    for (workspace, asked, said) in [
        (&project, ",group-lnt", "group `lnt` is not defined in root-app; did you mean `lint`?"),
        (&project, ",only-nothing-like-it", "group `nothing-like-it` is not defined in root-app"),
        (&project, ",group-t", "group `t` is not defined in root-app"),
        (&project, ",no-group-nope", "group `nope` is not defined in root-app"),
        (&project, ",package-n+x", "extra `x` is not defined in n"),
        (&project, ",package-m+xx", "extra `xx` is not defined in m; did you mean `x`?"),
        (&project, ",all-packages+nope", "extra `nope` is not defined in any of the projects asked for"),
        (
            &project,
            ",package-m,package-n,group-lint",
            "group `lint` is not defined in any of the projects asked for",
        ),
        (
            &project,
            ",package-root-ap",
            "package `root-ap` is not defined in the workspace; did you mean `root-app`?",
        ),
        (&none, ",package-root-app", "package `root-app` is not defined in the workspace"),
        (
            &none,
            ",group-devs",
            "group `devs` is not defined in any of the projects asked for; did you mean `dev`?",
        ),
        (&project, ",only-dev+x", "--only-group leaves out the project that extras are of"),
        (&project, ",only-dev,group-lint", "--only-group leaves out what --group and --all-groups ask for"),
    ] {
        assert_eq!(workspace.error(asked).to_string(), said, "{asked}");
    }
}

#[test]
fn a_default_group_that_does_not_exist_is_an_error() {
    let workspace = workspace(true);
    let text = fs_err::read_to_string(workspace.path().join("pyproject.toml")).unwrap();
    workspace.write(
        "pyproject.toml",
        &text.replace("default-groups = [\"lint\"]", "default-groups = [\"lints\"]"),
    );
    let said = "default group `lints` is not defined in `dependency-groups`; did you mean `lint`?";
    for asked in ["", ",no-default-groups"] {
        assert_eq!(workspace.error(asked).to_string(), said);
    }
    assert_eq!(workspace.names(",package-m"), ["m-dep==1.0", "m-t==1.0"]);
}

/// Before revision 5 the lock says nothing of default groups, nor of groups that need nothing.
#[test]
fn what_an_older_lock_leaves_out_is_in_pyproject_toml() {
    let workspace = workspace(true);
    let lock = fs_err::read_to_string(workspace.path().join("uv.lock")).unwrap();
    let old: String = lock
        .lines()
        .filter(|line| !line.starts_with("default-groups"))
        .map(|line| format!("{line}\n"))
        .collect();
    workspace.write("uv.lock", &old.replace("revision = 5", "revision = 2"));
    holds(&workspace, &[("", "root-dep root-lint"), (",package-m", "m-dep m-t")]);
    let missing = fs_err::remove_file(workspace.path().join("m/pyproject.toml"));
    assert!(missing.is_ok());
    let error = workspace.error(",package-m").to_string();
    assert!(error.contains("m/pyproject.toml cannot be read"), "{error}");
    workspace.write("uv.lock", &lock);
    holds(&workspace, &[(",package-m", "m-dep m-t")]);
    // What groups were called before PEP 735.
    workspace.write(
        "m/pyproject.toml",
        "[project]\nname = \"m\"\n[tool.uv]\ndev-dependencies = []\ndefault-groups = [\"dev\"]\n",
    );
    holds(&workspace, &[(",package-m", "m-dep m-dev")]);
}

#[test]
fn a_group_s_python_is_checked_where_the_group_is_taken() {
    let lock = "version = 1\nrevision = 3\nrequires-python = \">=3.10\"\n[[package]]\nname = \"g\"\nversion = \"1\"\nsource = { virtual = \".\" }\n";
    let groups = "[project]\nname = \"g\"\n[dependency-groups]\nbase = []\ntop = [{ include-group = \"base\" }, { include-group = \"top\" }]\nother = []\n\
                  [tool.uv.dependency-groups]\nbase = { requires-python = \">=3.13\" }\ntop = { requires-python = \"<3.14\" }\n";
    let workspace = Workspace::new(&[("uv.lock", lock), ("pyproject.toml", groups)]);
    assert!(workspace.names(",group-other").is_empty());
    let error = workspace.error(",group-top").to_string();
    assert!(error.starts_with("the group `top` of g needs Python ") && error.contains(">=3.13"), "{error}");
    // A newer lock says it itself.
    let newer = format!(
        "{}\n[package.group-requires-python]\nother = \">=3.14\"\n",
        lock.replace("revision = 3", "revision = 5")
    );
    workspace.write("uv.lock", &newer);
    assert_eq!(
        workspace.error(",group-other").to_string(),
        "the group `other` of g needs Python >=3.14, and this is 3.12.1"
    );
}
