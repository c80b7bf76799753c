//! Reads values out of what was given, and remembers where each was written. Knows nothing of what they are for.

use std::path::PathBuf;

use super::error::SettingsError;
use super::layers::{Given, Layers, Raw};
use super::origin::Origin;
use super::pool::PoolSettings;

/// Reads values and remembers where they came from.
pub(super) struct Reader<'a> {
    layers: &'a Layers,
    pub origins: Vec<(&'static str, Origin)>,
}

impl<'a> Reader<'a> {
    pub fn new(layers: &'a Layers) -> Self {
        Self { layers, origins: Vec::new() }
    }

    fn given(&mut self, name: &'static str) -> Option<&'a Given> {
        let given = self.layers.get(name)?;
        self.origins.push((name, given.origin.clone()));
        Some(given)
    }

    pub fn one<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, SettingsError> {
        let Some(given) = self.given(name) else { return Ok(None) };
        let value = match given.values.last() {
            Some(Raw::Text(text)) => parse(text),
            _ => Err("must be a single value".into()),
        };
        value.map(Some).map_err(|problem| given.refuse(problem))
    }

    pub fn many<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, SettingsError> {
        let Some(given) = self.given(name) else { return Ok(None) };
        let parse = |raw: &Raw| match raw {
            Raw::Text(text) => parse(text),
            Raw::Table(_) => Err("must be text".into()),
        };
        let values: Result<Vec<T>, String> = given.values.iter().map(parse).collect();
        values.map(Some).map_err(|problem| given.refuse(problem))
    }

    pub fn path(&mut self, name: &'static str) -> Result<Option<PathBuf>, SettingsError> {
        let Some(given) = self.layers.get(name) else { return Ok(None) };
        self.one(
            name,
            |text| {
                if text.is_empty() { Err("must be a path".into()) } else { Ok(given.base.join(text)) }
            },
        )
    }

    pub fn pools(&mut self) -> Result<Vec<PoolSettings>, SettingsError> {
        let mut pools = match self.given("pool") {
            None => vec![PoolSettings { name: "native".into(), ..PoolSettings::default() }],
            Some(given) => {
                let parse = |raw: &Raw| match raw {
                    Raw::Text(text) => PoolSettings::parse(text, &given.base),
                    Raw::Table(table) => PoolSettings::from_table(table, &given.base),
                };
                let pools: Result<Vec<_>, String> = given.values.iter().map(parse).collect();
                let pools = pools.map_err(|problem| given.refuse(problem))?;
                if pools.is_empty() {
                    return Err(given.refuse("a host must have a pool".into()));
                }
                pools
            }
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for pool in &mut pools {
            pool.slots.get_or_insert(cores);
        }
        Ok(pools)
    }
}

impl Given {
    pub fn refuse(&self, problem: String) -> SettingsError {
        SettingsError::Value { origin: self.origin.clone(), problem }
    }
}
