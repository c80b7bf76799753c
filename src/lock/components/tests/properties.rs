//! For any lock and any configuration, and each of 25 environments.

use std::collections::BTreeSet;

use pep508_rs::MarkerEnvironment;
use proptest::prelude::*;

use super::super::Components;
use super::environments::environments;
use super::generated::{Generated, generated, marker, platform_marker};
use super::oracle::{installed, needed, reachable};
use crate::lock::aliases::Aliases;
use crate::lock::closure::Closure;
use crate::lock::conditions::Conditions;
use crate::lock::decision::{simplify_where, text};
use crate::lock::graph::Graph;
use crate::lock::{LockError, RecordIndex};

/// Cases of each property; more with `CROSSWHEEL_LOCK_CASES`.
fn cases() -> ProptestConfig {
    let more = std::env::var("CROSSWHEEL_LOCK_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(more.unwrap_or(400)) }
}

fn supported<'e>(
    conditions: &Conditions,
    environments: &'e [MarkerEnvironment],
) -> impl Iterator<Item = &'e MarkerEnvironment> {
    environments.iter().filter(|environment| conditions.supported().include(environment))
}

fn check(generated: &Generated) -> Result<(), TestCaseError> {
    let lock = generated.lock();
    let graph = Graph::of(&lock);
    let configuration = generated.configuration.of(&lock);
    let environments = environments();
    let conditions = match Conditions::of(&graph, &configuration) {
        Ok(conditions) => conditions,
        Err(LockError::Unavailable { .. }) => {
            let supported =
                crate::lock::SupportedEnvironments::new(lock.supported_markers(), lock.requires_python())
                    .unwrap();
            for environment in environments.iter().filter(|environment| supported.include(environment)) {
                let needed = needed(&graph, &configuration, environment);
                prop_assert!(needed.is_in_conflict || needed.is_without_fork);
            }
            return Ok(());
        }
        Err(error) => return Err(TestCaseError::fail(error.to_string())),
    };
    let components = Components::of(&graph, &conditions).unwrap();
    let aliases = Aliases::of(&graph, &conditions);
    for environment in supported(&conditions, &environments) {
        let needed = needed(&graph, &configuration, environment);
        let nodes: BTreeSet<_> = conditions.nodes_in(&graph, environment).into_iter().collect();
        prop_assert_eq!(&nodes, &needed.nodes, "conditions on {:?}", environment);
        let unavailable =
            conditions.unavailable().iter().any(|place| place.marker.evaluate(environment, &[]));
        prop_assert_eq!(unavailable, needed.is_in_conflict || needed.is_without_fork);
        match Closure::of(&graph, &configuration, environment) {
            Ok(closure) => prop_assert_eq!(&closure.nodes().collect::<BTreeSet<_>>(), &nodes),
            Err(_) => prop_assert!(unavailable),
        }

        let records: BTreeSet<_> = nodes.iter().map(|node| graph.record_index(*node)).collect();
        let starts = components.starts().iter().filter(|(_, marker)| marker.evaluate(environment, &[]));
        let walked = installed(&components, starts.map(|(record, _)| *record), environment);
        prop_assert_eq!(&walked, &records, "entries from the starts on {:?}", environment);
        for record in &records {
            let by_entry = installed(&components, [*record], environment);
            let by_edges = reachable(&graph, *record, &needed, environment);
            prop_assert_eq!(by_entry, by_edges, "the entry {:?} on {:?}", record, environment);
        }
        if let Ok(aliases) = &aliases {
            for (name, alternatives) in aliases.iter() {
                let chosen = alternatives.iter().filter(|(_, marker)| marker.evaluate(environment, &[]));
                let chosen: Vec<RecordIndex> = chosen.map(|(record, _)| *record).collect();
                let named = records.iter().filter(|record| lock.record(**record).name == *name);
                prop_assert_eq!(&chosen, &named.copied().collect::<Vec<_>>());
                prop_assert!(chosen.len() <= 1);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn conditions_and_entries_give_what_each_environment_needs(generated in generated()) {
        check(&generated)?;
    }

    #[test]
    fn what_is_assumed_changes_no_answer_where_it_holds(
        marker in platform_marker(), assumed in platform_marker()
    ) {
        let (marker, assumed) = (marker.parse().unwrap(), assumed.parse().unwrap());
        let simplified = simplify_where(&marker, &assumed).unwrap();
        for environment in environments().iter().filter(|environment| assumed.evaluate(environment, &[])) {
            prop_assert_eq!(simplified.evaluate(environment, &[]), marker.evaluate(environment, &[]));
        }
    }

    #[test]
    fn a_marker_means_the_same_as_its_text(marker in marker()) {
        let marker: pep508_rs::MarkerTree = marker.parse().unwrap();
        // pep508_rs spells `false` as a Python that nobody has.
        prop_assume!(!marker.is_false());
        let again = text(&marker).unwrap().map_or_else(Default::default, |text| text.parse().unwrap());
        prop_assert_eq!(marker, again);
    }
}
