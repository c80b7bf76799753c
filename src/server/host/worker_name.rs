//! What a worker calls itself where nobody has named it: the same after every start. Knows nothing of engines.

use std::io;
use std::path::Path;

use crate::scratch::file::{self, FileAccess};

/// Lies beside the blobs.
const FILE: &str = "worker-name";

/// The name of the worker with this store: that of the host when it was first asked for, and something that no other has.
///
/// # Errors
/// If it can be neither read nor written.
pub(super) fn of_store(store: &Path) -> io::Result<String> {
    let path = store.join(FILE);
    match fs_err::read_to_string(&path) {
        Ok(name) if is_name(name.trim()) => return Ok(name.trim().to_owned()),
        // Something else lies there: it is replaced.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain = |character: char| if is_plain(character) { character } else { '-' };
    let host: String = host.chars().map(plain).take(60).collect();
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let name = format!("{}-{}", if host.is_empty() { "worker" } else { &host }, &unique[..8]);
    file::write(&path, format!("{name}\n").as_bytes(), FileAccess::Umask)?;
    Ok(name)
}

fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_.".contains(character)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 100 && text.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_with_its_store() {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, other] = directories.each_ref().map(|directory| of_store(directory.path()).unwrap());
        assert_ne!(one, other);
        assert!(is_name(&one), "{one}");
        assert_eq!(of_store(directories[0].path()).unwrap(), one);
        fs_err::write(directories[0].path().join(FILE), "no/name").unwrap();
        assert_ne!(of_store(directories[0].path()).unwrap(), one);
    }
}
