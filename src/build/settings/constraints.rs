//! Constraint files: their whole text for cache keys, and what they say about a project.
//! Knows nothing of how constraints are applied to a resolution: uv does that.

use std::path::{Path, PathBuf};

use crate::contract::Failure;
use pep508_rs::{Requirement, VerbatimUrl};

/// All constraints of a run.
#[derive(Clone, Debug, Default)]
pub struct Constraints {
    /// The text of every file, those they include among them.
    pub text: String,
    /// The lines that are plain PEP 508 requirements.
    pub requirements: Vec<Requirement<VerbatimUrl>>,
}

impl Constraints {
    /// Reads `files` (URLs are left to uv) and adds the requirements in `inline`.
    pub fn read(files: &[String], inline: &[String]) -> Result<Self, Failure> {
        let mut constraints = Self::default();
        let mut open: Vec<PathBuf> =
            files.iter().filter(|file| !file.contains("://")).map(PathBuf::from).collect();
        let mut seen = Vec::new();
        while let Some(path) = open.pop() {
            if seen.contains(&path) {
                continue;
            }
            let text = fs_err::read_to_string(&path)?;
            open.extend(constraints.add(&text, path.parent().unwrap_or(Path::new("/"))));
            seen.push(path);
        }
        constraints.add(&inline.join("\n"), Path::new("/"));
        Ok(constraints)
    }

    /// Adds a text; returns the files it includes.
    fn add(&mut self, text: &str, directory: &Path) -> Vec<PathBuf> {
        self.text.push_str(text);
        self.text.push('\n');
        let mut included = Vec::new();
        for line in text.replace("\\\n", " ").lines() {
            let line = line.split(" #").next().unwrap_or_default().trim();
            let include = ["-c", "-r", "--constraint", "--requirement"]
                .iter()
                .find_map(|flag| line.strip_prefix(flag)?.strip_prefix(['=', ' ']));
            if let Some(file) = include {
                included.push(directory.join(file.trim()));
            } else if let Ok(requirement) = line.split(" --hash").next().unwrap_or_default().parse() {
                self.requirements.push(requirement);
            }
        }
        included
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn included_files_hashes_and_comments_are_understood() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        fs_err::write(path("a.txt"), "# note\n-c b.txt\nsetuptools<70 \\\n  --hash=sha256:00\n").unwrap();
        fs_err::write(path("b.txt"), "-r a.txt\ncython==3.0 # because\n--pre\n").unwrap();
        let constraints = Constraints::read(&[path("a.txt")], &["wheel<1".into()]).unwrap();
        let texts: Vec<_> = constraints.requirements.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["setuptools<70", "cython==3.0", "wheel<1"]);
        assert!(constraints.text.contains("--pre"));
    }
}
