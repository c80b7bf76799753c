//! Writes zip archives byte by byte, right and wrong ones, without any library that would stop us.

pub const DESCRIPTOR: u16 = 1 << 3;
pub const UTF8: u16 = 1 << 11;
/// "Version made by" of a Unix and of MS-DOS.
pub const UNIX: u16 = 3 << 8 | 20;
pub const DOS: u16 = 20;

/// One entry. What is not set otherwise is right, and the same in both headers.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: Vec<u8>,
    pub contents: Vec<u8>,
    pub deflate: bool,
    pub made_by: u16,
    /// Unix mode with type.
    pub mode: u32,
    pub flags: u16,
    pub central_extra: Vec<u8>,
    /// Sizes only in zip64 extra fields.
    pub zip64: bool,
    /// What the local header says instead.
    pub local_name: Option<Vec<u8>>,
    pub local_size: Option<u32>,
    pub local_method: Option<u16>,
    pub central_method: Option<u16>,
    pub crc: Option<u32>,
    /// What the central directory says instead of the right uncompressed size.
    pub size: Option<u32>,
    /// Where the central directory says the entry begins, instead.
    pub offset: Option<u32>,
    /// Bytes behind the end of the deflated data that count as part of it.
    pub junk: Vec<u8>,
    /// Bytes after the contents that belong to nothing.
    pub gap: Vec<u8>,
}

pub fn file(name: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) -> Entry {
    Entry {
        name: name.as_ref().to_vec(),
        contents: contents.as_ref().to_vec(),
        deflate: true,
        made_by: UNIX,
        mode: 0o100644,
        flags: 0,
        central_extra: Vec::new(),
        zip64: false,
        local_name: None,
        local_size: None,
        local_method: None,
        central_method: None,
        crc: None,
        size: None,
        offset: None,
        junk: Vec::new(),
        gap: Vec::new(),
    }
}

pub fn directory(name: impl AsRef<[u8]>) -> Entry {
    Entry { mode: 0o040755, deflate: false, ..file(name, "") }
}

pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Entry {
    Entry { mode: 0o120777, deflate: false, ..file(name, target) }
}

pub fn zip(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut central = Vec::new();
    for entry in entries {
        let offset = entry.offset.unwrap_or(bytes.len() as u32);
        let mut data = if entry.deflate { deflate(&entry.contents) } else { entry.contents.clone() };
        data.extend(&entry.junk);
        let crc = entry.crc.unwrap_or_else(|| crc(&entry.contents));
        let method = if entry.deflate { 8 } else { 0 };
        let size = entry.size.unwrap_or(entry.contents.len() as u32);
        let compressed = data.len() as u32;
        let wide = [
            &1u16.to_le_bytes()[..],
            &16u16.to_le_bytes(),
            &u64::from(size).to_le_bytes(),
            &u64::from(compressed).to_le_bytes(),
        ]
        .concat();
        let sizes = |size: u32, compressed: u32| {
            if entry.zip64 { [[0xff; 4], [0xff; 4]] } else { [compressed.to_le_bytes(), size.to_le_bytes()] }
                .concat()
        };

        let left_open = entry.flags & DESCRIPTOR != 0;
        let local_name = entry.local_name.as_ref().unwrap_or(&entry.name);
        let local_extra: &[u8] = if entry.zip64 { &wide } else { &[] };
        bytes.extend(b"PK\x03\x04\x14\0");
        bytes.extend(entry.flags.to_le_bytes());
        bytes.extend(entry.local_method.unwrap_or(entry.central_method.unwrap_or(method)).to_le_bytes());
        bytes.extend(DATE);
        bytes.extend(if left_open { 0 } else { crc }.to_le_bytes());
        bytes.extend(if left_open {
            sizes(0, 0)
        } else {
            sizes(entry.local_size.unwrap_or(size), compressed)
        });
        bytes.extend((local_name.len() as u16).to_le_bytes());
        bytes.extend((local_extra.len() as u16).to_le_bytes());
        bytes.extend(local_name);
        bytes.extend(local_extra);
        bytes.extend(&data);
        if left_open {
            bytes.extend(b"PK\x07\x08");
            bytes.extend(crc.to_le_bytes());
            bytes.extend(compressed.to_le_bytes());
            bytes.extend(size.to_le_bytes());
        }
        bytes.extend(&entry.gap);

        let mut extra = entry.central_extra.clone();
        if entry.zip64 {
            extra.extend(&wide);
        }
        central.extend(b"PK\x01\x02");
        central.extend(entry.made_by.to_le_bytes());
        central.extend(b"\x14\0");
        central.extend(entry.flags.to_le_bytes());
        central.extend(entry.central_method.unwrap_or(method).to_le_bytes());
        central.extend(DATE);
        central.extend(crc.to_le_bytes());
        central.extend(sizes(size, compressed));
        central.extend((entry.name.len() as u16).to_le_bytes());
        central.extend((extra.len() as u16).to_le_bytes());
        central.extend([0; 6]); // comment, disk, internal attributes
        central.extend((entry.mode << 16).to_le_bytes());
        central.extend(offset.to_le_bytes());
        central.extend(&entry.name);
        central.extend(extra);
    }
    end(bytes, &central, entries.len() as u16)
}

/// 2023-11-14T22:13:20.
const DATE: [u8; 4] = [0xaa, 0xb1, 0x6e, 0x57];

/// Adds the central directory and the end record.
fn end(mut bytes: Vec<u8>, central: &[u8], count: u16) -> Vec<u8> {
    let offset = bytes.len() as u32;
    bytes.extend(central);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(count.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend((central.len() as u32).to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

/// The same archive with a zip64 end record and locator, and an end record that refers to them.
pub fn with_zip64_end(zip: &[u8]) -> Vec<u8> {
    let (body, end) = zip.split_at(zip.len() - 22);
    let count = u64::from(u16::from_le_bytes([end[8], end[9]]));
    let size = u64::from(u32::from_le_bytes([end[12], end[13], end[14], end[15]]));
    let offset = u64::from(u32::from_le_bytes([end[16], end[17], end[18], end[19]]));
    let mut bytes = body.to_vec();
    let record_at = bytes.len() as u64;
    bytes.extend(b"PK\x06\x06");
    bytes.extend(44u64.to_le_bytes());
    bytes.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for value in [count, count, size, offset] {
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend(record_at.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([0xff; 12]);
    bytes.extend([0, 0]);
    bytes
}

fn deflate(contents: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(contents).unwrap();
    encoder.finish().unwrap()
}

pub fn crc(contents: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(contents);
    crc.sum()
}
