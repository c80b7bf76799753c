//! Files by hash: fetched once, kept under their digest, never seen incomplete.
//! Knows nothing of what the files are for.

use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use super::credentials::decode;
use super::http::Http;
use crate::build::cache::{Cache, KeyBuilder};
use crate::contract::{Failure, FailureClass};
use crate::digest::Sha256;
use crate::scratch::file::FileAccess;

/// Fetches files into the cache.
#[derive(Debug)]
pub struct Downloads {
    cache: Arc<Cache>,
    http: Arc<Http>,
}

impl Downloads {
    /// Fetches with `http` into `cache`.
    pub fn new(cache: Arc<Cache>, http: Arc<Http>) -> Self {
        Self { cache, http }
    }

    /// The path of the file with digest `sha256`, fetched from `url` unless it is there already.
    /// Without a digest the file is fetched in any case, and the digest is what came.
    pub fn fetch(
        &self,
        url: &Url,
        sha256: Option<Sha256>,
        file_name: &str,
        on_progress: impl FnMut(u64, Option<u64>),
    ) -> Result<(PathBuf, Sha256), Failure> {
        check_file_name(file_name)?;
        let lock = sha256.unwrap_or_else(|| KeyBuilder::default().part("url", url.as_str()).finish());
        self.cache.exclusively(lock, || {
            if let Some(sha256) = sha256 {
                let path = self.cache.download(sha256, file_name);
                if path.is_file() {
                    return Ok((path, sha256));
                }
            }
            let fetched = self.http.download(
                url,
                sha256,
                || self.cache.temporary_file(FileAccess::Private),
                on_progress,
            )?;
            let path = self.cache.download(fetched.sha256, file_name);
            self.cache.publish(fetched.file, &path)?;
            Ok((path, fetched.sha256))
        })
    }
}

/// The file name a URL ends in, percent-decoded and safe to use as one.
pub fn file_name_of(url: &Url) -> Result<String, Failure> {
    let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
    let name = decode(last);
    check_file_name(&name)?;
    Ok(name)
}

/// Refuses names that are not a single component of a path: they come from servers.
pub fn check_file_name(name: &str) -> Result<(), Failure> {
    let single = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']) && name.len() <= 255;
    if single {
        return Ok(());
    }
    Err(Failure::new(FailureClass::FetchFailed, format!("`{name}` is not the name of a file")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_their_directory_are_refused() {
        let name = |text: &str| file_name_of(&text.parse().unwrap());
        assert_eq!(name("https://x.example/a%2Bb-1.tar.gz").unwrap(), "a+b-1.tar.gz");
        for url in ["https://x.example/", "https://x.example/..%2F..%2Fetc", "https://x.example/a%00b"] {
            assert!(name(url).is_err(), "{url}");
        }
    }
}
