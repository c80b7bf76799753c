//! One line of a requirements file: a requirement with its hashes, or options.
//! Knows nothing of files, nor of what a requirement names.

use super::hashes::{FileHash, RequiredHashes};
use crate::build::index::credentials::redact_urls;

/// What a line says, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineItem {
    /// A requirement, or what `-e` names.
    Requirement {
        /// As it was written, without hashes.
        text: String,
        hashes: RequiredHashes,
    },
    /// `-r FILE`
    Requirements(String),
    /// `-c FILE`
    Constraints(String),
    /// `--index-url URL`
    IndexUrl(String),
    /// `--extra-index-url URL`
    ExtraIndexUrl(String),
    /// `--find-links PLACE`
    FindLinks(String),
    /// `--no-index`
    NoIndex,
    /// `--pre`
    Prereleases,
    /// `--prefer-binary`, which is what is done anyway.
    PreferBinary,
    /// `--no-binary NAMES`
    NoBinary(String),
    /// `--only-binary NAMES`
    OnlyBinary(String),
    /// `--require-hashes`
    RequireHashes,
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it, without secrets.
pub fn parse_line(text: &str) -> Result<Vec<LineItem>, String> {
    if let Some(editable) = ["-e", "--editable"].iter().find_map(|flag| rest_of(text, flag)) {
        return requirement(unquoted(editable));
    }
    if text.starts_with('-') {
        return options(text);
    }
    requirement(text)
}

/// What follows `flag`, if `text` begins with it.
fn rest_of<'a>(text: &'a str, flag: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(flag)?;
    // `-e` may be followed by its value at once, which `--editable` may not.
    let separated = rest.starts_with(['=', ' ', '\t']) || (flag.len() == 2 && !rest.is_empty());
    separated.then(|| rest.trim_start_matches(['=', ' ', '\t']))
}

/// `"a b"` is `a b`.
fn unquoted(text: &str) -> &str {
    let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    quoted('"').or_else(|| quoted('\'')).unwrap_or(text)
}

fn requirement(text: &str) -> Result<Vec<LineItem>, String> {
    let (text, options) = split_options(text);
    let mut hashes = RequiredHashes::default();
    let mut words = words(options)?.into_iter();
    while let Some(word) = words.next() {
        let (flag, value) = split_flag(&word);
        if flag != "--hash" {
            let hint = match flag {
                "--config-settings" | "--config-setting" | "-C" | "--global-option" | "--build-option" => {
                    "; settings for all backends can be given with `crosswheel build --config-setting`"
                }
                _ => "",
            };
            return Err(format!("`{}` is not known for a single requirement{hint}", redact_urls(flag)));
        }
        let value = value.map(str::to_owned).or_else(|| words.next()).unwrap_or_default();
        let hash: FileHash = value.parse().map_err(|error| format!("--hash: {error}"))?;
        hashes.add(hash);
    }
    match text.is_empty() || text.starts_with('-') {
        true => Err("no requirement before the options, or after -e".into()),
        false => Ok(vec![LineItem::Requirement { text: text.to_owned(), hashes }]),
    }
}

/// A requirement, and the options that follow it: from the first word that begins with a dash.
fn split_options(text: &str) -> (&str, &str) {
    let dashes = text.match_indices('-').map(|(at, _)| at);
    let begins = |at: &usize| *at > 0 && text[..*at].ends_with([' ', '\t']);
    match dashes.into_iter().find(begins) {
        Some(at) => (text[..at].trim(), &text[at..]),
        None => (text.trim(), ""),
    }
}

fn words(text: &str) -> Result<Vec<String>, String> {
    shlex::split(text).ok_or_else(|| "a quote is not closed".into())
}

/// `--flag=value`, `-fvalue` or a flag alone.
fn split_flag(word: &str) -> (&str, Option<&str>) {
    if word.starts_with("--") {
        return word.split_once('=').map_or((word, None), |(flag, value)| (flag, Some(value)));
    }
    match word.char_indices().nth(2) {
        Some((at, _)) => (&word[..at], Some(word[at..].trim_start_matches('='))),
        None => (word, None),
    }
}

fn options(text: &str) -> Result<Vec<LineItem>, String> {
    let mut items = Vec::new();
    let mut words = words(text)?.into_iter();
    while let Some(word) = words.next() {
        let (flag, inline) = split_flag(&word);
        let mut value = || {
            let value = inline.map(str::to_owned).or_else(|| words.next());
            value.filter(|value| !value.is_empty()).ok_or_else(|| format!("{flag} has no value"))
        };
        let item = match flag {
            "-r" | "--requirement" => LineItem::Requirements(value()?),
            "-c" | "--constraint" => LineItem::Constraints(value()?),
            "-i" | "--index-url" | "--pypi-url" => LineItem::IndexUrl(value()?),
            "--extra-index-url" => LineItem::ExtraIndexUrl(value()?),
            "-f" | "--find-links" => LineItem::FindLinks(value()?),
            "--no-binary" => LineItem::NoBinary(value()?),
            "--only-binary" => LineItem::OnlyBinary(value()?),
            "--no-index" | "--pre" | "--prefer-binary" | "--require-hashes" if inline.is_some() => {
                return Err(format!("{flag} has no value to be given"));
            }
            "--no-index" => LineItem::NoIndex,
            "--pre" => LineItem::Prereleases,
            "--prefer-binary" => LineItem::PreferBinary,
            "--require-hashes" => LineItem::RequireHashes,
            "-e" | "--editable" => {
                return Err(format!("{flag} must be the first word of its line, and name something"));
            }
            "--trusted-host" => {
                return Err(
                    "--trusted-host would switch certificates off; leave it out, and have this system trust the \
                     authority of that host (SSL_CERT_FILE)"
                        .into(),
                );
            }
            _ => return Err(format!("the option `{}` is not known", redact_urls(flag))),
        };
        items.push(item);
    }
    let includes = |item: &&LineItem| matches!(item, LineItem::Requirements(_) | LineItem::Constraints(_));
    match items.iter().filter(includes).count() {
        0 | 1 => Ok(items),
        _ => Err("a line can name one file".into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "93bf7695c179ff8c93ea5cb1d0d4a895c30c6756087da8cb1deb4165f4fc8c24";

    fn requirement_of(text: &str) -> (String, RequiredHashes) {
        match parse_line(text).unwrap().as_slice() {
            [LineItem::Requirement { text, hashes }] => (text.clone(), hashes.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn requirements_keep_their_text_and_hashes_come_off() {
        for text in [
            "a-b==1 ; python_version > '3' ",
            "lib @ git+https://x.example/lib@a-b#subdirectory=c-d",
            "./a-b/",
            "-e ./a-b",
            "-e./a-b",
            "--editable=./a-b",
            "--editable './a b'",
        ] {
            let (found, hashes) = requirement_of(text);
            assert!(text.contains(found.trim()) && !found.starts_with("-e"), "{text}: {found}");
            assert!(hashes.is_empty());
        }
        let (found, hashes) =
            requirement_of(&format!("a==1 --hash=sha256:{DIGEST}   --hash sha256:{DIGEST}"));
        assert_eq!((found.as_str(), hashes.only_sha256().unwrap().to_string().as_str()), ("a==1", DIGEST));
    }

    #[test]
    fn options_come_in_every_spelling() {
        let item = |text: &str| parse_line(text).unwrap();
        for text in
            ["-r a.txt", "-ra.txt", "--requirement a.txt", "--requirement=a.txt", "-r 'a.txt'", "-r=a.txt"]
        {
            assert_eq!(item(text), [LineItem::Requirements("a.txt".into())], "{text}");
        }
        assert_eq!(
            item("-i https://x.example/simple --extra-index-url=https://y.example/simple --pre"),
            [
                LineItem::IndexUrl("https://x.example/simple".into()),
                LineItem::ExtraIndexUrl("https://y.example/simple".into()),
                LineItem::Prereleases
            ]
        );
        assert_eq!(item("--no-binary :all:"), [LineItem::NoBinary(":all:".into())]);
        assert_eq!(item("-c c.txt"), [LineItem::Constraints("c.txt".into())]);
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_name() {
        for (text, says) in [
            ("--use-feature=x", "the option `--use-feature` is not known"),
            ("--trusted-host x.example", "would switch certificates off"),
            ("-r", "-r has no value"),
            ("--pre=1", "no value to be given"),
            ("-r 'a", "a quote is not closed"),
            ("a --config-settings x=y", "--config-setting"),
            ("a --hash=md5:00", "no hash to rely on"),
            ("a --hash", "not of the form"),
            ("-e", "-e must be the first word"),
            ("-e  --hash=x", "no requirement"),
            ("--index-url", "has no value"),
            ("-r a.txt -c b.txt", "a line can name one file"),
        ] {
            let error = parse_line(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(text in "(-|--|r|e|hash|=| |'|\"|sha256:|a==1|#|é|.){1,20}") {
            let _ = parse_line(&text);
        }
    }
}
