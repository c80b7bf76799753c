//! Wheels built in a real root file system of another architecture, through a server with an emulated pool. Builds
//! need no network.

use std::io::Read;
use std::path::Path;

use crosswheel::contract::{CONTRACT, CONTRACT_VARIABLE};
use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::reapi::Tree;
use prost::Message;
use serde_json::Value;

use crate::support::arm64_root::root;
use crate::support::client::{Client, command, end_within};
use crate::support::server::Server;
use crate::support::waiting::LONG_DEADLINE;

/// Builds `demo`: pure, or with an extension module that is compiled by whatever build systems would take, and tried.
const BACKEND: &str = r#"
import base64, hashlib, os, shlex, subprocess, sys, sysconfig, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    settings = config_settings or {}
    files = {"demo.py": b"x = 1\n"}
    tag, pure = "py3-none-any", "true"
    native = settings.get("native", "no")
    if native != "no":
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        variable = {"c": "CC", "c++": "CXX"}[native]
        compiler = shlex.split(os.environ.get(variable) or sysconfig.get_config_var(variable))
        output = "_demo" + suffix
        include = "-I" + sysconfig.get_paths()["include"]
        subprocess.run([*compiler, "-shared", "-fPIC", "-O1", include, "demo." + native, "-o", output], check=True)
        sys.path.insert(0, ".")
        import _demo
        assert _demo.machine() == os.uname().machine == "aarch64", _demo.machine()
        with open(output, "rb") as file:
            files[output] = file.read()
        tag, pure = "cp%d%d-cp%d%d-linux_aarch64" % (2 * sys.version_info[:2]), "false"
    name = f"demo-1.0-{tag}.whl"
    info = "demo-1.0.dist-info/"
    files[info + "METADATA"] = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
    files[info + "WHEEL"] = f"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: {pure}\nTag: {tag}\n".encode()
    digest = lambda data: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    record = "".join(f"{name},sha256={digest(data)},{len(data)}\n" for name, data in files.items())
    files[info + "RECORD"] = (record + info + "RECORD,,\n").encode()
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        for file, data in files.items():
            wheel.writestr(file, data)
    return name
"#;

const EXTENSION: &str = r#"
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <sys/utsname.h>
static PyObject *machine(PyObject *self, PyObject *none) {
    struct utsname name;
    if (uname(&name)) return PyErr_SetFromErrno(PyExc_OSError);
#ifdef __aarch64__
    return PyUnicode_FromString(name.machine);
#else
    return PyUnicode_FromString("compiled for another machine");
#endif
}
static PyMethodDef methods[] = {{"machine", machine, METH_NOARGS, 0}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_demo", 0, -1, methods};
PyMODINIT_FUNC PyInit__demo(void) { return PyModule_Create(&module); }
"#;

/// Cannot be imported where libstdc++ is older than the headers.
const CXX_EXTENSION: &str = r#"
#include <iostream>
#include <string>
#include "demo.c"
static struct Loaded {
    Loaded() { std::cout << std::string(1, 'x') << std::stoi("1") << std::endl; }
} loaded;
"#;

fn sdist() -> Vec<u8> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(encoder);
    let project = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";
    for (name, text) in [
        ("PKG-INFO", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"),
        ("pyproject.toml", project),
        ("backend.py", BACKEND),
        ("demo.c", EXTENSION),
        ("demo.c++", CXX_EXTENSION),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, format!("demo-1.0/{name}"), text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

/// A built wheel and what the step said of it.
struct Built {
    wheel: (String, Vec<u8>),
    report: Value,
    message: String,
    worker: String,
}

/// `native` is the language of the extension module, or `no`.
async fn build(server: &Server, native: &str) -> Built {
    let client = Client::of(server).await;
    let setting = format!("--config-setting=native={native}");
    let arguments = [
        "crosswheel",
        "wheel",
        "demo-1.0.tar.gz",
        "--out=out",
        "--report=out/report.json",
        "--python=3",
        "--sandbox=required",
        "--quiet",
        &setting,
    ];
    let contract = CONTRACT.to_string();
    let environment = [(CONTRACT_VARIABLE, contract.as_str()), ("PATH", "/usr/bin:/bin")];
    let command = command(&arguments, &environment, "out");
    let action = client.action_of(command, "demo-1.0.tar.gz", &sdist(), &[("Arch", "arm64")]).await;
    let response = end_within(LONG_DEADLINE, client.start(&action).await.unwrap()).await;
    assert_eq!(response.status.unwrap_or_default().code, 0, "{}", response.message);
    let result = response.result.unwrap();
    let errors = String::from_utf8_lossy(&result.stderr_raw);
    assert_eq!(result.exit_code, 0, "{errors} {}", String::from_utf8_lossy(&result.stdout_raw));
    let tree = client.read(result.output_directories[0].tree_digest.as_ref().unwrap()).await;
    let (mut wheel, mut report) = (None, Value::Null);
    for file in Tree::decode(&*tree).unwrap().root.unwrap().files {
        let bytes = client.read(file.digest.as_ref().unwrap()).await;
        let digest = Digest::from_field(DigestFunction::Sha256, file.digest.as_ref()).unwrap();
        assert_eq!(DigestFunction::Sha256.digest(&bytes), digest);
        match file.name.as_str() {
            "report.json" => report = serde_json::from_slice(&bytes).unwrap(),
            _ => wheel = Some((file.name, bytes)),
        }
    }
    Built {
        wheel: wheel.expect("a wheel"),
        report: report["built"].clone(),
        message: response.message,
        worker: result.execution_metadata.unwrap().worker,
    }
}

fn server(directory: &Path, cross_cc: &str) -> Server {
    let pool = format!("arm64={},slots=2,cross-cc={cross_cc}", root().display());
    Server::start(directory, &["--pool", "native", "--pool", &pool])
}

fn check(built: &Built) {
    assert_eq!(built.worker.split('/').next(), Some("arm64"));
    // It had the shared cache, and the nested sandbox all it can have.
    assert_eq!(built.message, "");
    assert_eq!(built.report["isolation"]["sandbox"], "namespaces", "{}", built.report);
    assert_eq!(built.report["emulated"], true, "{}", built.report);
}

/// `e_machine` of the extension module.
fn machine(wheel: &[u8]) -> u16 {
    let mut wheel = zip::ZipArchive::new(std::io::Cursor::new(wheel)).unwrap();
    let mut module = Vec::new();
    for at in 0..wheel.len() {
        let mut file = wheel.by_index(at).unwrap();
        if file.name().unwrap().ends_with(".so") {
            file.read_to_end(&mut module).unwrap();
        }
    }
    u16::from_le_bytes([module[18], module[19]])
}

const AARCH64: u16 = 183;

#[tokio::test]
async fn wheels_are_built_by_emulated_python_and_an_emulated_compiler() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path(), "off");
    let pure = build(&server, "no").await;
    check(&pure);
    assert_eq!(pure.wheel.0, "demo-1.0-py3-none-any.whl");
    for language in ["c", "c++"] {
        let native = build(&server, language).await;
        check(&native);
        assert!(native.wheel.0.ends_with("-linux_aarch64.whl"), "{}", native.wheel.0);
        assert_eq!(machine(&native.wheel.1), AARCH64);
        assert_eq!(native.report["compiler"]["kind"], "emulated", "{}", native.report);
    }
}

#[tokio::test]
async fn a_cross_compiler_makes_the_same_kind_of_wheel_natively() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path(), "on");
    for language in ["c", "c++"] {
        let native = build(&server, language).await;
        check(&native);
        assert!(native.wheel.0.ends_with("-linux_aarch64.whl"), "{}", native.wheel.0);
        assert_eq!(machine(&native.wheel.1), AARCH64);
        assert_eq!(native.report["compiler"]["kind"], "cross", "{}", native.report);
    }
}
