//! Pools as they are written: in one line on the command line, as a table in the file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::value;
use crate::execute::ActionLimits;
use crate::size::{size, size_text};

/// Workers of one platform, as an operator asks for them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolSettings {
    pub name: String,
    /// The root file system of its actions; the one of this host if `None`.
    pub root: Option<PathBuf>,
    /// The directories of this host that its actions see, read-only; if there are none, all of it. Not
    /// together with `root`.
    pub host_directories: Vec<PathBuf>,
    /// The compiler of this host that builds in `root` use instead of the root's own; none if `None`.
    pub cross_cc: Option<CrossCc>,
    /// How many actions run at a time; one per core if `None`.
    pub slots: Option<usize>,
    /// Those with the highest preference are used first; if `None`, 0, and -1 where everything is emulated.
    pub preference: Option<i32>,
    /// Bytes that each of its actions may take on the disk; those of [`ActionLimits`] if `None`, here and below.
    pub scratch: Option<u64>,
    /// Bytes that its outputs may have.
    pub output: Option<u64>,
    /// Bytes that it may write to standard output and standard error.
    pub log: Option<u64>,
    /// Bytes of memory that it may have.
    pub memory: Option<u64>,
    /// Processes and threads that it may have.
    pub pids: Option<u64>,
    /// How long its outputs may be collected.
    pub collect_timeout: Option<Duration>,
    /// What it offers, besides what can be found out. One that is given here replaces what was found out under
    /// that name; several values for a name are all offered.
    pub properties: Vec<(String, String)>,
}

/// A compiler that runs natively and makes programs for the architecture of a pool's root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CrossCc {
    /// The one that distributions have, such as `aarch64-linux-gnu-gcc`.
    Default,
    /// This one: a path, or a command.
    Program(String),
}

impl PoolSettings {
    /// Reads `NAME[=ROOTFS][,slots=N][,preference=N][,host-directory=DIR...][,cross-cc=on|off|PROGRAM]
    /// [,scratch=SIZE][,output=SIZE][,log=SIZE][,memory=SIZE][,pids=N][,collect-timeout=TIME]
    /// [,PROPERTY=VALUE...]`. Paths are relative to `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, String> {
        let mut parts = text.split(',').map(str::trim);
        let first = parts.next().unwrap_or_default();
        let (name, root) = match first.split_once('=') {
            Some((name, root)) => (name, Some(path(root, base, "the root file system")?)),
            None => (first, None),
        };
        let mut pool = Self { name: name.to_owned(), root, ..Self::default() };
        for part in parts {
            let (key, text) =
                part.split_once('=').ok_or_else(|| format!("`{part}` is not of the form KEY=VALUE"))?;
            match key {
                "slots" => {
                    pool.slots = Some(value::count(text).map_err(|problem| format!("slots: {problem}"))?)
                }
                "preference" => pool.preference = Some(preference(text)?),
                "cross-cc" => pool.cross_cc = cross_cc(text, base)?,
                "scratch" => pool.scratch = Some(limit(key, text)?),
                "output" => pool.output = Some(limit(key, text)?),
                "log" => pool.log = Some(limit(key, text)?),
                "memory" => pool.memory = Some(limit(key, text)?),
                "pids" => pool.pids = Some(processes(text)?),
                "collect-timeout" => pool.collect_timeout = Some(time(text)?),
                "host-directory" => pool.host_directories.push(path(text, base, "a host directory")?),
                _ => pool.properties.push((key.to_owned(), text.to_owned())),
            }
        }
        pool.check()
    }

    /// Reads a `[[pool]]` table: `name`, `root`, `host-directories`, `cross-cc` (a boolean or a string),
    /// `slots`, `preference`, `scratch`, `output`, `log`, `memory`, `pids`, `collect-timeout` and `properties`, a table of strings or arrays
    /// of strings. Paths are relative to `base`.
    pub fn from_table(table: &toml::Table, base: &Path) -> Result<Self, String> {
        let mut pool = Self::default();
        for (key, value) in table {
            match key.as_str() {
                "name" => pool.name = string("name", value)?.to_owned(),
                "root" => pool.root = Some(path(string("root", value)?, base, "the root file system")?),
                "host-directories" => {
                    for directory in strings("host-directories", value)? {
                        pool.host_directories.push(path(directory, base, "a host directory")?);
                    }
                }
                "cross-cc" => {
                    pool.cross_cc = match value {
                        toml::Value::Boolean(on) => on.then_some(CrossCc::Default),
                        _ => cross_cc(string("cross-cc", value)?, base)?,
                    }
                }
                "slots" => {
                    let count = value.as_integer().and_then(|count| usize::try_from(count).ok());
                    let count = count.filter(|count| *count > 0);
                    pool.slots = Some(count.ok_or_else(|| format!("slots: `{value}` is no number above 0"))?);
                }
                "preference" => pool.preference = Some(preference(&value.to_string())?),
                "scratch" => pool.scratch = Some(limit(key, &plain(value))?),
                "output" => pool.output = Some(limit(key, &plain(value))?),
                "log" => pool.log = Some(limit(key, &plain(value))?),
                "memory" => pool.memory = Some(limit(key, &plain(value))?),
                "pids" => pool.pids = Some(processes(&plain(value))?),
                "collect-timeout" => pool.collect_timeout = Some(time(&plain(value))?),
                "properties" => {
                    let properties = value.as_table().ok_or("properties: must be a table")?;
                    for (name, value) in properties {
                        for value in strings(name, value)? {
                            pool.properties.push((name.clone(), value.to_owned()));
                        }
                    }
                }
                _ => {
                    let known = [
                        "name",
                        "root",
                        "host-directories",
                        "cross-cc",
                        "slots",
                        "preference",
                        "scratch",
                        "output",
                        "log",
                        "memory",
                        "pids",
                        "collect-timeout",
                        "properties",
                    ];
                    return Err(super::error::unknown_key(key, known.into_iter()));
                }
            }
        }
        pool.check()
    }

    /// The table that [`PoolSettings::from_table`] reads.
    pub fn to_table(&self) -> toml::Table {
        let paths = |path: &PathBuf| toml::Value::from(path.display().to_string());
        let mut table = toml::Table::new();
        table.insert("name".into(), self.name.clone().into());
        if let Some(root) = &self.root {
            table.insert("root".into(), paths(root));
        }
        if !self.host_directories.is_empty() {
            let directories: Vec<_> = self.host_directories.iter().map(paths).collect();
            table.insert("host-directories".into(), directories.into());
        }
        match &self.cross_cc {
            Some(CrossCc::Default) => drop(table.insert("cross-cc".into(), true.into())),
            Some(CrossCc::Program(program)) => {
                drop(table.insert("cross-cc".into(), program.clone().into()));
            }
            None => {}
        }
        if let Some(slots) = self.slots {
            table.insert("slots".into(), i64::try_from(slots).unwrap_or(i64::MAX).into());
        }
        if let Some(preference) = self.preference {
            table.insert("preference".into(), i64::from(preference).into());
        }
        for (key, limit) in
            [("scratch", self.scratch), ("output", self.output), ("log", self.log), ("memory", self.memory)]
        {
            if let Some(bytes) = limit {
                table.insert(key.into(), size_text(bytes).into());
            }
        }
        if let Some(most) = self.pids {
            table.insert("pids".into(), i64::try_from(most).unwrap_or(i64::MAX).into());
        }
        if let Some(time) = self.collect_timeout {
            table.insert("collect-timeout".into(), value::duration_text(time).into());
        }
        let mut properties = toml::Table::new();
        for (name, value) in &self.properties {
            let values = properties.entry(name.clone()).or_insert_with(|| toml::Value::Array(Vec::new()));
            if let toml::Value::Array(values) = values {
                values.push(value.clone().into());
            }
        }
        if !properties.is_empty() {
            table.insert("properties".into(), properties.into());
        }
        table
    }

    /// What each of its actions may take of this machine.
    pub fn limits(&self) -> ActionLimits {
        let default = ActionLimits::default();
        ActionLimits {
            scratch: self.scratch.unwrap_or(default.scratch),
            output: self.output.unwrap_or(default.output),
            log: self.log.unwrap_or(default.log),
            memory: self.memory,
            pids: self.pids,
            collect_timeout: self.collect_timeout.unwrap_or(default.collect_timeout),
            ..default
        }
    }

    fn check(self) -> Result<Self, String> {
        let name = &self.name;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() {
            return Err("a pool must have a name".into());
        }
        if !name.bytes().all(plain) {
            return Err(format!("`{name}` is no name for a pool; use letters, digits, `-`, `_` and `.`"));
        }
        if self.root.is_some() && !self.host_directories.is_empty() {
            return Err(format!(
                "pool `{name}` has a root file system, so it cannot have directories of this host"
            ));
        }
        if self.root.is_none() && self.cross_cc.is_some() {
            return Err(format!(
                "pool `{name}` has no root file system of its own, so there is nothing to compile across for"
            ));
        }
        if self.properties.iter().any(|(name, value)| name.is_empty() || value.is_empty()) {
            return Err(format!("pool `{name}` has a property without a name or a value"));
        }
        Ok(self)
    }
}

fn path(text: &str, base: &Path, what: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err(format!("{what} must have a path")) } else { Ok(base.join(text)) }
}

/// `on`, `off`, or a program: what has a `/` in it is a path.
fn cross_cc(text: &str, base: &Path) -> Result<Option<CrossCc>, String> {
    Ok(match text {
        "" => return Err("cross-cc: give `on`, `off` or a compiler of this host".into()),
        "on" => Some(CrossCc::Default),
        "off" => None,
        path if path.contains('/') => Some(CrossCc::Program(base.join(path).display().to_string())),
        command => Some(CrossCc::Program(command.to_owned())),
    })
}

fn preference(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("preference: `{text}` is no whole number"))
}

fn limit(key: &str, text: &str) -> Result<u64, String> {
    size(text).map_err(|problem| format!("{key}: {problem}"))
}

fn processes(text: &str) -> Result<u64, String> {
    let count = text.trim().parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| format!("pids: `{text}` is no number above 0"))
}

fn time(text: &str) -> Result<Duration, String> {
    value::duration(text).map_err(|problem| format!("collect-timeout: {problem}"))
}

/// A string, or whatever else there is, as it is written.
fn plain(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn string<'a>(key: &str, value: &'a toml::Value) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("{key}: `{value}` is no string"))
}

fn strings<'a>(key: &str, value: &'a toml::Value) -> Result<Vec<&'a str>, String> {
    match value.as_array() {
        Some(values) => values.iter().map(|value| string(key, value)).collect(),
        None => Ok(vec![string(key, value)?]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_and_a_table_say_the_same() {
        let line = PoolSettings::parse(
            "arm=roots/arm64,cross-cc=tools/gcc,slots=3,preference=-1,scratch=2GiB,log=4096,memory=8GiB,pids=500,collect-timeout=5m,Arch=arm64,python=3.11,python=3.12",
            Path::new("/base"),
        );
        let table = r#"
            name = "arm"
            root = "roots/arm64"
            cross-cc = "tools/gcc"
            slots = 3
            preference = -1
            scratch = "2GiB"
            memory = "8GiB"
            pids = 500
            log = 4096
            collect-timeout = "5m"
            properties = { Arch = "arm64", python = ["3.11", "3.12"] }
        "#;
        let table = PoolSettings::from_table(&table.parse().unwrap(), Path::new("/base"));
        assert_eq!(line, table);
        let pool = line.unwrap();
        assert_eq!(pool.root.as_deref(), Some(Path::new("/base/roots/arm64")));
        assert_eq!(pool.cross_cc, Some(CrossCc::Program("/base/tools/gcc".into())));
        assert_eq!(PoolSettings::from_table(&pool.to_table(), Path::new("/")), Ok(pool));
    }

    #[test]
    fn a_cross_compiler_is_switched_on_and_off_or_named() {
        let base = Path::new("/base");
        for (line, table, expected) in [
            ("on", "true", Some(CrossCc::Default)),
            ("off", "false", None),
            ("gcc-13", "\"gcc-13\"", Some(CrossCc::Program("gcc-13".into()))),
        ] {
            let line = PoolSettings::parse(&format!("a=/r,cross-cc={line}"), base).unwrap();
            let table = format!("name = \"a\"\nroot = \"/r\"\ncross-cc = {table}");
            let table = PoolSettings::from_table(&table.parse().unwrap(), base).unwrap();
            assert_eq!((&line.cross_cc, &line), (&expected, &table));
            assert_eq!(PoolSettings::from_table(&line.to_table(), Path::new("/")), Ok(line));
        }
    }

    #[test]
    fn what_makes_no_pool_is_refused() {
        for (line, problem) in [
            ("", "must have a name"),
            ("a b", "is no name"),
            ("a=", "must have a path"),
            ("a,slots", "KEY=VALUE"),
            ("a,slots=0", "slots: `0`"),
            ("a,preference=high", "preference: `high`"),
            ("a,scratch=much", "scratch: `much` is no size"),
            ("a,memory=much", "memory: `much` is no size"),
            ("a,pids=0", "pids: `0` is no number above 0"),
            ("a,collect-timeout=soon", "collect-timeout: `soon` is no duration"),
            ("a,Arch=", "without a name or a value"),
            ("a=/root,host-directory=/usr", "cannot have directories"),
            ("a,cross-cc=on", "no root file system of its own"),
            ("a=/root,cross-cc=", "give `on`"),
        ] {
            let error = PoolSettings::parse(line, Path::new("/")).unwrap_err();
            assert!(error.contains(problem), "{line}: {error}");
        }
        for (table, problem) in [
            ("name = 1", "name: `1` is no string"),
            ("nam = \"a\"", "did you mean `name`?"),
            ("name = \"a\"\nslots = -1", "slots: `-1`"),
            ("name = \"a\"\nproperties = { Arch = [1] }", "Arch: `1` is no string"),
        ] {
            let error = PoolSettings::from_table(&table.parse().unwrap(), Path::new("/")).unwrap_err();
            assert!(error.contains(problem), "{table}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line: String) {
            let _ = PoolSettings::parse(&line, Path::new("/"));
        }
    }
}
