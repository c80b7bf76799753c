//! `crosswheel build --remote` against `crosswheel serve`, both as processes, and against servers that will not do.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use super::build::APP;
use super::pretender::Pretender;
use super::run::{Place, Run};
use crate::support::packages::{Project, wheel};
use crate::support::processes::{processes_marked, token};
use crate::support::server::Server;
use crate::support::visible_directory;
use crate::support::waiting::{InTime, Started, wait_until};

/// A place with the sdist of `project` and a wheelhouse with `tool`; also the arguments that build it.
fn place_with(project: &Project) -> (Place, Vec<String>) {
    let place = Place::new();
    place.write("links/tool-1.5-py3-none-any.whl", wheel("tool", "1.5"));
    let sdist = place.write(&project.file_name(), project.sdist());
    let arguments = vec![sdist, "--no-index".into(), "--find-links".into(), place.text("links")];
    (place, arguments)
}

fn build(place: &Place, arguments: &[String], more: &[&str]) -> Run {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
    place.build(&arguments)
}

fn remote(server: &Server) -> String {
    format!("--remote=grpc://{}", server.address())
}

#[test]
fn a_wheel_is_built_over_there_and_is_the_one_that_is_built_here() {
    let (place, arguments) = place_with(&APP);
    let server = Server::start(&place.path("server"), &[]);
    let there = build(&place, &arguments, &[&remote(&server), "--json"]).ended(0).json();
    let result = &there["results"][0];
    assert_eq!(result["status"], "built");
    assert_eq!(result["report"]["build_requirements"][0]["version"], "1.5");
    let bytes = fs_err::read(place.path("dist").join(APP.wheel_name())).unwrap();
    // Somebody else, elsewhere, who asks for the same.
    let (other, arguments) = place_with(&APP);
    let again = build(&other, &arguments, &[&remote(&server), "--json"]).ended(0).json();
    assert_eq!(again["results"][0]["status"], "cached");
    assert_eq!(fs_err::read(other.path("dist").join(APP.wheel_name())).unwrap(), bytes);
    build(&other, &arguments, &[&remote(&server), "--rebuild"]).ended(0).says("built ");
    // Here.
    let here = build(&other, &arguments, &["--json"]).ended(0).json();
    assert_eq!(here["results"][0]["status"], "built");
    assert_eq!(here["results"][0]["report"]["sha256"], result["report"]["sha256"]);
}

#[test]
fn what_the_hook_asks_for_is_found_out_over_there_too() {
    let (place, arguments) = place_with(&Project { requires: &[], dynamic: &["tool"], ..APP });
    let server = Server::start(&place.path("server"), &[]);
    build(&place, &arguments, &[&remote(&server)]).ended(0).says("built   app-1.0");
}

#[test]
fn a_build_that_fails_over_there_fails_as_it_does_here() {
    let (place, arguments) = place_with(&Project { imports: &["no_such_module"], ..APP });
    let server = Server::start(&place.path("server"), &[]);
    let failure = |run: Run| -> (i32, Value) { (run.code, run.json()["results"][0]["failure"].clone()) };
    let here = failure(build(&place, &arguments, &["--json"]));
    assert!((10..=20).contains(&here.0), "{here:?}");
    assert!(here.1["hint"].is_string() && !here.1["evidence"].as_array().unwrap().is_empty(), "{here:?}");
    assert_eq!(failure(build(&place, &arguments, &[&remote(&server), "--json"])), here);
}

#[test]
fn a_timeout_is_one_over_there_too() {
    let (place, arguments) = place_with(&Project { sleeps: true, ..APP });
    let server = Server::start(&place.path("server"), &[]);
    build(&place, &arguments, &[&remote(&server), "--timeout", "1"])
        .ended(17)
        .says("timeout: the backend was ended");
}

#[test]
fn what_cannot_travel_is_refused() {
    let (place, arguments) = place_with(&APP);
    let server = Server::start(&place.path("server"), &[]);
    let run = build(&place, &arguments, &[&remote(&server), "--path", &place.text("bin")]).ended(2);
    run.says("is a directory of this machine").says("install the tools on the workers");
}

#[test]
fn a_python_that_the_worker_does_not_have_is_named() {
    let (place, arguments) = place_with(&APP);
    let server = Server::start(&place.path("server"), &[]);
    let run = build(&place, &arguments, &[&remote(&server), "--remote-python", "python3.99"]);
    assert_ne!(run.code, 0);
    run.says("on the worker").says("3.99");
}

#[test]
fn a_python_that_is_only_on_the_workers_is_asked_there() {
    let (mut place, arguments) = place_with(&APP);
    place.python("3.99");
    let server = Server::start(&place.path("server"), &[]);
    build(&place, &arguments, &[&remote(&server)]).ended(2).says("there is no python3.99");
    let run = build(&place, &arguments, &[&remote(&server), "--remote-python", &super::run::PYTHON]).ended(0);
    run.says("built   app-1.0");
}

#[test]
fn workers_that_are_not_of_the_platform_they_claim_are_found_out() {
    let (place, arguments) = place_with(&APP);
    let (host, other, arch) = match std::env::consts::ARCH {
        "aarch64" => ("linux_arm64", "linux_amd64", "amd64"),
        _ => ("linux_amd64", "linux_arm64", "arm64"),
    };
    // Which says that it offers every architecture, without being any other.
    let server = Server::start(&place.path("server"), &["--pool", "native", "--pool", "other,Arch=*"]);
    let targets = ["--target", host, "--target", other, "--json"];
    let remote = remote(&server);
    let run = build(&place, &arguments, &[&[remote.as_str()][..], &targets].concat()).ended(2);
    let results = &run.json()["results"];
    assert_eq!(results[0]["status"], "built");
    assert_eq!(results[1]["status"], "failed");
    let message = results[1]["failure"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("is a Python of {host}, which cannot build for {other}")), "{message}");
    // All would go to the same workers.
    let property = format!("Arch={arch}");
    let more = [&[remote.as_str(), "--remote-property", &property][..], &targets].concat();
    build(&place, &arguments, &more).ended(2).says("leave it out");
}

#[test]
fn properties_nobody_has_are_refused_with_what_there_is() {
    let (place, arguments) = place_with(&APP);
    let server = Server::start(&place.path("server"), &[]);
    let run = build(&place, &arguments, &[&remote(&server), "--remote-property", "GPU=yes"]).ended(25);
    run.says("GPU").says("OSFamily").says("--remote-property");
}

#[test]
fn addresses_that_lead_nowhere_are_explained() {
    let (place, arguments) = place_with(&APP);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run = build(&place, &arguments, &["--remote", &format!("grpc://{free}")]).ended(25);
    run.says(&format!("cannot connect to grpc://{free}")).says("refused").says("is the server running");
    build(&place, &arguments, &["--remote", "grpc://no-such-host.invalid:1"])
        .ended(25)
        .says("no-such-host.invalid");
    let run = build(&place, &arguments, &["--remote", "buildbox:8980"]).ended(2);
    assert!(run.stderr.contains("write grpc://HOST:PORT"), "{}", run.stderr);
    let server = Server::start(&place.path("server"), &[]);
    let tls = format!("grpcs://{}", server.address());
    build(&place, &arguments, &["--remote", &tls]).ended(25).says("grpc:// instead of grpcs://");
    let ca = place.write("ca.pem", "not a certificate");
    build(&place, &arguments, &["--remote", &tls, "--remote-ca", &ca])
        .ended(25)
        .says("holds no PEM certificate");
}

#[test]
fn servers_that_will_not_do_are_told_apart() {
    let (place, arguments) = place_with(&APP);
    for (pretender, says) in [
        (Pretender::cache_only(), "does not execute actions"),
        (
            Pretender::with_digest_functions(&["SHA1", "BLAKE3"]),
            "does not speak SHA256 for execution, but BLAKE3, SHA1",
        ),
        (Pretender::closed(), "show me a token"),
    ] {
        build(&place, &arguments, &["--remote", &pretender.address()]).ended(25).says(says);
    }
}

#[test]
fn headers_reach_the_server_and_are_shown_to_nobody() {
    let (mut place, arguments) = place_with(&APP);
    let pretender = Pretender::closed();
    let address = pretender.address();
    let more = ["--remote", &address, "--remote-header", "authorization=Bearer hunter22", "--verbose"];
    let run = build(&place, &arguments, &more).ended(25);
    assert_eq!(pretender.headers("authorization"), ["Bearer hunter22"]);
    assert!(!(run.stdout + &run.stderr).contains("hunter22"));
    // From the environment, several, and ones that cannot be.
    place.set("CROSSWHEEL_REMOTE", &address);
    place.set("CROSSWHEEL_REMOTE_HEADER", "x-one=hunter22\nx-two=2");
    let run = build(&place, &arguments, &["--json"]).ended(25);
    assert_eq!(
        (pretender.headers("x-one"), pretender.headers("x-two")),
        (vec!["hunter22".into()], vec!["2".into()])
    );
    assert!(!(run.stdout + &run.stderr).contains("hunter22"));
    place.set("CROSSWHEEL_REMOTE_HEADER", "bad name=hunter22");
    let run = build(&place, &arguments, &[]).ended(2);
    assert!(!(run.stdout + &run.stderr).contains("hunter22"));
    let help = build(&place, &arguments, &["--help"]).ended(0);
    assert!(!(help.stdout + &help.stderr).contains("hunter22"));
}

/// A build that waits for the file `go`, in a directory that builds can see.
struct Waiting {
    directory: tempfile::TempDir,
    place: Place,
    arguments: Vec<String>,
}

impl Waiting {
    fn new() -> Self {
        let directory = visible_directory();
        let go = directory.path().join("go").to_str().unwrap().to_owned();
        let (place, arguments) = place_with(&Project { waits_for: &go, ..APP });
        Self { directory, place, arguments }
    }

    fn start(&self, more: &[&str]) -> Started {
        let arguments: Vec<&str> =
            self.arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let mut command = self.place.command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).start()
    }

    fn go(&self) {
        fs_err::write(self.directory.path().join("go"), "").unwrap();
    }
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_server_that_dies_in_the_middle_and_comes_back_finishes_the_build() {
    let waiting = Waiting::new();
    let address = free_address();
    let server = Server::start(&waiting.place.path("server"), &["--listen", &address]);
    let mut child = waiting.start(&["--remote", &format!("grpc://{address}"), "--verbose"]);
    let mut lines = child.stderr();
    lines.until("backend is waiting");
    server.kill();
    lines.until("trying again");
    let _server = Server::start(&waiting.place.path("server"), &["--listen", &address]);
    lines.until("backend is waiting");
    waiting.go();
    lines.rest();
    assert!(child.exit().success());
    assert_eq!(waiting.place.wheels(), [APP.wheel_name()]);
}

#[test]
fn a_server_that_dies_and_stays_away_is_an_error_that_says_so() {
    let waiting = Waiting::new();
    let server = Server::start(&waiting.place.path("server"), &[]);
    let mut child = waiting.start(&[&remote(&server), "--remote-patience", "1", "--verbose"]);
    let mut lines = child.stderr();
    lines.until("backend is waiting");
    server.kill();
    lines.rest();
    let output = child.output_in_time();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(25), "{text}");
    assert!(
        text.contains("the connection to the server was lost") && text.contains("--remote-patience"),
        "{text}"
    );
}

#[test]
fn an_interrupt_ends_the_build_over_there() {
    let waiting = Waiting::new();
    let server = Server::start(&waiting.place.path("server"), &[]);
    let mark = token();
    let mut child = waiting.start(&[&remote(&server), "--verbose", "--env", &format!("TEST_MARK={mark}")]);
    let mut lines = child.stderr();
    lines.until("backend is waiting");
    assert!(!processes_marked(&mark).is_empty());
    child.signal(Signal::INT);
    lines.rest();
    assert_eq!(child.exit().code(), Some(130));
    // The operation has ended; its processes are killed at the same time, not before.
    wait_until("the build over there to end", || processes_marked(&mark).is_empty());
}
