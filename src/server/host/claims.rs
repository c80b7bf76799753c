//! What an operator says of a pool against what is there, before anything runs in it: what could run no action, and what
//! would run them as something else than it is called. Knows nothing of how actions run.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::error::HostError;
use crate::platform::{Arch, NamedArch};
use crate::queue::architectures;
use crate::server::settings::PoolSettings;

/// The same with paths that have no `..` in them, as it is the real directory that counts. Others stay as they are: a link is
/// followed whenever something is run.
pub(super) fn with_plain_paths(settings: &PoolSettings) -> PoolSettings {
    let mut settings = settings.clone();
    for path in settings.root.iter_mut().chain(&mut settings.host_directories) {
        let climbs = path.components().any(|component| component == Component::ParentDir);
        // What is not there is refused by whoever looks for it.
        if let Some(real) = climbs.then(|| path.canonicalize().ok()).flatten() {
            *path = real;
        }
    }
    settings
}

/// Refuses a root file system that no action could have. `hidden` is what no action sees, the store for one, without links.
pub(super) fn check_root(settings: &PoolSettings, hidden: &[PathBuf]) -> Result<(), HostError> {
    let Some(root) = &settings.root else { return Ok(()) };
    let (pool, shown) = (settings.name.clone(), root.clone());
    // Opened, a pipe would have us wait.
    let directory = match root.metadata() {
        Ok(found) if found.is_dir() => found,
        Ok(_) => return Err(HostError::NoRoot { pool, root: shown, problem: "it is no directory" }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(HostError::NoRoot { pool, root: shown, problem: "there is nothing at that path" });
        }
        // Whoever reads it says what it is.
        Err(_) => return Ok(()),
    };
    let host = Path::new("/").metadata().ok();
    if host.is_some_and(|host| (host.dev(), host.ino()) == (directory.dev(), directory.ino())) {
        return Err(HostError::RootOfThisHost { pool, root: shown });
    }
    if root.canonicalize().is_ok_and(|real| hidden.contains(&real)) {
        return Err(HostError::NoRoot { pool, root: shown, problem: "it is the server's own store" });
    }
    Ok(())
}

/// Refuses a pool that says, or is called, it were for another architecture than its programs are for. `found` is that of
/// its programs, if they show it.
pub(super) fn check_architecture(settings: &PoolSettings, found: Option<Arch>) -> Result<(), HostError> {
    // What of this host is shown need not have a program in it.
    let found = found.or_else(|| settings.root.is_none().then(Arch::host));
    let Some(found) = found else { return Ok(()) };
    let is_it = |name: &str| match NamedArch::of(name) {
        Some(NamedArch::Ours(arch)) => arch == found,
        Some(NamedArch::Another) => false,
        // `*`, or something of the operator's own.
        None => true,
    };
    let said: Vec<&str> = architectures(&settings.properties).collect();
    let (pool, whose) = (settings.name.clone(), whose(settings));
    if !said.is_empty() {
        // Who says it knows better than a name.
        return if said.into_iter().any(is_it) {
            Ok(())
        } else {
            Err(HostError::OtherArch { pool, whose, found: found.property() })
        };
    }
    let bare = pool.strip_prefix("linux").map_or(&*pool, |rest| rest.trim_start_matches(['-', '_']));
    if is_it(bare) { Ok(()) } else { Err(HostError::MisleadingName { pool, whose, found: found.property() }) }
}

fn whose(settings: &PoolSettings) -> String {
    match &settings.root {
        Some(root) => format!("its root file system, {}, is", root.display()),
        None => {
            "without a root file system of its own it runs the programs of this host, which are".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(line: &str) -> PoolSettings {
        PoolSettings::parse(line, Path::new("/base")).unwrap()
    }

    #[test]
    fn a_pool_is_what_it_is_called_and_said_to_be() {
        let check = |line: &str, found| check_architecture(&pool(line), found);
        let (amd64, arm64) = (Some(Arch::Amd64), Some(Arch::Arm64));
        for (line, found) in [
            ("native", amd64),
            ("amd64=/r", amd64),
            ("x86_64=/r", amd64),
            ("linux_arm64=/r", arm64),
            ("Aarch64=/r", arm64),
            ("arm64-like=/r", amd64),
            ("any=/r,Arch=*", amd64),
            ("both=/r,Arch=amd64,Arch=arm64", amd64),
            ("both=/r,Arch=arm64,ISA=x86-64", amd64),
            ("own=/r,Arch=k8", amd64),
            // It is said to be what it is, so the name is meant.
            ("arm64=/r,Arch=amd64", amd64),
            // Nothing shows what it is.
            ("arm64=/r,Arch=amd64", None),
        ] {
            assert!(check(line, found).is_ok(), "{line}");
        }
        for (line, found) in [
            ("arm64=/r", amd64),
            ("ARM64=/r", amd64),
            ("aarch64=/r", amd64),
            ("linux_arm64=/r", amd64),
            ("linux-aarch64=/r", amd64),
            ("x86_64=/r", arm64),
            ("riscv64=/r", amd64),
            ("i386=/r", amd64),
        ] {
            assert!(matches!(check(line, found), Err(HostError::MisleadingName { .. })), "{line}");
        }
        for (line, found) in
            [("a=/r,Arch=arm64", amd64), ("arm64=/r,isa=arm-a64", amd64), ("a=/r,Arch=riscv64", arm64)]
        {
            assert!(matches!(check(line, found), Err(HostError::OtherArch { .. })), "{line}");
        }
        let here = check(Arch::host().other().property(), None).unwrap_err().to_string();
        assert!(here.contains("programs of this host") && here.contains("another name"), "{here}");
    }

    #[test]
    fn a_root_is_a_directory_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        fs_err::write(path.join("file"), "").unwrap();
        std::os::unix::fs::symlink("/", path.join("link")).unwrap();
        let check = |root: &str| {
            let settings = with_plain_paths(&pool(&format!("a={root}")));
            check_root(&settings, std::slice::from_ref(&path)).map_err(|error| error.to_string())
        };
        let own = path.display();
        for (root, problem) in [
            ("/".to_owned(), "leave out `=/`"),
            ("//".to_owned(), "leave out"),
            ("/usr/..".to_owned(), "leave out"),
            (format!("{own}/link"), "leave out"),
            (format!("{own}/file"), "no directory"),
            (format!("{own}/none"), "nothing at that path"),
            (format!("{own}/none/../x"), "nothing at that path"),
            (own.to_string(), "own store"),
        ] {
            let error = check(&root).unwrap_err();
            assert!(error.contains(problem), "{root}: {error}");
        }
        fs_err::create_dir(path.join("root")).unwrap();
        for root in ["root", "root/../root"] {
            assert_eq!(check(&format!("{own}/{root}")), Ok(()));
        }
    }
}
