//! Core metadata (PKG-INFO in sdists, METADATA in wheels), as far as building needs it.
//! Knows nothing of where the bytes come from.

use std::str::FromStr;

use mailparse::MailHeaderMap;
use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, PackageName, Requirement, VerbatimUrl};

use super::requirement_text::parse_requirement;

/// The fields of a core metadata document that matter to a build.
/// See <https://packaging.python.org/en/latest/specifications/core-metadata/>.
#[derive(Clone, Debug)]
pub struct CoreMetadata {
    /// `Name`, normalised (PEP 503).
    pub name: PackageName,
    /// `Version` (PEP 440).
    pub version: Version,
    /// `Version` exactly as written.
    pub version_text: String,
    /// `Requires-Python`.
    pub requires_python: Option<VersionSpecifiers>,
    /// `Requires-Dist`; entries that are not PEP 508 are left out, as old metadata has them.
    pub requires_dist: Vec<Requirement<VerbatimUrl>>,
    /// `Provides-Extra`.
    pub provides_extra: Vec<ExtraName>,
}

/// Why bytes are not core metadata.
#[derive(Debug, thiserror::Error)]
pub enum CoreMetadataError {
    /// The bytes are not a header block.
    #[error("not a block of `Name: value` headers: {0}")]
    Headers(#[from] mailparse::MailParseError),
    /// A required field is absent.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A field has a value its specification does not allow.
    #[error("field `{field}` has the invalid value `{value}`: {reason}")]
    Invalid {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl CoreMetadata {
    /// Parses the header block of a METADATA or PKG-INFO file.
    pub fn parse(bytes: &[u8]) -> Result<Self, CoreMetadataError> {
        let (headers, _) = mailparse::parse_headers(bytes)?;
        let required = |field: &'static str| {
            let value = headers.get_first_value(field).map(|value| value.trim().to_owned());
            value.filter(|value| !value.is_empty()).ok_or(CoreMetadataError::Missing(field))
        };
        required("Metadata-Version")?;
        let version_text = required("Version")?;
        let requires_python = headers.get_first_value("Requires-Python");
        Ok(Self {
            name: parse_field("Name", &required("Name")?)?,
            version: parse_field("Version", &version_text)?,
            version_text,
            requires_python: match requires_python.as_deref().map(str::trim) {
                None | Some("") => None,
                Some(value) => Some(parse_field("Requires-Python", value)?),
            },
            requires_dist: headers
                .get_all_values("Requires-Dist")
                .iter()
                .filter_map(|value| parse_requirement(value).ok())
                .collect(),
            provides_extra: headers
                .get_all_values("Provides-Extra")
                .iter()
                .filter_map(|value| value.trim().parse().ok())
                .collect(),
        })
    }
}

fn parse_field<T: FromStr>(field: &'static str, value: &str) -> Result<T, CoreMetadataError>
where
    T::Err: std::fmt::Display,
{
    value.parse().map_err(|error: T::Err| CoreMetadataError::Invalid {
        field,
        value: value.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &[u8] = b"Metadata-Version: 2.2\nName: Zope.Interface\nVersion: 5.5.2.POST1\n\
        Requires-Python: >=3.8, <4\nDynamic: Requires-Dist\nProvides-Extra: toml\n\
        Requires-Dist: tomli>=1; extra == 'toml'\nRequires-Dist: not a requirement!\n\
        Description: first line\n        second line\n\nbody\n";

    #[test]
    fn fields_are_normalised_and_old_style_requirements_left_out() {
        let metadata = CoreMetadata::parse(METADATA).unwrap();
        assert_eq!(metadata.name.to_string(), "zope-interface");
        assert_eq!(metadata.version.to_string(), "5.5.2.post1");
        assert_eq!(metadata.version_text, "5.5.2.POST1");
        assert_eq!(metadata.requires_dist.len(), 1);
        assert_eq!(metadata.provides_extra.len(), 1);
    }

    #[test]
    fn a_requirement_that_would_end_the_process_is_left_out() {
        let deep = format!("a ; {}os_name == 'nt'{}", "(".repeat(20_000), ")".repeat(20_000));
        let text = format!(
            "Metadata-Version: 2.1\nName: a\nVersion: 1\nRequires-Dist: {deep}\nRequires-Dist: b\n\n"
        );
        assert_eq!(CoreMetadata::parse(text.as_bytes()).unwrap().requires_dist.len(), 1);
    }

    #[test]
    fn a_missing_or_invalid_field_is_named() {
        let missing = CoreMetadata::parse(b"Metadata-Version: 2.1\nName: a\n\n").unwrap_err();
        assert_eq!(missing.to_string(), "field `Version` is missing");
        let invalid = CoreMetadata::parse(b"Metadata-Version: 2.1\nName: a\nVersion: x y\n\n").unwrap_err();
        assert!(invalid.to_string().starts_with("field `Version` has the invalid value `x y`"));
    }
}
