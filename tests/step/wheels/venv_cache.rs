//! Environments are made once and shared, whole or not at all, and go away when nobody uses them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crosswheel::packaging::interpreter::Interpreter;
use crosswheel::step::helper::Helpers;
use crosswheel::step::venv::unpacked_wheel::UnpackedWheel;
use crosswheel::step::venv::venv_cache::{CachedVenv, VenvCache, VenvPlan};
use crosswheel::step::venv::wheel_store::WheelStore;

use super::builder::{PYTHON, WheelBuilder};
use crate::support::waiting::{InTime, scope};

const DAY: Duration = Duration::from_secs(24 * 3600);

struct Fixture {
    root: tempfile::TempDir,
    cache: VenvCache,
    store: WheelStore,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let cache = VenvCache::open(root.path().join("venvs"), Helpers::default());
        let store = WheelStore::open(root.path().join("store"), Helpers::default());
        Self { root, cache, store }
    }

    fn wheel(&self, name: &str) -> UnpackedWheel {
        let wheel = WheelBuilder::new(&format!("{name}-1.0-py3-none-any.whl"))
            .file(&format!("{name}.py"), "x = 1\n")
            .file(
                &format!("{name}-1.0.data/scripts/{name}-tool"),
                "#!python\nimport sys; print(sys.prefix)\n",
            );
        self.store.unpacked(&wheel.write(self.root.path()), None, &PYTHON).unwrap()
    }

    fn venv(&self, wheels: &[UnpackedWheel]) -> CachedVenv {
        self.cache.venv(plan(wheels)).unwrap()
    }

    /// The environments, without what is temporary, of which there must be nothing.
    fn entries(&self) -> Vec<PathBuf> {
        let venvs = self.root.path().join("venvs");
        assert_eq!(fs_err::read_dir(venvs.join("tmp")).unwrap().count(), 0);
        let entries = fs_err::read_dir(venvs).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| !path.ends_with("tmp") && !path.ends_with("programs")).collect()
    }
}

fn plan(wheels: &[UnpackedWheel]) -> VenvPlan<'_> {
    let visible_at = Path::new("/crosswheel/venv");
    VenvPlan { visible_at, interpreter: &PYTHON, wheels, program: "print(__file__)", overlooks: false }
}

/// As if it had last been used this long ago.
fn age(directory: &Path, age: Duration) {
    let opened = fs_err::File::open(directory).unwrap();
    opened.file().set_modified(SystemTime::now() - age).unwrap();
}

fn inode(path: &Path) -> u64 {
    fs_err::metadata(path).unwrap().ino()
}

#[test]
fn the_same_wheels_share_an_environment_and_others_do_not() {
    let fixture = Fixture::new();
    let [a, b] = ["a", "b"].map(|name| fixture.wheel(name));
    let both = [a.clone(), b.clone()];
    let first = inode(fixture.venv(&both).directory());
    assert_eq!(inode(fixture.venv(&both).directory()), first);
    let other = Interpreter { cflags: "-O1".into(), ..PYTHON.clone() };
    let others = [
        plan(&[]),
        plan(std::slice::from_ref(&a)),
        plan(&[b, a.clone()]),
        VenvPlan { visible_at: Path::new("/elsewhere"), ..plan(&both) },
        VenvPlan { interpreter: &other, ..plan(&both) },
        VenvPlan { program: "pass", ..plan(&both) },
        VenvPlan { overlooks: true, ..plan(&both) },
    ]
    .map(|plan| inode(fixture.cache.venv(plan).unwrap().directory()));
    assert!(!others.contains(&first));
    assert_eq!(fixture.entries().len(), 1 + others.len());
}

#[test]
fn a_cached_environment_works_and_names_the_path_at_which_it_is_seen() {
    let fixture = Fixture::new();
    let venv = fixture.venv(&[fixture.wheel("a")]);
    let python = venv.directory().join("bin/python");
    let output = Command::new(python).args(["-c", "import a, sys; print(sys.prefix)"]).output_in_time();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), venv.directory().to_str().unwrap());
    let program = venv.program().strip_prefix("/crosswheel/venv").unwrap();
    let output = Command::new(venv.directory().join("bin/python"))
        .arg(venv.directory().join(program))
        .output_in_time();
    assert!(String::from_utf8_lossy(&output.stdout).ends_with(".pyc\n"), "{output:?}");
    let script = fs_err::read_to_string(venv.directory().join("bin/a-tool")).unwrap();
    assert!(script.starts_with("#!/crosswheel/venv/bin/python\n"), "{script}");
}

#[test]
fn those_who_need_the_same_environment_at_once_all_get_it() {
    let fixture = Fixture::new();
    let wheels: Vec<_> = ["a", "b", "c"].iter().map(|name| fixture.wheel(name)).collect();
    let inodes: Vec<u64> = scope("builds side by side", |scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| inode(fixture.venv(&wheels).directory()))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{inodes:?}");
    assert_eq!(fixture.entries().len(), 1);
}

#[test]
fn what_nobody_used_for_two_weeks_goes_when_a_new_one_is_made_but_not_while_it_is_used() {
    let fixture = Fixture::new();
    let [used, unused, recent] =
        ["used", "unused", "recent"].map(|name| fixture.venv(&[fixture.wheel(name)]));
    let paths = [&used, &unused, &recent].map(|venv| venv.directory().to_owned());
    drop((unused, recent));
    age(&paths[0], 15 * DAY);
    age(&paths[1], 15 * DAY);
    age(&paths[2], 13 * DAY);
    let new = fixture.venv(&[]);
    assert_eq!(paths.map(|path| path.exists()), [true, false, true]);
    assert!(used.directory().join("bin/python").exists());
    assert_eq!(fixture.entries().len(), 3);
    drop(new);
}

/// Whoever set that time, or the clock of that day, nobody knows how old it is.
#[test]
fn an_environment_dated_into_the_future_does_not_stay_for_ever() {
    let fixture = Fixture::new();
    let [forgotten, used] = ["forgotten", "used"].map(|name| fixture.venv(&[fixture.wheel(name)]));
    let path = forgotten.directory().to_owned();
    drop(forgotten);
    for place in [&path, used.directory()] {
        let opened = fs_err::File::open(place).unwrap();
        opened.file().set_modified(SystemTime::now() + 1000 * DAY).unwrap();
    }
    fixture.venv(&[]);
    assert!(!path.exists());
    assert!(used.directory().join("bin/python").exists());
    fixture.venv(&[fixture.wheel("used")]);
    let modified = fs_err::metadata(used.directory()).unwrap().modified().unwrap();
    assert!(modified < SystemTime::now() + DAY, "a use sets it right");
}

#[test]
fn using_an_environment_keeps_it() {
    let fixture = Fixture::new();
    let wheels = [fixture.wheel("a")];
    let path = fixture.venv(&wheels).directory().to_owned();
    age(&path, 15 * DAY);
    drop(fixture.venv(&wheels));
    fixture.venv(&[]);
    assert!(path.exists());
}

#[test]
fn what_a_crash_left_half_made_is_never_used_and_is_swept() {
    let fixture = Fixture::new();
    let half = fixture.root.path().join("venvs/tmp/staging-half");
    fs_err::create_dir_all(half.join("bin")).unwrap();
    // Of a process that is gone: nobody has it locked.
    fs_err::write(half.with_extension("lock"), "").unwrap();
    fixture.venv(&[]);
    assert_eq!(fixture.entries().len(), 1);
}

#[test]
fn an_environment_in_which_python_cannot_start_is_made_anew() {
    let fixture = Fixture::new();
    let wheels = [fixture.wheel("a")];
    for lost in ["bin/python", "pyvenv.cfg", "program.py"] {
        let lost = fixture.venv(&wheels).directory().join(lost);
        fs_err::remove_file(&lost).unwrap();
        fixture.venv(&wheels);
        assert!(lost.exists());
        fs_err::remove_file(&lost).unwrap();
        fs_err::write(&lost, "").unwrap();
        fixture.venv(&wheels);
        assert_ne!(fs_err::metadata(&lost).unwrap().len(), 0);
        assert_eq!(fixture.entries().len(), 1);
    }
}

#[test]
fn a_compiled_program_that_is_empty_is_not_run() {
    let fixture = Fixture::new();
    let compiled =
        |venv: &CachedVenv| venv.directory().join(venv.program().strip_prefix("/crosswheel/venv").unwrap());
    let venv = fixture.venv(&[]);
    fs_err::write(compiled(&venv), "").unwrap();
    assert!(fixture.venv(&[]).program().ends_with("program.py"));
    // Neither is the one that others are copied from.
    let programs = fixture.root.path().join("venvs/programs");
    let [kept] = <[_; 1]>::try_from(fs_err::read_dir(programs).unwrap().collect::<Vec<_>>()).unwrap();
    fs_err::write(kept.unwrap().path(), "").unwrap();
    let other = fixture.venv(&[fixture.wheel("a")]);
    assert_ne!(fs_err::metadata(compiled(&other)).unwrap().len(), 0);
    assert!(!other.program().ends_with("program.py"));
}

#[test]
fn an_environment_that_lost_a_module_is_removed_when_asked_about() {
    let fixture = Fixture::new();
    let wheels = [fixture.wheel("a")];
    let venv = fixture.venv(&wheels);
    assert_eq!(fixture.cache.discard_if_damaged(&venv, &PYTHON, &wheels), None);
    let (major, minor, _) = PYTHON.version;
    let module = venv.directory().join(format!("lib/python{major}.{minor}/site-packages/a.py"));
    fs_err::remove_file(&module).unwrap();
    assert_eq!(fixture.cache.discard_if_damaged(&venv, &PYTHON, &wheels), Some(module.clone()));
    assert!(!venv.directory().exists());
    assert_eq!(fixture.venv(&wheels).directory(), venv.directory());
    assert!(module.exists());
}

#[test]
fn an_unpacked_wheel_that_lost_a_module_is_unpacked_again() {
    let fixture = Fixture::new();
    let wheel = fixture.wheel("a");
    let module = wheel.directory().join("site/a.py");
    for replacement in [None, Some("")] {
        fs_err::remove_file(&module).unwrap();
        if let Some(text) = replacement {
            fs_err::write(&module, text).unwrap();
        }
        assert_eq!(fixture.store.discard_damaged(std::slice::from_ref(&wheel)), Some(module.clone()));
        let again = fixture.wheel("a");
        assert_eq!(fs_err::read_to_string(&module).unwrap(), "x = 1\n");
        assert_eq!(fixture.store.discard_damaged(&[again]), None);
    }
}
