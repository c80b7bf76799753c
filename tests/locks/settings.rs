//! Settings that are not in the lock, and what the manifest says of builds.

use crate::workspace::Workspace;

const LOCK: &str = r#"version = 1
revision = 3
requires-python = ">=3.10"
[manifest]
constraints = [{ name = "idna", specifier = ">3", marker = "sys_platform == 'linux'" }, { name = "x", extras = ["a", "b"], url = "https://files.invalid/x-1.tar.gz" }]
overrides = [{ name = "y", git = "https://git.invalid/y?rev=main" }]
build-constraints = [{ name = "setuptools", specifier = "<70" }]
[[manifest.dependency-metadata]]
name = "zz"
version = "1"
requires-dist = ["a ; sys_platform == 'linux'"]
provides-extra = ["e"]
requires-python = ">=3.9"
[[package]]
name = "app"
version = "1"
source = { virtual = "." }
"#;

#[test]
fn tool_uv_is_read() {
    let pyproject = r#"
[project]
name = "app"
[tool.uv]
no-binary-package = ["Foo_Bar"]
no-build = true
no-build-isolation-package = ["flash-attn"]
find-links = ["links", "https://links.invalid/page"]
no-index = true
exclude-newer = 2026-01-02T00:00:00Z
config-settings = { "--build-option" = ["-a", "-b"], editable_mode = "strict", verbose = true }
config-settings-package = { numpy = { blas = "none" } }
extra-build-variables = { flash-attn = { FLASH_ATTENTION_SKIP_CUDA_BUILD = "TRUE" } }
[tool.uv.extra-build-dependencies]
flash-attn = ["setuptools", { requirement = "torch>=2; sys_platform == 'linux'", match-runtime = true }]
[[tool.uv.index]]
name = "cpu"
url = "https://download.invalid/whl/cpu"
explicit = true
[[tool.uv.index]]
url = "https://corp.invalid/simple"
default = true
format = "flat"
"#;
    let workspace = Workspace::new(&[("uv.lock", LOCK), ("pyproject.toml", pyproject)]);
    let project = workspace.project();
    let settings = project.settings();
    let texts = |names: &std::collections::BTreeSet<pep508_rs::PackageName>| {
        names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(texts(&settings.no_binary_packages), "foo-bar");
    assert_eq!(texts(&settings.no_build_isolation_packages), "flash-attn");
    assert!(settings.no_build && !settings.no_binary && settings.no_index && !settings.no_build_isolation);
    assert_eq!(settings.find_links, ["links", "https://links.invalid/page"]);
    assert_eq!(settings.exclude_newer.as_deref(), Some("2026-01-02T00:00:00Z"));
    assert_eq!(settings.config_settings["--build-option"], ["-a", "-b"]);
    assert_eq!(settings.config_settings["verbose"], ["true"]);
    let (numpy, flash) = ("numpy".parse().unwrap(), "flash-attn".parse().unwrap());
    assert_eq!(settings.config_settings_packages[&numpy]["blas"], ["none"]);
    assert_eq!(settings.extra_build_variables[&flash]["FLASH_ATTENTION_SKIP_CUDA_BUILD"], "TRUE");
    let extra: Vec<_> = settings.extra_build_dependencies[&flash]
        .iter()
        .map(|dependency| (dependency.requirement.to_string(), dependency.match_runtime))
        .collect();
    assert_eq!(extra, [("setuptools".into(), false), ("torch>=2 ; sys_platform == 'linux'".into(), true)]);
    let [cpu, corp] = &settings.indexes[..] else { panic!("{:?}", settings.indexes) };
    assert_eq!((cpu.name.as_deref(), cpu.explicit, cpu.default, cpu.flat), (Some("cpu"), true, false, false));
    assert_eq!(
        (corp.url.as_str(), corp.explicit, corp.default, corp.flat),
        ("https://corp.invalid/simple", false, true, true)
    );
}

#[test]
fn the_manifest_s_bounds_are_read() {
    let workspace = Workspace::new(&[("uv.lock", LOCK), ("pyproject.toml", "[project]\nname = \"app\"\n")]);
    let project = workspace.project();
    let manifest = project.lock().manifest();
    let texts = |requirements: &[crosswheel::lock::LockedRequirement]| {
        requirements.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        texts(&manifest.constraints),
        ["idna>3 ; sys_platform == 'linux'", "x[a,b] @ https://files.invalid/x-1.tar.gz"]
    );
    assert_eq!(texts(&manifest.overrides), ["y @ git+https://git.invalid/y?rev=main"]);
    assert_eq!(texts(&manifest.build_constraints), ["setuptools<70"]);
    let [metadata] = &manifest.dependency_metadata[..] else { panic!("{manifest:?}") };
    assert_eq!(metadata.requires_dist, ["a ; sys_platform == 'linux'"]);
    assert_eq!((metadata.name.as_ref(), metadata.version.is_some()), ("zz", true));
}

#[test]
fn a_setting_of_the_wrong_kind_has_a_line_and_a_key() {
    for (keys, said) in [
        ("no-build = \"yes\"", "pyproject.toml:4: tool.uv.no-build: a boolean is expected, not a string"),
        ("no-binary-package = [\"a\", \"-\"]", "pyproject.toml:4: tool.uv.no-binary-package[1]: "),
        (
            "extra-build-dependencies = { a = [{ match-runtime = true }] }",
            ".extra-build-dependencies.a[0].requirement: is missing",
        ),
        ("extra-build-dependencies = { a = [\"b ;\"] }", ".extra-build-dependencies.a[0]: "),
        ("default-groups = \"some\"", "tool.uv.default-groups: only `all` or a list of groups are known"),
        ("[", "pyproject.toml:4: "),
    ] {
        let pyproject = format!("[project]\nname = \"app\"\n[tool.uv]\n{keys}\n");
        let workspace = Workspace::new(&[("uv.lock", LOCK), ("pyproject.toml", &pyproject)]);
        let error = workspace.error("").to_string();
        assert!(error.contains(said), "{error}");
    }
}
