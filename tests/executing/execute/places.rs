//! Other users, other roots, crashes.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crosswheel::contract::SandboxMode;
use crosswheel::execute::{InputLimits, SharedFiles, TreeLimits};
use crosswheel::sandbox::RootFileSystem;

use super::scene::{CROSSWHEEL_VARIABLE, Root, Scene, count_entries, crosswheel, sh};
use crate::support::waiting::{InTime, LONG_DEADLINE, wait_for, wait_until};

/// As root, everything that matters here is done again as nobody; as anybody else it has been done already.
#[test]
fn an_unprivileged_user_has_all_of_it_too() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs_err::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).unwrap();
    // The build directory may be one that nobody else can enter.
    let [binary, tests] = ["crosswheel", "tests"].map(|name| directory.path().join(name));
    fs_err::copy(crosswheel(), &binary).unwrap();
    fs_err::copy(std::env::current_exe().unwrap(), &tests).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&tests)
        .args([
            "execute::inputs::",
            "execute::hostile::",
            "execute::outputs::",
            "execute::closed::",
            "execute::full_disks::",
            "execute::quotas::",
            "nothing_is_left",
            "timed_out",
            "warm",
            "damaged",
            "program",
            // They take a place that nobody else may write to.
            "--skip=poison::",
            "--skip=rootfs::",
            "--skip=sandbox::",
        ])
        .env(CROSSWHEEL_VARIABLE, &binary)
        .env("TMPDIR", directory.path())
        .env("HOME", directory.path())
        .current_dir("/")
        .output_within(LONG_DEADLINE);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !stdout.contains(" 0 passed"), "{stdout}");
}

#[test]
fn a_pool_may_show_only_a_part_of_the_host() {
    let directories = ["/usr", "/bin", "/lib", "/lib64"].map(Into::into).to_vec();
    let directories: Vec<std::path::PathBuf> = directories;
    let directories = directories.into_iter().filter(|path| path.exists()).collect();
    let root = RootFileSystem::HostDirectories(directories);
    let scene = Scene::with_root(SandboxMode::Required, TreeLimits::default(), root);
    for root in [Root::of(&[("a", "x")]), Root::of(&[("a", "x")]).large()] {
        let executed = scene.run(&root, sh("cat a; test ! -e /etc/passwd; test ! -e /home", &[]));
        assert_eq!(scene.stdout(&executed), "x");
    }
}

#[test]
fn the_command_can_write_nowhere_but_in_its_exec_root_and_private_directories() {
    let scene = Scene::new();
    let script = "
        for directory in / /etc /usr .. ../.. $1; do
            (: > $directory/written) 2>/dev/null && echo $directory
        done
        : > /tmp/written; : > written; ls /tmp";
    let mut command = sh(script, &[]);
    command.arguments.extend(["sh".into(), scene.path().display().to_string()]);
    let executed = scene.run(&Root::default().large(), command);
    assert_eq!(scene.stdout(&executed), "written\n");
}

/// Runs in a process of its own, which the test below kills. Without that, there is nothing to see here.
#[test]
fn a_process_that_will_be_killed() {
    if std::env::var_os(TO_BE_KILLED).is_none() {
        return;
    }
    let scene = Scene::new();
    let root = scene.upload(&Root::of(&[("a", "x")]).large());
    scene.execute(&scene.work(root, sh("true", &[]))).unwrap();
    let work = scene.work(root, sh("echo made > b; echo running; sleep 1000", &["b"]));
    let directory = scene.path().to_owned();
    let say = super::scene::Watcher {
        on_output: Some(Box::new(move || {
            fs_err::write(directory.parent().unwrap().join("running"), directory.to_str().unwrap()).unwrap();
        })),
        ..Default::default()
    };
    let _ = scene.execute_watched(&work, &say, &Default::default());
}

const TO_BE_KILLED: &str = "CROSSWHEEL_TEST_TO_BE_KILLED";

#[test]
fn what_a_killed_server_left_is_gone_when_the_next_one_starts() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "execute::places::a_process_that_will_be_killed"])
        .env(TO_BE_KILLED, "1")
        .env("TMPDIR", directory.path())
        .stdout(Stdio::piped())
        .start();
    let running = directory.path().join("running");
    wait_until("the action of the server to run", || {
        assert!(!server.has_ended(), "it has ended by itself");
        fs_err::read_to_string(&running).is_ok_and(|scene| !scene.is_empty())
    });
    server.kill();
    server.stdout().rest();
    let scene = fs_err::read_to_string(&running).unwrap();
    let store = std::path::Path::new(&scene).join("store");
    let left = [store.join("trees"), store.join("work")];
    assert!(left.iter().all(|base| count_entries(base) > 0));

    let settings = crosswheel::cas::StoreSettings { directory: store, ..Default::default() };
    // The dead one's lock goes with the last of its processes.
    let store =
        wait_for("the store of a killed server", || match crosswheel::cas::DiskStore::open(&settings) {
            Ok(store) => Some(store),
            Err(crosswheel::cas::StoreError::InUse { .. }) => None,
            Err(error) => panic!("{error}"),
        });
    let files = SharedFiles::open(store.into(), InputLimits::default(), TreeLimits::default()).unwrap();
    wait_until("all to be swept", || !left.iter().any(|base| count_entries(base) > 0));
    drop(files);
    for base in left {
        assert_eq!(fs_err::read_dir(base).unwrap().count(), 0);
    }
}
