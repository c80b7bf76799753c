//! Writes tar streams byte by byte, right and wrong ones, without any library that would stop us.

pub const BLOCK: usize = 512;

/// One header and the contents behind it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: Vec<u8>,
    pub kind: u8,
    pub mode: u32,
    pub mtime: i64,
    pub target: Vec<u8>,
    pub contents: Vec<u8>,
    /// What the header says instead of the length of `contents`.
    pub size: Option<u64>,
    /// `ustar\0` + `00`, `ustar  \0`, or nothing for V7.
    pub magic: &'static [u8],
}

pub const USTAR: &[u8] = b"ustar\x0000";
pub const GNU: &[u8] = b"ustar  \0";
pub const V7: &[u8] = b"";

pub fn entry(kind: u8, name: impl AsRef<[u8]>) -> Entry {
    Entry {
        name: name.as_ref().to_vec(),
        kind,
        mode: 0o644,
        mtime: 1_700_000_000,
        target: Vec::new(),
        contents: Vec::new(),
        size: None,
        magic: USTAR,
    }
}

pub fn file(name: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) -> Entry {
    Entry { contents: contents.as_ref().to_vec(), ..entry(b'0', name) }
}

pub fn directory(name: impl AsRef<[u8]>) -> Entry {
    Entry { mode: 0o755, ..entry(b'5', name) }
}

pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Entry {
    Entry { target: target.as_ref().to_vec(), ..entry(b'2', name) }
}

pub fn hardlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Entry {
    Entry { target: target.as_ref().to_vec(), ..entry(b'1', name) }
}

/// A PAX extended header (`x`) or global header (`g`).
pub fn pax(kind: u8, records: &[(&str, &[u8])]) -> Entry {
    let mut contents = Vec::new();
    for (key, value) in records {
        let body = [b" ", key.as_bytes(), b"=", *value, b"\n"].concat();
        let mut length = body.len() + 1;
        while length != body.len() + length.to_string().len() {
            length += 1;
        }
        contents.extend(length.to_string().into_bytes());
        contents.extend(body);
    }
    Entry { contents, ..entry(kind, "PaxHeader") }
}

/// A GNU long name (`L`) or long link target (`K`).
pub fn gnu_long(kind: u8, text: impl AsRef<[u8]>) -> Entry {
    let contents = [text.as_ref(), b"\0"].concat();
    Entry { contents, magic: GNU, ..entry(kind, "././@LongLink") }
}

impl Entry {
    pub fn with_target(self, target: &str) -> Self {
        Self { target: target.as_bytes().to_vec(), ..self }
    }

    /// The header with its checksum, the contents, and the padding.
    pub fn bytes(&self) -> Vec<u8> {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, format!("{:07o}\0", self.mode & 0o7777777).as_bytes());
        put(108, b"0000000\x000000000\0");
        let size = self.size.unwrap_or(self.contents.len() as u64);
        put(124, &number(size.into()));
        put(136, &number(self.mtime.into()));
        put(156, &[self.kind]);
        put(157, &self.target[..self.target.len().min(100)]);
        put(257, self.magic);
        seal(&mut block);
        let mut bytes = block.to_vec();
        bytes.extend(&self.contents);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }
}

/// Octal, or base 256 where octal cannot say it.
fn number(value: i128) -> [u8; 12] {
    let mut field = [0; 12];
    if (0..1 << 33).contains(&value) {
        field.copy_from_slice(format!("{value:011o}\0").as_bytes());
    } else {
        field.copy_from_slice(&value.to_be_bytes()[4..]);
        field[0] |= 0x80;
    }
    field
}

/// Puts the right checksum into a header.
pub fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block[..BLOCK].iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// The entries without an end.
pub fn unended(entries: &[Entry]) -> Vec<u8> {
    entries.iter().flat_map(Entry::bytes).collect()
}

/// The entries and two blocks of zeros.
pub fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = unended(entries);
    bytes.extend([0; 2 * BLOCK]);
    bytes
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
