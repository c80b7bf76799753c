//! The platforms of Bazel that a model stands for, each with its constraints. Knows nothing of how they are printed.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{PlatformModel, PythonVersion};
use crate::platform::{Arch, Libc, Target, canonical_property_name};

/// A constraint value that a platform without a C library has.
pub(super) const LIBC_UNSPECIFIED: &str = "libc_unspecified";
/// A constraint value that a platform without a Python has, where others have one.
pub(super) const PYTHON_UNSPECIFIED: &str = "python_unspecified";
/// A platform of Bazel.
#[derive(Debug, Clone)]
pub(super) struct BazelPlatform {
    pub name: String,
    pub target: Target,
    pub libc: Option<Libc>,
    pub python: Option<PythonVersion>,
    /// Labels of its constraint values, in buildifier's order.
    pub constraints: Vec<String>,
    pub properties: Vec<(String, String)>,
}

/// All platforms of `models`, in order: one for each, or one for each of its Pythons.
pub(super) fn bazel_platforms(models: &[PlatformModel]) -> Vec<BazelPlatform> {
    let any_python = models.iter().any(|model| !model.pythons.is_empty());
    let of = |model: &PlatformModel| -> Vec<BazelPlatform> {
        match model.pythons.as_slice() {
            [] => vec![platform_of(model, model.name.clone(), None, any_python)],
            [python] => vec![platform_of(model, model.name.clone(), Some(*python), any_python)],
            several => several
                .iter()
                .map(|python| {
                    let name = format!("{}_py3{}", model.name, python.minor);
                    platform_of(model, name, Some(*python), any_python)
                })
                .collect(),
        }
    };
    models.iter().flat_map(of).collect()
}

fn platform_of(
    model: &PlatformModel,
    name: String,
    python: Option<PythonVersion>,
    any_python: bool,
) -> BazelPlatform {
    let mut constraints = vec![format!(":{}", libc_value(model.libc))];
    if any_python {
        constraints.push(format!(":{}", python_value(python)));
    }
    constraints.push(format!("@platforms//cpu:{}", model.target.arch.bazel_cpu()));
    constraints.push("@platforms//os:linux".to_owned());
    BazelPlatform {
        name,
        target: model.target,
        libc: model.libc,
        python,
        constraints,
        properties: properties(model, python),
    }
}

/// The labels of all constraint values that a platform could have, sorted.
pub(super) fn all_constraints(platforms: &[BazelPlatform]) -> Vec<String> {
    let mut labels: BTreeSet<String> =
        platforms.iter().flat_map(|platform| platform.constraints.iter().cloned()).collect();
    labels.insert(format!(":{LIBC_UNSPECIFIED}"));
    if platforms.iter().any(|platform| platform.python.is_some()) {
        labels.insert(format!(":{PYTHON_UNSPECIFIED}"));
    }
    labels.extend([Arch::Amd64, Arch::Arm64].map(|arch| format!("@platforms//cpu:{}", arch.bazel_cpu())));
    labels.into_iter().collect()
}

/// Sorted by name; the model's own take the place of those that workers would take for the same. The same model makes
/// the same bytes.
fn properties(model: &PlatformModel, python: Option<PythonVersion>) -> Vec<(String, String)> {
    let mut all = BTreeMap::from([
        ("Arch".to_owned(), model.target.arch.property().to_owned()),
        ("OSFamily".to_owned(), "Linux".to_owned()),
    ]);
    if let Some(libc) = model.libc.filter(|_| model.libc_property) {
        all.insert("libc".to_owned(), libc.to_string());
    }
    if let Some(python) = python.filter(|_| model.python_property) {
        all.insert("python".to_owned(), python.to_string());
    }
    let given: BTreeSet<String> =
        model.properties.iter().map(|(name, _)| canonical_property_name(name)).collect();
    all.retain(|name, _| !given.contains(&canonical_property_name(name)));
    all.extend(model.properties.iter().cloned());
    all.into_iter().collect()
}

/// The name of the constraint value for a C library.
pub(super) fn libc_value(libc: Option<Libc>) -> String {
    libc.map_or_else(|| LIBC_UNSPECIFIED.to_owned(), |libc| libc.to_string().replace('-', "_"))
}

/// The name of the constraint value for a Python.
pub(super) fn python_value(python: Option<PythonVersion>) -> String {
    python.map_or_else(|| PYTHON_UNSPECIFIED.to_owned(), |python| format!("python_{python}"))
}

/// The targets beside its platform that a platform has in the package.
pub(super) fn own_targets(name: &str) -> [String; 4] {
    [
        format!("{name}_placement"),
        format!("{name}_registered"),
        format!("{name}_registered_toolchain"),
        format!("{name}_toolchain"),
    ]
}
