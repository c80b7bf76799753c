//! Pools whose programs are for another architecture.

use crosswheel::platform::Arch;
use tonic::Code;

use crate::support::client::{Client, end};
use crate::support::foreign_program::{EXIT_CODE, emulator_in_use, foreign_arch, foreign_root};
use crate::support::server::{Server, serve_command};
use crate::support::waiting::InTime;

#[tokio::test]
async fn an_emulated_pool_says_what_it_is_and_runs_what_asks_for_its_architecture() {
    let root = foreign_root();
    let directory = tempfile::tempdir().unwrap();
    let other = foreign_arch().property();
    let pool = format!("{other}={},slots=1", root.path().display());
    let server = Server::start(directory.path(), &["--pool", "native", "--pool", &pool]);
    let [native, emulated] = [0, 1].map(|at| &server.start["pools"][at]);
    assert_eq!(emulated["emulator"], emulator_in_use());
    assert!(native["emulator"].is_null(), "{native}");
    let offers = |pool: &serde_json::Value, name: &str, value: &str| {
        let properties = pool["properties"].as_array().unwrap();
        properties.iter().any(|property| property["name"] == name && property["value"] == value)
    };
    assert!(offers(emulated, "Arch", other) && offers(emulated, "emulated", "true"), "{emulated}");
    assert!(offers(native, "Arch", Arch::host().property()) && !offers(native, "emulated", "true"));

    let client = Client::of(&server).await;
    let run = async |properties: &[(&str, &str)]| {
        let action = client.action("true > output", properties).await;
        let response = end(client.start(&action).await.unwrap()).await;
        assert_eq!(response.status.unwrap_or_default().code, 0, "{}", response.message);
        let result = response.result.unwrap();
        (result.exit_code, result.stdout_raw, result.execution_metadata.unwrap().worker)
    };
    for properties in
        [&[("Arch", other)][..], &[("emulated", "true")], &[("Arch", other), ("emulated", "true")]]
    {
        let (code, output, worker) = run(properties).await;
        assert_eq!((code, worker), (i32::from(EXIT_CODE), format!("{other}/0")));
        // What the kernel has registered may lack the flag P; then it is the path.
        assert!([&b"sh\n"[..], b"/bin/sh\n"].contains(&&*output), "{output:?}");
    }
    // Both would do.
    let (code, _, worker) = run(&[("OSFamily", "linux")]).await;
    assert_eq!((code, worker.split('/').next()), (0, Some("native")));

    let not_emulated = client.action("true > output", &[("Arch", other), ("emulated", "false")]).await;
    match client.start(&not_emulated).await {
        Err(status) => assert_eq!(status.code(), Code::FailedPrecondition, "{status}"),
        Ok(updates) => panic!("taken: {:?}", end(updates).await),
    }
}

/// Its only program is where nobody looks for one.
#[tokio::test]
async fn a_root_that_proves_no_architecture_is_for_the_one_that_is_given_by_either_name() {
    let root = foreign_root();
    fs_err::rename(root.path().join("bin/sh"), root.path().join("bin/other")).unwrap();
    let isa = match foreign_arch() {
        Arch::Amd64 => "x86-64",
        Arch::Arm64 => "arm-a64",
    };
    for property in [format!("isa={isa}"), format!("arch={}", foreign_arch().machine())] {
        let directory = tempfile::tempdir().unwrap();
        let pool = format!("other={},{property}", root.path().display());
        let server = Server::start(directory.path(), &["--pool", &pool]);
        assert_eq!(server.start["pools"][0]["emulator"], emulator_in_use(), "{property}");
    }
}

#[test]
fn a_pool_that_could_run_nothing_is_refused_with_what_would_mend_it() {
    let root = foreign_root();
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let refused = |pool: &str| {
        let output = serve_command(&["--listen", "127.0.0.1:0", "--http-listen", "off"])
            .arg("--store")
            .arg(&store)
            .args(["--pool", pool])
            .output_in_time();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let pool = format!("other={}", root.path().display());
    let without_namespaces =
        serve_command(&["--sandbox", "off", "--listen", "127.0.0.1:0", "--http-listen", "off"])
            .arg("--store")
            .arg(&store)
            .args(["--pool", &pool])
            .output_in_time();
    assert!(String::from_utf8_lossy(&without_namespaces.stderr).contains("no namespaces"));

    let none = refused(&format!("{pool},cross-cc=no-such-compiler"));
    assert!(
        none.contains("no cross compiler `no-such-compiler`") && none.contains("apt-get install"),
        "{none}"
    );
    let native = refused(&format!("{pool},cross-cc=/usr/bin/cc"));
    assert!(native.contains("makes programs for"), "{native}");
    fs_err::copy("/bin/true", root.path().join("bin/sh")).unwrap();
    let not_needed = refused(&format!("{pool},cross-cc=on"));
    assert!(not_needed.contains("leave out cross-cc"), "{not_needed}");
}
