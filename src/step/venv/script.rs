//! Commands in the `bin` of an environment: scripts that call an entry point, and scripts of a wheel
//! whose first line must name the environment's interpreter. Knows nothing of where they are written.

use std::path::Path;

use crate::packaging::entry_points::EntryPointScript;

/// Longest first line, with `#!`, that every kernel in use reads whole.
const MAX_SHEBANG_BYTES: usize = 127;

/// The path of an interpreter that no script can name.
#[derive(Debug, thiserror::Error)]
#[error("no script can be run by `{0}`: the path is not UTF-8, or has a control character or three quotes")]
pub struct UnusableInterpreterPath(pub String);

/// The first line or lines that make the kernel run a script with `python`.
///
/// Where a kernel would not understand the path (too long, or with spaces), the script starts as a
/// shell script that runs itself with Python; Python reads the same lines as a string.
pub fn shebang(python: &Path) -> Result<String, UnusableInterpreterPath> {
    let unusable = || UnusableInterpreterPath(python.display().to_string());
    let path = python.to_str().ok_or_else(unusable)?;
    if path.contains(char::is_control) || path.contains("'''") {
        return Err(unusable());
    }
    let line = format!("#!{path}\n");
    if line.len() <= MAX_SHEBANG_BYTES && !path.contains(' ') {
        return Ok(line);
    }
    let mut quoted = String::new();
    for letter in path.chars() {
        if matches!(letter, '"' | '$' | '`' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    Ok(format!("#!/bin/sh\n'''exec' \"{quoted}\" \"$0\" \"$@\"\n' '''\n"))
}

/// A script that calls the function an entry point names, with `shebang` as its first lines.
pub fn entry_point_script(shebang: &str, entry_point: &EntryPointScript) -> String {
    let EntryPointScript { module, attribute, .. } = entry_point;
    let imported = attribute.split('.').next().unwrap_or(attribute);
    format!(
        "{shebang}import sys\nfrom {module} import {imported}\nif __name__ == \"__main__\":\n    sys.exit({attribute}())\n"
    )
}

/// `content`, which begins with `#!python`, with `shebang` instead of its first line.
pub fn with_shebang(shebang: &str, content: &[u8]) -> Vec<u8> {
    let rest = content.iter().position(|byte| *byte == b'\n').map_or(content.len(), |end| end + 1);
    [shebang.as_bytes(), &content[rest..]].concat()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::waiting::InTime;

    #[test]
    fn ordinary_paths_are_named_directly_and_long_ones_through_the_shell() {
        assert_eq!(shebang(Path::new("/venv/bin/python")).unwrap(), "#!/venv/bin/python\n");
        let long = format!("/{}/python", "x".repeat(117));
        assert_eq!(format!("#!{long}\n").len(), 128);
        assert!(shebang(Path::new(&long)).unwrap().starts_with("#!/bin/sh\n'''exec' \"/xxx"));
        assert!(shebang(Path::new(&long[..long.len() - 1])).unwrap().starts_with("#!/xxx"));
        assert!(shebang(Path::new("/a\nb/python")).is_err());
        assert!(shebang(Path::new("/a'''b/python")).is_err());
    }

    /// The trampoline must mean the same to the shell and to Python, whatever is in the path.
    #[test]
    fn a_script_runs_from_a_path_with_spaces_and_shell_characters() {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("a $HOME `b` \"c\" 'd' \\e");
        fs_err::create_dir(&bin).unwrap();
        let python = bin.join("python");
        let real = which::which("python3").unwrap();
        fs_err::os::unix::fs::symlink(real, &python).unwrap();
        let script = root.path().join("script");
        let original = b"#!python -E\nimport sys\nprint(sys.argv[1:])\n";
        fs_err::write(&script, with_shebang(&shebang(&python).unwrap(), original)).unwrap();
        let output = Command::new("/bin/sh").arg(&script).args(["1 2", "$x"]).output_in_time();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "['1 2', '$x']\n", "{output:?}");
    }

    #[test]
    fn dotted_attributes_import_their_first_part() {
        let entry_point =
            EntryPointScript { name: "x".into(), module: "pkg.cli".into(), attribute: "App.run".into() };
        let script = entry_point_script("#!/python\n", &entry_point);
        assert!(script.contains("from pkg.cli import App\n"), "{script}");
        assert!(script.contains("sys.exit(App.run())\n"), "{script}");
    }
}
