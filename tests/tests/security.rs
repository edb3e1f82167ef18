//! `docs/SECURITY.md` and `docs/RELIABILITY.md` name the tests that show what they say. Each of them is there, and no item is
//! without one.

use std::collections::BTreeMap;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

struct Document {
    path: &'static str,
    /// How a table of items begins whose last cell is a test.
    head: &'static str,
    /// Fewer than are there: so many must be found, or it is the reading of the document that is broken.
    min: usize,
}

const DOCUMENTS: [Document; 2] = [
    Document { path: "docs/SECURITY.md", head: "| id | requirement | how it holds here | test |", min: 100 },
    Document { path: "docs/RELIABILITY.md", head: "| promise | failure | test |", min: 25 },
];

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
    for document in DOCUMENTS {
        check(&document);
    }
}

fn check(Document { path, head, min }: &Document) {
    let document =
        std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
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
        wants_tests = wants_tests || line == *head;
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
    assert!(complaints.is_empty(), "{path}:\n{}", complaints.join("\n"));
    assert!(checked >= *min, "only {checked} tests were found in {path}");
}
