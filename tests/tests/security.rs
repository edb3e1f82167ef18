//! `docs/SECURITY.md` names the tests that show what it says. Each of them is there, and no item is without one.

use std::collections::BTreeMap;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const DOCUMENT: &str = "docs/SECURITY.md";
/// How a table of items begins whose last cell is a test.
const HEAD: &str = "| id | asks for | how it holds here | test |";
/// Fewer than are there: so many must be found, or it is the reading of the document that is broken.
const LEAST: usize = 100;

fn is_function(quoted: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    quoted.contains('_') && quoted.bytes().all(is_letter)
}

/// The tests that a cell names: after a file, each function in it.
fn citations(cell: &str) -> Vec<(&str, &str)> {
    let mut file = "";
    let mut found = Vec::new();
    for quoted in cell.split('`').skip(1).step_by(2) {
        if Path::new(quoted).extension().is_some_and(|extension| extension == "rs") {
            file = quoted;
        } else if !file.is_empty() && is_function(quoted) {
            found.push((file, quoted));
        }
    }
    found
}

#[test]
fn a_cell_names_files_and_their_functions() {
    assert_eq!(
        citations(" `a/b.rs` `one_test` `another_test`, `c.rs` `third_test` "),
        [("a/b.rs", "one_test"), ("a/b.rs", "another_test"), ("c.rs", "third_test")]
    );
    assert!(citations(" `no_store` before `a.rs` and `No_Function` after ").is_empty());
}

#[test]
fn every_test_that_the_document_names_is_there() {
    let document = std::fs::read_to_string(Path::new(ROOT).join(DOCUMENT))
        .unwrap_or_else(|error| panic!("{DOCUMENT}: {error}"));
    let mut sources: BTreeMap<&str, String> = BTreeMap::new();
    let mut complaints = Vec::new();
    let mut checked = 0;
    let mut wants_tests = false;
    for line in document.lines() {
        if !line.starts_with('|') {
            wants_tests = false;
            continue;
        }
        let found: Vec<(&str, &str)> = line.split('|').flat_map(citations).collect();
        if wants_tests && found.is_empty() && !line.starts_with("|---") {
            complaints.push(format!("no test: {line}"));
        }
        wants_tests = wants_tests || line == HEAD;
        for (file, function) in found {
            // What cannot be read has no function.
            let source = sources
                .entry(file)
                .or_insert_with(|| std::fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_default());
            if !source.contains(&format!("fn {function}(")) {
                complaints.push(format!("{file} has no {function}"));
            }
            checked += 1;
        }
    }
    assert!(complaints.is_empty(), "{DOCUMENT}:\n{}", complaints.join("\n"));
    assert!(checked >= LEAST, "only {checked} tests were found in {DOCUMENT}");
}
