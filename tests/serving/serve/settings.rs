//! Settings as an operator meets them.

use crate::support::server::serve_command;
use crate::support::waiting::InTime;

/// Standard output of a run that must succeed.
fn output(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = serve_command(arguments).envs(environment.iter().copied()).output_in_time();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_print_config_prints_can_be_fed_back() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--print-config", "--max-bytes", "3GiB", "--pool", "a,slots=7,python=3.11"];
    let printed = output(&arguments, &[("CROSSWHEEL_LISTEN", "[::1]:4"), ("HOME", "/home/somebody")]);
    for line in [
        "max-bytes = \"3GiB\"  # --max-bytes",
        "listen = [\"[::1]:4\"]  # CROSSWHEEL_LISTEN in the environment",
        "store = \"/home/somebody/.cache/crosswheel/store\"",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "no {line} in:\n{printed}");
    }
    let file = directory.path().join("config.toml");
    fs_err::write(&file, &printed).unwrap();
    let again = output(&["--print-config", "--config", file.to_str().unwrap()], &[]);
    let values = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(values(&again), values(&printed));
}

#[test]
fn settings_that_make_no_sense_are_refused_with_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    fs_err::write(&file, "high-watermark = 90").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, problem) in [
        (vec!["--max-bytes", "lots"], "--max-bytes: `lots` is no size".to_owned()),
        (
            vec!["--config", file],
            format!("{file}: there is no setting `high-watermark`; did you mean `high-water-mark`?"),
        ),
        (vec!["--config", "/no/such/file"], "cannot read the settings: ".to_owned()),
        (vec!["--pool", "a,slots=none"], "--pool: slots: `none` is no number above 0".to_owned()),
    ] {
        let output = serve_command(&arguments).output_in_time();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(&problem), "{error}");
    }
}

#[test]
fn with_json_errors_are_json_too() {
    let output = serve_command(&["--json", "--sandbox", "maybe"]).output_in_time();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["error"]["kind"], "usage");
    assert!(document["error"]["message"].as_str().unwrap().starts_with("--sandbox: "));
}

#[test]
fn the_help_names_every_setting_with_its_variable() {
    let help = output(&["--help"], &[]).split_whitespace().collect::<Vec<_>>().join(" ");
    for entry in crosswheel::server::settings::ENTRIES {
        let value = if entry.is_switch() { "[<on|off>]" } else { &format!("<{}>", entry.value) };
        assert!(help.contains(&format!("--{} {value}", entry.name)), "{}", entry.name);
        assert!(help.contains(&format!("[env: {}]", entry.variable())), "{}", entry.name);
    }
}
