//! What to run: one `crosswheel sdist` as an action. Knows nothing of processes, nor of how actions get to where they
//! run.

use std::path::PathBuf;

use super::rust_inputs::RustInputs;
use super::step_action::{
    OUT, Step, give_crates, give_wheels, python, salt, timeout_of_action, tool_directories,
};
use crate::build::customisation::Customisation;
use crate::build::targets::placement::Placement;
use crate::client::{ClientError, InputRoot, Job};
use crate::contract::{
    Failure, KeyValue, RELEASE, SDIST_MNEMONIC, SandboxMode, SdistCommand, SdistReport, environment,
};
use crate::digest::Sha256;
use crate::packaging::interpreter::Interpreter;
use crate::platform::Target;

/// One run of `crosswheel sdist`.
#[derive(Clone, Debug)]
pub struct SdistStep<'a> {
    /// The tree.
    pub tree: &'a InputRoot,
    /// The name of its directory.
    pub tree_name: &'a str,
    /// The project's directory in it; empty for the tree itself.
    pub subdirectory: &'a str,
    /// What git says of its repository, as `--git-answers` wants it; none if it is of none.
    pub git_answers: Option<InputRoot>,
    /// What time the backend is told, in seconds since 1970, if it is not always the same, nor the user's to say.
    pub epoch: Option<u64>,
    /// Wheels of the build requirements and their digests.
    pub build_wheels: Vec<(PathBuf, Sha256)>,
    /// The Python to build with.
    pub interpreter: &'a Interpreter,
    /// The platform that it runs on.
    pub target: Target,
    /// What it needs of Rust.
    pub rust: Option<RustInputs>,
    /// What the user changes about it.
    pub customisation: &'a Customisation,
    /// How much isolation it must have.
    pub sandbox: SandboxMode,
    /// Seconds the backend may take.
    pub timeout: Option<u64>,
}

/// The directories of the exec root with the tree, and with the answers of git.
const TREE: &str = "tree";
const GIT: &str = "git";

/// The variable that tells a build what time it is (reproducible-builds.org).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

impl Step for SdistStep<'_> {
    type Report = SdistReport;

    fn job(&self, placement: &Placement) -> Result<Job, Failure> {
        let mut inputs = InputRoot::default();
        let tree = format!("{TREE}/{}", self.tree_name);
        inputs.add_root(&tree, self.tree.clone()).map_err(ClientError::from)?;
        if let Some(answers) = &self.git_answers {
            inputs.add_root(GIT, answers.clone()).map_err(ClientError::from)?;
        }
        let custom = self.customisation;
        let given = custom.env.iter().any(|variable| variable.key == EPOCH);
        let epoch = self.epoch.filter(|_| !given);
        let epoch = epoch.map(|epoch| KeyValue { key: EPOCH.to_owned(), value: epoch.to_string() });
        let command = SdistCommand {
            subdirectory: (!self.subdirectory.is_empty()).then(|| self.subdirectory.into()),
            git_answers: self.git_answers.is_some().then(|| GIT.into()),
            python: python(self.interpreter, placement)?,
            build_wheels: give_wheels(&self.build_wheels, &mut inputs)?,
            config_settings: custom.config_settings.clone(),
            environment: custom.env.iter().cloned().chain(epoch).collect(),
            tool_directories: tool_directories(custom, self.rust.as_ref(), placement, self.target)?,
            crates: give_crates(self.rust.as_ref(), &mut inputs)?,
            timeout: self.timeout,
            sandbox: self.sandbox,
            json: true,
            ..SdistCommand::new(tree, OUT)
        };
        Ok(Job {
            arguments: command.render()?,
            environment: environment(),
            inputs,
            output_paths: vec![OUT.to_owned()],
            platform: placement.platform(self.target),
            timeout: timeout_of_action(self.timeout),
            salt: salt(placement, RELEASE, self.interpreter, self.rust.as_ref()),
            skip_cache: false,
            mnemonic: SDIST_MNEMONIC.to_owned(),
            target: self.tree_name.to_owned(),
        })
    }

    fn timeout(&self) -> Option<u64> {
        self.timeout
    }
}
