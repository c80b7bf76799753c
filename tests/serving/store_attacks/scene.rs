//! A server on a small store, and what the attacks have in common.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crosswheel::digest::DigestFunction;
use crosswheel::reapi::bytestream::byte_stream_client::ByteStreamClient;
use crosswheel::reapi::bytestream::{QueryWriteStatusRequest, ReadRequest, WriteRequest};
use crosswheel::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use crosswheel::reapi::{
    BatchReadBlobsRequest, BatchUpdateBlobsRequest, Digest, FindMissingBlobsRequest,
    batch_update_blobs_request,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::client::{Client, end};
use crate::support::server::Server;
use crate::support::waiting::{eventually, messages, pause, within};

/// A server, and a client of it.
pub struct Scene {
    pub directory: tempfile::TempDir,
    pub server: Server,
    pub client: Client,
    arguments: Vec<String>,
}

impl Scene {
    pub async fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(directory.path(), arguments);
        let client = Client::of(&server).await;
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { directory, server, client, arguments }
    }

    /// The next server on the same store, with something done in between.
    pub async fn restarted(self, between: impl FnOnce(&Path)) -> Self {
        let Self { directory, server, arguments, .. } = self;
        server.signal(rustix::process::Signal::TERM);
        assert!(server.exit().success());
        between(&directory.path().join("store"));
        let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let server = Server::start(directory.path(), &given);
        let client = Client::of(&server).await;
        Self { directory, server, client, arguments }
    }

    pub fn channel(&self) -> Channel {
        self.client.channel.clone()
    }

    pub fn place(&self, digest: &Digest) -> PathBuf {
        place(&self.directory.path().join("store"), digest)
    }

    /// Waits until what is uploaded next is younger than all that is there. Times are in seconds.
    pub async fn settle(&self) {
        eventually("the store to be listed", async || {
            let metrics = self.server.get("/metrics").1;
            let blobs = metrics.lines().find_map(|line| line.strip_prefix("crosswheel_store_blobs "));
            blobs.is_some_and(|blobs| blobs.parse::<usize>().is_ok_and(|blobs| blobs >= self.files()))
        })
        .await;
        pause(Duration::from_millis(1100));
    }

    /// Blobs on the disk.
    fn files(&self) -> usize {
        let shards = fs_err::read_dir(self.directory.path().join("store/cas")).unwrap();
        shards.map(|shard| fs_err::read_dir(shard.unwrap().path()).unwrap().count()).sum()
    }

    /// Blobs of three million bytes each.
    pub async fn fill(&self, count: u8) -> Vec<Digest> {
        let mut digests = Vec::new();
        for number in 0..count {
            digests.push(self.client.put(vec![number; 3_000_000]).await);
        }
        digests
    }

    pub async fn missing(&self, digests: &[Digest]) -> Vec<Digest> {
        let request = FindMissingBlobsRequest { blob_digests: digests.to_vec(), ..Default::default() };
        let mut client = ContentAddressableStorageClient::new(self.channel());
        client.find_missing_blobs(request).await.unwrap().into_inner().missing_blob_digests
    }

    /// As [`Client::put`], which may fail.
    pub async fn try_put(&self, data: Vec<u8>) -> Result<Digest, Code> {
        let digest = DigestFunction::Sha256.digest(&data).to_message();
        let request =
            batch_update_blobs_request::Request { digest: Some(digest.clone()), data, ..Default::default() };
        let request = BatchUpdateBlobsRequest { requests: vec![request], ..Default::default() };
        let mut client = ContentAddressableStorageClient::new(self.channel());
        let response = client.batch_update_blobs(request).await.unwrap().into_inner();
        match Code::from(response.responses[0].status.as_ref().map_or(0, |status| status.code)) {
            Code::Ok => Ok(digest),
            code => Err(code),
        }
    }

    /// What a `Read` of that name gives from an offset on.
    pub async fn read(&self, kind: &str, digest: &Digest, read_offset: i64) -> Result<Vec<u8>, Status> {
        let resource_name = format!("{kind}/{}/{}", digest.hash, digest.size_bytes);
        let request = ReadRequest { resource_name, read_offset, ..Default::default() };
        let stream = within("an answer", ByteStreamClient::new(self.channel()).read(request)).await?;
        let pieces = messages("the end of a blob", stream.into_inner()).await?;
        Ok(pieces.into_iter().flat_map(|piece| piece.data).collect())
    }

    /// What `BatchReadBlobs` says of one blob.
    pub async fn batch_read(&self, digest: &Digest) -> Result<Vec<u8>, Code> {
        let request = BatchReadBlobsRequest { digests: vec![digest.clone()], ..Default::default() };
        let mut client = ContentAddressableStorageClient::new(self.channel());
        let mut responses = client.batch_read_blobs(request).await.unwrap().into_inner().responses;
        let response = responses.pop().unwrap();
        match Code::from(response.status.map_or(0, |status| status.code)) {
            Code::Ok => Ok(response.data),
            code => Err(code),
        }
    }

    /// How an action ends that is not run, and all that is said of it.
    pub async fn outcome(&self, action: &Digest) -> (Code, String) {
        match self.client.start(action).await {
            Err(refused) => {
                let details = String::from_utf8_lossy(refused.details()).into_owned();
                (refused.code(), details)
            }
            Ok(updates) => {
                let status = end(updates).await.status.unwrap_or_default();
                let details = status.details.iter().map(|any| String::from_utf8_lossy(&any.value));
                (Code::from(status.code), details.collect())
            }
        }
    }

    /// Whether an upload of a blob that is begun now has nothing left to send.
    pub async fn is_complete(&self, digest: &Digest) -> bool {
        let name = format!("uploads/{}/blobs/{}/{}", uuid::Uuid::new_v4(), digest.hash, digest.size_bytes);
        let request = QueryWriteStatusRequest { resource_name: name };
        let mut client = ByteStreamClient::new(self.channel());
        client.query_write_status(request).await.unwrap().into_inner().complete
    }

    /// Begins an upload, and waits until `committed` bytes of it are written.
    pub async fn begin(&self, kind: &str, claim: &Digest, data: Vec<u8>, committed: i64) -> Unfinished {
        let name = format!("uploads/{}/{kind}/{}/{}", uuid::Uuid::new_v4(), claim.hash, claim.size_bytes);
        let (messages, receiver) = mpsc::channel(1);
        let mut client = ByteStreamClient::new(self.channel());
        let answer = tokio::spawn(async move { client.write(ReceiverStream::new(receiver)).await.map(drop) });
        let unfinished = Unfinished { messages, answer };
        let mut write_offset = 0;
        for data in data.chunks(1 << 20) {
            let message = WriteRequest {
                resource_name: name.clone(),
                write_offset,
                finish_write: false,
                data: data.to_vec(),
            };
            write_offset += data.len() as i64;
            within("room for a message", unfinished.messages.send(message)).await.unwrap();
        }
        eventually("what was sent to be committed", async || {
            let request = QueryWriteStatusRequest { resource_name: name.clone() };
            let mut client = ByteStreamClient::new(self.channel());
            let answer = client.query_write_status(request).await.unwrap().into_inner();
            answer.committed_size >= committed
        })
        .await;
        unfinished
    }
}

/// An upload that is held open.
pub struct Unfinished {
    messages: mpsc::Sender<WriteRequest>,
    answer: tokio::task::JoinHandle<Result<(), Status>>,
}

impl Unfinished {
    /// The client is gone, in the middle.
    pub fn abandon(self) {
        self.answer.abort();
    }

    /// What the server says of itself, without another byte.
    pub async fn refusal(self) -> Status {
        let answer = within("the end of an upload", self.answer).await.unwrap();
        drop(self.messages);
        answer.unwrap_err()
    }
}

/// Where a blob lies in a store.
pub fn place(store: &Path, digest: &Digest) -> PathBuf {
    store.join("cas").join(&digest.hash[..2]).join(&digest.hash)
}

/// The digest of a blob that nobody has, of a size that nobody can check.
pub fn claim(number: u8, size_bytes: i64) -> Digest {
    Digest { size_bytes, ..DigestFunction::Sha256.digest(&[number]).to_message() }
}

/// Flips the lowest bit of one byte of a file, whatever its mode.
pub fn flip(file: &Path, at: usize) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs_err::metadata(file).unwrap().permissions();
    let mut bytes = fs_err::read(file).unwrap();
    bytes[at] ^= 1;
    fs_err::set_permissions(file, PermissionsExt::from_mode(0o644)).unwrap();
    let modified = fs_err::metadata(file).unwrap().modified().unwrap();
    // A disk that forgets tells nobody: neither who watches the directory of the file, nor by its time.
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    fs_err::hard_link(file, &link).unwrap();
    let mut opened = fs_err::OpenOptions::new().write(true).open(&link).unwrap();
    opened.write_all(&bytes).unwrap();
    opened.file().set_modified(modified).unwrap();
    fs_err::set_permissions(file, mode).unwrap();
}
