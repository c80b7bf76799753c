//! The Python of a target, as far as it decides what has to be installed: it is asked where it is, or, where there is
//! none that could be asked, taken to be like this machine's. Knows nothing of what is installed.

use pep508_rs::MarkerEnvironment;

use super::planned::PythonFacts;
use crate::build::builder::Builder;
use crate::build::builders::Builders;
use crate::build::progress::Task;
use crate::contract::Failure;
use crate::packaging::compatible_tags::CompatibleTags;
use crate::packaging::interpreter::Interpreter;

/// The Python of a target.
#[derive(Clone, Debug)]
pub(super) struct TargetPython {
    pub(super) facts: PythonFacts,
    pub(super) markers: MarkerEnvironment,
    pub(super) tags: CompatibleTags,
}

impl TargetPython {
    /// The one that builds for the destination at `index`.
    pub(super) fn of_builder(builders: &Builders, index: usize, task: &Task) -> Result<Self, Failure> {
        Ok(Self::known(builders.builder(index, task)?))
    }

    /// The one that builds for the destination at `index`, or, if nothing here can and nobody said what should, one like
    /// this machine's. Good for looking ahead only.
    pub(super) fn perhaps_assumed(builders: &Builders, index: usize, task: &Task) -> Result<Self, Failure> {
        let (run, destination) = (&builders.run, &builders.destinations[index]);
        let target = destination.target;
        let is_named = run.options.roots.iter().any(|(of, _)| *of == target);
        match (&destination.placement, &run.local) {
            (Err(_), Ok(local)) if !is_named && local.target() != target => {
                let glibc = run.options.glibc_for(target).or(local.glibc());
                let machine = target.arch.machine();
                let markers = local.markers.clone().with_platform_machine(machine);
                Ok(Self {
                    facts: facts(local, glibc, true),
                    // Of its kernel nothing is known.
                    markers: markers.with_platform_release("").with_platform_version(""),
                    tags: local.compatible_tags(target, glibc),
                })
            }
            _ => Self::of_builder(builders, index, task),
        }
    }

    fn known(builder: &Builder) -> Self {
        Self {
            facts: facts(&builder.interpreter, builder.build_glibc, false),
            markers: builder.interpreter.markers.clone(),
            tags: builder.tags.clone(),
        }
    }
}

fn facts(python: &Interpreter, glibc: Option<crate::platform::Glibc>, assumed: bool) -> PythonFacts {
    let (major, minor, _) = python.version;
    PythonFacts {
        version: python.markers.python_full_version().to_string(),
        name: format!("{major}.{minor}{}", python.abi_flags),
        glibc,
        assumed,
    }
}
