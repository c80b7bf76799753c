//! What a backend leaves behind, whatever it looks like. `crosswheel wheel` may have no more than 256 files open.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::scene::{Bench, json};
use crate::support::deep_trees::{LEVELS, MAKE_DEEP, SOME_LEVELS, nest, with_few_descriptors};
use crate::support::waiting::InTime as _;

/// In its sources, its home and its temporary directory; `end` comes after that.
fn bench(levels: usize, end: &str) -> Bench {
    let places = "import tempfile\nmake_deep(tempfile.gettempdir(), LEVELS)\nfor place in ['.', os.path.expanduser('~')]: make_deep(place, 2000)";
    let places = places.replace("LEVELS", &levels.to_string());
    Bench::with_body(&format!("{MAKE_DEEP}\n{places}\n{end}"))
}

fn built_by(command: &mut Command) {
    let output = command.output_in_time();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(json(&output)["built"]["file_name"], "demo-1.0-py3-none-any.whl");
}

#[test]
fn the_deepest_trees_of_a_backend_are_gone_after_it() {
    for sandbox in ["required", "off"] {
        let bench = bench(LEVELS, "");
        built_by(&mut with_few_descriptors(bench.command().args(["--sandbox", sandbox])));
        bench.assert_no_workspace();
    }
}

#[test]
fn those_of_a_backend_that_fails_are_gone_as_well() {
    let bench = bench(SOME_LEVELS, "raise SystemExit(3)");
    let output = with_few_descriptors(&bench.command()).output_in_time();
    assert_eq!(output.status.code(), Some(20), "{output:?}");
    assert!(json(&output)["failed"].is_object());
    bench.assert_no_workspace();
}

/// Killed while it worked; nobody but the next one can remove that.
#[test]
fn the_next_build_removes_the_deepest_workspace() {
    let bench = Bench::with_body("");
    let dead = bench.path("cache/work/crosswheel-build-dead");
    fs_err::create_dir_all(&dead).unwrap();
    nest(&dead, LEVELS);
    fs_err::write(bench.path("cache/work/crosswheel-build-dead.lock"), "").unwrap();
    built_by(&mut with_few_descriptors(&bench.command()));
    bench.assert_no_workspace();
}

/// Root may look into what was closed; ordinary users have to open it up.
#[test]
fn an_ordinary_user_gets_rid_of_what_a_backend_has_closed() {
    if !rustix::process::geteuid().is_root() {
        // The tests above were those of an ordinary user.
        return;
    }
    let bench = bench(SOME_LEVELS, "");
    // The build directory may be one that nobody else can enter.
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs_err::copy(env!("CARGO_BIN_EXE_crosswheel"), path("crosswheel")).unwrap();
    fs_err::copy(&bench.sdist, path("demo-1.0.tar.gz")).unwrap();
    for open in [directory.path(), &path("crosswheel")] {
        fs_err::set_permissions(open, PermissionsExt::from_mode(0o777)).unwrap();
    }
    for sandbox in ["auto", "off"] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(path("crosswheel"));
        command.arg("wheel").arg(path("demo-1.0.tar.gz")).arg("--out").arg(path("out"));
        command.args(["--json", "--sandbox", sandbox]).env("CROSSWHEEL_CACHE_DIR", path("cache"));
        command.env("HOME", directory.path()).env("TMPDIR", directory.path()).current_dir("/");
        built_by(&mut with_few_descriptors(&command));
        assert_eq!(entries(&path("cache/work")), 0);
    }
}

/// Somebody's disk, in the place of what a build that was killed has left.
#[test]
fn what_is_mounted_where_something_was_left_is_not_removed() {
    let bench = Bench::with_body("");
    let dead = bench.path("cache/work/crosswheel-build-dead");
    fs_err::create_dir_all(&dead).unwrap();
    fs_err::write(dead.with_extension("lock"), "").unwrap();
    fs_err::create_dir(bench.path("disk")).unwrap();
    fs_err::write(bench.path("disk/precious"), "x").unwrap();
    let build = bench.command();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.arg(r#"mount --bind "$0" "$1" && shift && exec "$@""#).arg(bench.path("disk")).arg(&dead);
    command.arg(build.get_program()).args(build.get_args()).arg("--sandbox=off");
    command.env("CROSSWHEEL_CACHE_DIR", bench.path("cache"));
    built_by(&mut command);
    assert!(bench.path("disk/precious").exists());
}

fn entries(directory: &Path) -> usize {
    fs_err::read_dir(directory).unwrap().count()
}
