//! The directories that subcommands are given or take. Knows nothing of what is in them.

use std::path::PathBuf;

/// The directories given with `flag`, absolute and without links, as whoever runs elsewhere needs them.
pub fn directories(flag: &str, given: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let find = |path: &PathBuf| match fs_err::canonicalize(path) {
        Ok(found) if found.is_dir() => Ok(found),
        Ok(_) => Err(format!("{flag} `{}` is not a directory", path.display())),
        Err(error) => Err(format!("{flag}: {error}")),
    };
    given.iter().map(find).collect()
}

/// The cache directory: as given, or `crosswheel` in the user's cache directory (XDG Base Directory).
pub fn cache_directory(given: Option<PathBuf>) -> Result<PathBuf, String> {
    let from_variable = |name, below: &str| {
        std::env::var_os(name).filter(|value| !value.is_empty()).map(|value| PathBuf::from(value).join(below))
    };
    let directory = given
        .or_else(|| from_variable("XDG_CACHE_HOME", "crosswheel").filter(|path| path.is_absolute()))
        .or_else(|| from_variable("HOME", ".cache/crosswheel"))
        .ok_or("there is no cache directory: HOME is not set; give --cache-dir DIR")?;
    std::path::absolute(&directory).map_err(|error| format!("cannot use {}: {error}", directory.display()))
}

/// The directory of a store on disk: as given, or this one in the cache directory.
pub fn store_directory(given: Option<PathBuf>, name: &str) -> Result<PathBuf, String> {
    match given {
        Some(directory) => std::path::absolute(&directory)
            .map_err(|error| format!("cannot use {}: {error}", directory.display())),
        None => {
            Ok(cache_directory(None).map_err(|message| message.replace("--cache-dir", "--store"))?.join(name))
        }
    }
}
