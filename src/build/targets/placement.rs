//! Where a step runs, and what that means for what it can ask for. Knows nothing of what it does there.

use super::target_root::TargetRoot;
use crate::platform::Target;

/// Where the steps for a target run, and so what of this machine they can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On this machine: with the Python and the tools that are here, at their paths.
    Here,
    /// On this machine, in a root file system of the target's platform: with what is in there.
    Root(TargetRoot),
    /// On a worker somewhere.
    Remote(RemotePlacement),
}

/// What is asked of workers somewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemotePlacement {
    /// Python on the workers: a command or a path; the one of the version that is wanted if `None`.
    pub python: Option<String>,
    /// Platform properties beside `Arch` and `OSFamily`, or instead of them; without a value, not that one of ours.
    pub properties: Vec<(String, String)>,
}

impl RemotePlacement {
    /// Whether `name` is decided by the user.
    pub fn gives(&self, name: &str) -> bool {
        self.properties.iter().any(|(given, _)| given.eq_ignore_ascii_case(name))
    }
}

impl Placement {
    /// The platform properties of an action for `target` (REAPI `Platform`).
    pub fn platform(&self, target: Target) -> Vec<(String, String)> {
        let own = [("Arch", target.arch.property()), ("OSFamily", "Linux")];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        match self {
            Self::Here | Self::Root(_) => own.into(),
            Self::Remote(remote) => {
                let own = own.into_iter().filter(|(name, _)| !remote.gives(name));
                // `NAME=` leaves out one of ours.
                let given = remote.properties.iter().filter(|(_, value)| !value.is_empty()).cloned();
                own.chain(given).collect()
            }
        }
    }

    /// Where that is, to be said before what went wrong there; nothing if it is simply here.
    pub fn whereabouts(&self, target: Target) -> Option<String> {
        match self {
            Self::Here => None,
            Self::Root(root) => Some(format!("in {} ({target})", root.directory.display())),
            Self::Remote(_) => Some(format!("on the worker ({target})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(properties: &[(&str, &str)]) -> Vec<String> {
        let properties =
            properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let placement = Placement::Remote(RemotePlacement { python: None, properties });
        let platform = placement.platform("linux_arm64".parse().unwrap());
        platform.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn properties_of_the_user_add_to_ours_or_replace_them() {
        assert_eq!(with(&[]), ["Arch=arm64", "OSFamily=Linux"]);
        assert_eq!(
            with(&[("osfamily", "linux"), ("Pool", "big")]),
            ["Arch=arm64", "osfamily=linux", "Pool=big"]
        );
        assert_eq!(with(&[("Arch", "")]), ["OSFamily=Linux"]);
    }

    #[test]
    fn what_runs_here_asks_for_the_platform_of_its_target() {
        let properties = Placement::Here.platform("linux_amd64".parse().unwrap());
        assert_eq!(properties[0], ("Arch".to_owned(), "amd64".to_owned()));
    }
}
