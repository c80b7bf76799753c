//! The `--target` flags: which targets they name, and how new a glibc the wheels for each may need.
//! Knows nothing of what is built for them.

use crate::contract::{Failure, FailureClass};
use crate::platform::{Glibc, RequestedTarget, Target};

/// What `--target` says, each target once, in the order in which they were given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NamedTargets {
    /// The targets.
    pub targets: Vec<Target>,
    /// The glibc of those whose name says one.
    pub glibc: Vec<(Target, Glibc)>,
}

impl NamedTargets {
    /// What `requested` says beside `--glibc`.
    ///
    /// # Errors
    /// Two versions of glibc for one target.
    pub fn of(requested: &[RequestedTarget], glibc: Option<Glibc>) -> Result<Self, Failure> {
        let mut named = Self::default();
        for request in requested {
            if !named.targets.contains(&request.target) {
                named.targets.push(request.target);
            }
            if let Some(own) = request.glibc {
                named.bound(request.target, own, glibc)?;
            }
        }
        Ok(named)
    }

    fn bound(&mut self, target: Target, own: Glibc, flag: Option<Glibc>) -> Result<(), Failure> {
        if let Some(flag) = flag.filter(|flag| *flag != own) {
            let message =
                format!("--target names glibc {own} for {target}, and --glibc says {flag} for all targets");
            return Err(contradiction(message, "leave out one of them"));
        }
        match self.glibc.iter().find(|(known, _)| *known == target) {
            Some((_, other)) if *other != own => {
                let message = format!("--target names glibc {other} and glibc {own} for {target}");
                Err(contradiction(message, "name one; wheels for the older one are good for both"))
            }
            Some(_) => Ok(()),
            None => {
                self.glibc.push((target, own));
                Ok(())
            }
        }
    }
}

fn contradiction(message: String, hint: &str) -> Failure {
    Failure::new(FailureClass::InvalidSource, message).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &str, glibc: Option<&str>) -> Result<NamedTargets, Failure> {
        let requested: Vec<_> = names.split_whitespace().map(|name| name.parse().unwrap()).collect();
        NamedTargets::of(&requested, glibc.map(|glibc| glibc.parse().unwrap()))
    }

    #[test]
    fn each_target_is_there_once_with_the_glibc_that_is_named_for_it() {
        let found = named("aarch64 linux/amd64 manylinux_2_28_aarch64 linux_arm64", None).unwrap();
        let texts: Vec<_> = found.targets.iter().map(Target::to_string).collect();
        assert_eq!(texts, ["linux_arm64", "linux_amd64"]);
        assert_eq!(found.glibc, [(found.targets[0], "2.28".parse().unwrap())]);
        named("manylinux_2_28_aarch64 x64", Some("2.28")).unwrap();
    }

    #[test]
    fn two_glibcs_for_one_target_are_a_contradiction() {
        let message = |names, glibc| named(names, glibc).unwrap_err().message;
        assert!(message("manylinux_2_28_aarch64", Some("2.17")).contains("--glibc says 2.17"));
        assert!(
            message("manylinux_2_28_aarch64 manylinux2014_aarch64", None).contains("2.28 and glibc 2.17")
        );
    }
}
