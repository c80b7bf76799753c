//! The one thing to be known of a program before it can be started in another root file system: whether it brings
//! all it needs, or names a loader. Knows nothing of architectures.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use object::elf::{FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, ReadCache};

/// The loader that the program at `path` asks the kernel for (`PT_INTERP`); none if it is statically linked.
///
/// # Errors
/// If the file cannot be read, or is no ELF program of 64 bits.
pub fn program_interpreter(path: &Path) -> io::Result<Option<PathBuf>> {
    let invalid = |problem: &str| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} is no program: {problem}", path.display()))
    };
    let file = ReadCache::new(fs_err::File::open(path)?);
    let malformed = |error: object::read::Error| invalid(&error.to_string());
    let header = FileHeader64::<Endianness>::parse(&file).map_err(malformed)?;
    let endian = header.endian().map_err(malformed)?;
    for segment in header.program_headers(endian, &file).map_err(malformed)? {
        if segment.p_type(endian) != PT_INTERP {
            continue;
        }
        let name =
            segment.data(endian, &file).map_err(|()| invalid("its loader's name lies outside of it"))?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        return Ok(Some(OsStr::from_bytes(&name[..end]).into()));
    }
    Ok(None)
}
