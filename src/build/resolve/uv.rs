//! uv, the resolver: finding or installing it, asking it, and understanding a refusal.
//! uv is always run with `--no-build`, so that no foreign code runs here. It then cannot use a
//! project that has no wheels, says so, and [`Wheelless`] is what can be read from that.
//! Knows nothing of how such a project is built instead.

use std::io::{Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;

use pep440_rs::VersionSpecifiers;
use pep508_rs::PackageName;
use regex::Regex;

use crate::build::cache::Cache;
use crate::build::index::credentials::Credentials;
use crate::build::index::download::Downloads;
use crate::build::index::simple_api::Index;
use crate::build::interrupt::Interrupt;
use crate::build::settings::index_settings::{IndexSettings, directory_url};
use crate::contract::{Failure, FailureClass};
use crate::digest::{HashingWriter, Sha256};
use crate::packaging::interpreter::Interpreter;
use crate::platform::{Arch, Glibc, Target};
use crate::scratch::file::FileAccess;

/// The version that is installed where there is none.
const VERSION: &str = "0.13.8";
const AMD64: (&str, &str) = (
    "uv-0.13.8-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984",
);
const ARM64: (&str, &str) = (
    "uv-0.13.8-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
    "0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d",
);

/// The manylinux platforms uv knows, as minor versions of glibc 2.
const MANYLINUX: [u32; 12] = [17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40];

/// An uv executable.
#[derive(Clone, Debug)]
pub struct Uv {
    executable: PathBuf,
}

/// What uv is asked.
#[derive(Debug)]
pub struct Question<'a> {
    /// PEP 508 requirements.
    pub requirements: &'a [String],
    /// The Python the wheels are for; it need not be on this machine.
    pub interpreter: &'a Interpreter,
    /// The Python that uv itself starts with; whichever it finds if `None`.
    pub python: Option<&'a Path>,
    /// The platform the wheels are for.
    pub target: Target,
    /// The glibc the wheels may need; none on other libcs.
    pub glibc: Option<Glibc>,
    /// Directories of wheels that were built here.
    pub built: &'a [PathBuf],
    /// Where packages come from.
    pub settings: &'a IndexSettings,
    /// Files (or URLs) of constraints.
    pub constraint_files: &'a [String],
    /// Constraints that are in no file (PEP 508).
    pub constraints: &'a [String],
    /// Whether pre-releases are as good as others.
    pub prereleases: bool,
    /// Whether what uv has cached is to be asked again.
    pub refresh: bool,
}

/// Why uv gave no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// uv explains; secrets are taken out.
    Refused(String),
    /// uv could not be run.
    Failed(Failure),
}

impl Uv {
    /// The `uv` of PATH, or else one installed into the cache, once, and checked by hash.
    pub fn locate(cache: &Cache, index: &Index, downloads: &Downloads) -> Result<Self, Failure> {
        if let Ok(executable) = which::which("uv") {
            return Ok(Self { executable });
        }
        let executable = cache.uv(VERSION).join("uv");
        if !executable.is_file() {
            install(cache, index, downloads, &executable)
                .map_err(|failure| failure.within(format!("uv {VERSION} could not be installed")))?;
        }
        Ok(Self { executable })
    }

    /// What tells the uv that [`Uv::locate`] would find from another one, without starting it.
    pub fn stamp(cache: &Cache) -> String {
        let executable = which::which("uv").unwrap_or_else(|_| cache.uv(VERSION).join("uv"));
        match fs_err::metadata(&executable) {
            Ok(metadata) => {
                let modified = format!("{}.{}", metadata.mtime(), metadata.mtime_nsec());
                format!("{} {} {modified}", executable.display(), metadata.len())
            }
            Err(_) => VERSION.into(),
        }
    }

    /// Resolves: a pylock.toml (PEP 751).
    pub fn resolve(
        &self,
        question: &Question,
        cache: &Cache,
        credentials: &Credentials,
        interrupt: &Arc<Interrupt>,
    ) -> Result<String, NoAnswer> {
        let prepare = || -> Result<_, Failure> {
            // Away from any project whose configuration could be meant for something else.
            let directory = cache.temporary_directory()?;
            let command = self.command(question, directory.path())?;
            Ok((directory, command))
        };
        let (_directory, mut command) = prepare().map_err(NoAnswer::Failed)?;
        let mut explanation = Vec::new();
        let finished = interrupt
            .run(&mut command, |line| explanation.push(line.to_owned()))
            .map_err(NoAnswer::Failed)?;
        if finished.status.success() {
            return String::from_utf8(finished.stdout)
                .map_err(|_| NoAnswer::Refused("uv's answer is not UTF-8".into()));
        }
        if explanation.is_empty() {
            explanation.push(format!("uv ended with {} and said nothing", finished.status));
        }
        Err(NoAnswer::Refused(credentials.redact(&explanation.join("\n"))))
    }

    fn command(&self, question: &Question, directory: &Path) -> Result<Command, Failure> {
        let settings = question.settings;
        let mut input = tempfile::tempfile_in(directory)?;
        input.write_all((question.requirements.join("\n") + "\n").as_bytes())?;
        input.rewind()?;
        let mut command = Command::new(&self.executable);
        command
            .args(["pip", "compile", "-", "--format", "pylock.toml", "--no-header", "--quiet", "--no-build"])
            .args(["--python-version", &question.interpreter.version_text()])
            .args(["--python-platform", &platform(question.target, question.glibc)])
            .stdin(Stdio::from(input))
            .current_dir(directory)
            .env("NO_COLOR", "1")
            .env("UV_NO_PROGRESS", "1")
            .env("UV_PYTHON_DOWNLOADS", "never")
            .envs(certificates(|name| std::env::var_os(name).is_some()));
        if let Some(python) = question.python {
            command.arg("--python").arg(python);
        }
        for constraint in question.constraint_files {
            command.arg("--constraints").arg(constraint);
        }
        if !question.constraints.is_empty() {
            let path = directory.join("constraints.txt");
            fs_err::write(&path, question.constraints.join("\n"))?;
            command.arg("--constraints").arg(path);
        }
        if question.prereleases {
            command.args(["--prerelease", "allow"]);
        }
        let cutoffs = &settings.cutoffs;
        if let Some(cutoff) = &cutoffs.general {
            command.arg("--exclude-newer").arg(cutoff.before.to_string());
        } else if cutoffs.switched_off {
            command.args(["--exclude-newer", "false"]);
        }
        for (flag, wanted) in [
            ("--no-index", settings.no_index),
            ("--offline", settings.offline),
            ("--refresh", question.refresh && !settings.offline),
        ] {
            if wanted {
                command.arg(flag);
            }
        }
        self.give_places(&mut command, question)?;
        Ok(command)
    }

    /// Indexes and find-links places, in the environment: arguments are for all eyes.
    fn give_places(&self, command: &mut Command, question: &Question) -> Result<(), Failure> {
        let for_uv = &question.settings.for_uv;
        if let Some(default) = &for_uv.default_index {
            command.env("UV_DEFAULT_INDEX", default).env_remove("UV_INDEX_URL");
        }
        if !for_uv.extra_indexes.is_empty() {
            command.env("UV_INDEX", for_uv.extra_indexes.join(" ")).env_remove("UV_EXTRA_INDEX_URL");
        }
        let mut places = for_uv.find_links.clone();
        for directory in question.built {
            places.push(directory_url(directory)?.to_string());
        }
        if !places.is_empty() {
            command.env("UV_FIND_LINKS", places.join(","));
        }
        Ok(())
    }
}

/// Variables that make uv trust whom crosswheel itself trusts, the authorities of this system: an
/// index behind a company's own is then reached by both or by neither. The second is what older uv
/// calls the first; `is_set` says which the user has set.
fn certificates(is_set: impl Fn(&str) -> bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    const NAMES: [&str; 2] = ["UV_SYSTEM_CERTS", "UV_NATIVE_TLS"];
    let decided = NAMES.iter().any(|name| is_set(name));
    NAMES.into_iter().filter(move |_| !decided).map(|name| (name, "true"))
}

/// uv's name for the newest platform that is not newer than `glibc`.
fn platform(target: Target, glibc: Option<Glibc>) -> String {
    let machine = target.arch.machine();
    let Some(glibc) = glibc else { return format!("{machine}-unknown-linux-musl") };
    let fits = |minor: &u32| (glibc.major, glibc.minor) >= (2, *minor);
    let minor = MANYLINUX.into_iter().rev().find(fits).unwrap_or(MANYLINUX[0]);
    format!("{machine}-manylinux_2_{minor}")
}

fn install(cache: &Cache, index: &Index, downloads: &Downloads, executable: &Path) -> Result<(), Failure> {
    let (file_name, sha256) = match Arch::host() {
        Arch::Amd64 => AMD64,
        Arch::Arm64 => ARM64,
    };
    let sha256: Sha256 = sha256.parse().expect("the pinned digest is 64 hexadecimal digits");
    let name = PackageName::from_str("uv").expect("`uv` is a valid name");
    let missing = || {
        Failure::new(FailureClass::FetchFailed, format!("no index or find-links has {file_name}"))
            .with_hint("install uv so that it is on PATH")
    };
    let file = index.files(&name)?.into_iter().find(|file| file.file_name == file_name);
    let (wheel, _) = downloads.fetch(&file.ok_or_else(missing)?.url, Some(sha256), file_name, |_, _| ())?;
    let damaged = |reason: String| {
        Failure::new(FailureClass::FetchFailed, format!("{file_name} cannot be unpacked: {reason}"))
    };
    let mut archive =
        zip::ZipArchive::new(fs_err::File::open(wheel)?).map_err(|error| damaged(error.to_string()))?;
    let mut member = archive
        .by_name(&format!("uv-{VERSION}.data/scripts/uv"))
        .map_err(|error| damaged(error.to_string()))?;
    let mut writer = HashingWriter::new(cache.temporary_file(FileAccess::Mode(0o755))?);
    std::io::copy(&mut member, &mut writer)?;
    let (file, _, _) = writer.finish();
    Ok(cache.publish(file, executable)?)
}

/// A project uv wanted and could not use because it has no wheel for the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wheelless {
    /// The project.
    pub name: PackageName,
    /// Ranges of versions that have no wheel, any of which uv would have taken.
    pub ranges: Vec<VersionSpecifiers>,
    /// What others demand of the project, all of which holds.
    pub demands: Vec<VersionSpecifiers>,
}

/// The projects without wheels in uv's `explanation`, in the order it names them.
pub fn wheelless(explanation: &str) -> Vec<Wheelless> {
    // uv wraps and indents; its sentences do not care.
    let text = explanation.split_whitespace().collect::<Vec<_>>().join(" ");
    let named = Regex::new("Wheels are required for `([^`]+)`").expect("the pattern is constant");
    let mut found: Vec<Wheelless> = Vec::new();
    for capture in named.captures_iter(&text) {
        let written = capture[1].split('[').next().unwrap_or_default();
        let Ok(name) = PackageName::from_str(written) else { continue };
        if found.iter().any(|known| known.name == name) {
            continue;
        }
        let subject = format!(r"{}(?:\[[^\]]*\])?((?:,?[<>=!~]=?=?[^\s,]+)+)", regex::escape(written));
        let ranges = specifiers(&text, &format!(r"(?:^|[\s(]){subject} ha(?:s|ve) no usable wheels"));
        let demands = specifiers(&text, &format!(r"(?:depends? on|require|requires) {subject}"));
        found.push(Wheelless { name, ranges, demands });
    }
    found
}

fn specifiers(text: &str, pattern: &str) -> Vec<VersionSpecifiers> {
    let Ok(pattern) = Regex::new(pattern) else { return Vec::new() };
    pattern.captures_iter(text).filter_map(|capture| capture[1].parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn uv_trusts_the_systems_authorities_unless_told_otherwise() {
        assert_eq!(certificates(|_| false).count(), 2);
        assert_eq!(certificates(|name| name == "UV_NATIVE_TLS").count(), 0);
    }

    #[test]
    fn the_newest_platform_not_above_the_glibc_is_asked_for() {
        let target: Target = "linux_arm64".parse().unwrap();
        let of = |glibc: &str| platform(target, glibc.parse().ok());
        assert_eq!(of("2.36"), "aarch64-manylinux_2_36");
        assert_eq!(of("2.30"), "aarch64-manylinux_2_28");
        assert_eq!(of("2.99"), "aarch64-manylinux_2_40");
        assert_eq!(of("2.5"), "aarch64-manylinux_2_17");
        assert_eq!(platform(target, None), "aarch64-unknown-linux-musl");
    }

    // Recorded from uv 0.13.8.
    const TRANSITIVE: &str = "\
error: No solution found when resolving dependencies
  cause: Because bb==2.0 has no usable wheels and only the following versions of bb are available:
             bb<1.5
             bb==2.0
             bb>=3
         we can conclude that bb>=1.5,<3 cannot be used.
         And because all versions of aa depend on bb>=1.5,<3 and you require aa, we can conclude that \
your requirements are unsatisfiable.

hint: Wheels are required for `bb` because building from source is disabled for all packages (i.e., with \
`--no-build`)";
    const EXCLUDED: &str = "\
error: No solution found when resolving dependencies
  cause: Because only bb<=3.0 is available and bb<=2.0 has no usable wheels, we can conclude that bb<=2.0 \
cannot be used.
         And because only the following versions of bb are available:
             bb<=2.0
             bb>=3.0
         and you require bb<3.0, we can conclude that your requirements are unsatisfiable.

hint: Wheels are required for `bb` because building from source is disabled for all packages (i.e., with \
`--no-build`)";
    const MISSING: &str = "\
error: No solution found when resolving dependencies
  cause: Because cowsay was not found in the cache and you require cowsay, we can conclude that your \
requirements are unsatisfiable.";

    fn texts(specifiers: &[VersionSpecifiers]) -> Vec<String> {
        specifiers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn refusals_for_want_of_a_wheel_are_understood() {
        let found = wheelless(TRANSITIVE);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name.to_string(), "bb");
        assert_eq!(texts(&found[0].ranges), ["==2.0"]);
        assert_eq!(texts(&found[0].demands), [">=1.5, <3"]);
        let found = wheelless(EXCLUDED);
        assert_eq!(texts(&found[0].ranges), ["<=2.0"]);
        assert_eq!(texts(&found[0].demands), ["<3.0"]);
    }

    #[test]
    fn other_refusals_name_nothing_to_build() {
        assert_eq!(wheelless(MISSING), []);
    }

    proptest! {
        #[test]
        fn any_explanation_can_be_read(text in "(Wheels are required for `|a\\[b\\]|==1|`| ha|s no usable wheels|.){0,40}") {
            wheelless(&text);
        }
    }
}
