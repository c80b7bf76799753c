//! Where actions that run crosswheel remember things for each other: a directory for each instance, as whoever may have an
//! action run may decide what is in the one that it uses. Knows nothing of what is kept.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::digest::Sha256;
use crate::scratch::space::ScratchSpace;

/// Clients choose names of instances freely. Of more than this the least recently used are forgotten.
const MOST: usize = 16;

/// Caches, one for each instance, or one for all that trust each other.
#[derive(Debug)]
pub(crate) struct StepCaches {
    base: PathBuf,
    /// Whether all use the same one.
    one: bool,
    /// How many actions use each of them now.
    in_use: Mutex<HashMap<PathBuf, usize>>,
}

/// The use of a cache: it stays as long as this does.
#[derive(Debug)]
pub(crate) struct StepCache<'a> {
    caches: &'a StepCaches,
    directory: PathBuf,
}

impl StepCaches {
    pub fn new(base: PathBuf, one: bool) -> Self {
        Self { base, one, in_use: Mutex::default() }
    }

    /// The cache of `instance`, made if there is none. One that makes room for it goes to `scratch`, on the same file
    /// system, to be removed.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn of(&self, instance: &str, scratch: &ScratchSpace) -> io::Result<StepCache<'_>> {
        let directory = if self.one {
            self.base.clone()
        } else {
            // The name itself may be longer than a file's, or lead anywhere.
            let name = Sha256::of(instance.as_bytes()).to_string();
            self.base.join("instances").join(&name[..32])
        };
        let mut in_use = self.in_use.lock();
        if !directory.is_dir() {
            if !self.one {
                self.make_room(&in_use, scratch);
            }
            fs_err::create_dir_all(&directory)?;
        } else if !self.one {
            // When it was last used; if that cannot be kept, it may go too early.
            let _ = fs_err::File::open(&directory).map(|open| open.file().set_modified(SystemTime::now()));
        }
        *in_use.entry(directory.clone()).or_default() += 1;
        drop(in_use);
        Ok(StepCache { caches: self, directory })
    }

    fn make_room(&self, in_use: &HashMap<PathBuf, usize>, scratch: &ScratchSpace) {
        let all = fs_err::read_dir(self.base.join("instances")).into_iter().flatten().flatten();
        let mut idle: Vec<(Option<SystemTime>, PathBuf)> = Vec::new();
        let mut count = 0;
        for entry in all {
            count += 1;
            if !in_use.contains_key(&entry.path()) {
                idle.push((entry.metadata().and_then(|found| found.modified()).ok(), entry.path()));
            }
        }
        idle.sort();
        for (_, directory) in idle.into_iter().take((count + 1usize).saturating_sub(MOST)) {
            let aside = scratch.new_path();
            match fs_err::rename(&directory, &aside) {
                Ok(()) => scratch.discard(aside),
                Err(error) => tracing::warn!("cannot forget what an instance has not used for long: {error}"),
            }
        }
    }
}

impl StepCache<'_> {
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for StepCache<'_> {
    fn drop(&mut self) {
        let mut in_use = self.caches.in_use.lock();
        if let Some(count) = in_use.get_mut(&self.directory) {
            *count -= 1;
            if *count == 0 {
                in_use.remove(&self.directory);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instance_has_one_of_its_own_and_the_least_used_go() {
        let base = tempfile::tempdir().unwrap();
        let scratch = ScratchSpace::create(base.path(), "execute-").unwrap();
        let caches = StepCaches::new(base.path().join("cache"), false);
        let used = caches.of("../../used", &scratch).unwrap();
        fs_err::write(used.directory().join("kept"), "").unwrap();
        for number in 0..100 {
            let other = caches.of(&format!("instance {number}"), &scratch).unwrap();
            assert_ne!(other.directory(), used.directory());
            assert_eq!(fs_err::read_dir(other.directory()).unwrap().count(), 0);
        }
        assert!(
            used.directory().join("kept").exists() && used.directory().starts_with(base.path().join("cache"))
        );
        assert_eq!(fs_err::read_dir(base.path().join("cache/instances")).unwrap().count(), MOST);
        assert_eq!(caches.of("../../used", &scratch).unwrap().directory(), used.directory());
    }

    #[test]
    fn those_who_trust_each_other_share_one() {
        let base = tempfile::tempdir().unwrap();
        let scratch = ScratchSpace::create(base.path(), "execute-").unwrap();
        let caches = StepCaches::new(base.path().join("cache"), true);
        for instance in ["", "other"] {
            assert_eq!(caches.of(instance, &scratch).unwrap().directory(), base.path().join("cache"));
        }
    }
}
