//! What the machine code in a wheel needs of the machine it is installed on, and the wheel has not got: the newest glibc, and
//! libraries of others. By what the files themselves say, as whoever loads them goes by it; that a library which is in the
//! wheel is found there is not looked at. Knows nothing of where the wheel comes from, and refuses nothing: of a wheel of an
//! index it is for others to judge.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;

use pep440_rs::Version;
use pep508_rs::PackageName;

use super::elf::{self, ELF_MAGIC, ElfError, ElfNeeds};
use super::wheel_archive::{WheelArchive, WheelArchiveError, WheelMember};
use crate::patience::Patience;
use crate::platform::{Arch, Glibc};

/// Machine code up to this many bytes is examined in memory, more of it in a temporary file.
const SPOOL_BYTES: usize = 4 << 20;
/// Most bytes of one file that are looked into.
const MOST_CODE_BYTES: u64 = 4 << 30;
/// Most files that are named of those which could not be read.
const MOST_UNREAD: usize = 100;

/// What a wheel needs of the machine it is installed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WheelRequirements {
    /// The project that METADATA names, and its version.
    pub project: Option<(PackageName, Version)>,
    /// The newest `GLIBC_x.y` symbol version that any ELF file inside needs; none when pure or static.
    pub glibc_floor: Option<Glibc>,
    /// The libraries that files inside name, and that are neither in the wheel nor a part of glibc, such as
    /// `libstdc++.so.6`; sorted.
    pub foreign_libraries: Vec<String>,
    /// Files inside that are ELF and of which this could not be told: for another machine, or broken. At most 100.
    pub unread: Vec<String>,
}

/// Reads what the wheel at `path` needs on a machine of `arch`. Gives up once `patience` is over.
///
/// # Errors
/// If it is no wheel, or cannot be read.
pub fn wheel_requirements(
    path: &Path,
    arch: Arch,
    patience: Patience<'_>,
) -> Result<WheelRequirements, WheelArchiveError> {
    let mut archive = WheelArchive::open_patiently(path, patience)?;
    let project = Some((archive.metadata.name.clone(), archive.metadata.version.clone()));
    let mut found = WheelRequirements { project, ..WheelRequirements::default() };
    let mut libraries = NeededLibraries::default();
    for member in archive.members.clone() {
        patience.check().map_err(io::Error::other)?;
        match examine_member(&mut archive, &member, arch)? {
            Examined::NoCode => {}
            Examined::Code(needs) => {
                found.glibc_floor = found.glibc_floor.max(needs.glibc);
                libraries.add(&member.name, &needs);
            }
            // Nobody brings it along.
            Examined::Musl(library) => libraries.needs(library),
            Examined::Unreadable if found.unread.len() < MOST_UNREAD => found.unread.push(member.name),
            Examined::Unreadable => {}
        }
    }
    found.foreign_libraries = libraries.foreign();
    Ok(found)
}

enum Examined {
    NoCode,
    Code(ElfNeeds),
    /// Its C library.
    Musl(String),
    Unreadable,
}

fn examine_member(
    archive: &mut WheelArchive,
    member: &WheelMember,
    arch: Arch,
) -> Result<Examined, WheelArchiveError> {
    let mut reader = archive.read(member)?;
    let read = (|| {
        let mut magic = Vec::new();
        reader.by_ref().take(ELF_MAGIC.len() as u64).read_to_end(&mut magic)?;
        if magic != ELF_MAGIC {
            return Ok(None);
        }
        let mut code = tempfile::spooled_tempfile(SPOOL_BYTES);
        if member.size <= MOST_CODE_BYTES {
            io::copy(&mut (&magic[..]).chain(&mut reader), &mut code)?;
        }
        Ok(Some(code))
    })();
    drop(reader);
    let code: Result<_, io::Error> = read;
    let code =
        code.map_err(|error| archive.member_error(&member.name, format!("cannot be read: {error}")))?;
    let Some(mut code) = code else { return Ok(Examined::NoCode) };
    match elf::examine(&mut code, arch) {
        Ok(needs) => Ok(Examined::Code(needs)),
        Err(ElfError::Musl(library)) => Ok(Examined::Musl(library)),
        Err(ElfError::Io(error)) => Err(error.into()),
        Err(ElfError::Malformed(_) | ElfError::Machine { .. }) => Ok(Examined::Unreadable),
    }
}

/// The libraries that the files of a wheel name, and those that are among them.
#[derive(Clone, Debug, Default)]
pub struct NeededLibraries {
    named: BTreeSet<String>,
    brought: BTreeSet<String>,
}

impl NeededLibraries {
    /// Adds what the file `member` of the wheel needs, and is to others.
    pub fn add(&mut self, member: &str, needs: &ElfNeeds) {
        let file_name = member.rsplit('/').next().unwrap_or(member);
        self.brought.insert(file_name.to_owned());
        self.brought.extend(needs.soname.clone());
        self.named.extend(needs.libraries.iter().cloned());
    }

    fn needs(&mut self, library: String) {
        self.named.insert(library);
    }

    /// Those of others: neither in the wheel nor a part of glibc; sorted.
    pub fn foreign(&self) -> Vec<String> {
        self.named.difference(&self.brought).filter(|name| !is_of_glibc(name)).cloned().collect()
    }
}

/// Whether whoever has glibc has this library.
fn is_of_glibc(library: &str) -> bool {
    // `libc.so.6`, `ld-linux-aarch64.so.1`; by what stands before the first dot, as only the numbers differ.
    let (name, rest) = library.split_once('.').unwrap_or((library, ""));
    let is_of_glibc = name.starts_with("ld-linux")
        || matches!(
            name,
            "libc"
                | "libm"
                | "libmvec"
                | "libpthread"
                | "libdl"
                | "librt"
                | "libutil"
                | "libresolv"
                | "libnsl"
                | "libanl"
                | "libthread_db"
                | "libBrokenLocale"
        );
    is_of_glibc && rest.starts_with("so.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn needs(libraries: &[&str], soname: Option<&str>) -> ElfNeeds {
        let libraries = libraries.iter().map(|name| (*name).to_owned()).collect();
        ElfNeeds { libraries, soname: soname.map(str::to_owned), ..ElfNeeds::default() }
    }

    #[test]
    fn what_is_in_the_wheel_or_of_glibc_is_not_foreign() {
        let mut libraries = NeededLibraries::default();
        let of_glibc =
            ["libc.so.6", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"];
        libraries.add("pkg/a.so", &needs(&of_glibc, None));
        libraries.add(
            "pkg/b.so",
            &needs(&["libstdc++.so.6", "libz.so.1", "libblas-1a2b.so.0", "libown.so.1"], None),
        );
        libraries.add("pkg.libs/libblas-1a2b.so.0", &needs(&["libgfortran.so.5"], None));
        libraries.add("pkg/libother.so", &needs(&[], Some("libown.so.1")));
        assert_eq!(libraries.foreign(), ["libgfortran.so.5", "libstdc++.so.6", "libz.so.1"]);
    }

    #[test]
    fn what_only_looks_like_glibc_is_foreign() {
        for name in
            ["libc.musl-x86_64.so.1", "libcrypt.so.1", "libmagic.so.1", "libc", "libc++.so.1", "libm", ""]
        {
            assert!(!is_of_glibc(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_foreign_library_is_one_that_is_named(names in prop::collection::vec("(lib)?[a-c.]{0,5}(\\.so)?", 0..9)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut libraries = NeededLibraries::default();
            libraries.add("x.so", &needs(&names, None));
            let foreign = libraries.foreign();
            prop_assert!(foreign.is_sorted() && foreign.iter().all(|name| names.contains(&name.as_str())));
        }
    }
}
