//! The README's first command does what it says.

use tests::run_bare;

#[test]
fn the_demo_settles_and_shows_all_six_statuses() {
    let demo = run_bare(&["demo", "--exit-when-settled"], &[]);
    assert_eq!(demo.code, 0, "{}\n{}", demo.stdout, demo.stderr);
    for shown in [
        "Success",
        "Pending",
        "Failure",
        "Discard",
        "Expired",
        "Emergency",
        // Every reason that one domain can have while others have none.
        "not_pointed",
        "wrong_aaaa",
        "port_missing",
        "caa_forbids",
        "challenge_unreachable",
        "challenge_unreachable_elsewhere",
        "challenge_invalid",
        "order_rejected",
        "certificate_rejected",
        "paused_by_ca",
        "ca_limited",
        "ca_down",
        "could_not_ask",
        "unknown_to_c4",
        "not_served",
        "pasted_ended",
        "upload_failed",
    ] {
        let is_shown = demo.stdout.lines().any(|line| line.split_whitespace().any(|word| word == shown));
        assert!(is_shown, "{shown} in\n{}", demo.stdout);
    }
    assert!(demo.stdout.contains("60 of 60 sample domains"), "{}", demo.stdout);
    assert!(demo.stdout.contains("\nThree things to try:\n"), "{}", demo.stdout);
}
