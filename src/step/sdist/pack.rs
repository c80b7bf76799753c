//! An archive of a directory that is the same each time: members in order, no times but one, no owners, modes 0644 and
//! 0755. Backends do not agree on any of these: setuptools archives the times and owners of files, and gzip's own time;
//! flit and hatchling do not. Knows nothing of what is in the archive.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use crate::step::backend::environment::DEFAULT_SOURCE_DATE_EPOCH;

/// Writes `directory`, and what is in it, as a `.tar.gz` to the new file `archive`, all of it below a directory named
/// `top_level`. How many members it has.
pub(super) fn pack(directory: &Path, top_level: &str, archive: &Path) -> io::Result<u64> {
    let members = members(directory)?;
    let file = io::BufWriter::new(fs_err::File::create_new(archive)?);
    // The header has no time and no name unless one is given.
    let mut builder = Builder::new(GzEncoder::new(file, Compression::default()));
    for relative in &members {
        let place = Path::new(top_level).join(relative);
        add(&mut builder, &directory.join(relative), &place)?;
    }
    builder.into_inner()?.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(members.len() as u64)
}

/// The directory itself, and everything below it, by paths relative to it, in their order.
fn members(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut members = vec![PathBuf::new()];
    let mut left = vec![PathBuf::new()];
    while let Some(relative) = left.pop() {
        for entry in fs_err::read_dir(directory.join(&relative))? {
            let entry = entry?;
            let below = relative.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                left.push(below.clone());
            }
            members.push(below);
        }
    }
    members.sort();
    Ok(members)
}

fn add<W: io::Write>(builder: &mut Builder<W>, from: &Path, place: &Path) -> io::Result<()> {
    let metadata = fs_err::symlink_metadata(from)?;
    let mut header = Header::new_gnu();
    header.set_mtime(DEFAULT_SOURCE_DATE_EPOCH);
    header.set_size(0);
    if metadata.is_dir() {
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        builder.append_data(&mut header, place.join(""), io::empty())
    } else if metadata.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        builder.append_link(&mut header, place, fs_err::read_link(from)?)
    } else {
        let executable = metadata.permissions().mode() & 0o111 != 0;
        header.set_entry_type(EntryType::Regular);
        header.set_mode(if executable { 0o755 } else { 0o644 });
        header.set_size(metadata.len());
        builder.append_data(&mut header, place, fs_err::File::open(from)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::unpack;
    use crate::contract::ArchiveLimits;

    #[test]
    fn what_is_packed_can_be_unpacked_and_is_the_same_whenever_it_is_packed() {
        let directory = tempfile::tempdir().unwrap();
        let make = |name: &str, order: &[&str]| {
            let tree = directory.path().join(name);
            for file in order {
                let place = tree.join(file);
                fs_err::create_dir_all(place.parent().unwrap()).unwrap();
                fs_err::write(&place, file).unwrap();
            }
            fs_err::os::unix::fs::symlink("a/b", tree.join("link")).unwrap();
            let archive = directory.path().join(format!("{name}.tar.gz"));
            assert_eq!(pack(&tree, "a-1.0", &archive).unwrap(), 6);
            archive
        };
        let long = format!("a/{}", "x".repeat(200));
        let one = make("one", &["a/b", &long, "z"]);
        let two = make("two", &["z", &long, "a/b"]);
        assert_eq!(fs_err::read(&one).unwrap(), fs_err::read(two).unwrap());
        let unpacked = unpack(&one, &directory.path().join("out"), &ArchiveLimits::default()).unwrap();
        assert_eq!(unpacked.top_level, "a-1.0");
        assert_eq!(fs_err::read_to_string(unpacked.root.join(&long)).unwrap(), long);
        assert_eq!(fs_err::read_link(unpacked.root.join("link")).unwrap(), Path::new("a/b"));
    }
}
