//! Which targets there are, and where the steps for each run. Knows nothing of the steps.

use std::path::Path;

use super::placement::Placement;
use super::target_root::TargetRoot;
use crate::build::options::BuildOptions;
use crate::contract::{Failure, FailureClass, SandboxMode};
use crate::packaging::interpreter::{Interpreter, InterpreterError};
use crate::platform::{Arch, Target};

/// A target, and where its steps run, or why they cannot: the other targets do not mind.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) target: Target,
    pub(crate) placement: Result<Placement, Failure>,
}

/// The destinations of a run, in the order in which their targets were given: all on the workers of a server if
/// there is one; else in the root file system that was named for the target; else here if the Python that is here
/// is of that platform; else in the root file system that `crosswheel rootfs create` makes.
pub(crate) fn destinations(
    options: &BuildOptions,
    cache: &Path,
    local: &Result<Interpreter, InterpreterError>,
) -> Result<Vec<Destination>, Failure> {
    let mut targets = Vec::new();
    for target in &options.targets {
        if !targets.contains(target) {
            targets.push(*target);
        }
    }
    if targets.is_empty() {
        targets.push(default_target(options, local)?);
    }
    if targets.len() > 1 && options.remote.as_ref().is_some_and(|remote| remote.gives("Arch")) {
        let message = "--remote-property Arch=... would send the builds for every target to the same workers";
        return Err(Failure::new(FailureClass::InvalidSource, message)
            .with_hint("leave it out: each target asks for its own"));
    }
    refuse_unused(options, &targets)?;
    let place = |target| Destination { target, placement: place(options, cache, local, target) };
    Ok(targets.into_iter().map(place).collect())
}

/// Fails if something was said of builds that there are none of: it would be forgotten silently.
fn refuse_unused(options: &BuildOptions, targets: &[Target]) -> Result<(), Failure> {
    let refuse = |message: String, hint: String| {
        Err(Failure::new(FailureClass::InvalidSource, message).with_hint(hint))
    };
    let roots = options.roots.iter().filter(|_| options.roots_of_this_run);
    if let Some((target, _)) = roots.clone().next().filter(|_| options.remote.is_some()) {
        let message =
            format!("--rootfs {target}=... is for builds on this machine, and --remote builds elsewhere");
        let hint = "leave out one of them; pools of the server have root file systems of their own: `crosswheel serve --pool NAME=ROOTFS`";
        return refuse(message, hint.into());
    }
    if let Some((target, _)) = roots.clone().find(|(target, _)| !targets.contains(target)) {
        let message = format!("--rootfs {target}=... is given, and nothing is built for {target}");
        return refuse(message, format!("add --target {target}"));
    }
    if options.cross_compiler.is_some() && targets.iter().all(|target| is_host(*target)) {
        let message = "--cross-cc is for emulated builds, and nothing is built for another platform than this machine's";
        return refuse(message.into(), format!("add --target {}", other()));
    }
    Ok(())
}

/// The platform of the Python that was asked for. One that is on the workers only is taken to be of a platform
/// like this machine's.
fn default_target(
    options: &BuildOptions,
    local: &Result<Interpreter, InterpreterError>,
) -> Result<Target, Failure> {
    let elsewhere = options.remote.is_some() || options.roots.iter().any(|(target, _)| is_host(*target));
    match local {
        Ok(local) => Ok(local.target()),
        Err(InterpreterError::NotFound { .. }) if elsewhere => Ok(Target { arch: Arch::host() }),
        Err(error) => Err(error.into()),
    }
}

fn place(
    options: &BuildOptions,
    cache: &Path,
    local: &Result<Interpreter, InterpreterError>,
    target: Target,
) -> Result<Placement, Failure> {
    if let Some(remote) = &options.remote {
        return Ok(Placement::Remote(remote.clone()));
    }
    let given = options.roots.iter().find(|(of, _)| *of == target);
    let root = match (given, local) {
        (Some((_, directory)), _) => TargetRoot::given(directory, target)?,
        (None, Ok(local)) if local.target() == target => return Ok(Placement::Here),
        (None, Err(error)) if is_host(target) => return Err(error.into()),
        (None, _) => TargetRoot::usual(cache, target)?,
    };
    if options.sandbox == SandboxMode::Off {
        let message =
            format!("builds for {target} run in a root file system, which they cannot see without a sandbox");
        return Err(Failure::new(FailureClass::InvalidSource, message).with_hint("leave out --sandbox off"));
    }
    let cross_compiler = options.cross_compiler.clone().filter(|_| !is_host(target));
    Ok(Placement::Root(TargetRoot { cross_compiler, ..root }))
}

fn is_host(target: Target) -> bool {
    target.arch == Arch::host()
}

/// The platform that is not this machine's.
fn other() -> Target {
    Target { arch: Arch::host().other() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::settings::index_settings::IndexFlags;
    use crate::build::targets::placement::RemotePlacement;
    use crate::contract::Expect;

    fn options(targets: &[Target]) -> BuildOptions {
        BuildOptions {
            python: "3".into(),
            requirements: Vec::new(),
            out: "dist".into(),
            cache_directory: "/no/such/cache".into(),
            remote: None,
            index: IndexFlags::default(),
            build_requires: Vec::new(),
            config_settings: Vec::new(),
            env: Vec::new(),
            tool_directories: Vec::new(),
            expect: Expect::Auto,
            patches: Vec::new(),
            patch_strip: 1,
            targets: targets.to_vec(),
            roots: Vec::new(),
            roots_of_this_run: true,
            cross_compiler: None,
            glibc: None,
            target_glibc: Vec::new(),
            sandbox: SandboxMode::Auto,
            timeout: None,
            jobs: 1,
            rebuild: false,
            no_share: false,
            refresh: false,
            lock: None,
            lock_grows: false,
            update_lock: false,
            verbose: false,
        }
    }

    fn local() -> Result<Interpreter, InterpreterError> {
        Interpreter::find("3", tempfile::tempdir().unwrap().path())
    }

    fn no_python() -> Result<Interpreter, InterpreterError> {
        Err(InterpreterError::NotFound { requested: "3".into(), attempts: Vec::new() })
    }

    fn host() -> Target {
        Target { arch: Arch::host() }
    }

    fn found(
        options: &BuildOptions,
        local: Result<Interpreter, InterpreterError>,
    ) -> Result<Vec<Destination>, Failure> {
        destinations(options, Path::new("/no/such/cache"), &local)
    }

    #[test]
    fn what_is_not_said_is_the_platform_of_the_python_that_is_here() {
        let found = found(&options(&[]), local()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].target, &found[0].placement), (host(), &Ok(Placement::Here)));
    }

    #[test]
    fn another_platform_needs_a_root_file_system_and_keeps_nobody_from_building() {
        let found = found(&options(&[other(), host(), other()]), local()).unwrap();
        let targets: Vec<_> = found.iter().map(|destination| destination.target).collect();
        assert_eq!(targets, [other(), host()]);
        let failure = found[0].placement.as_ref().unwrap_err();
        assert!(failure.message.contains("/no/such/cache/rootfs/"), "{failure}");
        assert_eq!(found[1].placement, Ok(Placement::Here));
    }

    #[test]
    fn a_root_file_system_that_was_named_is_used_for_this_platform_too() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs_err::canonicalize(directory.path()).unwrap();
        fs_err::create_dir(root.join("bin")).unwrap();
        fs_err::copy("/bin/sh", root.join("bin/sh")).unwrap();
        let named = BuildOptions { roots: vec![(host(), root.clone())], ..options(&[host()]) };
        for local in [local(), no_python()] {
            let placement = found(&named, local).unwrap().remove(0).placement;
            assert!(matches!(&placement, Ok(Placement::Root(found)) if found.directory == root));
        }
        let off = BuildOptions { sandbox: SandboxMode::Off, ..named };
        let failure = found(&off, local()).unwrap().remove(0).placement.unwrap_err();
        assert_eq!(failure.class, FailureClass::InvalidSource);
    }

    #[test]
    fn what_is_said_of_builds_that_there_are_none_of_is_refused() {
        let message = |options: BuildOptions| {
            let failure = found(&options, local()).unwrap_err();
            assert_eq!(failure.class, FailureClass::InvalidSource);
            (failure.message, failure.hint.unwrap())
        };
        let roots = vec![(other(), "/no/such/root".into())];
        let rootfs = BuildOptions { roots, ..options(&[]) };
        let (said, hint) = message(rootfs.clone());
        assert!(said.contains(&format!("nothing is built for {}", other())), "{said}");
        assert_eq!(hint, format!("add --target {}", other()));
        let remote = Some(RemotePlacement::default());
        let (said, _) =
            message(BuildOptions { remote: remote.clone(), targets: vec![other()], ..rootfs.clone() });
        assert!(said.contains("--remote builds elsewhere"), "{said}");
        // What is there for any run is there for those that need it.
        found(&BuildOptions { roots_of_this_run: false, ..rootfs.clone() }, local()).unwrap();
        found(&BuildOptions { roots_of_this_run: false, remote, ..rootfs.clone() }, local()).unwrap();
        found(&BuildOptions { targets: vec![host(), other()], ..rootfs }, local()).unwrap();
        let cross = BuildOptions { cross_compiler: Some("gcc".into()), ..options(&[]) };
        let (said, hint) = message(cross.clone());
        assert!(said.contains("--cross-cc"), "{said}");
        assert_eq!(hint, format!("add --target {}", other()));
        found(&BuildOptions { targets: vec![other()], ..cross }, local()).unwrap();
    }

    #[test]
    fn a_server_builds_for_every_target_also_without_a_python_here() {
        let remote = RemotePlacement::default();
        let remote = BuildOptions { remote: Some(remote), ..options(&[host(), other()]) };
        for found in [found(&remote, local()).unwrap(), found(&remote, no_python()).unwrap()] {
            assert!(found.iter().all(|found| matches!(found.placement, Ok(Placement::Remote(_)))));
        }
        let unsaid = BuildOptions { targets: Vec::new(), ..remote };
        assert_eq!(found(&unsaid, no_python()).unwrap()[0].target, host());
    }

    #[test]
    fn without_a_python_there_is_nothing_to_build_with_here() {
        let failure = found(&options(&[]), no_python()).unwrap_err();
        assert!(failure.message.contains("found no Python 3"), "{failure}");
        let failure = found(&options(&[host()]), no_python()).unwrap().remove(0).placement.unwrap_err();
        assert!(failure.message.contains("found no Python 3"), "{failure}");
    }

    #[test]
    fn one_arch_for_several_targets_is_a_contradiction() {
        let properties = vec![("arch".to_owned(), "arm64".to_owned())];
        let remote = Some(RemotePlacement { python: None, properties });
        let given = BuildOptions { remote, ..options(&[host(), other()]) };
        assert_eq!(found(&given, local()).unwrap_err().class, FailureClass::InvalidSource);
        found(&BuildOptions { targets: vec![other()], ..given }, local()).unwrap();
    }
}
