//! What lines of build logs mean: a table of patterns, tried in order; the first that matches a
//! line of the log wins. So what is certain stands before what is likely: a missing header is
//! reported even when the backend then fails for lack of the extension it could not compile.
//! Knows nothing of logs as a whole.

use regex::Captures;

use super::explanations::{
    drift, known_drift, missing_header, missing_library, missing_requirement, missing_tool, older_python,
    rejected_metadata,
};
use super::log_finding::{LogFinding, log_finding};
use super::python_modules::module_finding;
use crate::contract::FailureClass;

/// A pattern, and what a line that matches it means.
pub struct LogRule {
    pub pattern: &'static str,
    /// `None` when the match turns out to mean something else.
    pub explain: fn(&Captures) -> Option<LogFinding>,
}

/// The rules, in the order in which they are tried.
pub const RULES: &[LogRule] = &[
    // Out of memory.
    LogRule {
        pattern: r"Killed signal terminated program (\S+)|fatal error: Killed|virtual memory exhausted|std::bad_alloc|LLVM ERROR: out of memory|^MemoryError\b|Cannot allocate memory|\(signal: 9, SIGKILL",
        explain: |_| {
            let hint = "give the build more memory, or let it compile fewer files at once (for example --env MAX_JOBS=1)";
            log_finding(FailureClass::Killed, "the build ran out of memory", Some(hint.into()))
        },
    },
    // setuptools fetching setup_requires by pip: the requirement is named, so that is what to say.
    LogRule {
        pattern: r"'wheel', '--no-deps'.*'--quiet'(?:, '[^']*')*, '([^']+)'\]' (?:returned non-zero|died)|No matching distribution found for ([^\s;]+)",
        explain: |found| missing_requirement(capture(found)),
    },
    // puccinialin, of which maturin makes use where it finds no Rust, says so before it tries to download one.
    LogRule {
        pattern: r"^Rust not found, installing into a temporary directory",
        explain: |_| missing_tool("cargo"),
    },
    // The network.
    LogRule {
        pattern: r"(?i)could not resolve (?:host|proxy)|temporary failure in name resolution|name or service not known|network is unreachable|failed to establish a new connection|getaddrinfo (?:failed|ENOTFOUND|EAI_AGAIN)|urlopen error|max retries exceeded with url|unable to access 'https?://|failed to download (?:from `https?://|any of the following)|dial tcp: lookup|failed to lookup address|attempting to make an HTTP request, but --offline|Could not resolve hostname|Subproject .* download failed|unable to update registry|no matching package named `[^`]+` found",
        explain: |found| {
            let line = found.get(0).map_or("", |text| text.as_str());
            let crates =
                line.contains("offline") || line.contains("registry") || line.contains("no matching package");
            let hint = if crates {
                "the build has no network: give it the crates of its Cargo.lock with --crates DIR (made by `cargo vendor`); `crosswheel build` does so by itself"
            } else {
                "the build has no network: whatever it fetches must come as a build requirement, in the sdist (--patch), or from the system"
            };
            log_finding(
                FailureClass::NetworkAccess,
                "the build tried to reach the network",
                Some(hint.into()),
            )
        },
    },
    // Headers.
    LogRule {
        pattern: r"fatal error: '?([^':]+\.(?:h|hpp|hh|hxx))'?: No such file or directory|fatal error: '([^']+)' file not found|fatal error: ([\w/+-]+): No such file or directory",
        explain: |found| missing_header(capture(found)?),
    },
    // Libraries.
    LogRule {
        pattern: r#"cannot find -l([\w.+-]+)|unable to find library -l([\w.+-]+)|No package '([^']+)' found|Package '?([\w.+-]+)'?,? (?:required by .*, not found|was not found in the pkg-config)|Dependency "([^"]+)" not found|Could not find a package configuration file provided by "([^"]+)"|^\s*Could NOT find (\w+)|pkg-config .*exited .*for ([\w.+-]+)|'pkg-config --exists ([\w.+-]+)' returned non-zero|Unable to find .*library '?([\w.+-]+)|\b(lib[\w+-]+)\.so[\d.]*: cannot open shared object file|(?i)you need to install (?:the )?([\w.+-]+) development (?:headers|files|libraries|package)"#,
        explain: |found| missing_library(capture(found)?),
    },
    // Tools.
    LogRule {
        pattern: r"command '([^']+)' failed: No such file or directory|unable to execute '([^']+)': No such file|No such file or directory: '([\w+-]+)'|^(?:\S*/)?[\w.-]*sh: (?:line )?(?:\d+: )?([\w.+-]+): (?:command )?not found|'/bin/sh:', '\d+:', '([\w.+-]+):', 'not', 'found'|The '([\w.+-]+)' command appears not to be installed|Program '?([\w.+-]+)'? not found|linker `([^`]+)` not found|([\w+-]+) executable not found|PyProjectOptionException\('(qmake)'|[Cc]ould not find (?:the )?(cmake|ninja|git|make|cargo|rustc|swig|gfortran)\b|^make(?:\[\d+\])?: ([\w.+-]+): No such file or directory|ERROR: (Git|Ninja) program not found",
        explain: |found| missing_tool(capture(found)?),
    },
    LogRule {
        pattern: r"No CMAKE_(?:C|CXX)_COMPILER could be found|Unknown compiler\(s\): \[\[",
        explain: |_| missing_tool("gcc"),
    },
    LogRule {
        pattern: r"can't find Rust compiler|Cargo, the Rust package manager, is not installed|Do you have cargo in your PATH|requires Rust (?:to be installed|toolchain)",
        explain: |_| missing_tool("cargo"),
    },
    LogRule {
        pattern: r"CMake must be installed|Could not find CMake|requires CMake",
        explain: |_| missing_tool("cmake"),
    },
    // Python.
    LogRule {
        pattern: r"(?i)requires (?:a different )?python ?'?(>=? ?3\.\d+)|python (?:version )?(>=? ?3\.\d+) (?:is )?required|Cannot install on Python version [\d.]+; only versions (\S+) are supported",
        explain: |found| {
            let message = format!("the build says it needs Python {}", capture(found)?);
            log_finding(
                FailureClass::RequiresNewerPython,
                message,
                Some("choose another interpreter with --python".into()),
            )
        },
    },
    LogRule {
        pattern: r"error: ‘(?:const )?(Py\w+Object|PyArray_\w+|PyThreadState|PyInterpreterState)’ (?:\{aka .*\} )?has no member named|error: too (?:few|many) arguments to function ‘(_?Py\w+)’|error: implicit declaration of function ‘(_?Py[A-Z]\w+)’|error: ‘(_?Py[A-Z]\w+)’ (?:undeclared|was not declared|does not name a type)|error: invalid use of (?:incomplete typedef|undefined type) ‘(Py\w+)",
        explain: |found| {
            let name = capture(found)?;
            if name.starts_with("PyArray") {
                let hint = "give it an older numpy with --constraint FILE and a line `numpy<2`";
                return drift(format!("the project's C code does not fit numpy's headers ({name})"), hint);
            }
            older_python(format!("the project's C code does not fit this Python's headers ({name})"))
        },
    },
    // Py_SIZE, Py_TYPE and Py_REFCNT were macros that one could assign to until Python 3.10.
    LogRule {
        pattern: r"error: lvalue required as (?:left operand of assignment|(?:de|in)crement operand)",
        explain: |_| older_python("the project's C code does not fit this Python's headers".into()),
    },
    LogRule {
        pattern: r"No module named '([\w.]+)'|DistributionNotFound: The '([^' ,;\[]+)",
        explain: |found| module_finding(capture(found)?),
    },
    LogRule {
        pattern: r"\bpython[\d.]*: No module named pip$",
        explain: |_| {
            let message = "the build runs pip, which is not in its environment (and would have no network)";
            let hint = "give it what it would install with `crosswheel build --build-requires REQUIREMENT`";
            log_finding(FailureClass::MissingBuildRequirement, message, Some(hint.into()))
        },
    },
    LogRule { pattern: r"No module named ([\w.]+)", explain: |found| module_finding(capture(found)?) },
    LogRule {
        pattern: r"SyntaxError: Missing parentheses in call to 'print'|SyntaxError: multiple exception types must be parenthesized|SyntaxError: leading zeros in decimal integer literals|NameError: name '(?:basestring|execfile|raw_input|unicode|xrange)' is not defined",
        explain: |_| {
            let hint = "build a newer release of the project, or port this one with --patch FILE";
            drift("the project is written for Python 2", hint)
        },
    },
    // Build requirements of another age than the project.
    LogRule {
        pattern: r"setup command: (use_2to3) is invalid|has no attribute '(cython_sources|SafeConfigParser|ImpImporter)'|unexpected keyword argument '(dry_run)'|newer than PyO3's (maximum supported version)|(Compatibility with CMake < 3\.5 has been removed)|cannot import name '(Feature)' from 'setuptools'",
        explain: |found| known_drift(capture(found)?),
    },
    LogRule {
        pattern: r"^Cython\.Compiler\.Errors\.CompileError|^\S+\.(?:pyx|pxd|pxi|py):\d+:\d+: (\w+:)?",
        explain: |found| {
            // A type checker, or a remark.
            if let Some("error:" | "note:" | "warning:") = capture(found) {
                return None;
            }
            let hint = "give it an older Cython with --constraint FILE and a line `cython<3.1`, or `cython<3` if it is from before 2023";
            drift("the project does not fit its build requirements: Cython cannot translate it", hint)
        },
    },
    LogRule {
        pattern: r"Use \S+ instead of \S+ for (scikit-build-core) >= ([\d.]+)",
        explain: |found| {
            let [backend, version] = [1, 2].map(|group| found.get(group).map_or("", |text| text.as_str()));
            let hint =
                format!("give it an older one with --constraint FILE and a line `{backend}<{version}`");
            drift(format!("the project's configuration is for a {backend} before {version}"), hint)
        },
    },
    LogRule {
        pattern: r"cannot import name '([^']+)' from '(setuptools|distutils|pkg_resources|packaging|wheel|Cython|numpy)|(install_layout)'|module '((?:setuptools|distutils|pkg_resources|wheel|Cython|numpy)[\w.]*)' has no attribute '([^']+)'",
        explain: |found| {
            let names: Vec<_> = found.iter().skip(1).flatten().map(|group| group.as_str()).collect();
            let hint = "the project is of another age than its build requirements; give it older ones with --constraint FILE, or an older --python";
            drift(format!("the project does not fit its build requirements ({})", names.join(", ")), hint)
        },
    },
    // The backend against the project's metadata.
    LogRule {
        pattern: r#"(?i)^\S*: error in [\w.-]+ setup command: |^error in [\w.-]+ setup command: |\binvalid requirement\b|InvalidRequirement|InvalidVersion|Invalid version:"#,
        explain: |_| rejected_metadata("setuptools<60"),
    },
    LogRule {
        pattern: r#"(?i)configuration error: |InvalidConfigError|ConfigurationError\b|flit_core\.config\.ConfigError|invalid pyproject\.toml|The Poetry configuration is invalid|Field [`"]project\.|extra keys present in "?project|Unknown (?:key|field)s? in .*pyproject|ConfigSettingsError|^ERROR: .*(?:tool\.scikit-build|pyproject\.toml)"#,
        explain: |_| rejected_metadata("scikit-build-core<0.11"),
    },
];

/// The first group that took part in the match.
fn capture<'t>(found: &Captures<'t>) -> Option<&'t str> {
    found.iter().skip(1).flatten().next().map(|group| group.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Failure;
    use crate::step::diagnosis::diagnose::diagnose;

    fn diagnose_lines(lines: &[&str]) -> Failure {
        diagnose(None, &lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
    }

    /// Lines of real logs, and what must come of each.
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
            // twisted 17.9.0 on Python 3.11
            (
                "src/twisted/test/raiser.c:152:12: fatal error: longintrepr.h: No such file or directory",
                InvalidMetadata,
                "older Python",
            ),
            // plyvel 1.5.1
            (
                "plyvel/_plyvel.cpp:1227:10: fatal error: leveldb/db.h: No such file or directory",
                MissingSystemLibrary,
                "libleveldb-dev",
            ),
            ("/usr/bin/ld: cannot find -lpq: No such file or directory", MissingSystemLibrary, "libpq-dev"),
            (
                "../meson.build:9:0: ERROR: Dependency \"gmp\" not found, tried pkgconfig and cmake",
                MissingSystemLibrary,
                "libgmp-dev",
            ),
            // mysqlclient 2.2.4
            (
                "Command 'pkg-config --exists mysqlclient' returned non-zero exit status 1.",
                MissingSystemLibrary,
                "default-libmysqlclient-dev",
            ),
            // CMake's words for a fatal error; for a library it can do without it puts `-- ` before them
            ("  Could NOT find ZLIB (missing: ZLIB_LIBRARY)", MissingSystemLibrary, "zlib1g-dev"),
            // h5py 3.11.0
            (
                "OSError: libhdf5.so: cannot open shared object file: No such file or directory",
                MissingSystemLibrary,
                "libhdf5-dev",
            ),
            // python-prctl 1.8.1
            (
                "You need to install libcap development headers to build this module",
                MissingSystemLibrary,
                "libcap-dev",
            ),
            ("error: command 'gcc' failed: No such file or directory", MissingTool, "gcc"),
            ("error: command 'x86_64-linux-gnu-g++' failed: No such file or directory", MissingTool, "g++"),
            ("FileNotFoundError: [Errno 2] No such file or directory: 'cmake'", MissingTool, "cmake"),
            ("/bin/sh: 1: pg_config: not found", MissingSystemLibrary, "libpq-dev"),
            // coincurve 19.0.1
            (
                "/crosswheel/src/coincurve-19.0.1/libsecp256k1/autogen.sh: 3: autoreconf: not found",
                MissingTool,
                "autoconf automake libtool",
            ),
            // kerberos 1.3.1 splits what the shell says into arguments of the compiler
            (
                "SystemExit: error: Command '['gcc', '-c', 'src/base64.c', '/bin/sh:', '1:', 'krb5-config:', 'not', 'found']' returned non-zero exit status 1.",
                MissingSystemLibrary,
                "libkrb5-dev",
            ),
            // mod-wsgi 5.0.0
            (
                "RuntimeError: The 'apxs' command appears not to be installed or is not executable. Please check the list",
                MissingTool,
                "apache2-dev",
            ),
            // PyQt5 5.15.10
            ("    raise PyProjectOptionException('qmake',", MissingTool, "qtbase5-dev"),
            // pyproj 3.6.1
            (
                "SystemExit: proj executable not found. Please set the PROJ_DIR variable.",
                MissingTool,
                "libproj-dev",
            ),
            ("Error: pg_config executable not found.", MissingSystemLibrary, "libpq-dev"),
            ("error: can't find Rust compiler", MissingTool, "cargo"),
            ("Rust not found, installing into a temporary directory", MissingTool, "cargo"),
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
            // matplotlib 3.7.5
            (
                "SystemExit: error: Failed to download any of the following: ['https://downloads.sourceforge.net/freetype-2.6.1.tar.gz']",
                NetworkAccess,
                "no network",
            ),
            ("  attempting to make an HTTP request, but --offline was specified", NetworkAccess, "--crates"),
            // numba 0.56.4
            (
                "RuntimeError: Cannot install on Python version 3.11.7; only versions >=3.7,<3.11 are supported.",
                RequiresNewerPython,
                "--python",
            ),
            // blosc 1.10.6
            (
                "  Compatibility with CMake < 3.5 has been removed from CMake.",
                InvalidMetadata,
                "CMAKE_POLICY_VERSION_MINIMUM=3.5",
            ),
            ("ModuleNotFoundError: No module named 'numpy'", MissingBuildRequirement, "numpy"),
            (
                "ModuleNotFoundError: No module named 'setuptools_scm'",
                MissingBuildRequirement,
                "setuptools-scm",
            ),
            ("/crosswheel/venv/bin/python: No module named pip", MissingBuildRequirement, "--build-requires"),
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
                "older than 3.12",
            ),
            (
                "SystemExit: error in anyjson setup command: use_2to3 is invalid.",
                InvalidMetadata,
                "setuptools<58",
            ),
            // pyyaml 5.4.1
            (
                "AttributeError: 'build_ext' object has no attribute 'cython_sources'",
                InvalidMetadata,
                "cython<3`",
            ),
            // mpi4py 3.1.6
            (
                "TypeError: new_compiler() got an unexpected keyword argument 'dry_run'",
                InvalidMetadata,
                "setuptools<81",
            ),
            // markupsafe 1.0
            (
                "ImportError: cannot import name 'Feature' from 'setuptools' (/venv/setuptools/__init__.py)",
                InvalidMetadata,
                "setuptools<46",
            ),
            // pyzmq 26.0.3
            (
                "ERROR: Use build.targets instead of cmake.targets for scikit-build-core >= 0.10",
                InvalidMetadata,
                "scikit-build-core<0.10",
            ),
            // pymssql 2.3.0
            ("src/pymssql/_mssql.pyx:671:93: Unmatched ')'", InvalidMetadata, "cython<3.1"),
            // dbus-fast 2.21.3, written in Python with types for Cython beside it
            (
                "src/dbus_fast/_private/marshaller.py:47:4: Signature not compatible with previous declaration",
                InvalidMetadata,
                "cython<3.1",
            ),
            // frozenlist 1.3.3 on Python 3.13
            (
                "frozenlist/_frozenlist.c:6338:51: error: ‘PyLongObject’ {aka ‘struct _longobject’} has no member named ‘ob_digit’",
                InvalidMetadata,
                "older Python",
            ),
            (
                "frozenlist/_frozenlist.c:7489:27: error: too few arguments to function ‘_PyLong_AsByteArray’",
                InvalidMetadata,
                "older Python",
            ),
            // greenlet 2.0.2 on Python 3.13
            (
                "src/greenlet/greenlet_greenlet.hpp:143:9: error: ‘_PyCFrame’ does not name a type; did you mean ‘_frame’?",
                InvalidMetadata,
                "older Python",
            ),
            // mercurial 5.9.3 on Python 3.11
            (
                "mercurial/cext/pathencode.c:179:32: error: lvalue required as decrement operand",
                InvalidMetadata,
                "older Python",
            ),
            // pybind11 and Cython projects from before numpy 2
            (
                "a.c:9:3: error: ‘PyArray_Descr’ {aka ‘struct _PyArray_Descr’} has no member named ‘subarray’",
                InvalidMetadata,
                "numpy<2",
            ),
            // wsgiref 0.1.2
            (
                "SyntaxError: Missing parentheses in call to 'print'. Did you mean print(...)?",
                InvalidMetadata,
                "newer release",
            ),
        ];
        for (line, class, hint) in cases {
            let failure = diagnose_lines(&["running build_ext", line, "ERROR"]);
            assert_eq!(failure.class, *class, "{line}");
            assert!(failure.hint.as_deref().is_some_and(|text| text.contains(hint)), "{line}: {failure:?}");
            assert_eq!(failure.evidence[0], *line);
        }
    }

    /// setuptools, scikit-build-core and CMake print such lines, whatever then fails.
    #[test]
    fn warnings_and_remarks_explain_nothing() {
        let failure = diagnose_lines(&[
            "-- Could NOT find OpenMP_C (missing: OpenMP_C_FLAGS)",
            "src/black/linegen.py:3:1: note: See https://mypy.readthedocs.io/en/stable/running_mypy.html",
            "        Please use a simple string containing a SPDX expression for `project.license`. You can also use `project.license-files`. (Both options available on setuptools>=77.0.0).",
            "WARNING: tool.scikit-build.metadata is deprecated; use the standard top-level [[tool.dynamic-metadata]] instead",
        ]);
        assert_eq!(failure.class, FailureClass::BackendError);
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

    /// fasttext 0.9.2 runs pip when it finds no pybind11, and pybind11 is what it needs.
    #[test]
    fn the_module_a_build_wanted_to_install_beats_the_pip_it_lacks() {
        let failure = diagnose_lines(&[
            "/crosswheel/venv/bin/python: No module named pip",
            "ModuleNotFoundError: No module named 'pybind11'",
        ]);
        assert!(failure.hint.unwrap().contains("'pybind11'"));
    }
}
