//! What running actions write, while they run.

use crosswheel::execute::OutputStream;
use tonic::{Code, Status, Streaming};

use super::scene::{Scene, Stage, ask, code, end, metadata, reach};
use crosswheel::reapi::bytestream::ReadResponse;

use crate::support::waiting::{messages, within};

async fn next(stream: &mut Streaming<ReadResponse>) -> Result<Option<ReadResponse>, Status> {
    within("more of the log, or its end", stream.message()).await
}

async fn all(stream: Streaming<ReadResponse>) -> Vec<u8> {
    let pieces = messages("the end of the log", stream).await.unwrap();
    pieces.into_iter().flat_map(|piece| piece.data).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn output_can_be_read_while_the_action_runs_and_ends_with_it() {
    let mut scene = Scene::new().await;
    let mut updates = scene.execute(ask(scene.action(&["wait", "x"])).instance("main")).await.unwrap();
    let operation = metadata(&reach(&mut updates, Stage::Executing).await);
    assert!(operation.stdout_stream_name.starts_with("main/logstreams/"), "{operation:?}");
    let run = scene.next_run().await;
    run.write(OutputStream::Stdout, "one ");
    run.write(OutputStream::Stderr, "error");
    let mut reader = scene.read(&operation.stdout_stream_name, 0).await.unwrap();
    assert_eq!(next(&mut reader).await.unwrap().unwrap().data, b"one ");
    run.write(OutputStream::Stdout, "two");
    assert_eq!(next(&mut reader).await.unwrap().unwrap().data, b"two");
    run.exit(0);
    assert!(next(&mut reader).await.unwrap().is_none());
    assert_eq!(code(&end(updates).await), Code::Ok);
    // For those who come late it is there for a while.
    assert_eq!(all(scene.read(&operation.stderr_stream_name, 0).await.unwrap()).await, b"error");
    assert_eq!(all(scene.read(&operation.stdout_stream_name, 4).await.unwrap()).await, b"two");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_said() {
    let mut scene = Scene::new().await;
    let mut updates = scene.execute(ask(scene.action(&["wait", "x"]))).await.unwrap();
    let name = metadata(&reach(&mut updates, Stage::Executing).await).stdout_stream_name;
    scene.next_run().await.exit(0);
    end(updates).await;
    let mut past_the_end = scene.read(&name, 9).await.unwrap();
    assert_eq!(next(&mut past_the_end).await.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(scene.read(&name, -1).await.err().unwrap().code(), Code::OutOfRange);
    let unknown = "logstreams/00000000000000000000000000000000.stdout";
    assert_eq!(scene.read(unknown, 0).await.err().unwrap().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_what_is_killed_comes_to_an_end() {
    let mut scene = Scene::new().await;
    let mut updates = scene.execute(ask(scene.action(&["wait", "x"]))).await.unwrap();
    let operation = reach(&mut updates, Stage::Executing).await;
    let run = scene.next_run().await;
    run.write(OutputStream::Stdout, "last words");
    let reader = scene.read(&metadata(&operation).stdout_stream_name, 0).await.unwrap();
    let name = operation.name;
    scene.operations().cancel_operation(super::operations::cancelling(name)).await.unwrap();
    assert_eq!(all(reader).await, b"last words");
}
