//! Environments as the expected files have them, and what their names ask for.

use std::path::Path;

use crosswheel::lock::{FilePreferences, LockError, Project, Selection};
use crosswheel::packaging::compatible_tags::CompatibleTags;
use crosswheel::platform::Target;
use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};

/// The Pythons of the expected files.
const PYTHONS: [&str; 4] = ["3.10.13", "3.11.7", "3.12.1", "3.13.0"];

/// What the name of an expected file says: `linux_arm64-py3.12+cpu,no-default-groups`.
pub struct Case {
    pub target: Target,
    pub minor: u8,
    pub selection: Selection,
}

impl Case {
    pub fn of_name(name: &str) -> Self {
        let (target, rest) = name.split_once("-py3.").expect("a target and a Python");
        let (minor, mut rest) = rest.split_at(2);
        let mut selection = Selection::default();
        while !rest.is_empty() {
            let end = rest[1..].find(['+', ',']).map_or(rest.len(), |end| end + 1);
            let (part, after) = rest.split_at(end);
            ask(&mut selection, part);
            rest = after;
        }
        Self { target: target.parse().unwrap(), minor: minor.parse().unwrap(), selection }
    }

    pub fn lines(&self, directory: &Path) -> Result<Vec<String>, LockError> {
        let project = Project::open(directory)?;
        let configuration = project.configuration(&self.selection)?;
        let closure = project.closure(&configuration, &environment(self.target, self.minor))?;
        let tags = CompatibleTags::new((3, self.minor), "", self.target, "2.36".parse().ok());
        let preferences = FilePreferences::of(project.settings());
        Ok(project.plan(&closure, &tags, &preferences)?.lines().collect())
    }
}

fn ask(selection: &mut Selection, part: &str) {
    if let Some(extra) = part.strip_prefix('+') {
        selection.extras.push(extra.parse().unwrap());
    } else if let Some(group) = part.strip_prefix(",only-") {
        selection.only_groups.push(group.parse().unwrap());
    } else if let Some(group) = part.strip_prefix(",no-group-") {
        selection.no_groups.push(group.parse().unwrap());
    } else if let Some(extra) = part.strip_prefix(",no-extra-") {
        selection.no_extras.push(extra.parse().unwrap());
    } else if let Some(group) = part.strip_prefix(",group-") {
        selection.groups.push(group.parse().unwrap());
    } else if let Some(package) = part.strip_prefix(",package-") {
        selection.packages.push(package.parse().unwrap());
    } else {
        match part {
            ",no-default-groups" => selection.no_default_groups = true,
            ",all-packages" => selection.all_packages = true,
            ",all-extras" => selection.all_extras = true,
            ",all-groups" => selection.all_groups = true,
            other => panic!("`{other}` asks for nothing known"),
        }
    }
}

/// CPython 3.`minor` on Linux.
pub fn environment(target: Target, minor: u8) -> MarkerEnvironment {
    let version = format!("3.{minor}");
    let full = PYTHONS.iter().find(|full| full.starts_with(&version)).expect("a known Python");
    MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: full,
        os_name: "posix",
        platform_machine: target.arch.machine(),
        platform_python_implementation: "CPython",
        platform_release: "",
        platform_system: "Linux",
        platform_version: "",
        python_full_version: full,
        python_version: &version,
        sys_platform: "linux",
    })
    .unwrap()
}
