//! That each promise of the threat model names tests that hold it, and that they are there.

use std::path::Path;

use crate::markdown::{Page, SOURCES};

/// The source of all tests.
fn tests() -> String {
    let (mut directories, mut text) =
        (vec![Path::new(SOURCES).join("tests"), Path::new(SOURCES).join("src")], String::new());
    while let Some(directory) = directories.pop() {
        for entry in fs_err::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs_err::read_to_string(path).unwrap());
            }
        }
    }
    text
}

#[test]
fn each_promise_is_held_by_tests_that_exist() {
    let page = Page::all().into_iter().find(|page| page.path == "docs/sandbox.md").unwrap();
    let rows = page.text.lines().skip_while(|line| !line.starts_with("| promise |")).skip(2);
    let rows: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 10, "{rows:?}");
    let tests = tests();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 6, "a promise, four ways to run, and what holds it: {row}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{row}");
        let names: Vec<&str> = cells[5].split(", ").map(|name| name.trim_matches('`')).collect();
        for name in names {
            assert!(tests.contains(&format!("fn {name}()")), "there is no test {name}");
        }
    }
}
