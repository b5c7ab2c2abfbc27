//! The list of other clients' bugs in the documentation, compared with the tests for them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The marks in the comment of a test for a bug, or for a rule that is easily broken.
const MARKS: [&str; 2] = ["Regression: ", "Rule: "];

#[test]
fn listed_bugs_and_marked_tests_correspond() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let text = fs::read_to_string(root.join("docs/reliability.md"))?;
    let (_, list) = text.split_once("## Bugs that other clients have").context("the list is gone")?;
    let rows =
        list.lines().skip_while(|line| !line.starts_with("| ")).take_while(|line| line.starts_with('|'));
    let mut listed = BTreeSet::new();
    for row in rows.skip(2) {
        let test = row.split('|').rev().nth(1).map(|cell| cell.trim().trim_matches('`')).context("a cell")?;
        listed.insert(test.to_owned());
    }
    ensure!(listed.len() > 60, "that is not a list: {listed:?}");

    let (mut marked, mut sources) = (BTreeSet::new(), Vec::new());
    for directory in ["crates", "tests"] {
        find(&root.join(directory), &mut sources)?;
    }
    for source in sources {
        marked.extend(marked_tests(&fs::read_to_string(&source)?));
    }
    let without: Vec<_> = listed.difference(&marked).collect();
    ensure!(without.is_empty(), "no test is named after these rows of the list: {without:#?}");
    let unlisted: Vec<_> = marked.difference(&listed).collect();
    ensure!(unlisted.is_empty(), "these tests are not in the list: {unlisted:#?}");
    Ok(())
}

/// The tests of a source file whose comment names a bug or a rule.
fn marked_tests(source: &str) -> BTreeSet<String> {
    let (mut marked, mut is_marked, mut is_test) = (BTreeSet::new(), false, false);
    for line in source.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("/// ") {
            is_marked |= MARKS.iter().any(|mark| comment.contains(mark));
        } else if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else {
            let name =
                line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            marked.extend(name.filter(|_| is_marked && is_test).map(str::to_owned));
            (is_marked, is_test) = (false, false);
        }
    }
    marked
}

/// Finds all sources below a directory.
fn find(directory: &Path, sources: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
    Ok(())
}
