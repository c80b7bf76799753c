//! What is to be run, and the messages that say it (REAPI `Action`, `Command`). Knows nothing of servers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::input_root::{Blobs, InputRoot, add_message};
use crate::digest::Digest;
use crate::reapi::{Action, Command, Platform, command, platform, protobuf};

/// A command, its inputs and what is wanted of it.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// The program and its arguments (`Command.arguments`).
    pub arguments: Vec<String>,
    /// `Command.environment_variables`.
    pub environment: BTreeMap<String, String>,
    pub inputs: InputRoot,
    /// Files or directories, relative to the input root (`Command.output_paths`).
    pub output_paths: Vec<String>,
    /// What the worker must have, as `Arch` and `amd64` (`Platform`).
    pub platform: Vec<(String, String)>,
    /// How long the command may run; the server's default if `None`.
    pub timeout: Option<Duration>,
    /// What decides the result without being seen by the command (`Action.salt`).
    pub salt: Vec<u8>,
    /// Run it even if its result is known.
    pub skip_cache: bool,
    /// What it is called in the server's logs, such as `PySdistBuild` (`RequestMetadata.action_mnemonic`).
    pub mnemonic: String,
    /// What it is run for (`RequestMetadata.target_id`).
    pub target: String,
}

/// A job in the words of the API.
#[derive(Debug, Clone)]
pub(super) struct PreparedAction {
    pub(super) digest: Digest,
    /// All that the server must have to run it.
    pub(super) blobs: Blobs,
}

impl Job {
    /// The digest of the action: equal jobs have equal ones, and their results are interchangeable.
    pub fn digest(&self) -> Digest {
        self.prepare().digest
    }

    pub(super) fn prepare(&self) -> PreparedAction {
        let mut blobs = Blobs::new();
        let input_root = self.inputs.collect(&mut blobs);
        let platform = self.platform();
        let variable = |(name, value): (&String, &String)| command::EnvironmentVariable {
            name: name.clone(),
            value: value.clone(),
        };
        let mut output_paths = self.output_paths.clone();
        output_paths.sort();
        output_paths.dedup();
        let command = Command {
            arguments: self.arguments.clone(),
            // Sorted by name, as the API wants it.
            environment_variables: self.environment.iter().map(variable).collect(),
            output_paths,
            // Before API 2.2 it was here.
            #[allow(deprecated)]
            platform: Some(platform.clone()),
            ..Command::default()
        };
        let action = Action {
            command_digest: Some(add_message(&command, &mut blobs).to_message()),
            input_root_digest: Some(input_root.to_message()),
            timeout: self.timeout.map(|timeout| protobuf::Duration {
                seconds: timeout.as_secs().try_into().unwrap_or(i64::MAX),
                nanos: timeout.subsec_nanos().try_into().unwrap_or(0),
            }),
            do_not_cache: false,
            salt: self.salt.clone(),
            platform: Some(platform),
        };
        PreparedAction { digest: add_message(&action, &mut blobs), blobs }
    }

    /// Sorted by name and then by value, as the API wants it and as Buildbarn insists on.
    fn platform(&self) -> Platform {
        let mut properties = self.platform.clone();
        properties.sort();
        properties.dedup();
        let property = |(name, value)| platform::Property { name, value };
        Platform { properties: properties.into_iter().map(property).collect() }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::client::input_root::Content;
    use crate::digest::DigestFunction;

    fn message<M: Message + Default>(digest: Option<&crate::reapi::Digest>, blobs: &Blobs) -> M {
        let digest = Digest::from_field(DigestFunction::Sha256, digest).unwrap();
        let Content::Memory(bytes) = &blobs[&digest] else { panic!("messages are in memory") };
        M::decode(&bytes[..]).unwrap()
    }

    #[test]
    fn properties_are_sorted_and_in_both_places() {
        let job = Job {
            platform: vec![("OSFamily".into(), "linux".into()), ("Arch".into(), "amd64".into())],
            output_paths: vec!["z".into(), "a".into()],
            timeout: Some(Duration::from_millis(1500)),
            ..Job::default()
        };
        let prepared = job.prepare();
        let action: Action = message(Some(&prepared.digest.to_message()), &prepared.blobs);
        let command: Command = message(action.command_digest.as_ref(), &prepared.blobs);
        let names: Vec<_> = action.platform.iter().flat_map(|platform| &platform.properties).collect();
        assert_eq!(names.iter().map(|property| &property.name[..]).collect::<Vec<_>>(), ["Arch", "OSFamily"]);
        #[allow(deprecated)]
        let in_command = command.platform;
        assert_eq!(in_command, action.platform);
        assert_eq!(command.output_paths, ["a", "z"]);
        let timeout = action.timeout.unwrap();
        assert_eq!((timeout.seconds, timeout.nanos), (1, 500_000_000));
    }

    #[test]
    fn all_that_decides_the_result_is_in_the_digest() {
        let plain = Job::default();
        let changed = [
            Job { arguments: vec!["x".into()], ..plain.clone() },
            Job { environment: [("A".to_owned(), "b".to_owned())].into(), ..plain.clone() },
            Job { platform: vec![("Arch".into(), "arm64".into())], ..plain.clone() },
            Job { salt: vec![1], ..plain.clone() },
        ];
        for job in changed {
            assert_ne!(job.prepare().digest, plain.prepare().digest, "{job:?}");
        }
        let same = Job { skip_cache: true, target: "other".into(), ..plain.clone() };
        assert_eq!(same.prepare().digest, plain.prepare().digest);
    }
}
