//! Which file a record is.

use crosswheel::lock::{FileChoice, FilePlace, FilePreferences, LockError, Plan, Reason, Selection};

use crate::workspace::{Workspace, amd64};

const COMMIT: &str = "7fc59da2c4dff919db2095a0f0e47101b657131d";

/// An app that needs `p`, which is a record with these keys.
fn of_record(keys: &str) -> Workspace {
    Workspace::of_lock(&format!(
        "[[package]]\nname = \"app\"\nversion = \"1\"\nsource = {{ virtual = \".\" }}\ndependencies = [{{ name = \"p\" }}]\n\
         [[package]]\nname = \"p\"\n{keys}\n"
    ))
}

fn of_files(sdist: bool, wheels: &[&str]) -> Workspace {
    let sdist = if sdist { "sdist = { url = \"https://files.invalid/p-1.tar.gz\" }\n" } else { "" };
    let url = |name: &&str| format!("{{ url = \"https://files.invalid/{name}\" }}");
    let wheels: Vec<_> = wheels.iter().map(url).collect();
    of_record(&format!(
        "version = \"1\"\nsource = {{ registry = \"https://index.invalid/simple\" }}\n{sdist}wheels = [{}]",
        wheels.join(", ")
    ))
}

fn plan(workspace: &Workspace, preferences: &FilePreferences) -> Result<Plan, LockError> {
    workspace.plan_with(&Selection::default(), &amd64(), preferences)
}

fn choice(workspace: &Workspace) -> (FileChoice, Reason) {
    let mut plan = plan(workspace, &FilePreferences::default()).unwrap_or_else(|error| panic!("{error}"));
    let package = plan.packages.pop().unwrap();
    (package.choice, package.reason)
}

#[test]
fn names_in_urls_are_decoded() {
    let (choice, _) = choice(&of_files(false, &["p-1%2Bcpu-py3-none-any.whl?token=a#sha256=b"]));
    assert_eq!(choice.to_string(), "p-1+cpu-py3-none-any.whl");
}

/// The best tag, then the latest build, then the first.
#[test]
fn build_tags_are_numbers() {
    for (wheels, best) in [
        (&["p-1-2-py3-none-any.whl", "p-1-10-py3-none-any.whl", "p-1-py3-none-any.whl"][..], 1),
        (&["p-1-9-py3-none-any.whl", "p-1-cp312-cp312-manylinux_2_17_x86_64.whl"], 1),
        (&["p-1-2a-py3-none-any.whl", "p-1-2b-py3-none-any.whl", "p-1-2-py3-none-any.whl"], 1),
        (&["p-1-py3-none-any.whl", "P-1-py3-none-any.whl"], 0),
        (&["p-1-cp312-cp312-manylinux_2_17_x86_64.whl", "p-1-cp312-cp312-manylinux_2_36_x86_64.whl"], 1),
        (&["p-1-cp312-cp312-manylinux_2_37_x86_64.whl", "p-1-cp311-abi3-manylinux_2_17_x86_64.whl"], 1),
    ] {
        assert_eq!(choice(&of_files(true, wheels)).0.to_string(), wheels[best]);
    }
}

#[test]
fn why_something_is_built_is_said() {
    let said = |workspace: &Workspace| choice(workspace).1.to_string();
    assert_eq!(said(&of_files(true, &["p-1-py3-none-any.whl"])), "the best wheel for this target");
    assert_eq!(said(&of_files(true, &[])), "there is no wheel");
    let foreign = [
        "p-1-cp312-cp312-win_amd64.whl",
        "p-1-cp311-cp311-manylinux_2_17_x86_64.whl",
        "p-1-cp312-cp312-manylinux_2_39_x86_64.whl",
        "p-1-cp312-cp312-musllinux_1_2_x86_64.whl",
    ];
    let nearest = "no wheel is for this target; the nearest is p-1-cp312-cp312-manylinux_2_39_x86_64.whl";
    assert_eq!(said(&of_files(true, &foreign)), nearest);
    let error = plan(&of_files(false, &foreign), &FilePreferences::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "p 1 from registry https://index.invalid/simple cannot be installed: no wheel is for this target (the nearest is \
         p-1-cp312-cp312-manylinux_2_39_x86_64.whl), and there is nothing to build it from"
    );
    assert!(error.hint().is_some());
}

#[test]
fn no_binary_and_no_build_are_what_they_are_for_uv() {
    let p = || ["p".parse().unwrap()].into();
    let preferences = |keys: &str| FilePreferences {
        no_binary: keys.contains('B'),
        no_binary_packages: if keys.contains('b') { p() } else { Default::default() },
        no_build: keys.contains('S'),
        no_build_packages: if keys.contains('s') { p() } else { Default::default() },
    };
    let of = |workspace: &Workspace, keys: &str| match plan(workspace, &preferences(keys)) {
        Ok(plan) => plan.packages[0].choice.to_string(),
        Err(LockError::NoUsableFile { reason, .. }) => reason.to_string(),
        Err(error) => panic!("{error}"),
    };
    let (wheel, sdist) = ("p-1-py3-none-any.whl", "p-1.tar.gz");
    let both = of_files(true, &[wheel]);
    for (keys, chosen) in [
        ("", wheel),
        ("b", sdist),
        ("B", sdist),
        ("s", wheel),
        ("S", wheel),
        // What names a package counts more than what is for all.
        ("Bs", wheel),
        ("bS", sdist),
        ("bs", "both no-binary and no-build are set for it"),
        ("BS", "both no-binary and no-build are set for it"),
    ] {
        assert_eq!(of(&both, keys), chosen, "{keys}");
    }
    assert_eq!(of(&of_files(true, &[]), "s"), "no-build is set for it, and it has no wheel");
    let foreign = of_files(true, &["p-1-cp312-cp312-win_amd64.whl"]);
    assert!(
        of(&foreign, "S")
            .starts_with("no-build is set for it, and no wheel is for this target (the nearest is p-1-")
    );
    assert_eq!(of(&foreign, "bS"), sdist);
    assert!(
        of(&of_files(false, &[wheel]), "b").starts_with("no-binary is set for it, and the lock has nothing")
    );
    assert_eq!(of(&of_files(false, &[]), ""), "the lock has neither a wheel nor an sdist of it");
    let tree = of_record("source = { directory = \"p\" }");
    assert_eq!(of(&tree, "S"), "no-build is set for it, and it has no wheel");
}

#[test]
fn settings_of_the_project_count() {
    let workspace = of_files(true, &["p-1-py3-none-any.whl"]);
    workspace.write("pyproject.toml", "[project]\nname = \"app\"\n[tool.uv]\nno-binary-package = [\"P\"]\n");
    assert_eq!(choice(&workspace), (workspace_sdist(), Reason::NoBinary));
    // uv does not look into [tool.uv] then.
    workspace.write("uv.toml", "no-build = true\n");
    assert_eq!(choice(&workspace).1, Reason::BestWheel);
}

fn workspace_sdist() -> FileChoice {
    choice(&of_files(true, &[])).0
}

#[test]
fn every_kind_of_source_is_planned() {
    let git = format!("https://git.invalid/p.git?tag=v1&subdirectory=python#{COMMIT}");
    let cases = [
        (format!("version = \"1\"\nsource = {{ git = \"{git}\" }}"), format!("p==1 git:{git}")),
        ("version = \"1\"\nsource = { directory = \"../p\" }".into(), "p==1 local:directory:../p".into()),
        ("source = { editable = \"libs/p\" }".into(), "p==(dynamic) local:editable:libs/p".into()),
        (
            "version = \"1\"\nsource = { url = \"https://files.invalid/a/p-1.tar.gz\", subdirectory = \"python\" }\nsdist = { hash = \"sha512:0a\" }"
                .into(),
            "p==1 p-1.tar.gz".into(),
        ),
        (
            "version = \"1\"\nsource = { url = \"https://files.invalid/a/p-1-py3-none-any.whl\" }\n\
             wheels = [{ url = \"https://files.invalid/a/p-1-py3-none-any.whl\", hash = \"md5:0a\" }]"
                .into(),
            "p==1 p-1-py3-none-any.whl".into(),
        ),
        (
            "version = \"1\"\nsource = { path = \"dist/p-1.tar.gz\" }\nsdist = { hash = \"sha256:0a\", size = 3 }".into(),
            "p==1 p-1.tar.gz".into(),
        ),
        (
            "version = \"1\"\nsource = { path = \"dist/p-1-py3-none-any.whl\" }\nwheels = [{ filename = \"p-1-py3-none-any.whl\" }]".into(),
            "p==1 p-1-py3-none-any.whl".into(),
        ),
        (
            "version = \"1\"\nsource = { registry = \"../links\" }\nwheels = [{ path = \"p-1-py3-none-any.whl\" }]".into(),
            "p==1 p-1-py3-none-any.whl".into(),
        ),
    ];
    let mut subdirectories = Vec::new();
    let mut places = Vec::new();
    for (record, line) in cases {
        let plan =
            plan(&of_record(&record), &FilePreferences::default()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(plan.lines().collect::<Vec<_>>(), [line]);
        let package = &plan.packages[0];
        subdirectories.extend(package.subdirectory.clone());
        if let FileChoice::Wheel(file) | FileChoice::Sdist(file) = &package.choice {
            places.push(match &file.place {
                FilePlace::Url(url) => url.to_string(),
                FilePlace::Path(path) => path.display().to_string(),
            });
        }
    }
    assert_eq!(subdirectories, ["python", "python"]);
    assert_eq!(
        places,
        [
            "https://files.invalid/a/p-1.tar.gz",
            "https://files.invalid/a/p-1-py3-none-any.whl",
            "dist/p-1.tar.gz",
            "dist/p-1-py3-none-any.whl",
            "../links/p-1-py3-none-any.whl",
        ]
    );
}

#[test]
fn hashes_of_any_algorithm_and_sizes_are_kept() {
    let workspace = of_record(
        "version = \"1\"\nsource = { registry = \"https://index.invalid/simple\" }\n\
         sdist = { url = \"https://files.invalid/p-1.tar.gz\", hash = \"BLAKE2b:0A\", size = 12 }",
    );
    let (FileChoice::Sdist(file), _) = choice(&workspace) else { panic!("no sdist") };
    assert_eq!((file.hash.unwrap().to_string(), file.size), ("blake2b:0a".to_owned(), Some(12)));
}

/// A login in the lock's URLs is shown nowhere.
#[test]
fn logins_are_not_shown() {
    let git = format!("https://me:secret@git.invalid/p.git#{COMMIT}");
    let lines: Vec<_> =
        plan(&of_record(&format!("source = {{ git = \"{git}\" }}")), &FilePreferences::default())
            .unwrap()
            .lines()
            .collect();
    assert_eq!(lines, [format!("p==(dynamic) git:https://git.invalid/p.git#{COMMIT}")]);
    let record = "version = \"1\"\nsource = { registry = \"https://me:secret@index.invalid/simple\" }";
    let error = plan(&of_record(record), &FilePreferences::default()).unwrap_err().to_string();
    assert!(error.contains("registry https://index.invalid/simple") && !error.contains("secret"), "{error}");
}
