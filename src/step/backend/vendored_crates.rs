//! How cargo is made to take its crates from a vendored directory. Knows nothing of which crates a project needs.

use std::path::Path;

use crate::step::error::{StepError, host};

/// Makes cargo, whose home is below `home`, take every crate from `crates`, which it sees at `seen_at`, and nothing
/// from elsewhere.
pub(crate) fn configure_cargo(home: &Path, crates: &Path, seen_at: &Path) -> Result<(), StepError> {
    let configuration = cargo_configuration(crates, seen_at)?;
    let directory = home.join(".cargo");
    fs_err::create_dir_all(&directory)
        .and_then(|()| fs_err::write(directory.join("config.toml"), configuration))
        .map_err(host("configure cargo"))
}

/// What `cargo vendor` said about how to use the crates in `crates` (its output, kept there as
/// config.toml), or the usual, with them at `seen_at`.
fn cargo_configuration(crates: &Path, seen_at: &Path) -> Result<String, StepError> {
    let said = fs_err::read_to_string(crates.join("config.toml")).unwrap_or_default();
    let mut configuration: toml::Table =
        said.parse().map_err(|error| StepError::Input(format!("config.toml of --crates: {error}")))?;
    let source = configuration.entry("source").or_insert_with(|| toml::Table::new().into());
    let table = source
        .as_table_mut()
        .ok_or_else(|| StepError::Input("config.toml of --crates: `source` is no table".into()))?;
    if !table.contains_key("crates-io") {
        let replacement = toml::Table::from_iter([("replace-with".to_owned(), "vendored-sources".into())]);
        table.insert("crates-io".into(), replacement.into());
    }
    let directory = toml::Table::from_iter([("directory".to_owned(), seen_at.display().to_string().into())]);
    table.insert("vendored-sources".into(), directory.into());
    Ok(configuration.to_string())
}
