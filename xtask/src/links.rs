//! The relative links of the Markdown pages, checked by the tests.

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

/// `page: target` of every link to a file that is not there, in the pages below `root`.
fn broken_links(root: &Path) -> std::io::Result<Vec<String>> {
    let mut broken = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if entry.file_type()?.is_dir() {
                if !name.starts_with('.') && !["target", "node_modules", "out", "cache"].contains(&&*name) {
                    folders.push(path);
                }
            } else if name.ends_with(".md") {
                let text = std::fs::read_to_string(&path)?;
                let page = path.strip_prefix(root).unwrap_or(&path).display();
                broken.extend(
                    file_links(&text)
                        .into_iter()
                        .filter(|link| !PathBuf::from(&folder).join(link).exists())
                        .map(|link| format!("{page}: {link}")),
                );
            }
        }
    }
    broken.sort();
    Ok(broken)
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
