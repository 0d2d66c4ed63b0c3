//! The page about the guarantees names the tests that hold them: they have to exist.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;

/// Tests of this crate, as `file::name`.
fn tests_of(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tests_of(&path));
            continue;
        }
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("fn ")
                && marked
            {
                found.insert(format!("{file}::{}", rest.split('(').next().unwrap()));
            }
            marked = line == "#[test]" || (marked && line.starts_with("#["));
        }
    }
    found
}

/// Every guarantee has a section with the tests that hold it, and every test named anywhere exists.
#[test]
fn the_tests_that_the_page_names_exist() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(here.join("../../docs/supervision.md")).unwrap();
    let mut known = tests_of(&here.join("tests"));
    known.extend(tests_of(&here.join("src")));
    assert!(known.contains("docs::the_tests_that_the_page_names_exist"), "{known:?}");

    let mut held = BTreeSet::new();
    let mut section = 0;
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            section = heading.split('.').next().unwrap().parse().unwrap_or(0);
        }
        let Some(list) = line.strip_prefix("Tests: ") else { continue };
        for name in list.split(", ").map(|name| name.trim_end_matches('.').trim_matches('`')) {
            assert!(known.contains(name), "guarantee {section} is held by `{name}`, which does not exist");
            held.insert(section);
        }
    }
    assert_eq!(held, (1..=15).collect(), "guarantees with tests");
}

/// The table of the sequencer's tree says of each component why nobody has to follow its restart, and names the tests
/// that hold it: they have to exist, and no component may be left out.
#[test]
fn the_tests_that_the_tree_names_exist() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(here.join("../../docs/supervision.md")).unwrap();
    let tree = page.split("## The sequencer's own tree").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut rows = BTreeSet::new();
    for row in tree.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (component, held) = (cells[0].trim_matches('`'), cells[cells.len() - 1]);
        for name in held.split(", ").map(|name| name.trim_matches('`')) {
            let (actor, test) = name.split_once("::").unwrap();
            let text =
                std::fs::read_to_string(here.join(format!("../../actors/src/{actor}/tests.rs"))).unwrap();
            assert!(text.contains(&format!("async fn {test}()")), "{component}: there is no test {name}");
        }
        rows.insert(component.to_owned());
    }
    let sequencer = std::fs::read_to_string(here.join("../../src/sequencer.rs")).unwrap();
    assert!(!sequencer.contains("depends_on"), "say here what depends on what");
    let components = sequencer.matches("tree = tree.child(").count();
    assert_eq!(rows.len(), components, "{rows:?}");
}

/// The README counts to fifteen as well, and sends its readers to the page.
#[test]
fn the_readme_has_the_same_guarantees() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(here.join("README.md")).unwrap();
    let page = std::fs::read_to_string(here.join("../../docs/supervision.md")).unwrap();
    for number in 1..=15 {
        let start = format!("{number}. **");
        let short = readme.lines().find_map(|l| l.strip_prefix(start.as_str())).expect("a guarantee");
        let title = short.split(".**").next().unwrap();
        assert!(page.contains(&format!("### {number}. {title}\n")), "{number}. {title}");
    }
}
