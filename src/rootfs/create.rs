//! Makes a root file system: from Debian's packages, an image, or an archive. Each stage is in a file of its own; this
//! one puts them in order. Knows nothing of who wants it, and what for.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use fs_err::File;

use super::check::{HostSupport, RootfsCheck, check};
use super::compression::decompressed;
use super::error::RootfsError;
use super::furnish::furnish;
use super::inside::Inside;
use super::marker::Marker;
use super::mmdebstrap::{Debian, follow};
use super::oci::{Layout, Pass};
use super::place::Place;
use super::platform::RootfsPlatform;
use super::unpack::{Kind, Unpacker};
use crate::platform::Arch;

/// What a root is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootfsSource {
    /// Debian's packages.
    Debian(Debian),
    /// An image of an OCI image layout.
    Image { layout: PathBuf, tag: Option<String> },
    /// A tar archive, perhaps compressed by gzip, zstd or xz.
    Archive(PathBuf),
}

/// What to make, and where.
#[derive(Debug, Clone)]
pub struct RootfsRequest {
    pub arch: Arch,
    pub source: RootfsSource,
    /// Absolute.
    pub destination: PathBuf,
    /// Replace a root there that crosswheel has made.
    pub force: bool,
}

/// A root that was made.
#[derive(Debug)]
pub struct CreatedRootfs {
    pub root: PathBuf,
    /// What it was made of, in words.
    pub source: String,
    pub bytes: u64,
    pub members: u64,
    /// Remarks that are not errors.
    pub notes: Vec<String>,
    pub check: RootfsCheck,
}

impl RootfsSource {
    /// What `--from` means: a directory is an image layout, `DIRECTORY:TAG` an image of one, a file an archive.
    pub fn from_argument(given: &Path) -> Self {
        if given.is_file() {
            return Self::Archive(given.to_owned());
        }
        if !given.exists()
            && let Some((layout, tag)) = given.to_str().and_then(|text| text.rsplit_once(':'))
            && Path::new(layout).is_dir()
        {
            return Self::Image { layout: layout.into(), tag: Some(tag.to_owned()) };
        }
        Self::Image { layout: given.to_owned(), tag: None }
    }

    fn describe(&self) -> String {
        match self {
            Self::Debian(debian) => {
                let mirror = debian.mirror.iter().map(|mirror| format!(" from {mirror}")).collect::<String>();
                format!("packages of {}{mirror}", debian.suite)
            }
            Self::Image { layout, tag } => {
                let tag = tag.iter().map(|tag| format!(":{tag}")).collect::<String>();
                format!("the image {}{tag}", layout.display())
            }
            Self::Archive(path) => path.display().to_string(),
        }
    }
}

/// Makes a root file system. `log` gets lines that say how far it is; setting `interrupted` ends it.
///
/// # Errors
/// Nothing is left of a root that did not come to be.
pub fn create(
    request: &RootfsRequest,
    host: HostSupport<'_>,
    interrupted: &AtomicBool,
    log: &(dyn Fn(&str) + Sync),
) -> Result<CreatedRootfs, RootfsError> {
    let place = Place::new(&request.destination, request.force)?;
    let inside = Inside::open(&place.root()).map_err(RootfsError::io("open", place.root()))?;
    let mut unpacker = Unpacker::new(&inside, interrupted);
    let mut what = request.source.describe();
    match &request.source {
        RootfsSource::Debian(debian) => unpack_debian(debian, request.arch, interrupted, &mut unpacker, log)?,
        RootfsSource::Image { layout, tag } => {
            what = unpack_image(layout, tag.as_deref(), request.arch, &mut unpacker, log)?;
        }
        RootfsSource::Archive(path) => unpack_archive(path, &mut unpacker, log)?,
    }
    let (bytes, members, special_files) = (unpacker.bytes, unpacker.members, unpacker.special_files);
    refuse_archive_of_images(&inside, &what)?;
    furnish(&inside).map_err(RootfsError::io("add what is missing to", place.destination()))?;
    check_architecture(&place.root(), request.arch, &what)?;
    let marker = Marker {
        crosswheel: env!("CARGO_PKG_VERSION").to_owned(),
        arch: request.arch.property().to_owned(),
        source: what.clone(),
    };
    let root = place.publish(&marker, request.force)?;
    let mut notes = Vec::new();
    if special_files > 0 {
        notes.push(format!(
            "{special_files} device nodes, FIFOs or sockets were left out; the sandbox has its own /dev"
        ));
    }
    Ok(CreatedRootfs { check: check(&root, host)?, root, source: what, bytes, members, notes })
}

fn unpack_debian(
    debian: &Debian,
    arch: Arch,
    interrupted: &AtomicBool,
    unpacker: &mut Unpacker<'_>,
    log: &(dyn Fn(&str) + Sync),
) -> Result<(), RootfsError> {
    log(&format!("running mmdebstrap for {} of {}", debian.suite, arch.property()));
    let (run, mut output, stderr) = debian.start(arch, interrupted)?;
    std::thread::scope(|scope| {
        let follower = std::thread::Builder::new()
            .name("mmdebstrap".into())
            .spawn_scoped(scope, || follow(stderr, log))
            .map_err(RootfsError::io("start a thread to follow", "mmdebstrap"))?;
        let unpacked = unpacker.unpack(&mut output, "the archive of mmdebstrap", Kind::Plain);
        drop(output);
        if let Err(error) = unpacked {
            // An archive that is cut short is a consequence, anything else is our own trouble, which ends mmdebstrap.
            if !matches!(error, RootfsError::Archive { .. }) {
                drop(run);
                return Err(error);
            }
            let lines = follower.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            return Err(run.finish(&lines).err().map_or(error, RootfsError::from));
        }
        let lines = follower.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(run.finish(&lines)?)
    })
}

fn unpack_image(
    layout: &Path,
    tag: Option<&str>,
    arch: Arch,
    unpacker: &mut Unpacker<'_>,
    log: &(dyn Fn(&str) + Sync),
) -> Result<String, RootfsError> {
    let opened = Layout::at(layout);
    let image = opened.image(tag, arch)?;
    opened.layers(&image, |pass, digest, archive| {
        let name = format!("layer {digest}");
        match pass {
            Pass::First => {
                log(&format!("unpacking {name}"));
                unpacker.hide(archive, &name)
            }
            Pass::Second => unpacker.unpack(archive, &name, Kind::Layer),
        }
    })?;
    Ok(format!("the image {} of {}", image.digest, layout.display()))
}

fn unpack_archive(
    path: &Path,
    unpacker: &mut Unpacker<'_>,
    log: &(dyn Fn(&str) + Sync),
) -> Result<(), RootfsError> {
    log(&format!("unpacking {}", path.display()));
    let name = path.display().to_string();
    let unreadable = |source| RootfsError::Archive { archive: name.clone(), source };
    let file = File::open(path).map_err(unreadable)?;
    unpacker.unpack(&mut *decompressed(file).map_err(unreadable)?, &name, Kind::Plain)
}

/// It holds the image, and not the root that is in the image.
fn refuse_archive_of_images(inside: &Inside, what: &str) -> Result<(), RootfsError> {
    let problem = if inside.has_file(Path::new("index.json")) && inside.has_directory(Path::new("blobs")) {
        "it is an image layout itself"
    } else if inside.has_file(Path::new("manifest.json")) && !inside.has_directory(Path::new("usr")) {
        "it is an archive of images"
    } else {
        return Ok(());
    };
    Err(RootfsError::NotARoot { what: what.to_owned(), problem })
}

/// Refuses a root for another architecture before it takes anybody's place.
fn check_architecture(root: &Path, wanted: Arch, what: &str) -> Result<(), RootfsError> {
    match RootfsPlatform::of(root, &[]).map_err(RootfsError::io("look at", root))?.arch {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(RootfsError::Architecture { what: what.to_owned(), wanted, found }),
        None => Err(RootfsError::NotARoot {
            what: what.to_owned(),
            problem: "there is no /bin/sh, /usr/bin/env, /bin/busybox or /bin/bash for amd64 or arm64",
        }),
    }
}
