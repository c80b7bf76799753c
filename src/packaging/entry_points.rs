//! `entry_points.txt` of a wheel, as far as installing needs it: console and GUI scripts.
//! Knows nothing of how a script is written.
//! See <https://packaging.python.org/en/latest/specifications/entry-points/>.

use serde::{Deserialize, Serialize};

/// A command that calls a Python function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryPointScript {
    /// File name of the command in the environment's `bin`.
    pub name: String,
    /// The module to import, such as `package.cli`.
    pub module: String,
    /// What to call in it, such as `main` or `Application.run`.
    pub attribute: String,
}

/// A script in `entry_points.txt` that cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEntryPoint {
    /// The file is not UTF-8.
    #[error("entry_points.txt is not UTF-8")]
    Encoding,
    /// A line is not `name = module:attribute`.
    #[error("entry_points.txt has the script `{0}`, which is not `name = module:attribute`")]
    Script(String),
    /// The name cannot be that of a file in `bin`.
    #[error("entry_points.txt has a script named `{0}`, which cannot be a file name")]
    Name(String),
}

/// The scripts in the groups `console_scripts` and `gui_scripts`, in the order of the file. Extras
/// in brackets are dropped, as installers do.
pub fn parse_scripts(bytes: &[u8]) -> Result<Vec<EntryPointScript>, InvalidEntryPoint> {
    let text = std::str::from_utf8(bytes).map_err(|_| InvalidEntryPoint::Encoding)?;
    let mut scripts = Vec::new();
    let mut in_scripts = false;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(group) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            in_scripts = ["console_scripts", "gui_scripts"].contains(&group.trim());
        } else if in_scripts {
            scripts.push(parse_script(line)?);
        }
    }
    Ok(scripts)
}

fn parse_script(line: &str) -> Result<EntryPointScript, InvalidEntryPoint> {
    let malformed = || InvalidEntryPoint::Script(line.to_owned());
    let (name, reference) = line.split_once('=').ok_or_else(malformed)?;
    let name = name.trim();
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0']) {
        return Err(InvalidEntryPoint::Name(name.to_owned()));
    }
    let reference = reference.split('[').next().unwrap_or(reference);
    let (module, attribute) = reference.split_once(':').ok_or_else(malformed)?;
    let (module, attribute) = (module.trim(), attribute.trim());
    if !is_dotted_name(module) || !is_dotted_name(attribute) {
        return Err(malformed());
    }
    Ok(EntryPointScript { name: name.to_owned(), module: module.to_owned(), attribute: attribute.to_owned() })
}

/// Identifiers joined by dots, so that what is written into a script is a name and nothing else.
fn is_dotted_name(text: &str) -> bool {
    text.split('.').all(|part| {
        part.starts_with(|first: char| first.is_alphabetic() || first == '_')
            && part.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn console_and_gui_scripts_are_found_and_other_groups_passed_over() {
        let text = "\n# comment\n[console_scripts]\n a = pkg.cli:main\nb.c=pkg:App.run [extra1,extra2]\n\
            [distutils.commands]\nbuild = x:y z\n[ gui_scripts ]\r\ng = pkg : gui\n; comment\n";
        let scripts = parse_scripts(text.as_bytes()).unwrap();
        let found: Vec<_> =
            scripts.iter().map(|s| format!("{} {} {}", s.name, s.module, s.attribute)).collect();
        assert_eq!(found, ["a pkg.cli main", "b.c pkg App.run", "g pkg gui"]);
    }

    #[test]
    fn scripts_that_are_no_names_are_refused() {
        for line in
            ["a", "a = pkg", "a = pkg:", "a = :main", "a = pkg:main()", "a = pkg;import os:x", "a = 1:2"]
        {
            let text = format!("[console_scripts]\n{line}\n");
            assert!(matches!(parse_scripts(text.as_bytes()), Err(InvalidEntryPoint::Script(_))), "{line}");
        }
        for name in ["../evil", "..", "", "a/b"] {
            let text = format!("[console_scripts]\n{name} = a:b\n");
            assert!(matches!(parse_scripts(text.as_bytes()), Err(InvalidEntryPoint::Name(_))), "{name}");
        }
        assert!(matches!(parse_scripts(b"\xff"), Err(InvalidEntryPoint::Encoding)));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(\\[console_scripts\\]\n)?\\PC{0,20}=\\PC{0,20}:\\PC{0,20}") {
            let _ = parse_scripts(text.as_bytes());
        }
    }
}
