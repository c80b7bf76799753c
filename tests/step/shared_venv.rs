//! Builds in a sandbox share environments: what they may do with them, and what becomes of them when a build
//! is killed. Real processes, as a user starts them.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::wheels::builder::WheelBuilder;
use crate::support::waiting::{InTime, Started, pause};

/// A wheel of build requirements with a backend in it that executes `script` of the project, and builds the
/// wheel the project brings along.
const BACKEND: &str = "
import os, shutil

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    exec(open('script').read(), {})
    shutil.copy('demo-1.0-py3-none-any.whl', wheel_directory)
    return 'demo-1.0-py3-none-any.whl'
";
const PYPROJECT: &str = "[build-system]\nrequires = ['backend']\nbuild-backend = 'backend'\n";

struct Fixture {
    directory: tempfile::TempDir,
    backend: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut backend = WheelBuilder::new("backend-1.0-py3-none-any.whl").file("backend.py", BACKEND);
        for module in 0..200 {
            backend = backend.file(&format!("backend_data/m{module}.py"), "x = 1\n");
        }
        let backend = backend.write(directory.path());
        Self { directory, backend }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A build during which the project executes `script`.
    fn command(&self, script: &str) -> Command {
        let sdist = tempfile::tempdir_in(self.directory.path()).unwrap().keep().join("demo-1.0.tar.gz");
        let file = fs_err::File::create(&sdist).unwrap();
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
        let wheel = WheelBuilder::new("demo-1.0-py3-none-any.whl").bytes();
        let files = [
            ("pyproject.toml", PYPROJECT.as_bytes()),
            ("script", script.as_bytes()),
            ("demo-1.0-py3-none-any.whl", &wheel),
        ];
        for (name, content) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("demo-1.0/{name}"), content).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
        command.arg("wheel").arg(&sdist).arg("--json").arg("--out").arg(sdist.with_file_name("out"));
        command.arg("--build-wheels").arg(&self.backend).arg("--cache-dir").arg(self.path("cache"));
        command.stdin(Stdio::null());
        command
    }

    fn build(&self, script: &str) -> Output {
        self.command(script).output_in_time()
    }

    /// What a build printed, which must succeed.
    fn output(&self, script: &str) -> String {
        let output = self.build(script);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{text}");
        text
    }

    /// The shared environments.
    fn venvs(&self) -> Vec<PathBuf> {
        let entries = fs_err::read_dir(self.path("cache/venvs")).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| !path.ends_with("tmp") && !path.ends_with("programs")).collect()
    }

    fn only_venv(&self) -> PathBuf {
        let [only] = <[PathBuf; 1]>::try_from(self.venvs()).unwrap();
        only
    }
}

fn failure_message(output: &Output) -> String {
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["error"]["message"].as_str().unwrap_or_else(|| panic!("{document}")).to_owned()
}

fn module(venv: &Path) -> PathBuf {
    let lib = fs_err::read_dir(venv.join("lib")).unwrap().next().unwrap().unwrap().path();
    lib.join("site-packages/backend_data/m7.py")
}

#[test]
fn the_second_build_uses_the_environment_of_the_first() {
    let fixture = Fixture::new();
    let script = "import os, sys; print(sys.prefix, os.stat(sys.prefix).st_ino)";
    let first = fixture.output(script);
    let venv = fixture.only_venv();
    assert_eq!(first, format!("/crosswheel/venv {}\n", fs_err::metadata(&venv).unwrap().ino()));
    assert_eq!(fixture.output(script), first);
    assert_eq!(fixture.only_venv(), venv);
}

#[test]
fn a_build_can_change_nothing_in_it() {
    let fixture = Fixture::new();
    let script = "
import backend_data.m7, errno, os, shutil, sys
module = backend_data.m7.__file__
attempts = [
    lambda: open(os.path.join(sys.prefix, 'new'), 'w'),
    lambda: open(module, 'a'),
    lambda: os.chmod(module, 0o777),
    lambda: os.unlink(module),
    lambda: os.utime(sys.prefix),
    lambda: os.rename(sys.prefix, '/crosswheel/other'),
    lambda: shutil.rmtree(sys.prefix),
    lambda: os.link(module, '/crosswheel/link'),
]
for attempt in attempts:
    try:
        attempt()
    except OSError as error:
        assert error.errno in (errno.EROFS, errno.EACCES, errno.EBUSY, errno.EXDEV), error
    else:
        print('possible')
";
    let printed = fixture.output(script);
    assert_eq!(printed, "");
    let venv = fixture.only_venv();
    assert_eq!(fs_err::read_to_string(module(&venv)).unwrap(), "x = 1\n");
    assert!(!venv.join("new").exists());
}

#[test]
fn first_builds_that_run_side_by_side_all_succeed_and_leave_one_environment() {
    let fixture = Fixture::new();
    let start = |_| fixture.command("").stdout(Stdio::null()).stderr(Stdio::null()).start();
    let children: Vec<Started> = (0..6).map(start).collect();
    for mut child in children {
        assert!(child.exit().success());
    }
    fixture.only_venv();
    assert_eq!(fs_err::read_dir(fixture.path("cache/venvs/tmp")).unwrap().count(), 0);
}

/// Wherever the kill hits, what is found at an environment's place is whole.
#[test]
fn a_build_that_is_killed_while_it_makes_the_environment_breaks_nothing() {
    let fixture = Fixture::new();
    fixture.output("");
    let unpacked = fixture.path("cache/unpacked");
    let (mut rounds, mut half_made) = (0, 0);
    for delay in (0..40).cycle() {
        // Only the environment is to be made again: the wheel stays unpacked.
        assert!(unpacked.exists());
        let _ = crosswheel::scratch::removal::remove(fixture.path("cache/venvs"));
        let mut child = fixture.command("").stdout(Stdio::null()).stderr(Stdio::null()).start();
        pause(Duration::from_millis(delay));
        child.kill();
        let temporary = fs_err::read_dir(fixture.path("cache/venvs/tmp"));
        half_made += temporary.map_or(0, |entries| entries.count());
        let script = "import importlib\nfor m in range(200): importlib.import_module(f'backend_data.m{m}')";
        assert_eq!(fixture.output(script), "");
        fixture.only_venv();
        rounds += 1;
        if rounds >= 20 && half_made > 0 {
            break;
        }
    }
}

#[test]
fn damage_to_the_cache_fails_one_build_that_says_so_and_no_other() {
    let fixture = Fixture::new();
    let script = "import backend_data.m7; backend_data.m7.x";
    for empty in [false, true] {
        fixture.output(script);
        let module = module(&fixture.only_venv());
        let compiled = module.with_file_name("__pycache__").read_dir().unwrap();
        let compiled = compiled.map(|entry| entry.unwrap().path());
        let compiled = compiled.filter(|path| path.to_str().unwrap().contains("/m7."));
        for path in compiled.chain([module]) {
            if empty {
                // What is in the store is the same file.
                fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
                fs_err::write(path, "").unwrap();
            } else {
                fs_err::remove_file(path).unwrap();
            }
        }
        let message = failure_message(&fixture.build(script));
        assert!(message.contains("m7") && message.contains("build again"), "{message}");
        fixture.output(script);
    }
}

#[test]
fn without_namespaces_no_environment_is_shared() {
    let fixture = Fixture::new();
    let script = "import os, sys; open(os.path.join(sys.prefix, 'mine'), 'w'); print(sys.prefix)";
    let output = fixture.command(script).args(["--sandbox", "off"]).output_in_time();
    assert!(output.status.success(), "{output:?}");
    // As Python sees it, whatever links lead to the target directory.
    let work = fs_err::canonicalize(fixture.path("cache/work")).unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().starts_with(work.to_str().unwrap()));
    assert_eq!(fixture.venvs().len(), 0);
}
