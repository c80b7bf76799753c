//! `crosswheel build` from the outside: sources, indexes, build requirements, locks, signals.

use rustix::process::Signal;
use std::path::PathBuf;
use std::process::Stdio;

use super::index::{Listed, Server, sha256};
use super::run::Place;
use crate::support::packages::{Project, wheel};
use crate::support::processes::{processes_marked, token};
use crate::support::waiting::{InTime, wait_until};

/// `app 1.0`, which needs `tool` to build.
pub const APP: Project = Project {
    name: "app",
    version: "1.0",
    requires: &["tool>=1"],
    dynamic: &[],
    requires_dist: &[],
    imports: &["tool"],
    sleeps: false,
    waits_for: "",
    native_source: false,
    runs: "",
    looks_at_machine: false,
};

/// An index with the sdist of `app` and a wheel of `tool`.
pub fn index_with_app() -> Server {
    let server = Server::start();
    server.add_project("app", &[(&APP.file_name(), &APP.sdist())]);
    server.add_project("tool", &[("tool-1.5-py3-none-any.whl", &wheel("tool", "1.5"))]);
    server
}

#[test]
fn a_pinned_version_is_fetched_by_hash_and_built_with_what_it_requires() {
    let (server, place) = (index_with_app(), Place::new());
    let run = place.build(&["app==1.0", "--index-url", &server.index(), "--json"]).ended(0);
    let result = &run.json()["results"][0];
    assert_eq!(result["status"], "built");
    assert_eq!(result["wheel"], place.text("dist/app-1.0-py3-none-any.whl"));
    assert_eq!(result["report"]["build_requirements"][0]["version"], "1.5");
    assert_eq!(result["failure"], serde_json::Value::Null);
    assert_eq!(place.wheels(), [APP.wheel_name()]);
}

#[test]
fn an_html_index_and_a_url_with_a_hash_will_do() {
    let (server, place) = (Server::start(), Place::new());
    let (sdist, tool) = (APP.sdist(), wheel("tool", "1.5"));
    server.add_file(&APP.file_name(), &sdist);
    server.add_file("tool-1.5-py3-none-any.whl", &tool);
    let page = format!(
        "<html><body><a href=\"../../files/tool-1.5-py3-none-any.whl#sha256={}\">tool</a></body></html>",
        sha256(&tool)
    );
    server.add("/simple/tool/", "text/html", page);
    let url = format!("{}/files/{}#sha256={}", server.url(""), APP.file_name(), sha256(&sdist));
    place.build(&[&url, "--index-url", &server.index()]).ended(0).says("built   app-1.0-py3-none-any.whl");
}

#[test]
fn bytes_that_do_not_have_the_promised_hash_are_refused() {
    let (server, place) = (index_with_app(), Place::new());
    let (promised, sdist) = (sha256(b"something else"), APP.sdist());
    let listed = Listed {
        name: &APP.file_name(),
        bytes: &sdist,
        root: server.url(""),
        sha256: Some(promised.clone()),
    };
    server.add_page("app", &[listed]);
    let run = place.build(&["app==1.0", "--index-url", &server.index()]).ended(21);
    run.says("fetch failed").says(&promised).says(&sha256(&sdist));
    // The same for a build requirement.
    let tool = wheel("tool", "1.5");
    let name = "tool-1.5-py3-none-any.whl";
    server.add_page("tool", &[Listed { name, bytes: &tool, root: server.url(""), sha256: Some(promised) }]);
    let sdist = place.write("app-1.0.tar.gz", sdist);
    place.build(&[&sdist, "--index-url", &server.index()]).ended(21);
    assert_eq!(place.wheels(), [""; 0]);
}

#[test]
fn a_server_that_fails_for_a_moment_is_asked_again() {
    let (server, place) = (index_with_app(), Place::new());
    server.fail("/simple/app/", 1);
    server.fail(&format!("/files/{}", APP.file_name()), 2);
    place.build(&["app==1.0", "--index-url", &server.index()]).ended(0);
}

#[test]
fn a_server_that_keeps_failing_and_a_missing_project_are_told_apart() {
    let (server, place) = (index_with_app(), Place::new());
    server.fail("/simple/app/", 100);
    place.build(&["app==1.0", "--index-url", &server.index()]).ended(21).says("the server answered 500");
    place.build(&["other==1.0", "--index-url", &server.index()]).ended(21).says("no sdist of other==1.0");
    server.fail("/simple/app/", 0);
    let run = place.build(&["app==2.0", "--index-url", &server.index()]).ended(21);
    run.says("no sdist of app==2.0").says("there are sdists of 1.0");
}

#[test]
fn credentials_go_to_their_own_server_only() {
    let (private, public, place) = (Server::start(), Server::start(), Place::new());
    private.require("bWU6aHVudGVyMjI="); // me:hunter22
    let (sdist, tool) = (APP.sdist(), wheel("tool", "1.5"));
    public.add_file(&APP.file_name(), &sdist);
    public.add_file("tool-1.5-py3-none-any.whl", &tool);
    let root = || public.url("");
    private.add_page("app", &[Listed { name: &APP.file_name(), bytes: &sdist, root: root(), sha256: None }]);
    let name = "tool-1.5-py3-none-any.whl";
    private.add_page("tool", &[Listed { name, bytes: &tool, root: root(), sha256: None }]);
    let index = private.url("me:hunter22") + "/simple/";
    let run = place.build(&["app==1.0", "--index-url", &index, "--verbose"]).ended(0);
    assert!(!(run.stdout + &run.stderr).contains("hunter22"));
    assert!(private.requests().iter().any(|request| request.path == "/simple/app/"));
    assert!(!public.requests().is_empty());
    assert!(public.requests().iter().all(|request| request.authorization.is_none()));
}

#[test]
fn a_wrong_password_is_not_shown_to_anybody() {
    let (server, place) = (index_with_app(), Place::new());
    server.require("bWU6aHVudGVyMjI=");
    let index = server.url("me:wr0ng-secret") + "/simple/";
    let run = place.build(&["app==1.0", "--index-url", &index]).ended(21).says("answered 401");
    assert!(!(run.stdout + &run.stderr).contains("wr0ng-secret"));
    // The same when it is uv that is turned away.
    let sdist = place.write("app-1.0.tar.gz", APP.sdist());
    let run = place.build(&[&sdist, "--index-url", &index, "--json"]).ended(22);
    assert!(!(run.stdout + &run.stderr).contains("wr0ng-secret"));
}

#[test]
fn a_netrc_file_gives_credentials() {
    let (server, place) = (index_with_app(), Place::new());
    server.require("bWU6aHVudGVyMjI=");
    place.write("home/.netrc", "machine 127.0.0.1 login me password hunter22\n");
    place.build(&["app==1.0", "--index-url", &server.index()]).ended(0);
}

#[test]
fn pip_conf_and_environment_variables_name_the_index() {
    let (server, mut place) = (index_with_app(), Place::new());
    place.write("home/.config/pip/pip.conf", format!("[global]\nindex-url = {}\n", server.index()));
    place.build(&["app==1.0"]).ended(0);
    place.set("PIP_INDEX_URL", "http://127.0.0.1:9/simple/");
    place.build(&["app==1.0", "--refresh"]).ended(21);
    place.set("UV_DEFAULT_INDEX", &server.index());
    place.build(&["app==1.0", "--refresh"]).ended(0);
}

#[test]
fn a_second_run_is_cached_and_a_warm_rebuild_asks_nobody() {
    let (server, place) = (index_with_app(), Place::new());
    let arguments = ["app==1.0", "--index-url", &server.index()];
    place.build(&arguments).ended(0).says("built   app-1.0");
    let (requests, starts) = (server.requests().len(), place.uv_starts());
    place.build(&arguments).ended(0).says("cached  app-1.0");
    place.build(&[&arguments[..], &["--rebuild"]].concat()).ended(0).says("built   app-1.0");
    assert_eq!((server.requests().len(), place.uv_starts()), (requests, starts));
    place.build(&[&arguments[..], &["--refresh"]].concat()).ended(0);
    assert!(server.requests().len() > requests);
    assert!(place.uv_starts() > starts);
}

#[test]
fn what_decides_a_wheel_is_part_of_its_identity() {
    let (server, place) = (index_with_app(), Place::new());
    let arguments = ["app==1.0", "--index-url", &server.index()];
    place.build(&arguments).ended(0);
    for change in [&["--env", "X=1"][..], &["--config-setting", "--opt=1"], &["--build-requires", "tool<2"]] {
        let run = place.build(&[&arguments[..], change].concat()).ended(0);
        let expected = if change[0] == "--build-requires" { "cached" } else { "built" };
        run.says(expected);
    }
}

#[test]
fn a_damaged_wheel_in_the_cache_is_never_handed_on() {
    let (server, place) = (index_with_app(), Place::new());
    let arguments = ["app==1.0", "--index-url", &server.index()];
    place.build(&arguments).ended(0).says("built   app-1.0");
    let built = fs_err::read(place.path("dist").join(APP.wheel_name())).unwrap();
    let entries = fs_err::read_dir(place.path("cache/wheels")).unwrap().flatten();
    let wheels: Vec<_> = entries.map(|entry| entry.path().join(APP.wheel_name())).collect();
    assert_eq!(wheels.len(), 1);
    let mut bytes = built.clone();
    *bytes.last_mut().unwrap() ^= 1;
    fs_err::write(&wheels[0], bytes).unwrap();
    crosswheel::scratch::removal::remove(place.path("dist")).unwrap();
    // The executor still has the one that was built.
    place.build(&arguments).ended(0).says("cached  app-1.0");
    assert_eq!(fs_err::read(place.path("dist").join(APP.wheel_name())).unwrap(), built);
}

#[test]
fn a_result_whose_wheel_is_gone_is_no_result() {
    let (server, place) = (index_with_app(), Place::new());
    let arguments = ["app==1.0", "--index-url", &server.index()];
    place.build(&arguments).ended(0).says("built   app-1.0");
    crosswheel::scratch::removal::remove(place.path("cache/wheels")).unwrap();
    place.build(&arguments).ended(0).says("cached  app-1.0");
    crosswheel::scratch::removal::remove(place.path("cache/wheels")).unwrap();
    let wheel = sha256(&fs_err::read(place.path("dist").join(APP.wheel_name())).unwrap());
    fs_err::remove_file(place.path("cache/executor/cas").join(&wheel[..2]).join(&wheel)).unwrap();
    place.build(&arguments).ended(0).says("built   app-1.0");
}

#[test]
fn builds_side_by_side_share_a_cache_directory() {
    let (server, place) = (index_with_app(), Place::new());
    let index = server.index();
    let start = |version: &str| {
        let env = format!("VERSION={version}");
        let arguments = ["app==1.0", "--index-url", &index, "--env", &env];
        place.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).start()
    };
    let children: Vec<_> = ["1", "2", "3"].map(start).into();
    for child in children {
        let output = child.output_in_time();
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(place.wheels(), [APP.wheel_name()]);
}

#[test]
fn an_index_with_the_wrong_sdist_under_a_name_is_found_out() {
    let (server, place) = (Server::start(), Place::new());
    let sdist = Project { requires: &[], imports: &[], ..APP }.sdist();
    server.add_project("app", &[("app-2.0.tar.gz", &sdist)]);
    let run = place.build(&["app==2.0", "--index-url", &server.index()]).ended(19);
    run.says("app==2.0 was asked for, and its sdist built app-1.0-py3-none-any.whl");
    assert_eq!(place.wheels(), [""; 0]);
}

#[test]
fn offline_uses_whatever_is_there_and_says_what_is_not() {
    let (server, place) = (index_with_app(), Place::new());
    let index = server.index();
    place.build(&["app==1.0", "--index-url", &index, "--offline"]).ended(21).says("--offline");
    place.build(&["app==1.0", "--index-url", &index]).ended(0);
    let requests = server.requests().len();
    place.build(&["app==1.0", "--index-url", &index, "--offline", "--rebuild"]).ended(0);
    let sdist = Project { name: "more", requires: &["unknown"], ..APP }.sdist();
    let sdist = place.write("more-1.0.tar.gz", sdist);
    place.build(&[&sdist, "--index-url", &index, "--offline"]).ended(22).says("--offline");
    assert_eq!(server.requests().len(), requests);
}

#[test]
fn what_the_hook_asks_for_is_given_and_remembered() {
    let (server, place) = (index_with_app(), Place::new());
    let project = Project { name: "asks", requires: &[], dynamic: &["tool"], ..APP };
    let sdist = place.write("asks-1.0.tar.gz", project.sdist());
    let arguments = [&sdist, "--index-url", &server.index()];
    let first = place.build(&arguments).ended(0);
    assert_eq!(first.stages("building"), 2, "{}", first.stderr);
    let second = place.build(&[&arguments[..], &["--rebuild"]].concat()).ended(0);
    assert_eq!(second.stages("building"), 1, "{}", second.stderr);
}

#[test]
fn a_requirement_nobody_has_is_explained_in_uvs_words() {
    let (server, place) = (index_with_app(), Place::new());
    let project = Project { name: "asks", requires: &["tool>=2"], ..APP };
    let sdist = place.write("asks-1.0.tar.gz", project.sdist());
    let run = place.build(&[&sdist, "--index-url", &server.index()]).ended(22);
    run.says("requirements cannot be resolved").says("tool>=2").says("        | ");
}

#[test]
fn constraints_and_extra_requirements_take_part() {
    let (server, place) = (index_with_app(), Place::new());
    let tools = [wheel("tool", "1.5"), wheel("tool", "1.7")];
    server.add_project(
        "tool",
        &[("tool-1.5-py3-none-any.whl", &tools[0]), ("tool-1.7-py3-none-any.whl", &tools[1])],
    );
    let constraints = place.write("constraints.txt", "tool<1.6\n");
    let version = |extra: &[&str]| {
        let run = place.build(&[&["app==1.0", "--index-url", &server.index(), "--json"], extra].concat());
        run.ended(0).json()["results"][0]["report"]["build_requirements"][0]["version"].clone()
    };
    assert_eq!(version(&[]), "1.7");
    assert_eq!(version(&["--constraint", &constraints]), "1.5");
    assert_eq!(version(&["--build-requires", "tool==1.5"]), "1.5");
}

#[test]
fn a_requirement_without_wheels_is_built_first() {
    let place = Place::new();
    let inner = Project { name: "inner-tool", version: "0.5", requires: &[], imports: &[], ..APP };
    let leaf = Project { name: "leaf", version: "3.0", requires: &[], imports: &[], ..APP };
    let tool = Project {
        name: "tool",
        version: "2.0",
        requires: &["inner-tool"],
        imports: &["inner_tool"],
        requires_dist: &["leaf>=2"],
        ..APP
    };
    let newer = Project { version: "3.0", ..tool };
    let app = Project { requires: &["tool<3"], imports: &["tool", "leaf"], ..APP };
    for project in [&inner, &leaf, &tool, &newer] {
        place.write(&format!("links/{}", project.file_name()), project.sdist());
    }
    let sdist = place.write("app-1.0.tar.gz", app.sdist());
    let links = place.text("links");
    let lock = place.text("crosswheel.lock");
    let arguments = [&sdist, "--no-index", "--find-links", &links, "--lock", &lock, "--json"];
    let run = place.build(&arguments).ended(0);
    let used = run.json()["results"][0]["report"]["build_requirements"].clone();
    let names: Vec<_> = used.as_array().unwrap().iter().map(|used| used["file_name"].clone()).collect();
    assert_eq!(names, ["leaf-3.0-py3-none-any.whl", "tool-2.0-py3-none-any.whl"]);
    // Everything warm: nothing is asked, and only the source itself is built again.
    let starts = place.uv_starts();
    let warm = place.build(&[&arguments[..4], &["--rebuild"]].concat()).ended(0);
    assert_eq!((place.uv_starts(), warm.stderr.lines().count()), (starts, 1), "{}", warm.stderr);
    // The lock is enough to do it all again elsewhere.
    let lock_text = fs_err::read_to_string(place.path("crosswheel.lock")).unwrap();
    assert_eq!(lock_text.matches("built-from").count(), 3, "{lock_text}");
    assert!(
        lock_text.contains("url = \"./links/tool-2.0.tar.gz\"") && !lock_text.contains("file://"),
        "{lock_text}"
    );
    crosswheel::scratch::removal::remove(place.path("cache")).unwrap();
    place.build(&arguments).ended(0);
    assert_eq!(place.uv_starts(), starts);
    assert_eq!(fs_err::read_to_string(place.path("crosswheel.lock")).unwrap(), lock_text);
}

#[test]
fn a_cycle_of_requirements_is_reported_as_one() {
    let place = Place::new();
    let a = Project { name: "a", requires: &["b"], ..APP };
    let b = Project { name: "b", version: "2.0", requires: &["a"], ..APP };
    for project in [&a, &b] {
        place.write(&format!("links/{}", project.file_name()), project.sdist());
    }
    let run = place.build(&["a==1.0", "--no-index", "--find-links", &place.text("links")]).ended(24);
    run.says("requirement cycle: a 1.0 needs b 2.0 to build, which needs a 1.0 to build");
}

#[test]
fn a_requirement_that_cannot_be_built_says_whose_it_is() {
    let place = Place::new();
    let tool = Project { name: "tool", version: "2.0", requires: &[], imports: &["no_such_module"], ..APP };
    place.write(&format!("links/{}", tool.file_name()), tool.sdist());
    let sdist = place.write("app-1.0.tar.gz", APP.sdist());
    let run = place.build(&[&sdist, "--no-index", "--find-links", &place.text("links")]);
    assert!((10..=20).contains(&run.code), "{}", run.code);
    run.says("its build requirement tool 2.0 could not be built");
}

#[test]
fn a_lock_is_written_used_and_guards_against_drift() {
    let (server, place) = (index_with_app(), Place::new());
    let lock = place.text("crosswheel.lock");
    let sdist = place.write("app-1.0.tar.gz", APP.sdist());
    let index = server.index();
    let arguments = [&sdist, "--index-url", &index, "--lock", &lock];
    place.build(&arguments).ended(0);
    let written = fs_err::read_to_string(&lock).unwrap();
    assert!(written.contains("tool-1.5-py3-none-any.whl"), "{written}");
    assert!(written.contains(&sha256(&APP.sdist())), "{written}");

    // A newer tool does not matter, and uv is not needed.
    server.add_project("tool", &[("tool-1.9-py3-none-any.whl", &wheel("tool", "1.9"))]);
    let starts = place.uv_starts();
    crosswheel::scratch::removal::remove(place.path("cache")).unwrap();
    place.build(&arguments).ended(0).says("built");
    assert_eq!(place.uv_starts(), starts);
    assert_eq!(fs_err::read_to_string(&lock).unwrap(), written);

    // Another source, other bytes, another requirement.
    let other = Project { name: "other", ..APP };
    let other = place.write("other-1.0.tar.gz", other.sdist());
    place.build(&[&other, "--lock", &lock]).ended(23).says("the lock has no entry for other 1.0");
    place.write("app-1.0.tar.gz", Project { dynamic: &["more"], ..APP }.sdist());
    place.build(&arguments).ended(23).says("the sdist of app 1.0 has sha256").says("--update-lock");
    place.build(&[&arguments[..], &["--build-requires", "tool>=1.6"]].concat()).ended(23);

    // Refreshed, it is in force again; what the hook asks for beyond it is drift.
    place.write("app-1.0.tar.gz", Project { dynamic: &["tool"], ..APP }.sdist());
    place.build(&[&arguments[..], &["--update-lock"]].concat()).ended(0);
    let updated = fs_err::read_to_string(&lock).unwrap();
    assert!(updated.contains("tool-1.9-py3-none-any.whl"), "{updated}");
    place.build(&arguments).ended(0);
}

#[test]
fn a_hook_that_asks_for_more_than_the_lock_has_is_drift() {
    let (server, place) = (index_with_app(), Place::new());
    let lock = place.text("crosswheel.lock");
    let project = Project { name: "asks", requires: &[], dynamic: &["tool"], ..APP };
    let sdist = place.write("asks-1.0.tar.gz", project.sdist());
    let arguments = [&sdist, "--index-url", &server.index(), "--lock", &lock, "--json"];
    place.build(&arguments).ended(0);
    let text = fs_err::read_to_string(&lock).unwrap();
    fs_err::write(&lock, text.split("[[sdist.requirement]]").next().unwrap()).unwrap();
    let run = place.build(&arguments).ended(23);
    let failure = &run.json()["results"][0]["failure"];
    assert_eq!(failure["class"], "lock-drift");
    assert_eq!(failure["missing_requirements"], serde_json::json!(["tool"]));
}

#[test]
fn one_failure_does_not_stop_the_others_and_the_first_in_order_decides() {
    let (server, place) = (index_with_app(), Place::new());
    let index = server.index();
    let sources = ["missing-1.0.tar.gz", "nobody==1.0", "app==1.0"];
    let run = place.build(&[&sources[..], &["--index-url", &index, "--json"]].concat()).ended(2);
    let document = run.json();
    let results = document["results"].as_array().unwrap();
    let of = |key: &str| results.iter().map(|result| result[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("source"), sources);
    assert_eq!(of("status"), ["failed", "failed", "built"]);
    assert_eq!(results[1]["failure"]["class"], "fetch-failed");
    assert_eq!(place.wheels(), [APP.wheel_name()]);
}

#[test]
fn a_different_file_of_the_same_name_is_replaced_and_that_is_said() {
    let (server, place) = (index_with_app(), Place::new());
    place.write(&format!("dist/{}", APP.wheel_name()), "an older one");
    let arguments = ["app==1.0", "--index-url", &server.index()];
    place.build(&arguments).ended(0).says("replaced a different file");
    let again = place.build(&arguments).ended(0);
    assert!(!again.stdout.contains("replaced"), "{}", again.stdout);
}

#[test]
fn an_interrupt_leaves_no_process_and_nothing_half_written() {
    let mut place = Place::new();
    let mark = token();
    place.set("UV_NO_CONFIG", "1");
    let project = Project { name: "sleepy", requires: &[], imports: &[], sleeps: true, ..APP };
    let sdist = place.write("sleepy-1.0.tar.gz", project.sdist());
    let env = format!("TEST_MARK={mark}");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut command = place.command(&[&sdist, "--env", &env, "--verbose"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).start();
        let mut lines = child.stderr();
        lines.until("backend is sleeping");
        assert!(!processes_marked(&mark).is_empty());
        child.signal(signal);
        lines.rest();
        assert_eq!(child.exit().code(), Some(code));
        assert_eq!(processes_marked(&mark), [""; 0].map(PathBuf::from));
        assert_eq!(fs_err::read_dir(place.path("cache/tmp")).unwrap().count(), 0);
        assert_eq!(place.wheels(), [""; 0]);
    }
}

#[test]
fn killing_the_run_itself_ends_the_builds_it_started() {
    let mut place = Place::new();
    let mark = token();
    place.set("UV_NO_CONFIG", "1");
    let project = Project { name: "sleepy", requires: &[], imports: &[], sleeps: true, ..APP };
    let sdist = place.write("sleepy-1.0.tar.gz", project.sdist());
    let mut command = place.command(&[&sdist, "--env", &format!("TEST_MARK={mark}"), "--verbose"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).start();
    child.stderr().until("backend is sleeping");
    child.kill();
    wait_until("the builds of a killed run to end", || processes_marked(&mark).is_empty());
    assert_eq!(place.wheels(), [""; 0]);
}

#[test]
fn logins_in_a_configuration_that_cannot_be_read_are_not_shown() {
    let place = Place::new();
    place.write("home/.config/uv/uv.toml", "index-url = \"https://me:hunter22@127.0.0.1/simple/\" oops\n");
    let run = place.build(&["app==1.0"]).ended(22);
    assert!(!(run.stdout + &run.stderr).contains("hunter22"));
}

#[test]
fn a_wheel_that_was_changed_in_the_cache_is_never_used() {
    let (server, place) = (index_with_app(), Place::new());
    let build = |arguments: &[&str]| {
        place.build(&[&["app==1.0", "--index-url", &server.index()], arguments].concat())
    };
    build(&[]).ended(0);
    let mut changed = wheel("tool", "1.5");
    let stored = place.path("cache/downloads").join(sha256(&changed)).join("tool-1.5-py3-none-any.whl");
    // The zip gets a comment: another file, and as good a wheel.
    let end = changed.len();
    changed[end - 2] = 1;
    changed.push(b'x');
    fs_err::write(stored, changed).unwrap();
    build(&["--rebuild"]).ended(21).says("is not the file whose hash was checked");
}
