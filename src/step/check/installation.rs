//! What is wrong with wheels before anything of them runs: which cannot be unpacked, which are not for this Python, which
//! have the same files. Installers overlook some of it; a check does not.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use pep508_rs::PackageName;

use crate::contract::{CheckProblem, GivenWheels, ProblemKind};
use crate::digest::Sha256;
use crate::packaging::interpreter::Interpreter;
use crate::packaging::wheel_archive::WheelArchiveError;
use crate::packaging::wheel_name::WheelFileName;
use crate::step::error::{StepError, host};
use crate::step::venv::build_environment::VenvMaker;
use crate::step::venv::unpacked_wheel::UnpackedWheel;
use crate::step::venv::virtual_environment::{VenvError, misfit, places};
use crate::step::venv::wheel_store::WheelStoreError;
use crate::step::venv::wheelhouse;

/// Files that are named of those that two wheels have.
const SHOWN: usize = 5;

/// A problem of `wheel` with nothing more to see.
pub(super) fn problem(wheel: &UnpackedWheel, kind: ProblemKind, message: String) -> CheckProblem {
    let (package, version) = (wheel.name().to_string(), wheel.version().to_string());
    CheckProblem { package, version, kind, message, evidence: Vec::new() }
}

/// The files that `given` stands for, sorted by package; of a directory for each project the one that fits best, unless
/// another file of that project is named.
pub(super) fn chosen(
    given: &[GivenWheels],
    interpreter: &Interpreter,
) -> Result<Vec<(WheelFileName, GivenWheels)>, StepError> {
    let (directories, files): (Vec<_>, Vec<_>) = given.iter().cloned().partition(|given| given.path.is_dir());
    let mut chosen = files.into_iter().map(named).collect::<Result<Vec<_>, _>>()?;
    if let Some(directory) = directories.iter().find(|directory| directory.sha256.is_some()) {
        let path = directory.path.display();
        return Err(StepError::Input(format!(
            "`{path}`: a digest is that of one wheel, and this is a directory"
        )));
    }
    let tags = interpreter.compatible_tags(interpreter.target(), interpreter.glibc());
    for (path, sha256) in wheelhouse::choose(&directories, &tags, &[])? {
        let (name, wheel) = named(GivenWheels { path, sha256 })?;
        if !chosen.iter().any(|(other, _)| other.name == name.name) {
            chosen.push((name, wheel));
        }
    }
    if chosen.is_empty() {
        let message = "no wheel that was given fits this Python: the directories have none".to_owned();
        return Err(StepError::Input(message));
    }
    chosen.sort_by(|(a, one), (b, other)| {
        (&a.name, &a.version, &one.path).cmp(&(&b.name, &b.version, &other.path))
    });
    chosen.dedup_by(|(_, one), (_, other)| one.path == other.path);
    Ok(chosen)
}

fn named(given: GivenWheels) -> Result<(WheelFileName, GivenWheels), StepError> {
    let path = given.path.display();
    if !given.path.exists() {
        return Err(StepError::Input(format!("`{path}`: no such file or directory")));
    }
    let text = given.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match text.parse() {
        Ok(name) => Ok((name, given)),
        Err(error) => Err(StepError::Input(format!("`{path}`: neither a directory nor a wheel: {error}"))),
    }
}

/// Those of `chosen` that can be unpacked, one for each project; the others are `problems`.
pub(super) fn unpack(
    chosen: &[(WheelFileName, GivenWheels)],
    maker: &VenvMaker,
    problems: &mut Vec<CheckProblem>,
) -> Result<Vec<UnpackedWheel>, StepError> {
    let mut wheels: BTreeMap<PackageName, UnpackedWheel> = BTreeMap::new();
    for (name, given) in chosen {
        match maker.unpacked(&given.path, given.sha256) {
            Ok(wheel) => match wheels.get(wheel.name()) {
                None => drop(wheels.insert(wheel.name().clone(), wheel)),
                Some(other) => problems.push(twice(&wheel, other)),
            },
            Err(error) => problems.push(broken(name, error)?),
        }
    }
    Ok(wheels.into_values().collect())
}

fn twice(wheel: &UnpackedWheel, other: &UnpackedWheel) -> CheckProblem {
    let message = format!("`{}` cannot be installed beside `{}`", wheel.file_name(), other.file_name());
    problem(wheel, ProblemKind::Install, message)
}

/// The problem of a wheel that cannot be unpacked, if that is its own fault.
fn broken(name: &WheelFileName, error: WheelStoreError) -> Result<CheckProblem, StepError> {
    match error {
        WheelStoreError::Archive(WheelArchiveError::Io(_))
        | WheelStoreError::Io(_)
        | WheelStoreError::ByteCompile { .. }
        | WheelStoreError::Manifest(_) => Err(host("unpack a wheel")(error)),
        WheelStoreError::Digest { .. } => Err(StepError::Input(error.to_string())),
        WheelStoreError::Archive(_) | WheelStoreError::Record { .. } => Ok(CheckProblem {
            package: name.name.to_string(),
            version: name.version.to_string(),
            kind: ProblemKind::Install,
            message: error.to_string(),
            evidence: Vec::new(),
        }),
    }
}

/// The unpacked wheel of pip.
pub(super) fn unpack_pip(
    given: &GivenWheels,
    maker: &VenvMaker,
) -> Result<(UnpackedWheel, PathBuf), StepError> {
    let (name, given) = named(given.clone())?;
    let unusable = |reason: String| StepError::Input(format!("--pip `{}`: {reason}", given.path.display()));
    let wheel = maker.unpacked(&given.path, given.sha256).map_err(|error| match broken(&name, error) {
        Ok(problem) => unusable(problem.message),
        Err(error) => error,
    })?;
    let package = wheel.directory().join("site").join("pip");
    match package.join("__init__.py").is_file() {
        true => Ok((wheel, package)),
        false => Err(unusable("it is no wheel of pip".into())),
    }
}

/// Those of `wheels` that are not for `interpreter`.
pub(super) fn misfits(wheels: &[UnpackedWheel], interpreter: &Interpreter) -> Vec<CheckProblem> {
    let of_wheel = |wheel: &UnpackedWheel| {
        let found = misfit(wheel, interpreter).into_iter().map(|error| {
            let kind = match error {
                VenvError::RequiresPython { .. } => ProblemKind::RequiresPython,
                _ => ProblemKind::Install,
            };
            problem(wheel, kind, error.to_string())
        });
        found.collect::<Vec<_>>()
    };
    wheels.iter().flat_map(of_wheel).collect()
}

/// Pairs of `wheels` with the same file and different content, each once. Where they are installed, whichever comes first or
/// last would decide.
pub(super) fn collisions(wheels: &[UnpackedWheel], interpreter: &Interpreter) -> Vec<CheckProblem> {
    let mut taken = Taken::default();
    let mut pairs: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    for (index, wheel) in wheels.iter().enumerate() {
        for (place, content) in places(wheel, interpreter) {
            if let Some(other) = taken.take(&place, content, index) {
                pairs.entry((index, other)).or_default().push(place);
            }
        }
    }
    let describe = |((index, other), mut places): ((usize, usize), Vec<String>)| {
        places.sort();
        let more = match places.len() - 1 {
            0 => String::new(),
            1 => " and one more".to_owned(),
            more => format!(" and {more} more"),
        };
        let other = wheels[other].file_name();
        let first = places[0].clone();
        let message = format!("installs `{first}`{more}, and so does `{other}`, with different content");
        places.truncate(SHOWN);
        CheckProblem { evidence: places, ..problem(&wheels[index], ProblemKind::Install, message) }
    };
    pairs.into_iter().map(describe).collect()
}

/// What is where, by path, and whose it is.
#[derive(Default)]
struct Taken {
    files: HashMap<String, (Sha256, usize)>,
    directories: HashMap<String, usize>,
}

impl Taken {
    /// Takes `place` for `owner`; who else has it with another content, or has a directory there, or a file where one
    /// would have to be.
    fn take(&mut self, place: &str, content: Sha256, owner: usize) -> Option<usize> {
        let mut found = self.directories.get(place).copied();
        match self.files.get(place) {
            Some((other, whose)) if *other != content => found = Some(*whose),
            Some(_) => {}
            None => drop(self.files.insert(place.to_owned(), (content, owner))),
        }
        for above in Path::new(place).ancestors().skip(1).filter_map(Path::to_str) {
            if above.is_empty() || self.directories.contains_key(above) {
                break;
            }
            if let Some((_, whose)) = self.files.get(above) {
                found = Some(*whose);
            }
            self.directories.insert(above.to_owned(), owner);
        }
        found.filter(|other| *other != owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_by_another_content_a_directory_or_a_file_above() {
        let mut taken = Taken::default();
        let [a, b] = [b"a", b"b"].map(|bytes| Sha256::of(bytes));
        assert_eq!(taken.take("site/x/one.py", a, 0), None);
        assert_eq!(taken.take("site/x/one.py", a, 1), None);
        assert_eq!(taken.take("site/x/one.py", b, 2), Some(0));
        assert_eq!(taken.take("site/x", b, 2), Some(0));
        assert_eq!(taken.take("site/y", b, 3), None);
        assert_eq!(taken.take("site/y/deep/z.py", b, 4), Some(3));
        assert_eq!(taken.take("site/x/two.py", a, 1), None);
        assert_eq!(taken.take("site/x/two.py", b, 1), None);
    }
}
