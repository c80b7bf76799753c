//! Archives that are no sound wheels are refused when they are opened.

use crosswheel::packaging::wheel_archive::WheelArchive;
use proptest::prelude::*;
use zip::CompressionMethod;

use super::builder::WheelBuilder;

const NAME: &str = "pkg-1.0-py3-none-any.whl";

fn wheel() -> WheelBuilder {
    WheelBuilder::new(NAME).file("pkg/aa.py", "a = 1\n").file("pkg/bb.py", "b = 1\n")
}

fn refusal(bytes: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    fs_err::write(&path, bytes).unwrap();
    WheelArchive::open(&path).err().expect("the wheel is refused").to_string()
}

fn assert_refused(builder: &WheelBuilder, expected: &str) {
    let error = refusal(&builder.bytes());
    assert!(error.contains(expected), "expected `{expected}` in: {error}");
}

#[test]
fn a_sound_wheel_is_opened_with_its_metadata() {
    let directory = tempfile::tempdir().unwrap();
    let path = wheel()
        .requires("six")
        .info("entry_points.txt", "[console_scripts]\nx = pkg.aa:main\n")
        .executable("pkg/tool", "#!/bin/sh\n")
        .write(directory.path());
    let archive = WheelArchive::open(&path).unwrap();
    assert_eq!(archive.dist_info, "pkg-1.0.dist-info");
    assert_eq!(archive.metadata.requires_dist.len(), 1);
    assert_eq!(archive.scripts[0].name, "x");
    let executable: Vec<_> =
        archive.members.iter().filter(|member| member.executable).map(|member| &member.name).collect();
    assert_eq!(executable, ["pkg/tool"]);
}

/// PEP 427: installers must not write outside the places a wheel may be installed to.
#[test]
fn members_that_would_land_elsewhere_are_refused() {
    assert_refused(&wheel().patch("pkg/bb.py", "/kg/bb.py"), "member `/kg/bb.py`");
    assert_refused(&wheel().patch("pkg/bb.py", "../../.py"), "has `.` or `..` in its path");
    assert_refused(&wheel().patch("pkg/bb.py", "pkg/./.py"), "has `.` or `..` in its path");
    assert_refused(&wheel().patch("pkg/bb.py", "pkg//b.py"), "has an empty part in its path");
    assert_refused(&wheel().patch("pkg/bb.py", "pkg\\bb.py"), "backslash");
    assert_refused(&wheel().symlink("pkg/link", "/etc/passwd"), "member `pkg/link`");
    assert_refused(&wheel().symlink("pkg/link", "/etc/passwd"), "is a link or a special file");
}

/// Two readers could see two different wheels.
#[test]
fn members_that_are_there_twice_are_refused() {
    let error = refusal(&wheel().patch("pkg/bb.py", "pkg/aa.py").bytes());
    assert!(error.contains("duplicate file names"), "{error}");
    let mut bytes = wheel().bytes();
    let local = bytes.windows(9).position(|window| window == b"pkg/bb.py").unwrap();
    bytes[local + 4] = b'c';
    let error = refusal(&bytes);
    assert!(error.contains("header inconsistency"), "{error}");
}

#[test]
fn compression_no_installer_must_support_is_refused() {
    assert_refused(&wheel().compression(CompressionMethod::Bzip2), "wheels are deflated or stored");
    assert_refused(&wheel().compression(CompressionMethod::Bzip2), "wheels are deflated or stored");
}

#[test]
fn metadata_that_is_missing_twofold_or_malformed_is_refused() {
    assert_refused(&wheel().file("b-2.dist-info/METADATA", ""), "b-2.dist-info and pkg-1.0.dist-info");
    assert_refused(&wheel().dist_info("pkg-1.0.egg-info"), "has no .dist-info directory");
    assert_refused(
        &wheel().patch("pkg-1.0.dist-info/WHEEL", "pkg-1.0.dist-info/WHALE"),
        "has no `pkg-1.0.dist-info/WHEEL`",
    );
    assert_refused(&wheel().metadata("Version: 1.0\n", ""), "field `Version` is missing");
    assert_refused(&wheel().wheel("Wheel-Version: 1.0", "Wheel-Version: 2.0"), "has Wheel-Version 2.0");
    assert_refused(&wheel().wheel("Root-Is-Purelib: true\n", ""), "no valid field `Root-Is-Purelib`");
    assert_refused(&wheel().record(|_| "one\n".into()), "line 1 of RECORD");
    assert_refused(&wheel().info("entry_points.txt", "[console_scripts]\n../x = a:b\n"), "`../x`");
}

#[test]
fn metadata_of_absurd_size_is_refused_unread() {
    let bomb = wheel().requires(&"x".repeat(5 << 20));
    assert!(bomb.bytes().len() < 100_000, "it is small as long as it is compressed");
    assert_refused(&bomb, "more than 4194304");
}

#[test]
fn a_wheel_with_too_many_members_is_refused() {
    let mut many = wheel().compression(CompressionMethod::Stored);
    for index in 0..100_000 {
        many = many.file(&format!("d/{index}"), "");
    }
    assert_refused(&many, "members, more than 100000");
}

#[test]
fn files_that_are_no_archives_are_refused() {
    assert!(refusal(b"").contains("is not a sound zip file"));
    assert!(refusal(b"PK\x05\x06 no").contains("is not a sound zip file"));
    let whole = wheel().bytes();
    assert!(refusal(&whole[..whole.len() / 2]).contains("is not a sound zip file"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_damaged_wheel_never_panics(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let mut bytes = wheel().bytes();
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        fs_err::write(&path, bytes).unwrap();
        if let Ok(mut archive) = WheelArchive::open(&path) {
            for member in archive.members.clone() {
                let _ = archive.read(&member).map(|mut reader| std::io::copy(&mut reader, &mut std::io::sink()));
            }
        }
    }
}
