//! Environments made of unpacked wheels behave as those other installers make.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crosswheel::digest::Sha256;
use crosswheel::packaging::wheel_metadata::Record;
use crosswheel::step::helper::Helpers;
use crosswheel::step::venv::unpacked_wheel::UnpackedWheel;
use crosswheel::step::venv::virtual_environment::{Venv, VenvError};
use crosswheel::step::venv::wheel_store::WheelStore;

use super::builder::{PYTHON, WheelBuilder, native_tag};
use crate::support::waiting::InTime;

struct Fixture {
    root: tempfile::TempDir,
    store: WheelStore,
    venv: Venv,
}

impl Fixture {
    fn new() -> Self {
        Self::at("venv")
    }

    fn at(name: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = WheelStore::open(root.path().join("store"), Helpers::default());
        let directory = root.path().join(name);
        let venv = Venv::create(&directory, &directory, &PYTHON).unwrap();
        Self { root, store, venv }
    }

    fn unpack(&self, wheel: &WheelBuilder) -> UnpackedWheel {
        let path = wheel.write(self.root.path());
        self.store.unpacked(&path, None, &PYTHON).unwrap()
    }

    fn install(&mut self, wheel: &WheelBuilder) -> Result<(), VenvError> {
        let unpacked = self.unpack(wheel);
        self.venv.install(&unpacked)
    }

    fn site_packages(&self) -> PathBuf {
        let (major, minor, _) = PYTHON.version;
        let thread = if PYTHON.free_threaded { "t" } else { "" };
        self.venv.directory().join(format!("lib/python{major}.{minor}{thread}/site-packages"))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        run(&self.venv.directory().join(program), arguments)
    }
}

fn run(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env_remove("PYTHONPATH")
        .env_remove("PYTHONHOME")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output_in_time();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn python_in_the_environment_knows_where_it_is() {
    let mut fixture = Fixture::new();
    fixture.install(&WheelBuilder::new("pkg-1.0-py3-none-any.whl").file("pkg.py", "")).unwrap();
    let code = "import sys, sysconfig, pkg; print(sys.prefix, sys.base_prefix, sysconfig.get_path('purelib'), \
        pkg.__file__, pkg.__cached__, sep='\\n')";
    let answer = fixture.run("bin/python", &["-I", "-c", code]);
    let site = fixture.site_packages().display().to_string();
    let expected = [
        fixture.venv.directory().display().to_string(),
        PYTHON.base_prefix.display().to_string(),
        site.clone(),
        format!("{site}/pkg.py"),
        format!("{site}/__pycache__/pkg.{}.pyc", PYTHON.cache_tag),
    ];
    assert_eq!(answer.lines().collect::<Vec<_>>(), expected);
    let (major, minor, _) = PYTHON.version;
    for name in ["python3".to_owned(), format!("python{major}.{minor}")] {
        if !(PYTHON.free_threaded && name.contains('.')) {
            assert_eq!(fixture.run(&format!("bin/{name}"), &["-c", "import pkg; print(1)"]), "1");
        }
    }
    let packages = fixture
        .run("bin/python", &["-I", "-c", "import sys; print([p for p in sys.path if 'site-packages' in p])"]);
    assert_eq!(packages, format!("['{site}']"), "packages of the base interpreter must not be seen");
}

#[test]
fn compiled_files_are_used_without_looking_at_sources() {
    let mut fixture = Fixture::new();
    fixture.install(&WheelBuilder::new("pkg-1.0-py3-none-any.whl").file("pkg.py", "x = 1\n")).unwrap();
    let source = fixture.site_packages().join("pkg.py");
    fs_err::remove_file(&source).unwrap();
    fs_err::write(&source, "x = 2\n").unwrap();
    assert_eq!(fixture.run("bin/python", &["-c", "import pkg; print(pkg.x)"]), "1");
}

#[test]
fn files_go_where_their_scheme_says() {
    let mut fixture = Fixture::new();
    let wheel = WheelBuilder::new(&format!("My.Pkg-1.0-{}.whl", native_tag()))
        .file("top.py", "")
        .file("My.Pkg-1.0.data/purelib/pure.py", "")
        .file("My.Pkg-1.0.data/platlib/plat.py", "")
        .file("My.Pkg-1.0.data/headers/sub/x.h", "")
        .file("My.Pkg-1.0.data/data/share/x/y", "")
        .file("My.Pkg-1.0.data/scripts/tool", "\x7fnot python");
    fixture.install(&wheel).unwrap();
    let (major, minor, _) = PYTHON.version;
    let thread = if PYTHON.free_threaded { "t" } else { "" };
    for file in [
        "share/x/y".to_owned(),
        format!("include/site/python{major}.{minor}{thread}/my-pkg/sub/x.h"),
        "bin/tool".to_owned(),
    ] {
        assert!(fixture.venv.directory().join(&file).is_file(), "{file}");
    }
    for file in ["top.py", "pure.py", "plat.py"] {
        assert!(fixture.site_packages().join(file).is_file(), "{file}");
    }
    assert!(
        fixture
            .venv
            .directory()
            .join("lib64")
            .join(fixture.site_packages().strip_prefix(fixture.venv.directory().join("lib")).unwrap())
            .is_dir()
    );
}

#[test]
fn commands_run_with_the_environments_interpreter() {
    for place in ["venv", "a venv", &"long".repeat(40)] {
        let mut fixture = Fixture::at(place);
        let wheel = WheelBuilder::new("pkg-1.0-py3-none-any.whl")
            .file("pkg/cli.py", "import sys\ndef main(): print(sys.prefix)\nclass App:\n    run = main\n")
            .info(
                "entry_points.txt",
                "[console_scripts]\none = pkg.cli:main [extra]\n[gui_scripts]\ntwo = pkg.cli:App.run\n",
            )
            .file("pkg-1.0.data/scripts/three", "#!python -E\nimport sys\nprint(sys.prefix)\n")
            .file("pkg-1.0.data/scripts/four", "#!pythonw\nimport sys\nprint(sys.prefix)\n")
            .file("pkg-1.0.data/scripts/five", "#!/bin/sh\necho five\n")
            .file("pkg-1.0.data/scripts/one", "#!python\nprint('the entry point wins')\n");
        fixture.install(&wheel).unwrap();
        let prefix = fixture.venv.directory().display().to_string();
        for command in ["bin/one", "bin/two", "bin/three", "bin/four"] {
            assert_eq!(fixture.run(command, &[]), prefix, "{command} in {place}");
        }
        assert_eq!(fixture.run("bin/five", &[]), "five");
    }
}

#[test]
fn scripts_name_the_path_at_which_processes_see_the_environment() {
    let fixture = Fixture::new();
    let directory = fixture.root.path().join("inside");
    let mut venv = Venv::create(&directory, Path::new("/build/venv"), &PYTHON).unwrap();
    let wheel = WheelBuilder::new("pkg-1.0-py3-none-any.whl")
        .info("entry_points.txt", "[console_scripts]\nx = pkg:main\n");
    venv.install(&fixture.unpack(&wheel)).unwrap();
    assert_eq!(venv.python(), Path::new("/build/venv/bin/python"));
    let script = fs_err::read_to_string(directory.join("bin/x")).unwrap();
    assert!(script.starts_with("#!/build/venv/bin/python\n"), "{script}");
    let relative = Venv::create(&fixture.root.path().join("r"), Path::new("venv"), &PYTHON);
    assert!(matches!(relative, Err(VenvError::RelativePath(_))));
}

#[test]
fn record_lists_what_is_installed_as_it_is() {
    let mut fixture = Fixture::new();
    let wheel = WheelBuilder::new("pkg-1.0-py3-none-any.whl")
        .file("pkg/a,b.txt", "x")
        .file("pkg-1.0.data/data/share/y", "y")
        .file("pkg-1.0.data/scripts/s", "#!python\n")
        .info("entry_points.txt", "[console_scripts]\nx = pkg:main\n");
    fixture.install(&wheel).unwrap();
    let site = fixture.site_packages();
    let record = Record::parse(&fs_err::read(site.join("pkg-1.0.dist-info/RECORD")).unwrap()).unwrap();
    let paths: Vec<_> = record.paths().map(str::to_owned).collect();
    for expected in
        ["../../../bin/s", "../../../bin/x", "../../../share/y", "pkg/a,b.txt", "pkg-1.0.dist-info/INSTALLER"]
    {
        assert!(paths.iter().any(|path| path == expected), "{expected} in {paths:?}");
    }
    for path in paths.iter().filter(|path| !path.ends_with("/RECORD")) {
        let (digest, size) = Sha256::of_file(&site.join(path)).unwrap();
        record.check(path, digest, size, true).unwrap();
    }
    let code = "import importlib.metadata as m; d = m.distribution('pkg'); print(d.version, d.read_text('INSTALLER').strip())";
    assert_eq!(fixture.run("bin/python", &["-c", code]), "1.0 crosswheel");
}

/// Environments share the files of the store, so nothing written to one may reach another.
#[test]
fn environments_share_files_but_not_what_differs_between_them() {
    let mut fixture = Fixture::new();
    let wheel = WheelBuilder::new("pkg-1.0-py3-none-any.whl")
        .file("pkg.py", "")
        .info("entry_points.txt", "[console_scripts]\nx = pkg:main\n");
    let unpacked = fixture.unpack(&wheel);
    let stored = unpacked.directory().join("site/pkg-1.0.dist-info/RECORD");
    let before = fs_err::read(&stored).unwrap();
    fixture.venv.install(&unpacked).unwrap();
    assert_eq!(fs_err::read(&stored).unwrap(), before);
    let inode = |path: PathBuf| fs_err::metadata(path).unwrap().ino();
    let site = fixture.site_packages();
    assert_eq!(inode(site.join("pkg.py")), inode(unpacked.directory().join("site/pkg.py")));
    assert_ne!(inode(site.join("pkg-1.0.dist-info/RECORD")), inode(stored));
}

#[test]
fn path_files_are_run_at_start_up() {
    let mut fixture = Fixture::new();
    let wheel =
        WheelBuilder::new("pkg-1.0-py3-none-any.whl").file("hook.pth", "import sys; sys.hooked = True\n");
    fixture.install(&wheel).unwrap();
    assert_eq!(fixture.run("bin/python", &["-c", "import sys; print(sys.hooked)"]), "True");
}

#[test]
fn two_wheels_may_share_a_file_only_if_it_is_the_same() {
    let mut fixture = Fixture::new();
    let wheel = |name: &str, content: &str| {
        WheelBuilder::new(&format!("{name}-1.0-py3-none-any.whl"))
            .file("space/__init__.py", content)
            .file(&format!("space/{name}.py"), "")
    };
    fixture.install(&wheel("a", "# shared\n")).unwrap();
    fixture.install(&wheel("b", "# shared\n")).unwrap();
    let error = fixture.install(&wheel("c", "# other\n")).unwrap_err().to_string();
    assert!(
        error.starts_with("`c-1.0-py3-none-any.whl` and `a-1.0-py3-none-any.whl` both install `lib/python"),
        "{error}"
    );
    assert!(error.ends_with("site-packages/space/__init__.py`, with different content"), "{error}");
    let script = |name: &str| {
        WheelBuilder::new(&format!("{name}-1.0-py3-none-any.whl"))
            .info("entry_points.txt", &format!("[console_scripts]\nrun = {name}:main\n"))
    };
    fixture.install(&script("d")).unwrap();
    let error = fixture.install(&script("e")).unwrap_err().to_string();
    assert!(error.contains("`d-1.0-py3-none-any.whl` both install `bin/run`"), "{error}");
}

#[test]
fn a_wheel_cannot_replace_a_part_of_the_environment() {
    for file in ["pyvenv.cfg", "bin/python", "bin/python/x", "lib64"] {
        let mut fixture = Fixture::new();
        let wheel =
            WheelBuilder::new("evil-1.0-py3-none-any.whl").file(&format!("evil-1.0.data/data/{file}"), "x");
        let error = fixture.install(&wheel).unwrap_err().to_string();
        assert!(error.contains("and the virtual environment both install"), "{file}: {error}");
    }
}

#[test]
fn a_file_and_a_directory_of_one_name_are_a_conflict() {
    let mut fixture = Fixture::new();
    fixture.install(&WheelBuilder::new("a-1.0-py3-none-any.whl").file("x", "")).unwrap();
    let error = fixture.install(&WheelBuilder::new("b-1.0-py3-none-any.whl").file("x/y", "")).unwrap_err();
    assert!(matches!(error, VenvError::Conflict { .. }), "{error}");
}

#[test]
fn a_wheel_that_installs_a_file_twice_is_in_conflict_with_itself() {
    let mut fixture = Fixture::new();
    let site = fixture.site_packages();
    let site = site.strip_prefix(fixture.venv.directory()).unwrap().display();
    let wheel = WheelBuilder::new("a-1.0-py3-none-any.whl")
        .file("x.py", "1")
        .file(&format!("a-1.0.data/data/{site}/x.py"), "2");
    let error = fixture.install(&wheel).unwrap_err().to_string();
    assert!(
        error.starts_with("`a-1.0-py3-none-any.whl` and `a-1.0-py3-none-any.whl` both install"),
        "{error}"
    );
}

#[test]
fn wheels_for_another_python_and_second_versions_are_refused() {
    let mut fixture = Fixture::new();
    let error = fixture.install(&WheelBuilder::new("a-1.0-py2-none-any.whl")).unwrap_err();
    assert!(matches!(error, VenvError::Incompatible { .. }), "{error}");
    let newer = WheelBuilder::new("a-1.0-py3-none-any.whl")
        .metadata("Version: 1.0\n", "Version: 1.0\nRequires-Python: >=3.99\n");
    let error = fixture.install(&newer).unwrap_err().to_string();
    assert!(error.contains("it requires Python >=3.99, and this is 3."), "{error}");
    fixture.install(&WheelBuilder::new("a-1.0-py3-none-any.whl")).unwrap();
    let error = fixture.install(&WheelBuilder::new("A-2.0-py3-none-any.whl")).unwrap_err().to_string();
    assert_eq!(
        error,
        "`A-2.0-py3-none-any.whl` cannot be installed beside `a-1.0-py3-none-any.whl`: both are a"
    );
    assert_eq!(fixture.venv.installed().len(), 1);
}
