//! What a set of wheels leaves unmet, following extras and markers.

use crosswheel::step::helper::Helpers;
use crosswheel::step::venv::unmet_requirements::missing;
use crosswheel::step::venv::unpacked_wheel::UnpackedWheel;
use crosswheel::step::venv::wheel_store::WheelStore;

use super::builder::{PYTHON, WheelBuilder};

/// Unpacks wheels given as `name version` with their requirements.
fn installed(wheels: &[(&str, &[&str])]) -> Vec<UnpackedWheel> {
    let root = tempfile::tempdir().unwrap();
    let store = WheelStore::open(root.path().join("store"), Helpers::default());
    let unpack = |(project, requirements): &(&str, &[&str])| {
        let (name, version) = project.split_once(' ').unwrap();
        let mut wheel = WheelBuilder::new(&format!("{name}-{version}-py3-none-any.whl"));
        for requirement in *requirements {
            wheel = wheel.requires(requirement);
        }
        store.unpacked(&wheel.write(root.path()), None, &PYTHON).unwrap()
    };
    wheels.iter().map(unpack).collect()
}

fn unmet(requirements: &[&str], wheels: &[(&str, &[&str])]) -> Vec<String> {
    let requirements: Vec<_> = requirements.iter().map(|text| text.parse().unwrap()).collect();
    missing(&requirements, &installed(wheels), &PYTHON.markers).iter().map(ToString::to_string).collect()
}

#[test]
fn installed_versions_are_compared() {
    let wheels: &[(&str, &[&str])] = &[("setuptools 68.1", &[])];
    assert!(unmet(&["setuptools>=61", "setuptools"], wheels).is_empty());
    assert_eq!(unmet(&["setuptools>=70"], wheels), ["setuptools>=70 is not met by version 68.1"]);
    assert_eq!(unmet(&["wheel", "Wheel"], wheels), ["wheel is not installed"]);
}

#[test]
fn requirements_of_installed_wheels_count_too() {
    let wheels: &[(&str, &[&str])] = &[("a 1", &["b>=2", "c"]), ("b 1", &[])];
    assert_eq!(
        unmet(&["a"], wheels),
        ["b>=2, required by a, is not met by version 1", "c, required by a, is not installed"]
    );
    assert!(unmet(&["b"], wheels).is_empty(), "what nothing asks for needs nothing");
}

#[test]
fn extras_are_followed_only_where_they_are_asked_for() {
    let wheels: &[(&str, &[&str])] = &[
        (
            "setuptools_scm 8.0",
            &["packaging", "tomli>=1; extra == 'toml'", "setuptools-scm[toml]; extra == 'all'"],
        ),
        ("packaging 24.0", &[]),
    ];
    assert!(unmet(&["setuptools-scm"], wheels).is_empty());
    for requirement in ["setuptools_scm[toml]>=8", "setuptools-scm[all]"] {
        let unmet = unmet(&[requirement], wheels);
        assert_eq!(unmet.len(), 1);
        assert!(
            unmet[0].starts_with("tomli>=1") && unmet[0].contains("required by setuptools-scm"),
            "{unmet:?}"
        );
    }
    assert!(unmet(&["setuptools-scm[unknown]"], wheels).is_empty());
}

#[test]
fn markers_are_evaluated_for_the_interpreter() {
    let wheels: &[(&str, &[&str])] = &[("a 1", &["b; python_version < '3'", "c; sys_platform == 'win32'"])];
    assert!(unmet(&["a", "d; os_name == 'nt'"], wheels).is_empty());
    assert_eq!(unmet(&["d; os_name == 'posix'"], wheels).len(), 1);
}

#[test]
fn cycles_end() {
    let wheels: &[(&str, &[&str])] = &[("a 1", &["b[x]"]), ("b 1", &["a[y]", "a; extra == 'x'"])];
    assert!(unmet(&["a[y]"], wheels).is_empty());
}

#[test]
fn prereleases_count_and_urls_are_met_by_name() {
    let wheels: &[(&str, &[&str])] = &[("a 2.0rc1", &[])];
    assert!(unmet(&["a>=1", "a @ https://example.org/a-3.0.tar.gz"], wheels).is_empty());
    assert_eq!(unmet(&["a>=2.0"], wheels), ["a>=2.0 is not met by version 2.0rc1"]);
}
