//! Random sequences of what may happen, on the real roles: see `simulation::operation` and `simulation::invariants`.
//!
//! The seed is printed, and `SEED=… SEQUENCES=…` repeats or prolongs a run. A sequence that fails is shrunk to the shortest
//! one that still does; what was found so is kept below as a case with a name.

#![expect(clippy::print_stdout, reason = "the seed is worth seeing")]

use std::time::Duration;

use domain::{DomainName, Status, WorkKind};
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use sandbox::{Endpoint, Nonsense};
use tests::{Command, DOMAINS, Mode, Operation, STEPS, Simulation, Then};

/// Without a wish, every run is the same, so that whoever changes something else is not stopped by luck.
const SEED: u64 = 1;
const SEQUENCES: u32 = 200;
const LONGEST: usize = 60;

fn wish(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => Just(Command::Add),
        2 => any::<bool>().prop_map(|force| Command::Generate { force }),
        2 => Just(Command::Import),
        1 => Just(Command::RollBack),
        1 => Just(Command::Recheck),
        2 => any::<bool>().prop_map(|remove_from_c4| Command::Delete { remove_from_c4 }),
    ]
}

fn time() -> impl Strategy<Value = SignedDuration> {
    prop_oneof![
        3 => (0i64..60).prop_map(SignedDuration::from_secs),
        3 => (1i64..60).prop_map(SignedDuration::from_mins),
        3 => (1i64..24).prop_map(SignedDuration::from_hours),
        2 => (1i64..9).prop_map(|days| SignedDuration::from_hours(days * 24)),
        1 => (9i64..70).prop_map(|days| SignedDuration::from_hours(days * 24)),
    ]
}

fn inside() -> impl Strategy<Value = Operation> {
    let kind = prop::sample::select(WorkKind::ALL.to_vec());
    let step = prop::sample::select(STEPS.to_vec());
    let then = prop_oneof![
        Just(Then::Crash),
        (0..DOMAINS, command()).prop_map(|(which, command)| Then::Meanwhile(which, command)),
    ];
    prop_oneof![
        6 => (0..DOMAINS, command()).prop_map(|(which, command)| Operation::Command(which, command)),
        6 => time().prop_map(Operation::Pass),
        2 => Just(Operation::Look),
        3 => Just(Operation::Handle),
        1 => Just(Operation::PutOff),
        2 => (kind, 0..DOMAINS).prop_map(|(kind, which)| Operation::Repeat(kind, which)),
        4 => (step, then).prop_map(|(step, then)| Operation::At(step, then)),
    ]
}

fn outside() -> impl Strategy<Value = Operation> {
    let nonsense = prop::sample::select(vec![
        Nonsense::TruncatedJson,
        Nonsense::Html,
        Nonsense::OtherKey,
        Nonsense::OtherName,
    ]);
    let wait = prop::option::of((1u64..40).prop_map(Duration::from_hours));
    prop_oneof![
        2 => (0..DOMAINS, any::<bool>()).prop_map(|(which, on)| Operation::Pointed(which, on)),
        1 => any::<bool>().prop_map(Operation::C4Down),
        2 => (0..DOMAINS, any::<bool>()).prop_map(|(which, on)| Operation::C4Knows(which, on)),
        1 => (0..DOMAINS).prop_map(Operation::C4LosesCertificate),
        2 => (0..DOMAINS, any::<bool>()).prop_map(|(which, on)| Operation::C4Refuses(which, on)),
        1 => (0..DOMAINS).prop_map(Operation::C4DropsRequest),
        1 => (0..DOMAINS).prop_map(Operation::C4DropsAnswer),
        1 => any::<bool>().prop_map(Operation::CaDown),
        1 => endpoint().prop_map(Operation::CaDropsRequest),
        1 => endpoint().prop_map(Operation::CaDropsAnswer),
        1 => (endpoint(), nonsense).prop_map(|(endpoint, what)| Operation::CaTalksNonsense(endpoint, what)),
        2 => (0..DOMAINS, any::<bool>()).prop_map(|(which, on)| Operation::CaFindsInvalid(which, on)),
        1 => (0..DOMAINS, wait).prop_map(|(which, wait)| Operation::CaLimits(which, wait)),
        1 => Just(Operation::CaForgetsOrders),
    ]
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    prop::sample::select(vec![
        Endpoint::NewAccount,
        Endpoint::NewOrder,
        Endpoint::Order,
        Endpoint::Finalize,
        Endpoint::Authorization,
        Endpoint::Challenge,
        Endpoint::Certificate,
    ])
}

async fn holds(mode: Mode, operations: &[Operation]) {
    let begins = "2027-01-01T00:00:00Z".parse().expect("a time");
    let simulation = Simulation::start(mode, 1, begins, Duration::from_hours(90 * 24)).await;
    let mut simulation = simulation.one_by_one();
    for which in 0..DOMAINS {
        simulation.apply(Operation::C4Knows(which, true)).await;
        simulation.apply(Operation::Pointed(which, true)).await;
    }
    for operation in operations {
        simulation.apply(*operation).await;
        simulation.check().await;
    }
    simulation.settles().await;
}

fn run(mode: Mode, operations: &[Operation]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(holds(mode, operations));
}

#[test]
fn whatever_happens_nothing_is_lost_and_nobody_forgotten() {
    many(Mode::Embedded, 1);
}

/// A tenth of them: what differs is the SQL, and each needs a database of its own.
#[test]
fn whatever_happens_on_postgresql_nothing_is_lost_and_nobody_forgotten() {
    many(Mode::Scaled, 10);
}

fn many(mode: Mode, one_of: u32) {
    let seed = wish("SEED").unwrap_or(SEED);
    let wished = wish("SEQUENCES").map(|wished| wished.try_into().unwrap_or(u32::MAX));
    let sequences = wished.unwrap_or(SEQUENCES) / one_of;
    println!("{mode:?}: SEED={seed}, {sequences} sequences");
    let config = Config {
        cases: sequences,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    };
    let operation = prop_oneof![3 => inside(), 2 => outside()];
    let sequence = prop::collection::vec(operation, 1..LONGEST);
    let result = TestRunner::new(config).run(&sequence, |operations| {
        run(mode, &operations);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("with SEED={seed}: {failure}");
    }
}

fn found(operations: &[Operation]) {
    for mode in [Mode::Embedded, Mode::Scaled] {
        run(mode, operations);
    }
}

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);
const IMPORT: Operation = Operation::Command(0, Command::Import);

/// It stayed an Emergency for ever, asked for an upload that nobody wanted any more; and asked the CA once a minute.
#[test]
fn an_upload_that_fails_ends_with_a_generate() {
    found(&[
        Operation::C4Refuses(0, true),
        Operation::Command(0, Command::Add),
        Operation::Pass(MINUTE),
        Operation::Pointed(0, false),
        Operation::Command(0, Command::Generate { force: true }),
    ]);
}

/// Nobody was named, though nothing was ever going to happen.
#[test]
fn the_end_of_a_pasted_certificate_is_for_the_customer_to_mend() {
    found(&[IMPORT, Operation::Pass(DAY * 17), Operation::Pass(DAY * 43)]);
}

/// The scheduler's look was too late to say so: somebody else's write had stored the status.
#[test]
fn a_recheck_of_an_ended_pasted_certificate_changes_nothing() {
    found(&[
        IMPORT,
        Operation::Pass(MINUTE),
        Operation::Pass(DAY * 60),
        Operation::Command(0, Command::Recheck),
        Operation::Pass(MINUTE),
    ]);
}

/// The upload was dropped, and with it whatever came next.
#[test]
fn a_pasted_certificate_that_ends_before_its_upload_is_told() {
    found(&[IMPORT, Operation::Pass(DAY * 60)]);
}

/// The same while C4 did not know the domain: it stayed discarded after C4 knew it again.
#[test]
fn a_pasted_certificate_that_ends_while_c4_does_not_know_the_domain_is_told() {
    let mut operations = vec![IMPORT, Operation::C4Knows(0, false)];
    let times = [SignedDuration::ZERO, MINUTE, MINUTE * 5, DAY * 50, DAY * 8, DAY * 2];
    operations.extend(times.map(Operation::Pass));
    found(&operations);
}

/// The comparisons ended with the certificate, and C4's last 404 stayed as the reason.
#[test]
fn an_ended_pasted_certificate_is_the_reason_whatever_c4_said_before() {
    found(&[
        IMPORT,
        Operation::Pass(DAY * 50),
        Operation::C4Knows(0, false),
        Operation::Pass(DAY * 8),
        Operation::Pass(DAY * 2),
    ]);
}

/// The issuance took the missing order for a fault instead of for work that was taken away.
#[test]
fn an_import_while_an_order_is_placed_takes_the_work_away() {
    found(&[
        Operation::At("order-created", Then::Meanwhile(0, Command::Import)),
        Operation::Command(0, Command::Add),
        Operation::Pass(SignedDuration::ZERO),
    ]);
}

/// Our clock is wrong for an hour, ahead and behind, by an hour across midnight and by a day; that of the CA is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_for_a_while_costs_no_order_and_no_certificate() {
    let (minute, hour) = (SignedDuration::from_mins(1), SignedDuration::from_hours(1));
    let name = |label: &str| DomainName::parse(&format!("{label}.example.com")).expect("a name");
    let [before, meanwhile, after] = ["before", "meanwhile", "after"].map(name);
    for wrong in [hour, -hour, hour * 24, hour * -24] {
        // Half an hour before midnight in Singapore, or after it.
        let begins = if wrong.is_positive() { "2027-01-01T15:30:00Z" } else { "2027-01-01T16:30:00Z" };
        let begins = begins.parse().expect("a time");
        let mut simulation =
            Simulation::start(Mode::Embedded, 1, begins, Duration::from_hours(90 * 24)).await;
        let pass = async |simulation: &mut Simulation, by: SignedDuration| {
            let mut left = by;
            while left.is_positive() {
                simulation.pass(minute * 10).await;
                left -= minute * 10;
            }
        };
        simulation.add(&before).await;
        pass(&mut simulation, minute * 10).await;
        simulation.jump(wrong);
        simulation.add(&meanwhile).await;
        pass(&mut simulation, hour).await;
        simulation.jump(-wrong);
        simulation.add(&after).await;
        // What was planned meanwhile comes so much later at most.
        pass(&mut simulation, wrong.abs() + hour * 2).await;
        for name in [&before, &meanwhile, &after] {
            assert_eq!(simulation.ca().orders_for(name.as_str()), 1, "{name}, wrong by {wrong:#}");
            assert!(simulation.c4().certificate(name.as_str()).is_some(), "{name}, wrong by {wrong:#}");
        }
        for view in simulation.domains().await {
            assert_eq!(view.domain.recorded, Status::Success, "{}, wrong by {wrong:#}", view.domain.name);
            assert!(view.next_attempt_at.is_some(), "{}", view.domain.name);
        }
        assert_eq!(simulation.ca().refused_by_limits(), 0);
    }
}
