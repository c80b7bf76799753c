//! Actions that close what they leave to everybody. As root, who may enter all, there is nothing to see here: then they
//! are run as nobody (`places`).

use crosswheel::execute::ExecuteError;

use super::scene::{Root, Scene, sh};
use crate::support::waiting::wait_until;

/// `chmod 0`, with an output in it.
const CLOSED: [(&str, &str); 5] = [
    ("echo x > out; chmod 0 .", "out"),
    ("mkdir d; echo x > d/out; chmod 0 d", "d/out"),
    ("mkdir -p d/e; echo x > d/e/out; chmod 0 d", "d"),
    ("mkdir -p d/e; echo x > d/e/out; chmod 0 d/e d", "d"),
    ("mkdir -p d/e; echo x > d/e/out; chmod 0 d/e; chmod 0 .", "d"),
];

#[test]
fn who_closes_its_outputs_is_told_so_and_it_is_its_own_fault() {
    for scene in [Scene::new(), Scene::plain()] {
        for root in [Root::default(), Root::default().large()] {
            for (script, output) in CLOSED {
                let work = scene.work(scene.upload(&root), sh(&format!("rm -rf d; {script}"), &[output]));
                match scene.execute(&work) {
                    Err(ExecuteError::Refused(problem)) => {
                        assert!(problem.contains("nobody may"), "{script}: {problem}");
                        assert!(!problem.contains(scene.path().to_str().unwrap()), "{problem}");
                    }
                    // Nothing is closed to root.
                    Ok(executed) if rustix::process::geteuid().is_root() => {
                        assert_eq!(executed.result.exit_code, 0, "{script}");
                    }
                    other => panic!("{script}: {other:?}"),
                }
            }
            // Of a command that has failed, the failure matters more.
            let executed = scene.run(&root, sh("echo x > out; chmod 0 .; exit 3", &["out"]));
            assert_eq!(executed.result.exit_code, 3, "{}", executed.message);
            wait_until("what is left to be removed", || scene.scratch() == 0);
        }
    }
}
