//! A store of unpacked wheels: each wheel is unpacked, checked against its RECORD and byte-compiled
//! once, and environments are then made of hard links to it. Processes may share a store: a wheel
//! appears in it by one rename, whole or not at all. Knows nothing of environments or of requirements.
//!
//! ```text
//! ROOT/SHA256-1/CACHE_TAG/manifest.json    1: version of this layout; CACHE_TAG: cpython-311, or
//!                                          `sources` for one without byte code of ours
//!                        /site …           one directory for each scheme, files read-only
//! ROOT/tmp/XXXXXX                          being unpacked, or left behind by a crash
//! ```

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use fs_err::{File, OpenOptions};

use super::byte_compile::{ByteCompileError, byte_compile, compiled_path};
use super::unpacked_wheel::{
    MANIFEST, Manifest, ManifestError, Scheme, StoredFile, StoredRequirement, UnpackedWheel,
};
use crate::digest::{HashingWriter, Sha256};
use crate::packaging::interpreter::Interpreter;
use crate::packaging::wheel_archive::{WheelArchive, WheelArchiveError, WheelMember, split_data_member};
use crate::packaging::wheel_metadata::{RecordMismatch, record_field, record_hash};
use crate::scratch::staging::{Staging, discard};
use crate::step::helper::Helpers;

/// Part of every path in the store; to be raised when what is written there changes.
pub(crate) const LAYOUT: u32 = 1;
/// What installers write into the file of this name (PEP 376).
const INSTALLER: &str = "crosswheel\n";
/// Modification time of unpacked files, 1980-01-01: the same in every environment, so that no build
/// can depend on when a wheel was unpacked.
const MODIFIED: Duration = Duration::from_secs(315_532_800);

/// A directory of unpacked wheels.
#[derive(Clone, Debug)]
pub struct WheelStore {
    root: PathBuf,
    helpers: Helpers,
    /// Whether what has no byte code gets some.
    compiles: bool,
}

/// Where wheels without byte code of ours are, beside those with that of an interpreter.
const SOURCES: &str = "sources";

/// Why a wheel cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum WheelStoreError {
    /// A file of the store or the wheel cannot be read or written; the error names it.
    #[error("cannot unpack a wheel into the store: {0}")]
    Io(#[from] io::Error),
    /// It is not a wheel that can be read.
    #[error(transparent)]
    Archive(#[from] WheelArchiveError),
    /// The file is not the one that was asked for.
    #[error("`{wheel}` has the SHA-256 {found}, but {expected} was asked for")]
    Digest {
        /// File name of the wheel.
        wheel: String,
        /// The digest that was given.
        expected: Sha256,
        /// The digest of the file.
        found: Sha256,
    },
    /// A file is not as RECORD has it.
    #[error("`{member}` in `{wheel}` is not as RECORD has it: {source}")]
    Record {
        /// File name of the wheel.
        wheel: String,
        /// The file in it.
        member: String,
        /// How it differs.
        source: RecordMismatch,
    },
    /// Its files cannot be byte-compiled.
    #[error("`{wheel}`: {source}")]
    ByteCompile {
        /// File name of the wheel.
        wheel: String,
        /// What happened.
        source: ByteCompileError,
    },
    /// What lies in the store cannot be loaded.
    #[error("the store holds a broken wheel: {0}")]
    Manifest(#[from] ManifestError),
}

impl WheelStore {
    /// The store at `root`, which is made when the first wheel is unpacked; `helpers` are for its byte code.
    pub fn open(root: PathBuf, helpers: Helpers) -> Self {
        Self { root, helpers, compiles: true }
    }

    /// The same store, for who will not use most of what is in the wheels: without byte code, unless it is there.
    /// Compiling the largest wheels takes minutes where Python is emulated.
    pub fn without_byte_code(self) -> Self {
        Self { compiles: false, ..self }
    }

    /// The unpacked form of the wheel at `path` for `interpreter`, unpacking it if need be.
    ///
    /// `digest` is the SHA-256 of the file, if the caller knows it; then a wheel that is already
    /// unpacked is found without opening the file. A wheel is never unpacked under a wrong digest.
    pub fn unpacked(
        &self,
        path: &Path,
        digest: Option<Sha256>,
        interpreter: &Interpreter,
    ) -> Result<UnpackedWheel, WheelStoreError> {
        let digest = match digest {
            Some(digest) => digest,
            None => Sha256::of_file(path)?.0,
        };
        let forms = self.root.join(format!("{digest}-{LAYOUT}"));
        let compiled = forms.join(&interpreter.cache_tag);
        let place = if self.compiles { compiled.clone() } else { forms.join(SOURCES) };
        if let Ok(found) = UnpackedWheel::load(compiled).or_else(|_| UnpackedWheel::load(place.clone())) {
            return Ok(found);
        }
        let mut archive = WheelArchive::open(path)?;
        if archive.sha256 != digest {
            let wheel = archive.file_name.to_string();
            return Err(WheelStoreError::Digest { wheel, expected: digest, found: archive.sha256 });
        }
        let staging = Staging::new(self.temporary())?;
        let (directory, helpers) = (staging.path(), self.compiles.then_some(&self.helpers));
        Unpacking { archive: &mut archive, interpreter, directory, helpers }.run()?;
        staging.publish(&place, |place| UnpackedWheel::load(place.to_owned()).is_ok())?;
        Ok(UnpackedWheel::load(place)?)
    }

    /// Removes those of `wheels` of which a module is damaged or lost, so that they are unpacked again when
    /// they are next needed, and returns which module: cleaners of caches do such things, and so do full disks.
    pub fn discard_damaged(&self, wheels: &[UnpackedWheel]) -> Option<PathBuf> {
        let mut found = None;
        for wheel in wheels {
            let site = wheel.directory().join(Scheme::Site.directory());
            if let Some(damaged) = wheel.damaged_module(&site) {
                // If it cannot be removed, the next build will say the same.
                let _ = discard(&self.temporary(), wheel.directory());
                found = Some(damaged);
            }
        }
        found
    }

    fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }
}

/// One wheel on its way into a temporary directory.
struct Unpacking<'a> {
    archive: &'a mut WheelArchive<'static>,
    interpreter: &'a Interpreter,
    directory: &'a Path,
    /// For byte code; none if there is to be none.
    helpers: Option<&'a Helpers>,
}

impl Unpacking<'_> {
    fn run(mut self) -> Result<(), WheelStoreError> {
        for scheme in Scheme::ALL {
            fs_err::create_dir(self.directory.join(scheme.directory()))?;
        }
        let mut directories = BTreeSet::new();
        let mut files = Vec::new();
        for member in self.archive.members.clone() {
            if let Some(file) = self.unpack_member(&member, &mut directories)? {
                files.push(file);
            }
        }
        files.push(self.write_installer(&mut directories)?);
        files.push(self.write_record(&files)?);
        let compiled = match self.helpers {
            Some(helpers) => self.byte_compile(&files, helpers)?,
            None => Vec::new(),
        };
        for path in &compiled {
            directories.insert((Scheme::Site, parent_of(path).to_owned()));
        }
        let metadata = &self.archive.metadata;
        let manifest = Manifest {
            file_name: self.archive.file_name.clone(),
            sha256: self.archive.sha256,
            name: metadata.name.clone(),
            version: metadata.version.clone(),
            requires_python: metadata.requires_python.clone(),
            requires_dist: StoredRequirement::all_of(metadata),
            provides_extra: metadata.provides_extra.clone(),
            dist_info: self.archive.dist_info.clone(),
            directories: directories.into_iter().filter(|(_, path)| !path.is_empty()).collect(),
            files,
            compiled,
            entry_points: self.archive.scripts.clone(),
        };
        let bytes = serde_json::to_vec(&manifest).map_err(io::Error::other)?;
        Ok(fs_err::write(self.directory.join(MANIFEST), bytes)?)
    }

    /// Writes one member, hashing it on the way, and compares it with RECORD. Files that installers
    /// write themselves are checked and left out.
    fn unpack_member(
        &mut self,
        member: &WheelMember,
        directories: &mut BTreeSet<(Scheme, String)>,
    ) -> Result<Option<StoredFile>, WheelStoreError> {
        let (scheme, path) = self.place(member)?;
        let written_by_installers =
            ["RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json"]
                .iter()
                .any(|name| member.name == format!("{}/{name}", self.archive.dist_info));
        let executable = member.executable || scheme == Scheme::Scripts;
        let output = if written_by_installers {
            None
        } else {
            self.make_parents(scheme, &path, directories)?;
            Some(create(&self.directory.join(scheme.directory()).join(&path), executable)?)
        };
        let (sha256, size, rewrite_shebang) = self.copy(member, output.as_ref())?;
        if !self.archive.is_exempt_from_record(&member.name) {
            self.archive.record.check(&member.name, sha256, size, false).map_err(|source| {
                WheelStoreError::Record {
                    wheel: self.archive.file_name.to_string(),
                    member: member.name.clone(),
                    source,
                }
            })?;
        }
        let Some(output) = output else { return Ok(None) };
        finish(&output, executable)?;
        let rewrite_shebang = rewrite_shebang && scheme == Scheme::Scripts;
        Ok(Some(StoredFile { scheme, path, sha256, size, executable, rewrite_shebang }))
    }

    /// Where a member goes (PEP 427, "Spread").
    fn place(&self, member: &WheelMember) -> Result<(Scheme, String), WheelStoreError> {
        let Some((key, path)) = split_data_member(&member.name) else {
            return Ok((Scheme::Site, member.name.clone()));
        };
        let refused = |reason| self.archive.member_error(&member.name, reason);
        let scheme = Scheme::from_data_key(key)
            .ok_or_else(|| refused("is in the `.data` directory under a key no installer knows"))?;
        if path.is_empty() {
            return Err(refused("is a file where the `.data` directory has directories").into());
        }
        if scheme == Scheme::Scripts && path.contains('/') {
            return Err(refused("is a script in a directory").into());
        }
        Ok((scheme, path.to_owned()))
    }

    fn make_parents(
        &self,
        scheme: Scheme,
        path: &str,
        directories: &mut BTreeSet<(Scheme, String)>,
    ) -> Result<(), WheelStoreError> {
        let base = self.directory.join(scheme.directory());
        let slashes = path.match_indices('/').map(|(index, _)| &path[..index]);
        for parent in slashes {
            if directories.insert((scheme, parent.to_owned())) {
                fs_err::create_dir(base.join(parent))?;
            }
        }
        Ok(())
    }

    /// Reads a member to its end into `output`. Also tells whether it begins with `#!python`.
    fn copy(
        &mut self,
        member: &WheelMember,
        output: Option<&File>,
    ) -> Result<(Sha256, u64, bool), WheelStoreError> {
        let mut reader = self.archive.read(member)?;
        let mut start = Vec::new();
        let mut hasher = HashingWriter::new(io::sink());
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => {
                    drop(reader);
                    return Err(self
                        .archive
                        .member_error(&member.name, format!("cannot be read: {error}"))
                        .into());
                }
            };
            let bytes = &buffer[..count];
            start.extend_from_slice(&bytes[..count.min(8usize.saturating_sub(start.len()))]);
            hasher.write_all(bytes)?;
            if let Some(mut output) = output {
                output.write_all(bytes)?;
            }
        }
        let (_, sha256, size) = hasher.finish();
        Ok((sha256, size, start == b"#!python"))
    }

    fn write_installer(
        &self,
        directories: &mut BTreeSet<(Scheme, String)>,
    ) -> Result<StoredFile, WheelStoreError> {
        let path = format!("{}/INSTALLER", self.archive.dist_info);
        self.make_parents(Scheme::Site, &path, directories)?;
        self.write_own_file(path, INSTALLER.as_bytes())
    }

    /// The RECORD of an installation, as far as it is the same everywhere: the files in
    /// `site-packages`. What goes elsewhere is added when it is installed.
    fn write_record(&self, files: &[StoredFile]) -> Result<StoredFile, WheelStoreError> {
        let path = format!("{}/RECORD", self.archive.dist_info);
        let mut text = String::new();
        for file in files.iter().filter(|file| file.scheme == Scheme::Site) {
            text.push_str(&format!(
                "{},{},{}\n",
                record_field(&file.path),
                record_hash(file.sha256),
                file.size
            ));
        }
        text.push_str(&format!("{},,\n", record_field(&path)));
        self.write_own_file(path, text.as_bytes())
    }

    fn write_own_file(&self, path: String, bytes: &[u8]) -> Result<StoredFile, WheelStoreError> {
        let mut output = create(&self.directory.join(Scheme::Site.directory()).join(&path), false)?;
        output.write_all(bytes)?;
        finish(&output, false)?;
        let (sha256, size) = (Sha256::of(bytes), bytes.len() as u64);
        Ok(StoredFile { scheme: Scheme::Site, path, sha256, size, executable: false, rewrite_shebang: false })
    }

    /// Compiles every Python file in `site-packages` that does not bring its compiled form, and
    /// returns the compiled files.
    fn byte_compile(&self, files: &[StoredFile], helpers: &Helpers) -> Result<Vec<String>, WheelStoreError> {
        let site: BTreeSet<&str> =
            files.iter().filter(|file| file.scheme == Scheme::Site).map(|file| file.path.as_str()).collect();
        let mut sources = Vec::new();
        let mut compiled = Vec::new();
        for source in &site {
            let Some(path) = compiled_path(source, self.interpreter) else { continue };
            if !site.contains(path.as_str()) {
                sources.push(*source);
                compiled.push(path);
            }
        }
        let base = self.directory.join(Scheme::Site.directory());
        byte_compile(&base, &sources, self.interpreter, helpers).map_err(|source| {
            WheelStoreError::ByteCompile { wheel: self.archive.file_name.to_string(), source }
        })?;
        let mut made = Vec::new();
        for path in compiled {
            match File::open(base.join(&path)) {
                Ok(file) => finish(&file, false)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            }
            made.push(path);
        }
        Ok(made)
    }
}

fn create(path: &Path, executable: bool) -> io::Result<File> {
    let mode = if executable { 0o555 } else { 0o444 };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Makes a file read-only, whatever the umask, and its time independent of ours.
fn finish(file: &File, executable: bool) -> io::Result<()> {
    let mode = if executable { 0o555 } else { 0o444 };
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.file().set_modified(SystemTime::UNIX_EPOCH + MODIFIED)
}

fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}
