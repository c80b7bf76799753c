//! Which built wheels are handed on, and which are refused with what explanation.

use std::time::Duration;

use crosswheel::cancellation::Cancellation;
use crosswheel::contract::{Failure, FailureClass};
use crosswheel::patience::{OutOfPatience, Patience};
use crosswheel::platform::{Arch, Target};
use crosswheel::step::verify::verified_wheel::{ExpectedWheel, NativeExpectation, VerifiedWheel, verify};
use crosswheel::step::verify::wheel_refused::WheelRefused;

use super::builder::{
    PYTHON, WheelBuilder, foreign_object, library_with_memcpy, native_tag, object_header, shared_library,
};
use crate::support::waiting::{in_time, pause, scope};

const PURE: &str = "pkg-1.0-py3-none-any.whl";

fn expected() -> ExpectedWheel<'static> {
    ExpectedWheel {
        name: None,
        version: None,
        target: PYTHON.target(),
        glibc: PYTHON.glibc(),
        python: &PYTHON,
        native: NativeExpectation::Any,
    }
}

fn verify_as(builder: &WheelBuilder, expected: &ExpectedWheel) -> Result<VerifiedWheel, Failure> {
    let directory = tempfile::tempdir().unwrap();
    let path = builder.write(directory.path());
    let name = path.file_name().unwrap().to_str().unwrap();
    verify(directory.path(), name, expected, Patience::endless()).map_err(Failure::from)
}

fn verified(builder: &WheelBuilder) -> VerifiedWheel {
    verify_as(builder, &expected()).unwrap()
}

fn assert_refused_as(builder: &WheelBuilder, expected: &ExpectedWheel, message: &str) {
    let failure = verify_as(builder, expected).expect_err(message);
    assert_eq!(failure.class, FailureClass::WheelRefused);
    assert!(failure.message.contains(message), "expected `{message}` in: {}", failure.message);
    assert!(failure.hint.is_some_and(|hint| !hint.is_empty()));
}

fn assert_refused(builder: &WheelBuilder, message: &str) {
    assert_refused_as(builder, &expected(), message);
}

fn pure() -> WheelBuilder {
    WheelBuilder::new(PURE).file("pkg/__init__.py", "x = 1\n")
}

fn native() -> WheelBuilder {
    WheelBuilder::new(&format!("pkg-1.0-{}.whl", native_tag()))
}

#[test]
fn a_pure_wheel_is_handed_on() {
    let wheel = verified(&pure());
    assert!(wheel.pure);
    assert_eq!((wheel.name.to_string(), wheel.version), ("pkg".to_owned(), "1.0".to_owned()));
    assert_eq!(wheel.file_name.to_string(), PURE);
    assert_eq!((wheel.glibc_floor, wheel.notes), (None, Vec::new()));
    assert!(wheel.size_bytes > 0);
}

#[test]
fn a_native_wheel_is_handed_on_with_its_glibc_floor() {
    let wheel = verified(&native().file("pkg/_x.so", library_with_memcpy()));
    assert!(!wheel.pure);
    let floor = if Arch::host() == Arch::Amd64 { "2.14" } else { "2.17" };
    assert_eq!(wheel.glibc_floor.map(|glibc| glibc.to_string()).as_deref(), Some(floor));
}

#[test]
fn there_must_be_one_wheel_and_it_must_be_the_reported_one() {
    let directory = tempfile::tempdir().unwrap();
    let refusal = |reported: &str| {
        verify(directory.path(), reported, &expected(), Patience::endless()).unwrap_err().to_string()
    };
    assert_eq!(refusal(PURE), "the backend wrote no wheel; it must write exactly one");
    pure().write(directory.path());
    fs_err::write(directory.path().join("build.log"), "").unwrap();
    assert!(verify(directory.path(), PURE, &expected(), Patience::endless()).is_ok());
    assert!(refusal("other-1.0-py3-none-any.whl").contains("says it wrote `other-1.0-py3-none-any.whl`"));
    assert!(refusal(&format!("./{PURE}")).contains("says it wrote"));
    WheelBuilder::new("pkg-1.1-py3-none-any.whl").write(directory.path());
    assert!(refusal(PURE).contains("wrote `pkg-1.0-py3-none-any.whl`, `pkg-1.1-py3-none-any.whl`"));
}

#[test]
fn a_link_instead_of_a_wheel_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let path = pure().write(elsewhere.path());
    fs_err::os::unix::fs::symlink(path, directory.path().join(PURE)).unwrap();
    let error = verify(directory.path(), PURE, &expected(), Patience::endless()).unwrap_err();
    assert_eq!(error.to_string(), format!("`{PURE}` is not a regular file"));
}

#[test]
fn name_and_version_must_be_those_of_the_sdist() {
    let name = "pkg".parse().unwrap();
    let other = "other".parse().unwrap();
    let accept = |version: &str, wheel: &WheelBuilder| {
        let version = version.parse().unwrap();
        verify_as(wheel, &ExpectedWheel { name: Some(&name), version: Some(&version), ..expected() })
    };
    assert!(accept("1.0", &pure()).is_ok());
    assert!(accept("1.0.0", &pure()).is_ok(), "1.0 and 1.0.0 are equal (PEP 440)");
    assert!(
        accept("1.1", &pure())
            .unwrap_err()
            .message
            .contains("version `1.0` in METADATA, but it must be `1.1`")
    );
    let local = WheelBuilder::new("pkg-1.0+local-py3-none-any.whl");
    assert!(accept("1.0", &local).unwrap_err().message.contains("version `1.0+local` in METADATA"));
    assert_refused_as(
        &pure(),
        &ExpectedWheel { name: Some(&other), ..expected() },
        "name `pkg` in METADATA, but it must be `other`",
    );
}

#[test]
fn name_and_version_must_be_the_same_in_all_three_places() {
    assert_refused(
        &pure().metadata("Name: pkg", "Name: gkp"),
        "name `pkg` in its file name, but it must be `gkp`",
    );
    assert_refused(&pure().metadata("Version: 1.0\n", "Version: 2\n"), "version `1.0` in its file name");
    assert_refused(&pure().dist_info("gkp-1.0.dist-info"), "name `gkp` in gkp-1.0.dist-info");
    assert_refused(&pure().dist_info("pkg-2.dist-info"), "version `2` in pkg-2.dist-info");
    assert_refused(&pure().dist_info("pkg.dist-info"), "version `` in pkg.dist-info");
    let spelled = WheelBuilder::new("Foo.Bar-1.0-py3-none-any.whl").dist_info("foo_bar-1.0.0.dist-info");
    assert!(verify_as(&spelled.metadata("Foo.Bar", "foo-bar"), &expected()).is_ok());
}

#[test]
fn tags_in_wheel_must_be_those_of_the_file_name() {
    assert_refused(
        &pure().wheel("Tag: py3-none-any", "Tag: py2-none-any"),
        "WHEEL lacks py3-none-any; WHEEL has py2-none-any besides",
    );
    assert_refused(&pure().wheel("Tag: py3-none-any\n", ""), "WHEEL lacks py3-none-any");
    assert_refused(
        &WheelBuilder::new("pkg-1.0-7-py3-none-any.whl").wheel("Build: 7\n", ""),
        "is absent, but in its file name 7",
    );
    let compressed = WheelBuilder::new("pkg-1.0-py2.py3-none-any.whl");
    assert!(verify_as(&compressed, &expected()).is_ok());
}

#[test]
fn tags_must_fit_the_target_and_the_interpreter() {
    let (major, minor, _) = PYTHON.version;
    let own = format!("cp{major}{minor}");
    let (machine, other) = (Arch::host().machine(), Arch::host().other().machine());
    let older = format!("cp{major}{}", minor - 1);
    let refused = [
        (format!("{older}-{older}-linux_{machine}"), "is for another Python"),
        (format!("cp{major}{}-abi3-linux_{machine}", minor + 1), "is for another Python"),
        (format!("{own}-{own}-linux_{other}"), &*format!("is not for {machine}")),
        (format!("{own}-{own}-manylinux_2_99_{machine}"), "needs glibc 2.99"),
        (format!("{own}-{own}-musllinux_1_2_{machine}"), "the C library musl"),
        (format!("{own}-{own}-macosx_11_0_{machine}"), "is no platform of Linux with glibc"),
        ("py2-none-any".to_owned(), "is for another Python"),
    ];
    for (tag, message) in refused {
        assert_refused(&WheelBuilder::new(&format!("pkg-1.0-{tag}.whl")), message);
    }
    for tag in [
        format!("{older}-abi3-linux_{machine}"),
        format!("py3-none-linux_{machine}"),
        format!("{own}-{own}-manylinux_2_17_{machine}.manylinux2014_{machine}"),
        format!("{own}-none-any"),
    ] {
        verified(&WheelBuilder::new(&format!("pkg-1.0-{tag}.whl")));
    }
    let without = ExpectedWheel { glibc: None, ..expected() };
    let manylinux = WheelBuilder::new(&format!("pkg-1.0-{own}-{own}-manylinux_2_17_{machine}.whl"));
    assert_refused_as(&manylinux, &without, "needs glibc 2.17");
}

/// The target decides, never the machine the wheel is verified on.
#[test]
fn a_wheel_for_this_machine_is_refused_for_another_target() {
    let other = match Arch::host() {
        Arch::Amd64 => Arch::Arm64,
        Arch::Arm64 => Arch::Amd64,
    };
    let expected = ExpectedWheel { target: Target { arch: other }, ..expected() };
    let wheel = native().file("pkg/_x.so", library_with_memcpy());
    assert_refused_as(&wheel, &expected, &format!("is not for {}", other.machine()));
}

#[test]
fn record_must_list_every_file_as_it_is() {
    let edited = |from: &'static str, to: &'static str| {
        pure().record(move |record| {
            assert!(record.contains(from));
            record.replace(from, to)
        })
    };
    assert_refused(&edited(",6\n", ",7\n"), "RECORD says it has 7 bytes, but it has 6");
    assert_refused(&edited(",6\n", ",\n"), "RECORD has no size for it");
    assert_refused(
        &edited("sha256=", "sha256=x"),
        "`pkg/__init__.py` in `pkg-1.0-py3-none-any.whl` is not as RECORD has it",
    );
    assert_refused(&edited("sha256=", "md5="), "is not SHA-256");
    assert_refused(
        &edited("pkg/__init__.py", "pkg/__main__.py"),
        "lists `pkg/__main__.py`, which is not in the wheel",
    );
    let unlisted = |record: String| record.lines().skip(1).map(|line| format!("{line}\n")).collect();
    assert_refused(&pure().record(unlisted), "RECORD does not list it");
}

#[test]
fn signatures_need_not_be_listed_in_record() {
    let unlist = |record: String| {
        let lines = record.lines().filter(|line| !line.contains("RECORD."));
        lines.map(|line| format!("{line}\n")).collect()
    };
    verified(&pure().info("RECORD.jws", "{}").info("RECORD.p7s", "").record(unlist));
    assert_refused(&pure().info("RECORD.txt", "").record(unlist), "RECORD does not list it");
}

#[test]
fn machine_code_for_another_machine_is_refused_whatever_its_name() {
    let machine = if Arch::host() == Arch::Amd64 { "aarch64" } else { "x86_64" };
    let library = native().file("pkg/_x.so", library_with_memcpy());
    assert_refused(&library.file("pkg/data.bin", foreign_object()), "`pkg/data.bin`");
    assert_refused(&native().file("pkg/x.o", foreign_object()), &format!("ELF file for {machine}"));
    let archive =
        [b"!<arch>\n".to_vec(), format!("{:<48}{:<10}`\n", "x.o/", 64).into_bytes(), foreign_object()];
    assert_refused(&native().file("pkg/libx.a", archive.concat()), "`pkg/libx.a`");
    let mut narrow = object_header(Arch::host().elf_machine());
    narrow[4] = 1;
    assert_refused(&native().file("pkg/x", narrow), "a 32-bit ELF file");
    assert_refused(&native().file("pkg/x", b"\x7fELF"), "is not a sound ELF file");
}

#[test]
fn code_for_devices_is_left_alone_but_noted() {
    let wheel = native().file("pkg/kernel.cubin", object_header(190)).file("pkg/x.so", library_with_memcpy());
    assert_eq!(verified(&wheel).notes.len(), 1);
}

#[test]
fn a_glibc_newer_than_the_targets_is_refused() {
    let wheel = native().file("pkg/_x.so", library_with_memcpy());
    let old = ExpectedWheel { glibc: Some("2.5".parse().unwrap()), ..expected() };
    assert_refused_as(&wheel, &old, "`pkg/_x.so` in `pkg-1.0-");
    assert_refused_as(&wheel, &old, "but the target has glibc 2.5");
}

#[test]
fn a_library_linked_with_musl_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let musl = directory.path().join("libc.so");
    let soname = "-Wl,-soname,libc.musl-x86_64.so.1";
    fs_err::write(&musl, shared_library("int m(void) { return 0; }", &["-nostdlib", soname])).unwrap();
    let musl = musl.to_str().unwrap();
    let library = shared_library("int m(void); int f(void) { return m(); }", &["-nostdlib", musl]);
    assert_refused(&native().file("pkg/_x.so", library), "linked with `libc.musl-x86_64.so.1`");
}

#[test]
fn machine_code_in_a_pure_wheel_is_refused() {
    assert_refused(
        &pure().file("pkg/_x.so", library_with_memcpy()),
        "tagged for any platform, but `pkg/_x.so`",
    );
    let pure_root = native().wheel("Root-Is-Purelib: false", "Root-Is-Purelib: true");
    assert_refused(&pure_root.file("pkg/_x.so", library_with_memcpy()), "has `Root-Is-Purelib: true`");
    // Beside a pure root, platlib and scripts may hold machine code.
    let beside = native().wheel("Root-Is-Purelib: false", "Root-Is-Purelib: true");
    assert!(!verified(&beside.file("pkg-1.0.data/scripts/x", library_with_memcpy())).pure);
}

#[test]
fn a_platform_tag_without_machine_code_is_a_note() {
    let wheel = verified(&native().file("pkg/__init__.py", ""));
    assert_eq!(wheel.notes, ["the tags name a platform, but there is no machine code in the wheel"]);
    assert!(!wheel.pure);
}

#[test]
fn tags_that_promise_an_older_glibc_than_is_needed_are_a_note() {
    if Arch::host() == Arch::Amd64 {
        let wheel = WheelBuilder::new("pkg-1.0-py3-none-manylinux1_x86_64.whl");
        let notes = verified(&wheel.file("x.so", library_with_memcpy())).notes;
        assert_eq!(notes, ["the tags promise glibc 2.5, but the wheel needs glibc 2.14"]);
    } else {
        // manylinux begins with glibc 2.17 on arm64, which every library is content with.
        let wheel = WheelBuilder::new("pkg-1.0-py3-none-manylinux2014_aarch64.whl");
        assert!(verified(&wheel.file("x.so", library_with_memcpy())).notes.is_empty());
    }
}

#[test]
fn a_build_that_fell_back_to_a_pure_wheel_is_refused_where_native_code_is_required() {
    let required = ExpectedWheel { native: NativeExpectation::Required, ..expected() };
    assert_refused_as(&pure(), &required, "the build fell back to a pure wheel");
    assert_refused_as(&native(), &required, "the build fell back to a pure wheel");
    let with_code = native().file("pkg/_x.so", library_with_memcpy());
    assert!(verify_as(&with_code, &required).is_ok());
    let forbidden = ExpectedWheel { native: NativeExpectation::Forbidden, ..expected() };
    assert_refused_as(&with_code, &forbidden, "should be pure, but `pkg/_x.so` in it is machine code");
    assert!(verify_as(&pure(), &forbidden).is_ok());
}

/// As long as a wheel may be, which takes a while to be hashed.
const HOLE: u64 = 17 << 30;

fn hole(directory: &std::path::Path, length: u64) {
    fs_err::File::create(directory.join(PURE)).unwrap().set_len(length).unwrap();
}

/// Hashing it would take hours.
#[test]
fn a_hole_of_eight_tebibytes_is_no_wheel() {
    let directory = tempfile::tempdir().unwrap();
    hole(directory.path(), 8 << 40);
    let error = verify(directory.path(), PURE, &expected(), Patience::endless()).unwrap_err();
    assert!(error.to_string().contains("refused for its size: it has 8796093022208 bytes"), "{error}");
}

#[test]
fn who_gives_up_does_not_wait_for_a_wheel_to_be_hashed() {
    let directory = tempfile::tempdir().unwrap();
    hole(directory.path(), HOLE);
    let cancellation = Cancellation::default();
    let patience = Patience::of(Duration::MAX, &cancellation);
    let error = scope("a cancelled verification", |scope| {
        scope.spawn(|| {
            pause(Duration::from_millis(200));
            cancellation.cancel();
        });
        verify(directory.path(), PURE, &expected(), patience).unwrap_err()
    });
    assert!(matches!(error, WheelRefused::GivenUp { over: OutOfPatience::Cancelled, .. }), "{error}");
    let late = Cancellation::default();
    let late = Patience::of(Duration::from_millis(200), &late);
    let error = verify(directory.path(), PURE, &expected(), late).unwrap_err();
    assert!(matches!(error, WheelRefused::GivenUp { over: OutOfPatience::TooLate(_), .. }), "{error}");
}

#[test]
fn a_flood_of_wheels_is_named_in_part() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..1000 {
        fs_err::write(directory.path().join(format!("pkg-{number}-py3-none-any.whl")), "").unwrap();
    }
    let error = verify(directory.path(), PURE, &expected(), Patience::endless()).unwrap_err();
    let WheelRefused::NotOneWheel { found } = &error else { panic!("{error}") };
    assert!(found.len() < 20, "{error}");
}

#[test]
fn a_named_pipe_is_no_wheel_and_nobody_waits_for_who_writes_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(PURE);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    let opened = in_time("a named pipe to be refused", || {
        crosswheel::packaging::wheel_archive::WheelArchive::open(&path).err().unwrap()
    });
    assert!(opened.to_string().contains("no regular file"), "{opened}");
    assert!(verify(directory.path(), PURE, &expected(), Patience::endless()).is_err());
}
