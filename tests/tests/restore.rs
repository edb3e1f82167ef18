//! A database that is put back from a backup, while C4 has gone on: nothing goes backwards there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::{DomainName, HistoryKind, Reason, Status};
use jiff::{SignedDuration, Timestamp};
use sandbox::C4Domain;
use tests::{Backup, Mode, Simulation, in_both_modes};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: usize = 24;
/// Hours within which every live domain is compared with C4.
const COMPARED_WITHIN: usize = DAY + 2;

/// What happens to each domain between the backup and the restore.
const NAMES: [&str; 8] = ["kept", "renewed", "twice", "revoked", "rolled", "pasted", "removed", "added"];

in_both_modes!(
    nothing_at_c4_goes_backwards_after_a_restore,
    what_its_ca_has_revoked_is_not_uploaded_again,
    a_backup_from_before_every_live_certificate_brings_none_back,
    a_list_that_cannot_be_had_keeps_nobody_without_a_certificate,
);

fn name(what: &str) -> DomainName {
    DomainName::parse(&format!("shop.{what}.com")).unwrap()
}

/// A year that never was, in which nothing is renewed by itself.
struct Story {
    simulation: Simulation,
    /// What C4 held just before the restore.
    held: BTreeMap<&'static str, Option<String>>,
    /// What stands in the database that was put back.
    stored: BTreeMap<&'static str, BTreeSet<String>>,
    orders: BTreeMap<&'static str, u64>,
    restored_at: Timestamp,
}

impl Story {
    async fn told(mode: Mode) -> Self {
        let begins = "2027-01-01T00:00:00Z".parse().unwrap();
        let mut simulation = Simulation::start(mode, 7, begins, Duration::from_hours(90 * 24)).await;
        for what in NAMES.into_iter().filter(|what| *what != "added") {
            simulation.add(&name(what)).await;
        }
        pass(&mut simulation, 2).await;
        simulation.generate_anew(&name("rolled")).await;
        pass(&mut simulation, 2 * DAY).await;
        let backup = simulation.back_up().await;
        happen(&mut simulation).await;
        Self::restored(simulation, backup).await
    }

    async fn restored(mut simulation: Simulation, backup: Backup) -> Self {
        let (c4, ca) = (simulation.c4(), simulation.ca());
        let held = NAMES.map(|what| (what, c4.certificate(name(what).as_str()).map(|held| held.sha256)));
        let orders = NAMES.map(|what| (what, ca.orders_for(name(what).as_str())));
        simulation.restore(backup).await;
        let mut stored = BTreeMap::new();
        for what in NAMES {
            let certificates = simulation.certificates(&name(what)).await.into_iter();
            stored.insert(what, certificates.map(|certificate| certificate.summary.sha256).collect());
        }
        let restored_at = simulation.now();
        Self { simulation, held: held.into(), stored, orders: orders.into(), restored_at }
    }

    fn held_now(&self, what: &str) -> Option<String> {
        self.simulation.c4().certificate(name(what).as_str()).map(|held| held.sha256)
    }

    /// What C4 holds is what it held, or was issued after the restore; and none of it is revoked.
    fn check(&self) {
        let revoked = self.simulation.ca().revoked();
        for what in NAMES {
            let now = self.held_now(what);
            let was_stored = now.as_ref().is_some_and(|now| self.stored[what].contains(now));
            assert!(now == self.held[what] || !was_stored, "{what} went backwards");
            assert!(now.is_some() || self.held[what].is_none(), "{what} lost its certificate");
            let is_revoked = |now: &String| revoked.iter().any(|revoked| revoked.sha256 == *now);
            assert!(!now.as_ref().is_some_and(is_revoked), "{what} is served with a revoked certificate");
        }
    }

    /// What was active at C4 since the restore, if only for a moment.
    async fn uploaded(&self, what: &str) -> BTreeSet<String> {
        let history = self.simulation.history(&name(what)).await.into_iter();
        let uploads = history
            .filter(|entry| entry.at >= self.restored_at && entry.kind == HistoryKind::CertificateUploaded);
        uploads.filter_map(|entry| entry.certificate_sha256).collect()
    }

    async fn told_of(&self, what: &str, kind: HistoryKind) -> usize {
        let history = self.simulation.history(&name(what)).await;
        history.iter().filter(|entry| entry.kind == kind).count()
    }

    fn orders_since(&self, what: &str) -> u64 {
        self.simulation.ca().orders_for(name(what).as_str()) - self.orders[what]
    }

    /// A success that C4 agrees with.
    async fn check_success(&self, what: &str) {
        let listed = self.simulation.domains().await;
        let view = listed.into_iter().find(|view| view.domain.name == name(what)).unwrap();
        assert_eq!(view.domain.recorded, Status::Success, "{what}");
        assert_eq!(view.certificate.map(|live| live.sha256), self.held_now(what), "{what}");
    }
}

/// Time passes by the hour.
async fn pass(simulation: &mut Simulation, hours: usize) {
    for _ in 0..hours {
        simulation.pass(HOUR).await;
    }
}

/// What nobody will know any more.
async fn happen(simulation: &mut Simulation) {
    simulation.generate_anew(&name("renewed")).await;
    simulation.generate_anew(&name("twice")).await;
    simulation.revoke(&name("revoked")).await;
    simulation.roll_back(&name("rolled")).await;
    simulation.import(&name("pasted")).await;
    simulation.delete_and_remove(&name("removed")).await;
    simulation.add(&name("added")).await;
    pass(simulation, 2).await;
    simulation.generate_anew(&name("twice")).await;
    pass(simulation, 2).await;
    assert_eq!(simulation.ca().revoked().len(), 1);
}

async fn nothing_at_c4_goes_backwards_after_a_restore(mode: Mode) {
    let mut story = Story::told(mode).await;
    for _ in 0..COMPARED_WITHIN {
        story.simulation.pass(HOUR).await;
        story.check();
    }
    assert!(story.simulation.was_guarded().await);
    for (what, orders) in
        [("kept", 0), ("renewed", 1), ("twice", 1), ("revoked", 1), ("rolled", 0), ("removed", 1)]
    {
        assert_eq!(story.orders_since(what), orders, "{what}");
        story.check_success(what).await;
        assert!(story.uploaded(what).await.is_disjoint(&story.stored[what]), "{what}");
    }
    // Of the revoked one its CA has told first, and what takes its place is newer than what C4 holds.
    for what in ["renewed", "twice", "removed", "pasted"] {
        assert_eq!(story.told_of(what, HistoryKind::AheadAtC4).await, 1, "{what}");
    }
    assert_eq!(story.told_of("rolled", HistoryKind::TakenOver).await, 1);
    for what in ["kept", "rolled", "pasted", "added"] {
        assert_eq!(story.held_now(what), story.held[what], "{what} stays");
    }
    asked_for_afterwards(&mut story).await;
}

/// What people ask for once they were told goes its way.
async fn asked_for_afterwards(story: &mut Story) {
    let listed = story.simulation.domains().await;
    let pasted = listed.into_iter().find(|view| view.domain.name == name("pasted")).unwrap();
    assert!(matches!(pasted.domain.reason(), Some(Reason::PastedLost { at: Some(_) })));
    assert_eq!(story.orders_since("pasted"), 0);
    story.simulation.import(&name("pasted")).await;
    story.simulation.roll_back(&name("rolled")).await;
    story.simulation.add(&name("added")).await;
    pass(&mut story.simulation, 2).await;
    for what in ["pasted", "rolled", "added"] {
        story.check_success(what).await;
        assert_ne!(story.held_now(what), story.held[what], "{what}");
    }
}

/// C4 forgot the domains, revisions included, so it takes anything: only the CA knows what was revoked after the backup.
async fn what_its_ca_has_revoked_is_not_uploaded_again(mode: Mode) {
    let (mut simulation, certificates) = forgotten_by_c4(mode).await;
    let orders = ["kept", "revoked"].map(|what| simulation.ca().orders_for(name(what).as_str()));
    for _ in 0..COMPARED_WITHIN {
        simulation.pass(HOUR).await;
        let held = simulation.c4().certificate(name("revoked").as_str()).map(|held| held.sha256);
        assert_ne!(held.as_ref(), Some(&certificates[1]), "a revoked certificate is back");
    }
    let held =
        ["kept", "revoked"].map(|what| simulation.c4().certificate(name(what).as_str()).unwrap().sha256);
    assert_eq!(held[0], certificates[0], "what is not on the list goes up again");
    let then = ["kept", "revoked"].map(|what| simulation.ca().orders_for(name(what).as_str()));
    assert_eq!([then[0] - orders[0], then[1] - orders[1]], [0, 1]);
    let stored = simulation.certificates(&name("revoked")).await;
    let revoked = stored.iter().find(|stored| stored.summary.sha256 == certificates[1]).unwrap();
    assert!(revoked.withdrawn && revoked.revoked_at.is_some(), "it is never put back");
}

async fn a_list_that_cannot_be_had_keeps_nobody_without_a_certificate(mode: Mode) {
    let (mut simulation, certificates) = forgotten_by_c4(mode).await;
    simulation.ca().crl_down(true);
    for _ in 0..COMPARED_WITHIN {
        simulation.pass(HOUR).await;
    }
    let held = simulation.c4().certificate(name("kept").as_str()).map(|held| held.sha256);
    assert_eq!(held.as_ref(), Some(&certificates[0]), "C4 held nothing, so it goes up all the same");
}

/// Everything was renewed since the backup, and what was live then has ended.
async fn a_backup_from_before_every_live_certificate_brings_none_back(mode: Mode) {
    let begins = "2027-01-01T00:00:00Z".parse().unwrap();
    let mut simulation = Simulation::start(mode, 7, begins, Duration::from_hours(10 * 24)).await;
    let all = ["one", "two", "three"].map(name);
    for name in &all {
        simulation.add(name).await;
    }
    pass(&mut simulation, 2).await;
    let backup = simulation.back_up().await;
    pass(&mut simulation, 14 * DAY).await;
    let c4 = simulation.c4();
    let held = all.clone().map(|name| c4.certificate(name.as_str()).unwrap());
    let orders = all.clone().map(|name| simulation.ca().orders_for(name.as_str()));
    simulation.restore(backup).await;
    let stored = simulation.certificates(&all[0]).await;
    assert!(stored.iter().all(|stored| stored.summary.not_after < simulation.now()), "all have ended");
    for _ in 0..COMPARED_WITHIN {
        simulation.pass(HOUR).await;
        for (name, held) in all.iter().zip(&held) {
            let now = c4.certificate(name.as_str()).unwrap();
            assert!(now.not_after >= held.not_after, "{name} went backwards");
        }
    }
    for (name, before) in all.iter().zip(orders) {
        assert_eq!(simulation.ca().orders_for(name.as_str()) - before, 1, "{name} has no key");
    }
    assert!(simulation.domains().await.iter().all(|view| view.domain.recorded == Status::Success));
}

/// A store from before a revocation, and a C4 that has lost everything of two names; what it held of them at the backup.
async fn forgotten_by_c4(mode: Mode) -> (Simulation, [String; 2]) {
    let begins = "2027-01-01T00:00:00Z".parse().unwrap();
    let mut simulation = Simulation::start(mode, 7, begins, Duration::from_hours(90 * 24)).await;
    for what in ["kept", "revoked"] {
        simulation.add(&name(what)).await;
    }
    pass(&mut simulation, 2 * DAY).await;
    let certificates =
        ["kept", "revoked"].map(|what| simulation.c4().certificate(name(what).as_str()).unwrap().sha256);
    let backup = simulation.back_up().await;
    simulation.revoke(&name("revoked")).await;
    pass(&mut simulation, 2).await;
    assert_eq!(simulation.ca().revoked()[0].sha256, certificates[1]);
    simulation.restore(backup).await;
    for what in ["kept", "revoked"] {
        let (c4, name) = (simulation.c4(), name(what));
        c4.remove_domain(name.as_str());
        c4.put_domain(name.as_str(), C4Domain { ports: vec![80, 443], cname: "cdn.example.net".to_owned() });
    }
    (simulation, certificates)
}
