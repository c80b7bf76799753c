//! Constraint files: their whole text for cache keys, and what they say about a project.
//! Knows nothing of how constraints are applied to a resolution: uv does that.

use std::path::PathBuf;

use pep508_rs::{Requirement, VerbatimUrl};

use crate::build::inputs::requirements_file::RequestedSet;
use crate::contract::Failure;

/// All constraints of a run.
#[derive(Clone, Debug, Default)]
pub struct Constraints {
    /// The text of every file, those they include among them.
    pub text: String,
    /// Those on versions of a project.
    pub requirements: Vec<Requirement<VerbatimUrl>>,
}

impl Constraints {
    /// Reads `files` (URLs are left to uv) and adds the requirements in `inline`.
    pub fn read(files: &[String], inline: &[String]) -> Result<Self, Failure> {
        let files: Vec<PathBuf> =
            files.iter().filter(|file| !file.contains("://")).map(PathBuf::from).collect();
        let set = RequestedSet::read_constraints(&files)?;
        let texts = set.constraints.iter().map(|constraint| &constraint.text).chain(inline);
        Ok(Self {
            requirements: texts.filter(|text| text.is_ascii()).filter_map(|text| text.parse().ok()).collect(),
            text: format!("{}{}", set.text, inline.join("\n")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn included_files_hashes_and_comments_are_understood() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        fs_err::write(path("a.txt"), "# note\n-c b.txt\nsetuptools<70 \\\n  --hash=sha256:93bf7695c179ff8c93ea5cb1d0d4a895c30c6756087da8cb1deb4165f4fc8c24\n").unwrap();
        fs_err::write(path("b.txt"), "cython==3.0 # because\n--pre\n").unwrap();
        let constraints = Constraints::read(&[path("a.txt")], &["wheel<1".into()]).unwrap();
        let texts: Vec<_> = constraints.requirements.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["cython==3.0", "setuptools<70", "wheel<1"]);
        assert!(constraints.text.contains("--pre"));
    }
}
