//! Which pools can run an action: the properties it asks for against those they offer. Knows nothing of operations.
//!
//! Names are compared without regard to case, and so are the values of `OSFamily`. `ISA` is another name for `Arch`,
//! with other values (`x86-64` is `amd64`, `arm-a64` is `arm64`). A pool must offer every property asked for, but for
//! what clients add for other reasons: that counts once a pool offers the like.

use std::collections::HashMap;
use std::fmt;

use super::pool::Pool;
use super::remarks::is_remark;
use crate::execute::{is_limit, platform_properties};
use crate::platform::{NamedArch, canonical_property_name};
use crate::reapi::{Action, Command};

/// What an action asks of its worker, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requirements(Vec<(String, String)>);

impl Requirements {
    /// Those of the action, or of the command if the action names none. What only limits the action is not asked of
    /// its worker.
    pub fn of(action: &Action, command: &Command) -> Self {
        let properties = platform_properties(action, command).iter();
        let properties = properties.filter(|property| !is_limit(&property.name));
        Self(properties.map(|property| (property.name.clone(), property.value.clone())).collect())
    }

    /// Those that choose among `offers`: all but the remarks of clients of which no offer says anything.
    pub(super) fn choosing_among<'a>(&self, offers: impl Iterator<Item = &'a Offer> + Clone) -> Self {
        let chooses = |name: &str| !is_remark(name) || offers.clone().any(|offer| offer.names(name));
        Self(self.0.iter().filter(|(name, _)| chooses(name)).cloned().collect())
    }
}

impl From<Vec<(String, String)>> for Requirements {
    fn from(properties: Vec<(String, String)>) -> Self {
        Self(properties)
    }
}

/// What a pool offers, prepared for matching: canonical values by canonical name.
#[derive(Debug)]
pub(super) struct Offer(HashMap<String, Vec<String>>);

impl Offer {
    pub(super) fn of(pool: &Pool) -> Self {
        let mut offered: HashMap<String, Vec<String>> = HashMap::new();
        for (name, value) in &pool.properties {
            let name = canonical_property_name(name);
            let mut values: Vec<String> =
                value.split(',').map(|part| canonical_value(&name, part.trim())).collect();
            if values.len() > 1 {
                values.push(canonical_value(&name, value));
            }
            offered.entry(name).or_default().extend(values);
        }
        Self(offered)
    }

    /// The properties asked for that are not offered.
    pub(super) fn lacks(&self, requirements: &Requirements) -> Vec<(String, String)> {
        requirements.0.iter().filter(|(name, value)| !self.has(name, value)).cloned().collect()
    }

    /// Whether it says anything under a name.
    fn names(&self, name: &str) -> bool {
        self.0.contains_key(&canonical_property_name(name))
    }

    fn has(&self, name: &str, value: &str) -> bool {
        let name = canonical_property_name(name);
        let value = canonical_value(&name, value);
        self.0.get(&name).is_some_and(|offered| offered.iter().any(|offer| offer == "*" || *offer == value))
    }
}

fn canonical_value(canonical_name: &str, value: &str) -> String {
    match canonical_name {
        "osfamily" => value.to_ascii_lowercase(),
        "arch" => match NamedArch::of(value).and_then(NamedArch::ours) {
            Some(arch) => arch.property().to_owned(),
            None => value.to_ascii_lowercase(),
        },
        _ => value.to_owned(),
    }
}

/// What `properties` say of the architecture, under either name.
pub fn architectures(properties: &[(String, String)]) -> impl Iterator<Item = &str> {
    let architectures = properties.iter().filter(|(name, _)| canonical_property_name(name) == "arch");
    architectures.flat_map(|(_, value)| value.split(',')).map(str::trim)
}

/// Why no pool can ever run an action. Its text tells the person who asked what there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Unsatisfiable {
    /// What the action asks for.
    pub asked: Requirements,
    /// Every pool, the one that lacks least first.
    pub pools: Vec<Shortfall>,
}

/// What one pool lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall {
    pub pool: String,
    pub offers: Vec<(String, String)>,
    /// Properties as the action asks for them.
    pub lacks: Vec<(String, String)>,
}

impl Unsatisfiable {
    /// The properties that keep the closest pool from running the action.
    pub fn decisive(&self) -> &[(String, String)] {
        self.pools.first().map(|closest| closest.lacks.as_slice()).unwrap_or_default()
    }
}

impl fmt::Display for Requirements {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&listed(&self.0))
    }
}

impl fmt::Display for Unsatisfiable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no pool of workers can run this action, which asks for {}.", self.asked)?;
        for shortfall in &self.pools {
            let Shortfall { pool, offers, lacks } = shortfall;
            write!(formatter, " Pool `{pool}` offers {}; it lacks {}.", listed(offers), listed(lacks))?;
        }
        match self.pools.as_slice() {
            [] => formatter.write_str(" There are no pools."),
            [only] => {
                write!(formatter, " Change {} in the action's platform, or offer it.", names(&only.lacks))
            }
            [closest, ..] => write!(
                formatter,
                " The closest is `{}`: change {} in the action's platform, or offer it there.",
                closest.pool,
                names(&closest.lacks)
            ),
        }
    }
}

fn listed(properties: &[(String, String)]) -> String {
    if properties.is_empty() {
        return "nothing".to_owned();
    }
    properties.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

fn names(properties: &[(String, String)]) -> String {
    properties.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reapi::Platform;
    use crate::reapi::platform::Property;

    fn properties(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn offer(pairs: &[(&str, &str)]) -> Offer {
        let properties = properties(pairs);
        Offer::of(&Pool { name: "native".into(), slots: 1, properties, preference: 0, timeouts: None })
    }

    fn lacks(offered: &[(&str, &str)], asked: &[(&str, &str)]) -> Vec<(String, String)> {
        offer(offered).lacks(&properties(asked).into())
    }

    const HOST: &[(&str, &str)] = &[("Arch", "amd64"), ("OSFamily", "Linux"), ("python", "3.11,3.12")];

    #[test]
    fn names_and_os_families_match_in_any_case() {
        assert_eq!(lacks(HOST, &[("osfamily", "linux"), ("ARCH", "amd64"), ("OSFamily", "LINUX")]), []);
    }

    #[test]
    fn isa_is_another_name_for_arch() {
        assert_eq!(lacks(HOST, &[("ISA", "x86-64")]), []);
        assert_eq!(lacks(HOST, &[("Arch", "x86_64")]), []);
        assert_eq!(lacks(&[("ISA", "arm-a64")], &[("Arch", "aarch64"), ("arch", "arm64")]), []);
        assert_eq!(lacks(HOST, &[("ISA", "arm-a64")]), properties(&[("ISA", "arm-a64")]));
    }

    #[test]
    fn any_value_of_a_list_is_offered_and_values_otherwise_match_exactly() {
        assert_eq!(lacks(HOST, &[("python", "3.12")]), []);
        assert_eq!(lacks(HOST, &[("python", "3.11")]), []);
        assert_eq!(lacks(&[("python", "3.11"), ("python", "3.12")], &[("Python", "3.12")]), []);
        assert_eq!(lacks(HOST, &[("python", "3.1")]), properties(&[("python", "3.1")]));
        assert_eq!(lacks(&[("libc", "Glibc")], &[("libc", "glibc")]), properties(&[("libc", "glibc")]));
    }

    #[test]
    fn every_property_asked_for_must_be_offered() {
        assert_eq!(lacks(HOST, &[("Arch", "amd64"), ("GPU", "a100")]), properties(&[("GPU", "a100")]));
        assert_eq!(lacks(&[("GPU", "*")], &[("GPU", "a100")]), []);
        assert_eq!(lacks(&[], &[]), []);
    }

    #[test]
    fn remarks_of_clients_choose_no_pool_unless_one_offers_the_like() {
        let asked: Requirements =
            properties(&[("persistentWorkerKey", "4f"), ("Arch", "amd64"), ("cache-silo-key", "a")]).into();
        let choosing = |offers: &[Offer]| asked.choosing_among(offers.iter());
        assert_eq!(choosing(&[]).to_string(), "Arch=amd64");
        assert_eq!(choosing(&[offer(HOST), offer(&[])]).to_string(), "Arch=amd64");
        let silo = [offer(HOST), offer(&[("Cache-Silo-Key", "b")])];
        assert_eq!(choosing(&silo).to_string(), "Arch=amd64, cache-silo-key=a");
        assert_eq!(silo[1].lacks(&choosing(&silo)).len(), 2);
    }

    #[test]
    fn the_platform_of_the_action_wins_over_that_of_the_command() {
        let platform = |name: &str| Platform {
            properties: vec![Property { name: name.to_owned(), value: "1".to_owned() }],
        };
        #[allow(deprecated)]
        let command = Command { platform: Some(platform("command")), ..Default::default() };
        let mut action = Action { platform: Some(platform("action")), ..Default::default() };
        assert_eq!(Requirements::of(&action, &command).to_string(), "action=1");
        let limits = ["Scratch", "output", "log", "memory", "pids"]
            .map(|name| Property { name: name.to_owned(), value: "1GiB".to_owned() });
        action.platform.as_mut().unwrap().properties.extend(limits);
        assert_eq!(Requirements::of(&action, &command).to_string(), "action=1");
        action.platform = Some(Platform::default());
        assert_eq!(Requirements::of(&action, &command).to_string(), "command=1");
        action.platform = None;
        assert_eq!(Requirements::of(&action, &command).to_string(), "command=1");
        assert_eq!(Requirements::of(&action, &Command::default()).to_string(), "nothing");
    }

    proptest! {
        #[test]
        fn a_pool_has_all_that_it_offers(
            pairs in proptest::collection::vec(("[a-zA-Z]{1,8}", "[^,]{0,8}"), 0..6)
        ) {
            // An offered value is trimmed when it is a list of one; what is asked for is taken as it is.
            let pairs: Vec<(String, String)> =
                pairs.into_iter().map(|(name, value)| (name, value.trim().to_owned())).collect();
            let pool =
                Pool { name: "p".into(), slots: 1, properties: pairs.clone(), preference: 0, timeouts: None };
            prop_assert_eq!(Offer::of(&pool).lacks(&pairs.into()), vec![]);
        }
    }
}
