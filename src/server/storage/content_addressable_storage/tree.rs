//! `GetTree`: every directory below a root, in pages.
//!
//! Breadth first, and each directory once however often it is referred to, so that a walk ends after as many steps as
//! there are directories: directories that share their children could otherwise make 2⁶⁰ of sixty. (A cycle cannot
//! be: a directory would have to contain its own digest.) A page token says which root it belongs to and how many
//! directories to skip.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tonic::Status;

use super::service::ContentAddressableStorageService;
use crate::cas::{BlobStore, StoreError};
use crate::digest::{Digest, DigestFunction};
use crate::reapi::GetTreeRequest;
use crate::server::transport::wire;
use crate::server::transport::wire::{Fields, Malformed, WireDigest};
use crate::status;

/// Most directories on one page, and about how many bytes: a page has to fit into what clients accept.
const PAGE_DIRECTORIES: usize = 4096;
const PAGE_BYTES: usize = 1 << 20;

impl ContentAddressableStorageService {
    pub(crate) async fn get_tree(
        self,
        request: Bytes,
    ) -> Result<BoxStream<'static, Result<Bytes, Status>>, Status> {
        let request: GetTreeRequest = wire::decode("GetTreeRequest", request)?;
        let function = super::service::function(request.digest_function)?;
        let root = Digest::from_field(function, request.root_digest.as_ref())
            .map_err(|problem| status::invalid_digest("root_digest", &problem))?;
        let page_size = match usize::try_from(request.page_size) {
            Ok(0) => PAGE_DIRECTORIES,
            Ok(size) => size.min(PAGE_DIRECTORIES),
            Err(_) => return Err(status::invalid("page_size", "is negative")),
        };
        let skip = if request.page_token.is_empty() { 0 } else { position(&root, &request.page_token)? };

        let mut walk = Walk::new(self.store, root);
        let (walk, first) = wire::blocking(move || {
            walk.skip(skip)?;
            let first = walk.page(page_size)?;
            Ok((walk, first))
        })
        .await?;
        Ok(stream::unfold(Some((walk, Some(first))), move |state| async move {
            let (walk, ready) = state?;
            let page = match ready {
                Some(page) => Ok((walk, page)),
                None => {
                    let mut walk = walk;
                    wire::blocking(move || walk.page(page_size).map(|page| (walk, page))).await
                }
            };
            match page {
                Ok((walk, page)) => {
                    let rest = (!walk.is_done()).then_some((walk, None));
                    Some((Ok(page), rest))
                }
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed())
    }
}

/// A walk through a tree.
struct Walk {
    store: Arc<dyn BlobStore>,
    root: Digest,
    seen: HashSet<Digest>,
    pending: VecDeque<Digest>,
    /// Directories met so far, those that are missing included.
    position: u64,
}

impl Walk {
    fn new(store: Arc<dyn BlobStore>, root: Digest) -> Self {
        Self { store, root, seen: HashSet::from([root]), pending: VecDeque::from([root]), position: 0 }
    }

    fn is_done(&self) -> bool {
        self.pending.is_empty()
    }

    fn skip(&mut self, count: u64) -> Result<(), Status> {
        while self.position < count && !self.is_done() {
            self.next()?;
        }
        Ok(())
    }

    /// The next `GetTreeResponse`.
    fn page(&mut self, size: usize) -> Result<Bytes, Status> {
        let mut response = Vec::new();
        let mut count = 0;
        while count < size && response.len() < PAGE_BYTES && !self.is_done() {
            if let Some(directory) = self.next()? {
                wire::put_bytes(&mut response, 1, &directory);
                count += 1;
            }
        }
        if !self.is_done() {
            wire::put_bytes(&mut response, 2, token(&self.root, self.position).as_bytes());
        }
        Ok(response.into())
    }

    /// The next directory; `None` if it is missing. The root has to be there; what else is missing is omitted, as
    /// the API wants it.
    fn next(&mut self) -> Result<Option<Bytes>, Status> {
        let Some(digest) = self.pending.pop_front() else { return Ok(None) };
        self.position += 1;
        let directory = match self.store.read_directory(&digest) {
            Ok(directory) => directory,
            Err(StoreError::NotFound(_)) if digest != self.root => return Ok(None),
            Err(StoreError::TooLarge { limit, .. }) => {
                let problem = format!("is too large: at most {limit} bytes are read");
                return Err(status::invalid(format!("directory {digest}"), problem));
            }
            Err(error) => return Err(error.into()),
        };
        for child in children(digest.function, &directory)
            .map_err(|(field, problem)| status::invalid(format!("directory {digest}{field}"), problem))?
        {
            if self.seen.insert(child) {
                self.pending.push_back(child);
            }
        }
        Ok(Some(directory))
    }
}

/// The digests of the `directories` of an encoded `Directory`; or a field of it, and what is wrong there.
fn children(function: DigestFunction, directory: &[u8]) -> Result<Vec<Digest>, (String, String)> {
    let malformed = |problem: Malformed| (String::new(), problem.to_string());
    let mut children = Vec::new();
    for field in Fields::of(directory) {
        let (2, node) = field.map_err(malformed)? else { continue };
        let name = || format!(".directories[{}].digest", children.len());
        let mut digest = WireDigest::default();
        for field in Fields::of(node.bytes().map_err(malformed)?) {
            if let (2, value) = field.map_err(malformed)? {
                digest = value
                    .bytes()
                    .and_then(WireDigest::read)
                    .map_err(|problem| (name(), problem.to_string()))?;
            }
        }
        children.push(digest.resolve(function).map_err(|problem| (name(), problem.to_string()))?);
    }
    Ok(children)
}

fn token(root: &Digest, position: u64) -> String {
    let check = root.function.digest(format!("{root}@{position}").as_bytes());
    format!("{position}-{}", &check.hex()[..16])
}

fn position(root: &Digest, page_token: &str) -> Result<u64, Status> {
    let position = page_token.split('-').next().and_then(|number| number.parse().ok());
    position.filter(|position| token(root, *position) == page_token).ok_or_else(|| {
        status::invalid("page_token", "is not from a response to a request with this root_digest")
    })
}
