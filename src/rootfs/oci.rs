//! Images on disk: OCI image layouts (image-spec, image-layout.md), with the manifests of Docker too. Finds the image
//! for an architecture and verifies every blob by its digest before anything of it is used. Knows nothing of
//! unpacking.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fs_err::File;
use serde::de::DeserializeOwned;

use super::compression::decompressed;
use super::error::{BlobProblem, RootfsError};
use super::image_spec::{Descriptor, DocumentKind, ImageConfiguration, ImageIndex, ImageManifest, Platform};
use crate::digest::{HashingReader, Sha256};
use crate::platform::Arch;

/// Most bytes of an index, a manifest or a configuration; registries allow 4 MiB.
const MOST_JSON_BYTES: u64 = 4 << 20;

/// Indexes inside indexes.
const DEEPEST_INDEX: usize = 4;

/// Most images that are looked at in one layout.
const MOST_IMAGES: usize = 1000;

/// A directory with an image layout.
#[derive(Debug)]
pub(super) struct Layout {
    directory: PathBuf,
}

/// An image for one platform.
#[derive(Debug)]
pub(super) struct Image {
    /// Digest of the manifest.
    pub digest: String,
    tag: Option<String>,
    layers: Vec<Descriptor>,
    diff_ids: Vec<String>,
}

/// How often a layer was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    First,
    Second,
}

impl Layout {
    pub(super) fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The image for Linux on `arch`, with `tag` if one is given.
    pub(super) fn image(&self, tag: Option<&str>, arch: Arch) -> Result<Image, RootfsError> {
        let index = self.index()?;
        let tagged = |descriptor: &&Descriptor| tag.is_none_or(|tag| descriptor.tag() == Some(tag));
        let roots: Vec<_> = index.manifests.iter().filter(tagged).collect();
        if let Some(tag) = tag.filter(|_| roots.is_empty()) {
            let found = index.manifests.iter().filter_map(|image| image.tag().map(str::to_owned)).collect();
            return Err(self.no_image(format!("with the tag {tag}"), found));
        }
        let mut search = Search { arch, found: Vec::new(), others: Vec::new() };
        for descriptor in roots {
            self.search(descriptor, descriptor.tag(), &mut search, 0)?;
        }
        // One image may be named twice.
        let mut found = search.found;
        found.dedup_by(|one, other| one.digest == other.digest);
        if found.len() > 1 {
            let name = |image: &Image| image.tag.clone().unwrap_or_else(|| image.digest.clone());
            let found = found.iter().map(name).collect();
            return Err(RootfsError::Ambiguous { layout: self.directory.clone(), arch, found });
        }
        search.others.sort();
        search.others.dedup();
        found.pop().ok_or_else(|| self.no_image(format!("for linux/{}", arch.property()), search.others))
    }

    /// Calls `act` twice with each layer of `image`, the lowest first: with its digest and with its archive, which it
    /// has to read to the end. Before the first time the blob is verified, and before the second what is in it, too, by
    /// the image's configuration.
    pub(super) fn layers(
        &self,
        image: &Image,
        mut act: impl FnMut(Pass, &str, &mut dyn Read) -> Result<(), RootfsError>,
    ) -> Result<(), RootfsError> {
        for (index, layer) in image.layers.iter().enumerate() {
            let blob = |problem| self.blob_problem(layer, problem);
            let io = |error| blob(BlobProblem::Io(error));
            // What was verified is read, whatever becomes of its name.
            let file = self.verified_layer(layer)?;
            let archive = || {
                file.file().seek(SeekFrom::Start(0)).map_err(io)?;
                decompressed(file.file()).map_err(io)
            };
            let mut hashing = HashingReader::new(archive()?);
            act(Pass::First, &layer.digest, &mut hashing)?;
            let found = hashing.finish().0.to_string();
            if let Some(diff_id) = image.diff_ids.get(index)
                && diff_id.strip_prefix("sha256:").is_some_and(|expected| expected != found)
            {
                return Err(blob(BlobProblem::DiffId { expected: diff_id.clone(), found }));
            }
            act(Pass::Second, &layer.digest, &mut archive()?)?;
        }
        Ok(())
    }

    fn index(&self) -> Result<ImageIndex, RootfsError> {
        let layout = |problem: String| RootfsError::Layout { path: self.directory.clone(), problem };
        let path = self.directory.join("index.json");
        let file = File::open(&path).map_err(|error| layout(error.to_string()))?;
        let mut bytes = Vec::new();
        file.take(MOST_JSON_BYTES + 1).read_to_end(&mut bytes).map_err(|error| layout(error.to_string()))?;
        if bytes.len() as u64 > MOST_JSON_BYTES {
            return Err(layout(format!("index.json has more than {MOST_JSON_BYTES} bytes")));
        }
        serde_json::from_slice(&bytes).map_err(|error| layout(format!("index.json: {error}")))
    }

    fn search(
        &self,
        descriptor: &Descriptor,
        tag: Option<&str>,
        search: &mut Search,
        depth: usize,
    ) -> Result<(), RootfsError> {
        if search.found.len() + search.others.len() >= MOST_IMAGES {
            return Ok(());
        }
        if descriptor.kind() == Some(DocumentKind::Index) {
            if depth >= DEEPEST_INDEX {
                let problem = format!("indexes lie more than {DEEPEST_INDEX} deep in each other");
                return Err(RootfsError::Layout { path: self.directory.clone(), problem });
            }
            let index: ImageIndex = self.json(descriptor)?;
            return index.manifests.iter().try_for_each(|inner| self.search(inner, tag, search, depth + 1));
        }
        if descriptor.kind() != Some(DocumentKind::Manifest) {
            return Ok(());
        }
        if descriptor.platform.as_ref().is_some_and(|platform| !search.wants(platform)) {
            return Ok(());
        }
        let manifest: ImageManifest = self.json(descriptor)?;
        // Signatures and attestations are manifests, too.
        if manifest.config.kind() != Some(DocumentKind::Configuration) {
            return Ok(());
        }
        let configuration: ImageConfiguration = self.json(&manifest.config)?;
        if search.wants(&configuration.platform) {
            search.found.push(Image {
                digest: descriptor.digest.clone(),
                tag: tag.map(str::to_owned),
                layers: manifest.layers,
                diff_ids: configuration.rootfs.diff_ids,
            });
        }
        Ok(())
    }

    /// Reads a small blob, verified.
    fn json<T: DeserializeOwned>(&self, descriptor: &Descriptor) -> Result<T, RootfsError> {
        let blob = |problem| self.blob_problem(descriptor, problem);
        if descriptor.size > MOST_JSON_BYTES {
            return Err(blob(BlobProblem::TooLarge(MOST_JSON_BYTES)));
        }
        let (file, expected) = self.open_blob(descriptor)?;
        let mut bytes = Vec::new();
        file.take(descriptor.size).read_to_end(&mut bytes).map_err(|error| blob(BlobProblem::Io(error)))?;
        let found = Sha256::of(&bytes);
        if found != expected {
            return Err(blob(BlobProblem::Digest { found: found.to_string() }));
        }
        serde_json::from_slice(&bytes).map_err(|error| blob(BlobProblem::Json(error.to_string())))
    }

    fn verified_layer(&self, layer: &Descriptor) -> Result<File, RootfsError> {
        let blob = |problem| self.blob_problem(layer, problem);
        let name = &layer.media_type;
        // Compressed how is told by the bytes themselves.
        if !name.contains("tar") || name.contains("encrypted") {
            return Err(blob(BlobProblem::MediaType(name.clone())));
        }
        let (file, expected) = self.open_blob(layer)?;
        let (found, _) = Sha256::of_reader(file.file()).map_err(|error| blob(BlobProblem::Io(error)))?;
        if found != expected {
            return Err(blob(BlobProblem::Digest { found: found.to_string() }));
        }
        Ok(file)
    }

    /// Opens a blob of the size it should have, and says which SHA-256 it should have.
    fn open_blob(&self, descriptor: &Descriptor) -> Result<(File, Sha256), RootfsError> {
        let blob = |problem| self.blob_problem(descriptor, problem);
        let sha256 = descriptor.sha256().ok_or_else(|| blob(BlobProblem::UnknownDigest))?;
        let file = match File::open(self.directory.join("blobs/sha256").join(sha256.to_string())) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(blob(BlobProblem::Missing)),
            Err(error) => return Err(blob(BlobProblem::Io(error))),
        };
        let found = file.metadata().map_err(|error| blob(BlobProblem::Io(error)))?.len();
        if found != descriptor.size {
            return Err(blob(BlobProblem::Size { expected: descriptor.size, found }));
        }
        Ok((file, sha256))
    }

    fn blob_problem(&self, descriptor: &Descriptor, problem: BlobProblem) -> RootfsError {
        RootfsError::Blob { layout: self.directory.clone(), digest: descriptor.digest.clone(), problem }
    }

    fn no_image(&self, wanted: String, found: Vec<String>) -> RootfsError {
        RootfsError::NoImage { layout: self.directory.clone(), wanted, found }
    }
}

/// Images that fit, and the platforms of those that do not.
struct Search {
    arch: Arch,
    found: Vec<Image>,
    others: Vec<String>,
}

impl Search {
    /// Variants say what a processor has beyond the least: `v8` is the least of arm64, `v1` that of amd64.
    fn wants(&mut self, Platform { os, architecture, variant }: &Platform) -> bool {
        let least = match self.arch {
            Arch::Amd64 => "v1",
            Arch::Arm64 => "v8",
        };
        let variant = variant.as_deref().filter(|variant| !variant.is_empty());
        let wants = os == "linux"
            && architecture == self.arch.property()
            && variant.is_none_or(|variant| variant == least);
        if !wants {
            let variant = variant.map(|variant| format!("/{variant}")).unwrap_or_default();
            self.others.push(format!("{os}/{architecture}{variant}"));
        }
        wants
    }
}
