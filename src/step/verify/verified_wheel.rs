//! Whether a wheel a backend built may be handed on: one wheel, sound, of the project that was built,
//! for the target it was built for. Refuses rather than ships the wrong thing, and says why.
//! Knows nothing of how the wheel was built, and never runs anything of it.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pep440_rs::Version;
use pep508_rs::PackageName;

use super::wheel_refused::WheelRefused;
use crate::digest::{HashingReader, Sha256};
use crate::packaging::elf;
use crate::packaging::elf::{AR_MAGIC, ELF_MAGIC};
use crate::packaging::interpreter::Interpreter;
use crate::packaging::tag::Tag;
use crate::packaging::wheel_archive::{WheelArchive, WheelMember, split_data_member};
use crate::packaging::wheel_name::WheelFileName;
use crate::packaging::wheel_requirements::NeededLibraries;
use crate::patience::Patience;
use crate::platform::{Glibc, Target};

/// Machine code up to this many bytes is examined in memory, more of it in a temporary file.
const SPOOL_BYTES: usize = 4 << 20;
/// Most bytes of one file of machine code. The largest on PyPI have less than two GiB.
const MOST_CODE_BYTES: u64 = 4 << 30;

/// What a built wheel must be to be handed on.
pub struct ExpectedWheel<'a> {
    /// The sdist's name, if it is known before the build.
    pub name: Option<&'a PackageName>,
    /// The sdist's version, if it is known before the build.
    pub version: Option<&'a Version>,
    /// The platform the wheel is for.
    pub target: Target,
    /// The newest glibc the wheel may need; none if the target has no glibc.
    pub glibc: Option<Glibc>,
    /// The interpreter it was built with and will be installed for.
    pub python: &'a Interpreter,
    /// Whether there must be machine code in it.
    pub native: NativeExpectation,
}

/// Whether a wheel must have machine code in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NativeExpectation {
    /// It may or may not.
    #[default]
    Any,
    /// It must: a pure wheel means that the build left something out.
    Required,
    /// It must not.
    Forbidden,
}

/// A wheel that may be handed on.
#[derive(Clone, Debug)]
pub struct VerifiedWheel {
    /// Where it is.
    pub path: PathBuf,
    /// Its parsed file name.
    pub file_name: WheelFileName,
    /// The project's name from METADATA, normalised.
    pub name: PackageName,
    /// The version from METADATA, as written there.
    pub version: String,
    /// Its expanded compatibility tags.
    pub tags: BTreeSet<Tag>,
    /// `Root-Is-Purelib`, and no machine code inside.
    pub pure: bool,
    /// Whether there is machine code inside.
    pub native: bool,
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Size of the file in bytes.
    pub size_bytes: u64,
    /// The newest glibc any file inside needs; none when pure or static.
    pub glibc_floor: Option<Glibc>,
    /// Libraries that files inside need, and that are neither in the wheel nor a part of glibc; sorted.
    pub foreign_libraries: Vec<String>,
    /// Remarks that are not errors.
    pub notes: Vec<String>,
}

/// Verifies the one wheel in `directory`, of which the backend's `build_wheel` (PEP 517) reported the
/// file name `reported_name`. Gives up once `patience` is over: the backend may have made what never ends.
pub fn verify(
    directory: &Path,
    reported_name: &str,
    expected: &ExpectedWheel,
    patience: Patience<'_>,
) -> Result<VerifiedWheel, WheelRefused> {
    let verified = verify_patiently(directory, reported_name, expected, patience);
    match patience.check() {
        // Whatever it says of the wheel comes from that.
        Err(over) if verified.is_err() => {
            Err(WheelRefused::GivenUp { wheel: reported_name.to_owned(), over })
        }
        _ => verified,
    }
}

fn verify_patiently(
    directory: &Path,
    reported_name: &str,
    expected: &ExpectedWheel,
    patience: Patience<'_>,
) -> Result<VerifiedWheel, WheelRefused> {
    let path = the_only_wheel(directory, reported_name, patience)?;
    let mut archive = WheelArchive::open_patiently(&path, patience)?;
    check_identity(&archive, expected)?;
    check_tags(&archive, expected)?;
    check_listed_files_exist(&archive)?;
    let contents = check_members(&mut archive, expected, patience)?;
    check_purity(&archive, &contents, expected.native)?;

    let tags = archive.file_name.tags();
    let notes = remarks(&tags, &contents, archive.wheel.root_is_purelib);
    Ok(VerifiedWheel {
        path,
        tags,
        pure: archive.wheel.root_is_purelib && contents.native.is_empty(),
        native: !contents.native.is_empty(),
        sha256: archive.sha256,
        size_bytes: archive.size_bytes,
        glibc_floor: contents.glibc,
        foreign_libraries: contents.libraries.foreign(),
        notes,
        name: archive.metadata.name,
        version: archive.metadata.version_text,
        file_name: archive.file_name,
    })
}

/// As many of its other wheels are named to who has several.
const MOST_FOUND: usize = 10;

fn the_only_wheel(
    directory: &Path,
    reported_name: &str,
    patience: Patience<'_>,
) -> Result<PathBuf, WheelRefused> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        patience.check().map_err(io::Error::other)?;
        if found.len() > MOST_FOUND {
            break;
        }
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".whl") {
            found.push(name);
        }
    }
    found.sort();
    let [name] = &found[..] else { return Err(WheelRefused::NotOneWheel { found }) };
    if name != reported_name {
        return Err(WheelRefused::NotReported { reported: reported_name.to_owned(), found: name.clone() });
    }
    let path = directory.join(name);
    if !fs_err::symlink_metadata(&path)?.is_file() {
        return Err(WheelRefused::NotAFile { wheel: name.clone() });
    }
    Ok(path)
}

/// Name and version must be the sdist's, and the same in all three places that state them.
fn check_identity(archive: &WheelArchive, expected: &ExpectedWheel) -> Result<(), WheelRefused> {
    let file_name = &archive.file_name;
    let (name, version) = (&archive.metadata.name, &archive.metadata.version);
    let differs = |what, place: &str, found: &dyn ToString, expected: &dyn ToString| {
        Err(WheelRefused::Identity {
            wheel: file_name.to_string(),
            what,
            place: place.to_owned(),
            found: found.to_string(),
            expected: expected.to_string(),
        })
    };
    if let Some(expected) = expected.name.filter(|expected| *expected != name) {
        return differs("name", "METADATA", name, expected);
    }
    if let Some(expected) = expected.version.filter(|expected| *expected != version) {
        return differs("version", "METADATA", version, expected);
    }
    if file_name.name != *name {
        return differs("name", "its file name", &file_name.name, name);
    }
    if file_name.version != *version {
        return differs("version", "its file name", &file_name.version, version);
    }
    let stem = archive.dist_info.strip_suffix(".dist-info").unwrap_or(&archive.dist_info);
    let (directory_name, directory_version) = stem.rsplit_once('-').unwrap_or((stem, ""));
    if directory_name.parse().ok().as_ref() != Some(name) {
        return differs("name", &archive.dist_info, &directory_name, name);
    }
    if directory_version.replace('_', "-").parse().ok().as_ref() != Some(version) {
        return differs("version", &archive.dist_info, &directory_version, version);
    }
    Ok(())
}

/// The tags of the file name must be those of WHEEL, and one of them must fit interpreter and target.
fn check_tags(archive: &WheelArchive, expected: &ExpectedWheel) -> Result<(), WheelRefused> {
    let (named, inside) = (archive.file_name.tags(), &archive.wheel.tags);
    let wheel = || archive.file_name.to_string();
    if named != *inside {
        let missing = named.difference(inside).map(Tag::to_string).collect();
        let extra = inside.difference(&named).map(Tag::to_string).collect();
        return Err(WheelRefused::TagsDiffer { wheel: wheel(), missing, extra });
    }
    if archive.file_name.build != archive.wheel.build {
        let named = archive.file_name.build.clone();
        return Err(WheelRefused::BuildTagDiffers {
            wheel: wheel(),
            named,
            inside: archive.wheel.build.clone(),
        });
    }
    let compatible = expected.python.compatible_tags(expected.target, expected.glibc);
    if !named.iter().any(|tag| compatible.accepts(tag)) {
        return Err(WheelRefused::Incompatible {
            wheel: wheel(),
            why: why_incompatible(&named, expected),
            python: expected.python.version_text(),
            target: expected.target,
            glibc: expected.glibc,
        });
    }
    Ok(())
}

/// The first thing that is wrong with the last of the tags, in words.
fn why_incompatible(tags: &BTreeSet<Tag>, expected: &ExpectedWheel) -> String {
    let Some(tag) = tags.last() else { return "it has no tags".into() };
    let platform = tag.platform();
    let machine = expected.target.arch.machine();
    if platform.starts_with("musllinux") {
        return format!("`{platform}` is for systems with the C library musl");
    }
    if platform != "any" && !platform.ends_with(&format!("_{machine}")) {
        return format!("`{platform}` is not for {machine}");
    }
    match (tag.manylinux_glibc(), expected.glibc) {
        (Some(needed), None) => return format!("`{platform}` needs glibc {needed}"),
        (Some(needed), Some(available)) if needed > available => {
            return format!("`{platform}` needs glibc {needed}");
        }
        (None, _) if platform != "any" && platform != format!("linux_{machine}") => {
            return format!("`{platform}` is no platform of Linux with glibc");
        }
        _ => {}
    }
    format!("`{}-{}` is for another Python", tag.python(), tag.abi())
}

fn check_listed_files_exist(archive: &WheelArchive) -> Result<(), WheelRefused> {
    let members: BTreeSet<&str> = archive.members.iter().map(|member| member.name.as_str()).collect();
    match archive.record.paths().find(|path| !members.contains(path)) {
        None => Ok(()),
        Some(path) => Err(WheelRefused::ListedButAbsent {
            wheel: archive.file_name.to_string(),
            member: path.to_owned(),
        }),
    }
}

/// What the members are, taken together.
#[derive(Default)]
struct Contents {
    /// The members with machine code.
    native: Vec<String>,
    /// The newest glibc they need.
    glibc: Option<Glibc>,
    libraries: NeededLibraries,
    /// Members with code for devices, which no processor runs.
    device_code: Vec<String>,
}

/// Reads every member once: compares it with RECORD, and examines it if it is machine code.
fn check_members(
    archive: &mut WheelArchive,
    expected: &ExpectedWheel,
    patience: Patience<'_>,
) -> Result<Contents, WheelRefused> {
    let mut contents = Contents::default();
    for member in archive.members.clone() {
        patience.check().map_err(io::Error::other)?;
        let (digest, length, code) = read_member(archive, &member)?;
        if !archive.is_exempt_from_record(&member.name) {
            archive.record.check(&member.name, digest, length, true).map_err(|source| {
                WheelRefused::Record {
                    wheel: archive.file_name.to_string(),
                    member: member.name.clone(),
                    source,
                }
            })?;
        }
        if let Some(mut code) = code {
            examine_code(&mut code, member.name, archive, expected, &mut contents)?;
        }
    }
    Ok(contents)
}

/// Digest and length of a member; and its content, if that is machine code.
fn read_member(
    archive: &mut WheelArchive,
    member: &WheelMember,
) -> Result<(Sha256, u64, Option<tempfile::SpooledTempFile>), WheelRefused> {
    let mut magic = Vec::new();
    let mut reader = HashingReader::new(archive.read(member)?);
    let read = (|| {
        reader.by_ref().take(AR_MAGIC.len() as u64).read_to_end(&mut magic)?;
        if !magic.starts_with(ELF_MAGIC) && magic != AR_MAGIC {
            io::copy(&mut reader, &mut io::sink())?;
            return Ok(None);
        }
        if member.size > MOST_CODE_BYTES {
            let problem = format!("has {} bytes of machine code, more than {MOST_CODE_BYTES}", member.size);
            return Err(io::Error::other(problem));
        }
        let mut code = tempfile::spooled_tempfile(SPOOL_BYTES);
        io::copy(&mut (&magic[..]).chain(&mut reader), &mut code)?;
        Ok(Some(code))
    })();
    let (digest, length) = reader.finish();
    match read {
        Ok(code) => Ok((digest, length, code)),
        Err(error) => {
            let error: io::Error = error;
            Err(archive.member_error(&member.name, format!("cannot be read: {error}")).into())
        }
    }
}

fn examine_code(
    code: &mut tempfile::SpooledTempFile,
    member: String,
    archive: &WheelArchive,
    expected: &ExpectedWheel,
    contents: &mut Contents,
) -> Result<(), WheelRefused> {
    let wheel = || archive.file_name.to_string();
    let needs = elf::examine(code, expected.target.arch).map_err(|source| WheelRefused::Elf {
        wheel: wheel(),
        member: member.clone(),
        source,
    })?;
    if needs.device_code {
        contents.device_code.push(member);
        return Ok(());
    }
    if let (Some(needed), Some(allowed)) = (needs.glibc, expected.glibc)
        && needed > allowed
    {
        return Err(WheelRefused::GlibcTooNew { wheel: wheel(), member, needed, allowed });
    }
    contents.glibc = contents.glibc.max(needs.glibc);
    contents.libraries.add(&member, &needs);
    contents.native.push(member);
    Ok(())
}

/// Tags and `Root-Is-Purelib` must not deny machine code that is there, and there must be some if the
/// sdist has sources for it.
fn check_purity(
    archive: &WheelArchive,
    contents: &Contents,
    expectation: NativeExpectation,
) -> Result<(), WheelRefused> {
    let wheel = || archive.file_name.to_string();
    let Some(member) = contents.native.first() else {
        return match expectation {
            NativeExpectation::Required => Err(WheelRefused::FellBackToPure { wheel: wheel() }),
            NativeExpectation::Any | NativeExpectation::Forbidden => Ok(()),
        };
    };
    if expectation == NativeExpectation::Forbidden {
        return Err(WheelRefused::UnexpectedNative { wheel: wheel(), member: member.clone() });
    }
    if archive.file_name.tags().iter().any(Tag::is_pure) {
        return Err(WheelRefused::PureTagWithCode { wheel: wheel(), member: member.clone() });
    }
    if archive.wheel.root_is_purelib {
        // `NAME-VERSION.data/platlib` and `…/scripts` may hold machine code beside a pure root.
        if let Some(member) = contents.native.iter().find(|member| split_data_member(member).is_none()) {
            return Err(WheelRefused::PureRootWithCode { wheel: wheel(), member: member.clone() });
        }
    }
    Ok(())
}

fn remarks(tags: &BTreeSet<Tag>, contents: &Contents, root_is_purelib: bool) -> Vec<String> {
    let mut notes = Vec::new();
    let claims_platform = tags.iter().any(|tag| tag.platform() != "any");
    if claims_platform && contents.native.is_empty() {
        notes.push("the tags name a platform, but there is no machine code in the wheel".to_owned());
    }
    if !claims_platform && !root_is_purelib {
        notes.push("Root-Is-Purelib is false, but the wheel is for any platform".to_owned());
    }
    let promised = tags.iter().filter_map(Tag::manylinux_glibc).min();
    if let (Some(promised), Some(needed)) = (promised, contents.glibc)
        && needed > promised
    {
        notes.push(format!("the tags promise glibc {promised}, but the wheel needs glibc {needed}"));
    }
    if let Some(member) = contents.device_code.first() {
        notes.push(format!("`{member}` is code for a device or virtual machine and was not checked"));
    }
    notes
}
