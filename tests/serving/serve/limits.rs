//! Limits of pools, and what clients are told who exceed them.

use crosswheel::reapi::action_cache_client::ActionCacheClient;
use crosswheel::reapi::rpc::Status;
use crosswheel::reapi::{ExecuteResponse, GetActionResultRequest};
use prost::Message;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::client::{Client, end};
use crate::support::server::Server;

/// The status of an action that took too much: by name, with nothing that says to try again.
fn exceeded(response: &ExecuteResponse) -> tonic::Status {
    let status: &Status = response.status.as_ref().unwrap();
    let code = Code::from(status.code);
    assert_eq!(code, Code::ResourceExhausted, "{status:?}");
    tonic::Status::with_details(code, status.message.clone(), status.encode_to_vec().into())
}

#[tokio::test]
async fn who_exceeds_a_limit_is_told_which_and_whose_and_nobody_gets_the_result() {
    let directory = tempfile::tempdir().unwrap();
    let pool = "native,slots=1,log=64KiB,output=1MiB,scratch=1GiB,collect-timeout=5m";
    let server = Server::start(directory.path(), &["--pool", pool]);
    let client = Client::of(&server).await;
    for (script, asked, limit, words) in [
        ("truncate -s 8T output", &[][..], "output", "its limit is 1MiB (`output` of the pool)"),
        ("yes", &[], "log", "its limit is 64KiB (`log` of the pool)"),
        (
            "truncate -s 2K output",
            &[("output", "1KiB")],
            "output",
            "its limit is 1KiB (`output` of the action's platform)",
        ),
        (
            "while :; do head -c 1000000 /dev/zero >> output; sleep 0.01; done",
            &[("Scratch", "4MiB"), ("OSFamily", "linux")],
            "scratch",
            "its limit is 4MiB (`scratch` of the action's platform)",
        ),
    ] {
        let action = client.action(script, asked).await;
        let response = end(client.start(&action).await.unwrap()).await;
        let status = exceeded(&response);
        assert!(status.message().contains(words), "{status}");
        assert!(!status.message().contains(directory.path().to_str().unwrap()), "{status}");
        let quota = status.get_details_quota_failure().unwrap();
        assert_eq!(quota.violations[0].subject, limit);
        assert!(status.get_details_retry_info().is_none());
        assert!(response.message.contains(words), "{}", response.message);
        let result = response.result.unwrap();
        if limit == "log" {
            assert_eq!(result.stdout_digest.unwrap().size_bytes, 64 << 10);
        }
        let request = GetActionResultRequest { action_digest: Some(action), ..Default::default() };
        let cached = ActionCacheClient::new(client.channel.clone()).get_action_result(request).await;
        assert_eq!(cached.unwrap_err().code(), Code::NotFound);
    }
    // A limit that is none is the client's mistake.
    let action = client.action("true", &[("log", "much")]).await;
    let response = end(client.start(&action).await.unwrap()).await;
    assert_eq!(Code::from(response.status.unwrap().code), Code::InvalidArgument);
}
