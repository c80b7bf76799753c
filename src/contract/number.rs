//! The number of the contract. Two sides with different releases understand each other if the one knows the number that
//! the other names; the release itself does not matter.
//!
//! **When it goes up.** With whatever an older worker would take amiss: a flag or a variable that it does not know, one
//! that means something else from now on. Not with what answers have in addition: whoever reads them skips what it does
//! not know, and takes a class of failures that it does not know for [`BackendError`](super::failure::FailureClass::BackendError).
//!
//! **What came with which.** 1: `crosswheel wheel`. 2: `crosswheel check` and `crosswheel sdist`.
//!
//! **When an old one is dropped** from [`KNOWN`]: never without need. While it is in there, all that could be said by it
//! must mean what it meant.
//!
//! So workers are upgraded first, whenever that suits, and then whoever asks, one repository at a time: generated rules
//! name the number, not the release, and do not change from one release to the next.
//!
//! **What is still kept apart by release.** The number is part of the action's digest, the release is not. Releases may
//! differ in the wheels they make of the same input, and in what they refuse. Where the crosswheel that asks is the one
//! that runs the step, in the executor of `crosswheel build`, its release is in the salt of the action: an upgrade builds
//! anew. Elsewhere the one that asks cannot know which release will run its action, so that its own would keep nothing
//! apart but clients that could share. There crosswheel is like the compilers of a worker: whoever wants the results of
//! two of them kept apart gives workers and platforms a property that tells, which is part of the action.

use std::ops::RangeInclusive;

/// The contract by which this crosswheel asks.
pub const CONTRACT: u32 = 2;

/// The variable that names the contract by which an action is asked for.
pub const CONTRACT_VARIABLE: &str = "CROSSWHEEL_CONTRACT";

/// What named the release that an action wanted, before contracts had numbers.
pub const RELEASE_VARIABLE: &str = "CROSSWHEEL_VERSION";

/// The release of this crosswheel.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// Every contract that this crosswheel takes.
const KNOWN: RangeInclusive<u32> = 1..=CONTRACT;

/// Why a worker does not take an action, and which side has to be upgraded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractRefused {
    /// A number that is known no longer.
    #[error(
        "the action was made for contract {asked} of `crosswheel wheel`, and this worker, crosswheel {RELEASE}, takes \
         {}: {REGENERATE}", numbers(.known)
    )]
    Older {
        /// The number that the action names.
        asked: u32,
        /// The numbers that are known.
        known: RangeInclusive<u32>,
    },
    /// A number that is not known yet.
    #[error(
        "the action was made for contract {asked} of `crosswheel wheel`, and this worker, crosswheel {RELEASE}, takes \
         {}: upgrade the worker", numbers(.known)
    )]
    Newer {
        /// The number that the action names.
        asked: u32,
        /// The numbers that are known.
        known: RangeInclusive<u32>,
    },
    /// It names a release, as was done before contracts had numbers.
    #[error(
        "the action was made by crosswheel {release}, whose contract of `crosswheel wheel` has no number yet, and this \
         worker, crosswheel {RELEASE}, takes {}: {REGENERATE}", numbers(.known)
    )]
    Release {
        /// What the action names.
        release: String,
        /// The numbers that are known.
        known: RangeInclusive<u32>,
    },
    /// What it names is no number.
    #[error("{CONTRACT_VARIABLE} is `{0}`, and should be the number of a contract, such as {CONTRACT}")]
    Malformed(String),
    /// It names none.
    #[error(
        "the action runs crosswheel, but does not say by which contract: set {CONTRACT_VARIABLE} in the command's \
         environment (this worker, crosswheel {RELEASE}, takes {})", numbers(&KNOWN)
    )]
    Unsaid,
}

const REGENERATE: &str = "regenerate platforms/ with `crosswheel generate bazel`, or, if it was `crosswheel build` that \
    asked, upgrade that";

/// The contract by which somebody asks who sets these variables; none if they do not say, as at a command line.
///
/// # Errors
/// If it is not one that this crosswheel takes.
pub fn asked_contract(variable: impl Fn(&str) -> Option<String>) -> Result<Option<u32>, ContractRefused> {
    asked_of(KNOWN, variable)
}

fn asked_of(
    known: RangeInclusive<u32>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<u32>, ContractRefused> {
    let Some(text) = variable(CONTRACT_VARIABLE) else {
        return variable(RELEASE_VARIABLE)
            .map_or(Ok(None), |release| Err(ContractRefused::Release { release, known }));
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ContractRefused::Malformed(text));
    }
    // A number that no variable of ours holds is one that is to come.
    match text.parse().unwrap_or(u32::MAX) {
        asked if asked < *known.start() => Err(ContractRefused::Older { asked, known }),
        asked if asked > *known.end() => Err(ContractRefused::Newer { asked, known }),
        asked => Ok(Some(asked)),
    }
}

/// `contract 1`, or `contracts 1 to 3`.
fn numbers(known: &RangeInclusive<u32>) -> String {
    match (known.start(), known.end()) {
        (first, last) if first == last => format!("contract {first}"),
        (first, last) => format!("contracts {first} to {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(known: RangeInclusive<u32>, variables: &[(&str, &str)]) -> Result<Option<u32>, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        asked_of(known, variable).map_err(|refused| refused.to_string())
    }

    /// Those who have not been upgraded yet go on, whoever is first.
    #[test]
    fn every_number_that_is_known_is_taken_whatever_the_release() {
        for number in ["2", "3", "4"] {
            let variables = [(CONTRACT_VARIABLE, number), (RELEASE_VARIABLE, "0.0.1")];
            assert_eq!(asked(2..=4, &variables), Ok(number.parse().ok()));
        }
        assert_eq!(asked(2..=4, &[]), Ok(None));
    }

    #[test]
    fn who_is_refused_learns_both_numbers_and_which_side_to_upgrade() {
        let refused = |variable, value| asked(2..=4, &[(variable, value)]).unwrap_err();
        for (text, remedy) in [
            (refused(CONTRACT_VARIABLE, "1"), "regenerate platforms/ with `crosswheel generate bazel`"),
            (refused(RELEASE_VARIABLE, "1"), "regenerate platforms/ with `crosswheel generate bazel`"),
            (refused(CONTRACT_VARIABLE, "5"), "upgrade the worker"),
        ] {
            assert!(text.contains(remedy), "{text}");
            assert!(text.contains(&format!("crosswheel {RELEASE}, takes contracts 2 to 4")), "{text}");
        }
        assert!(refused(CONTRACT_VARIABLE, "1").contains("contract 1 of"));
        assert!(refused(CONTRACT_VARIABLE, "5").contains("contract 5 of"));
        assert!(refused(RELEASE_VARIABLE, "0.1.0").contains("crosswheel 0.1.0"));
        for text in ["", "one", "0.1.0", "-1", "+1", " 1"] {
            assert!(refused(CONTRACT_VARIABLE, text).contains("should be the number"), "{text}");
        }
    }
}
