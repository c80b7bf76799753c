//! Actions that run crosswheel itself.

use crosswheel::contract::{CONTRACT, CONTRACT_VARIABLE, RELEASE, RELEASE_VARIABLE, SandboxMode};
use crosswheel::execute::ExecuteError;
use crosswheel::execute::own_binary::wheel_action::{CACHE_INSIDE, PRIVATE_CACHE_INSIDE};
use crosswheel::reapi::Command;
use crosswheel::reapi::command::EnvironmentVariable;

use crosswheel::execute::{ActionLimits, TreeLimits};
use crosswheel::sandbox::RootFileSystem;

use super::scene::{Node, Root, Scene};
use crate::support::foreign_program::{EXIT_CODE, emulator, foreign_root, write_foreign_program};
use crate::support::waiting::wait_until;

/// By the contract of this very crosswheel.
pub fn crosswheel(arguments: &[&str]) -> Command {
    asking(&[(CONTRACT_VARIABLE, &CONTRACT.to_string())], arguments)
}

fn asking(variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let variable =
        |(name, value): &(&str, &str)| EnvironmentVariable { name: (*name).into(), value: (*value).into() };
    Command {
        arguments: std::iter::once("crosswheel")
            .chain(arguments.iter().copied())
            .map(str::to_owned)
            .collect(),
        environment_variables: variables.iter().map(variable).collect(),
        ..Default::default()
    }
}

#[test]
fn the_program_crosswheel_is_this_very_binary() {
    for scene in [Scene::new(), Scene::plain()] {
        let executed = scene.run(&Root::default(), crosswheel(&["--version"]));
        assert_eq!(scene.stdout(&executed), format!("crosswheel {RELEASE}\n"));
    }
}

/// The root has no C library, and nothing else that this binary needs; all it has is for another architecture.
#[test]
fn it_runs_natively_in_a_root_of_another_architecture_and_nests_sandboxes_there() {
    let root = foreign_root();
    write_foreign_program(&root.path().join("bin/foreign"));
    let emulated = RootFileSystem::Emulated { directory: root.path().into(), emulator: emulator() };
    let scene = Scene::with_root(SandboxMode::Required, TreeLimits::default(), emulated);
    let executed = scene.run(&Root::default(), crosswheel(&["--version"]));
    assert_eq!(scene.stdout(&executed), format!("crosswheel {RELEASE}\n"), "{}", scene.stderr(&executed));

    let nested = ["sandbox-run", "--sandbox=required", "--", "/bin/foreign"];
    let executed = scene.run(&Root::default(), crosswheel(&nested));
    let stdout = String::from_utf8_lossy(&executed.result.stdout_raw);
    assert_eq!(stdout, "/bin/foreign\n", "{}", scene.stderr(&executed));
    assert_eq!(executed.result.exit_code, i32::from(EXIT_CODE));
}

/// Generated rules are older than the workers, or newer, and each side learns what is to be done.
#[test]
fn who_asks_by_a_contract_that_is_not_known_learns_which_side_to_upgrade() {
    let scene = Scene::new();
    let newer = (CONTRACT + 1).to_string();
    for (variables, numbers, remedy) in [
        (vec![(CONTRACT_VARIABLE, "0")], "contract 0", "regenerate platforms/"),
        (
            vec![(RELEASE_VARIABLE, RELEASE)],
            RELEASE,
            "regenerate platforms/ with `crosswheel generate bazel`",
        ),
        (vec![(CONTRACT_VARIABLE, newer.as_str())], newer.as_str(), "upgrade the worker"),
        (vec![(CONTRACT_VARIABLE, "0.1.0")], "0.1.0", "should be the number of a contract"),
        (vec![], "by which contract", CONTRACT_VARIABLE),
    ] {
        let error = scene.refusal(&Root::default(), asking(&variables, &["--version"]));
        let ExecuteError::Refused(problem) = &error else { panic!("{error}") };
        assert!(problem.contains(numbers) && problem.contains(remedy), "{variables:?}: {problem}");
        assert!(problem.contains(RELEASE) || problem.contains("should be"), "{variables:?}: {problem}");
    }
}

/// It fails, as the sdist is none, and says where its cache is by what it leaves there.
#[test]
fn the_shared_cache_is_only_for_what_cannot_abuse_it() {
    let scene = Scene::new();
    let cache = scene.path().join("wheel-cache");
    let root = Root::of(&[("a-1.tar.gz", "no sdist")]);
    let wheel = |more: &[&str]| {
        let mut arguments = vec!["wheel", "a-1.tar.gz", "--out=out", "--python=/usr/bin/python3"];
        arguments.extend(more);
        crosswheel(&arguments)
    };
    let check =
        |more: &[&str]| crosswheel(&[&["check", "a-1.tar.gz", "--python=/usr/bin/python3"], more].concat());
    let private = [
        wheel(&[]),
        wheel(&["--sandbox=off"]),
        wheel(&["--sandbox=required", "--keep-work"]),
        wheel(&["--sandbox=required", "--python=/execroot/_main/python"]),
        wheel(&["--sandbox=required", "--cache-dir=/.crosswheel/cache"]),
        wheel(&["--sandbox=required", "--out=/.crosswheel/cache"]),
        wheel(&["--sandbox=required", "--out", "x"]),
        wheel(&["--sandbox=required", "--build-wheels=a-1.tar.gz#sha256=00"]),
        wheel(&["--sandbox=required", "--report=/.crosswheel/cache/report.json"]),
        wheel(&["--sandbox=required", "--cross-cc=gcc"]),
        wheel(&["--sandbox=required", "--cross-cc=/execroot/_main/gcc --sysroot=/"]),
        wheel(&["--sandbox=required", "--cross-cc=/.crosswheel/native/../cache/gcc"]),
        wheel(&["--sandbox=required", "--cross-cc='/usr/bin/gcc'"]),
        wheel(&["--sandbox=required", "--no-imports"]),
        check(&["--sandbox=auto"]),
        check(&["--sandbox=required", "--out=out"]),
        check(&["--sandbox=required", "/usr/lib/b-1-py3-none-any.whl"]),
        check(&["--sandbox=required", "a-1.tar.gz#sha256=00"]),
        check(&["--sandbox=required", "--pip=a-1.tar.gz#sha256=00"]),
    ];
    for command in private {
        let executed = scene.run(&root, command.clone());
        assert_ne!(executed.result.exit_code, 0);
        assert!(executed.message.contains("without the worker's cache"), "{command:?}: {}", executed.message);
        assert!(!cache.exists(), "{command:?}");
    }
    let mut preloading = wheel(&["--sandbox=required"]);
    preloading
        .environment_variables
        .push(EnvironmentVariable { name: "LD_PRELOAD".into(), value: "x".into() });
    assert!(scene.run(&root, preloading).message.contains("LD_PRELOAD"));
    let linked = root.clone().symlink("out", "/.crosswheel/cache");
    assert!(scene.run(&linked, wheel(&["--sandbox=required"])).message.contains("symlinks"));
    assert!(!cache.exists());

    let more =
        ["--sandbox=required", "--json", "--report=out/report.json", "--cross-cc=/bin/true --sysroot=/"];
    let executed = scene.run(&root, wheel(&more));
    assert_eq!(executed.message, "", "{}", scene.stderr(&executed));
    let executed = scene.run(&root, check(&["--sandbox=required", "--json"]));
    assert_eq!(executed.message, "", "{}", scene.stderr(&executed));
    // Facts about the interpreter.
    assert!(fs_err::read_dir(&cache).unwrap().next().is_some());
    assert_ne!(CACHE_INSIDE, PRIVATE_CACHE_INSIDE);
}

const BACKEND: &str = r#"
import base64, hashlib, os, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    # The shared cache must be out of a backend's reach, however it tries.
    ways = ["", *("/proc/" + process + way for process in os.listdir("/proc") if process.isdigit()
                  for way in ("/root", "/cwd", "/cwd/../.."))]
    for way in ways:
        for place in "/.crosswheel/cache/poison", "/execroot/_main/poison":
            try:
                with open(way + place, "w") as file:
                    file.write("evil")
            except OSError:
                continue
            raise SystemExit("could write to " + way + place)
    name = "demo-1.0-py3-none-any.whl"
    info = "demo-1.0.dist-info/"
    files = {
        "demo.py": "x = 1\n",
        info + "METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
        info + "WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digest = lambda text: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    record = "".join(f"{name},sha256={digest(text)},{len(text)}\n" for name, text in files.items())
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        for file, text in {**files, info + "RECORD": record + info + "RECORD,,\n"}.items():
            wheel.writestr(zipfile.ZipInfo(file, (1980, 1, 1, 0, 0, 0)), text)
    return name
"#;

pub fn sdist() -> Vec<u8> {
    sdist_with(BACKEND)
}

fn sdist_with(backend: &str) -> Vec<u8> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(encoder);
    for (name, text) in [
        ("PKG-INFO", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"),
        (
            "pyproject.toml",
            "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
        ),
        ("backend.py", backend),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, format!("demo-1.0/{name}"), text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

/// An input root with an sdist that has this backend, and what builds it with the shared cache.
fn building(backend: &str) -> (Root, Command) {
    let sdist = Node::File { bytes: sdist_with(backend), executable: true, properties: None };
    let root = Root::default().node("in/demo-1.0.tar.gz", sdist);
    let mut command = crosswheel(&[
        "wheel",
        "in/demo-1.0.tar.gz",
        "--out=build",
        "--python=3",
        "--sandbox=required",
        "--json",
    ]);
    let path = EnvironmentVariable { name: "PATH".into(), value: "/usr/bin:/bin".into() };
    command.environment_variables.push(path);
    command.output_paths = vec!["build".into()];
    (root, command)
}

/// It works in the cache that it shares with others, and what it writes there is its own all the same.
#[test]
fn a_backend_that_writes_without_end_is_killed_by_the_limit_of_its_action() {
    let limits = ActionLimits { scratch: 8 << 20, ..ActionLimits::default() };
    let scene = Scene::limited(SandboxMode::Required, limits);
    let backend = "
import time

def build_wheel(directory, config_settings=None, metadata_directory=None):
    while True:
        open('flood', 'ab').write(bytes(1000000))
        time.sleep(0.01)
";
    let (root, command) = building(backend);
    let executed = scene.run(&root, command);
    let exceeded = executed.exceeded.as_ref().unwrap_or_else(|| panic!("{executed:?}"));
    assert_eq!(exceeded.limit, "scratch");
    wait_until("what it had to be removed", || scene.scratch() == 0);
    let caches = fs_err::read_dir(scene.path().join("wheel-cache/instances")).unwrap();
    let caches: Vec<_> = caches.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(caches.len(), 1);
    assert_eq!(fs_err::read_dir(caches[0].join("work")).unwrap().count(), 0);
}

#[test]
fn a_wheel_is_built_with_the_shared_cache_which_its_backend_cannot_touch() {
    let scene = Scene::new();
    let (root, command) = building(BACKEND);
    for round in 0..2 {
        let executed = scene.run(&root, command.clone());
        assert_eq!(
            executed.result.exit_code,
            0,
            "{round}: {}",
            scene.stderr(&executed) + &String::from_utf8_lossy(&executed.result.stdout_raw)
        );
        assert_eq!(executed.message, "");
        let tree = scene.output_tree(&executed, "build").root.unwrap();
        assert_eq!(tree.files[0].name, "demo-1.0-py3-none-any.whl");
        assert!(!scene.path().join("wheel-cache/poison").exists());
    }
}
