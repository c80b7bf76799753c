//! Source directories, git repositories and parts of archives as sources: an sdist is made first.

use std::path::Path;
use std::process::Command;

use super::index::Server;
use super::run::{PYTHON, Place};
use crate::support::packages::wheel;
use crate::support::waiting::InTime;

/// A backend of the project's own: its version is what git says, its sdist all files of its directory, with all that
/// makes archives differ, and it leaves files behind.
const BACKEND: &str = r#"
import os, subprocess, sys, tarfile, time, zipfile
def git(*arguments):
    return subprocess.run(["git", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
def version():
    if os.path.exists("PKG-INFO"):
        with open("PKG-INFO") as info:
            return info.read().split("\nVersion: ")[1].split()[0]
    said = git("describe", "--tags", "--match", "v*")
    print("git said", said.returncode, said.stdout, said.stderr, flush=True)
    return said.stdout.strip()[1:].replace("-", ".dev", 1).split("-")[0] if said.returncode == 0 else "0"
def get_requires_for_build_sdist(config_settings=None):
    return REQUIRES
def build_sdist(directory, config_settings=None):
    exec(RUNS, globals())
    found = version()
    root = "app-" + found
    files = [os.path.join(top, name) for top, _, names in os.walk(".") for name in names]
    with open("PKG-INFO", "w") as info:
        info.write("Metadata-Version: 2.1\nName: app\nVersion: %s\n" % found)
    path = os.path.join(directory, root + ".tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        for name in sorted(files + ["./PKG-INFO"], reverse=os.getpid() % 2):
            archive.add(name, root + name[1:], recursive=False)
    return root + ".tar.gz"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    info, name = "app-%s.dist-info" % version(), "app-%s-py3-none-any.whl" % version()
    files = {
        "app.py": "",
        info + "/METADATA": "Metadata-Version: 2.1\nName: app\nVersion: %s\n" % version(),
        info + "/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    import base64, hashlib
    digest = lambda text: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    record = "".join("%s,sha256=%s,%d\n" % (path, digest(text), len(text)) for path, text in files.items())
    files[info + "/RECORD"] = record + info + "/RECORD,,\n"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), text)
    return name
"#;

const PYPROJECT: &str = "[build-system]\nrequires = []\nbuild-backend = \"inner\"\nbackend-path = [\".\"]\n";

/// Writes a project into `directory`. Its hook asks for `requires`, and runs the code `runs` before it makes an sdist.
pub fn project(place: &Place, directory: &str, requires: &str, runs: &str) {
    place.write(&format!("{directory}/pyproject.toml"), PYPROJECT);
    let backend = format!("REQUIRES = {requires}\nRUNS = {runs:?}\n{BACKEND}");
    place.write(&format!("{directory}/inner.py"), backend);
}

pub fn git(place: &Place, directory: &str, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_COMMITTER_DATE", "2020-01-01T00:00:00Z")
        .env("GIT_AUTHOR_DATE", "2020-01-01T00:00:00Z")
        .current_dir(place.path(directory))
        .output_in_time();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn commit(place: &Place, directory: &str, tag: Option<&str>) -> String {
    git(place, directory, &["add", "--all"]);
    git(place, directory, &["commit", "--quiet", "--allow-empty", "--message", "x"]);
    if let Some(tag) = tag {
        git(place, directory, &["tag", tag]);
    }
    git(place, directory, &["rev-parse", "HEAD"])
}

/// Everything below `directory`, with contents.
fn listing(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs_err::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                left.push(path);
            } else {
                found.push((path.to_str().unwrap().to_owned(), fs_err::read(&path).unwrap_or_default()));
            }
        }
    }
    found.sort();
    found
}

/// The sdists of `app` in the cache: their digests, names and members.
fn sdists(cache: &Path) -> Vec<(String, String, Vec<String>)> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(cache.join("downloads")).into_iter().flatten() {
        let directory = entry.unwrap().path();
        for file in fs_err::read_dir(&directory).unwrap() {
            let file = file.unwrap().path();
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            if name.ends_with(".tar.gz") {
                let archive = flate2::read::GzDecoder::new(fs_err::File::open(&file).unwrap());
                let mut archive = tar::Archive::new(archive);
                let members = archive.entries().unwrap().map(|member| {
                    let member = member.unwrap();
                    assert_eq!(member.header().mtime().unwrap(), 315_532_800);
                    member.path().unwrap().to_str().unwrap().to_owned()
                });
                let members = members.filter(|member| !member.ends_with('/')).collect();
                found.push((directory.file_name().unwrap().to_str().unwrap().to_owned(), name, members));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_directory_is_built_and_left_as_it_was() {
    let place = Place::new();
    project(&place, "app", "[]", "open('left-behind', 'w').close(); os.mkdir('build')");
    place.write("app/data/x.txt", "x");
    for stays in [
        "__pycache__/a.pyc",
        ".venv/pyvenv.cfg",
        ".venv/lib/x.py",
        "target/CACHEDIR.TAG",
        "target/x",
        ".hg/x",
    ] {
        place.write(&format!("app/{stays}"), "");
    }
    place.write("outside/LICENSE", "free");
    fs_err::os::unix::fs::symlink("../outside/LICENSE", place.path("app/LICENSE")).unwrap();
    fs_err::os::unix::fs::symlink("x.txt", place.path("app/data/link")).unwrap();
    let before = listing(&place.path("app"));
    let run = place.build(&["./app", "--no-index"]).ended(0).says("built   app-0-py3-none-any.whl");
    assert_eq!(run.stages("making an sdist"), 1);
    assert_eq!(listing(&place.path("app")), before);
    let made = sdists(&place.path("cache"));
    let [(_, name, members)] = made.as_slice() else { panic!("{made:?}") };
    assert_eq!(name, "app-0.tar.gz");
    let expected =
        ["LICENSE", "PKG-INFO", "data/link", "data/x.txt", "inner.py", "left-behind", "pyproject.toml"];
    assert_eq!(members, &expected.map(|name| format!("app-0/{name}")));
    // Whatever the order, the times and the owners of the backend's archive.
    for _ in 0..2 {
        place.build(&["./app", "--no-index", "--rebuild"]).ended(0);
    }
    assert_eq!(sdists(&place.path("cache")), made);
    place.build(&["./app", "--no-index"]).ended(0).says("cached  app-0-py3-none-any.whl");
    place.write("app/data/x.txt", "y");
    place.build(&["./app", "--no-index"]).ended(0).says("app-0-py3-none-any.whl");
    assert_eq!(sdists(&place.path("cache")).len(), 2);
}

#[test]
fn what_ends_up_in_the_directory_itself_is_no_source() {
    let place = Place::new();
    project(&place, "app", "[]", "");
    let build = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
        command.args([
            "build",
            ".",
            "--no-index",
            "--lock",
            "app.lock",
            "--python",
            &PYTHON,
            "--cache-dir",
            "cache",
        ]);
        let output = command.current_dir(place.path("app")).output_in_time();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(build().contains("built "));
    assert!(build().contains("cached "));
    let [(_, _, members)] = &sdists(&place.path("app/cache"))[..] else { panic!("one sdist") };
    assert_eq!(members.len(), 3, "{members:?}");
    assert_eq!(fs_err::read_dir(place.path("app/dist")).unwrap().count(), 1);
}

#[test]
fn a_directory_without_a_project_and_a_link_that_leads_out_are_refused() {
    let place = Place::new();
    project(&place, "some/app", "[]", "");
    let run = place.build(&["./some", "--no-index"]).ended(2);
    run.says("neither pyproject.toml nor setup.py").says("some/app");
    fs_err::os::unix::fs::symlink("/usr/bin", place.path("some/app/tools")).unwrap();
    place.build(&["./some/app", "--no-index"]).ended(2).says("which is a directory outside of");
}

#[test]
fn what_the_hook_of_sdists_asks_for_is_installed_and_locked() {
    let (server, place) = (Server::start(), Place::new());
    server.add_project("tool", &[("tool-1.5-py3-none-any.whl", &wheel("tool", "1.5"))]);
    project(&place, "app", "['tool>=1']", "import tool");
    let index = server.index();
    let arguments = ["./app", "--index-url", &index, "--lock", "app.lock"];
    place.build(&arguments).ended(0).says("built ");
    let lock = fs_err::read_to_string(place.path("app.lock")).unwrap();
    assert!(lock.contains("tree = \"app\"\nbuilds = \"sdist\"") && lock.contains("tool-1.5"), "{lock}");
    assert!(!lock.contains("\nversion = \"0\""), "{lock}");
    // Another file is another sdist, and no drift; another requirement is one.
    place.write("app/new.py", "");
    place.build(&arguments).ended(0).says("app-0");
    assert_eq!(fs_err::read_to_string(place.path("app.lock")).unwrap(), lock);
    project(&place, "app", "['tool>=1', 'other']", "import tool");
    place.build(&arguments).ended(23).says("asks for other, which the lock does not have");
}

#[test]
fn a_failing_backend_is_told_with_the_directory() {
    let place = Place::new();
    project(&place, "app", "[]", "raise ValueError('bad weather')");
    let run = place.build(&["./app", "--no-index"]).ended(20);
    run.says("no sdist could be made of").says(&place.text("app")).says("bad weather");
}

#[test]
fn the_version_is_what_git_says_and_the_repository_stays() {
    let place = Place::new();
    project(&place, "app", "[]", "assert os.listdir('.git') == []");
    git(&place, "app", &["init", "--quiet"]);
    commit(&place, "app", Some("v1.0"));
    let run = place.build(&["./app", "--no-index"]).ended(0).says("built   app-1.0-py3-none-any.whl");
    assert_eq!(run.stages("making an sdist"), 2);
    // The question is known now.
    commit(&place, "app", None);
    let run = place.build(&["./app", "--no-index"]).ended(0).says("built   app-1.0.dev1-py3-none-any.whl");
    assert_eq!(run.stages("making an sdist"), 1);
    let run = place.build(&["./app", "--no-index"]).ended(0).says("cached  app-1.0.dev1-py3-none-any.whl");
    assert_eq!(run.stages("making an sdist"), 0);
    let members: Vec<_> =
        sdists(&place.path("cache")).into_iter().flat_map(|(_, _, members)| members).collect();
    assert!(members.iter().all(|member| !member.contains(".git")), "{members:?}");
    assert_eq!(git(&place, "app", &["status", "--porcelain"]), "");
}

#[test]
fn nothing_that_a_repository_names_is_run_outside_of_the_build() {
    let mut place = Place::new();
    let runs = "said = [git(*asked) for asked in [['status', '--porcelain'], ['diff', '--name-only', 'HEAD'], \
        ['describe', '--dirty', '--tags'], ['archive', 'HEAD'], ['submodule', 'status'], ['ls-files', '-m'], \
        ['-C', 'vendor', 'status'], ['-c', 'safe.directory=*', 'rev-parse', 'HEAD']]]\n\
        assert all(one.returncode == 0 for one in said), said";
    project(&place, "vendor", "[]", "");
    git(&place, "vendor", &["init", "--quiet"]);
    commit(&place, "vendor", None);
    project(&place, "app", "[]", runs);
    place.write("app/data.txt", "data");
    place.write("app/.gitattributes", "data.txt filter=a=b diff=c\n");
    git(&place, "app", &["init", "--quiet"]);
    git(
        &place,
        "app",
        &["submodule", "--quiet", "add", &format!("file://{}", place.text("vendor")), "vendor"],
    );
    commit(&place, "app", Some("v1.0"));
    let mark = |name: &str| format!("touch {}-{name}; cat; false", place.text("mark"));
    for directory in ["app", "app/vendor"] {
        for key in [
            "filter.a=b.clean",
            "filter.a=b.smudge",
            "filter.a=b.process",
            "diff.c.textconv",
            "diff.c.command",
            "diff.external",
            "core.fsmonitor",
            "core.sshCommand",
            "core.pager",
            "gpg.program",
        ] {
            // One filter at a time: a process goes before the others.
            if key != "filter.a=b.process" || directory == "app/vendor" {
                git(&place, directory, &["config", key, &mark(&key.replace('=', "-"))]);
            }
        }
        git(&place, directory, &["config", "filter.a=b.required", "true"]);
        git(&place, directory, &["config", "log.showSignature", "true"]);
        git(&place, directory, &["config", "core.hooksPath", &place.text("hooks")]);
    }
    place.write("app/.git/modules/vendor/info/attributes", "* filter=a=b\n");
    let hook = place.write("hooks/post-index-change", format!("#!/bin/sh\n{}", mark("hook")));
    fs_err::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // Git has to look into what is as long as before, and newer.
    for file in ["app/data.txt", "app/vendor/inner.py", "app/vendor/pyproject.toml"] {
        let bytes = fs_err::read(place.path(file)).unwrap();
        fs_err::remove_file(place.path(file)).unwrap();
        place.write(file, bytes);
    }
    let marks = || {
        let names = fs_err::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().starts_with("mark")).collect::<Vec<_>>()
    };
    place.build(&["./app", "--no-index"]).ended(0).says("built   app-1.0-py3-none-any.whl");
    assert_eq!(marks(), Vec::<std::ffi::OsString>::new());
    // By itself, git runs them.
    let _ = Command::new("git").args(["status"]).current_dir(place.path("app")).output_in_time();
    assert!(marks().len() > 1, "{:?}", marks());
    // Nor is git asked of what is another user's.
    place.set("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
    place.build(&["./app", "--no-index"]).ended(20).says("is another user's").says("safe.directory");
}

#[test]
fn git_is_asked_nothing_that_changes_or_tells_more() {
    let place = Place::new();
    let runs = "said = [git('tag', 'v9'), git('config', '--list'), git('log', '-p'), git('-C', '/', 'status')]\n\
        print([said.stderr for said in said])\nassert all(said.returncode == 128 for said in said)";
    project(&place, "app", "[]", runs);
    git(&place, "app", &["init", "--quiet"]);
    commit(&place, "app", Some("v1.0"));
    let before = listing(&place.path("app"));
    place.build(&["./app", "--no-index"]).ended(0).says("app-1.0-py3");
    assert_eq!(listing(&place.path("app")), before);
    // Who fails for it learns why.
    project(&place, "app", "[]", "assert git('tag', 'v9').returncode == 0");
    place.build(&["./app", "--no-index"]).ended(20).says("git was not asked `git tag v9`");
}

#[test]
fn paths_of_the_repository_are_those_of_the_tree_in_the_build() {
    let place = Place::new();
    let runs = "top = git('rev-parse', '--show-toplevel').stdout.strip()\n\
        assert top == os.path.realpath('../..'), top\n\
        assert git('--git-dir', top + '/.git', '-C', top, 'ls-files', '--', top + '/README').stdout.strip() == 'README'\n\
        assert open('../../README').read() == 'read me'\nassert open('LICENSE').read() == 'free'\n\
        assert os.listdir('../../shared') == ['x'] and os.listdir('..') == ['app'], os.listdir('..')\n\
        import io\nraw = subprocess.run(['git', 'archive', '--prefix', top + '/', 'HEAD'], cwd=top, stdout=subprocess.PIPE)\n\
        names = tarfile.open(fileobj=io.BytesIO(raw.stdout)).getnames()\n\
        assert top[1:] + '/packages/app/inner.py' in [name.lstrip('/') for name in names], names";
    project(&place, "repository/packages/app", "[]", runs);
    place.write("repository/README", "read me");
    place.write("repository/untracked", "secret");
    place.write("repository/LICENSE", "free");
    place.write("repository/shared/x", "");
    place.write("repository/packages/other/large", "");
    let app = place.path("repository/packages/app");
    fs_err::os::unix::fs::symlink("../../LICENSE", app.join("LICENSE")).unwrap();
    fs_err::os::unix::fs::symlink("../../shared", app.join("shared")).unwrap();
    place.write("repository/.gitignore", "untracked\n");
    git(&place, "repository", &["init", "--quiet"]);
    commit(&place, "repository", Some("v2.0"));
    place.build(&["./repository/packages/app", "--no-index"]).ended(0).says("built   app-2.0-py3");
}

/// A repository with a project at its top, another below, a branch, two tags and a submodule.
fn repository(place: &Place) -> String {
    project(place, "remote/lib", "[]", "");
    git(place, "remote/lib", &["init", "--quiet"]);
    commit(place, "remote/lib", Some("v0.5"));
    project(place, "remote/app", "[]", "");
    project(place, "remote/app/below", "[]", "");
    git(place, "remote/app", &["init", "--quiet", "--initial-branch", "trunk"]);
    commit(place, "remote/app", Some("v1.0"));
    git(place, "remote/app", &["checkout", "--quiet", "-b", "feature/x"]);
    let url = format!("file://{}", place.text("remote/lib"));
    git(place, "remote/app", &["submodule", "--quiet", "add", &url, "vendor"]);
    place.write("remote/app/on-branch", "");
    let commit = commit(place, "remote/app", Some("v3.0"));
    git(place, "remote/app", &["checkout", "--quiet", "trunk"]);
    commit
}

fn allowing_files(place: &mut Place) {
    // As a user would have it who keeps submodules on this machine.
    for (name, value) in [
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "protocol.file.allow"),
        ("GIT_CONFIG_VALUE_0", "always"),
    ] {
        place.set(name, value);
    }
}

#[test]
fn branches_tags_commits_and_directories_of_repositories_are_built() {
    let mut place = Place::new();
    let commit = repository(&place);
    allowing_files(&mut place);
    let url = |rest: &str| format!("git+file://{}{rest}", place.text("remote/app"));
    let build = |rest: &str| place.build(&[&url(rest), "--no-index"]).ended(0);
    build("").says("built   app-1.0-py3");
    build("@feature/x").says("built   app-3.0-py3");
    build("@v1.0").says("cached  app-1.0-py3");
    build(&format!("@{commit}")).says("cached  app-3.0-py3");
    build(&format!("@{}#subdirectory=below", &commit[..9])).says("app-3.0-py3");
    let members: Vec<_> =
        sdists(&place.path("cache")).into_iter().flat_map(|(_, _, members)| members).collect();
    for member in ["app-3.0/on-branch", "app-3.0/vendor/inner.py"] {
        assert!(members.iter().any(|found| found == member), "{member} of {members:?}");
    }
    // What is here needs no network.
    place.build(&[&url("@feature/x"), "--no-index", "--offline"]).ended(0).says("cached  app-3.0-py3");
    fs_err::rename(place.path("remote"), place.path("gone")).unwrap();
    build(&format!("@{commit}")).says("cached  app-3.0-py3");
    place.build(&[&url("@v1.0"), "--no-index"]).ended(21).says("cannot be fetched");
    place.build(&[&url("@v7"), "--no-index", "--offline"]).ended(21).says("is not in the cache");
}

#[test]
fn what_a_repository_does_not_have_is_told() {
    let place = Place::new();
    repository(&place);
    let url = |rest: &str| format!("git+file://{}{rest}", place.text("remote/app"));
    let fails = |rest: &str, code| place.build(&[&url(rest), "--no-index"]).ended(code);
    fails("@v7", 21).says("has no branch, tag or commit v7");
    fails("#subdirectory=nowhere", 21).says("has no directory nowhere at");
    fails("@feature/x", 21).says("protocol.file.allow");
    let missing = format!("git+file://{}", place.text("nowhere"));
    place.build(&[&missing, "--no-index"]).ended(21).says("does not appear to be a git repository");
    let run = place.build(&["git+http://me:hunter22@127.0.0.1:9/x", "--no-index", "--verbose"]).ended(21);
    assert!(!(run.stdout + &run.stderr).contains("hunter22"));
}

#[test]
fn a_lock_names_the_commit_of_a_repository() {
    let place = Place::new();
    repository(&place);
    let url = format!("git+file://{}", place.text("remote/app"));
    let arguments = [&*url, "--no-index", "--lock", "app.lock"];
    place.build(&arguments).ended(0).says("built ");
    let lock = fs_err::read_to_string(place.path("app.lock")).unwrap();
    let head = git(&place, "remote/app", &["rev-parse", "HEAD"]);
    assert!(lock.contains(&format!("tree = \"{url}\"\ncommit = \"{head}\"")), "{lock}");
    place.build(&arguments).ended(0).says("cached ");
    let next = commit(&place, "remote/app", None);
    place.build(&arguments).ended(23).says(&format!("is {next}, the lock has {head}"));
    place.build(&[&*url, "--no-index", "--lock", "app.lock", "--update-lock"]).ended(0);
    assert!(!fs_err::read_to_string(place.path("app.lock")).unwrap().contains(&head));
}

#[test]
fn a_directory_of_an_archive_is_made_into_an_sdist() {
    let place = Place::new();
    project(&place, "app-main/python/app", "[]", "assert open('../../README').read() == 'read me'");
    place.write("app-main/README", "read me");
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), Default::default()));
    archive.append_dir_all("app-main", place.path("app-main")).unwrap();
    let file = place.write("main.tar.gz", archive.into_inner().unwrap().finish().unwrap());
    let url = format!("file://{file}#subdirectory=python/app");
    place.build(&[&url, "--no-index"]).ended(0).says("built   app-0-py3-none-any.whl");
    place.build(&[&url, "--no-index"]).ended(0).says("cached  app-0-py3-none-any.whl");
    let wrong = format!("file://{file}#subdirectory=nowhere");
    place.build(&[&wrong, "--no-index"]).ended(2).says("has no directory nowhere");
    for (algorithm, digits) in [("sha256", 64), ("sha512", 128)] {
        let hash = format!("{url}&{algorithm}={}", "0".repeat(digits));
        place.build(&[&hash, "--no-index"]).ended(21);
    }
}

#[test]
fn no_program_runs_that_a_repository_names_itself() {
    let place = Place::new();
    let runs = "git('log', '-1')\ngit('status', '--porcelain')";
    project(&place, "app", "[]", runs);
    git(&place, "app", &["init", "--quiet"]);
    place.write("app/.gitattributes", "* filter=own diff=own\n");
    commit(&place, "app", Some("v1.0"));
    let mark = place.path("marks");
    let program = format!("touch {}; cat", mark.display());
    for key in
        ["filter.own.clean", "filter.own.smudge", "filter.own.process", "core.fsmonitor", "core.sshCommand"]
    {
        git(&place, "app", &["config", key, &program]);
    }
    for key in ["diff.own.textconv", "diff.own.command", "diff.external", "gpg.program", "core.pager"] {
        git(&place, "app", &["config", key, &program]);
    }
    git(&place, "app", &["config", "filter.own.required", "true"]);
    git(&place, "app", &["config", "format.pretty", "%G?"]);
    // Of another time than the index knows, so that git has to look at what is in it.
    let file = fs_err::File::options().write(true).open(place.path("app/inner.py")).unwrap();
    file.file().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    place.build(&["./app", "--no-index"]).ended(0).says("app-1.0-py3-none-any.whl");
    assert!(!mark.exists());
}
