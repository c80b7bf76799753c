//! Paths of the Remote Execution API: relative, with `/` between names, in Unicode. Knows nothing of what lies at
//! them.

use std::fmt;
use std::path::Path;

/// A path below the input root or the working directory, without `.`, `..` and empty names. The empty one is the
/// directory itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct ExecPath(String);

impl ExecPath {
    /// Reads what a client sent. `a//b/`, `./a/b` and `a/b` are the same path.
    ///
    /// # Errors
    /// Why it is none, to follow the name of the field.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.split('/').any(|name| name == "..") {
            return Err(format!("`{text}` contains `..`, which may lead out of the input root"));
        }
        Self::default().resolve(text)
    }

    /// The path that `text`, from a client, means in this directory. `..` takes away the name before it, whatever
    /// may be there (REAPI asks for no more of output paths than that no `/` begins or ends them).
    ///
    /// # Errors
    /// Why it is none, to follow the name of the field.
    pub fn resolve(&self, text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Err(format!("`{text}` is absolute; paths are relative here"));
        }
        // Before anything is made of it: nothing here is to take time that grows faster than a request.
        if text.len() > LONGEST {
            return Err(TOO_LONG.to_owned());
        }
        let mut names: Vec<&str> = self.names().collect();
        for name in text.split('/').filter(|name| !matches!(*name, "" | ".")) {
            if name != ".." {
                check_name(name)?;
                names.push(name);
            } else if names.pop().is_none() {
                return Err(format!(
                    "`{text}` leads out of the input root, seen from `{self}` in it; nothing outside is kept"
                ));
            }
        }
        let path = Self(names.join("/"));
        if path.0.len() > LONGEST { Err(TOO_LONG.to_owned()) } else { Ok(path) }
    }

    pub fn join(&self, name: &str) -> Self {
        match (self.0.is_empty(), name.is_empty()) {
            (true, _) => Self(name.to_owned()),
            (false, true) => self.clone(),
            (false, false) => Self(format!("{}/{name}", self.0)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The path of the directory it is in; the empty one has none.
    pub fn parent(&self) -> Option<Self> {
        let end = self.0.rfind('/').unwrap_or(0);
        (!self.is_empty()).then(|| Self(self.0[..end].to_owned()))
    }

    /// Its names, from the top.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// As the kernel takes it, relative to an open directory.
    pub fn as_relative(&self) -> &Path {
        Path::new(if self.is_empty() { "." } else { &self.0 })
    }
}

impl fmt::Display for ExecPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_empty() { "." } else { &self.0 })
    }
}

/// Longest path below an input root, in bytes. The kernel takes 4095, with the place of the input root before it.
pub(super) const LONGEST: usize = 3500;
const TOO_LONG: &str = "is longer than 3500 bytes";

/// Refuses what cannot be the name of a file in a directory.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let problem = match name {
        "" => "is empty",
        "." | ".." => "means another directory",
        _ if name.contains('/') => "contains `/`",
        _ if name.contains('\0') => "contains a NUL byte",
        _ if name.len() > 255 => "is longer than 255 bytes",
        _ => return Ok(()),
    };
    Err(format!("the name {name:?} {problem}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> ExecPath {
        ExecPath::parse(text).unwrap()
    }

    #[test]
    fn one_path_has_one_form() {
        for text in ["a/b", "./a/b", "a//b/", "a/./b"] {
            assert_eq!(parse(text).as_str(), "a/b");
        }
        for text in ["", ".", "./"] {
            assert!(parse(text).is_empty());
        }
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        let long = "x".repeat(256);
        for text in ["/etc", "..", "a/../../b", "a\0b", &long] {
            assert!(ExecPath::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_path_but_the_empty_one_has_a_parent() {
        assert_eq!(parse("a/b").parent(), Some(parse("a")));
        assert_eq!(parse("a").parent(), Some(parse("")));
        assert_eq!(parse("").parent(), None);
    }

    #[test]
    fn a_path_may_climb_as_far_as_the_input_root() {
        let resolve = |text| parse("a/b").resolve(text).map(|path| path.as_str().to_owned());
        assert_eq!(resolve("../c/d").unwrap(), "a/c/d");
        assert_eq!(resolve("x/../../../c").unwrap(), "c");
        assert_eq!(resolve("../..").unwrap(), "");
        assert_eq!(resolve("").unwrap(), "a/b");
        let problem = resolve("../../../c").unwrap_err();
        assert!(problem.contains("`../../../c` leads out") && problem.contains("`a/b`"), "{problem}");
        let half = "x/".repeat(LONGEST / 4 + 1);
        assert!(parse(&half).resolve(&half).is_err());
        assert!(resolve(&"x/../".repeat(LONGEST)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_accepted_stays_below(text in "([a/.]|[.][.]|\\PC){0,20}") {
            for path in [ExecPath::parse(&text), parse("a/b").resolve(&text)].into_iter().flatten() {
                prop_assert!(path.names().all(|name| check_name(name).is_ok()));
                prop_assert!(!path.as_str().starts_with('/'));
                prop_assert_eq!(ExecPath::parse(path.as_str()), Ok(path));
            }
        }
    }
}
