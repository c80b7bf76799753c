//! Outputs in the terms of the API. Knows nothing of files.

use std::collections::HashSet;

use bytes::Bytes;
use prost::encoding::encode_varint;

use super::found::{FoundDirectory, FoundOutput, LinkTarget, OutputNode};
use crate::cas::BlobStore;
use crate::digest::{Digest, DigestFunction};
use crate::execute::command::{Command, Output};
use crate::execute::error::ExecuteError;
use crate::execute::kept::Kept;
use crate::reapi::command::OutputDirectoryFormat;
use crate::reapi::{
    ActionResult, Directory, DirectoryNode, FileNode, OutputDirectory, OutputFile, OutputSymlink, SymlinkNode,
};

/// Fills in the output fields of `result`; `digests` are those of the files by number.
pub(super) fn describe(
    command: &Command,
    found: &[(&Output, FoundOutput)],
    digests: &[Digest],
    kept: &Kept,
    function: DigestFunction,
    result: &mut ActionResult,
) -> Result<(), ExecuteError> {
    let mut blobs = Vec::new();
    for (output, node) in found {
        let path = output.name.clone();
        match node {
            OutputNode::File { file, executable, properties } => result.output_files.push(OutputFile {
                path,
                digest: Some(digests[*file].to_message()),
                is_executable: *executable,
                contents: Vec::new(),
                node_properties: properties.clone(),
            }),
            OutputNode::Symlink { target, leads_to, properties } => {
                let link =
                    OutputSymlink { path, target: target.clone(), node_properties: properties.clone() };
                put_symlink(command.legacy_outputs, *leads_to, link, result);
            }
            OutputNode::Directory(directories) => {
                let tree = Tree::new(directories, digests, function);
                let format = command.directory_format;
                result.output_directories.push(tree.output(path, format, function, &mut blobs));
            }
        }
    }
    for (written, (digest, _)) in kept.store().write_many(&blobs).into_iter().zip(&blobs) {
        written?;
        kept.keep(digest)?;
    }
    Ok(())
}

/// The field is "only populated if the command `output_paths` field was used", and the older ones are for clients
/// that know no other.
#[allow(deprecated)]
fn put_symlink(legacy: bool, leads_to: LinkTarget, link: OutputSymlink, result: &mut ActionResult) {
    match leads_to {
        _ if !legacy => result.output_symlinks.push(link),
        LinkTarget::Directory => result.output_directory_symlinks.push(link),
        LinkTarget::Other => result.output_file_symlinks.push(link),
    }
}

/// An output directory as messages.
struct Tree {
    root: Digest,
    /// Encoded, each once, every directory after all that are in it.
    directories: Vec<(Digest, Bytes)>,
}

impl Tree {
    /// Of the first of `directories`, in which all that are in it stand after it.
    fn new(directories: &[FoundDirectory], digests: &[Digest], function: DigestFunction) -> Self {
        let mut tree = Self { root: Digest::empty(function), directories: Vec::new() };
        let mut known = HashSet::new();
        let mut of_directories = vec![tree.root; directories.len()];
        for (number, directory) in directories.iter().enumerate().rev() {
            let (digest, bytes) = function.digest_message(&message_of(directory, digests, &of_directories));
            of_directories[number] = digest;
            if known.insert(digest) {
                tree.directories.push((digest, bytes.into()));
            }
            tree.root = digest;
        }
        tree
    }

    /// The message for the result; puts into `blobs` what has to be in the store for it.
    fn output(
        self,
        path: String,
        format: OutputDirectoryFormat,
        function: DigestFunction,
        blobs: &mut Vec<(Digest, Bytes)>,
    ) -> OutputDirectory {
        let mut output = OutputDirectory {
            path,
            tree_digest: None,
            is_topologically_sorted: false,
            root_directory_digest: None,
        };
        if format != OutputDirectoryFormat::DirectoryOnly {
            let bytes = self.encode();
            let digest = function.digest(&bytes);
            blobs.push((digest, bytes.into()));
            output.tree_digest = Some(digest.to_message());
            output.is_topologically_sorted = true;
        }
        // Only together with the directories: whoever is given this digest may ask for what it names.
        if format != OutputDirectoryFormat::TreeOnly {
            output.root_directory_digest = Some(self.root.to_message());
            blobs.extend(self.directories);
        }
        output
    }

    /// A `Tree` as `OutputDirectory.is_topologically_sorted` wants it: the root, then every directory after all
    /// that it is in.
    fn encode(&self) -> Vec<u8> {
        const ROOT: u8 = (1 << 3) | 2;
        const CHILD: u8 = (2 << 3) | 2;
        let mut bytes = Vec::new();
        for (index, (_, directory)) in self.directories.iter().rev().enumerate() {
            bytes.push(if index == 0 { ROOT } else { CHILD });
            encode_varint(directory.len() as u64, &mut bytes);
            bytes.extend_from_slice(directory);
        }
        bytes
    }
}

/// `of_directories` has the digests of those that are in it.
fn message_of(found: &FoundDirectory, digests: &[Digest], of_directories: &[Digest]) -> Directory {
    let mut message = Directory { node_properties: found.properties.clone(), ..Default::default() };
    for (name, node) in &found.entries {
        let name = name.clone();
        match node {
            OutputNode::File { file, executable, properties } => message.files.push(FileNode {
                name,
                digest: Some(digests[*file].to_message()),
                is_executable: *executable,
                node_properties: properties.clone(),
            }),
            OutputNode::Symlink { target, properties, .. } => message.symlinks.push(SymlinkNode {
                name,
                target: target.clone(),
                node_properties: properties.clone(),
            }),
            OutputNode::Directory(directory) => {
                let digest = Some(of_directories[*directory].to_message());
                message.directories.push(DirectoryNode { name, digest });
            }
        }
    }
    message
}
