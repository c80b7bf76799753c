//! A requirement as `[manifest]` has it: what somebody asked for, not what was found.

use std::fmt;

use pep440_rs::VersionSpecifiers;
use pep508_rs::{ExtraName, MarkerTree, PackageName};

use super::decision::describe;

/// A requirement of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedRequirement {
    /// Of what.
    pub name: PackageName,
    /// With which extras.
    pub extras: Vec<ExtraName>,
    /// In which versions.
    pub specifier: Option<VersionSpecifiers>,
    /// Where it must come from, if that is not an index: a URL as PEP 508 has it after `@`, or a path relative to the
    /// lock's directory.
    pub place: Option<String>,
    /// When.
    pub marker: MarkerTree,
}

/// As PEP 508 has it.
impl fmt::Display for LockedRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        if !self.extras.is_empty() {
            let extras: Vec<_> = self.extras.iter().map(AsRef::as_ref).collect();
            write!(f, "[{}]", extras.join(","))?;
        }
        if let Some(place) = &self.place {
            write!(f, " @ {place}")?;
        } else if let Some(specifier) = &self.specifier {
            specifier.fmt(f)?;
        }
        if self.marker.is_true() { Ok(()) } else { write!(f, " ; {}", describe(&self.marker)) }
    }
}
