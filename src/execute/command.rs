//! A REAPI `Command` that has been checked. Knows nothing of how it runs.

use std::collections::{BTreeMap, HashSet};

use super::error::ExecuteError;
use super::path::ExecPath;
use crate::contract::PATH_VARIABLE;
use crate::platform::SYSTEM_PATH;
use crate::reapi;
use crate::reapi::command::OutputDirectoryFormat;

/// What to run and what to keep of it.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    /// Not empty, and neither is the first.
    pub argv: Vec<String>,
    /// What the client says, and a `PATH` if it does not say one.
    pub environment: BTreeMap<String, String>,
    /// The client says nothing of `PATH`.
    pub default_path: bool,
    pub working_directory: ExecPath,
    pub outputs: Vec<Output>,
    /// Outputs were asked for by the fields of REAPI 2.0.
    pub legacy_outputs: bool,
    pub output_properties: OutputProperties,
    pub directory_format: OutputDirectoryFormat,
}

/// An output the client expects.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// As the client spells it, relative to the working directory; results name it like this.
    pub name: String,
    /// Relative to the input root.
    pub path: ExecPath,
    pub kind: OutputKind,
    /// Where the client asked for it, as in `command.output_paths[2]`.
    pub field: String,
}

/// What the client expects at an output path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputKind {
    Any,
    File,
    Directory,
}

/// Which node properties the client wants of outputs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OutputProperties {
    pub mtime: bool,
    pub unix_mode: bool,
}

impl Command {
    /// Checks a command from a client.
    ///
    /// # Errors
    /// [`ExecuteError::Invalid`] with the field.
    pub fn new(command: &reapi::Command) -> Result<Self, ExecuteError> {
        let working_directory = ExecPath::parse(&command.working_directory)
            .map_err(|problem| ExecuteError::invalid("command.working_directory", problem))?;
        let (outputs, legacy_outputs) = outputs(command, &working_directory)?;
        let mut environment = environment(command)?;
        let default_path = add_default_path(&mut environment);
        Ok(Self {
            argv: argv(command)?,
            environment,
            default_path,
            working_directory,
            outputs,
            legacy_outputs,
            output_properties: output_properties(command)?,
            // One we do not know is to be read as the default.
            directory_format: OutputDirectoryFormat::try_from(command.output_directory_format)
                .unwrap_or(OutputDirectoryFormat::TreeOnly),
        })
    }
}

fn argv(command: &reapi::Command) -> Result<Vec<String>, ExecuteError> {
    if command.arguments.first().is_none_or(String::is_empty) {
        return Err(ExecuteError::invalid("command.arguments", "there is no program to run"));
    }
    for (index, argument) in command.arguments.iter().enumerate() {
        if argument.contains('\0') {
            return Err(ExecuteError::invalid(format!("command.arguments[{index}]"), "contains a NUL byte"));
        }
    }
    Ok(command.arguments.clone())
}

/// Any order will do, but a name may occur only once: programs differ in which of two they would take.
fn environment(command: &reapi::Command) -> Result<BTreeMap<String, String>, ExecuteError> {
    let mut environment = BTreeMap::new();
    for (index, variable) in command.environment_variables.iter().enumerate() {
        let (name, value) = (&variable.name, &variable.value);
        let problem = if name.is_empty() || name.contains('=') {
            format!("the name {name:?} is empty or contains `=`")
        } else if name.contains('\0') || value.contains('\0') {
            format!("{name:?} contains a NUL byte")
        } else if environment.insert(name.clone(), value.clone()).is_some() {
            format!("`{name}` is set twice")
        } else {
            continue;
        };
        return Err(ExecuteError::invalid(format!("command.environment_variables[{index}]"), problem));
    }
    Ok(environment)
}

/// "The worker may provide its own default environment variables", and clients count on it for `PATH`: Pants has none
/// in its first action and names its program without a directory, and Debian's gcc needs one to find `cc1`. It is what
/// Debian's root has, so that programs are found wherever distributions and administrators put them. One that is empty
/// is the client's own choice. Says whether one was added.
fn add_default_path(environment: &mut BTreeMap<String, String>) -> bool {
    let missing = !environment.contains_key(PATH_VARIABLE);
    if missing {
        environment.insert(PATH_VARIABLE.to_owned(), SYSTEM_PATH.to_owned());
    }
    missing
}

#[allow(deprecated)] // Clients of REAPI 2.0 know nothing else.
fn outputs(
    command: &reapi::Command,
    working_directory: &ExecPath,
) -> Result<(Vec<Output>, bool), ExecuteError> {
    let read = |field: &'static str, names: &[String], kind| {
        let outputs = names.iter().enumerate().map(|(index, name)| {
            let field = format!("command.{field}[{index}]");
            let path =
                working_directory.resolve(name).map_err(|problem| ExecuteError::invalid(&field, problem))?;
            Ok(Output { name: name.clone(), path, kind, field })
        });
        outputs.collect::<Result<Vec<_>, ExecuteError>>()
    };
    if !command.output_paths.is_empty() {
        let mut outputs = read("output_paths", &command.output_paths, OutputKind::Any)?;
        // Returned twice, a path makes Bazel crash.
        let mut seen = HashSet::new();
        outputs.retain(|output| seen.insert(output.path.clone()));
        return Ok((outputs, false));
    }
    let files = read("output_files", &command.output_files, OutputKind::File)?;
    let directories = read("output_directories", &command.output_directories, OutputKind::Directory)?;
    check_legacy(&files, &directories)?;
    Ok((files.into_iter().chain(directories).collect(), true))
}

/// "An output file cannot be duplicated, be a parent of another output file, or have the same path as any of the
/// listed output directories"; a directory cannot be duplicated either.
fn check_legacy(files: &[Output], directories: &[Output]) -> Result<(), ExecuteError> {
    let mut seen = HashSet::new();
    for output in files.iter().chain(directories) {
        if output.path.is_empty() && output.kind == OutputKind::File {
            return Err(ExecuteError::invalid(&output.field, "the working directory is no output file"));
        }
        if !seen.insert(&output.path) {
            return Err(ExecuteError::invalid(
                &output.field,
                format!("`{}` is asked for twice", output.name),
            ));
        }
    }
    let paths: HashSet<_> = files.iter().map(|file| &file.path).collect();
    for file in files {
        let mut above = file.path.parent();
        while let Some(parent) = above {
            if paths.contains(&parent) {
                let problem = format!("`{}` is to be a file, and `{parent}` above it is, too", file.name);
                return Err(ExecuteError::invalid(&file.field, problem));
            }
            above = parent.parent();
        }
    }
    Ok(())
}

fn output_properties(command: &reapi::Command) -> Result<OutputProperties, ExecuteError> {
    let mut properties = OutputProperties::default();
    for (index, name) in command.output_node_properties.iter().enumerate() {
        match name.as_str() {
            "mtime" => properties.mtime = true,
            "unix_mode" => properties.unix_mode = true,
            unknown => {
                let field = format!("command.output_node_properties[{index}]");
                let problem = format!("`{unknown}` is not known here; `mtime` and `unix_mode` are");
                return Err(ExecuteError::invalid(field, problem));
            }
        }
    }
    Ok(properties)
}

#[cfg(test)]
#[allow(deprecated)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reapi::command::EnvironmentVariable;

    fn plain() -> reapi::Command {
        reapi::Command { arguments: vec!["true".into()], ..Default::default() }
    }

    fn field(command: &reapi::Command) -> String {
        match Command::new(command) {
            Err(ExecuteError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn output_paths_win_over_the_older_fields() {
        let command = reapi::Command {
            output_paths: vec!["a".into(), "a".into()],
            output_files: vec!["../b".into()],
            ..plain()
        };
        let checked = Command::new(&command).unwrap();
        assert_eq!(checked.outputs.len(), 1);
        assert!(!checked.legacy_outputs);
    }

    #[test]
    fn the_working_directory_may_be_an_output_directory() {
        let command = reapi::Command {
            working_directory: "w/d".into(),
            output_directories: vec!["".into()],
            ..plain()
        };
        let checked = Command::new(&command).unwrap();
        assert_eq!(checked.outputs[0].path.as_str(), "w/d");
        assert_eq!(checked.outputs[0].name, "");
    }

    #[test]
    fn there_is_a_path_unless_the_client_has_one() {
        let with = |variables: &[(&str, &str)]| {
            let variable = |(name, value): &(&str, &str)| EnvironmentVariable {
                name: (*name).into(),
                value: (*value).into(),
            };
            let environment_variables = variables.iter().map(variable).collect();
            Command::new(&reapi::Command { environment_variables, ..plain() }).unwrap()
        };
        for (variables, path, default) in [
            (&[][..], SYSTEM_PATH, true),
            (&[("Path", "/x")], SYSTEM_PATH, true),
            (&[("PATH", "")], "", false),
        ] {
            let command = with(variables);
            assert_eq!((&*command.environment["PATH"], command.default_path), (path, default));
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_the_field() {
        let twice = EnvironmentVariable { name: "A".into(), value: "1".into() };
        let files = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let cases = [
            (reapi::Command { arguments: vec![], ..plain() }, "command.arguments"),
            (
                reapi::Command { environment_variables: vec![twice.clone(), twice], ..plain() },
                "command.environment_variables[1]",
            ),
            (reapi::Command { output_files: files(&["a", "a/b/c"]), ..plain() }, "command.output_files[1]"),
            (
                reapi::Command {
                    output_files: files(&["a"]),
                    output_directories: files(&["./a"]),
                    ..plain()
                },
                "command.output_directories[0]",
            ),
            (reapi::Command { output_paths: files(&["a", "/b"]), ..plain() }, "command.output_paths[1]"),
            (
                reapi::Command {
                    working_directory: "w".into(),
                    output_paths: files(&["../a", "../../a"]),
                    ..plain()
                },
                "command.output_paths[1]",
            ),
            (reapi::Command { working_directory: "a/..".into(), ..plain() }, "command.working_directory"),
            (
                reapi::Command { output_node_properties: files(&["acl"]), ..plain() },
                "command.output_node_properties[0]",
            ),
        ];
        for (command, expected) in cases {
            assert_eq!(field(&command), expected);
        }
    }

    proptest! {
        #[test]
        fn no_command_makes_the_check_panic(arguments: Vec<String>, outputs: Vec<String>, directory: String) {
            let command = reapi::Command {
                arguments,
                output_files: outputs.clone(),
                output_directories: outputs,
                working_directory: directory,
                ..Default::default()
            };
            let _ = Command::new(&command);
        }
    }
}
