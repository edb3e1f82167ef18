//! The picture of the arrows between the crates in `docs/ARCHITECTURE.md` is the one that cargo knows.
//!
//! Arrows that a longer way implies are left out: 50 can be read, and 110 cannot.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const DOCUMENT: &str = "docs/ARCHITECTURE.md";

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// What each crate of the workspace needs of the others, apart from its tests. The crate `tests` needs all of them.
fn arrows() -> Arrows {
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(ROOT)
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&cargo.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let needs = |package: &Value| -> BTreeSet<String> {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let of_ours =
            dependencies.filter(|dependency| dependency["kind"].is_null() && dependency["path"].is_string());
        let needed = of_ours.filter_map(|dependency| dependency["name"].as_str());
        needed.filter(|name| names.contains(name)).map(str::to_owned).collect()
    };
    let crates =
        packages.iter().map(|package| (package["name"].as_str().unwrap().to_owned(), needs(package)));
    crates.filter(|(name, _)| name != "tests").collect()
}

fn reached(arrows: &Arrows, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut left = vec![from.to_owned()];
    while let Some(name) = left.pop() {
        for next in arrows.get(&name).into_iter().flatten() {
            if reached.insert(next.clone()) {
                left.push(next.clone());
            }
        }
    }
    reached
}

/// Without the arrows that a longer way implies.
fn reduced(arrows: &Arrows) -> Arrows {
    let is_needed = |to: &String, all: &BTreeSet<String>| {
        !all.iter().any(|other| other != to && reached(arrows, other).contains(to))
    };
    let needed = |all: &BTreeSet<String>| all.iter().filter(|to| is_needed(to, all)).cloned().collect();
    arrows.iter().map(|(from, all)| (from.clone(), needed(all))).collect()
}

/// The lines `from --> to & to` of the document's picture.
fn drawn(document: &str) -> Arrows {
    let picture = document.split("```mermaid\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let arrows = picture.lines().filter_map(|line| line.trim().split_once(" --> "));
    arrows.map(|(from, to)| (from.to_owned(), to.split(" & ").map(str::to_owned).collect())).collect()
}

#[test]
fn the_picture_shows_the_arrows_as_they_are() {
    let document = std::fs::read_to_string(Path::new(ROOT).join(DOCUMENT)).unwrap();
    let mut there = reduced(&arrows());
    there.retain(|_, to| !to.is_empty());
    let lines = |arrows: &Arrows| -> BTreeSet<String> {
        let line = |(from, to): (&String, &BTreeSet<String>)| {
            format!("{from} --> {}", to.iter().cloned().collect::<Vec<_>>().join(" & "))
        };
        arrows.iter().map(line).collect()
    };
    assert_eq!(lines(&drawn(&document)), lines(&there));
}

#[test]
fn all_arrows_lead_to_domain_and_it_needs_none() {
    let arrows = arrows();
    assert!(arrows["domain"].is_empty());
    assert!(arrows["proto"].iter().all(|needed| needed == "domain"), "messages know no store");
    let roles = ["api", "c4-uploader", "challenge-responder", "console", "issuer", "notifier", "scheduler"];
    for role in roles {
        assert!(reached(&arrows, role).contains("domain"), "{role}");
        let others = reached(&arrows, role);
        assert!(roles.iter().all(|other| !others.contains(*other)), "{role} needs another role");
    }
}

#[test]
fn an_arrow_that_a_longer_way_implies_is_left_out() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let arrows = Arrows::from([
        ("a".to_owned(), set(&["b", "c"])),
        ("b".to_owned(), set(&["c"])),
        ("c".to_owned(), set(&[])),
    ]);
    assert_eq!(reduced(&arrows)["a"], set(&["b"]));
}
