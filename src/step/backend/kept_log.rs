//! What a backend writes, kept for a while in a file: all of it, or, of what would fill a disk, the end. Knows nothing of
//! what its lines mean.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use fs_err::{File, OpenOptions};

/// Bytes of a log that are kept on the disk. Nobody reads more of one than its end.
const MOST: u64 = 64 << 20;
/// Bytes that are left of one that has become longer.
const END: u64 = 8 << 20;

/// A log that is being written.
#[derive(Debug)]
pub(super) struct KeptLog {
    file: File,
    length: u64,
    most: u64,
    end: u64,
}

impl KeptLog {
    /// An empty one at `path`.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::keeping(path, MOST, END)
    }

    fn keeping(path: &Path, most: u64, end: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Self { file, length: 0, most, end })
    }

    /// Adds what was written.
    pub fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.length.saturating_add(bytes.len() as u64) > self.most {
            self.forget_the_start()?;
        }
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn forget_the_start(&mut self) -> io::Result<()> {
        let start = self.length.saturating_sub(self.end);
        let mut end = Vec::new();
        self.file.seek(SeekFrom::Start(start))?;
        (&mut self.file).take(self.end).read_to_end(&mut end)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        let note = b"crosswheel: what was written before is too much to be kept\n";
        self.file.write_all(note)?;
        self.file.write_all(&end)?;
        self.length = (note.len() + end.len()) as u64;
        Ok(())
    }
}

/// The lines of a kept log, invalid UTF-8 replaced; of a very long log, the end.
pub fn log_lines(log: &Path) -> io::Result<Vec<String>> {
    const READ: u64 = 4 << 20;
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(READ)))?;
    let mut bytes = Vec::new();
    file.take(READ).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_very_long_log_is_read() {
        let log = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(log.path(), [vec![b'x'; 5 << 20], b"\nlast \xff\n".to_vec()].concat()).unwrap();
        let lines = log_lines(log.path()).unwrap();
        assert_eq!(lines.last().unwrap(), "last \u{fffd}");
    }

    #[test]
    fn a_log_without_end_takes_so_much_and_keeps_its_end() {
        let place = tempfile::NamedTempFile::new().unwrap();
        let mut log = KeptLog::keeping(place.path(), 1000, 100).unwrap();
        for number in 0..10_000 {
            log.add(format!("line {number}\n").as_bytes()).unwrap();
            assert!(fs_err::metadata(place.path()).unwrap().len() <= 1000);
        }
        let lines = log_lines(place.path()).unwrap();
        assert!(lines[0].starts_with("crosswheel: what was written before"));
        assert_eq!(lines.last().unwrap(), "line 9999");
        assert!(lines.contains(&"line 9995".to_owned()));
    }
}
