//! That the pages hold together: links, and how long they may get.

use std::path::Path;

use crate::markdown::{Page, SOURCES};

/// `docs/a/../b.md` without the detour.
fn resolve(page: &str, link: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => drop(parts.pop().unwrap_or_else(|| panic!("{page}: {link} leads out of the sources"))),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn every_link_leads_somewhere() {
    let pages = Page::all();
    let find = |path: &str| pages.iter().find(|page| page.path == path);
    for page in &pages {
        for link in page.links().iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() { page.path.clone() } else { resolve(&page.path, file) };
            assert!(Path::new(SOURCES).join(&path).exists(), "{}: {link}: there is no {path}", page.path);
            if !anchor.is_empty() {
                let anchors =
                    find(&path).unwrap_or_else(|| panic!("{}: {link}: not a page", page.path)).anchors();
                assert!(anchors.iter().any(|other| other == anchor), "{}: {link}: of {anchors:?}", page.path);
            }
        }
    }
}

/// A heading that is there twice has links to the first one only.
#[test]
fn no_page_has_two_headings_of_one_name() {
    for page in Page::all() {
        let mut anchors = page.anchors();
        anchors.sort();
        for pair in anchors.windows(2) {
            assert_ne!(pair[0], pair[1], "{}", page.path);
        }
    }
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let pages = Page::all();
    let mut reached = vec!["README.md".to_owned()];
    let mut next = 0;
    while next < reached.len() {
        let page = pages.iter().find(|page| page.path == reached[next]);
        for link in page.into_iter().flat_map(Page::links).filter(|link| !link.contains("://")) {
            let file = link.split('#').next().unwrap_or_default();
            let path = resolve(&reached[next], file);
            if !reached.contains(&path) {
                reached.push(path);
            }
        }
        next += 1;
    }
    for page in &pages {
        assert!(reached.contains(&page.path), "nothing leads from README.md to {}", page.path);
    }
}

#[test]
fn every_test_and_benchmark_that_the_manual_names_is_there() {
    for command in Page::all().iter().flat_map(Page::commands) {
        let line = command.line();
        let words: Vec<_> = line.split(' ').take_while(|word| *word != "--").collect();
        for pair in words.windows(2) {
            let directory = match pair[0] {
                "--test" => "tests",
                "--bench" => "benches",
                _ => continue,
            };
            let files = [".rs", "/main.rs"].map(|end| format!("{directory}/{}{end}", pair[1]));
            let exists = files.iter().any(|file| Path::new(SOURCES).join(file).is_file());
            assert!(exists, "{}: there is neither {} nor {}", command.place(), files[0], files[1]);
        }
    }
}

/// Files move; whoever moves one finds the pages that name it.
#[test]
fn every_file_of_the_sources_that_the_manual_names_is_there() {
    for page in Page::all() {
        for code in page.inline_code() {
            let is_path = ["src/", "tests/", "benches/", "docker/", "e2e/", "docs/", "protos/"]
                .iter()
                .any(|top| code.starts_with(top));
            let path = code.split_whitespace().next().unwrap_or_default();
            let exists = !is_path || Path::new(SOURCES).join(path).exists();
            assert!(exists, "{} names {path}, which is not there", page.path);
        }
    }
}

#[test]
fn what_everybody_reads_is_short() {
    for (path, most) in [("README.md", 150), ("ARCHITECTURE.md", 200)] {
        let lines = Page::read(path).text.lines().count();
        assert!(lines <= most, "{path} has {lines} lines, and may have {most}; there are pages below docs/");
    }
}
