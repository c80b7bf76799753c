use std::collections::HashMap;
use std::ffi::OsString;

use super::super::entries::ENTRIES;
use super::*;

/// Settings from flags, environment and the contents of a file `config.toml` in an empty directory.
fn read(
    flags: &[(&'static str, &str)],
    environment: &[(&str, &str)],
    file: Option<&str>,
) -> Result<Settings, String> {
    let directory = tempfile::tempdir().unwrap();
    let mut layers = Layers::new();
    for (name, value) in flags {
        layers.flag(name, vec![(*value).to_owned()], Path::new("/here"));
    }
    let environment: HashMap<&str, OsString> =
        environment.iter().map(|(name, value)| (*name, (*value).into())).collect();
    layers
        .environment(|name| environment.get(name).cloned(), Path::new("/here"))
        .and_then(|()| match file {
            Some(text) => {
                let path = directory.path().join("config.toml");
                fs_err::write(&path, text).unwrap();
                layers.file(&path)
            }
            None => Ok(()),
        })
        .and_then(|()| Settings::resolve(&layers, Path::new("/default/store")))
        .map_err(|error| error.to_string().replace(directory.path().to_str().unwrap(), "/etc"))
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = Some("max-timeout = \"4h\"");
    let environment = [("CROSSWHEEL_MAX_TIMEOUT", "3h")];
    let hours = |settings: Result<Settings, String>| settings.unwrap().max_timeout.as_secs() / 3600;
    assert_eq!(hours(read(&[("max-timeout", "2h")], &environment, file)), 2);
    assert_eq!(hours(read(&[], &environment, file)), 3);
    assert_eq!(hours(read(&[], &[], file)), 4);
    assert_eq!(hours(read(&[], &[], None)), 24);
    assert_eq!(hours(read(&[], &[("CROSSWHEEL_MAX_TIMEOUT", "")], file)), 4, "empty is not set");
}

#[test]
fn every_setting_can_be_given_in_all_three_places() {
    let values: Vec<_> = ENTRIES.iter().map(|entry| (entry.name, entry.example)).collect();
    let without_origins = |settings: Settings| {
        let text = settings.to_toml();
        text.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let flags = without_origins(read(&values, &[], None).unwrap());
    let variables: Vec<_> = ENTRIES.iter().map(|entry| (entry.variable(), entry.example)).collect();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(without_origins(read(&[], &variables, None).unwrap()), flags);
    let file: String = values.iter().map(|(name, value)| format!("{name} = {value:?}\n")).collect();
    assert_eq!(without_origins(read(&[], &[], Some(&file)).unwrap()), flags);
    // None of them is the default, so each was really taken from there. (Slots are, on a machine with as many cores.)
    let defaults = without_origins(read(&[], &[], None).unwrap());
    for line in flags.iter().filter(|line| line.contains(" = ") && !line.starts_with("slots = ")) {
        assert!(!defaults.contains(line), "{line} is the default");
    }
}

#[test]
fn what_is_printed_can_be_fed_back() {
    let settings = read(
        &[
            ("max-bytes", "10GiB"),
            ("max-connections", "2000"),
            ("min-free-bytes", "1000000"),
            ("pool", "a=root,slots=2,python=3.11,python=3.12"),
        ],
        &[("CROSSWHEEL_LISTEN", "[::1]:1, unix:/run/a.sock"), ("CROSSWHEEL_HTTP_LISTEN", "off")],
        Some("default-timeout = \"90s\"\nnetwork = true"),
    )
    .unwrap();
    let text = settings.to_toml().replace("/tmp", "/etc");
    let text: String = text.lines().map(|line| hide_directory(line) + "\n").collect();
    insta::assert_snapshot!(text, @r#"
        listen = ["[::1]:1", "unix:/run/a.sock"]  # CROSSWHEEL_LISTEN in the environment
        http-listen = "off"  # CROSSWHEEL_HTTP_LISTEN in the environment
        insecure-public = false
        max-connections = 2000  # --max-connections
        max-connections-per-client = 256
        first-call-timeout = "1m"
        max-call-bytes = "512MiB"
        store = "/default/store"
        max-bytes = "10GiB"  # --max-bytes
        high-water-mark = "95%"
        low-water-mark = "85%"
        min-free-bytes = "1000000"  # --min-free-bytes
        keep-after-use = "10m"
        reverify = "7days"
        fsync = false
        sandbox = "auto"
        network = true  # network in …/config.toml
        default-timeout = "1m 30s"  # default-timeout in …/config.toml
        max-timeout = "1day"
        max-queued-actions = 100000
        max-queue-bytes = "512MiB"
        unattended-grace = "1m"
        update-action-result = false
        max-batch-bytes = "4000000"
        upload-idle-timeout = "10m"
        shutdown-grace = "30s"
        log-format = "text"
        log-level = "info"

        [[pool]]
        name = "a"
        root = "/here/root"
        slots = 2

        [pool.properties]
        python = ["3.11", "3.12"]
    "#);
    let again = read(&[], &[], Some(&settings.to_toml())).unwrap();
    let strip = |text: String| {
        text.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(strip(again.to_toml()), strip(settings.to_toml()));
}

/// Temporary directories have another name each time.
fn hide_directory(line: &str) -> String {
    match line.split_once(" in /") {
        Some((start, _)) => format!("{start} in …/config.toml"),
        None => line.to_owned(),
    }
}

#[test]
fn errors_name_the_key_and_the_place() {
    let error = |settings: Result<Settings, String>| settings.unwrap_err();
    let cases = [
        error(read(&[("max-bytes", "5 potatoes")], &[], None)),
        error(read(&[], &[("CROSSWHEEL_HIGH_WATER_MARK", "120%")], None)),
        error(read(&[], &[], Some("max-timeout = \"soon\""))),
        error(read(&[], &[], Some("max-timeout = 1.5"))),
        error(read(&[], &[], Some("max-bites = 1"))),
        error(read(&[], &[], Some("zebra = 1"))),
        error(read(&[], &[], Some("listen = [\"8980\"]"))),
        error(read(&[], &[], Some("store = [\"a\", \"b\"]"))),
        error(read(&[], &[], Some("[[pool]]\nname = \"a\"\nslot = 1"))),
        error(read(&[], &[], Some("[[pool]]\nname = \"a\"\n[[pool]]\nname = \"a\""))),
        error(read(&[], &[], Some("pool = []"))),
        error(read(&[("low-water-mark", "96%")], &[], None)),
        error(read(&[("default-timeout", "2days")], &[], None)),
        error(read(&[("max-timeout", "1m")], &[("CROSSWHEEL_DEFAULT_TIMEOUT", "2m")], None)),
        error(read(&[("sandbox", "maybe")], &[], None)),
        error(read(&[("network", "perhaps")], &[], None)),
        error(read(&[("log-level", "a=b=c")], &[], None)),
        error(read(&[("max-batch-bytes", "1GiB")], &[], None)),
        error(read(&[("max-queued-actions", "0")], &[], None)),
    ];
    insta::assert_snapshot!(cases.join("\n"), @r#"
        --max-bytes: `5 potatoes` is no size; write 50GiB, 500MB or a number of bytes, or `unlimited`
        CROSSWHEEL_HIGH_WATER_MARK in the environment: `120%` is no share; write 1% to 100%
        max-timeout in /etc/config.toml: `soon` is no duration; write 30s, 5m or 1h 30m
        max-timeout in /etc/config.toml: `1.5` is of no use here
        /etc/config.toml: there is no setting `max-bites`; did you mean `max-bytes`?
        /etc/config.toml: there is no setting `zebra`
        listen in /etc/config.toml: `8980` is no address to listen on; give HOST:PORT such as 127.0.0.1:8980 or [::1]:8980, or unix:PATH
        store in /etc/config.toml: `["a", "b"]` is of no use here
        pool in /etc/config.toml: there is no setting `slot`; did you mean `slots`?
        pool in /etc/config.toml: there are two pools named `a`
        pool in /etc/config.toml: a host must have a pool
        --low-water-mark: 96% is above the high-water-mark of 95%
        --default-timeout: 2days is above the max-timeout of 1day
        CROSSWHEEL_DEFAULT_TIMEOUT in the environment: 2m is above the max-timeout of 1m
        --sandbox: `maybe` is neither `auto` nor `required` nor `off`
        --network: `perhaps` is neither `on` nor `off`
        --log-level: `a=b=c` is no level; use error, warn, info, debug, trace, or TARGET=LEVEL,…
        --max-batch-bytes: `1GiB` is not between 1 byte and 48MiB
        --max-queued-actions: `0` is no number above 0
    "#);
    let error = read(&[], &[], Some("listen = ")).unwrap_err();
    assert!(error.starts_with("/etc/config.toml is not TOML"), "{error}");
}

#[test]
fn defaults_fit_what_was_given() {
    let settings = read(&[("max-timeout", "1m"), ("high-water-mark", "50%")], &[], None).unwrap();
    assert_eq!((settings.default_timeout.as_secs(), settings.low_water_mark), (60, 50));
}

#[test]
fn paths_are_relative_to_where_they_were_written() {
    assert_eq!(read(&[("store", "a")], &[], None).unwrap().store, Path::new("/here/a"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    fs_err::write(&path, "store = \"a\"").unwrap();
    let mut layers = Layers::new();
    layers.file(&path).unwrap();
    let settings = Settings::resolve(&layers, Path::new("/default")).unwrap();
    assert_eq!(settings.store, directory.path().join("a"));
}
