//! sdists with a backend of their own, and wheels, as small as they come.

use std::io::Write;

/// The backend every sdist here brings along: one module, and what `SETTINGS` says.
const BACKEND: &str = r#"
import base64, hashlib, os, sys, time, zipfile
def get_requires_for_build_wheel(config_settings=None):
    return DYNAMIC
def build_sdist(directory, config_settings=None):
    import tarfile
    root = "%s-%s" % (NAME.replace("-", "_"), VERSION)
    with open("PKG-INFO", "w") as info:
        info.write("Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (NAME, VERSION))
    with tarfile.open(os.path.join(directory, root + ".tar.gz"), "w:gz") as archive:
        for name in ("PKG-INFO", "pyproject.toml", "inner.py"):
            archive.add(name, root + "/" + name)
    return root + ".tar.gz"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    for name in IMPORTS:
        __import__(name)
    # Of a single name the sandbox may remember that it was not there.
    there = lambda: os.path.basename(WAITS_FOR) in os.listdir(os.path.dirname(WAITS_FOR))
    if WAITS_FOR and not there():
        print("backend is waiting", flush=True)
        while not there():
            time.sleep(0.01)
    if SLEEPS:
        print("backend is sleeping", flush=True)
        time.sleep(1000)
    exec(RUNS, {})
    module = NAME.replace("-", "_")
    info = "%s-%s.dist-info" % (module, VERSION)
    files = {
        module + ".py": MACHINE,
        info + "/METADATA": "Metadata-Version: 2.1\nName: %s\nVersion: %s\n%s"
            % (NAME, VERSION, "".join("Requires-Dist: %s\n" % r for r in REQUIRES_DIST)),
        info + "/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += "%s,sha256=%s,%d\n" % (name, digest, len(text.encode()))
    files[info + "/RECORD"] = record + info + "/RECORD,,\n"
    wheel = "%s-%s-py3-none-any.whl" % (module, VERSION)
    with zipfile.ZipFile(os.path.join(directory, wheel), "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return wheel
"#;

/// An sdist to be.
#[derive(Default)]
pub struct Project<'a> {
    pub name: &'a str,
    pub version: &'a str,
    /// `build-system.requires`.
    pub requires: &'a [&'a str],
    /// What `get_requires_for_build_wheel` returns.
    pub dynamic: &'a [&'a str],
    /// `Requires-Dist` of the wheel.
    pub requires_dist: &'a [&'a str],
    /// Modules that must be there for the build.
    pub imports: &'a [&'a str],
    /// Whether the build does not end.
    pub sleeps: bool,
    /// A file of the host that must be there before the build ends, if not empty.
    pub waits_for: &'a str,
    /// Whether it has a source file in C, of which its backend makes nothing.
    pub native_source: bool,
    /// Python that runs before the wheel is written.
    pub runs: &'a str,
    /// Whether its one module is made for the machine that builds it, of which the wheel's name says nothing.
    pub looks_at_machine: bool,
}

impl Project<'_> {
    pub fn file_name(&self) -> String {
        format!("{}-{}.tar.gz", self.name.replace('-', "_"), self.version)
    }

    pub fn wheel_name(&self) -> String {
        format!("{}-{}-py3-none-any.whl", self.name.replace('-', "_"), self.version)
    }

    /// Its pyproject.toml, and its backend as `inner.py`.
    pub fn sources(&self) -> [(&'static str, String); 2] {
        let list = |texts: &[&str]| format!("{texts:?}");
        let backend = format!(
            "NAME = {:?}\nVERSION = {:?}\nDYNAMIC = {}\nREQUIRES_DIST = {}\nIMPORTS = {}\nSLEEPS = {}\nWAITS_FOR = {:?}\nimport os\nMACHINE = {}\nRUNS = {:?}\n{BACKEND}",
            self.name,
            self.version,
            list(self.dynamic),
            list(self.requires_dist),
            list(self.imports),
            if self.sleeps { "True" } else { "False" },
            self.waits_for,
            if self.looks_at_machine { "'# %s' % os.uname().machine" } else { "''" },
            self.runs,
        );
        let pyproject = format!(
            "[build-system]\nrequires = {}\nbuild-backend = \"inner\"\nbackend-path = [\".\"]\n",
            list(self.requires)
        );
        [("pyproject.toml", pyproject), ("inner.py", backend)]
    }

    /// The sdist's bytes.
    pub fn sdist(&self) -> Vec<u8> {
        let metadata = format!("Metadata-Version: 2.1\nName: {}\nVersion: {}\n", self.name, self.version);
        let root = self.file_name().trim_end_matches(".tar.gz").to_owned();
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), Default::default()));
        let [pyproject, backend] = self.sources();
        let mut files = vec![("PKG-INFO", metadata), pyproject, backend];
        if self.native_source {
            files.push(("extension.c", "int none;\n".to_owned()));
        }
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(1_000_000_000);
            archive.append_data(&mut header, format!("{root}/{name}"), text.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }
}

/// A pure wheel with one empty module.
pub fn wheel(name: &str, version: &str) -> Vec<u8> {
    wheel_of(name, version, "")
}

/// A pure wheel with one module, which has this text.
pub fn wheel_of(name: &str, version: &str, text: &str) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let info = format!("{name}-{version}.dist-info");
    let files = [
        (format!("{name}.py"), text.to_owned()),
        (format!("{info}/METADATA"), format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")),
        (
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned(),
        ),
    ];
    let mut record = String::new();
    for (path, text) in &files {
        use base64::Engine;
        use sha2::Digest;
        let digest = sha2::Sha256::digest(text.as_bytes());
        let digest = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest);
        record += &format!("{path},sha256={digest},{}\n", text.len());
    }
    record += &format!("{info}/RECORD,,\n");
    for (path, text) in files.iter().chain([&(format!("{info}/RECORD"), record)]) {
        archive.start_file(path.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}
