//! Where in a git repository a project is: `git+https://example.org/lib.git@v1.0#subdirectory=python`.
//! Knows nothing of git itself.

use std::fmt;

use url::Url;

use super::fragment::{SourceFragment, subdirectory_part};
use crate::build::index::credentials::{decode, redact_urls};

/// A project in a git repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GitSource {
    /// The repository, as git is told it: https, http, ssh or file. May hold a login.
    pub repository: Url,
    /// A branch, a tag, or a commit, full or short; the repository's default branch if `None`.
    pub reference: Option<String>,
    /// Where the project is in the repository; at its top if `None`.
    pub subdirectory: Option<String>,
}

impl GitSource {
    /// Reads `git+URL[@REFERENCE][#FRAGMENT]`; also gives what else the fragment says.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence without secrets.
    pub fn parse(text: &str) -> Result<(Self, SourceFragment), String> {
        let shown = redact_urls(text);
        let rest = text.strip_prefix("git+").unwrap_or(text);
        if !rest.contains("://") {
            return Err(format!(
                "`{shown}` is not a URL; write git+ssh://git@HOST/PATH for what git calls git@HOST:PATH"
            ));
        }
        let mut repository: Url = rest.parse().map_err(|error| format!("`{shown}` is not a URL: {error}"))?;
        if !matches!(repository.scheme(), "https" | "http" | "ssh" | "file") {
            return Err(format!("`{shown}` is neither git+https, git+http, git+ssh nor git+file"));
        }
        let fragment = SourceFragment::parse(repository.fragment().unwrap_or_default())
            .map_err(|problem| format!("`{shown}` {problem}"))?;
        if !fragment.hashes.is_empty() {
            return Err(format!("`{shown}` has a hash, and a checkout has none; name the commit instead"));
        }
        repository.set_fragment(None);
        let reference = take_reference(&mut repository);
        if let Some(bad) = reference.as_ref().filter(|reference| !is_reference(reference)) {
            return Err(format!("`{shown}`: `{bad}` is no branch, tag or commit"));
        }
        Ok((Self { repository, reference, subdirectory: fragment.subdirectory.clone() }, fragment))
    }
}

/// Takes what is after the last `@` of the path, unless the path is a directory's up to there: `/@scope/lib`.
fn take_reference(repository: &mut Url) -> Option<String> {
    let path = repository.path().to_owned();
    let (before, after) = path.rsplit_once('@')?;
    if before.ends_with('/') || before.is_empty() {
        return None;
    }
    repository.set_path(before);
    Some(decode(after))
}

/// Whether git could take it for one, and never for an option (git-check-ref-format).
fn is_reference(text: &str) -> bool {
    let bad = |character: char| {
        character.is_control() || matches!(character, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\')
    };
    !text.is_empty() && !text.starts_with(['-', '/']) && !text.contains("..") && !text.contains(bad)
}

impl GitSource {
    /// As it is written, with the login.
    pub fn with_login(&self) -> String {
        self.at(&self.repository)
    }

    fn at(&self, repository: &Url) -> String {
        let reference = self.reference.as_ref().map(|reference| format!("@{reference}")).unwrap_or_default();
        let within = self.subdirectory.as_ref().map(|within| format!("#{}", subdirectory_part(within)));
        format!("git+{repository}{reference}{}", within.unwrap_or_default())
    }
}

impl fmt::Display for GitSource {
    /// As it is written, but without a password, and without a user who is part of a login.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.repository.clone();
        let _ = shown.set_password(None);
        if shown.scheme() != "ssh" {
            let _ = shown.set_username("");
        }
        formatter.write_str(&self.at(&shown))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> GitSource {
        GitSource::parse(text).unwrap().0
    }

    #[test]
    fn repositories_references_and_subdirectories_are_told_apart() {
        for (text, repository, reference, subdirectory) in [
            ("git+https://x.example/a/b.git", "https://x.example/a/b.git", None, None),
            ("git+https://x.example/a/b@v1.0", "https://x.example/a/b", Some("v1.0"), None),
            (
                "git+ssh://git@x.example/a/b.git@feature/x#subdirectory=py&egg=b",
                "ssh://git@x.example/a/b.git",
                Some("feature/x"),
                Some("py"),
            ),
            ("git+file:///srv/b@main", "file:///srv/b", Some("main"), None),
            ("git+https://x.example/@scope/b", "https://x.example/@scope/b", None, None),
        ] {
            let found = parse(text);
            assert_eq!(found.repository.as_str(), repository);
            assert_eq!(
                (found.reference.as_deref(), found.subdirectory.as_deref()),
                (reference, subdirectory)
            );
        }
        assert_eq!(
            GitSource::parse("git+https://x.example/b#egg=Lib").unwrap().1.egg.unwrap().to_string(),
            "lib"
        );
    }

    #[test]
    fn nobody_is_shown_a_login() {
        for text in ["git+https://me:hunter22@x.example/b@v1", "git+https://hunter22@x.example/b@v1"] {
            assert_eq!(parse(text).to_string(), "git+https://x.example/b@v1");
        }
        let ssh = parse("git+ssh://git:hunter22@x.example/b#subdirectory=c");
        assert_eq!(ssh.to_string(), "git+ssh://git@x.example/b#subdirectory=c");
        for bad in ["git+ftp://me:hunter22@x.example/b", "git+https://me:hunter22@x.example:x/b"] {
            let error = GitSource::parse(bad).unwrap_err();
            assert!(!error.contains("hunter22"), "{error}");
        }
    }

    #[test]
    fn what_git_would_take_for_something_else_is_refused() {
        for (text, says) in [
            ("git+git@x.example:a/b", "write git+ssh://"),
            ("git+svn://x.example/b", "neither git+https"),
            ("git+https://x.example/b@--upload-pack=x", "no branch"),
            ("git+https://x.example/b@", "no branch"),
            ("git+https://x.example/b@a..b", "no branch"),
            ("git+https://x.example/b#subdirectory=../x", "outside"),
            ("git+https://x.example/b#sha256=12", "bad hash"),
        ] {
            let error = GitSource::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_understood_again(text in "git\\+(https|ssh|file)://(git@)?[a-z.]{1,8}/[a-z@/.]{0,12}(#subdirectory=[a-z/]{1,5})?") {
            if let Ok((source, _)) = GitSource::parse(&text) {
                let (again, _) = GitSource::parse(&source.to_string()).unwrap();
                prop_assert_eq!(again.to_string(), source.to_string());
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(git\\+|https://|ssh://|@|:|#|/|%|.){0,12}") {
            let _ = GitSource::parse(&text);
        }
    }
}
