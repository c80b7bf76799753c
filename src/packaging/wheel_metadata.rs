//! The files WHEEL and RECORD of a wheel's `.dist-info` (PEP 427, PEP 376).
//! Knows nothing of archives; METADATA is in `core_metadata`, `entry_points.txt` in `entry_points`.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mailparse::MailHeaderMap;

use super::tag::Tag;
use crate::digest::Sha256;

/// What WHEEL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelMetadata {
    /// `Wheel-Version`, major and minor.
    pub wheel_version: (u32, u32),
    /// `Root-Is-Purelib`: whether the archive's top level goes to purelib rather than platlib.
    pub root_is_purelib: bool,
    /// `Tag`, every line expanded.
    pub tags: BTreeSet<Tag>,
    /// `Build`: the build tag.
    pub build: Option<String>,
    /// `Generator`: what made the wheel.
    pub generator: Option<String>,
}

/// Why WHEEL or RECORD cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WheelMetadataError {
    /// WHEEL is not a block of headers.
    #[error("WHEEL is not a block of `Name: value` headers: {0}")]
    Headers(#[from] mailparse::MailParseError),
    /// A field WHEEL must have is absent or malformed.
    #[error("WHEEL has no valid field `{field}` (found {})", .value.as_deref().unwrap_or("none"))]
    Field {
        /// Name of the field.
        field: &'static str,
        /// Its value, if there is one.
        value: Option<String>,
    },
    /// A line of RECORD is malformed.
    #[error("line {line} of RECORD is not `path,hash,size`: {reason}")]
    Record {
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl WheelMetadata {
    /// Parses the bytes of WHEEL.
    pub fn parse(bytes: &[u8]) -> Result<Self, WheelMetadataError> {
        let (headers, _) = mailparse::parse_headers(bytes)?;
        let first = |field: &str| headers.get_first_value(field).map(|value| value.trim().to_owned());
        let invalid = |field: &'static str, value: Option<String>| WheelMetadataError::Field { field, value };

        let version = first("Wheel-Version");
        let root_is_purelib = first("Root-Is-Purelib");
        let mut tags = BTreeSet::new();
        for line in headers.get_all_values("Tag") {
            let expanded = expand_tag(line.trim()).ok_or_else(|| invalid("Tag", Some(line.clone())))?;
            tags.extend(expanded);
        }
        Ok(Self {
            wheel_version: version
                .as_deref()
                .and_then(parse_wheel_version)
                .ok_or_else(|| invalid("Wheel-Version", version))?,
            root_is_purelib: match root_is_purelib.as_deref().map(str::to_ascii_lowercase).as_deref() {
                Some("true") => true,
                Some("false") => false,
                _ => return Err(invalid("Root-Is-Purelib", root_is_purelib)),
            },
            tags,
            build: first("Build").filter(|build| !build.is_empty()),
            generator: first("Generator"),
        })
    }
}

fn parse_wheel_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Old tools wrote compressed tag sets (`py2.py3-none-any`) into WHEEL, where PEP 427 wants each tag
/// on a line of its own.
fn expand_tag(text: &str) -> Option<BTreeSet<Tag>> {
    let [pythons, abis, platforms] = *text.splitn(3, '-').collect::<Vec<_>>() else { return None };
    let mut tags = BTreeSet::new();
    for python in pythons.split('.') {
        for abi in abis.split('.') {
            for platform in platforms.split('.') {
                tags.insert(format!("{python}-{abi}-{platform}").parse().ok()?);
            }
        }
    }
    Some(tags)
}

/// One line of RECORD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordEntry {
    /// `ALGORITHM=DIGEST`, the digest in URL-safe base64; none where RECORD leaves it empty.
    pub hash: Option<String>,
    /// Size in bytes; none where RECORD leaves it empty.
    pub size: Option<u64>,
}

/// RECORD: every installed file, its hash and its size.
#[derive(Clone, Debug, Default)]
pub struct Record(BTreeMap<String, RecordEntry>);

/// How a file differs from what RECORD says of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordMismatch {
    /// RECORD does not list it.
    #[error("RECORD does not list it")]
    Unlisted,
    /// RECORD lists it without a hash.
    #[error("RECORD has no hash for it")]
    NoHash,
    /// RECORD lists it without a size.
    #[error("RECORD has no size for it")]
    NoSize,
    /// The hash is not SHA-256.
    #[error("RECORD has the hash `{0}` for it, which is not SHA-256")]
    NotSha256(String),
    /// Its content is another.
    #[error("RECORD has {listed} for it, but it has {found}")]
    Hash {
        /// The hash in RECORD.
        listed: String,
        /// The hash of the file.
        found: String,
    },
    /// Its length is another.
    #[error("RECORD says it has {listed} bytes, but it has {found}")]
    Size {
        /// The size in RECORD, in bytes.
        listed: u64,
        /// The size of the file, in bytes.
        found: u64,
    },
}

impl Record {
    /// Parses the bytes of RECORD.
    pub fn parse(bytes: &[u8]) -> Result<Self, WheelMetadataError> {
        let mut lines = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
        let mut entries = BTreeMap::new();
        for (index, line) in lines.records().enumerate() {
            let malformed = |reason: String| WheelMetadataError::Record { line: index as u64 + 1, reason };
            let line = line.map_err(|error| malformed(error.to_string()))?;
            let (path, hash, size) = match line.iter().collect::<Vec<_>>()[..] {
                [path, hash, size] => (path, hash, size),
                ref fields => return Err(malformed(format!("it has {} fields", fields.len()))),
            };
            let size = match size {
                "" => None,
                text => Some(text.parse().map_err(|_| malformed(format!("`{text}` is not a size")))?),
            };
            let entry = RecordEntry { hash: (!hash.is_empty()).then(|| hash.to_owned()), size };
            if entries.insert(path.to_owned(), entry.clone()).is_some_and(|earlier| earlier != entry) {
                return Err(malformed(format!("`{path}` is listed before with another hash or size")));
            }
        }
        Ok(Self(entries))
    }

    /// The paths RECORD lists, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Compares a file with what RECORD says of it. RECORD may leave out sizes, unless `strict`.
    pub fn check(&self, path: &str, found: Sha256, length: u64, strict: bool) -> Result<(), RecordMismatch> {
        let entry = self.0.get(path).ok_or(RecordMismatch::Unlisted)?;
        let listed = entry.hash.as_deref().ok_or(RecordMismatch::NoHash)?;
        if !listed.starts_with("sha256=") {
            return Err(RecordMismatch::NotSha256(listed.to_owned()));
        }
        match entry.size {
            Some(listed) if listed != length => return Err(RecordMismatch::Size { listed, found: length }),
            None if strict => return Err(RecordMismatch::NoSize),
            _ => {}
        }
        let found = record_hash(found);
        // Old tools padded the digest, although PEP 427 says not to.
        if listed.trim_end_matches('=') != found {
            return Err(RecordMismatch::Hash { listed: listed.to_owned(), found });
        }
        Ok(())
    }
}

/// A digest as RECORD has it: `sha256=` and URL-safe base64 without padding.
pub fn record_hash(digest: Sha256) -> String {
    format!("sha256={}", URL_SAFE_NO_PAD.encode(digest.as_bytes()))
}

/// A field of RECORD, quoted if it must be (RFC 4180).
pub fn record_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_fields_of_wheel_are_read_and_tags_expanded() {
        let text = b"Wheel-Version: 1.9\nGenerator: x\nRoot-Is-Purelib: True\nTag: py2.py3-none-any\n\
            Tag: cp311-abi3-linux_x86_64\nBuild: 1\n\n";
        let wheel = WheelMetadata::parse(text).unwrap();
        assert_eq!(wheel.wheel_version, (1, 9));
        assert!(wheel.root_is_purelib);
        assert_eq!(wheel.build.as_deref(), Some("1"));
        let tags: Vec<_> = wheel.tags.iter().map(Tag::to_string).collect();
        assert_eq!(tags, ["cp311-abi3-linux_x86_64", "py2-none-any", "py3-none-any"]);
    }

    #[test]
    fn a_missing_or_malformed_field_of_wheel_is_named() {
        for (text, field) in [
            ("Root-Is-Purelib: true\n", "Wheel-Version"),
            ("Wheel-Version: one\nRoot-Is-Purelib: true\n", "Wheel-Version"),
            ("Wheel-Version: 1.0\nRoot-Is-Purelib: maybe\n", "Root-Is-Purelib"),
            ("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none\n", "Tag"),
            ("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any-x\n", "Tag"),
        ] {
            let error = WheelMetadata::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(&format!("`{field}`")), "{error}");
        }
    }

    #[test]
    fn files_are_compared_with_their_line_in_record() {
        let digest = Sha256::of(b"x");
        let hash = record_hash(digest);
        let text = format!(
            "a,{hash},1\nb,{hash}=,\n\"c,d\",{hash},2\ne,,1\nf,md5=abc,1\ng,sha256=abc,1\na,{hash},1\n"
        );
        let record = Record::parse(text.as_bytes()).unwrap();
        assert_eq!(record.check("a", digest, 1, true), Ok(()));
        assert_eq!(record.check("b", digest, 1, false), Ok(()));
        assert_eq!(record.check("b", digest, 1, true), Err(RecordMismatch::NoSize));
        assert_eq!(record.check("c,d", digest, 1, false), Err(RecordMismatch::Size { listed: 2, found: 1 }));
        assert_eq!(record.check("e", digest, 1, false), Err(RecordMismatch::NoHash));
        assert!(matches!(record.check("f", digest, 1, false), Err(RecordMismatch::NotSha256(_))));
        assert!(matches!(record.check("g", digest, 1, false), Err(RecordMismatch::Hash { .. })));
        assert_eq!(record.check("z", digest, 1, false), Err(RecordMismatch::Unlisted));
    }

    #[test]
    fn a_malformed_record_names_the_line() {
        for (text, expected) in [
            ("a,,\nb,\n", "line 2 of RECORD is not `path,hash,size`: it has 2 fields"),
            ("a,,one\n", "`one` is not a size"),
            ("a,,1\na,,2\n", "`a` is listed before"),
        ] {
            let error = Record::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn fields_with_commas_and_quotes_survive_record() {
        let field = "a,\"b\"";
        let record = Record::parse(format!("{},,\n", record_field(field)).as_bytes()).unwrap();
        assert_eq!(record.paths().collect::<Vec<_>>(), [field]);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC*") {
            let _ = WheelMetadata::parse(&bytes);
            let _ = Record::parse(&bytes);
            let _ = WheelMetadata::parse(format!("Wheel-Version: {text}\nTag: {text}\n").as_bytes());
            let _ = Record::parse(text.as_bytes());
        }
    }
}
