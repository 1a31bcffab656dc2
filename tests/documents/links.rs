//! Links from page to page, and within one.

use std::{collections::BTreeSet, fs, path::Path};

use crate::document::{path, read};

/// The pages whose links are followed; all decisions are, too.
const PAGES: [&str; 9] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "charts/scaleouttask-controller/README.md",
    "docs/architecture.md",
    "docs/gitops/README.md",
    "docs/plugin.md",
    "docs/reference.md",
    "docs/tenants.md",
];
const DECISIONS: &str = "docs/decisions";

fn decisions() -> Vec<String> {
    let entries = fs::read_dir(path(DECISIONS)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

/// The targets of `[text](target)`.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("](").skip(1);
    after.filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// The anchors of headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_code = false;
    let headings = text.lines().filter(|line| {
        in_code ^= line.starts_with("```");
        !in_code && line.starts_with('#')
    });
    headings
        .map(|heading| {
            let title = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn each_link_leads_somewhere() {
    let decisions = decisions();
    let decisions = decisions.iter().map(|name| format!("{DECISIONS}/{name}"));
    let pages = PAGES.map(str::to_owned).into_iter().chain(decisions);
    let mut broken = Vec::new();
    for page in pages {
        let text = read(&page);
        let folder = Path::new(&page).parent().unwrap();
        for target in targets(&text).filter(|target| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() {
                page.clone()
            } else {
                folder.join(file).to_str().unwrap().to_owned()
            };
            let exists = path(&file).exists();
            if !exists || (!anchor.is_empty() && !anchors(&read(&file)).contains(anchor)) {
                broken.push(format!("{page}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere: {broken:#?}");
}

#[test]
fn the_list_of_decisions_has_them_all() {
    let list = read(&format!("{DECISIONS}/README.md"));
    let listed: BTreeSet<&str> = targets(&list).collect();
    for name in decisions().iter().filter(|name| *name != "README.md") {
        assert!(
            listed.contains(name.as_str()),
            "{DECISIONS}/README.md: add {name}"
        );
    }
}
