//! What the load is made of: bytes, actions and input roots.

use std::sync::OnceLock;

use bytes::Bytes;
use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::reapi;
use prost::Message;

pub const FUNCTION: DigestFunction = DigestFunction::Sha256;

/// A blob and its name.
#[derive(Clone)]
pub struct Blob {
    pub digest: Digest,
    pub bytes: Bytes,
}

impl Blob {
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { digest: FUNCTION.digest(&bytes), bytes }
    }

    pub fn of(message: &impl Message) -> Self {
        Self::new(message.encode_to_vec())
    }
}

/// Bytes that compress about as source text does; another `seed` gives others.
pub fn text(length: usize, seed: u64) -> Vec<u8> {
    const WORDS: [&str; 24] = [
        "return ",
        "self.",
        "import ",
        "static ",
        "for (int i = 0; ",
        "}\n",
        "    ",
        "if (",
        ") {\n",
        "const ",
        "struct ",
        "0x",
        "value",
        "digest",
        " = ",
        ";\n",
        "// ",
        "the ",
        "size_t ",
        "-> ",
        "None",
        "\"",
        ", ",
        "path",
    ];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 32);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = WORDS[(state >> 40) as usize % WORDS.len()];
        bytes.extend_from_slice(word.as_bytes());
        if state & 3 == 0 {
            bytes.extend_from_slice(format!("{:x}", state >> 52).as_bytes());
        }
    }
    bytes.truncate(length);
    bytes
}

/// Bytes as large outputs of builds have them: of this very program, with its debug information. Another `seed`
/// gives others.
pub fn compiled_code(length: usize, seed: u64) -> anyhow::Result<Vec<u8>> {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    if PROGRAM.get().is_none() {
        let _ = PROGRAM.set(fs_err::read(std::env::current_exe()?)?);
    }
    let program = PROGRAM.get().expect("it was set above");
    let begin = (seed as usize).wrapping_mul(1_000_003) % program.len();
    let mut bytes: Vec<u8> = program.iter().cycle().skip(begin).take(length).copied().collect();
    // No two blobs may share large parts, as a store could notice.
    for (index, stamped) in bytes.chunks_mut(4096).enumerate() {
        let stamp = (seed ^ index as u64).to_le_bytes();
        stamped[..stamp.len().min(length)].copy_from_slice(&stamp);
    }
    Ok(bytes)
}

/// The command `/bin/true`.
pub fn command() -> Blob {
    Blob::of(&reapi::Command { arguments: vec!["/bin/true".into()], ..Default::default() })
}

/// An action nobody has run before: `salt` makes it one of its own.
pub fn action(command: &Digest, input_root: &Digest, salt: u64) -> Blob {
    let property = reapi::platform::Property { name: "OSFamily".into(), value: "Linux".into() };
    Blob::of(&reapi::Action {
        command_digest: Some(command.to_message()),
        input_root_digest: Some(input_root.to_message()),
        salt: salt.to_le_bytes().to_vec(),
        platform: Some(reapi::Platform { properties: vec![property] }),
        ..Default::default()
    })
}

/// An input root of many small files in many directories.
pub struct InputRoot {
    directories: Vec<reapi::Directory>,
    pub blobs: Vec<Blob>,
    pub digest: Digest,
}

impl InputRoot {
    /// 200 directories with 25 files of about 200 bytes each.
    pub fn large(seed: u64) -> Self {
        let mut blobs = Vec::new();
        let directories = (0..200)
            .map(|directory| {
                let files = (0..25).map(|file| {
                    let blob = Blob::new(format!("{seed} {directory} {file} {}", "x".repeat(180)));
                    let node = file_node(&format!("file_{file:02}.txt"), &blob);
                    blobs.push(blob);
                    node
                });
                reapi::Directory { files: files.collect(), ..Default::default() }
            })
            .collect();
        let mut root = Self { directories, blobs, digest: Digest::empty(FUNCTION) };
        let mut messages: Vec<Blob> = root.directories.iter().map(Blob::of).collect();
        messages.push(root.top());
        root.digest = root.top().digest;
        root.blobs.extend(messages);
        root
    }

    /// Changes one file. Returns the new root's digest and the three blobs it takes.
    pub fn change(&mut self, round: u64) -> (Digest, Vec<Blob>) {
        let index = (round % 200) as usize;
        let file = Blob::new(format!("changed {round} {}", std::process::id()));
        self.directories[index].files[7] = file_node("file_07.txt", &file);
        let (directory, top) = (Blob::of(&self.directories[index]), self.top());
        (top.digest, vec![file, directory, top])
    }

    fn top(&self) -> Blob {
        let nodes = self.directories.iter().enumerate().map(|(index, directory)| reapi::DirectoryNode {
            name: format!("directory_{index:03}"),
            digest: Some(Blob::of(directory).digest.to_message()),
        });
        Blob::of(&reapi::Directory { directories: nodes.collect(), ..Default::default() })
    }
}

fn file_node(name: &str, blob: &Blob) -> reapi::FileNode {
    reapi::FileNode {
        name: name.into(),
        digest: Some(blob.digest.to_message()),
        is_executable: true,
        node_properties: None,
    }
}
