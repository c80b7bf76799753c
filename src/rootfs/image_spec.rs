//! The documents of an OCI image (image-spec: descriptor.md, image-index.md, manifest.md, config.md), and Docker's where
//! they say the same: as much of them as it takes to find an image and to verify its layers. Knows nothing of files.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::digest::Sha256;

/// The annotation that is a tag in a layout (annotations.md).
const TAG: &str = "org.opencontainers.image.ref.name";

/// Names a blob, and says what it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub media_type: String,
    /// An algorithm, a colon, and what it makes of the blob.
    pub digest: String,
    /// In bytes.
    pub size: u64,
    /// What it runs on, in an index.
    pub platform: Option<Platform>,
    annotations: Option<BTreeMap<String, String>>,
}

/// What a descriptor may lead to, besides layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DocumentKind {
    Index,
    Manifest,
    Configuration,
}

/// Images, or indexes of images.
#[derive(Debug, Deserialize)]
pub(super) struct ImageIndex {
    pub manifests: Vec<Descriptor>,
}

/// An image: how it is to be run, and its layers, the lowest first.
#[derive(Debug, Deserialize)]
pub(super) struct ImageManifest {
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

/// How an image is to be run.
#[derive(Debug, Deserialize)]
pub(super) struct ImageConfiguration {
    #[serde(flatten)]
    pub platform: Platform,
    pub rootfs: RootFs,
}

/// What an image is made of.
#[derive(Debug, Deserialize)]
pub(super) struct RootFs {
    /// Digests of the layers as they are without compression.
    pub diff_ids: Vec<String>,
}

/// What an image runs on, in Go's names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Platform {
    pub os: String,
    pub architecture: String,
    /// What a processor has beyond the least.
    pub variant: Option<String>,
}

impl Descriptor {
    /// What the media type says, in the specification's words or in Docker's.
    pub fn kind(&self) -> Option<DocumentKind> {
        Some(match self.media_type.as_str() {
            "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json" => DocumentKind::Index,
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json" => DocumentKind::Manifest,
            "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json" => {
                DocumentKind::Configuration
            }
            _ => return None,
        })
    }

    /// The digest, if it is a SHA-256 as the specification wants it written.
    pub fn sha256(&self) -> Option<Sha256> {
        let text = self.digest.strip_prefix("sha256:")?;
        text.parse().ok().filter(|digest: &Sha256| digest.to_string() == text)
    }

    pub fn tag(&self) -> Option<&str> {
        self.annotations.as_ref()?.get(TAG).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_digest(digest: &str) -> Descriptor {
        let json = serde_json::json!({ "mediaType": "x", "digest": digest, "size": 1, "annotations": null });
        serde_json::from_value(json).unwrap()
    }

    /// It becomes the name of a file.
    #[test]
    fn only_a_sha_256_in_lower_case_is_one() {
        let hex = "6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b";
        assert_eq!(with_digest(&format!("sha256:{hex}")).sha256().unwrap().to_string(), hex);
        for other in [
            hex.to_owned(),
            format!("sha512:{hex}{hex}"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:../{}", &hex[3..]),
        ] {
            assert_eq!(with_digest(&other).sha256(), None, "{other}");
        }
    }

    #[test]
    fn dockers_documents_are_the_same_as_the_specifications() {
        let kind = |media_type: &str| Descriptor { media_type: media_type.into(), ..with_digest("x") }.kind();
        for (oci, docker, expected) in [
            ("image.index.v1+json", "distribution.manifest.list.v2+json", DocumentKind::Index),
            ("image.manifest.v1+json", "distribution.manifest.v2+json", DocumentKind::Manifest),
            ("image.config.v1+json", "container.image.v1+json", DocumentKind::Configuration),
        ] {
            assert_eq!(kind(&format!("application/vnd.oci.{oci}")), Some(expected));
            assert_eq!(kind(&format!("application/vnd.docker.{docker}")), Some(expected));
        }
        assert_eq!(kind("application/vnd.oci.artifact.manifest.v1+json"), None);
    }

    #[test]
    fn a_configuration_says_what_it_runs_on_and_what_it_is_made_of() {
        let json = r#"{"os": "linux", "architecture": "arm64", "variant": "v8", "config": {"User": "x"},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:1"]}}"#;
        let configuration: ImageConfiguration = serde_json::from_str(json).unwrap();
        assert_eq!(configuration.platform.variant.as_deref(), Some("v8"));
        assert_eq!(configuration.rootfs.diff_ids, ["sha256:1"]);
        assert!(serde_json::from_str::<ImageConfiguration>(r#"{"os": "linux", "rootfs": {}}"#).is_err());
    }
}
