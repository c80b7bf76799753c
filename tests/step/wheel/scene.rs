//! An sdist that brings its own backend, and what builds it. Knows nothing of what is tested.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::waiting::InTime;

/// A well-behaved backend. `BODY` runs in `build_wheel` before the wheel is written; what it leaves
/// in `data` becomes a file of the wheel, and so do the bytes in `native`.
pub const BACKEND: &str = r#"
import base64, hashlib, json, os, sys, tempfile, zipfile

REQUIRES = []

def get_requires_for_build_wheel(config_settings=None):
    return REQUIRES

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    data = ""
    name, version, tag = "demo", "1.0", "py3-none-any"
    native = None
BODY
    files = {
        "demo.py": data,
        f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{name}-{version}.dist-info/WHEEL": f"Wheel-Version: 1.0\nGenerator: demo\nRoot-Is-Purelib: {str(native is None).lower()}\nTag: {tag}\n",
    }
    files = {path: text.encode() for path, text in files.items()}
    if native is not None:
        files["demo_native.so"] = native
    record = f"{name}-{version}.dist-info/RECORD"
    lines = ""
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines += f"{path},sha256={digest},{len(content)}\n"
    files[record] = (lines + f"{record},,\n").encode()
    file_name = f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, file_name), "w") as wheel:
        for path, content in files.items():
            wheel.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), content)
    return file_name
"#;

/// A directory of one test, on the file system of the build, and an sdist in it.
pub struct Bench {
    pub directory: tempfile::TempDir,
    pub sdist: PathBuf,
}

impl Bench {
    /// An sdist whose backend runs `body` (unindented Python) in `build_wheel`.
    pub fn with_body(body: &str) -> Self {
        let indented: String = body.lines().map(|line| format!("    {line}\n")).collect();
        Self::with_backend(&BACKEND.replace("BODY", &indented))
    }

    pub fn with_backend(backend: &str) -> Self {
        Self::with_files(&[
            ("pyproject.toml", PYPROJECT),
            ("PKG-INFO", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Python: >=3.8\n\n"),
            ("backend.py", backend),
        ])
    }

    pub fn with_files(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let sdist = directory.path().join("demo-1.0.tar.gz");
        let file = fs_err::File::create(&sdist).unwrap();
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
        for (name, content) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("demo-1.0/{name}"), content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        Self { directory, sdist }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
        command.arg("wheel").arg(&self.sdist).arg("--out").arg(self.path("out")).arg("--json");
        command.env("CROSSWHEEL_CACHE_DIR", self.path("cache")).stdin(Stdio::null());
        command
    }

    pub fn build(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output_in_time()
    }

    /// The report of a build that must succeed.
    pub fn report(&self, arguments: &[&str]) -> Value {
        let output = self.build(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        json(&output)["built"].clone()
    }

    /// The failure of a build that must fail with `code`.
    pub fn failure(&self, code: i32, arguments: &[&str]) -> Value {
        let output = self.build(arguments);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(!self.path("out").exists(), "a failed build left something in --out");
        self.assert_no_workspace();
        json(&output)["failed"].clone()
    }

    pub fn wheel_member(&self, report: &Value, name: &str) -> String {
        let file = fs_err::File::open(self.path("out").join(report["file_name"].as_str().unwrap())).unwrap();
        let mut text = String::new();
        zip::ZipArchive::new(file).unwrap().by_name(name).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    pub fn assert_no_workspace(&self) {
        let left: Vec<_> =
            fs_err::read_dir(self.path("cache/work")).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

pub const PYPROJECT: &str =
    "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";

pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}
