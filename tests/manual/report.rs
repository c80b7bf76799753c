//! The fields of documents that the manual lists, against those of real ones.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::markdown::Page;
use crate::run::Place;
use crate::scene::LIB;
use crate::step::{BACKEND, Bench, json};
use crate::support::packages::wheel;
use crate::support::waiting::InTime;

/// A backend that needs a wheel, and compiles something.
const COMPILES: &str = "import shlex, subprocess, sysconfig
tag = 'py3-none-' + sysconfig.get_platform().replace('-', '_')
with open('demo.c', 'w') as source: source.write('int demo(void) { return 1; }')
command = shlex.split(os.environ.get('CC') or sysconfig.get_config_var('CC'))
subprocess.run([*command, '-shared', '-fPIC', '-nostdlib', '-o', 'demo.so', 'demo.c'], check=True)
with open('demo.so', 'rb') as module: native = module.read()";

/// The paths of everything in `value`: `built.target`, `built.build_requirements[].name`. What has parts of its own is
/// not a field, unless it may be null.
fn fields(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                fields(&path, value, found);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().for_each(|item| fields(&format!("{path}[]"), item, found));
        }
        Value::Array(_) => drop(found.insert(format!("{path}[]"))),
        _ => drop(found.insert(path.to_owned())),
    }
}

fn of_all(documents: &[Value]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    documents.iter().for_each(|document| fields("", document, &mut found));
    // One that is empty does not tell that its items have fields.
    let parts = found.clone();
    found.retain(|field| {
        !field.ends_with("[]") || !parts.iter().any(|part| part.starts_with(&format!("{field}.")))
    });
    found
}

fn documented(page: &str, name: &str) -> BTreeSet<String> {
    Page::read(page).column(name).into_iter().collect()
}

#[test]
fn the_fields_of_a_report_are_those_of_the_manual() {
    let pyproject =
        "[build-system]\nrequires = [\"helper\"]\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";
    let body: String = COMPILES.lines().map(|line| format!("    {line}\n")).collect();
    let native = Bench::with_files(&[
        ("pyproject.toml", pyproject),
        ("PKG-INFO", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n\n"),
        ("backend.py", &BACKEND.replace("BODY", &body)),
    ]);
    fs_err::create_dir(native.path("wheels")).unwrap();
    fs_err::write(native.path("wheels/helper-1.0-py3-none-any.whl"), wheel("helper", "1.0")).unwrap();
    let wheels = native.path("wheels");
    let built = native.build(&["--build-wheels", wheels.to_str().unwrap()]);
    assert!(built.status.success(), "{built:?}");
    let pure = Bench::with_body("pass");
    let failing = Bench::with_body("raise ValueError('no')");
    let documents = [
        json(&built),
        json(&pure.build(&[])),
        json(&failing.build(&[])),
        json(&pure.build(&["--python", "/no/such/python"])),
    ];
    assert_eq!(of_all(&documents), documented("docs/wheel.md", "fields of crosswheel wheel --json"));
}

#[test]
fn the_fields_of_a_check_are_those_of_the_manual() {
    let bench = Bench::with_body("pass");
    fs_err::write(bench.path("helper-1.0-py3-none-any.whl"), wheel("helper", "1.0")).unwrap();
    fs_err::write(bench.path("broken-1.0-py3-none-any.whl"), "").unwrap();
    let check = |wheels: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_crosswheel"));
        command.arg("check").arg("--json").args(wheels.iter().map(|wheel| bench.path(wheel)));
        json(&command.env("CROSSWHEEL_CACHE_DIR", bench.path("cache")).output_in_time())
    };
    let documents = [
        check(&["helper-1.0-py3-none-any.whl", "broken-1.0-py3-none-any.whl"]),
        check(&["absent-1.0-py3-none-any.whl"]),
    ];
    assert_eq!(of_all(&documents), documented("docs/check.md", "fields of crosswheel check --json"));
}

/// Of a wheelhouse with something fetched, built and failed; what is said of the step and of the check is said elsewhere.
#[test]
fn the_fields_of_a_wheelhouse_are_those_of_the_manual() {
    let scene = crate::scene::Scene::new();
    let run = |line: &str| {
        let said = scene.finish(&format!("crosswheel wheelhouse --python {} {line}", &*crate::run::PYTHON));
        serde_json::from_str::<Value>(&said.stdout).unwrap_or_else(|error| panic!("{error}: {}", said.stderr))
    };
    let page = "docs/wheelhouse.md";
    let made = run("--project project --group docs --out wheels --json --check");
    let failed = run("--project project --out other --json --no-binary :none: --build-requires nothing");
    let other = if std::env::consts::ARCH == "aarch64" { "linux_amd64" } else { "linux_arm64" };
    let unplanned = run(&format!("--project project --out third --json --target {other}"));
    let mut found = of_all(&[made, failed, unplanned]);
    found.retain(|field| {
        ["record.", "check.", "check_failure.", "targets[].failure."].iter().all(|part| !field.contains(part))
    });
    assert_eq!(found, documented(page, "fields of crosswheel wheelhouse --json"));
    let plan = run("--project project --group docs --plan --json");
    let distributions = plan["targets"][0]["distributions"].as_array().unwrap();
    let planned = documented(page, "fields of crosswheel wheelhouse --plan --json");
    assert_eq!(of_all(distributions), planned);
    let record = fs_err::read(scene.path("wheels/wheelhouse.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    let mut found = of_all(std::slice::from_ref(&record["targets"][0]));
    found.retain(|field| !field.starts_with("check.") && !field.contains(".report."));
    found.insert("check".to_owned());
    let documented = documented(page, "fields of wheelhouse.json");
    let split: BTreeSet<String> = documented
        .iter()
        .flat_map(|cell| cell.split(", "))
        .map(|field| field.trim_matches('`').to_owned())
        .collect();
    assert_eq!(found, split);
}

#[test]
fn the_directories_of_the_cache_are_those_of_the_manual() {
    let place = Place::new();
    place.write("links/helper-1.0-py3-none-any.whl", wheel("helper", "1.0"));
    let sdist = place.write(&LIB.file_name(), LIB.sdist());
    place.build(&[&sdist, "--no-index", "--find-links", &place.text("links")]).ended(0);
    let documented = Page::read("docs/cache.md").column("directories of the cache").join(" ");
    for entry in fs_err::read_dir(place.path("cache")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_documented = documented.split([',', '`', ' ']).any(|word| word == format!("{name}/"));
        assert!(is_documented, "docs/cache.md does not say what {name}/ is");
    }
}

#[test]
fn the_fields_of_results_are_those_of_the_manual() {
    let place = Place::new();
    place.write("links/helper-1.0-py3-none-any.whl", wheel("helper", "1.0"));
    let sdist = place.write(&LIB.file_name(), LIB.sdist());
    let links = place.text("links");
    let built = place.build(&[&sdist, "--no-index", "--find-links", &links, "--json"]).ended(0).json();
    let failed =
        place.build(&["nothing==1.0", "--no-index", "--find-links", &links, "--json"]).ended(21).json();
    let mut found = of_all(&[built, failed]);
    // What is below is said of the step.
    found.retain(|field| !field.starts_with("results[].report."));
    assert_eq!(found, documented("docs/build.md", "fields of crosswheel build --json"));
}
