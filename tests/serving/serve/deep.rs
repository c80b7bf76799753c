//! A server and what actions leave behind: whatever it looks like, it goes, and the server stays. It may have no more
//! than 256 files open.

use std::path::{Path, PathBuf};

use crosswheel::reapi::{Action, Digest};
use crosswheel::scratch::temporary::TemporaryDirectory;
use prost::Message;

use crate::support::client::{Client, command, end};
use crate::support::deep_trees::{LEVELS, MAKE_DEEP, SOME_LEVELS, nest, with_few_descriptors};
use crate::support::server::{Server, serve_command};
use crate::support::waiting::{InTime as _, wait_until};

fn start(directory: &Path, arguments: &[&str]) -> Server {
    Server::run(with_few_descriptors(&Server::command(directory, arguments)))
}

/// Uploads an action that runs `script`, for Python.
async fn python(client: &Client, script: &str) -> Digest {
    let script = format!("{MAKE_DEEP}\n{script}");
    let command = command(&["python3", "-c", &script], &[("PATH", "/usr/local/bin:/usr/bin:/bin")], "output");
    client.action_of(command, "input", b"", &[]).await
}

/// What lies in the directories of actions.
fn left_of_actions(store: &Path) -> Vec<PathBuf> {
    let entries = |directory: &Path| -> Vec<PathBuf> {
        fs_err::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let homes = entries(&store.join("work")).into_iter().filter(|home| home.is_dir());
    homes.flat_map(|home| entries(&home)).collect()
}

async fn answers(client: &Client, text: &str) {
    let action = client.action(&format!("echo {text} > output"), &[]).await;
    let response = end(client.start(&action).await.unwrap()).await;
    assert_eq!(response.status.unwrap_or_default().code, 0, "{}", response.message);
}

#[tokio::test]
async fn an_action_that_makes_the_deepest_tree_is_gone_and_the_server_goes_on() {
    for sandbox in ["required", "off"] {
        let directory = TemporaryDirectory::new().unwrap();
        let server = start(directory.path(), &["--sandbox", sandbox]);
        let client = Client::of(&server).await;
        // Without a sandbox, /tmp is that of this machine.
        let temporary = if sandbox == "off" { "" } else { "make_deep('/tmp', 2000)" };
        let action = python(&client, &format!("make_deep('.')\n{temporary}\nopen('output', 'w')")).await;
        let response = end(client.start(&action).await.unwrap()).await;
        assert_eq!(response.status.unwrap_or_default().code, 0, "{}", response.message);
        assert_eq!(response.result.unwrap().exit_code, 0);
        answers(&client, "one more").await;
        let store = directory.path().join("store");
        wait_until("the action's files to be gone", || left_of_actions(&store).is_empty());
        answers(&client, "and another").await;
    }
}

#[tokio::test]
async fn an_action_that_makes_the_widest_directory_is_gone() {
    let directory = TemporaryDirectory::new().unwrap();
    let server = start(directory.path(), &[]);
    let client = Client::of(&server).await;
    let script = "import os\nos.mkdir('w')\nfor n in range(200000): os.close(os.open('w/%d' % n, os.O_CREAT))\nopen('output', 'w')";
    let action = python(&client, script).await;
    let response = end(client.start(&action).await.unwrap()).await;
    assert_eq!(response.result.unwrap().exit_code, 0);
    let store = directory.path().join("store");
    wait_until("the action's files to be gone", || left_of_actions(&store).is_empty());
    answers(&client, "still here").await;
}

#[tokio::test]
async fn an_output_directory_that_is_too_deep_is_its_actions_fault() {
    let directory = TemporaryDirectory::new().unwrap();
    let server = start(directory.path(), &[]);
    let client = Client::of(&server).await;
    let action = python(&client, "import os\nos.mkdir('output')\nmake_deep('output')").await;
    let response = end(client.start(&action).await.unwrap()).await;
    let message = format!("{} {}", response.message, response.status.unwrap_or_default().message);
    assert!(message.contains("`output`"), "{message}");
    // As deep as it may be: none of its levels is kept open.
    let deep =
        "import os\nos.makedirs('output/' + 'd/' * 500)\nopen('output/' + 'd/' * 500 + 'file', 'w').close()";
    let action = python(&client, deep).await;
    let response = end(client.start(&action).await.unwrap()).await;
    assert_eq!(response.status.unwrap_or_default().code, 0, "{}", response.message);
    assert_eq!(response.result.unwrap().output_directories.len(), 1);
}

/// A process that was killed has left them; what removes them is started by the next one.
#[tokio::test]
async fn a_server_starts_on_a_store_with_the_deepest_leftovers() {
    let directory = TemporaryDirectory::new().unwrap();
    let store = directory.path().join("store");
    drop(Server::start(directory.path(), &[]));
    for (leftover, levels) in [
        ("work/execute-dead/0", LEVELS),
        ("trees/execute-dead/1", LEVELS),
        ("trees/.unfinished", SOME_LEVELS),
        ("tmp/crosswheel-old-dead", SOME_LEVELS),
    ] {
        fs_err::create_dir_all(store.join(leftover)).unwrap();
        nest(&store.join(leftover), levels);
    }
    fs_err::write(store.join("work/execute-dead.lock"), "").unwrap();
    fs_err::write(store.join("trees/execute-dead.lock"), "").unwrap();
    let server = start(directory.path(), &[]);
    answers(&Client::of(&server).await, "it serves").await;
    let names = |name: &str| -> Vec<String> {
        let entries = fs_err::read_dir(store.join(name)).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    };
    let is_left = |name: &String| {
        name.contains("dead") || name.starts_with("crosswheel-old-") || name.starts_with(".unfinished")
    };
    wait_until("what was left to be gone", || {
        !["work", "trees", "tmp"].into_iter().any(|place| names(place).iter().any(is_left))
    });
    answers(&Client::of(&server).await, "it still does").await;
}

#[tokio::test]
async fn times_that_no_clock_can_say_are_refused_or_waited_for_but_end_nobody() {
    for setting in
        ["unattended-grace", "shutdown-grace", "max-timeout", "upload-idle-timeout", "keep-after-use"]
    {
        let flag = format!("--{setting}");
        let output = serve_command(&[&flag, "18000000000000000000s"]).output_in_time();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(&flag) && error.contains("write at most 3650days"), "{error}");
    }
    let directory = TemporaryDirectory::new().unwrap();
    let longest: Vec<String> = ["unattended-grace", "shutdown-grace", "max-timeout", "upload-idle-timeout"]
        .iter()
        .flat_map(|setting| [format!("--{setting}"), "3650days".to_owned()])
        .collect();
    let longest: Vec<&str> = longest.iter().map(String::as_str).collect();
    let server = Server::start(directory.path(), &longest);
    let client = Client::of(&server).await;
    answers(&client, "with the longest times").await;
    // Nobody waits for it any more, which is when its time begins.
    drop(client.start(&client.action("sleep 3; true > output", &[]).await).await.unwrap());
    for (seconds, nanos) in [(i64::MAX, 999_999_999), (i64::MAX, 0), (-1, 0), (i64::MIN, i32::MIN)] {
        let mut action = Action {
            do_not_cache: true,
            ..action_of(&client, &client.action("true > output", &[]).await).await
        };
        action.timeout = Some(crosswheel::reapi::protobuf::Duration { seconds, nanos });
        let action = client.put(action.encode_to_vec()).await;
        let refusal = match client.start(&action).await {
            Ok(updates) => end(updates).await.status.unwrap_or_default().message,
            Err(status) => status.message().to_owned(),
        };
        assert!(refusal.contains("time"), "{seconds} s {nanos} ns: {refusal}");
    }
    answers(&client, "after all of that").await;
}

async fn action_of(client: &Client, digest: &Digest) -> Action {
    Action::decode(&*client.read(digest).await).unwrap()
}
