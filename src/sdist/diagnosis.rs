//! Reads a failed build's log and says which class of failure it shows, with the lines that show
//! it and what to do. Knows nothing of processes; the table of Debian packages is elsewhere.
//!
//! The rules are tried in order and the first that matches wins, so what is certain stands before
//! what is likely: a missing header is reported even when the backend then fails for lack of the
//! extension it could not compile.

use regex::{Captures, Regex};

use super::failure::{Failure, FailureClass};
use super::system_packages::{for_header, for_library, for_tool};

/// What the process that ran the hooks said of an exception (see `run_backend.py`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookError {
    /// `import`, `get_requires_for_build_wheel` or `build_wheel`.
    pub stage: String,
    /// Class of the exception.
    pub kind: String,
    /// Its text.
    pub text: String,
    /// For an `ImportError`: the module that could not be imported.
    pub module: Option<String>,
}

/// Classifies a failure by the exception the hook raised, if any, and the lines of the log.
pub fn diagnose(error: Option<&HookError>, log: &[String]) -> Failure {
    if let Some(failure) = error.and_then(|error| missing_module(error, log)) {
        return failure;
    }
    for rule in RULES {
        let pattern = Regex::new(rule.pattern).expect("the patterns of the table are tested");
        let mut matches = log.iter().filter_map(|line| pattern.captures(line).map(|found| (line, found)));
        let Some((line, found)) = matches.next() else { continue };
        let Some(Finding { class, message, hint }) = (rule.explain)(&found) else { continue };
        let mut evidence: Vec<_> = std::iter::once(line)
            .chain(matches.map(|(line, _)| line))
            .map(|line| shorten(line))
            .take(5)
            .collect();
        evidence.dedup();
        return Failure { class, message, evidence, hint, missing_requirements: Vec::new() };
    }
    unexplained(error, log)
}

/// The first line in which a compiler fails, if any: the sign that an extension was given up.
pub fn failed_compilation(log: &[String]) -> Option<&str> {
    let pattern = Regex::new(
        r"(?i)command '[^']*' failed|command '\[.*\]' returned non-zero|failed to build (?:the )?(?:extension|c module)|building extension .* failed|extensions? (?:module )?(?:could not|cannot|failed to) be? ?compiled?|unable to execute '|(?:compilation|compile) (?:of .*)?(?:failed|error)|failed building (?:the )?(?:c )?extension",
    )
    .expect("a constant pattern");
    log.iter().map(String::as_str).find(|line| pattern.is_match(line))
}

struct Finding {
    class: FailureClass,
    message: String,
    hint: Option<String>,
}

struct Rule {
    pattern: &'static str,
    /// `None` when the match turns out to mean something else.
    explain: fn(&Captures) -> Option<Finding>,
}

fn finding(class: FailureClass, message: impl Into<String>, hint: Option<String>) -> Option<Finding> {
    Some(Finding { class, message: message.into(), hint })
}

const RULES: &[Rule] = &[
    // Out of memory.
    Rule {
        pattern: r"Killed signal terminated program (\S+)|fatal error: Killed|virtual memory exhausted|std::bad_alloc|LLVM ERROR: out of memory|^MemoryError\b|Cannot allocate memory|\(signal: 9, SIGKILL",
        explain: |_| {
            let hint = "give the build more memory, or let it compile fewer files at once (for example --env MAX_JOBS=1)";
            finding(FailureClass::Killed, "the build ran out of memory", Some(hint.into()))
        },
    },
    // setuptools fetching setup_requires by pip: the requirement is named, so that is what to say.
    Rule {
        pattern: r"'wheel', '--no-deps'.*'--quiet'(?:, '[^']*')*, '([^']+)'\]' (?:returned non-zero|died)|No matching distribution found for ([^\s;]+)",
        explain: |found| missing_requirement(capture(found)),
    },
    // The network.
    Rule {
        pattern: r"(?i)could not resolve (?:host|proxy)|temporary failure in name resolution|name or service not known|network is unreachable|failed to establish a new connection|getaddrinfo (?:failed|ENOTFOUND|EAI_AGAIN)|urlopen error|max retries exceeded with url|unable to access 'https?://|failed to download from `https?://|dial tcp: lookup|failed to lookup address|attempting to make an HTTP request, but --offline|Could not resolve hostname|Subproject .* download failed|unable to update registry|no matching package named `[^`]+` found",
        explain: |found| {
            let line = found.get(0).map_or("", |text| text.as_str());
            let crates =
                line.contains("offline") || line.contains("registry") || line.contains("no matching package");
            let hint = if crates {
                "the build has no network: give it the crates of its Cargo.lock with --crates DIR (made by `cargo vendor`); `crosswheel build` does so by itself"
            } else {
                "the build has no network: whatever it fetches must come as a build requirement, in the sdist (--patch), or from the system"
            };
            finding(FailureClass::NetworkAccess, "the build tried to reach the network", Some(hint.into()))
        },
    },
    // Headers.
    Rule {
        pattern: r"fatal error: '?([^':]+\.(?:h|hpp|hh|hxx))'?: No such file or directory|fatal error: '([^']+)' file not found|fatal error: ([\w/+-]+): No such file or directory",
        explain: |found| {
            let header = capture(found)?;
            let python_package = [("numpy/", "numpy"), ("pybind11/", "pybind11"), ("nanobind/", "nanobind")];
            if let Some((_, package)) = python_package.iter().find(|(prefix, _)| header.starts_with(prefix)) {
                return missing_requirement(Some(package));
            }
            let hint = match for_header(header) {
                Some(package) => format!("on Debian and Ubuntu: apt-get install {package}"),
                None => format!("install the development package with {header}, on the machine that builds"),
            };
            finding(
                FailureClass::MissingSystemLibrary,
                format!("the compiler did not find the header {header}"),
                Some(hint),
            )
        },
    },
    // Libraries.
    Rule {
        pattern: r#"cannot find -l([\w.+-]+)|unable to find library -l([\w.+-]+)|No package '([^']+)' found|Package '?([\w.+-]+)'?,? (?:required by .*, not found|was not found in the pkg-config)|Dependency "([^"]+)" not found|Could not find a package configuration file provided by "([^"]+)"|Could NOT find (\w+)|pkg-config .*exited .*for ([\w.+-]+)|Unable to find .*library '?([\w.+-]+)"#,
        explain: |found| {
            let library = capture(found)?;
            if let "pybind11" | "nanobind" | "numpy" = library {
                return missing_requirement(Some(library));
            }
            let hint = match for_library(library) {
                Some(package) => format!("on Debian and Ubuntu: apt-get install {package}"),
                None => format!("install the development package of {library}, on the machine that builds"),
            };
            finding(
                FailureClass::MissingSystemLibrary,
                format!("the build did not find the library {library}"),
                Some(hint),
            )
        },
    },
    // Tools.
    Rule {
        pattern: r"command '([^']+)' failed: No such file or directory|unable to execute '([^']+)': No such file|No such file or directory: '([\w+-]+)'|^(?:/bin/)?(?:ba|da)?sh: (?:line )?(?:\d+: )?([\w.+-]+): (?:command )?not found|^/bin/sh: \d+: ([\w.+-]+): not found|Program '?([\w.+-]+)'? not found|linker `([^`]+)` not found|([\w+-]+) executable not found|[Cc]ould not find (?:the )?(cmake|ninja|git|make|cargo|rustc|swig|gfortran)\b|^make(?:\[\d+\])?: ([\w.+-]+): No such file or directory|ERROR: (Git|Ninja) program not found",
        explain: |found| missing_tool(capture(found)?),
    },
    Rule {
        pattern: r"No CMAKE_(?:C|CXX)_COMPILER could be found|Unknown compiler\(s\): \[\[",
        explain: |_| missing_tool("gcc"),
    },
    Rule {
        pattern: r"can't find Rust compiler|Cargo, the Rust package manager, is not installed|Do you have cargo in your PATH|requires Rust (?:to be installed|toolchain)",
        explain: |_| missing_tool("cargo"),
    },
    Rule {
        pattern: r"CMake must be installed|Could not find CMake|requires CMake",
        explain: |_| missing_tool("cmake"),
    },
    // Python.
    Rule {
        pattern: r"(?i)requires (?:a different )?python ?'?(>=? ?3\.\d+)|python (?:version )?(>=? ?3\.\d+) (?:is )?required",
        explain: |found| {
            let message = format!("the build says it needs Python {}", capture(found)?);
            finding(
                FailureClass::RequiresNewerPython,
                message,
                Some("choose another interpreter with --python".into()),
            )
        },
    },
    Rule {
        pattern: r"No module named '?([\w.]+)|DistributionNotFound: The '([^' ,;\[]+)",
        explain: |found| module_finding(capture(found)?),
    },
    // The backend against the project's metadata, or of another age than the project.
    Rule {
        pattern: r#"(?i)configuration error: |InvalidConfigError|ConfigurationError\b|flit_core\.config\.ConfigError|invalid pyproject\.toml|The Poetry configuration is invalid|Field [`"]project\.|extra keys present in "?project|Unknown (?:key|field)s? in .*pyproject|ConfigSettingsError|license-files|error in .* setup command:|InvalidRequirement|InvalidVersion|Invalid version:|tool\.scikit-build\S* |ERROR: .*pyproject\.toml"#,
        explain: |_| {
            let hint = "the backend rejects this project's configuration; try the backend's version of the time, with --constraint FILE (for example a line `scikit-build-core<0.11`)";
            finding(
                FailureClass::InvalidMetadata,
                "the backend rejects the project's metadata or configuration",
                Some(hint.into()),
            )
        },
    },
    Rule {
        pattern: r"cannot import name '[^']+' from '(setuptools|distutils|pkg_resources|packaging|wheel|Cython|numpy)|module '(setuptools|distutils|pkg_resources|wheel|Cython|numpy)[\w.]*' has no attribute|(use_2to3) is invalid|newer than PyO3's (maximum supported version)|Cython\.Compiler\.Errors\.(CompileError)|has no attribute '(SafeConfigParser|install_layout)'",
        explain: |found| {
            let hint = "the project is of another age than its build requirements; give it older ones with --constraint FILE, or an older --python";
            let message = format!("the project does not fit its build requirements ({})", capture(found)?);
            finding(FailureClass::InvalidMetadata, message, Some(hint.into()))
        },
    },
];

/// The first group that took part in the match.
fn capture<'t>(found: &Captures<'t>) -> Option<&'t str> {
    found.iter().skip(1).flatten().next().map(|group| group.as_str())
}

fn missing_tool(tool: &str) -> Option<Finding> {
    let tool = tool.to_ascii_lowercase();
    let (class, what) = if tool.ends_with("_config") || (tool.ends_with("-config") && tool != "pkg-config") {
        (FailureClass::MissingSystemLibrary, "the build did not find")
    } else {
        (FailureClass::MissingTool, "the build needs the program")
    };
    let hint = match for_tool(&tool) {
        Some(package) => format!("on Debian and Ubuntu: apt-get install {package}"),
        None => format!("install {tool} on the machine that builds, or add its directory with --path DIR"),
    };
    finding(class, format!("{what} {tool}"), Some(hint))
}

fn missing_requirement(requirement: Option<&str>) -> Option<Finding> {
    let requirement = requirement?;
    finding(
        FailureClass::MissingBuildRequirement,
        format!("the build needs {requirement}, which the project does not declare as a build requirement"),
        Some(give_requirement(requirement)),
    )
}

fn give_requirement(requirement: &str) -> String {
    format!(
        "add it: `crosswheel build --build-requires '{requirement}'`, or `crosswheel wheel --build-wheels` with its wheel"
    )
}

fn missing_module(error: &HookError, log: &[String]) -> Option<Failure> {
    if error.kind != "ModuleNotFoundError" && error.kind != "ImportError" {
        return None;
    }
    let module = error.module.as_deref()?;
    if error.kind == "ImportError" && !error.text.contains("No module named") {
        return None;
    }
    let Finding { class, message, hint } = module_finding(module)?;
    let evidence = log.iter().filter(|line| line.contains(module) && line.contains("No module named"));
    let evidence = evidence.map(|line| shorten(line)).take(3).collect();
    Some(Failure { class, message, evidence, hint, missing_requirements: Vec::new() })
}

fn module_finding(module: &str) -> Option<Finding> {
    let top = module.split('.').next().unwrap_or(module);
    if let Some((_, removed_in)) = REMOVED_FROM_PYTHON.iter().find(|(name, _)| *name == top) {
        let message = format!("the build imports `{top}`, which Python {removed_in} no longer has");
        let hint = format!(
            "choose a Python older than {removed_in} with --python, or a newer release of the project"
        );
        return finding(FailureClass::InvalidMetadata, message, Some(hint));
    }
    let requirement = PROJECT_OF_MODULE
        .iter()
        .find(|(name, _)| *name == top)
        .map_or_else(|| top.replace('_', "-").to_ascii_lowercase(), |(_, project)| (*project).to_owned());
    finding(
        FailureClass::MissingBuildRequirement,
        format!("the build imports `{module}`, which no build requirement provides"),
        Some(give_requirement(&requirement)),
    )
}

fn unexplained(error: Option<&HookError>, log: &[String]) -> Failure {
    let message = match error {
        Some(error) => {
            let text = error.text.lines().next().unwrap_or_default();
            format!("{} failed with {}: {text}", error.stage, error.kind)
        }
        None => "the backend's process ended without an answer".into(),
    };
    let last: Vec<_> = log.iter().rev().filter(|line| !line.trim().is_empty()).take(20).collect();
    Failure {
        class: FailureClass::BackendError,
        message,
        evidence: last.into_iter().rev().map(|line| shorten(line)).collect(),
        hint: None,
        missing_requirements: Vec::new(),
    }
}

fn shorten(line: &str) -> String {
    const LIMIT: usize = 400;
    let line = line.trim_end();
    match line.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

const REMOVED_FROM_PYTHON: &[(&str, &str)] = &[
    ("asynchat", "3.12"),
    ("asyncore", "3.12"),
    ("imp", "3.12"),
    ("smtpd", "3.12"),
    ("cgi", "3.13"),
    ("crypt", "3.13"),
    ("lib2to3", "3.13"),
    ("pipes", "3.13"),
    ("telnetlib", "3.13"),
    ("ConfigParser", "3"),
    ("urllib2", "3"),
];

/// Modules whose project has another name than the module.
const PROJECT_OF_MODULE: &[(&str, &str)] = &[
    ("Crypto", "pycryptodome"),
    ("Cython", "cython"),
    ("PIL", "pillow"),
    ("attr", "attrs"),
    ("bs4", "beautifulsoup4"),
    ("cmake", "cmake"),
    ("cv2", "opencv-python"),
    ("dateutil", "python-dateutil"),
    ("distutils", "setuptools"),
    ("flit_core", "flit-core"),
    ("git", "gitpython"),
    ("jinja2", "jinja2"),
    ("mesonpy", "meson-python"),
    ("pdm", "pdm-backend"),
    ("pkg_resources", "setuptools<81"),
    ("poetry", "poetry-core"),
    ("setuptools_rust", "setuptools-rust"),
    ("setuptools_scm", "setuptools-scm"),
    ("skbuild", "scikit-build"),
    ("sklearn", "scikit-learn"),
    ("sipbuild", "sip"),
    ("yaml", "pyyaml"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn diagnose_lines(lines: &[&str]) -> Failure {
        diagnose(None, &lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
    }

    /// One line of a real log per rule, and what must come of it.
    #[test]
    fn real_log_lines_are_put_into_their_class_with_a_hint() {
        use FailureClass::*;
        let cases: &[(&str, FailureClass, &str)] = &[
            (
                "foo.c:1:10: fatal error: openssl/evp.h: No such file or directory",
                MissingSystemLibrary,
                "libssl-dev",
            ),
            (
                "a.c:3:10: fatal error: Python.h: No such file or directory",
                MissingSystemLibrary,
                "python3-dev",
            ),
            ("src/x.c:5:10: fatal error: 'yaml.h' file not found", MissingSystemLibrary, "libyaml-dev"),
            (
                "a.cpp:1:10: fatal error: numpy/arrayobject.h: No such file or directory",
                MissingBuildRequirement,
                "numpy",
            ),
            ("/usr/bin/ld: cannot find -lpq: No such file or directory", MissingSystemLibrary, "libpq-dev"),
            (
                "../meson.build:9:0: ERROR: Dependency \"gmp\" not found, tried pkgconfig and cmake",
                MissingSystemLibrary,
                "libgmp-dev",
            ),
            ("error: command 'gcc' failed: No such file or directory", MissingTool, "gcc"),
            ("error: command 'x86_64-linux-gnu-g++' failed: No such file or directory", MissingTool, "g++"),
            ("FileNotFoundError: [Errno 2] No such file or directory: 'cmake'", MissingTool, "cmake"),
            ("/bin/sh: 1: pg_config: not found", MissingSystemLibrary, "libpq-dev"),
            ("Error: pg_config executable not found.", MissingSystemLibrary, "libpq-dev"),
            ("error: can't find Rust compiler", MissingTool, "cargo"),
            ("../meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc']]", MissingTool, "gcc"),
            (
                "fatal: unable to access 'https://example.org/a.git/': Could not resolve host: example.org",
                NetworkAccess,
                "no network",
            ),
            (
                "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",
                NetworkAccess,
                "no network",
            ),
            ("  attempting to make an HTTP request, but --offline was specified", NetworkAccess, "--crates"),
            ("ModuleNotFoundError: No module named 'numpy'", MissingBuildRequirement, "numpy"),
            (
                "ModuleNotFoundError: No module named 'setuptools_scm'",
                MissingBuildRequirement,
                "setuptools-scm",
            ),
            ("ModuleNotFoundError: No module named 'imp'", InvalidMetadata, "--python"),
            ("gcc: fatal error: Killed signal terminated program cc1", Killed, "memory"),
            (
                "configuration error: `project.license` must be valid exactly by one definition",
                InvalidMetadata,
                "--constraint",
            ),
            (
                "AttributeError: module 'configparser' has no attribute 'SafeConfigParser'",
                InvalidMetadata,
                "--python",
            ),
            ("error in foo setup command: use_2to3 is invalid.", InvalidMetadata, "--constraint"),
        ];
        for (line, class, hint) in cases {
            let failure = diagnose_lines(&["running build_ext", line, "ERROR"]);
            assert_eq!(failure.class, *class, "{line}");
            assert!(failure.hint.as_deref().is_some_and(|text| text.contains(hint)), "{line}: {failure:?}");
            assert_eq!(failure.evidence[0], *line);
        }
    }

    /// setuptools installs `setup_requires` by running pip, which a build's venv does not have.
    #[test]
    fn setup_requires_that_pip_cannot_fetch_is_named_as_a_requirement() {
        let failure = diagnose_lines(&[
            "/crosswheel/venv/bin/python: No module named pip",
            "distutils.errors.DistutilsError: Command '['/v/bin/python', '-m', 'pip', '--disable-pip-version-check', 'wheel', '--no-deps', '-w', '/tmp/x', '--quiet', 'cffi>=1.0']' returned non-zero exit status 1.",
        ]);
        assert_eq!(failure.class, FailureClass::MissingBuildRequirement);
        assert!(failure.message.contains("cffi>=1.0"), "{}", failure.message);
    }

    #[test]
    fn the_exception_of_the_hook_beats_the_log() {
        let error = HookError {
            stage: "import".into(),
            kind: "ModuleNotFoundError".into(),
            text: "No module named 'hatchling'".into(),
            module: Some("hatchling".into()),
        };
        let failure = diagnose(Some(&error), &["ModuleNotFoundError: No module named 'hatchling'".into()]);
        assert_eq!(failure.class, FailureClass::MissingBuildRequirement);
        assert!(failure.hint.unwrap().contains("--build-requires 'hatchling'"));
    }

    #[test]
    fn what_no_rule_explains_keeps_the_end_of_the_log() {
        let failure = diagnose_lines(&["one", "", "two"]);
        assert_eq!(failure.class, FailureClass::BackendError);
        assert_eq!(failure.evidence, ["one", "two"]);
    }

    /// MarkupSafe and setproctitle print such lines and then make a pure wheel.
    #[test]
    fn a_compilation_given_up_is_recognised() {
        for line in [
            "error: command '/usr/bin/gcc' failed with exit code 1",
            "WARNING: The C extension could not be compiled, speedups are not enabled.",
            "Failed to build extension a._a: Command '['/bin/false', '-c', 'a.c']' returned non-zero exit status 1.",
            "building extension \"a._speedups\" failed: command 'false' failed with exit code 1",
        ] {
            assert!(failed_compilation(&[line.to_owned()]).is_some(), "{line}");
        }
        assert!(failed_compilation(&["building 'a' extension".to_owned()]).is_none());
    }

    proptest! {
        #[test]
        fn arbitrary_logs_never_panic(lines in proptest::collection::vec("\\PC{0,80}", 0..20)) {
            let _ = diagnose(None, &lines);
            let _ = failed_compilation(&lines);
        }
    }
}
