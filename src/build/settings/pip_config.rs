//! pip's configuration files, as far as they say where packages come from.
//! Knows nothing of pip's environment variables or of what takes precedence over these files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::layer::{Environment, SettingsLayer, is_true};

/// The settings of pip's configuration files: global, user, and `PIP_CONFIG_FILE`; later ones win.
/// In each, `[download]` wins over `[install]`, and both over `[global]`.
pub fn read(environment: &Environment) -> SettingsLayer {
    let mut settings = BTreeMap::new();
    for path in files(environment) {
        // pip ignores files it cannot read, too.
        let Ok(text) = fs_err::read_to_string(&path) else { continue };
        let sections = parse(&text);
        for section in ["global", "install", "download"] {
            settings.extend(sections.get(section).cloned().unwrap_or_default());
        }
    }
    let words = |key: &str| -> Vec<String> {
        settings
            .get(key)
            .map(|value| value.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default()
    };
    SettingsLayer {
        default_index: words("index-url").into_iter().next(),
        extra_indexes: words("extra-index-url"),
        find_links: words("find-links"),
        no_index: settings.get("no-index").map(|value| is_true(value)),
        constraints: words("constraint"),
        build_constraints: words("build-constraint"),
        exclude_newer: None,
        uploaded_prior_to: settings.get("uploaded-prior-to").map(|value| value.trim().to_owned()),
    }
}

/// The files pip would read, in the order it reads them.
fn files(environment: &Environment) -> Vec<PathBuf> {
    let chosen = environment.get("PIP_CONFIG_FILE");
    if chosen == Some("/dev/null") {
        return Vec::new();
    }
    let system = environment.get("XDG_CONFIG_DIRS").unwrap_or("/etc/xdg");
    let mut files: Vec<PathBuf> =
        system.split(':').map(|directory| PathBuf::from(directory).join("pip/pip.conf")).collect();
    files.push("/etc/pip.conf".into());
    files.extend(environment.home.iter().map(|home| home.join(".pip/pip.conf")));
    files.extend(environment.user_configuration().map(|directory| directory.join("pip/pip.conf")));
    files.extend(environment.get("VIRTUAL_ENV").map(|venv| PathBuf::from(venv).join("pip.conf")));
    files.extend(chosen.map(PathBuf::from));
    files
}

/// Sections and values of an INI file as Python's `configparser` reads it: `key = value` or
/// `key: value`, indented lines continue a value, `#` and `;` begin comment lines.
fn parse(text: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut section = String::new();
    let mut key: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let indented = line.starts_with(char::is_whitespace);
        if let (true, Some(key)) = (indented, &key) {
            let value = sections.entry(section.clone()).or_default().entry(key.clone()).or_default();
            value.push('\n');
            value.push_str(trimmed);
        } else if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim().to_owned();
            key = None;
        } else if let Some((name, value)) = trimmed.split_once(['=', ':']) {
            let name = name.trim().to_ascii_lowercase().replace('_', "-");
            let name = name.trim_start_matches('-').to_owned();
            sections.entry(section.clone()).or_default().insert(name.clone(), value.trim().to_owned());
            key = Some(name);
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sections_are_merged_in_pips_order() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join(".config/pip");
        fs_err::create_dir_all(&directory).unwrap();
        let text = "[global]\nindex-url = https://one.example/simple\nextra_index_url =\n    https://two.example\n\
                    # comment\n    https://three.example\n[install]\nindex-url: https://four.example\nno-index = yes\nuploaded-prior-to = 2024-01-31\n";
        fs_err::write(directory.join("pip.conf"), text).unwrap();
        let environment = Environment::for_tests(&[("XDG_CONFIG_DIRS", "/nonexistent")], home.path());
        let layer = read(&environment);
        assert_eq!(layer.default_index.as_deref(), Some("https://four.example"));
        assert_eq!(layer.extra_indexes, ["https://two.example", "https://three.example"]);
        assert_eq!(layer.no_index, Some(true));
        assert_eq!(layer.uploaded_prior_to.as_deref(), Some("2024-01-31"));
    }

    #[test]
    fn pip_config_file_wins_and_dev_null_switches_files_off() {
        let home = tempfile::tempdir().unwrap();
        let chosen = home.path().join("chosen.conf");
        fs_err::write(&chosen, "[global]\nindex-url = https://chosen.example\n").unwrap();
        let environment =
            Environment::for_tests(&[("PIP_CONFIG_FILE", chosen.to_str().unwrap())], home.path());
        assert_eq!(read(&environment).default_index.as_deref(), Some("https://chosen.example"));
        let environment = Environment::for_tests(&[("PIP_CONFIG_FILE", "/dev/null")], home.path());
        assert_eq!(read(&environment), SettingsLayer::default());
    }

    proptest! {
        #[test]
        fn any_text_is_a_configuration(text in "(\\[|\\]|=|:|\n| |#|.){0,80}") {
            parse(&text);
        }
    }
}
