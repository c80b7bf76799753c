//! Makes small wheels, sound by default, and the machine code to put into them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crosswheel::digest::Sha256;
use crosswheel::packaging::interpreter::Interpreter;
use crosswheel::packaging::wheel_name::WheelFileName;
use crosswheel::platform::Arch;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::support::waiting::InTime;

/// The interpreter every test uses.
pub static PYTHON: LazyLock<Interpreter> = LazyLock::new(|| {
    let cache = tempfile::tempdir().unwrap();
    Interpreter::find("3", cache.path()).unwrap()
});

/// `cp311-cp311-linux_x86_64` for [`PYTHON`].
pub fn native_tag() -> String {
    let (major, minor, _) = PYTHON.version;
    let python = format!("cp{major}{minor}");
    format!("{python}-{python}{}-linux_{}", PYTHON.abi_flags, Arch::host().machine())
}

pub struct WheelBuilder {
    file_name: String,
    dist_info: String,
    wheel: String,
    metadata: String,
    members: Vec<(String, Vec<u8>, u32)>,
    symlinks: Vec<(String, String)>,
    compression: CompressionMethod,
    edit_record: Box<dyn Fn(String) -> String>,
    patches: Vec<(String, String)>,
}

impl WheelBuilder {
    /// A sound wheel of this name with nothing but metadata.
    pub fn new(file_name: &str) -> Self {
        let parsed: WheelFileName = file_name.parse().unwrap();
        let pure = parsed.tags().iter().all(|tag| tag.platform() == "any");
        let mut wheel = format!("Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: {pure}\n");
        for tag in parsed.tags() {
            wheel.push_str(&format!("Tag: {tag}\n"));
        }
        if let Some(build) = &parsed.build {
            wheel.push_str(&format!("Build: {build}\n"));
        }
        let mut parts = file_name.split('-');
        let (name, version) = (parts.next().unwrap(), parts.next().unwrap());
        Self {
            file_name: file_name.to_owned(),
            dist_info: format!("{name}-{version}.dist-info"),
            wheel,
            metadata: format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
            members: Vec::new(),
            symlinks: Vec::new(),
            compression: CompressionMethod::Deflated,
            edit_record: Box::new(|record| record),
            patches: Vec::new(),
        }
    }

    pub fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.members.push((path.to_owned(), content.as_ref().to_vec(), 0o644));
        self
    }

    pub fn executable(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.members.push((path.to_owned(), content.as_ref().to_vec(), 0o755));
        self
    }

    /// A file in the `.dist-info` directory.
    pub fn info(self, name: &str, content: &str) -> Self {
        let path = format!("{}/{name}", self.dist_info);
        self.file(&path, content)
    }

    pub fn symlink(mut self, path: &str, target: &str) -> Self {
        self.symlinks.push((path.to_owned(), target.to_owned()));
        self
    }

    pub fn requires(mut self, requirement: &str) -> Self {
        self.metadata.push_str(&format!("Requires-Dist: {requirement}\n"));
        self
    }

    /// Replaces text of METADATA.
    pub fn metadata(mut self, from: &str, to: &str) -> Self {
        assert!(self.metadata.contains(from));
        self.metadata = self.metadata.replace(from, to);
        self
    }

    /// Replaces text of WHEEL.
    pub fn wheel(mut self, from: &str, to: &str) -> Self {
        assert!(self.wheel.contains(from));
        self.wheel = self.wheel.replace(from, to);
        self
    }

    pub fn dist_info(mut self, name: &str) -> Self {
        self.dist_info = name.to_owned();
        self
    }

    pub fn compression(mut self, method: CompressionMethod) -> Self {
        self.compression = method;
        self
    }

    pub fn record(mut self, edit: impl Fn(String) -> String + 'static) -> Self {
        self.edit_record = Box::new(edit);
        self
    }

    /// Replaces bytes of the finished file, for what no library writes.
    pub fn patch(mut self, from: &str, to: &str) -> Self {
        assert_eq!(from.len(), to.len());
        self.patches.push((from.to_owned(), to.to_owned()));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut members = self.members.clone();
        members.push((format!("{}/METADATA", self.dist_info), self.metadata.clone().into(), 0o644));
        members.push((format!("{}/WHEEL", self.dist_info), self.wheel.clone().into(), 0o644));
        let mut record = String::new();
        for (path, content, _) in &members {
            let hash = URL_SAFE_NO_PAD.encode(Sha256::of(content).as_bytes());
            let path = if path.contains(',') { &format!("\"{path}\"") } else { path };
            record.push_str(&format!("{path},sha256={hash},{}\n", content.len()));
        }
        record.push_str(&format!("{}/RECORD,,\n", self.dist_info));
        members.push((format!("{}/RECORD", self.dist_info), (self.edit_record)(record).into(), 0o644));

        let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (path, content, mode) in &members {
            let options =
                SimpleFileOptions::default().compression_method(self.compression).unix_permissions(*mode);
            zip.start_file(path.as_str(), options).unwrap();
            zip.write_all(content).unwrap();
        }
        for (path, target) in &self.symlinks {
            zip.add_symlink(path.as_str(), target.as_str(), SimpleFileOptions::default()).unwrap();
        }
        let mut bytes = zip.finish().unwrap().into_inner();
        for (from, to) in &self.patches {
            let places: Vec<usize> = (0..bytes.len() - from.len())
                .filter(|start| bytes[*start..].starts_with(from.as_bytes()))
                .collect();
            assert!(!places.is_empty());
            for start in places {
                bytes[start..start + to.len()].copy_from_slice(to.as_bytes());
            }
        }
        bytes
    }

    pub fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join(&self.file_name);
        fs_err::write(&path, self.bytes()).unwrap();
        path
    }
}

/// Compiles C into a shared library for this machine.
pub fn shared_library(source: &str, options: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let (input, output) = (directory.path().join("x.c"), directory.path().join("x.so"));
    fs_err::write(&input, source).unwrap();
    let status = Command::new("gcc")
        .args(["-shared", "-fPIC", "-O0", "-fno-builtin", "-o"])
        .args([&output, &input])
        .args(options)
        .status_in_time();
    assert!(status.success());
    fs_err::read(output).unwrap()
}

/// A library that needs `memcpy@GLIBC_2.14` on x86-64, `memcpy@GLIBC_2.17` on arm64.
pub fn library_with_memcpy() -> Vec<u8> {
    let source = "void *memcpy(void *, const void *, unsigned long);\n\
        void *f(void *a, void *b) { return memcpy(a, b, 8); }\n";
    shared_library(source, &[])
}

/// The header of an object file for another machine than this.
pub fn foreign_object() -> Vec<u8> {
    object_header(Arch::host().other().elf_machine())
}

/// The header of an object file for the machine with this number.
pub fn object_header(machine: u16) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[16] = 1; // ET_REL
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes
}
