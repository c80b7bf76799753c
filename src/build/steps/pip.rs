//! pip's own wheel, for `pip check`: the newest pip that a Python takes, from an index, checked by hash, as uv is. Where it
//! cannot be had, crosswheel looks itself. Knows nothing of what pip is given to check.

use std::path::PathBuf;
use std::str::FromStr;

use pep508_rs::PackageName;

use crate::build::cache::Cache;
use crate::build::index::download::Downloads;
use crate::build::index::simple_api::Index;
use crate::contract::{Failure, FailureClass};
use crate::digest::Sha256;

/// The oldest Python that takes it, its wheel, and the digest of that.
const PIPS: [((u8, u8), &str, &str); 3] = [
    (
        (3, 10),
        "pip-26.2-py3-none-any.whl",
        "931c303696af6fa3417112103b1cad26890e5a07eccb5b99783700e33f2b8aad",
    ),
    (
        (3, 9),
        "pip-26.0.1-py3-none-any.whl",
        "bdb1b08f4274833d62c1aa29e20907365a2ceb950410df15fc9521bad440122b",
    ),
    (
        (3, 8),
        "pip-25.0.1-py3-none-any.whl",
        "c46efd13b6aa8279f33f2864459c8ce587ea6a1a59ee20de055868d8f7688f7f",
    ),
];

/// The wheel of pip for a Python of this major and minor version, in the cache; none if there is no pip for it that says
/// what this one says.
///
/// # Errors
/// If no index has it, or it cannot be fetched.
pub(crate) fn pip_for(
    python: (u8, u8),
    cache: &Cache,
    index: &Index,
    downloads: &Downloads,
) -> Result<Option<(PathBuf, Sha256)>, Failure> {
    let Some((_, file_name, sha256)) = PIPS.into_iter().find(|(oldest, _, _)| *oldest <= python) else {
        return Ok(None);
    };
    let sha256: Sha256 = sha256.parse().expect("the pinned digest is 64 hexadecimal digits");
    let there = cache.download(sha256, file_name);
    if there.is_file() {
        return Ok(Some((there, sha256)));
    }
    let name = PackageName::from_str("pip").expect("`pip` is a valid name");
    let file = index.files(&name)?.into_iter().find(|file| file.file_name == file_name);
    let missing =
        || Failure::new(FailureClass::FetchFailed, format!("no index or find-links has {file_name}"));
    downloads.fetch(&file.ok_or_else(missing)?.url, Some(sha256), file_name, |_, _| ()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pins_can_be_read_and_go_from_new_to_old() {
        for (_, file_name, sha256) in PIPS {
            sha256.parse::<Sha256>().unwrap();
            assert!(file_name.parse::<crate::packaging::wheel_name::WheelFileName>().is_ok());
        }
        assert!(PIPS.is_sorted_by(|(newer, ..), (older, ..)| newer > older));
    }
}
