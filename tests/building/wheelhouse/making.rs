//! Wheelhouses of projects with a lock: made, made again, and made although something fails.

use serde_json::Value;

use super::locked::{Locked, status, statuses, write_project};
use crate::index::{Server, sha256};
use crate::run::Place;
use crate::support::packages::{Project, wheel};

const LIB: Project = Project {
    name: "lib",
    version: "1.0",
    requires: &["tool>=1"],
    dynamic: &[],
    requires_dist: &["plain"],
    imports: &["tool"],
    sleeps: false,
    waits_for: "",
    native_source: false,
    runs: "",
    looks_at_machine: false,
};

/// An index that has what `lib` is built with.
pub fn index_with_tool() -> Server {
    let server = Server::start();
    server.add_project("tool", &[("tool-1.5-py3-none-any.whl", &wheel("tool", "1.5"))]);
    server
}

fn packages() -> Vec<Locked> {
    vec![Locked::sdist(&LIB), Locked::wheel("plain", "3.0"), Locked::wheel("two-words", "1.2")]
}

fn record(place: &Place) -> Value {
    serde_json::from_slice(&fs_err::read(place.path("dist/wheelhouse.json")).unwrap()).unwrap()
}

fn host() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "linux_arm64",
        _ => "linux_amd64",
    }
}

#[test]
fn what_has_a_wheel_is_fetched_and_the_rest_is_built() {
    let (server, place) = (index_with_tool(), Place::new());
    let project = write_project(&place, &server, &packages(), "");
    let arguments = ["--project", &project, "--index-url", &server.index()];
    let run = place.wheelhouse(&arguments).ended(0).says("2 fetched, 1 built");
    let requirements = format!("dist/requirements-{}.txt", host());
    let run = run.says(&place.text(&requirements));
    assert!(run.stderr.contains("/3] built lib 1.0 "), "{}", run.stderr);
    let names = ["lib-1.0-py3-none-any.whl", "plain-3.0-py3-none-any.whl", "two_words-1.2-py3-none-any.whl"];
    let text = fs_err::read_to_string(place.path(&requirements)).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let line = |name: &str, file: &str| {
        format!("{name} --hash=sha256:{}", sha256(&fs_err::read(place.path("dist").join(file)).unwrap()))
    };
    let expected = [("lib==1.0", names[0]), ("plain==3.0", names[1]), ("two-words==1.2", names[2])];
    assert_eq!(lines, expected.map(|(name, file)| line(name, file)));
    let target = &record(&place)["targets"][0];
    assert_eq!((&target["target"], &target["complete"]), (&host().into(), &true.into()));
    let wheels = target["wheels"].as_array().unwrap();
    let how: Vec<_> = wheels.iter().map(|wheel| wheel["how"].as_str().unwrap()).collect();
    assert_eq!(how, ["built", "fetched", "fetched"]);
    assert_eq!(wheels[0]["origin"]["sha256"], sha256(&LIB.sdist()));
    assert!(!wheels[0]["worker"].as_str().unwrap().is_empty());
    assert_eq!(wheels[0]["report"]["build_requirements"][0]["name"], "tool");
    assert_eq!(wheels[1]["origin"]["place"], format!("{}/files/{}", server.url(""), names[1]));
    assert_eq!((&wheels[1]["glibc_floor"], &wheels[1]["report"]), (&Value::Null, &Value::Null));
}

#[test]
fn what_is_done_is_not_done_again() {
    let (server, place) = (index_with_tool(), Place::new());
    let project = write_project(&place, &server, &packages(), "");
    let arguments = ["--project", &project, "--index-url", &server.index(), "--json"];
    place.wheelhouse(&arguments).ended(0);
    let (requests, starts) = (server.requests().len(), place.uv_starts());
    fs_err::rename(place.path("cache/executor"), place.path("executor-away")).unwrap();
    let files = ["wheelhouse.json", &format!("requirements-{}.txt", host())]
        .map(|name| fs_err::read(place.path("dist").join(name)).unwrap());
    let document = place.wheelhouse(&arguments).ended(0).json();
    assert!(statuses(&document).iter().all(|(_, status)| status == "kept"), "{document}");
    assert_eq!((server.requests().len(), place.uv_starts()), (requests, starts));
    assert!(!place.path("cache/executor").exists(), "nothing is to be built");
    let names = ["wheelhouse.json", &format!("requirements-{}.txt", host())];
    assert_eq!(names.map(|name| fs_err::read(place.path("dist").join(name)).unwrap()), files);
    // What is not what it was is made again, and nothing else.
    fs_err::rename(place.path("executor-away"), place.path("cache/executor")).unwrap();
    fs_err::write(place.path("dist/plain-3.0-py3-none-any.whl"), "damaged").unwrap();
    fs_err::remove_file(place.path("dist/lib-1.0-py3-none-any.whl")).unwrap();
    let document = place.wheelhouse(&arguments).ended(0).json();
    assert_eq!(status(&document, "lib"), "cached");
    assert_eq!(status(&document, "plain"), "fetched");
    assert_eq!(status(&document, "two-words"), "kept");
    // Nor is it taken for the same if it would be built in another way.
    let more = [&arguments[..], &["--build-requires", "tool<2"]].concat();
    let document = place.wheelhouse(&more).ended(0).json();
    assert_eq!((status(&document, "lib"), status(&document, "plain")), ("cached".into(), "kept".into()));
    let document = place.wheelhouse(&[&arguments[..], &["--rebuild"]].concat()).ended(0).json();
    assert_eq!(status(&document, "lib"), "built");
}

#[test]
fn what_fails_stops_nothing_else_and_is_all_that_is_done_again() {
    let (server, place) = (index_with_tool(), Place::new());
    let broken = Project { name: "broken", version: "2.0", runs: "raise SystemExit('it is broken')", ..LIB };
    let mut packages = packages();
    packages.push(Locked::sdist(&broken));
    let project = write_project(&place, &server, &packages, "");
    let arguments = ["--project", &project, "--index-url", &server.index()];
    let run =
        place.wheelhouse(&arguments).ended(20).says("broken 2.0").says("backend-error").says("1 failed");
    let log = place.path("dist/logs").join(format!("broken-2.0-{}.log", host()));
    let run = run.says(log.to_str().unwrap());
    assert!(fs_err::read_to_string(&log).unwrap().contains("it is broken"), "{}", run.stdout);
    assert!(place.path("dist/lib-1.0-py3-none-any.whl").is_file());
    let requirements = place.path("dist").join(format!("requirements-{}.txt", host()));
    assert!(!requirements.exists(), "not everything is there");
    assert_eq!(record(&place)["targets"][0]["complete"], false);
    // Mended, and locked again.
    packages.pop();
    packages.push(Locked::sdist(&Project { runs: "", version: "2.1", ..broken }));
    write_project(&place, &server, &packages, "");
    let document = place.wheelhouse(&[&arguments[..], &["--json"]].concat()).ended(0).json();
    let built: Vec<_> = statuses(&document).into_iter().filter(|(_, status)| status != "kept").collect();
    assert_eq!(built, [("broken".to_owned(), "built".to_owned())]);
    assert!(requirements.exists());
    // The file of a time when everything was there stays.
    packages.pop();
    packages.push(Locked::sdist(&Project { version: "2.2", ..broken }));
    write_project(&place, &server, &packages, "");
    let text = fs_err::read(&requirements).unwrap();
    place.wheelhouse(&arguments).ended(20);
    assert_eq!(fs_err::read(&requirements).unwrap(), text);
}

#[test]
fn a_wheel_that_is_not_what_the_lock_says_is_refused() {
    let (server, place) = (index_with_tool(), Place::new());
    let project = write_project(&place, &server, &packages(), "");
    server.add_file("plain-3.0-py3-none-any.whl", b"something else");
    let arguments = ["--project", &project, "--index-url", &server.index()];
    let run = place.wheelhouse(&arguments).ended(21).says("plain 3.0").says("fetch-failed");
    run.says("was expected").says("1 fetched, 1 built, 1 failed");
    assert!(!place.path("dist/plain-3.0-py3-none-any.whl").exists());
}

#[test]
fn wheels_that_are_not_needed_any_more_stay_and_are_named() {
    let (server, place) = (index_with_tool(), Place::new());
    let project = write_project(&place, &server, &packages(), "");
    let arguments = ["--project", &project, "--index-url", &server.index()];
    place.wheelhouse(&arguments).ended(0);
    write_project(&place, &server, &packages()[..2], "");
    let run = place.wheelhouse(&arguments).ended(0).says("2 kept");
    assert!(run.stderr.contains("note: two_words-1.2-py3-none-any.whl in "), "{}", run.stderr);
    assert!(place.path("dist/two_words-1.2-py3-none-any.whl").is_file());
    fs_err::write(place.path("dist/wheelhouse.json"), "{}").unwrap();
    let run = place.wheelhouse(&arguments).ended(2);
    assert!(run.stderr.contains("is not the record of a wheelhouse"), "{}", run.stderr);
}

#[test]
fn a_login_of_the_project_reaches_its_server_and_no_output() {
    let (server, place) = (index_with_tool(), Place::new());
    server.require("bWU6aHVudGVyMjI="); // me:hunter22
    let index = server.url("me:hunter22") + "/simple/";
    let settings = format!("[[tool.uv.index]]\nname = \"own\"\nurl = \"{index}\"\ndefault = true\n");
    let project = write_project(&place, &server, &packages(), &settings);
    let run = place.wheelhouse(&["--project", &project, "--verbose"]).ended(0);
    let record = fs_err::read_to_string(place.path("dist/wheelhouse.json")).unwrap();
    let lock = fs_err::read_to_string(place.path("project/crosswheel.lock")).unwrap();
    for text in [run.stdout, run.stderr, record, lock] {
        assert!(!text.contains("hunter22"), "{text}");
    }
}

#[test]
fn a_wheel_of_something_else_is_refused() {
    let (server, place) = (Server::start(), Place::new());
    let named = |name: &str, files| Locked { wheels: files, ..Locked::named(name, "1.0") };
    let other = vec![("good-1.0-py3-none-any.whl".to_owned(), wheel("good", "1.0"))];
    let inside = vec![("sly-1.0-py3-none-any.whl".to_owned(), wheel("good", "2.0"))];
    let packages = [named("evil", other), named("sly", inside), Locked::wheel("good", "1.0")];
    let project = write_project(&place, &server, &packages, "");
    let document = place.wheelhouse(&["--project", &project, "--json"]).ended(19).json();
    assert_eq!(status(&document, "good"), "fetched");
    for (name, message) in [
        ("evil", "evil 1.0 has to be installed, and good-1.0-py3-none-any.whl is good 1.0"),
        ("sly", "sly 1.0 has to be installed, and sly-1.0-py3-none-any.whl is good 2.0"),
    ] {
        assert_eq!(status(&document, name), "failed");
        let results = document["distributions"].as_array().unwrap();
        let failure = &results.iter().find(|result| result["name"] == name).unwrap()["failure"];
        assert_eq!(failure["message"], message);
    }
}
