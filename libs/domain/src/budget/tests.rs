//! Tests of whether there is room, without a store: a charge, the state of its buckets, and the result.

use super::*;

const CA: &str = "letsencrypt";

fn now() -> Timestamp {
    "2026-11-23T00:00:00Z".parse().unwrap()
}

fn charge(lane: Lane, exempt: Exempt) -> Charge {
    Charge {
        order: OrderId::from(uuid::Uuid::nil()),
        issuer: CA.to_owned(),
        limits: Limits::LETS_ENCRYPT,
        name: DomainName::parse("shop.example.com").unwrap(),
        lane,
        exempt,
        was_promised: false,
        is_asked_again: false,
    }
}

/// Weighs a charge where each bucket that `fill` does not touch is empty.
fn weighed(charge: &Charge, fill: impl Fn(&str, &mut BucketState)) -> Weighed {
    let buckets = charge.buckets();
    let states: Vec<BucketState> = buckets
        .iter()
        .map(|bucket| {
            let mut state = BucketState::default();
            fill(bucket.key(), &mut state);
            state
        })
        .collect();
    charge.weigh(&buckets, &states, now())
}

#[test]
fn an_empty_ledger_has_room_and_reserves_in_the_buckets_of_the_name() {
    let new = charge(Lane::New, Exempt::Nothing);
    let weighed = weighed(&new, |_, _| {});
    let reserved = [names_key(CA, &new.name), registered_key(CA, &new.name)];
    assert_eq!(weighed.outcome, Ok(reserved.to_vec()));
    let keys: Vec<&str> = weighed.times.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, [orders_key(CA)], "only the new order is spent at once");
}

#[test]
fn buckets_are_locked_in_one_order() {
    let new = charge(Lane::New, Exempt::Nothing);
    let keys: Vec<String> = new.buckets().iter().map(|bucket| bucket.key().to_owned()).collect();
    assert!(keys.is_sorted(), "{keys:?}");
    assert_eq!(keys.len(), 5);
}

#[test]
fn a_lower_lane_finds_no_room_where_an_upper_one_does() {
    let interval = Limits::LETS_ENCRYPT.new_orders.unwrap().seen_late().interval();
    let spent = |key: &str, state: &mut BucketState| {
        if key == orders_key(CA) {
            state.spent_until = Some(now() + interval * 260);
        }
    };
    assert!(weighed(&charge(Lane::Expiring, Exempt::Nothing), spent).outcome.is_ok());
    assert!(weighed(&charge(Lane::Renewal, Exempt::Nothing), spent).outcome.is_ok());
    let late = weighed(&charge(Lane::New, Exempt::Nothing), spent);
    let wait = late.outcome.unwrap_err();
    assert_eq!(wait.limit, LimitKind::NewOrders);
    assert!(wait.seconds_per_place > 0);
    let line = line_key(CA, Lane::New);
    assert_eq!(late.times, [(line, wait.until)], "it takes a place in the line, and spends nothing");
}

#[test]
fn who_stood_in_line_is_served_when_its_time_has_come() {
    let in_line = |key: &str, state: &mut BucketState| {
        if key == line_key(CA, Lane::New) {
            state.spent_until = Some(now() + SignedDuration::from_mins(3));
        }
    };
    assert!(weighed(&charge(Lane::New, Exempt::Nothing), in_line).outcome.is_err());
    let promised = Charge { was_promised: true, ..charge(Lane::New, Exempt::Nothing) };
    assert!(weighed(&promised, in_line).outcome.is_ok());
}

#[test]
fn reservations_of_others_hold_a_place_that_may_come_free() {
    let reserved = |key: &str, state: &mut BucketState| {
        state.reserved = if key.contains("/names/") { 5 } else { 0 };
    };
    let wait = weighed(&charge(Lane::Renewal, Exempt::Renewal), reserved).outcome.unwrap_err();
    assert_eq!((wait.limit, wait.until), (LimitKind::Names, now() + LOOK_AGAIN));
}

#[test]
fn ended_orders_move_their_bucket_even_where_there_is_no_room() {
    let ended = |key: &str, state: &mut BucketState| {
        if key.contains("/names/") {
            state.ended_orders = vec![now(); 5];
        }
    };
    let renewal = charge(Lane::Renewal, Exempt::Renewal);
    let weighed = weighed(&renewal, ended);
    let spent_until = now() + Limits::LETS_ENCRYPT.certificates_per_names.unwrap().interval() * 5;
    assert_eq!(weighed.times, [(names_key(CA, &renewal.name), spent_until)]);
    assert_eq!(weighed.outcome.unwrap_err().limit, LimitKind::Names);
}

#[test]
fn a_replacement_is_exempt_of_all_and_still_counted() {
    let full = |_: &str, state: &mut BucketState| {
        state.spent_until = Some(now() + SignedDuration::from_hours(24 * 30));
    };
    let replacement = charge(Lane::Renewal, Exempt::Replacement);
    let buckets = replacement.buckets();
    let not_failures = |bucket: &&Bucket| bucket.kind != BucketKind::Failures;
    let counted: Vec<&Bucket> = buckets.iter().filter(not_failures).collect();
    assert!(counted.iter().all(|bucket| bucket.kind == BucketKind::Counted));
    let outcome = weighed(&replacement, |key, state| {
        if !key.contains("/failures/") {
            full(key, state);
        }
    });
    assert_eq!(outcome.outcome, Ok(vec![names_key(CA, &replacement.name)]));
}
