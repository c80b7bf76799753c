//! `crosswheel build -r`: requirements files with includes, markers, hashes, and options that say where packages are.

use super::build::{APP, index_with_app};
use super::index::{Server, sha256};
use super::run::Place;
use crate::support::packages::{Project, wheel};

/// A project that needs nothing.
fn plain(name: &'static str, version: &'static str) -> Project<'static> {
    Project { name, version, requires: &[], imports: &[], ..APP }
}

#[test]
fn what_a_file_names_is_built_from_where_it_says() {
    let (server, place) = (Server::start(), Place::new());
    let (one, two) = (plain("one", "1.0"), plain("two", "2.0"));
    server.add_project("one", &[(&one.file_name(), &one.sdist())]);
    server.add_project("two", &[(&two.file_name(), &two.sdist())]);
    place.write("sdists/three-3.0.tar.gz", plain("three", "3.0").sdist());
    place.write("links/four-4.0.tar.gz", plain("four", "4.0").sdist());
    place.write("links/four-5.0.tar.gz", plain("four", "5.0").sdist());
    let first = format!(
        "# what we need\n--index-url {}\none \\\n  >=1 ; sys_platform == 'linux'\n-r more/second.txt\n",
        server.index()
    );
    let file = place.write("first.txt", first);
    place.write(
        "more/second.txt",
        "--find-links ../links\n-c bounds.txt\ntwo==2.0 ; sys_platform == 'win32'\n./sdists/three-3.0.tar.gz\nfour\n",
    );
    place.write("more/bounds.txt", "four<5\n");
    let run = place.build(&["-r", &file, "--json"]).ended(0);
    let document = run.json();
    let each = |key: &str| {
        let results = document["results"].as_array().unwrap().iter();
        results.map(|result| result[key].as_str().unwrap_or("").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        each("source"),
        [
            "one   >=1 ; sys_platform == 'linux'",
            "two==2.0 ; sys_platform == 'win32'",
            "./sdists/three-3.0.tar.gz",
            "four"
        ]
    );
    assert_eq!(each("status"), ["built", "skipped", "built", "built"]);
    assert_eq!(
        place.wheels(),
        ["four-4.0", "one-1.0", "three-3.0"].map(|name| format!("{name}-py3-none-any.whl"))
    );
    // A source of the command line is built with those of the file, and bounded by nothing but its own words.
    place.build(&["-r", &file, "four==5.0"]).ended(2).says("the constraint `four<5`");
}

#[test]
fn hashes_in_a_file_are_those_of_the_sdists() {
    let (server, place) = (index_with_app(), Place::new());
    let index = server.index();
    let line =
        |hash: &str| format!("app==1.0 --hash=sha256:{} \\\n  --hash=sha256:{hash}\n", sha256(b"a wheel"));
    let right = place.write("right.txt", line(&sha256(&APP.sdist())));
    place.build(&["-r", &right, "--index-url", &index]).ended(0).says("built   app-1.0");
    let wrong = place.write("wrong.txt", line(&sha256(b"other")));
    let run = place.build(&["-r", &wrong, "--index-url", &index]).ended(21);
    run.says("fetch failed").says("was expected").says(&sha256(&APP.sdist()));
    let open = place.write("open.txt", format!("{}other\n", line(&sha256(b"other"))));
    let run = place.build(&["-r", &open, "--index-url", &index]).ended(2);
    assert!(run.stderr.contains(&format!("{open}:3: `other` does not name one version")), "{}", run.stderr);
}

#[test]
fn a_file_that_cannot_be_read_is_refused_as_a_whole() {
    let place = Place::new();
    let file = place.write("bad.txt", "one\n--trusted-host x.example\n");
    let run = place.build(&["-r", &file]).ended(2);
    assert!(
        run.stderr.contains(&format!("{file}:2: --trusted-host would switch certificates off")),
        "{}",
        run.stderr
    );
    let document = place.build(&["-r", &file, "--json"]).ended(2).json();
    assert_eq!(document["results"][0]["source"], format!("-r {file}"));
    assert_eq!(document["results"][0]["failure"]["class"], "invalid-source");
    // Constraints are read in the same way.
    let sdist = place.write("app-1.0.tar.gz", APP.sdist());
    let constraints = place.write("constraints.txt", "tool<1.6\n-c missing.txt\n");
    let run = place.build(&[&sdist, "-c", &constraints]).ended(2);
    assert!(
        run.stderr.contains(&format!("{constraints}:2: there is no requirements file")),
        "{}",
        run.stderr
    );
}

#[test]
fn a_login_from_a_variable_reaches_the_index_and_nobody_else() {
    let (server, mut place) = (index_with_app(), Place::new());
    server.require("bWU6aHVudGVyMjI="); // me:hunter22
    place.set("INDEX_PASSWORD", "hunter22");
    let index = server.url("me:${INDEX_PASSWORD}") + "/simple/";
    let file = place.write("requirements.txt", format!("-i {index}\napp==1.0\n"));
    let run = place.build(&["-r", &file, "--verbose"]).ended(0);
    assert!(!(run.stdout + &run.stderr).contains("hunter22"));
}

#[test]
fn constraints_of_a_file_do_not_bound_what_is_needed_to_build() {
    let (server, place) = (index_with_app(), Place::new());
    server.add_project("tool", &[("tool-1.5-py3-none-any.whl", &wheel("tool", "1.5"))]);
    place.write("bounds.txt", "tool<1\n");
    let file = place.write("requirements.txt", "app\n-c bounds.txt\n");
    place.build(&["-r", &file, "--index-url", &server.index()]).ended(0);
}
