//! GetTree.

use crosswheel::cas::MAX_DIRECTORY_BYTES;
use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::reapi::{Directory, DirectoryNode, FileNode, GetTreeRequest, GetTreeResponse};
use prost::Message;
use tonic::{Code, Status};

use super::endpoint::Endpoint;
use crate::support::waiting::messages;

/// A directory with a file that makes it unlike others, and subdirectories.
fn directory(name: &str, children: &[Digest]) -> Directory {
    Directory {
        files: vec![FileNode {
            name: name.to_owned(),
            digest: Some(Default::default()),
            ..Default::default()
        }],
        directories: children
            .iter()
            .enumerate()
            .map(|(index, child)| DirectoryNode { name: index.to_string(), digest: Some(child.to_message()) })
            .collect(),
        ..Default::default()
    }
}

fn put(endpoint: &Endpoint, directory: &Directory) -> Digest {
    endpoint.put(&directory.encode_to_vec())
}

async fn pages(
    endpoint: &Endpoint,
    root: &Digest,
    page_size: i32,
    page_token: &str,
) -> Result<Vec<GetTreeResponse>, Status> {
    let request = GetTreeRequest {
        root_digest: Some(root.to_message()),
        page_size,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    messages("the end of the tree", endpoint.cas().get_tree(request).await?.into_inner()).await
}

fn names(pages: &[GetTreeResponse]) -> Vec<String> {
    pages.iter().flat_map(|page| &page.directories).map(|directory| directory.files[0].name.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hold_what_was_asked_for_and_every_token_leads_to_the_rest() {
    let endpoint = Endpoint::start().await;
    let leaves: Vec<Digest> =
        (0..20).map(|index| put(&endpoint, &directory(&format!("leaf {index}"), &[]))).collect();
    let middle = put(&endpoint, &directory("middle", &leaves));
    let root = put(&endpoint, &directory("root", &[middle]));
    let all = pages(&endpoint, &root, 0, "").await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].next_page_token, "");
    let all = names(&all);
    assert_eq!((all.len(), all[0].as_str()), (22, "root"));

    let paged = pages(&endpoint, &root, 5, "").await.unwrap();
    assert_eq!(paged.iter().map(|page| page.directories.len()).collect::<Vec<_>>(), [5, 5, 5, 5, 2]);
    assert_eq!(names(&paged), all);
    for (index, page) in paged.iter().enumerate() {
        if index + 1 == paged.len() {
            assert_eq!(page.next_page_token, "");
        } else {
            let rest = pages(&endpoint, &root, 3, &page.next_page_token).await.unwrap();
            assert_eq!(names(&rest), all[5 * (index + 1)..]);
        }
    }
}

/// 2⁶⁰ paths in 61 directories; NativeLink loops on less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directories_that_are_shared_come_once() {
    let endpoint = Endpoint::start().await;
    let mut digest = put(&endpoint, &directory("0", &[]));
    for level in 1..=60 {
        digest = put(&endpoint, &directory(&level.to_string(), &[digest, digest]));
    }
    let paged = pages(&endpoint, &digest, 7, "").await.unwrap();
    let expected: Vec<String> = (0..=60).rev().map(|level| level.to_string()).collect();
    assert_eq!(names(&paged), expected);
    let mut token = paged[0].next_page_token.clone();
    let mut calls = 0;
    while !token.is_empty() && calls < 100 {
        token = pages(&endpoint, &digest, 7, &token).await.unwrap()[0].next_page_token.clone();
        calls += 1;
    }
    assert_eq!(calls, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_root_is_not_found_and_other_missing_directories_are_omitted() {
    let endpoint = Endpoint::start().await;
    let absent = DigestFunction::Sha256.digest(b"absent");
    assert_eq!(pages(&endpoint, &absent, 0, "").await.unwrap_err().code(), Code::NotFound);
    let leaf = put(&endpoint, &directory("leaf", &[]));
    let root = put(&endpoint, &directory("root", &[absent, leaf]));
    assert_eq!(names(&pages(&endpoint, &root, 0, "").await.unwrap()), ["root", "leaf"]);
    assert_eq!(names(&pages(&endpoint, &root, 1, "").await.unwrap()), ["root", "leaf"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_directory_and_what_is_no_token_is_refused() {
    let endpoint = Endpoint::start().await;
    let text = endpoint.put(b"\xffthis is no directory");
    let root = put(&endpoint, &directory("root", &[text]));
    for digest in [text, root] {
        let refusal = pages(&endpoint, &digest, 0, "").await.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert!(refusal.message().contains(&text.to_string()), "{refusal}");
    }
    let mut broken = directory("broken", &[text, text]);
    broken.directories[1].digest = None;
    let broken = put(&endpoint, &broken);
    let refusal = pages(&endpoint, &broken, 0, "").await.unwrap_err();
    assert!(refusal.message().contains("directories[1].digest"), "{refusal}");

    let leaf = put(&endpoint, &directory("leaf", &[]));
    let root = put(&endpoint, &directory("root", &[leaf]));
    let token = pages(&endpoint, &root, 1, "").await.unwrap()[0].next_page_token.clone();
    for (root, token) in [(&root, "nonsense"), (&root, "1-0000000000000000"), (&leaf, &token)] {
        let refusal = pages(&endpoint, root, 1, token).await.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert!(refusal.message().contains("page_token"), "{refusal}");
    }
    assert_eq!(pages(&endpoint, &root, -1, "").await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_claims_to_be_huge_is_refused_by_name() {
    let endpoint = Endpoint::start().await;
    let huge = Digest { size_bytes: MAX_DIRECTORY_BYTES + 1, ..DigestFunction::Sha256.digest(b"huge") };
    let root = put(&endpoint, &directory("root", &[huge]));
    for digest in [huge, root] {
        let refused = pages(&endpoint, &digest, 0, "").await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(&huge.to_string()), "{refused}");
    }
}
