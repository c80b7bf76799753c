//! Whether Bazel would take the package of a model, and place builds as the model means it. Knows nothing of how it is
//! written.

use std::collections::{BTreeMap, BTreeSet};

use super::bazel_platform::{
    BazelPlatform, LIBC_UNSPECIFIED, PYTHON_UNSPECIFIED, bazel_platforms, libc_value, own_targets,
    python_value,
};
use super::model::{BazelModel, ModelError, PlatformModel};
use crate::platform::canonical_property_name;

/// Targets of every package.
const FIXED_TARGETS: [&str; 5] = ["libc", LIBC_UNSPECIFIED, "python", PYTHON_UNSPECIFIED, "toolchain_type"];

impl BazelModel {
    /// Checks what no part can know by itself: names and constraints that are each other's.
    ///
    /// # Errors
    /// [`ModelError`], if Bazel would refuse the package, or not place builds as the model means it.
    pub fn check(self) -> Result<Self, ModelError> {
        if !is_package(&self.package) {
            return Err(ModelError::Package(self.package));
        }
        if self.versions.is_empty() {
            return Err(ModelError::NoBazel);
        }
        if self.platforms.is_empty() {
            return Err(ModelError::NoPlatform);
        }
        self.platforms.iter().try_for_each(PlatformModel::check)?;
        check_together(&self.platforms)?;
        Ok(self)
    }
}

impl PlatformModel {
    fn check(&self) -> Result<(), ModelError> {
        let name = &self.name;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) || !name.bytes().all(plain) {
            return Err(ModelError::PlatformName(name.clone()));
        }
        let twice = |what: String| ModelError::Twice { platform: name.clone(), what };
        let mut pythons = BTreeSet::new();
        if let Some(python) = self.pythons.iter().find(|python| !pythons.insert(**python)) {
            return Err(twice(format!("Python {python}")));
        }
        let mut properties = BTreeSet::new();
        for (property, value) in &self.properties {
            if property.is_empty() || value.is_empty() {
                return Err(ModelError::EmptyProperty(name.clone()));
            }
            let plain = |byte: u8| (b' '..=b'~').contains(&byte) || b"\n\t".contains(&byte);
            if !property.bytes().chain(value.bytes()).all(plain) {
                let property = property.escape_debug().to_string();
                return Err(ModelError::PropertyCharacter { platform: name.clone(), property });
            }
            if !properties.insert(canonical_property_name(property)) {
                return Err(twice(format!("the property `{property}`")));
            }
        }
        Ok(())
    }
}

/// Whether `text` is the path of a package: the root's is empty.
fn is_package(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    // `.` and `..` are no names.
    let is_name = |part: &str| part.bytes().all(plain) && part.bytes().any(|byte| byte != b'.');
    text.is_empty() || text.split('/').all(is_name)
}

/// Whether names and constraints of the platforms are each other's.
fn check_together(models: &[PlatformModel]) -> Result<(), ModelError> {
    let all = bazel_platforms(models);
    let mut names: BTreeSet<String> = FIXED_TARGETS.map(str::to_owned).into();
    for platform in &all {
        names.insert(libc_value(platform.libc));
        names.insert(python_value(platform.python));
    }
    for platform in &all {
        let own = own_targets(&platform.name);
        for target in own.into_iter().chain([platform.name.clone()]) {
            if !names.insert(target.clone()) {
                return Err(ModelError::SameName { platform: platform.name.clone(), target });
            }
        }
    }
    let mut constraints = BTreeMap::new();
    for platform in &all {
        if let Some(other) = constraints.insert(&platform.constraints, &platform.name) {
            return Err(ModelError::SameConstraints(other.clone(), platform.name.clone()));
        }
    }
    check_workers(&all)
}

/// Whether workers are asked for something else where the C library is another.
fn check_workers(all: &[BazelPlatform]) -> Result<(), ModelError> {
    let asked = |platform: &BazelPlatform| -> BTreeMap<String, String> {
        let properties = platform.properties.iter();
        properties.map(|(name, value)| (canonical_property_name(name), value.clone())).collect()
    };
    let with_libc = || all.iter().filter(|platform| platform.libc.is_some());
    for (index, one) in with_libc().enumerate() {
        for other in with_libc().skip(index + 1) {
            if one.libc != other.libc && asked(one) == asked(other) {
                return Err(ModelError::SameWorkers(one.name.clone(), other.name.clone()));
            }
        }
    }
    Ok(())
}
