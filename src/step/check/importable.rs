//! The modules of a wheel that a user would import: packages and modules at its top level, and in namespace packages
//! (PEP 420, and the older kinds that their `__init__.py` makes) the packages and compiled modules that are in there; what
//! else lies in them only if there is nothing else. Read from what is installed, not
//! from `top_level.txt`, which few backends write. Never what runs something by design, and never tests and
//! examples that were packed beside the package by mistake.
//! Knows nothing of how modules are imported.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Read;
use std::path::Path;

use fs_err::File;
use regex::bytes::Regex;

use crate::packaging::interpreter::Interpreter;
use crate::step::venv::unpacked_wheel::{Scheme, UnpackedWheel};

/// Directories that far below the top level hold no namespace packages.
const DEEPEST: usize = 16;

/// Most bytes of an `__init__.py` that makes a namespace package; real ones have a few hundred.
const LONGEST_NAMESPACE_INIT: u64 = 4096;

/// What runs something when it is imported.
const PROGRAMS: [&str; 4] = ["__main__", "conftest", "setup", "noxfile"];

/// What lies beside a package at the top level and was not meant to be installed, unless there is nothing else.
const BESIDE: [&str; 9] =
    ["test", "tests", "doc", "docs", "example", "examples", "benchmark", "benchmarks", "scripts"];

/// The names of the modules of `wheel` that `interpreter` should be able to import, sorted.
pub fn importable_modules(wheel: &UnpackedWheel, interpreter: &Interpreter) -> Vec<String> {
    let site = wheel.directory().join(Scheme::Site.directory());
    let files = wheel.manifest().files.iter().filter(|file| file.scheme == Scheme::Site);
    let suffixes = Suffixes::of(interpreter);
    let tree = Tree::of(files.map(|file| file.path.as_str()), &suffixes);
    tree.modules(&mut Unpacked { site: &site })
}

/// What has to be read of files to tell.
trait Contents {
    /// Whether the extension module `path` can be imported as `name`.
    fn is_extension(&mut self, path: &str, name: &str) -> bool;
    /// Whether the `__init__.py` at `path` makes a namespace package.
    fn makes_namespace(&mut self, path: &str) -> bool;
}

struct Unpacked<'a> {
    site: &'a Path,
}

impl Contents for Unpacked<'_> {
    /// A shared library that happens to lie there has no such function. What cannot be read is tried.
    fn is_extension(&mut self, path: &str, name: &str) -> bool {
        // The function of a name with other letters has another one.
        let Ok(file) = File::open(self.site.join(path)) else { return true };
        !name.is_ascii() || contains(file, &format!("PyInit_{name}\0")).unwrap_or(true)
    }

    fn makes_namespace(&mut self, path: &str) -> bool {
        let mut text = String::new();
        let Ok(file) = File::open(self.site.join(path)) else { return false };
        match file.take(LONGEST_NAMESPACE_INIT + 1).read_to_string(&mut text) {
            Ok(length) if length as u64 <= LONGEST_NAMESPACE_INIT => {
                text.contains("extend_path") || text.contains("declare_namespace")
            }
            _ => false,
        }
    }
}

/// Whether `wanted` occurs in what is read.
fn contains(mut from: impl Read, wanted: &str) -> std::io::Result<bool> {
    let pattern = Regex::new(&regex::escape(wanted)).map_err(std::io::Error::other)?;
    let (mut window, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let count = match from.read(&mut chunk) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        window.extend_from_slice(&chunk[..count]);
        if pattern.is_match(&window) {
            return Ok(true);
        }
        window.drain(..window.len().saturating_sub(wanted.len()));
    }
}

/// How files of modules end.
struct Suffixes {
    /// What stands between the module's name and `-….so` in those of one Python: `cpython-311`.
    tags: BTreeSet<String>,
    /// Whether modules with the stable ABI can be imported.
    stable_abi: bool,
}

/// What a file is to Python.
#[derive(Debug, PartialEq, Eq)]
enum Module<'a> {
    Source(&'a str),
    Extension(&'a str),
}

impl Suffixes {
    fn of(interpreter: &Interpreter) -> Self {
        let Interpreter { cache_tag, abi_flags, .. } = interpreter;
        let tags = BTreeSet::from([cache_tag.clone(), format!("{cache_tag}{abi_flags}")]);
        Self { tags, stable_abi: !interpreter.free_threaded }
    }

    fn read<'a>(&self, file_name: &'a str) -> Option<Module<'a>> {
        let (name, suffix) = file_name.split_once('.')?;
        match suffix {
            "py" | "pyc" => Some(Module::Source(name)),
            "so" => Some(Module::Extension(name)),
            "abi3.so" => self.stable_abi.then_some(Module::Extension(name)),
            _ => {
                let middle = suffix.strip_suffix(".so")?;
                let is_tag = |tag: &String| {
                    middle.strip_prefix(tag.as_str()).is_some_and(|rest| rest.starts_with('-'))
                };
                self.tags.iter().any(is_tag).then_some(Module::Extension(name))
            }
        }
    }
}

/// What Python sees in a directory.
#[derive(Default)]
struct Directory {
    /// The path of its `__init__`, if it has one, which makes it a regular package.
    init: Option<String>,
    sources: BTreeSet<String>,
    /// With their paths.
    extensions: BTreeMap<String, Vec<String>>,
    directories: BTreeSet<String>,
}

/// By path; that of the top level is empty.
struct Tree(BTreeMap<String, Directory>);

impl Tree {
    fn of<'a>(paths: impl Iterator<Item = &'a str>, suffixes: &Suffixes) -> Self {
        let mut tree = Self(BTreeMap::new());
        for path in paths {
            let (parent, file_name) = path.rsplit_once('/').unwrap_or(("", path));
            let Some(module) = suffixes.read(file_name) else { continue };
            if tree.add_directory(parent) {
                let directory = tree.0.entry(parent.to_owned()).or_default();
                directory.add(module, path);
            }
        }
        tree
    }

    /// Whether Python can see what is in the directory at `path`; if so, it and those above are there.
    fn add_directory(&mut self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if parts.len() > DEEPEST || !parts.iter().all(|part| is_name(part) && *part != "__pycache__") {
            return false;
        }
        let mut above = String::new();
        for part in parts {
            self.0.entry(above.clone()).or_default().directories.insert(part.to_owned());
            if !above.is_empty() {
                above.push('/');
            }
            above.push_str(part);
        }
        true
    }

    fn modules(&self, contents: &mut impl Contents) -> Vec<String> {
        let mut found = [(); 3].map(|()| BTreeSet::new());
        let mut namespaces = VecDeque::from([String::new()]);
        while let Some(path) = namespaces.pop_front() {
            let Some(directory) = self.0.get(&path) else { continue };
            let top = path.split('/').next().unwrap_or_default();
            let mut add = |rank: Rank, name: &str| {
                let is_beside = BESIDE.contains(&if top.is_empty() { name } else { top });
                let rank = if is_beside { Rank::Beside } else { rank };
                found[rank as usize].insert(dotted(&path, name));
            };
            let rank = if path.is_empty() { Rank::Meant } else { Rank::InNamespace };
            directory.source_names().for_each(|name| add(rank, name));
            directory.extension_names(contents).into_iter().for_each(|name| add(Rank::Meant, name));
            for name in &directory.directories {
                let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                let init = self.0.get(&below).and_then(|package| package.init.as_deref());
                if let Some(init) = init {
                    add(Rank::Meant, name);
                    if !contents.makes_namespace(init) {
                        continue;
                    }
                }
                namespaces.push_back(below);
            }
        }
        let meant = found.into_iter().find(|names| !names.is_empty());
        meant.unwrap_or_default().into_iter().collect()
    }
}

/// How surely a module is meant to be imported. Those that are less sure are, if there are no others.
#[derive(Clone, Copy)]
enum Rank {
    Meant,
    /// A source file that lies in a namespace package.
    InNamespace,
    Beside,
}

impl Directory {
    fn add(&mut self, module: Module, path: &str) {
        match module {
            Module::Source("__init__") | Module::Extension("__init__") => self.init = Some(path.to_owned()),
            Module::Source(name) if is_name(name) => drop(self.sources.insert(name.to_owned())),
            Module::Extension(name) if is_name(name) => {
                self.extensions.entry(name.to_owned()).or_default().push(path.to_owned());
            }
            Module::Source(_) | Module::Extension(_) => {}
        }
    }

    fn source_names(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(String::as_str).filter(|name| !PROGRAMS.contains(name))
    }

    fn extension_names(&self, contents: &mut impl Contents) -> Vec<&str> {
        let mut is_extension = |(name, paths): &(&String, &Vec<String>)| {
            paths.iter().any(|path| contents.is_extension(path, name))
        };
        self.extensions.iter().filter(|entry| is_extension(entry)).map(|(name, _)| name.as_str()).collect()
    }
}

fn dotted(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{}.{name}", directory.replace('/', ".")) }
}

/// Whether it can stand behind `import`. (Keywords can be imported all the same, by name.)
fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first == '_' || first.is_alphabetic())
        && letters.all(|letter| letter == '_' || letter.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Extensions whose path has `lib` in it are libraries; `__init__` files below `old` make namespaces.
    struct ByPath;

    impl Contents for ByPath {
        fn is_extension(&mut self, path: &str, _: &str) -> bool {
            !path.contains("lib")
        }

        fn makes_namespace(&mut self, path: &str) -> bool {
            path.starts_with("old/__init__")
        }
    }

    fn suffixes() -> Suffixes {
        Suffixes { tags: BTreeSet::from(["cpython-311".to_owned()]), stable_abi: true }
    }

    fn modules(paths: &[&str]) -> Vec<String> {
        Tree::of(paths.iter().copied(), &suffixes()).modules(&mut ByPath)
    }

    #[test]
    fn packages_modules_and_extensions_at_the_top_level_are_imported() {
        assert_eq!(
            modules(&[
                "pkg/__init__.py",
                "pkg/sub/__init__.py",
                "pkg/mod.py",
                "single.py",
                "compiled.cpython-311-x86_64-linux-gnu.so",
                "stable.abi3.so",
                "plain.so",
                "_private.py",
                "extension_package/__init__.cpython-311-x86_64-linux-gnu.so",
            ]),
            ["_private", "compiled", "extension_package", "pkg", "plain", "single", "stable"]
        );
    }

    #[test]
    fn what_python_cannot_import_by_name_is_left_alone() {
        assert_eq!(
            modules(&[
                "pkg-1.0.dist-info/METADATA",
                "pkg.libs/libx.so",
                "pkg-stubs/__init__.pyi",
                "a-script.py",
                "other.cpython-310-x86_64-linux-gnu.so",
                "libshared.so",
                "data/file.txt",
                "__pycache__/single.cpython-311.pyc",
                "30fcd__mypyc.cpython-311-x86_64-linux-gnu.so",
                "pkg.pth",
            ]),
            [""; 0]
        );
    }

    #[test]
    fn of_namespace_packages_what_is_in_them_is_imported() {
        assert_eq!(
            modules(&["google/cloud/storage/__init__.py", "google/cloud/version.py", "google/x/data.txt"]),
            ["google.cloud.storage"]
        );
        assert_eq!(modules(&["ns/one.py", "ns/deep/two.py"]), ["ns.deep.two", "ns.one"]);
        assert_eq!(modules(&["ns/one.py", "ns/_two.abi3.so", "ns/pkg/__init__.py"]), ["ns._two", "ns.pkg"]);
        assert_eq!(
            modules(&["old/__init__.py", "old/part/__init__.py", "old/part/deep/__init__.py"]),
            ["old", "old.part"]
        );
    }

    #[test]
    fn programs_are_not_run_nor_tests_that_lie_beside_a_package() {
        let beside = [
            "pkg/__init__.py",
            "setup.py",
            "conftest.py",
            "__main__.py",
            "tests/__init__.py",
            "docs/conf.py",
        ];
        assert_eq!(modules(&beside), ["pkg"]);
        assert_eq!(modules(&["tests/__init__.py"]), ["tests"]);
        assert_eq!(modules(&["pkg/__main__.py", "ns/__main__.py"]), [""; 0]);
    }

    #[test]
    fn a_module_is_found_in_bytes_wherever_they_are_cut() {
        struct OneByOne<'a>(&'a [u8]);
        impl Read for OneByOne<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                self.0.read(&mut buffer[..1])
            }
        }
        let text = b"abc PyInit_x\0 def";
        assert!(contains(OneByOne(text), "PyInit_x\0").unwrap());
        assert!(!contains(OneByOne(text), "PyInit_\0").unwrap());
        assert!(contains(&text[..], "PyInit_x\0").unwrap());
    }

    proptest! {
        #[test]
        fn whatever_a_wheel_holds_only_names_come_of_it(paths in prop::collection::vec("[a-c_/.0-]{0,9}(/__init__)?(\\.py|\\.so|\\.abi3\\.so)?", 0..20)) {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            for module in modules(&paths) {
                prop_assert!(module.split('.').all(is_name), "{}", module);
            }
        }
    }
}
