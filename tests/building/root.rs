//! A root file system of this machine's platform with a Python in it, as small as it can be.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::run::PYTHON;
use crate::support::waiting::InTime;

/// Copies the Python that runs it, a shell, and the libraries of both.
const SCRIPT: &str = r#"
import glob, os, shutil, subprocess, sys, sysconfig
root, (major, minor) = sys.argv[1], sys.version_info[:2]
def put(path):
    place = root + path
    if not os.path.exists(place):
        os.makedirs(os.path.dirname(place), exist_ok=True)
        shutil.copy(os.path.realpath(path), place)
        for word in subprocess.run(["ldd", path], capture_output=True, text=True).stdout.split():
            if word.startswith("/"):
                put(word)
executable, library = os.path.realpath(sys.executable), sysconfig.get_path("stdlib")
put(executable)
put("/bin/sh")
for module in glob.glob(library + "/lib-dynload/*.so"):
    put(module)
ignored = shutil.ignore_patterns("test*", "idlelib", "lib2to3", "ensurepip", "*-packages", "__pycache__", "config-*")
shutil.copytree(library, root + library, ignore=ignored, dirs_exist_ok=True)
os.makedirs(root + "/usr/local/bin", exist_ok=True)
for name in ("python%d" % major, "python%d.%d" % (major, minor)):
    if not os.path.lexists(root + "/usr/local/bin/" + name):
        os.symlink(executable, root + "/usr/local/bin/" + name)
"#;

/// The root file system, and what removes it.
pub fn root_with_python() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let root = fs_err::canonicalize(directory.path()).unwrap();
    let output = Command::new(&*PYTHON).args(["-I", "-c", SCRIPT]).arg(&root).output_in_time();
    assert!(output.status.success(), "{output:?}");
    (directory, root)
}
