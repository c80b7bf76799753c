//! Whether the directory that a command is to run in is there: in its input tree, before anything is made of that. Knows
//! nothing of file systems and of outputs.

use super::error::ExecuteError;
use super::input::{Entry, InputDirectory};
use super::path::ExecPath;

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

/// "It must be a directory which exists in the input tree": one that only the parents of outputs would make does not, and a
/// command that runs in an empty directory instead of the one that its client meant may well exit with 0. A link to a
/// directory of the tree will do.
///
/// # Errors
/// [`ExecuteError::Invalid`] that says what is there instead.
pub(super) fn check_working_directory(path: &ExecPath, inputs: &InputDirectory) -> Result<(), ExecuteError> {
    follow(path, inputs).map_err(|fault| {
        let problem = format!(
            "`{path}` is no directory of the input tree, in which it must exist (empty, if nothing is in it): {fault}"
        );
        ExecuteError::invalid("command.working_directory", problem)
    })
}

/// Goes as the kernel would go in the input root, but never out of it.
fn follow(path: &ExecPath, inputs: &InputDirectory) -> Result<(), String> {
    let mut above = Vec::new();
    let mut here = inputs;
    let mut links = 0;
    // The next one last.
    let mut names: Vec<&str> = path.names().collect();
    names.reverse();
    while let Some(name) = names.pop() {
        if matches!(name, "" | ".") {
            continue;
        }
        if name == ".." {
            here = above.pop().ok_or("a link on the way leads out of the input root")?;
            continue;
        }
        match here.entry(name) {
            None => return Err(format!("there is no `{name}`")),
            Some(Entry::File(_)) => return Err(format!("`{name}` is a file")),
            Some(Entry::Directory(directory)) => {
                above.push(here);
                here = directory;
            }
            Some(Entry::Symlink(link)) if link.target.starts_with('/') => {
                return Err(format!("the link `{name}` leads out of the input root"));
            }
            Some(Entry::Symlink(link)) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(format!("more than {MOST_LINKS} links are on the way"));
                }
                names.extend(link.target.rsplit('/'));
            }
        }
    }
    Ok(())
}
