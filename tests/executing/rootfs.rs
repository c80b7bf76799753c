//! `crosswheel rootfs`: roots from images and archives, made and checked by the program itself. (That from Debian's
//! packages takes a mirror; only what happens without mmdebstrap is tested here.)

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::deep_trees::{LEVELS, SOME_LEVELS, nest, with_few_descriptors};
use crosswheel::digest::Sha256;
use serde_json::{Value, json};

use crate::support::waiting::InTime;

/// The first bytes of programs, and a C library's greeting.
const ARM64: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0";
const AMD64: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0";
const LIBC: &[u8] = b"\0GNU C Library (test) stable release version 2.36.\n";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A directory of one test.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
        command.arg("rootfs").args(arguments).arg("--json").current_dir(self.directory.path());
        command.env("CROSSWHEEL_CACHE_DIR", self.path("cache"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output_in_time()
    }

    /// As [`Bench::command`], with a shell script in the place of mmdebstrap, and of what it takes for users who are
    /// not root.
    fn command_with_mmdebstrap(&self, script: &str, arguments: &[&str]) -> Command {
        let programs = self.path("programs");
        fs_err::create_dir_all(&programs).unwrap();
        for (name, script) in [("mmdebstrap", script), ("fakechroot", ""), ("fakeroot", "")] {
            fs_err::write(programs.join(name), format!("#!/bin/sh\nset -e\n{script}\n")).unwrap();
            fs_err::set_permissions(programs.join(name), PermissionsExt::from_mode(0o755)).unwrap();
        }
        let mut command = self.command(arguments);
        command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
        command
    }

    /// What a command that must succeed prints.
    fn document(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The message and the hint of one that must fail; it leaves nothing.
    fn failure(&self, arguments: &[&str]) -> String {
        let before = self.names();
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(self.names(), before, "a failed attempt left something");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let error = &document["error"];
        assert_eq!(error["kind"], "host");
        format!("{} | {}", error["message"].as_str().unwrap(), error["hint"].as_str().unwrap_or(""))
    }

    fn names(&self) -> Vec<PathBuf> {
        let entries = fs_err::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    }
}

/// A tar archive of files (with contents), directories (ending in `/`) and links (with `->` in the name).
fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, contents) in members {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(contents.len() as u64);
        if let Some((link, target)) = name.split_once(" -> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(&mut header, link, target).unwrap();
        } else {
            let directory = name.ends_with('/');
            header.set_entry_type(if directory {
                tar::EntryType::Directory
            } else {
                tar::EntryType::Regular
            });
            builder.append_data(&mut header, name, *contents).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

/// The members of the smallest root in which pure wheels can be built.
fn root_for(program: &[u8]) -> Vec<(&'static str, &[u8])> {
    vec![
        ("usr/bin/", b""),
        ("bin -> usr/bin", b""),
        ("usr/bin/dash", program),
        ("usr/lib/libc.so.6", LIBC),
        ("usr/bin/python3.11", program),
        ("usr/lib/python3.11/os.py", b""),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image layout on disk.
struct Layout {
    directory: PathBuf,
}

impl Layout {
    fn new(directory: PathBuf) -> Self {
        fs_err::create_dir_all(directory.join("blobs/sha256")).unwrap();
        fs_err::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { directory }
    }

    fn blob_path(&self, descriptor: &Value) -> PathBuf {
        let hex = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        self.directory.join("blobs/sha256").join(hex)
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = format!("sha256:{}", Sha256::of(bytes));
        let descriptor = json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() });
        fs_err::write(self.blob_path(&descriptor), bytes).unwrap();
        descriptor
    }

    fn document(&self, media_type: &str, document: &Value) -> Value {
        self.blob(media_type, &serde_json::to_vec(document).unwrap())
    }

    /// An image of layers, each with its media type and as it was before it was compressed.
    fn image(&self, arch: &str, layers: &[(&str, Vec<u8>, Vec<u8>)]) -> Value {
        let diff_ids: Vec<_> =
            layers.iter().map(|(_, plain, _)| format!("sha256:{}", Sha256::of(plain))).collect();
        let configuration = json!({
            "architecture": arch, "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids }
        });
        let configuration = self.document("application/vnd.oci.image.config.v1+json", &configuration);
        let layers: Vec<_> = layers
            .iter()
            .map(|(kind, _, packed)| self.blob(&format!("application/vnd.oci.image.layer.v1.{kind}"), packed))
            .collect();
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": configuration, "layers": layers });
        self.document(MANIFEST, &manifest)
    }

    fn index(&self, manifests: &[Value]) {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        fs_err::write(self.directory.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    }
}

fn layer(kind: &'static str, members: &[(&str, &[u8])]) -> (&'static str, Vec<u8>, Vec<u8>) {
    let plain = tar(members);
    let packed = match kind {
        "tar+gzip" => gzip(&plain),
        "tar+zstd" => zstd(&plain),
        _ => plain.clone(),
    };
    (kind, plain, packed)
}

fn tagged(mut descriptor: Value, tag: &str) -> Value {
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
    descriptor
}

fn for_platform(mut descriptor: Value, arch: &str, variant: Option<&str>) -> Value {
    descriptor["platform"] = json!({ "architecture": arch, "os": "linux" });
    if let Some(variant) = variant {
        descriptor["platform"]["variant"] = variant.into();
    }
    descriptor
}

#[test]
fn an_archive_becomes_a_root_however_it_is_compressed() {
    let bench = Bench::new();
    let plain = tar(&root_for(ARM64));
    for (name, bytes) in [
        ("a.tar", plain.clone()),
        ("a.tar.gz", gzip(&plain)),
        ("a.tar.zst", zstd(&plain)),
        ("a.tar.xz", xz(&plain)),
    ] {
        fs_err::write(bench.path(name), bytes).unwrap();
        let made = bench.document(&["create", "--from", name, "--force"]);
        let root = bench.path("cache/rootfs/linux_arm64");
        assert_eq!(made["created"]["root"], root.to_str().unwrap());
        assert_eq!(fs_err::read_link(root.join("usr/bin/sh")).unwrap(), Path::new("dash"));
        assert!(root.join("tmp").is_dir() && root.join("etc/passwd").is_file());
        let check = &made["check"];
        assert_eq!((&check["ok"], &check["offers"][0]["value"]), (&true.into(), &"arm64".into()));
    }
    let beside: Vec<_> = fs_err::read_dir(bench.path("cache/rootfs")).unwrap().collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
}

#[test]
fn the_image_for_the_architecture_is_found_in_nested_indexes() {
    let bench = Bench::new();
    let layout = Layout::new(bench.path("layout"));
    let more: &[(&str, &[u8])] =
        &[("etc/.wh.old", b""), ("opt/app/", b""), ("etc/new", b"2"), ("opt/link -> /etc/new", b"")];
    let arm64 = {
        let mut members = root_for(ARM64);
        members.extend([("etc/old", &b"1"[..]), ("opt/app", b"a file")]);
        layout.image("arm64", &[layer("tar+gzip", &members), layer("tar", &[]), layer("tar+zstd", more)])
    };
    let amd64 = layout.image("amd64", &[layer("tar", &root_for(AMD64))]);
    // What buildkit adds: about the image, and for no platform.
    let attestation = for_platform(layout.image("unknown", &[]), "unknown", None);
    let inner = json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [for_platform(amd64, "amd64", None), for_platform(arm64, "arm64", Some("v8")), attestation],
    });
    layout.index(&[tagged(layout.document(INDEX, &inner), "1.0")]);
    for (from, arch) in [("layout", "arm64"), ("layout:1.0", "amd64")] {
        let made = bench.document(&["create", "--from", from, "--arch", arch, arch]);
        assert_eq!(made["check"]["offers"][0], json!({ "name": "Arch", "value": arch }));
        assert!(made["created"]["source"].as_str().unwrap().starts_with("the image sha256:"));
    }
    let root = bench.path("arm64");
    assert!(!root.join("etc/old").exists() && root.join("opt/app").is_dir());
    assert_eq!(fs_err::read_link(root.join("opt/link")).unwrap(), Path::new("/etc/new"));
    let marker: Value =
        serde_json::from_slice(&fs_err::read(root.join(crosswheel::rootfs::MARKER)).unwrap()).unwrap();
    assert_eq!(marker["arch"], "arm64");

    let wrong = bench.failure(&["create", "--from", "layout:2.0", "x"]);
    assert!(wrong.contains("no image with the tag 2.0; it has 1.0"), "{wrong}");
}

#[test]
fn of_images_that_fit_none_is_picked_at_random_and_of_others_none() {
    let bench = Bench::new();
    let layout = Layout::new(bench.path("layout"));
    let one = layout.image("arm64", &[layer("tar", &root_for(ARM64))]);
    let two = layout.image("arm64", &[layer("tar", &[("bin/sh", ARM64)])]);
    layout.index(&[tagged(one.clone(), "one"), tagged(two, "two"), tagged(one, "again")]);
    let ambiguous = bench.failure(&["create", "--from", "layout", "x"]);
    assert!(ambiguous.contains("several images for linux/arm64: "), "{ambiguous}");
    assert!(ambiguous.contains("name one: --from DIR:TAG"), "{ambiguous}");
    assert!(bench.document(&["create", "--from", "layout:one", "x"])["check"]["ok"].as_bool().unwrap());

    let other = bench.failure(&["create", "--from", "layout", "--arch", "amd64", "y"]);
    assert!(other.contains("no image for linux/amd64; it has linux/arm64"), "{other}");
    // Its configuration may lie, its programs do not.
    let lying = layout.image("arm64", &[layer("tar", &root_for(AMD64))]);
    layout.index(&[lying]);
    let wrong = bench.failure(&["create", "--from", "layout", "y"]);
    assert!(
        wrong.contains("a root file system for amd64, and arm64 is wanted | give --arch amd64"),
        "{wrong}"
    );
}

#[test]
fn blobs_that_are_not_what_their_digest_says_are_refused() {
    let bench = Bench::new();
    let layout = Layout::new(bench.path("layout"));
    let build = |layers: &[(&str, Vec<u8>, Vec<u8>)]| {
        let image = layout.image("arm64", layers);
        layout.index(std::slice::from_ref(&image));
        let manifest: Value =
            serde_json::from_slice(&fs_err::read(layout.blob_path(&image)).unwrap()).unwrap();
        (image, manifest["layers"][0].clone())
    };
    let good = layer("tar+gzip", &root_for(ARM64));
    let (image, blob) = build(std::slice::from_ref(&good));
    let failure = || bench.failure(&["create", "--from", "layout", "x"]);
    let change = |path: &Path, offset: usize| {
        let mut bytes = fs_err::read(path).unwrap();
        bytes[offset] ^= 1;
        fs_err::write(path, bytes).unwrap();
    };

    // The operating system in a gzip header: the same contents, another file.
    change(&layout.blob_path(&blob), 9);
    assert!(failure().contains("has other contents: its digest is sha256:"), "{}", failure());
    fs_err::write(layout.blob_path(&blob), b"short").unwrap();
    assert!(failure().contains("has 5 bytes instead of"), "{}", failure());
    fs_err::remove_file(layout.blob_path(&blob)).unwrap();
    assert!(failure().contains("is missing | copy the image again"), "{}", failure());
    let last = fs_err::read(layout.blob_path(&image)).unwrap().len() - 1;
    change(&layout.blob_path(&image), last);
    assert!(failure().contains("has other contents"), "{}", failure());

    let (kind, _, packed) = good.clone();
    build(&[(kind, b"something else".to_vec(), packed)]);
    assert!(failure().contains("not what the image's configuration says"), "{}", failure());
    let (_, plain, packed) = good;
    build(&[("tar+gzip+encrypted", plain, packed)]);
    assert!(failure().contains("+encrypted`, which is no layer"), "{}", failure());

    fs_err::write(layout.directory.join("index.json"), "{").unwrap();
    assert!(failure().contains("is no OCI image layout that can be used: index.json"), "{}", failure());
    let digest = json!({ "mediaType": MANIFEST, "digest": "sha256:../../../etc/passwd", "size": 1 });
    layout.index(&[digest]);
    assert!(
        failure().contains("../etc/passwd of layout has a digest of a kind that is not understood"),
        "{}",
        failure()
    );
    assert!(bench.failure(&["create", "--from", "nowhere", "x"]).contains("nowhere is no OCI image layout"));
}

#[test]
fn a_layer_that_wants_to_leave_the_root_is_refused() {
    let bench = Bench::new();
    fs_err::create_dir(bench.path("outside")).unwrap();
    let layout = Layout::new(bench.path("layout"));
    let below = layer("tar", &[("out -> ../../../../outside", b""), ("abs -> /outside", b"")]);
    for name in ["out/file", "abs/file", "out/.wh.file"] {
        layout.index(&[layout.image("arm64", &[below.clone(), layer("tar", &[(name, b"x")])])]);
        let failure = bench.failure(&["create", "--from", "layout", "x"]);
        assert_eq!(fs_err::read_dir(bench.path("outside")).unwrap().count(), 0, "{failure}");
    }
}

#[test]
fn what_is_there_is_replaced_only_if_it_is_ours_and_asked_for() {
    let bench = Bench::new();
    fs_err::write(bench.path("a.tar"), tar(&root_for(ARM64))).unwrap();
    fs_err::create_dir(bench.path("mine")).unwrap();
    fs_err::write(bench.path("mine/thesis"), "x").unwrap();
    assert!(bench.failure(&["create", "--from", "a.tar", "mine"]).contains("exists and is not empty"));
    let refused = bench.failure(&["create", "--from", "a.tar", "--force", "mine"]);
    assert!(refused.contains("was not made by `crosswheel rootfs create`"), "{refused}");
    assert!(bench.path("mine/thesis").exists());

    bench.document(&["create", "--from", "a.tar", "root"]);
    fs_err::write(bench.path("root/stale"), "x").unwrap();
    assert!(bench.failure(&["create", "--from", "a.tar", "root"]).contains("--force replaces a root"));
    // An attempt that fails leaves the old one in place.
    fs_err::write(bench.path("b.tar"), tar(&[("file", b"x")])).unwrap();
    let refused = bench.failure(&["create", "--from", "b.tar", "--force", "root"]);
    assert!(refused.contains("holds no root file system: there is no /bin/sh"), "{refused}");
    assert!(bench.path("root/stale").exists());
    bench.document(&["create", "--from", "a.tar", "--force", "root"]);
    assert!(!bench.path("root/stale").exists());

    let nested = tar(&[("oci-layout", b"{}"), ("index.json", b"{}"), ("blobs/sha256/", b"")]);
    fs_err::write(bench.path("c.tar"), nested).unwrap();
    let refused = bench.failure(&["create", "--from", "c.tar", "new"]);
    assert!(
        refused.contains("it is an image layout itself | an OCI or Docker archive has to be"),
        "{refused}"
    );
}

#[test]
fn a_check_says_what_is_missing_and_whether_that_matters() {
    let bench = Bench::new();
    fs_err::write(bench.path("a.tar"), tar(&root_for(ARM64))).unwrap();
    bench.document(&["create", "--from", "a.tar", "root"]);
    let check = bench.document(&["check", "root"]);
    let finding = |check: &Value, subject: &str| {
        let findings = check["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["subject"] == subject).unwrap().clone()
    };
    let compiler = finding(&check, "C compiler");
    assert_eq!(
        (&compiler["status"], &compiler["mend"]),
        (&"limited".into(), &"apt's packages: gcc libc6-dev".into())
    );
    fs_err::set_permissions(bench.path("root/usr"), PermissionsExt::from_mode(0o777)).unwrap();
    assert_eq!(finding(&bench.document(&["check", "root"]), "access")["status"], "limited");

    fs_err::remove_file(bench.path("root/usr/bin/python3")).unwrap();
    fs_err::rename(bench.path("root/usr/bin/python3.11"), bench.path("root/usr/bin/python2")).unwrap();
    let output = bench.run(&["check", "root"]);
    assert_eq!(output.status.code(), Some(1));
    let broken: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&broken["ok"], &finding(&broken, "Python")["status"]), (&false.into(), &"broken".into()));
    assert!(bench.failure(&["check", "nowhere"]).contains("cannot look at"));
}

#[test]
fn without_mmdebstrap_there_is_a_hint() {
    let bench = Bench::new();
    let empty = bench.path("bin");
    fs_err::create_dir(&empty).unwrap();
    symlink("/nowhere", empty.join("mmdebstrap")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
    command.args(["rootfs", "create"]).arg(bench.path("root")).env("PATH", &empty);
    let output = command.output_in_time();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("mmdebstrap is not on PATH") && text.contains("hint: apt-get install mmdebstrap"),
        "{text}"
    );
    assert!(!bench.path("root").exists());
    for (option, value) in [("--include", "a;b"), ("--suite", "-x"), ("--arch", "mips")] {
        assert_eq!(bench.run(&["create", &format!("{option}={value}")]).status.code(), Some(2), "{option}");
    }
}

#[test]
fn mmdebstrap_can_write_its_archive_to_the_end() {
    let bench = Bench::new();
    fs_err::write(bench.path("a.tar"), tar(&root_for(ARM64))).unwrap();
    // More than a pipe holds.
    let script = "cat a.tar; head -c 1000000 /dev/zero";
    let output = bench.command_with_mmdebstrap(script, &["create", "root"]).output_in_time();
    assert!(output.status.success(), "{output:?}");

    // What it says of itself counts.
    let output = bench
        .command_with_mmdebstrap("cat a.tar; echo E: disk on fire >&2; exit 3", &["create", "other"])
        .output_in_time();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["error"]["message"].as_str().unwrap().contains("disk on fire"), "{document}");
    assert!(!bench.path("other").exists());
}

#[test]
fn an_archive_that_is_not_whole_is_no_root() {
    let bench = Bench::new();
    let plain = tar(&root_for(ARM64));
    // Without its end, and without the last member, an empty file.
    let cut = plain.len() - 1024;
    for length in [cut, cut - 512] {
        fs_err::write(bench.path("cut.tar"), &plain[..length]).unwrap();
        let failure = bench.failure(&["create", "--from", "cut.tar", "root"]);
        assert!(failure.contains("some of it may be missing"), "{failure}");
    }
    let mut packed = gzip(&plain);
    let checksum = packed.len() - 8;
    packed[checksum] ^= 1;
    fs_err::write(bench.path("bad.tar.gz"), packed).unwrap();
    assert!(bench.failure(&["create", "--from", "bad.tar.gz", "root"]).contains("cannot read bad.tar.gz: "));
}

#[test]
fn who_interrupts_gets_a_document_too() {
    let bench = Bench::new();
    let mut child = bench
        .command_with_mmdebstrap("echo at work >&2; exec sleep 1000", &["create", "root"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .start();
    let mut lines = child.stderr();
    lines.until("at work");
    child.signal(rustix::process::Signal::INT);
    // Until its end, or it could not write there.
    lines.rest();
    let output = child.output_in_time();
    assert_eq!(output.status.code(), Some(130));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        document["error"],
        json!({ "kind": "host", "message": "interrupted; nothing is left of it", "hint": null })
    );
    assert!(!bench.path("root").exists());
}

#[test]
fn a_link_beside_the_root_is_in_the_way() {
    let bench = Bench::new();
    fs_err::write(bench.path("a.tar"), tar(&root_for(ARM64))).unwrap();
    fs_err::create_dir(bench.path("elsewhere")).unwrap();
    symlink("elsewhere", bench.path(".root.crosswheel-partial")).unwrap();
    let failure = bench.failure(&["create", "--from", "a.tar", "root"]);
    assert!(
        failure.contains(".root.crosswheel-partial: it is no directory | see who has put it"),
        "{failure}"
    );
    assert_eq!(fs_err::read_dir(bench.path("elsewhere")).unwrap().count(), 0);
}

/// Whatever ran in the old root may have made trees in it that nobody can walk.
#[test]
fn a_root_with_the_deepest_trees_in_it_is_replaced_and_gone() {
    let bench = Bench::new();
    fs_err::write(bench.path("a.tar"), tar(&root_for(ARM64))).unwrap();
    bench.document(&["create", "--from", "a.tar", "root"]);
    let before = bench.names();
    for (name, levels) in [("deep", LEVELS), ("closed", SOME_LEVELS)] {
        fs_err::create_dir(bench.path("root").join(name)).unwrap();
        nest(&bench.path("root").join(name), levels);
    }
    fs_err::set_permissions(bench.path("root/closed"), PermissionsExt::from_mode(0o0)).unwrap();
    // And a process that made one was killed.
    let workshop = bench.path(".root.crosswheel-partial");
    fs_err::create_dir_all(workshop.join("root")).unwrap();
    nest(&workshop.join("root"), SOME_LEVELS);
    fs_err::set_permissions(&workshop, PermissionsExt::from_mode(0o700)).unwrap();
    let command = bench.command(&["create", "--from", "a.tar", "--force", "root"]);
    let output = with_few_descriptors(&command).output_in_time();
    assert!(output.status.success(), "{output:?}");
    assert!(!bench.path("root/deep").exists());
    assert_eq!(bench.names(), before, "something is left beside the root");
}
