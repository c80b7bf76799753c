//! Wheelhouses of requirements: resolved for the target, with a file for each distribution, and what has no wheel built.

use serde_json::Value;

use crate::index::{Server, sha256};
use crate::run::{Place, Run};
use crate::support::packages::{Project, wheel};

/// `needy 1.0`, of which there is an sdist only, and which requires `plain`.
const NEEDY: Project = Project {
    name: "needy",
    version: "1.0",
    requires: &[],
    dynamic: &[],
    requires_dist: &["plain>=2 ; sys_platform == 'linux'", "absent ; sys_platform == 'win32'"],
    imports: &[],
    sleeps: false,
    waits_for: "",
    native_source: false,
    runs: "",
    looks_at_machine: false,
};

fn plain(version: &'static str) -> Project<'static> {
    Project { name: "plain", version, requires_dist: &[], ..NEEDY }
}

/// An index with `needy`, and wheels and sdists of two versions of `plain`.
fn index() -> Server {
    let server = Server::start();
    server.add_project("needy", &[(&NEEDY.file_name(), &NEEDY.sdist())]);
    let (old, new) = (plain("2.0"), plain("3.0"));
    server.add_project(
        "plain",
        &[
            (&old.file_name(), &old.sdist()),
            ("plain-2.0-py3-none-any.whl", &wheel("plain", "2.0")),
            (&new.file_name(), &new.sdist()),
            ("plain-3.0-py3-none-any.whl", &wheel("plain", "3.0")),
        ],
    );
    server
}

fn wheelhouse(place: &Place, server: &Server, arguments: &[&str]) -> Run {
    place.wheelhouse(&[arguments, &["--index-url", &server.index()]].concat())
}

/// The lines of a plan.
fn lines(place: &Place, server: &Server, arguments: &[&str]) -> Vec<String> {
    let run = wheelhouse(place, server, &[arguments, &["--plan", "--format", "lines"]].concat()).ended(0);
    run.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn requirements_are_resolved_and_what_has_no_wheel_is_built() {
    let (server, place) = (index(), Place::new());
    let plan = lines(&place, &server, &["needy"]);
    assert_eq!(plan, ["needy==1.0 needy-1.0.tar.gz", "plain==3.0 plain-3.0-py3-none-any.whl"]);
    let starts = place.uv_starts();
    wheelhouse(&place, &server, &["needy"]).ended(0);
    assert_eq!(place.uv_starts(), starts, "what was resolved a moment ago is known");
    for name in ["needy-1.0-py3-none-any.whl", "plain-3.0-py3-none-any.whl"] {
        assert!(place.wheels().contains(&name.to_owned()), "{:?}", place.wheels());
    }
    let document = wheelhouse(&place, &server, &["needy", "--plan", "--json"]).ended(0).json();
    let text = document.to_string();
    assert!(text.contains("no wheels"), "{text}");
}

#[test]
fn files_constraints_and_policies_decide_what_is_taken() {
    let (server, place) = (index(), Place::new());
    let of = |arguments: &[&str]| lines(&place, &server, arguments);
    place.write("bounds.txt", "plain<3\n");
    let file = place.write("requirements.txt", "needy\nabsent ; sys_platform == 'win32'\n-c bounds.txt\n");
    assert_eq!(of(&["-r", &file])[1], "plain==2.0 plain-2.0-py3-none-any.whl");
    let bounds = place.text("bounds.txt");
    assert_eq!(of(&["needy", "-c", &bounds])[1], "plain==2.0 plain-2.0-py3-none-any.whl");
    assert_eq!(of(&["plain", "--no-binary", "plain"]), ["plain==3.0 plain-3.0.tar.gz"]);
    let file = place.write("built.txt", "--no-binary plain\nplain<3\n");
    assert_eq!(of(&["-r", &file]), ["plain==2.0 plain-2.0.tar.gz"]);
    for flags in [&["--no-build"][..], &["--only-binary", "needy"]] {
        let run = wheelhouse(&place, &server, &[&["needy", "--plan"], flags].concat()).ended(22);
        let said = run.stdout + &run.stderr;
        assert!(said.contains("needy==1.0 has no wheel") && said.contains("--only-binary"), "{said}");
    }
    let run = wheelhouse(&place, &server, &["plain>=4", "--plan"]).ended(22);
    assert!((run.stdout + &run.stderr).contains("plain>=4"));
}

#[test]
fn where_one_requirement_has_a_hash_everything_must() {
    let (server, place) = (index(), Place::new());
    let hash = |bytes: &[u8]| format!("--hash=sha256:{}", sha256(bytes));
    let needy = format!("needy==1.0 {}\n", hash(&NEEDY.sdist()));
    let wheel = hash(&wheel("plain", "3.0"));
    let both = place.write("both.txt", format!("{needy}plain==3.0 {wheel}\n"));
    assert_eq!(lines(&place, &server, &["-r", &both])[1], "plain==3.0 plain-3.0-py3-none-any.whl");
    // Of a project of which only the sdist's hash is allowed the sdist is built.
    let sdist = place.write("sdist.txt", format!("{needy}plain==3.0 {}\n", hash(&plain("3.0").sdist())));
    assert_eq!(lines(&place, &server, &["-r", &sdist])[1], "plain==3.0 plain-3.0.tar.gz");
    let says = |text: &str, says: &str, code| {
        let file = place.write("wrong.txt", text);
        let run = wheelhouse(&place, &server, &["-r", &file, "--plan"]).ended(code);
        let said = run.stdout + &run.stderr;
        assert!(said.contains(says), "{said}");
    };
    says(&needy, "plain==3.0 is required by what the requirements files name", 22);
    says(&format!("{needy}plain==3.0 {}\n", hash(b"other")), "was expected", 21);
    says(&format!("{needy}plain\n"), "does not name one version", 2);
}

#[test]
fn sources_are_built_first_and_tell_what_they_require() {
    let (server, place) = (index(), Place::new());
    place.write("needy-1.0.tar.gz", NEEDY.sdist());
    let extra = wheel("extra", "5.0");
    place.write("extra-5.0-py3-none-any.whl", &extra);
    let server_file = format!("plain @ {}/files/plain-2.0.tar.gz", server.url(""));
    let arguments = ["needy @ ./needy-1.0.tar.gz", "./extra-5.0-py3-none-any.whl", &server_file];
    let plan = lines(&place, &server, &arguments);
    assert_eq!(
        plan,
        [
            "extra==5.0 extra-5.0-py3-none-any.whl",
            "needy==1.0 needy-1.0.tar.gz",
            "plain==2.0 plain-2.0.tar.gz"
        ]
    );
    wheelhouse(&place, &server, &arguments).ended(0);
    let record: Value =
        serde_json::from_slice(&fs_err::read(place.path("dist/wheelhouse.json")).unwrap()).unwrap();
    assert!(record.to_string().contains("extra-5.0-py3-none-any.whl"), "{record}");
    let run = wheelhouse(&place, &server, &["other @ ./needy-1.0.tar.gz", "--plan"]).ended(19);
    assert!((run.stdout + &run.stderr).contains("is the project needy, not other"));
    let run = wheelhouse(&place, &server, &["./needy-1.0.tar.gz", "--no-build", "--plan"]).ended(22);
    assert!((run.stdout + &run.stderr).contains("needy==1.0 has no wheel"));
}

#[test]
fn the_record_has_the_commit_that_a_branch_was_at() {
    let place = Place::new();
    crate::trees::project(&place, "app", "[]", "");
    crate::trees::git(&place, "app", &["init", "--quiet"]);
    let commit = crate::trees::commit(&place, "app", Some("v1.0"));
    let url = format!("app @ git+file://{}", place.text("app"));
    let document = place.wheelhouse(&[&url, "--no-index", "--json"]).ended(0).json();
    let origin = &document["distributions"][0]["record"]["origin"];
    assert_eq!(origin["kind"], "tree");
    assert_eq!(origin["commit"], commit, "{origin}");
}
