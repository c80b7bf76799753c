//! Backends that leave more than anybody can look at.

use super::scene::*;

/// What writes a hole instead of a wheel, and says that it is one.
const HOLE: &str = "
open(os.path.join(wheel_directory, 'demo-1.0-py3-none-any.whl'), 'wb').truncate(8 << 40)
return 'demo-1.0-py3-none-any.whl'";

#[test]
fn a_hole_instead_of_a_wheel_is_refused_at_once() {
    for sandbox in ["auto", "off"] {
        let failure = Bench::with_body(HOLE.trim()).failure(19, &["--sandbox", sandbox]);
        assert!(failure["message"].as_str().unwrap().contains("refused for its size"), "{failure}");
    }
}

/// Only its end matters to anybody, and a disk is soon full.
#[test]
fn a_log_without_end_does_not_fill_the_disk() {
    let body = "for i in range(1500): print('x' * 65535, flush=True)\nraise ValueError('the last words')";
    let bench = Bench::with_body(body);
    let output =
        bench.build(&["--keep-work", "--work-dir", bench.directory.path().to_str().unwrap(), "--quiet"]);
    assert!(!output.status.success());
    assert!(json(&output)["failed"]["message"].as_str().unwrap().contains("the last words"), "{output:?}");
    let homes = fs_err::read_dir(bench.directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let logs: Vec<_> = homes.map(|home| home.join("log")).filter(|log| log.is_file()).collect();
    let [log] = &logs[..] else { panic!("{logs:?}") };
    assert!(fs_err::metadata(log).unwrap().len() <= 64 << 20);
}
