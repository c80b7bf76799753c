//! Wheels checked by an emulated Python, through a server with such a pool, as a planner does it.

use std::path::Path;

use crosswheel::contract::{CHECK_SUBCOMMAND, CONTRACT, CONTRACT_VARIABLE, PROGRAM};
use crosswheel::digest::Sha256;
use serde_json::{Value, json};

use crate::support::arm64_root::root;
use crate::support::client::{Client, command, end_within};
use crate::support::packages::wheel_of;
use crate::support::server::Server;
use crate::support::waiting::LONG_DEADLINE;

fn server(directory: &Path) -> Server {
    let pool = format!("arm64={},slots=2", root().display());
    Server::start(directory, &["--pool", "native", "--pool", &pool])
}

/// The exit code and the document of a check of one wheel, whose module has this text.
async fn check(server: &Server, text: &str) -> (i32, Value) {
    let client = Client::of(server).await;
    let (name, wheel) = ("demo-1.0-py3-none-any.whl", wheel_of("demo", "1.0", text));
    let given = format!("{name}#sha256={}", Sha256::of(&wheel));
    let arguments = [
        PROGRAM,
        CHECK_SUBCOMMAND,
        &given,
        "--python=3",
        "--target=linux_arm64",
        "--sandbox=required",
        "--json",
    ];
    let contract = CONTRACT.to_string();
    let command = command(&arguments, &[(CONTRACT_VARIABLE, &contract), ("PATH", "/usr/bin:/bin")], "out");
    let action = client.action_of(command, name, &wheel, &[("Arch", "arm64")]).await;
    let response = end_within(LONG_DEADLINE, client.start(&action).await.unwrap()).await;
    // It had the shared cache, of which it would be said, too, if it had not; and has no outputs.
    let said = (response.status.unwrap_or_default().code, &*response.message);
    assert_eq!(said, (0, "the command did not make `out`"));
    let result = response.result.unwrap();
    let document = serde_json::from_slice(&result.stdout_raw).unwrap();
    (result.exit_code, document)
}

#[tokio::test]
async fn an_emulated_python_imports_what_it_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path());
    let machine = "import os\nassert os.uname().machine == 'aarch64', os.uname().machine\n";
    let (code, document) = check(&server, machine).await;
    assert_eq!(code, 0, "{document:#}");
    let checked = &document["checked"];
    assert_eq!((&checked["emulated"], &checked["target"]), (&json!(true), &json!("linux_arm64")));
    assert_eq!(checked["imported"], json!(["demo"]));
    assert_eq!(checked["isolation"]["sandbox"], "namespaces");
}

#[tokio::test]
async fn what_an_emulated_python_cannot_import_is_told_as_by_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path());
    for (text, expected) in [
        ("import absent", "`demo` cannot be imported: ModuleNotFoundError: No module named 'absent'"),
        ("import ctypes; ctypes.string_at(0)", "`demo` cannot be imported: its process was ended by SIGSEGV"),
    ] {
        let (code, document) = check(&server, text).await;
        assert_eq!(code, 26, "{document:#}");
        assert_eq!(document["checked"]["problems"][0]["message"], expected);
    }
}
