//! What people name: projects and versions of them, URLs with names, repositories, and until when what was uploaded
//! counts.

use serde_json::json;

use super::build::APP;
use super::index::{Server, sha256};
use super::run::{Place, Run};
use crate::support::packages::{Project, wheel};

/// An index with versions of `app`, each with what it says of its sdist.
fn index_with_versions(versions: &[(&str, serde_json::Value)]) -> Server {
    let server = Server::start();
    let files: Vec<_> = versions
        .iter()
        .map(|(version, facts)| {
            let app = Project { version, requires: &[], imports: &[], ..APP };
            (app.file_name(), app.sdist(), facts.clone())
        })
        .collect();
    let files: Vec<_> =
        files.iter().map(|(name, bytes, facts)| (name.as_str(), bytes.as_slice(), facts.clone())).collect();
    server.add_described("app", &files);
    server
}

fn build(place: &Place, server: &Server, arguments: &[&str]) -> Run {
    place.build(&[arguments, &["--index-url", &server.index()]].concat())
}

#[test]
fn of_a_project_the_newest_version_that_fits_is_built() {
    let server = index_with_versions(&[
        ("1.0", json!({})),
        ("1.5", json!({})),
        ("2.0rc1", json!({})),
        ("2.1", json!({"yanked": "broken"})),
        ("3.0", json!({"requires-python": ">=4"})),
    ]);
    let place = Place::new();
    for (source, wheel) in [
        ("app", "app-1.5-py3-none-any.whl"),
        ("app[fast]>=1,<1.5", "app-1.0-py3-none-any.whl"),
        ("app>=2.0rc1", "app-2.0rc1-py3-none-any.whl"),
        ("app>1.6", "app-2.0rc1-py3-none-any.whl"),
        ("app==2.1", "app-2.1-py3-none-any.whl"),
    ] {
        build(&place, &server, &[source]).ended(0).says(wheel);
    }
    let run = build(&place, &server, &["app>=2.1,<3"]).ended(21);
    run.says("there is no sdist of app>=2.1, <3").says("was withdrawn (yanked)");
    build(&place, &server, &["app>=3"]).ended(21).says("app 3.0 needs Python >=4");
    build(&place, &server, &["app>=5"]).ended(21).says("there are sdists of 3.0, 2.1");
    build(&place, &server, &["nobody>=5"]).ended(21).says("no index or find-links has any sdist of it");
    // What was chosen a moment ago is not asked for again.
    let requests = server.requests().len();
    build(&place, &server, &["app"]).ended(0).says("cached  app-1.5");
    assert_eq!(server.requests().len(), requests);
}

#[test]
fn a_marker_says_where_a_source_is_wanted() {
    let (server, place) = (index_with_versions(&[("1.0", json!({}))]), Place::new());
    let sources = ["app ; sys_platform == 'win32'", "app==1.0; sys_platform == 'linux'"];
    let run = build(&place, &server, &[&sources[..], &["--json"]].concat()).ended(0);
    let document = run.json();
    assert_eq!(document["results"][0]["status"], "skipped");
    assert_eq!(document["results"][0]["wheel"], serde_json::Value::Null);
    assert_eq!(document["results"][1]["status"], "built");
    build(&place, &server, &[sources[0]]).ended(0).says("skipped app ; sys_platform");
}

#[test]
fn a_url_with_a_name_must_be_that_project() {
    let (server, place) = (index_with_versions(&[("1.0", json!({}))]), Place::new());
    let url = format!("{}/files/app-1.0.tar.gz", server.url(""));
    let sdist = Project { requires: &[], imports: &[], ..APP }.sdist();
    let right = format!("App @ {url}#egg=app&sha256={}", sha256(&sdist));
    build(&place, &server, &[&right]).ended(0).says("built   app-1.0");
    let run = build(&place, &server, &[&format!("other @ {url}")]).ended(19);
    run.says("other was asked for, and its sdist built app-1.0-py3-none-any.whl");
    let wrong = format!("app @ {url}#egg=app&sha256={}", sha256(b"other"));
    build(&place, &server, &[&wrong]).ended(21);
    build(&place, &server, &[&format!("{url}#md5=12")]).ended(2).says("no hash to rely on");
    // A file may have a fragment, too.
    place.write("sdists/app-1.0.tar.gz", &sdist);
    let fragment = format!("sdists/app-1.0.tar.gz#sha256={}", sha256(&sdist));
    build(&place, &server, &[&fragment]).ended(0);
}

#[test]
fn logins_of_repositories_are_not_shown() {
    let place = Place::new();
    let run = place.build(&["lib @ git+https://me:hunter22@127.0.0.1:9/lib@main", "--json"]);
    assert!(run.code != 0);
    assert!(!(run.stdout + &run.stderr).contains("hunter22"));
}

#[test]
fn what_was_uploaded_too_late_does_not_count_anywhere() {
    let server = index_with_versions(&[
        ("1.0", json!({"upload-time": "2023-01-01T00:00:00.000000Z"})),
        ("1.5", json!({"upload-time": "2024-06-01T12:00:00Z"})),
        ("2.0", json!({"upload-time": "2025-01-01T00:00:00Z"})),
    ]);
    let mut place = Place::new();
    let newest = |place: &Place, arguments: &[&str]| {
        let run = build(place, &server, &[&["app", "--json"], arguments].concat()).ended(0);
        run.json()["results"][0]["report"]["version"].as_str().unwrap().to_owned()
    };
    assert_eq!(newest(&place, &[]), "2.0");
    assert_eq!(newest(&place, &["--exclude-newer", "2024-06-01"]), "1.5");
    assert_eq!(newest(&place, &["--exclude-newer", "2024-06-01T12:00:00Z"]), "1.0");
    assert_eq!(newest(&place, &["--exclude-newer", "1 week"]), "2.0");
    place.set("UV_EXCLUDE_NEWER", "2023-06-01");
    assert_eq!(newest(&place, &[]), "1.0");
    assert_eq!(newest(&place, &["--exclude-newer", "false"]), "2.0");
    let run = build(&place, &server, &["app==2.0"]).ended(21);
    run.says("app 2.0 was uploaded at 2025-01-01T00:00:00Z, and --exclude-newer leaves out");
    build(&place, &server, &["app>=1.5"])
        .ended(21)
        .says("leaves out what was not before 2023-06-02T00:00:00Z");
    let run = build(&place, &server, &["app", "--exclude-newer", "3 months"]).ended(2);
    assert!(run.stderr.contains("say days, such as `60 days`"), "{}", run.stderr);
}

#[test]
fn build_requirements_are_as_old_as_was_asked_for() {
    let (server, place) = (Server::start(), Place::new());
    let tools = [wheel("tool", "1.5"), wheel("tool", "1.7")];
    let at = |time: &str| json!({"upload-time": time});
    server.add_described(
        "tool",
        &[
            ("tool-1.5-py3-none-any.whl", &tools[0], at("2023-01-01T00:00:00Z")),
            ("tool-1.7-py3-none-any.whl", &tools[1], at("2024-01-01T00:00:00Z")),
        ],
    );
    let sdist = place.write("app-1.0.tar.gz", APP.sdist());
    let version = |arguments: &[&str]| {
        let run = build(&place, &server, &[&[sdist.as_str(), "--json"], arguments].concat()).ended(0);
        run.json()["results"][0]["report"]["build_requirements"][0]["version"].clone()
    };
    assert_eq!(version(&[]), "1.7");
    assert_eq!(version(&["--exclude-newer", "2023-06-01"]), "1.5");
    assert_eq!(version(&["--exclude-newer", "2024-06-01"]), "1.7");
    // uv says why there is none.
    let run = build(&place, &server, &[&sdist, "--exclude-newer", "2020-01-01"]).ended(22);
    run.says("exclude-newer");
    // Whoever tells no times has nothing that is old enough, but for what one has oneself.
    server.add_project("tool", &[("tool-1.5-py3-none-any.whl", &tools[0])]);
    build(&place, &server, &[&sdist, "--exclude-newer", "2023-06-01", "--refresh"]).ended(22);
    server.add_project("app", &[(&APP.file_name(), &APP.sdist())]);
    let run = build(&place, &server, &["app", "--exclude-newer", "2023-06-01"]).ended(21);
    run.says("the index does not tell when app 1.0 was uploaded");
    place.write("links/tool-1.5-py3-none-any.whl", &tools[0]);
    place.write("links/app-1.0.tar.gz", APP.sdist());
    let links = place.text("links");
    build(&place, &server, &["app", "--exclude-newer", "2020-01-01", "--find-links", &links]).ended(0);
}

#[test]
fn a_requirement_that_is_built_is_as_old_as_was_asked_for() {
    let (server, place) = (Server::start(), Place::new());
    let tool = |version: &'static str| Project { name: "tool", version, requires: &[], imports: &[], ..APP };
    let [old, new] = ["1.5", "1.7"].map(|version| (tool(version).file_name(), tool(version).sdist()));
    server.add_described(
        "tool",
        &[
            (&old.0, &old.1, json!({"upload-time": "2023-01-01T00:00:00Z"})),
            (&new.0, &new.1, json!({"upload-time": "2024-01-01T00:00:00Z"})),
        ],
    );
    let sdist = place.write("app-1.0.tar.gz", APP.sdist());
    let version = |arguments: &[&str]| {
        let run = build(&place, &server, &[&[sdist.as_str(), "--json"], arguments].concat()).ended(0);
        run.json()["results"][0]["report"]["build_requirements"][0]["version"].clone()
    };
    assert_eq!(version(&["--exclude-newer", "2023-06-01"]), "1.5");
    assert_eq!(version(&[]), "1.7");
}
