//! What the fragment of a source's URL says: `#subdirectory=lib&sha256=...&egg=name`, in any order.
//! Knows nothing of the URL.

use std::path::{Component, Path};
use std::str::FromStr;

use pep508_rs::PackageName;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::hashes::{FileHash, RequiredHashes};
use crate::build::index::credentials::decode;

/// What a fragment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFragment {
    /// Where the project is within what the URL leads to: a relative path without `.` and `..`.
    pub subdirectory: Option<String>,
    /// The hashes of the file.
    pub hashes: RequiredHashes,
    /// The project that it is to be, in pip's old spelling of `name @ URL`.
    pub egg: Option<PackageName>,
}

impl SourceFragment {
    /// Reads what is after the `#`. What others put there is passed over, as pip and uv do, but for hashes.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn parse(fragment: &str) -> Result<Self, String> {
        let mut found = Self::default();
        for part in fragment.split('&') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key {
                "subdirectory" if found.subdirectory.is_some() => {
                    return Err("names two subdirectories".into());
                }
                "subdirectory" => found.subdirectory = subdirectory(&decode(value))?,
                "egg" => found.egg = egg(&decode(value)),
                "sha256" | "sha384" | "sha512" | "sha1" | "sha224" | "md5" => {
                    let hash = FileHash::new(key, value);
                    found.hashes.add(hash.map_err(|error| format!("has a bad hash: {error}"))?);
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// What a fragment says of a project below, as it is read again by [`SourceFragment::parse`].
pub fn subdirectory_part(path: &str) -> String {
    const TAKEN: &AsciiSet =
        &CONTROLS.add(b'%').add(b'&').add(b'#').add(b' ').add(b'"').add(b'<').add(b'>').add(b'`');
    format!("subdirectory={}", utf8_percent_encode(path, TAKEN))
}

/// The parts of a relative path that leads down; none for the top itself.
fn subdirectory(text: &str) -> Result<Option<String>, String> {
    let mut parts = Vec::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::CurDir => {}
            _ => return Err(format!("names the subdirectory `{text}`, which is outside of it")),
        }
    }
    if text.contains('\0') {
        return Err("names a subdirectory that can be none".into());
    }
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}

/// `name`, or the name in `name[extra]`.
fn egg(text: &str) -> Option<PackageName> {
    PackageName::from_str(text.split('[').next().unwrap_or_default().trim()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_come_in_any_order() {
        let digest = "93bf7695c179ff8c93ea5cb1d0d4a895c30c6756087da8cb1deb4165f4fc8c24";
        for text in [
            format!("subdirectory=a/./b/&sha256={digest}&egg=Some_Name[x]"),
            format!("egg=some-name&sha256={digest}&other=1&subdirectory=a%2Fb"),
        ] {
            let found = SourceFragment::parse(&text).unwrap();
            assert_eq!(found.subdirectory.as_deref(), Some("a/b"), "{text}");
            assert_eq!(found.egg.unwrap().to_string(), "some-name", "{text}");
            assert_eq!(found.hashes.only_sha256().unwrap().to_string(), digest, "{text}");
        }
        assert_eq!(SourceFragment::parse("subdirectory=.").unwrap(), SourceFragment::default());
    }

    #[test]
    fn what_leads_out_and_what_is_no_hash_is_refused() {
        for (text, says) in [
            ("subdirectory=../a", "outside"),
            ("subdirectory=/a", "outside"),
            ("subdirectory=a/%2E%2E/%2e%2e/b", "outside"),
            ("subdirectory=a&subdirectory=b", "two subdirectories"),
            ("sha256=12", "64 hexadecimal digits"),
            ("md5=12", "no hash to rely on"),
        ] {
            let error = SourceFragment::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn subdirectories_are_read_as_they_were(path in "[a-z&%#= ;+é]{1,9}") {
            let text = format!("{}&egg=x", subdirectory_part(&path));
            prop_assert_eq!(SourceFragment::parse(&text).unwrap().subdirectory, Some(path.clone()));
            let mut url = url::Url::parse("https://x.example/a").unwrap();
            url.set_fragment(Some(&text));
            let again = url.to_string().parse::<url::Url>().unwrap();
            prop_assert_eq!(again.fragment(), Some(&*text));
        }

        #[test]
        fn any_fragment_is_read_or_refused(text in "(subdirectory|egg|sha256|=|&|%2e|\\.|/|.){0,12}") {
            if let Ok(SourceFragment { subdirectory: Some(path), .. }) = SourceFragment::parse(&text) {
                prop_assert!(Path::new(&path).components().all(|part| matches!(part, Component::Normal(_))));
            }
        }
    }
}
