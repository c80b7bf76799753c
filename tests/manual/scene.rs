//! A directory with all that the manual talks of, and a shell in it.

use std::cell::OnceCell;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitStatus, Output, Stdio};

use crosswheel::cas::{DiskStore, StoreSettings};
use crosswheel::platform::{Arch, Target};
use rustix::process::Signal;

use crate::markdown::{Command, Page};
use crate::run::{PYTHON, Place};
use crate::support::packages::{Project, wheel};
use crate::support::server::Server;
use crate::support::waiting::InTime;

/// The sdist of somebody's own that the manual builds.
pub const LIB: Project = Project {
    name: "lib",
    version: "1.0",
    requires: &["helper"],
    dynamic: &[],
    requires_dist: &[],
    imports: &["helper"],
    sleeps: false,
    waits_for: "",
    native_source: false,
    looks_at_machine: false,
    runs: "",
};

/// What stands for packages of the index that the manual names.
const STAND_INS: [(&str, &str); 2] = [("cowsay", "6.0"), ("pyyaml", "6.0.1")];

const PATCH: &str = "--- a/inner.py\n+++ b/inner.py\n@@ -1,1 +1,2 @@\n+# patched\n NAME = \"lib\"\n";

/// A project with a lock, the files of which are in `index`; the same as a lock of the standard, and as requirements.
fn write_locks(place: &Place) {
    let sdist = fs_err::read(place.path("index/cowsay-6.0.tar.gz")).unwrap();
    let sha256 = crosswheel::digest::Sha256::of(&sdist);
    let package = |name: &str, version: &str, files: &str| {
        format!(
            "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = {{ registry = \"../index\" }}\n{files}\n\n"
        )
    };
    let helper = package("helper", "1.0", "wheels = [{ path = \"helper-1.0-py3-none-any.whl\" }]");
    let cowsay = format!("sdist = {{ path = \"cowsay-6.0.tar.gz\", hash = \"sha256:{sha256}\" }}");
    let cowsay = package("cowsay", "6.0", &cowsay);
    let cython = package("cython", "0.29.36", "wheels = [{ path = \"cython-0.29.36-py3-none-any.whl\" }]");
    let lock = format!(
        "version = 1\nrevision = 3\nrequires-python = \">=3.8\"\n\n{cowsay}{cython}{helper}\
         [[package]]\nname = \"project\"\nversion = \"1.0\"\nsource = {{ virtual = \".\" }}\n\
         dependencies = [{{ name = \"cowsay\" }}]\n\n[package.optional-dependencies]\n\
         fast = [{{ name = \"cython\" }}]\n\n[package.dev-dependencies]\ndocs = [{{ name = \"helper\" }}]\n"
    );
    place.write("project/uv.lock", lock);
    place.write(
        "project/pyproject.toml",
        "[project]\nname = \"project\"\nversion = \"1.0\"\nrequires-python = \">=3.8\"\n\n\
         [dependency-groups]\ndocs = [\"helper\"]\n",
    );
    place.write(
        "pylock.toml",
        format!(
            "lock-version = \"1.0\"\ncreated-by = \"uv\"\n\n[[packages]]\nname = \"cowsay\"\nversion = \"6.0\"\n\
             sdist = {{ path = \"index/cowsay-6.0.tar.gz\", hashes = {{ sha256 = \"{sha256}\" }} }}\n"
        ),
    );
}

pub struct Scene {
    place: Place,
    server: OnceCell<Server>,
}

/// What a command has said.
pub struct Said {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Scene {
    pub fn new() -> Self {
        let place = Place::new();
        place.write(&LIB.file_name(), LIB.sdist());
        for (name, text) in LIB.sources() {
            place.write(&format!("lib/{name}"), &text);
            place.write(&format!("repository/python/{name}"), &text);
        }
        place.write("answers/answers.json", r#"{"repository": "none"}"#);
        place.write("crates/config.toml", "");
        place.write("wheelhouse/helper-1.0-py3-none-any.whl", wheel("helper", "1.0"));
        place.write("index/helper-1.0-py3-none-any.whl", wheel("helper", "1.0"));
        place.write("index/cython-0.29.36-py3-none-any.whl", wheel("cython", "0.29.36"));
        for (name, version) in STAND_INS {
            let project = Project { name, version, requires: &[], imports: &[], ..LIB };
            place.write(&format!("index/{}", project.file_name()), project.sdist());
        }
        write_locks(&place);
        place.write("requirements.txt", "cowsay==6.0\npyyaml>=6 ; python_version >= '3.8'\n");
        place.write("constraints.txt", "cython==0.29.36\n");
        place.write("fix.patch", PATCH);
        place.write("tools/some-tool", "#!/bin/sh\n");
        place.write("crosswheel.toml", file_of("docs/bazel.md"));
        place.write("crosswheel-serve.toml", file_of("docs/settings.md"));
        symlink(env!("CARGO_BIN_EXE_crosswheel"), place.path("bin/crosswheel")).unwrap();
        // As a server that was here leaves it.
        let directory = place.path("home/.cache/crosswheel/store");
        DiskStore::open(&StoreSettings { directory, ..StoreSettings::default() }).unwrap();
        Self { place, server: OnceCell::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    /// A worker elsewhere. Started when it is first asked for.
    pub fn server(&self) -> &Server {
        self.server.get_or_init(|| {
            Server::start(
                &self.place.path("server"),
                &["--pool", "native,slots=2,Pool=wheels", "--log-level", "warn"],
            )
        })
    }

    /// The command as it is run here: on loopback, with this machine's Python, in this directory.
    fn adapted(&self, command: &Command) -> String {
        let python = Path::new(&*PYTHON);
        let mut line = command.line().trim_end_matches(" &").to_owned();
        let minor = python_minor();
        let host = Target { arch: Arch::host() }.to_string();
        for (there, here) in [
            ("cargo run --release -- ", "crosswheel ".to_owned()),
            (" --python 3.11", format!(" --python {minor}")),
            (" --expect-python 3.11", format!(" --expect-python {minor}")),
            (" --target linux_amd64", format!(" --target {host}")),
            (" --target linux/amd64", format!(" --target {host}")),
            (
                " --target manylinux_2_28_x86_64",
                format!(" --target manylinux_2_28_{}", Arch::host().machine()),
            ),
            (" /usr/bin/python3", format!(" {}", python.display())),
            (" /var/", format!(" {}/var/", self.path("").display())),
            (" 0.0.0.0:8980", " 127.0.0.1:0".to_owned()),
        ] {
            line = line.replace(there, &here);
        }
        match line.contains("buildbox:8980") {
            true => line.replace("buildbox:8980", self.server().address()),
            false => line,
        }
    }

    fn shell(&self, line: &str) -> Process {
        let python = Path::new(&*PYTHON);
        let path = format!("{}:{}:/usr/bin:/bin", self.place.text("bin"), python.parent().unwrap().display());
        let mut shell = Process::new("bash");
        shell
            .args(["-euo", "pipefail", "-c", line])
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.path("home"))
            .env("PIP_NO_INDEX", "1")
            .env("PIP_FIND_LINKS", self.path("index"))
            .env("CROSSWHEEL_REMOTE_PYTHON", python)
            .env("CROSSWHEEL_LISTEN", "127.0.0.1:0")
            .env("CROSSWHEEL_HTTP_LISTEN", "127.0.0.1:0")
            .current_dir(self.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        shell
    }

    /// Runs the command to its end.
    pub fn run(&self, command: &Command) -> Said {
        self.finish(&self.adapted(command))
    }

    /// Has the server say what its settings are.
    pub fn print_config(&self, command: &Command) -> Said {
        self.finish(&format!("{} --print-config", self.adapted(command)))
    }

    /// Starts the server, waits until it serves, and asks it to end.
    pub fn serve(&self, command: &Command) -> Said {
        let line = self.adapted(command).replacen("crosswheel serve", "exec crosswheel serve", 1);
        let mut server = self.shell(&line).stderr(Stdio::inherit()).start();
        let mut stdout = server.stdout();
        let ready = if line.contains("--json") { "\"ready\":true" } else { "--remote_executor=" };
        let mut said = String::new();
        for line in stdout.by_ref() {
            said += &format!("{line}\n");
            if line.contains(ready) {
                break;
            }
        }
        server.signal(Signal::TERM);
        said += &stdout.rest();
        Said { status: server.exit(), stdout: said, stderr: String::new() }
    }

    /// Runs a line of a shell to its end.
    pub fn finish(&self, line: &str) -> Said {
        let Output { status, stdout, stderr } = self.shell(line).output_in_time();
        let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
        Said { status, stdout, stderr }
    }
}

/// The file that a page shows.
fn file_of(page: &str) -> String {
    let blocks = Page::read(page).blocks("toml");
    blocks.first().unwrap_or_else(|| panic!("{page} shows no file")).lines.join("\n")
}

/// `3.11`, of the Python of this machine.
fn python_minor() -> String {
    let script = "import sys; print('%d.%d' % sys.version_info[:2])";
    let output = Process::new(&*PYTHON).args(["-c", script]).output_in_time();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
