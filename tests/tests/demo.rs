//! The README's first command does what it says.

use tests::run_bare;

#[test]
fn the_demo_settles_and_shows_all_six_statuses() {
    let demo = run_bare(&["demo", "--exit-when-settled"], &[]);
    assert_eq!(demo.code, 0, "{}\n{}", demo.stdout, demo.stderr);
    for status in ["Success", "Pending", "Failure", "Discard", "Expired", "Emergency"] {
        assert!(demo.stdout.contains(&format!("┆ {status:<9} ┆")), "{status} in\n{}", demo.stdout);
    }
    assert!(demo.stdout.contains("8 of 8 sample domains"), "{}", demo.stdout);
}
