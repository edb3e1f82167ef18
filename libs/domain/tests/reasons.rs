//! What is known of a reason by its code alone.

mod every_reason;

use domain::sentence::short_of;
use domain::{Reason, who_must_act};
use every_reason::{Cdn, every_reason};

#[test]
fn a_code_says_who_must_act_and_what_is_wrong_as_its_reason_does() {
    for reason in every_reason(Cdn::Below) {
        assert_eq!(who_must_act(reason.code()), reason.who(), "{}", reason.code());
        assert!(short_of(reason.code()).is_some(), "{}", reason.code());
    }
    assert_eq!(who_must_act("boredom"), None);
    assert_eq!(short_of("boredom"), None);
}

#[test]
fn the_list_of_codes_is_complete() {
    let mut listed = Reason::CODES.to_vec();
    let mut known: Vec<&str> = every_reason(Cdn::Below).iter().map(Reason::code).collect();
    listed.sort_unstable();
    known.sort_unstable();
    known.dedup();
    assert_eq!(listed, known);
}
