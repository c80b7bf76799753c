//! One entry of binfmt_misc, as the kernel prints it. Knows nothing of where it comes from.

use std::path::PathBuf;

use super::emulator::magic;
use crate::platform::Arch;

/// A registered interpreter and what it is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinfmtEntry {
    pub enabled: bool,
    pub interpreter: PathBuf,
    /// Letters: see binfmt-misc.rst.
    pub flags: String,
    matches: Matches,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Matches {
    /// Bytes at an offset; only the bits of the mask count.
    Magic { offset: usize, magic: Vec<u8>, mask: Vec<u8> },
    /// A suffix of the file's name, without the dot.
    Extension(String),
}

/// A text that is no entry of binfmt_misc.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an entry of binfmt_misc: {0}")]
pub struct InvalidBinfmtEntry(String);

impl BinfmtEntry {
    /// Reads what the kernel shows of an entry.
    ///
    /// # Errors
    /// [`InvalidBinfmtEntry`] with what is missing.
    pub fn parse(text: &str) -> Result<Self, InvalidBinfmtEntry> {
        let invalid = |problem: &str| InvalidBinfmtEntry(problem.to_owned());
        let mut lines = text.lines();
        let enabled = match lines.next() {
            Some("enabled") => true,
            Some("disabled") => false,
            _ => return Err(invalid("it begins with neither `enabled` nor `disabled`")),
        };
        let (mut interpreter, mut flags, mut extension) = (None, String::new(), None);
        let (mut offset, mut magic, mut mask) = (0, None, None);
        for line in lines {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "interpreter" => interpreter = Some(PathBuf::from(value)),
                "flags:" => flags = value.to_owned(),
                "extension" => extension = Some(value.trim_start_matches('.').to_owned()),
                "offset" => offset = value.parse().map_err(|_| invalid("its offset is no number"))?,
                "magic" => {
                    magic = Some(hex::decode(value).map_err(|_| invalid("its magic is not hexadecimal"))?)
                }
                "mask" => {
                    mask = Some(hex::decode(value).map_err(|_| invalid("its mask is not hexadecimal"))?)
                }
                // Of kernels to come.
                _ => {}
            }
        }
        let matches = match (magic, extension) {
            (Some(magic), _) => {
                let mask = mask.unwrap_or_else(|| vec![0xff; magic.len()]);
                if mask.len() != magic.len() {
                    return Err(invalid("its mask and its magic differ in length"));
                }
                Matches::Magic { offset, magic, mask }
            }
            (None, Some(extension)) => Matches::Extension(extension),
            (None, None) => return Err(invalid("it has neither a magic nor an extension")),
        };
        let interpreter = interpreter.ok_or_else(|| invalid("it has no interpreter"))?;
        Ok(Self { enabled, interpreter, flags, matches })
    }

    /// Whether programs for `arch` are started by it, executables and shared objects alike.
    pub fn runs(&self, arch: Arch) -> bool {
        /// `e_type` of executables and of shared objects, which most programs are nowadays.
        const KINDS: [u8; 2] = [2, 3];
        KINDS.into_iter().all(|kind| {
            let mut header = magic(arch).to_vec();
            header[16] = kind;
            // Further fields are of no interest to anybody.
            header.resize(64, 0);
            self.takes(&header)
        })
    }

    /// Whether it works in any root file system: the interpreter is open already (flag `F`).
    pub fn works_in_any_root(&self) -> bool {
        self.flags.contains('F')
    }

    fn takes(&self, header: &[u8]) -> bool {
        let Matches::Magic { offset, magic, mask } = &self.matches else { return false };
        let Some(found) = header.get(*offset..).and_then(|rest| rest.get(..magic.len())) else {
            return false;
        };
        let pairs = found.iter().zip(magic).zip(mask);
        pairs.into_iter().all(|((found, magic), mask)| (found ^ magic) & mask == 0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As Linux 6.18 prints what Debian's qemu-user-static registers.
    pub const AARCH64: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POF\noffset 0\nmagic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    #[test]
    fn an_entry_is_read_and_knows_what_it_runs() {
        let entry = BinfmtEntry::parse(AARCH64).unwrap();
        assert_eq!(entry.interpreter.to_str(), Some("/usr/libexec/qemu-binfmt/aarch64-binfmt-P"));
        assert!(entry.enabled && entry.works_in_any_root());
        assert!(entry.runs(Arch::Arm64) && !entry.runs(Arch::Amd64));
        assert!(!BinfmtEntry::parse(&AARCH64.replace("POF", "PO")).unwrap().works_in_any_root());
        assert!(!BinfmtEntry::parse(&AARCH64.replace("enabled", "disabled")).unwrap().enabled);
        // An old line, for executables only, leaves out most programs.
        assert!(!BinfmtEntry::parse(&AARCH64.replace("fffeffffff", "ffffffffff")).unwrap().runs(Arch::Arm64));
    }

    #[test]
    fn other_interpreters_run_no_programs_of_ours() {
        let java = "enabled\ninterpreter /usr/bin/jexec\nflags: \noffset 0\nmagic 504b0304\n";
        let python = "enabled\ninterpreter /usr/bin/python3.11\nflags: \nextension .pyc\n";
        for entry in [java, python].map(|text| BinfmtEntry::parse(text).unwrap()) {
            assert!(![Arch::Amd64, Arch::Arm64].into_iter().any(|arch| entry.runs(arch)), "{entry:?}");
        }
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for (text, problem) in [
            ("", "neither `enabled`"),
            ("enabled\n", "neither a magic"),
            ("enabled\nmagic 00\n", "no interpreter"),
            ("enabled\ninterpreter /x\nmagic 0x\n", "not hexadecimal"),
            ("enabled\ninterpreter /x\nmagic 00\nmask 0000\n", "differ in length"),
            ("enabled\ninterpreter /x\nmagic 00\noffset -1\n", "no number"),
        ] {
            let error = BinfmtEntry::parse(text).unwrap_err().to_string();
            assert!(error.contains(problem), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = BinfmtEntry::parse(&text);
        }

        /// Not even one that looks much like an entry.
        #[test]
        fn nor_does_an_entry_that_was_tampered_with(
            offset: u64, magic: Vec<u8>, mask: Vec<u8>, flags in "[A-Z]{0,5}", cut in 0usize..200,
        ) {
            let (magic, mask) = (hex::encode(magic), hex::encode(mask));
            let text = format!("enabled\ninterpreter /q\nflags: {flags}\noffset {offset}\nmagic {magic}\nmask {mask}\n");
            for text in [text.as_str(), text.get(..cut).unwrap_or_default()] {
                if let Ok(entry) = BinfmtEntry::parse(text) {
                    let _ = entry.runs(Arch::Arm64);
                }
            }
        }

        #[test]
        fn what_counts_is_what_the_mask_leaves(magic: [u8; 20], mask: [u8; 20], header: [u8; 64]) {
            let entry = BinfmtEntry {
                enabled: true,
                interpreter: "/q".into(),
                flags: String::new(),
                matches: Matches::Magic { offset: 0, magic: magic.into(), mask: mask.into() },
            };
            let expected = (0..20).all(|at| header[at] & mask[at] == magic[at] & mask[at]);
            prop_assert_eq!(entry.takes(&header), expected);
        }
    }
}
