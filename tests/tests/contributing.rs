//! `docs/CONTRIBUTING.md` says which files to touch. Each of them is there.

use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const DOCUMENT: &str = "docs/CONTRIBUTING.md";
/// Fewer than there are: so many must be found, or the reading of the document is broken.
const MIN_PATHS: usize = 30;

/// Quoted texts that name a file or a folder: they have a slash or an extension, and no spaces.
fn paths(document: &str) -> Vec<&str> {
    let is_path = |quoted: &&str| {
        let has_extension = Path::new(quoted).extension().is_some();
        !quoted.contains(char::is_whitespace) && (quoted.contains('/') || has_extension)
    };
    document.split('`').skip(1).step_by(2).filter(is_path).collect()
}

#[test]
fn paths_are_told_from_commands_and_names() {
    let text = "`a/b.rs`, `a/`, `C.md`: `make check`, `cargo test --package a/b`, `Reason`";
    assert_eq!(paths(text), ["a/b.rs", "a/", "C.md"]);
}

#[test]
fn every_path_that_the_page_names_is_there() {
    let document = std::fs::read_to_string(Path::new(ROOT).join(DOCUMENT)).unwrap();
    let named = paths(&document);
    assert!(named.len() >= MIN_PATHS, "only {} paths were found", named.len());
    let missing: Vec<&str> = named.into_iter().filter(|path| !Path::new(ROOT).join(path).exists()).collect();
    assert!(missing.is_empty(), "{DOCUMENT} names what is not there: {missing:#?}");
}
