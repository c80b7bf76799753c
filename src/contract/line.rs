//! A command line of ours, rendered: one argument for each flag and its value. Knows nothing of what the flags mean.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::archive_limits::ArchiveLimits;
use super::flag::Flag;
use super::invocation::PROGRAM;

/// A path that no action can name, as those are UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} has a name that is not UTF-8")]
pub struct NotUnicode(pub PathBuf);

/// Flags, in the making.
#[derive(Default)]
pub(super) struct Line(Vec<String>);

impl Line {
    pub fn values(&mut self, flag: Flag, values: impl IntoIterator<Item: Display>) {
        self.0.extend(values.into_iter().map(|value| format!("--{}={value}", flag.name())));
    }

    pub fn paths<'a>(
        &mut self,
        flag: Flag,
        paths: impl IntoIterator<Item = &'a PathBuf>,
    ) -> Result<(), NotUnicode> {
        for path in paths {
            self.values(flag, [text(path)?]);
        }
        Ok(())
    }

    pub fn switch(&mut self, flag: Flag, on: bool) {
        self.0.extend(on.then(|| format!("--{}", flag.name())));
    }

    pub fn limits(&mut self, limits: &ArchiveLimits) {
        let usual = ArchiveLimits::default();
        let mut limit = |flag, limit: u64, usual: u64| self.values(flag, (limit != usual).then_some(limit));
        limit(Flag::LimitBytes, limits.bytes, usual.bytes);
        limit(Flag::LimitMembers, limits.members, usual.members);
        limit(Flag::LimitRatio, limits.ratio, usual.ratio);
        limit(Flag::LimitDepth, limits.depth as u64, usual.depth as u64);
    }

    /// The whole command line, of which `input` is the only argument that is no flag.
    pub fn around(self, subcommand: &str, input: &str) -> Vec<String> {
        self.around_all(subcommand, vec![input.to_owned()])
    }

    /// The whole command line, of which `inputs` are the arguments that are no flags.
    pub fn around_all(self, subcommand: &str, inputs: Vec<String>) -> Vec<String> {
        let words = [PROGRAM, subcommand].map(str::to_owned).into_iter();
        if inputs.iter().any(|input| input.starts_with('-')) {
            // Behind two dashes, one more begins no flag.
            words.chain(self.0).chain(["--".to_owned()]).chain(inputs).collect()
        } else {
            words.chain(inputs).chain(self.0).collect()
        }
    }
}

/// Paths in actions are UTF-8.
pub(super) fn text(path: &Path) -> Result<&str, NotUnicode> {
    path.to_str().ok_or_else(|| NotUnicode(path.to_owned()))
}
