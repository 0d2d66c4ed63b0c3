//! What the Markdown pages name, checked by the tests: files that they link to, contract tests, aliases of cargo.

use std::path::{Path, PathBuf};

/// Targets of the inline links of a page that name a file: no URL, no anchor of the page itself, nothing in code.
fn file_links(markdown: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut links = Vec::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // What stands between an odd and an even backtick is code.
        for text in line.split('`').step_by(2) {
            links.extend(text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '#']).next()));
        }
    }
    // `a::b` is a link of rustdoc, in pages that are the documentation of a crate too.
    links.retain(|link| !link.is_empty() && !["://", "::", "mailto:"].iter().any(|no| link.contains(no)));
    links
}

/// The files below `folder` whose names end with `ending`, without what is built or installed.
fn files(folder: &Path, ending: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if entry.file_type()?.is_dir() {
                if !name.starts_with('.') && !["target", "node_modules", "out", "cache"].contains(&&*name) {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// `page: what` of everything that `missing` finds in the pages below `root`.
fn in_pages(root: &Path, missing: impl Fn(&Path, &str) -> Vec<String>) -> std::io::Result<Vec<String>> {
    let mut all = Vec::new();
    for path in files(root, ".md")? {
        let page = path.strip_prefix(root).unwrap_or(&path).display();
        let text = std::fs::read_to_string(&path)?;
        all.extend(missing(&path, &text).into_iter().map(|what| format!("{page}: {what}")));
    }
    Ok(all)
}

/// Every link to a file that is not there.
fn broken_links(root: &Path) -> std::io::Result<Vec<String>> {
    in_pages(root, |path, text| {
        let there = |link: &&str| path.parent().is_some_and(|folder| folder.join(link).exists());
        file_links(text).into_iter().filter(|link| !there(link)).map(str::to_owned).collect()
    })
}

/// Names of contract tests in a page's code: `test_…`, `testFuzz_…`, `invariant_…`.
fn contract_tests(markdown: &str) -> Vec<&str> {
    let is_test = |word: &&str| {
        ["test_", "testFuzz_", "invariant_"].iter().any(|start| word.starts_with(start))
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    markdown.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).filter(is_test).collect()
}

/// Every contract test that a page names and no contract has.
fn missing_contract_tests(root: &Path) -> std::io::Result<Vec<String>> {
    let mut sources = String::new();
    for path in files(&root.join("contracts").join("test"), ".sol")? {
        sources.push_str(&std::fs::read_to_string(path)?);
    }
    in_pages(root, |_, text| {
        let there = |name: &&str| sources.contains(&format!("function {name}("));
        contract_tests(text).into_iter().filter(|name| !there(name)).map(str::to_owned).collect()
    })
}

/// Aliases of a `.cargo/config.toml` that end with `--`: what is written behind them goes to the program as it is.
fn complete_aliases(config: &str) -> Vec<&str> {
    let aliases = config.lines().filter_map(|line| line.split_once(" = "));
    aliases.filter(|(_, command)| command.ends_with(" --\"")).map(|(name, _)| name).collect()
}

/// Commands that give a program a `--` of its own, which it takes for the end of its options.
fn doubled_separators<'a>(text: &'a str, config: &str) -> Vec<&'a str> {
    let aliases = complete_aliases(config);
    let is_doubled = |line: &&str| aliases.iter().any(|name| line.contains(&format!("cargo {name} -- ")));
    text.lines().filter(is_doubled).collect()
}

#[test]
#[allow(clippy::unwrap_used)]
fn no_command_has_two_separators() {
    let config = "[alias]\na = \"run -p a --\"\nb = \"run -p b\"\n";
    assert_eq!(complete_aliases(config), ["a"]);
    let commands = "cargo a x\ncargo a -- x\ncargo b -- x";
    assert_eq!(doubled_separators(commands, config), ["cargo a -- x"]);

    let root = crate::workspace::Workspace::discover().unwrap().root;
    let config = std::fs::read_to_string(root.join(".cargo").join("config.toml")).unwrap();
    assert_eq!(complete_aliases(&config), ["xtask"]);
    let found =
        in_pages(&root, |_, text| doubled_separators(text, &config).into_iter().map(str::to_owned).collect());
    assert_eq!(found.unwrap(), Vec::<String>::new());
}

#[test]
fn links_are_found_outside_of_code() {
    let page = "[a](b.md) and [c](d/e.md#f) [r](A::b) `[x](y)` [u](https://h/i) [s](#top)\n```\n[n](o)\n```\n![p](q.png \"t\")";
    assert_eq!(file_links(page), ["b.md", "d/e.md", "q.png"]);
}

#[test]
#[allow(clippy::unwrap_used)]
fn every_page_links_to_files_that_exist() {
    let workspace = crate::workspace::Workspace::discover().unwrap();
    assert_eq!(broken_links(&workspace.root).unwrap(), Vec::<String>::new());
}

#[test]
fn contract_tests_are_found_in_code() {
    let page =
        "| `test_a` | and `testFuzz_b2` | `invariant_c`, test_d, `cargo test_e`, `test_f()` |\n`x` `test_g`";
    assert_eq!(contract_tests(page), ["test_a", "testFuzz_b2", "invariant_c", "test_g"]);
}

/// A page that says which test shows something is wrong without the test.
#[test]
#[allow(clippy::unwrap_used)]
fn every_contract_test_that_a_page_names_exists() {
    let workspace = crate::workspace::Workspace::discover().unwrap();
    assert_eq!(missing_contract_tests(&workspace.root).unwrap(), Vec::<String>::new());
    let page = std::fs::read_to_string(workspace.root.join("docs").join("contracts.md")).unwrap();
    assert!(contract_tests(&page).len() >= 7, "one at least for each weakness of the reference");
}
