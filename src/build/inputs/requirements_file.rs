//! Requirements files (pip's `-r` and `-c`): all that they and those that they include say, as one set.
//! Knows nothing of what is done with the requirements.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::binary_policy::BinaryPolicy;
use super::logical_lines::{LogicalLine, logical_lines};
use super::requested::{FileLine, RequestedSource};
use super::requirements_line::{LineItem, parse_line};
use super::source::Source;
use crate::build::index::credentials::redact_urls;
use crate::build::settings::layer::SettingsLayer;
use crate::contract::{Failure, FailureClass};

/// No file that people write is longer.
const LONGEST: u64 = 16 << 20;
/// Nor all together.
const LONGEST_TOGETHER: usize = 64 << 20;
/// Nor does anybody include more of them, or deeper.
const MOST_FILES: usize = 512;
const DEEPEST: usize = 32;

/// What requirements files say.
#[derive(Clone, Debug, Default)]
pub struct RequestedSet {
    /// What is asked for, in order.
    pub sources: Vec<RequestedSource>,
    /// What bounds it.
    pub constraints: Vec<RequestedSource>,
    /// Where packages come from.
    pub layer: SettingsLayer,
    /// Whether pre-releases are as good as others.
    pub prereleases: bool,
    /// Whether every file must have a hash that was written down.
    pub hash_checking: bool,
    /// Of which projects no wheel, or nothing else, is taken.
    pub policy: BinaryPolicy,
    /// The text of every file, for cache keys. May hold logins.
    pub text: String,
}

/// A source that is to be built, and what became of reading it: one that cannot be read fails alone.
#[derive(Clone, Debug)]
pub struct SourceInput {
    /// What results call it. May hold a login.
    pub text: String,
    /// The source.
    pub requested: Result<RequestedSource, Failure>,
    /// What bounds its version.
    pub constraints: Arc<[RequestedSource]>,
}

/// A file that is being read.
struct OpenFile {
    /// All links resolved.
    path: PathBuf,
    /// As it was named.
    shown: PathBuf,
    lines: VecDeque<LogicalLine>,
    /// Whether what it names is no more than a bound.
    constrains: bool,
}

impl RequestedSet {
    /// Reads `files`, and what they include, which is named relative to the file that includes it. Sources that are
    /// paths are relative to `base`, as pip and uv have it.
    ///
    /// # Errors
    /// What cannot be read or understood, with file and line.
    pub fn read(files: &[PathBuf], base: &Path) -> Result<Self, Failure> {
        Self::read_as(files, base, false)
    }

    /// Reads `files` of constraints.
    pub fn read_constraints(files: &[PathBuf]) -> Result<Self, Failure> {
        Self::read_as(files, Path::new(""), true)
    }

    fn read_as(files: &[PathBuf], base: &Path, constrains: bool) -> Result<Self, Failure> {
        let mut reading = Reading {
            set: Self::default(),
            base,
            seen: BTreeMap::new(),
            open: Vec::new(),
            known: BTreeSet::new(),
        };
        for file in files {
            reading.open(file, constrains)?;
            reading.read_all()?;
        }
        let mut set = reading.set;
        if set.prereleases {
            for source in &mut set.sources {
                source.source = source.source.clone().with_prereleases(true);
            }
        }
        set.check_hashes()?;
        Ok(set)
    }

    /// Adds what `arguments` of a command line ask for.
    ///
    /// # Errors
    /// An argument that cannot be read, or has no hash where all must have one.
    pub fn ask(&mut self, arguments: &[String]) -> Result<(), Failure> {
        for text in arguments {
            let mut requested = RequestedSource::parse(text, Path::new(""))?;
            requested.source = requested.source.with_prereleases(self.prereleases);
            self.sources.push(requested);
        }
        self.check_hashes()
    }

    /// The sources that `arguments` of the command line and these files name.
    ///
    /// # Errors
    /// An argument without a hash where all must have one.
    pub fn inputs(self, arguments: &[String]) -> Result<Vec<SourceInput>, Failure> {
        let constraints: Arc<[RequestedSource]> = self.constraints.into();
        let input =
            |text: String, requested| SourceInput { text, requested, constraints: Arc::clone(&constraints) };
        let prereleases = self.prereleases;
        let arguments = arguments.iter().map(|text| {
            let requested = RequestedSource::parse(text, Path::new("")).and_then(|mut requested| {
                requested.source = requested.source.with_prereleases(prereleases);
                if self.hash_checking { check_hash(&requested).map(|()| requested) } else { Ok(requested) }
            });
            input(text.clone(), requested)
        });
        let mut inputs: Vec<SourceInput> = arguments.collect();
        for source in self.sources {
            inputs.push(input(source.text.clone(), Ok(source)));
        }
        if inputs.is_empty() {
            return Err(invalid("the requirements files name nothing to build".into()));
        }
        Ok(inputs)
    }

    /// Where one requirement has a hash, all must, and their versions must not be left open.
    fn check_hashes(&self) -> Result<(), Failure> {
        match self.hash_checking {
            true => self.sources.iter().try_for_each(check_hash),
            false => Ok(()),
        }
    }
}

fn check_hash(source: &RequestedSource) -> Result<(), Failure> {
    let problem = match &source.source {
        Source::Git(_) | Source::Directory(_) => "is a source tree, which has no hash to check",
        Source::Newest { .. } => "does not name one version with ==",
        _ if source.hashes.is_empty() => "has no hash",
        _ => return Ok(()),
    };
    let message = format!("`{}` {problem}, and where one requirement has a hash, all must", source.shown());
    let failure = invalid(message).with_hint("`uv pip compile --generate-hashes` writes such a file");
    Err(match &source.line {
        Some(line) => failure.within(line),
        None => failure,
    })
}

/// Files that are being read, the outermost first.
struct Reading<'a> {
    set: RequestedSet,
    base: &'a Path,
    /// What was read already, as a constraint or not.
    seen: BTreeMap<(PathBuf, bool), ()>,
    open: Vec<OpenFile>,
    /// What was named already: whether as a constraint, its text, its hashes.
    known: BTreeSet<(bool, String, String)>,
}

impl Reading<'_> {
    /// Opens `file`, unless it was read already.
    fn open(&mut self, file: &Path, constrains: bool) -> Result<(), Failure> {
        let path = local_file(file)?;
        if let Some(start) = self.open.iter().position(|open| open.path == path) {
            let names = self.open[start..].iter().map(|open| &open.shown).chain([&self.open[start].shown]);
            let names: Vec<String> = names.map(|name| name.display().to_string()).collect();
            return Err(invalid(format!("requirements files include each other: {}", names.join(" → "))));
        }
        if self.seen.insert((path.clone(), constrains), ()).is_some() {
            return Ok(());
        }
        if self.open.len() == DEEPEST || self.seen.len() > MOST_FILES {
            let message = format!(
                "requirements files may include each other {DEEPEST} deep, and {MOST_FILES} of them altogether"
            );
            return Err(invalid(message));
        }
        let text = read_text(&path, file)?;
        if self.set.text.len() + text.len() > LONGEST_TOGETHER {
            let message = format!(
                "{} and the requirements files before it are longer than {} MiB together",
                file.display(),
                LONGEST_TOGETHER >> 20
            );
            return Err(invalid(message));
        }
        self.set.text.push_str(&text);
        self.set.text.push('\0');
        let lines = logical_lines(&text, |name| std::env::var(name).ok()).into();
        self.open.push(OpenFile { path, shown: file.to_owned(), lines, constrains });
        Ok(())
    }

    /// Reads all that is open, and what is opened on the way.
    fn read_all(&mut self) -> Result<(), Failure> {
        while let Some(open) = self.open.last_mut() {
            let Some(line) = open.lines.pop_front() else {
                self.open.pop();
                continue;
            };
            let place = FileLine { file: open.shown.clone(), number: line.number };
            let constrains = open.constrains;
            let items = parse_line(&line.text).map_err(|problem| invalid(format!("{place}: {problem}")))?;
            for item in items {
                self.take(item, constrains, &place).map_err(|failure| failure.within(&place))?;
            }
        }
        Ok(())
    }

    fn take(&mut self, item: LineItem, constrains: bool, place: &FileLine) -> Result<(), Failure> {
        let directory = place.file.parent().unwrap_or(Path::new(""));
        let set = &mut self.set;
        match item {
            LineItem::Requirement { text, hashes } => {
                set.hash_checking |= !hashes.is_empty() && !constrains;
                let mut source = RequestedSource::parse(&text, self.base)
                    .map_err(|failure| beside(failure, &text, directory))?;
                source.must_have(&hashes);
                source.line = Some(place.clone());
                let known = if constrains { &mut set.constraints } else { &mut set.sources };
                // By the text, and what hashes it has: all else follows from these.
                if self.known.insert((constrains, source.text.clone(), format!("{:?}", source.hashes))) {
                    known.push(source);
                }
            }
            LineItem::Requirements(file) => self.open(&directory.join(included(&file)?), constrains)?,
            LineItem::Constraints(file) => self.open(&directory.join(included(&file)?), true)?,
            LineItem::IndexUrl(url) => set.layer.default_index = Some(url),
            LineItem::ExtraIndexUrl(url) => set.layer.extra_indexes.push(url),
            LineItem::FindLinks(place) => set.layer.find_links.push(find_links(place, directory)),
            LineItem::NoIndex => set.layer.no_index = Some(true),
            LineItem::Prereleases => set.prereleases = true,
            LineItem::PreferBinary => {}
            LineItem::NoBinary(names) => set.policy.refuse_wheels(&names).map_err(invalid)?,
            LineItem::OnlyBinary(names) => set.policy.refuse_sdists(&names).map_err(invalid)?,
            LineItem::RequireHashes => set.hash_checking = true,
        }
        Ok(())
    }
}

/// A failure to find a path that is there, but next to the file that names it.
fn beside(failure: Failure, text: &str, directory: &Path) -> Failure {
    let path = text.split(" ;").next().unwrap_or(text);
    let is_there = !path.contains("://") && directory != Path::new("") && directory.join(path).exists();
    match is_there && failure.hint.is_none() {
        true => failure.with_hint(
            "paths of sources are relative to the current directory, as with pip and uv, and not to the file that names them",
        ),
        false => failure,
    }
}

/// The path of an included file.
fn included(file: &str) -> Result<PathBuf, Failure> {
    match file.strip_prefix("file://") {
        Some(path) => Ok(PathBuf::from(path)),
        None if file.contains("://") => Err(is_a_url(file)),
        None => Ok(PathBuf::from(file)),
    }
}

/// A directory next to the file that names it, or whatever else was named.
fn find_links(place: String, directory: &Path) -> String {
    let beside = directory.join(&place);
    match !place.contains("://") && beside.exists() {
        true => beside.to_string_lossy().into_owned(),
        false => place,
    }
}

fn is_a_url(file: &str) -> Failure {
    invalid(format!("`{}` is a URL, and requirements are read from files", redact_urls(file)))
        .with_hint("fetch it first, and look at it: it decides what is built")
}

/// `file`, all links resolved.
fn local_file(file: &Path) -> Result<PathBuf, Failure> {
    let text = file.to_string_lossy();
    if text.contains("://") {
        return Err(is_a_url(&text));
    }
    fs_err::canonicalize(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => invalid(format!("there is no requirements file {}", file.display())),
        _ => invalid(error.to_string()),
    })
}

fn read_text(path: &Path, shown: &Path) -> Result<String, Failure> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let unreadable = |error: std::io::Error| invalid(error.to_string());
    fs_err::File::open(path)
        .map_err(unreadable)?
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err(invalid(format!("{} is longer than {} MiB", shown.display(), LONGEST >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
        invalid(format!("{}:{line}: this is not UTF-8", shown.display()))
    })
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureClass::InvalidSource, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "93bf7695c179ff8c93ea5cb1d0d4a895c30c6756087da8cb1deb4165f4fc8c24";

    struct Directory(tempfile::TempDir);

    impl Directory {
        fn with(files: &[(&str, &str)]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = directory.path().join(name);
                fs_err::create_dir_all(path.parent().unwrap()).unwrap();
                fs_err::write(path, text).unwrap();
            }
            Self(directory)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn read(&self, name: &str) -> Result<RequestedSet, Failure> {
            RequestedSet::read(&[self.path(name)], self.0.path())
        }

        fn error(&self, name: &str) -> String {
            self.read(name).unwrap_err().message.replace(&format!("{}/", self.0.path().display()), "")
        }
    }

    fn texts(sources: &[RequestedSource]) -> Vec<&str> {
        sources.iter().map(|source| source.text.as_str()).collect()
    }

    #[test]
    fn files_include_each_other_relative_to_themselves_and_in_order() {
        let directory = Directory::with(&[
            ("a.txt", "one\n-r sub/b.txt\nfour ; python_version > '3'\n-c sub/c.txt\n--pre\n-r sub/b.txt\n"),
            ("sub/b.txt", "two>=1 # why\n-r c.txt\n--no-binary two\n--find-links links\n"),
            ("sub/c.txt", "three<4\n-i https://x.example/simple\n"),
            ("sub/links/x.whl", ""),
        ]);
        let set = directory.read("a.txt").unwrap();
        assert_eq!(texts(&set.sources), ["one", "two>=1", "three<4", "four ; python_version > '3'"]);
        assert_eq!(texts(&set.constraints), ["three<4"]);
        assert_eq!(
            set.sources[1].line.as_ref().unwrap().to_string(),
            format!("{}:1", directory.path("sub/b.txt").display())
        );
        assert_eq!(set.layer.default_index.as_deref(), Some("https://x.example/simple"));
        assert_eq!(set.layer.find_links, [directory.path("sub/links").to_str().unwrap()]);
        assert!(
            set.sources
                .iter()
                .all(|source| matches!(source.source, Source::Newest { prereleases: true, .. }))
        );
        assert_ne!(set.policy, BinaryPolicy::default());
        assert!(set.text.contains("two>=1") && set.text.contains("three<4"));
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_file_and_line() {
        for (text, says) in [
            ("one\n\nTwo = 1\n", "a.txt:3: `Two = 1` is neither a file"),
            ("one \\\n --hash=md5:00", "a.txt:1: --hash: `md5` is no hash"),
            ("-r missing.txt", "a.txt:1: there is no requirements file missing.txt"),
            ("-r https://me:hunter22@x.example/r.txt", "a.txt:1: `https://****@x.example/r.txt` is a URL"),
            ("-r a.txt", "a.txt:1: requirements files include each other: a.txt → a.txt"),
            ("-c b.txt", "b.txt:1: requirements files include each other: a.txt → b.txt → a.txt"),
            ("--no-binary !", "a.txt:1: "),
            ("--frozen", "a.txt:1: the option `--frozen` is not known"),
            ("./missing.tar.gz", "a.txt:1: there is no file `./missing.tar.gz`"),
        ] {
            let directory = Directory::with(&[("a.txt", text), ("b.txt", "-r a.txt")]);
            let error = directory.error("a.txt");
            assert!(error.starts_with(says), "{text}: {error}");
            assert!(!error.contains("hunter22"), "{error}");
        }
        let directory = Directory::with(&[]);
        fs_err::write(directory.path("a.txt"), b"one\n\xff\n").unwrap();
        assert_eq!(directory.error("a.txt"), "a.txt:2: this is not UTF-8");
        let url = RequestedSet::read(&["https://x.example/r.txt".into()], Path::new("")).unwrap_err();
        assert!(url.message.contains("is a URL"), "{url}");
    }

    #[test]
    fn deep_includes_are_bounded() {
        let names: Vec<_> =
            (0..100).map(|n| (format!("{n}.txt"), format!("a{n}\n-r {}.txt\n", n + 1))).collect();
        let files: Vec<_> = names.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert!(Directory::with(&files).error("0.txt").contains("32 deep"));
    }

    #[test]
    fn many_lines_are_read_and_what_is_the_same_once() {
        let lines: String = (0..100_000).map(|n| format!("a{}==1\n", n % 50_000)).collect();
        assert_eq!(Directory::with(&[("a.txt", &lines)]).read("a.txt").unwrap().sources.len(), 50_000);
    }

    #[test]
    fn files_are_bounded_together() {
        let large = format!("#{}\n", " ".repeat(15 << 20));
        let names: Vec<String> = (0..5).map(|n| format!("{n}.txt")).collect();
        let mut files: Vec<_> = names.iter().map(|name| (name.as_str(), large.as_str())).collect();
        files.push(("a.txt", "-r 0.txt\n-r 1.txt\n-r 2.txt\n-r 3.txt\n-r 4.txt\n"));
        let error = Directory::with(&files).error("a.txt");
        assert!(error.starts_with("a.txt:5: 4.txt and") && error.contains("64 MiB"), "{error}");
    }

    #[test]
    fn where_one_has_a_hash_all_must() {
        let hash = format!("--hash=sha256:{DIGEST}");
        for (text, says) in [
            (format!("a==1 {hash}\nb==1\n"), "a.txt:2: `b==1` has no hash"),
            (format!("a>=1 {hash}\n"), "does not name one version"),
            ("--require-hashes\na==1\n".to_owned(), "has no hash"),
            (format!("a==1 {hash}\ngit+https://x.example/b@v1\n"), "which has no hash to check"),
        ] {
            let error = Directory::with(&[("a.txt", &text)]).error("a.txt");
            assert!(error.contains(says), "{text}: {error}");
        }
        let text = format!("a==1 {hash}\nhttps://x.example/b-1.tar.gz#sha256={DIGEST}\n");
        let set = Directory::with(&[("a.txt", &text)]).read("a.txt").unwrap();
        assert!(set.hash_checking);
        let inputs = set.inputs(&["c==1".to_owned()]).unwrap();
        assert!(inputs[0].requested.as_ref().unwrap_err().message.contains("has no hash"));
        assert!(inputs[1].requested.is_ok());
    }

    #[test]
    fn a_file_without_requirements_builds_nothing_and_says_so() {
        let set = Directory::with(&[("a.txt", "# nothing\n")]).read("a.txt").unwrap();
        assert!(set.inputs(&[]).unwrap_err().message.contains("name nothing"));
    }

    proptest! {
        #[test]
        fn any_file_is_read_or_refused_with_its_line(
            text in "(a==1|b>=2 ; python_version > '3'|-r |-c |b.txt|--hash=sha256:|--pre|git\\+https://|@|\n|\\\\\n| |#|\\$\\{HOME\\}|-|.){0,30}"
        ) {
            let directory = Directory::with(&[("a.txt", &text), ("b.txt", "b==2\n")]);
            if let Err(failure) = directory.read("a.txt") {
                let message = failure.message.replace(&format!("{}/", directory.0.path().display()), "");
                let line = message.strip_prefix("a.txt:").and_then(|rest| rest.split(':').next());
                prop_assert!(line.is_some_and(|line| line.parse::<usize>().is_ok()), "{}", message);
            }
        }
    }
}
