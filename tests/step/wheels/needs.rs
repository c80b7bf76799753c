//! What wheels need of the machine they are installed on: read from real machine code.

use std::path::Path;

use crosswheel::packaging::wheel_archive::WheelArchiveError;
use crosswheel::packaging::wheel_requirements::{WheelRequirements, wheel_requirements};
use crosswheel::patience::Patience;
use crosswheel::platform::Arch;
use proptest::prelude::*;

use super::builder::{WheelBuilder, foreign_object, library_with_memcpy, native_tag, shared_library};

fn needs_at(path: &Path) -> Result<WheelRequirements, WheelArchiveError> {
    wheel_requirements(path, Arch::host(), Patience::endless())
}

fn needs(wheel: &WheelBuilder) -> WheelRequirements {
    let directory = tempfile::tempdir().unwrap();
    needs_at(&wheel.write(directory.path())).unwrap()
}

fn native() -> WheelBuilder {
    WheelBuilder::new(&format!("demo-1.0-{}.whl", native_tag()))
}

/// A library that names others, which need not be there.
fn naming(soname: &str, libraries: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let mut options = vec![format!("-Wl,-soname,{soname}"), "-Wl,--no-as-needed".to_owned()];
    for name in libraries {
        let stub = directory.path().join(name);
        fs_err::write(&stub, shared_library("int stub;\n", &[&format!("-Wl,-soname,{name}")])).unwrap();
        options.push(stub.to_str().unwrap().to_owned());
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    shared_library("int nothing;\n", &options)
}

#[test]
fn libraries_of_others_are_told_from_those_of_the_wheel_and_of_glibc() {
    let wheel = native()
        .file("demo.so", naming("demo.so", &["libz.so.1", "libown-1234.so.2", "libinner.so.1"]))
        .file("demo.libs/libown-1234.so.2", naming("libown-1234.so.2", &["libstdc++.so.6", "libm.so.6"]))
        .file("demo/renamed.so", naming("libinner.so.1", &[]));
    let found = needs(&wheel);
    assert_eq!(found.foreign_libraries, ["libstdc++.so.6", "libz.so.1"]);
    assert!(found.unread.is_empty());
}

#[test]
fn the_newest_glibc_of_all_files_is_what_the_wheel_needs() {
    let wheel = native().file("a.so", naming("a.so", &[])).file("b.so", library_with_memcpy());
    let expected = if Arch::host() == Arch::Amd64 { "2.14" } else { "2.17" };
    assert_eq!(needs(&wheel).glibc_floor, expected.parse().ok());
    let pure = WheelBuilder::new("demo-1.0-py3-none-any.whl").file("demo.py", "");
    let project = Some(("demo".parse().unwrap(), "1.0".parse().unwrap()));
    assert_eq!(needs(&pure), WheelRequirements { project, ..WheelRequirements::default() });
}

#[test]
fn code_of_another_machine_or_that_is_broken_is_named_and_no_error() {
    let mut broken = library_with_memcpy();
    broken.truncate(100);
    let musl = naming("musl.so", &["libc.musl-x86_64.so.1"]);
    let wheel = native()
        .file("broken.so", broken)
        .file("other.so", foreign_object())
        .file("musl.so", musl)
        .file("short.so", "\x7fELF")
        .file("z.so", naming("z.so", &["libz.so.1"]));
    let found = needs(&wheel);
    assert_eq!(found.unread, ["broken.so", "other.so", "short.so"]);
    assert_eq!(found.foreign_libraries, ["libc.musl-x86_64.so.1", "libz.so.1"]);
}

#[test]
fn what_is_no_wheel_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("demo-1.0-py3-none-any.whl");
    fs_err::write(&path, "no zip").unwrap();
    assert!(matches!(needs_at(&path), Err(WheelArchiveError::Zip { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The names of libraries lie behind the headers, within the first pages.
    #[test]
    fn damaged_code_is_read_or_named_and_never_a_panic(
        damage in prop::collection::vec((0usize..8192, any::<u8>()), 1..30), cut in 0usize..20_000
    ) {
        use std::sync::LazyLock;
        static LIBRARY: LazyLock<Vec<u8>> = LazyLock::new(|| naming("x.so", &["libz.so.1", "liby.so.1"]));
        let mut bytes = LIBRARY.clone();
        let length = bytes.len();
        for (at, byte) in damage {
            bytes[at % length] = byte;
        }
        bytes.truncate(cut.max(4));
        bytes[..4].copy_from_slice(b"\x7fELF");
        let found = needs(&native().file("x.so", bytes));
        prop_assert!(found.unread.is_empty() || found.unread == ["x.so"]);
        prop_assert!(found.foreign_libraries.iter().map(String::len).sum::<usize>() < 100_000);
    }
}
