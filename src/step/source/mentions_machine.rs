//! Whether what runs at build time looks at the machine it runs on: then a pure wheel, too, may be another one
//! elsewhere. Told by words in the sources of a project, which a build may hide; knows nothing of what it does then.

use std::path::{Path, PathBuf};

use super::project::Project;

/// With these a build finds out about its machine, or says that it compiles.
const WORDS: &[&str] = &[
    "machine(",
    "platform.machine",
    "from platform import",
    "uname",
    "architecture(",
    "processor(",
    "platform.platform",
    "platform(",
    "get_platform",
    "host_platform",
    "libc_ver",
    "sysconfig",
    "maxsize",
    "calcsize",
    "sizeof(",
    "byteorder",
    "ctypes",
    "cpuinfo",
    "lscpu",
    "dumpmachine",
    "print-architecture",
    "MULTIARCH",
    "HOSTTYPE",
    "host_machine",
    "build_machine",
    "target_machine",
    "CMAKE_SYSTEM",
    "CMAKE_HOST_SYSTEM",
    "CMAKE_SIZEOF",
    "ext_modules",
];

/// Files of the top directory that other backends than an in-tree one run, beside its Python modules.
const SCRIPTS: [&str; 2] = ["meson.build", "CMakeLists.txt"];

/// Whether a Python file of the top directory (setup.py, the hooks of hatchling and pdm, what they import from beside
/// them), a module of an in-tree backend, or a script of Meson or CMake mentions the machine. What cannot be read is
/// taken to.
pub fn mentions_machine(project: &Project) -> bool {
    let top = python_files(&project.root, 0).map(|files| {
        let scripts = SCRIPTS.iter().map(|name| project.root.join(name)).filter(|path| path.is_file());
        files.into_iter().chain(scripts).collect()
    });
    let backend = project.build_system.backend_path.iter().map(|directory| {
        let directory = project.root.join(directory);
        // It may be a link; where it leads has been checked.
        python_files(&fs_err::canonicalize(directory)?, DEEPEST)
    });
    std::iter::once(top).chain(backend).any(|files: std::io::Result<Vec<_>>| match files {
        Ok(files) => files.iter().any(|file| file_mentions_machine(file)),
        Err(_) => true,
    })
}

/// Levels below an in-tree backend's directory that are looked at; as deep as archives may be.
const DEEPEST: usize = 64;

/// The Python files in `directory` and in `depth` levels below it. Links to directories are not followed.
fn python_files(directory: &Path, depth: usize) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if depth > 0 {
                found.extend(python_files(&path, depth - 1)?);
            }
        } else if path.extension().is_some_and(|suffix| suffix == "py") && path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

fn file_mentions_machine(file: &Path) -> bool {
    fs_err::read(file).map_or(true, |bytes| text_mentions_machine(&String::from_utf8_lossy(&bytes)))
}

fn text_mentions_machine(text: &str) -> bool {
    WORDS.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(pyproject: &str, files: &[(&str, &str)]) -> bool {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in [&[("pyproject.toml", pyproject)][..], files].concat() {
            let path = root.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        mentions_machine(&Project::load(root.path()).unwrap())
    }

    #[test]
    fn a_setup_script_that_asks_for_the_machine_does_not_go_unnoticed() {
        for line in [
            "import platform; x = platform.machine()",
            "from platform import machine as m",
            "os.uname().machine",
            "subprocess.check_output(['uname', '-m'])",
            "struct.calcsize('P') * 8",
            "sys.maxsize > 2**32",
            "sysconfig.get_config_var('MULTIARCH')",
            "distutils.util.get_platform()",
        ] {
            assert!(project("", &[("setup.py", line)]), "{line}");
            assert!(project("", &[("setup.py", "from helper import *"), ("helper.py", line)]), "{line}");
        }
    }

    #[test]
    fn an_ordinary_setup_script_mentions_none() {
        let setup = "import io, os, re, sys\nfrom setuptools import setup, find_packages\n\
            setup(name='a', version='1', packages=find_packages(), platforms='any', keywords='virtual machine',\n\
            install_requires=['b; platform_machine == \"x86_64\"'], python_requires='>=3',\n\
            classifiers=['Operating System :: OS Independent'])\n\
            if sys.platform == 'win32' or sys.version_info < (3,): sys.exit(1)\n";
        assert!(!project(
            "",
            &[("setup.py", setup), ("a/__init__.py", "import platform; platform.machine()")]
        ));
    }

    #[test]
    fn all_of_an_in_tree_backend_is_looked_at_and_nothing_else() {
        let pyproject =
            "[build-system]\nrequires = []\nbuild-backend = 'inner'\nbackend-path = ['backend']\n";
        let module = ("backend/inner/facts.py", "import platform\nMACHINE = platform.machine()\n");
        let package = ("a/__init__.py", "import platform\nMACHINE = platform.machine()\n");
        let backend = ("backend/inner/__init__.py", "");
        assert!(project(pyproject, &[backend, module]));
        assert!(!project(pyproject, &[backend, package]));
        assert!(project(pyproject, &[backend, ("meson.build", "host_machine.cpu_family()")]));
    }
}
