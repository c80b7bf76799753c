//! What an ELF file needs of the machine it is loaded on: architecture, the newest glibc, and other libraries.
//! Reads what the dynamic loader reads (program headers and the dynamic segment, not sections, which
//! may be stripped or lie), a few kilobytes whatever the size of the file. Static libraries are looked
//! into, too. Knows nothing of wheels.

use std::io::{self, Read, Seek, SeekFrom};

use object::Endianness;
use object::elf::{
    DT_NEEDED, DT_SONAME, DT_STRTAB, DT_VERNEED, DT_VERNEEDNUM, Dyn64, ELFCLASS64, ELFDATA2LSB, EM_AMDGPU,
    EM_BPF, EM_CUDA, FileHeader64, PT_DYNAMIC, PT_LOAD, ProgramHeader64, Vernaux, Verneed,
};
use object::pod::Pod;

use crate::platform::{Arch, Glibc};

/// Every ELF file begins with these bytes.
pub const ELF_MAGIC: &[u8; 4] = b"\x7fELF";
/// Every static library (`ar` archive) begins with these bytes.
pub const AR_MAGIC: &[u8; 8] = b"!<arch>\n";

const ENDIAN: Endianness = Endianness::Little;
/// Most bytes of a dynamic segment; real ones have a few hundred.
const MAX_DYNAMIC_BYTES: u64 = 1 << 20;
/// Most version requirements that are followed, so that a chain of links cannot go on for ever.
const MAX_VERSIONS: usize = 65_536;
/// Most libraries that one names; the largest real ones have some 200.
const MAX_LIBRARIES: usize = 4096;
/// Longest name of a library or version.
const MAX_NAME_BYTES: u64 = 4096;

/// What a file of machine code needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElfNeeds {
    /// The newest `GLIBC_x.y` symbol version it refers to.
    pub glibc: Option<Glibc>,
    /// The libraries that it names (`DT_NEEDED`), in its order.
    pub libraries: Vec<String>,
    /// The name by which others would name it (`DT_SONAME`).
    pub soname: Option<String>,
    /// It is code for a device or a virtual machine (CUDA, AMD GPU, BPF), not for a processor.
    pub device_code: bool,
}

/// Why a file cannot be loaded on a target.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Its structure is broken.
    #[error("is not a sound ELF file: {0}")]
    Malformed(&'static str),
    /// It is for another kind of machine.
    #[error("is {found}, not machine code for {}", .expected.machine())]
    Machine {
        /// What it is.
        found: String,
        /// What it should be.
        expected: Arch,
    },
    /// It is linked with musl, which no glibc system has.
    #[error("is linked with `{0}`, the C library musl, not with glibc")]
    Musl(String),
}

/// Reads what the ELF file or static library `file` needs, and refuses it if it is not for `arch`.
pub fn examine(file: &mut (impl Read + Seek), arch: Arch) -> Result<ElfNeeds, ElfError> {
    file.seek(SeekFrom::Start(0))?;
    let mut magic = [0; 8];
    file.read_exact(&mut magic).map_err(|_| ElfError::Malformed("it ends within its header"))?;
    if &magic == AR_MAGIC {
        return examine_static_library(file, arch);
    }
    let mut elf = Elf { file, loads: Vec::new() };
    let header: FileHeader64<Endianness> = *elf.machine_header(0, arch)?;
    if is_device_code(header.e_machine.get(ENDIAN).0) {
        return Ok(ElfNeeds { device_code: true, ..ElfNeeds::default() });
    }
    let Some(dynamic) = elf.dynamic(&header)? else { return Ok(ElfNeeds::default()) };
    let libraries = elf.libraries(&dynamic)?;
    let is_musl = |name: &&String| name.starts_with("libc.musl-") || name.starts_with("ld-musl-");
    if let Some(musl) = libraries.iter().find(is_musl) {
        return Err(ElfError::Musl(musl.clone()));
    }
    let soname = dynamic.soname.map(|name| elf.string(dynamic.strings, name)).transpose()?;
    Ok(ElfNeeds { glibc: elf.needed_glibc(&dynamic)?, libraries, soname, device_code: false })
}

/// Checks the machine of each object file in an `ar` archive. Objects have no symbol versions yet.
fn examine_static_library(file: &mut (impl Read + Seek), arch: Arch) -> Result<ElfNeeds, ElfError> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut elf = Elf { file, loads: Vec::new() };
    let mut offset = AR_MAGIC.len() as u64;
    // A header of 60 bytes: name, time, owner, group, mode, and at 48 the size in decimal; then the
    // content, padded to an even offset.
    while offset + 60 <= end {
        let header: [u8; 60] = elf.bytes(offset)?;
        let size = std::str::from_utf8(&header[48..58]).ok().and_then(|text| text.trim().parse::<u64>().ok());
        let size = size.ok_or(ElfError::Malformed("a member of the static library has no size"))?;
        offset += 60;
        if size >= 64 && offset + 64 <= end && elf.bytes::<4>(offset)? == *ELF_MAGIC {
            elf.machine_header(offset, arch)?;
        }
        offset = offset
            .checked_add(size)
            .and_then(|next| next.checked_next_multiple_of(2))
            .ok_or(ElfError::Malformed("a member of the static library has an absurd size"))?;
    }
    Ok(ElfNeeds::default())
}

fn is_device_code(machine: u16) -> bool {
    [EM_CUDA.0, EM_AMDGPU.0, EM_BPF.0].contains(&machine)
}

/// The parts of a dynamic segment that matter here; strings and tables as virtual addresses.
struct Dynamic {
    strings: u64,
    versions: Option<(u64, usize)>,
    needed: Vec<u64>,
    soname: Option<u64>,
}

struct Elf<'a, F> {
    file: &'a mut F,
    /// (virtual address, offset, size) of each loaded segment.
    loads: Vec<(u64, u64, u64)>,
}

impl<F: Read + Seek> Elf<'_, F> {
    /// Reads the header at `offset` and compares class, byte order and machine with `arch`.
    fn machine_header(&mut self, offset: u64, arch: Arch) -> Result<Box<FileHeader64<Endianness>>, ElfError> {
        let ident: [u8; 20] =
            self.bytes(offset).map_err(|_| ElfError::Malformed("it ends within its header"))?;
        let little = ident[5] == ELFDATA2LSB.0;
        let machine = [ident[18], ident[19]];
        let machine = if little { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
        let fits = machine == arch.elf_machine() || is_device_code(machine);
        if ident[4] != ELFCLASS64.0 || !little || !fits {
            let found = describe_machine(ident[4], little, machine);
            return Err(ElfError::Machine { found, expected: arch });
        }
        self.pod(offset).map_err(|_| ElfError::Malformed("it ends within its header")).map(Box::new)
    }

    /// Finds and reads the dynamic segment; object files and static programs have none.
    fn dynamic(&mut self, header: &FileHeader64<Endianness>) -> Result<Option<Dynamic>, ElfError> {
        let count = header.e_phnum.get(ENDIAN);
        if count == 0 {
            return Ok(None);
        }
        if usize::from(header.e_phentsize.get(ENDIAN)) != size_of::<ProgramHeader64<Endianness>>() {
            return Err(ElfError::Malformed("its program headers have an unknown size"));
        }
        let mut found = None;
        for index in 0..u64::from(count) {
            let offset = header.e_phoff.get(ENDIAN).checked_add(index * 56);
            let offset = offset.ok_or(ElfError::Malformed("its program headers are out of bounds"))?;
            let segment: ProgramHeader64<Endianness> = self.pod(offset)?;
            let (start, size) = (segment.p_offset.get(ENDIAN), segment.p_filesz.get(ENDIAN));
            if segment.p_type.get(ENDIAN) == PT_LOAD {
                self.loads.push((segment.p_vaddr.get(ENDIAN), start, size));
            } else if segment.p_type.get(ENDIAN) == PT_DYNAMIC {
                found = Some((start, size));
            }
        }
        let Some((start, size)) = found else { return Ok(None) };
        if size > MAX_DYNAMIC_BYTES {
            return Err(ElfError::Malformed("its dynamic segment is absurdly large"));
        }
        self.read_dynamic(start, size).map(Some)
    }

    fn read_dynamic(&mut self, start: u64, size: u64) -> Result<Dynamic, ElfError> {
        let (mut strings, mut versions, mut version_count) = (0, None, 0);
        let (mut needed, mut soname) = (Vec::new(), None);
        for index in 0..size / 16 {
            let offset =
                start.checked_add(index * 16).ok_or(ElfError::Malformed("its dynamic segment wraps"))?;
            let entry: Dyn64<Endianness> = self.pod(offset)?;
            let value = entry.d_val.get(ENDIAN);
            match entry.d_tag.get(ENDIAN) {
                tag if tag.0 == 0 => break,
                tag if tag == DT_STRTAB => strings = value,
                tag if tag == DT_NEEDED && needed.len() == MAX_LIBRARIES => {
                    return Err(ElfError::Malformed("it names absurdly many libraries"));
                }
                tag if tag == DT_NEEDED => needed.push(value),
                tag if tag == DT_SONAME => soname = Some(value),
                tag if tag == DT_VERNEED => versions = Some(value),
                tag if tag == DT_VERNEEDNUM => version_count = usize::try_from(value).unwrap_or(usize::MAX),
                _ => {}
            }
        }
        let versions = versions.map(|address| (address, version_count));
        Ok(Dynamic { strings, versions, needed, soname })
    }

    fn libraries(&mut self, dynamic: &Dynamic) -> Result<Vec<String>, ElfError> {
        dynamic.needed.iter().map(|name| self.string(dynamic.strings, *name)).collect()
    }

    /// Follows the version requirements (`Verneed` records, one per library) for the newest glibc.
    fn needed_glibc(&mut self, dynamic: &Dynamic) -> Result<Option<Glibc>, ElfError> {
        let Some((mut library_at, count)) = dynamic.versions else { return Ok(None) };
        let wraps = || ElfError::Malformed("its version requirements wrap");
        let (mut newest, mut followed) = (None, 0);
        for _ in 0..count {
            let library: Verneed<Endianness> = self.pod_at_address(library_at)?;
            let mut version_at =
                library_at.checked_add(library.vn_aux.get(ENDIAN).into()).ok_or_else(wraps)?;
            for _ in 0..library.vn_cnt.get(ENDIAN) {
                followed += 1;
                if followed > MAX_VERSIONS {
                    return Err(ElfError::Malformed("it has absurdly many version requirements"));
                }
                let version: Vernaux<Endianness> = self.pod_at_address(version_at)?;
                let name = self.string(dynamic.strings, version.vna_name.get(ENDIAN).into())?;
                newest = newest.max(glibc_of_symbol_version(&name));
                let next = version.vna_next.get(ENDIAN);
                version_at = version_at.checked_add(next.into()).ok_or_else(wraps)?;
            }
            match library.vn_next.get(ENDIAN) {
                0 => break,
                next => library_at = library_at.checked_add(next.into()).ok_or_else(wraps)?,
            }
        }
        Ok(newest)
    }

    /// The string at `offset` of the string table, whose address is `table`.
    fn string(&mut self, table: u64, offset: u64) -> Result<String, ElfError> {
        let address = table.checked_add(offset).ok_or(ElfError::Malformed("a name is out of bounds"))?;
        let start = self.offset_of(address)?;
        self.file.seek(SeekFrom::Start(start))?;
        let (mut bytes, mut chunk) = (Vec::new(), [0; 64]);
        while (bytes.len() as u64) < MAX_NAME_BYTES {
            let count = self.file.read(&mut chunk)?;
            if let Some(end) = chunk[..count].iter().position(|byte| *byte == 0) {
                bytes.extend_from_slice(&chunk[..end]);
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
            if count == 0 {
                break;
            }
            bytes.extend_from_slice(&chunk[..count]);
        }
        Err(ElfError::Malformed("a name does not end"))
    }

    fn pod_at_address<T: Pod>(&mut self, address: u64) -> Result<T, ElfError> {
        let offset = self.offset_of(address)?;
        self.pod(offset)
    }

    fn offset_of(&self, address: u64) -> Result<u64, ElfError> {
        self.loads
            .iter()
            .find_map(|(start, offset, size)| {
                let within = address.checked_sub(*start).filter(|within| within < size)?;
                offset.checked_add(within)
            })
            .ok_or(ElfError::Malformed("an address is in no loaded segment"))
    }

    fn pod<T: Pod>(&mut self, offset: u64) -> Result<T, ElfError> {
        // The largest structure read here is the file header, 64 bytes; u64s align any of them.
        let mut buffer = [0u64; 8];
        let bytes = object::pod::bytes_of_slice_mut(&mut buffer);
        let bytes = bytes.get_mut(..size_of::<T>()).ok_or(ElfError::Malformed("a record is too large"))?;
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(bytes).map_err(past_the_end)?;
        let (value, _) = object::pod::from_bytes::<T>(bytes)
            .map_err(|()| ElfError::Malformed("a record is misaligned"))?;
        Ok(*value)
    }

    fn bytes<const N: usize>(&mut self, offset: u64) -> Result<[u8; N], ElfError> {
        let mut bytes = [0; N];
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(&mut bytes).map_err(past_the_end)?;
        Ok(bytes)
    }
}

fn past_the_end(error: io::Error) -> ElfError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ElfError::Malformed("it refers to bytes past its end"),
        _ => ElfError::Io(error),
    }
}

/// `GLIBC_2.34` → 2.34. `GLIBC_ABI_*` marks features of the loader: DT_RELR came with 2.36, the
/// others (`GNU_TLS`, `GNU2_TLS`) with 2.42. `GLIBC_PRIVATE` names no version.
fn glibc_of_symbol_version(name: &str) -> Option<Glibc> {
    match name.strip_prefix("GLIBC_")? {
        "ABI_DT_RELR" => Some(Glibc { major: 2, minor: 36 }),
        abi if abi.starts_with("ABI_") => Some(Glibc { major: 2, minor: 42 }),
        version => {
            let mut parts = version.split('.');
            let (major, minor) = (parts.next()?, parts.next()?);
            Some(Glibc { major: major.parse().ok()?, minor: minor.parse().ok()? })
        }
    }
}

fn describe_machine(class: u8, little: bool, machine: u16) -> String {
    let bits = if class == ELFCLASS64.0 { "64" } else { "32" };
    let order = if little { "" } else { " big-endian" };
    let name = match machine {
        3 => "x86",
        8 => "MIPS",
        20 => "PowerPC",
        21 => "PowerPC64",
        22 => "S/390",
        40 => "ARM",
        62 => "x86_64",
        183 => "aarch64",
        243 => "RISC-V",
        258 => "LoongArch",
        _ => return format!("a {bits}-bit{order} ELF file for machine number {machine}"),
    };
    format!("a {bits}-bit{order} ELF file for {name}")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn own_binary() -> Vec<u8> {
        fs_err::read(std::env::current_exe().unwrap()).unwrap()
    }

    /// An ELF header without any segment, as object files have it.
    fn header(class: u8, order: u8, machine: u16) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..4].copy_from_slice(ELF_MAGIC);
        (bytes[4], bytes[5], bytes[6]) = (class, order, 1);
        bytes[18..20].copy_from_slice(&if order == 1 {
            machine.to_le_bytes()
        } else {
            machine.to_be_bytes()
        });
        bytes
    }

    fn needs(bytes: &[u8], arch: Arch) -> Result<ElfNeeds, String> {
        examine(&mut Cursor::new(bytes), arch).map_err(|error| error.to_string())
    }

    fn library_of(members: &[&[u8]]) -> Vec<u8> {
        let mut bytes = AR_MAGIC.to_vec();
        for member in members {
            bytes.extend_from_slice(format!("{:<48}{:<10}`\n", "m.o/", member.len()).as_bytes());
            bytes.extend_from_slice(member);
            bytes.resize(bytes.len().next_multiple_of(2), b'\n');
        }
        bytes
    }

    #[test]
    fn the_newest_glibc_symbol_of_a_dynamic_program_is_found() {
        let found = needs(&own_binary(), Arch::host()).unwrap();
        let glibc = found.glibc.expect("tests are linked with glibc");
        assert!(("2.2".parse().unwrap()..="2.99".parse().unwrap()).contains(&glibc), "{glibc}");
        assert!(found.libraries.contains(&"libc.so.6".to_owned()), "{found:?}");
        assert_eq!(found.soname, None);
    }

    #[test]
    fn symbol_versions_map_to_glibc_versions() {
        let text = |name| glibc_of_symbol_version(name).map(|glibc| glibc.to_string());
        assert_eq!(text("GLIBC_2.34").as_deref(), Some("2.34"));
        assert_eq!(text("GLIBC_2.2.5").as_deref(), Some("2.2"));
        assert_eq!(text("GLIBC_ABI_DT_RELR").as_deref(), Some("2.36"));
        assert_eq!(text("GLIBC_PRIVATE"), None);
        assert_eq!(text("GLIBCXX_3.4.30"), None);
    }

    #[test]
    fn code_for_another_machine_is_refused_by_name() {
        for (bytes, expected) in [
            (header(2, 1, 183), "is a 64-bit ELF file for aarch64, not machine code for x86_64"),
            (header(1, 1, 3), "is a 32-bit ELF file for x86, not"),
            (header(2, 2, 22), "is a 64-bit big-endian ELF file for S/390, not"),
            (header(2, 1, 9999), "for machine number 9999"),
            (ELF_MAGIC.to_vec(), "it ends within its header"),
            (header(2, 1, 62)[..40].to_vec(), "it ends within its header"),
        ] {
            let error = needs(&bytes, Arch::Amd64).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(needs(&header(2, 1, 62), Arch::Amd64).unwrap(), ElfNeeds::default());
        assert!(needs(&header(2, 1, 247), Arch::Amd64).unwrap().device_code);
    }

    #[test]
    fn every_object_of_a_static_library_is_looked_at() {
        let (own, other) = (header(2, 1, 62), header(2, 1, 183));
        assert!(needs(&library_of(&[b"symbol index", &own, &own]), Arch::Amd64).is_ok());
        let error = needs(&library_of(&[b"odd", &own, &other]), Arch::Amd64).unwrap_err();
        assert!(error.contains("aarch64"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_damaged_program_never_panics(
            damage in prop::collection::vec((0usize..4096, any::<u8>()), 1..20), cut in 0usize..4096
        ) {
            // The first pages hold the headers, and in most programs the dynamic strings and versions.
            let mut bytes = own_binary();
            bytes.truncate(1 << 16);
            for (at, byte) in damage {
                bytes[at] = byte;
            }
            let _ = examine(&mut Cursor::new(&bytes), Arch::host());
            let _ = examine(&mut Cursor::new(&bytes[..cut]), Arch::host());
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = examine(&mut Cursor::new(&bytes), Arch::Amd64);
            let _ = examine(&mut Cursor::new([&AR_MAGIC[..], &bytes].concat()), Arch::Amd64);
        }
    }
}
