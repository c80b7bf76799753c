//! Wheels that cannot be installed, or not beside each other.

use super::scene::{Scene, module};
use crate::support::waiting::InTime;
use crate::wheel::scene::json;
use crate::wheels::builder::WheelBuilder;

#[test]
fn two_wheels_with_one_file_are_a_problem_if_its_content_differs() {
    let wheel = |name: &str, text: &str| {
        WheelBuilder::new(&format!("{name}-1.0-py3-none-any.whl"))
            .file(&format!("{name}.py"), "")
            .file("shared/__init__.py", "")
            .file("shared/text.py", text)
            .info("entry_points.txt", &format!("[console_scripts]\nsame = {text}:main\n"))
    };
    Scene::of(&[wheel("a", "x"), wheel("b", "x")]).with(&["--import", "a"]).good();
    let scene = Scene::of(&[wheel("a", "x"), wheel("b", "longer")]).with(&["--import", "a"]);
    let [package, kind, message] = scene.problem();
    assert_eq!([&*package, &*kind], ["b", "install"]);
    assert!(
        message.starts_with("installs `bin/same` and one more, and so does `a-1.0-py3-none-any.whl`"),
        "{message}"
    );
    let evidence = scene.report().1["problems"][0]["evidence"].to_string();
    assert!(evidence.contains("site-packages/shared/text.py"), "{evidence}");
}

#[test]
fn a_file_where_another_wheel_has_a_directory_is_a_problem_and_no_end() {
    let scene = Scene::of(&[
        WheelBuilder::new("a-1.0-py3-none-any.whl").file("a.py", "").file("place", "a file"),
        WheelBuilder::new("b-1.0-py3-none-any.whl").file("b.py", "").file("place/deep/er.txt", ""),
    ]);
    let (_, report) = scene.report();
    assert_eq!(report["problems"][0]["package"], "b");
    assert_eq!(report["imported"], serde_json::json!(["a", "b"]));
}

#[test]
fn two_versions_of_a_project_and_a_broken_wheel_do_not_hide_what_else_is_wrong() {
    let broken = module("broken", "1.0", "").record(|record| record.replace("sha256=", "sha256=A"));
    let scene =
        Scene::of(&[module("a", "1.0", ""), module("a", "2.0", ""), broken, module("z", "1", "import no")]);
    let problems = scene.problems();
    let kinds: Vec<_> = problems.iter().map(|[package, kind, _]| (&**package, &**kind)).collect();
    assert_eq!(kinds, [("a", "install"), ("broken", "install"), ("z", "import")]);
    assert!(
        problems[0][2].contains("`a-2.0-py3-none-any.whl` cannot be installed beside `a-1.0"),
        "{problems:?}"
    );
}

#[test]
fn from_a_directory_what_fits_best_is_taken() {
    let scene = Scene::of(&[
        module("a", "1.0", "raise AssertionError('it is old')"),
        module("a", "2.0", ""),
        WheelBuilder::new("b-1.0-cp39-cp39-win_amd64.whl").file("b.py", ""),
    ]);
    let output = scene.command().arg("--json").arg(scene.path("wheels")).output_in_time();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(json(&output)["checked"]["installed"], 1);
}

#[test]
fn what_is_not_the_wheels_fault_is_an_error_that_says_so() {
    let scene = Scene::of(&[module("a", "1.0", "")]);
    let wheel = scene.files().remove(0);
    let digest = format!("{}#sha256={}", wheel.display(), "0".repeat(64));
    let (there, nowhere) = (wheel.to_str().unwrap(), scene.path("nowhere"));
    fs_err::create_dir(scene.path("empty")).unwrap();
    let empty = scene.path("empty");
    let other = match cfg!(target_arch = "x86_64") {
        true => "linux_arm64",
        false => "linux_amd64",
    };
    for (arguments, expected) in [
        (&[nowhere.to_str().unwrap()][..], "no such file or directory"),
        (&["Cargo.toml"], "neither a directory nor a wheel"),
        (&[empty.to_str().unwrap()], "no wheel that was given fits this Python"),
        (&[&digest], "was asked for"),
        (&[there, "--python", "/no/such/python"], "/no/such/python"),
        (&[there, "--target", other], "is a Python of"),
        (&[there, "--pip", there], "it is no wheel of pip"),
    ] {
        let output = scene.command().arg("--json").args(arguments).output_in_time();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let message = json(&output)["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(expected), "{message}");
    }
}
