//! The store against the simplest thing that could be right: a map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::waiting::wait_until;

#[derive(Debug, Clone)]
enum Step {
    Write(u8),
    WriteWrong(u8),
    Remove(u8),
    Adopt(u8),
    Link(u8, bool),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0..12_u8;
    prop_oneof![
        4 => number.clone().prop_map(Step::Write),
        1 => number.clone().prop_map(Step::WriteWrong),
        2 => number.clone().prop_map(Step::Remove),
        1 => number.clone().prop_map(Step::Adopt),
        2 => (number, any::<bool>()).prop_map(|(number, executable)| Step::Link(number, executable)),
        1 => Just(Step::Reopen),
    ]
}

fn blob(number: u8) -> (Digest, Vec<u8>) {
    let bytes = vec![number; 1 + usize::from(number) * 1500];
    let function = DigestFunction::ALL[usize::from(number % 2)];
    (function.digest(&bytes), bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_map_whatever_happens(steps in proptest::collection::vec(step(), 1..40)) {
        let mut scene = Scene::new();
        let mut model: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        for (count, step) in steps.into_iter().enumerate() {
            match step {
                Step::Write(number) => {
                    let (digest, bytes) = blob(number);
                    scene.store.write(&digest, bytes.clone().into()).unwrap();
                    model.insert(number, bytes);
                }
                Step::WriteWrong(number) => {
                    let wrong = vec![99; 1 + usize::from(number) * 1500].into();
                    prop_assert!(scene.store.write(&blob(number).0, wrong).is_err());
                }
                Step::Remove(number) => {
                    if model.remove(&number).is_some() {
                        let digest = blob(number).0;
                        fs_err::remove_file(scene.path(&digest)).unwrap();
                        scene.store.core.files.drop_if_gone(&Key::blob(&digest)).unwrap();
                    }
                }
                Step::Adopt(number) => {
                    let (digest, bytes) = blob(number);
                    let file = scene.store.work_directory().join("file");
                    fs_err::write(&file, &bytes).unwrap();
                    scene.store.adopt(&digest, &file).unwrap();
                    model.insert(number, bytes);
                }
                Step::Link(number, executable) => {
                    let mode = if executable { FileMode::Executable } else { FileMode::Plain };
                    let place = scene.store.trees_directory().join(count.to_string());
                    let linked = scene.store.link(&blob(number).0, mode, &place);
                    prop_assert_eq!(linked.is_ok(), model.contains_key(&number));
                    if let Some(bytes) = model.get(&number) {
                        prop_assert_eq!(&fs_err::read(&place).unwrap(), bytes);
                        let actual = fs_err::metadata(&place).unwrap().permissions();
                        let actual = std::os::unix::fs::PermissionsExt::mode(&actual) & 0o777;
                        prop_assert_eq!(actual, if executable { 0o555 } else { 0o444 });
                    }
                }
                Step::Reopen => scene = scene.reopened(|_| {}),
            }
            for number in 0..12 {
                let digest = blob(number).0;
                prop_assert_eq!(scene.is_there(&digest), model.contains_key(&number));
                prop_assert_eq!(scene.store.read(&digest).ok().map(Vec::from), model.get(&number).cloned());
            }
        }
        wait_until("all to be listed", || scene.store.usage().listed);
        prop_assert_eq!(scene.store.usage().blobs, model.len() as u64);
        prop_assert_eq!(scene.store.usage().blob_bytes, model.values().map(|bytes| bytes.len() as u64).sum::<u64>());
    }
}
