//! Files that say they were used in a time to come.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::scene::{Scene, place};
use crate::support::client::end;

const SMALL_STORE: [&str; 6] = ["--max-bytes", "20MiB", "--min-free-bytes", "0", "--keep-after-use", "0s"];

fn in_2100() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800)
}

#[tokio::test]
async fn an_output_dated_into_the_future_is_evicted_in_its_turn_after_a_restart() {
    let scene = Scene::start(&SMALL_STORE).await;
    let script = "head -c 3000000 /dev/zero > output && touch -d 2100-01-01 output";
    let action = scene.client.action(script, &[]).await;
    let response = end(scene.client.start(&action).await.unwrap()).await;
    let result = response.result.unwrap();
    assert_eq!(result.exit_code, 0, "{}", response.message);
    let output = result.output_files[0].digest.clone().unwrap();
    let modified = fs_err::metadata(scene.place(&output)).unwrap().modified().unwrap();
    assert!(modified < in_2100() - Duration::from_secs(24 * 3600), "times in the store are its own");
    let scene = scene.restarted(|_| {}).await;
    scene.settle().await;
    scene.fill(12).await;
    assert_eq!(scene.missing(std::slice::from_ref(&output)).await, [output]);
}

#[tokio::test]
async fn blobs_that_somebody_has_dated_into_the_future_do_not_fill_the_store_for_ever() {
    let scene = Scene::start(&SMALL_STORE).await;
    let immortal = scene.fill(6).await;
    let date = |store: &Path| {
        for digest in &immortal {
            let times = std::fs::FileTimes::new().set_modified(in_2100()).set_accessed(in_2100());
            fs_err::File::open(place(store, digest)).unwrap().file().set_times(times).unwrap();
        }
    };
    let scene = scene.restarted(date).await;
    scene.settle().await;
    // More than may be taken in all, all of it newer.
    for number in 0..12 {
        scene.client.put(vec![100 + number; 3_000_000]).await;
    }
    assert_eq!(scene.missing(&immortal).await.len(), immortal.len());
}
