//! What must hold in a simulation, whatever happened: every listed domain has a next action or a person who must act; a
//! certificate that C4 holds goes only if somebody took it away; a status agrees with what C4 holds; the CA never has to
//! refuse an order because of its limits. And once the world is in order again, so is every domain.

use domain::{Domain, DomainName, Status, Who};
use jiff::{SignedDuration, Timestamp};

use super::Simulation;
use super::operation::{Command, DOMAINS, Operation, name};

/// Longer than any wait that the limits of the CA or a backoff can cause.
const SETTLED_WITHIN: SignedDuration = SignedDuration::from_hours(16 * 24);

/// What was seen and done outside of the system's own memory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    listed: bool,
    /// When the certificate that C4 was last seen to hold ends.
    held_until: Option<Timestamp>,
    /// Its removal was asked for; and at the last check.
    removal: [bool; 2],
    /// Something happened after which C4 may hold something else than what was live, until that is noticed.
    disturbed: bool,
}

impl Simulation {
    pub(super) fn expect(&mut self, name: &DomainName, command: Command) {
        let memory = self.memory.entry(name.clone()).or_default();
        match command {
            Command::Add | Command::Generate { .. } | Command::Import => {
                memory.listed = true;
                memory.removal[0] = false;
            }
            Command::Delete { remove_from_c4 } => {
                memory.removal[0] |= memory.listed && remove_from_c4;
                memory.listed = false;
            }
            Command::RollBack | Command::Recheck => {}
        }
    }

    pub(super) fn remember_outside(&mut self, operation: Operation) {
        match operation {
            Operation::C4LosesCertificate(which) | Operation::C4Knows(which, false) => {
                self.memory.entry(name(which)).or_default().held_until = None;
                self.remember_disturbed(&name(which));
            }
            Operation::C4DropsAnswer(which) => self.remember_disturbed(&name(which)),
            _ => {}
        }
    }

    pub(super) fn remember_disturbed(&mut self, name: &DomainName) {
        self.memory.entry(name.clone()).or_default().disturbed = true;
    }

    /// Checks what must hold at any time.
    pub async fn check(&mut self) {
        assert_eq!(self.ca().refused_by_limits(), 0, "the CA had to say no");
        for which in 0..DOMAINS {
            let name = name(which);
            let view = self.context.store.domain(&name).await.expect("read");
            let memory = self.memory.entry(name.clone()).or_default();
            assert_eq!(view.is_some(), memory.listed, "{name} on the list");
            self.check_nothing_is_lost(&name);
            if let Some(view) = view {
                self.check_next(&view.domain).await;
                self.check_status(&view.domain).await;
            }
        }
    }

    fn check_nothing_is_lost(&mut self, name: &DomainName) {
        let now = self.now();
        let held = self.c4().certificate(name.as_str()).map(|held| held.not_after);
        let memory = self.memory.entry(name.clone()).or_default();
        let had = memory.held_until.is_some_and(|until| now < until);
        assert!(
            !had || held.is_some_and(|until| now < until) || memory.removal.contains(&true),
            "{name} had a certificate at C4 until {:?}, and now {held:?}",
            memory.held_until
        );
        memory.held_until = held;
        memory.removal[1] = memory.removal[0];
    }

    async fn check_next(&self, domain: &Domain) {
        if domain.status(self.now()) != domain.recorded {
            // The scheduler's next look finds that the certificate ended.
            return;
        }
        let work = self.context.store.work(&domain.name).await.expect("read");
        let person = domain.reason().is_some_and(|reason| reason.who().is_some_and(|who| who != Who::Us));
        let history = self.context.store.history(&domain.name, 5).await.expect("read");
        assert!(
            person || work.iter().any(|work| work.due_at.is_some()),
            "nothing is next for {}, and nobody is named: {domain:?} after {history:#?}",
            domain.name
        );
    }

    async fn check_status(&mut self, domain: &Domain) {
        if domain.status(self.now()) != Status::Success {
            return;
        }
        let agrees = self.c4_agrees(domain).await;
        let work = self.context.store.work(&domain.name).await.expect("read");
        let memory = self.memory.entry(domain.name.clone()).or_default();
        memory.disturbed &= !agrees;
        assert!(
            agrees || memory.disturbed,
            "{} is a Success that C4 knows nothing of: {work:?}",
            domain.name
        );
    }

    async fn c4_agrees(&self, domain: &Domain) -> bool {
        let Some(live) = domain.live() else {
            return false;
        };
        let stored = self.context.store.certificate(&domain.name, live.certificate).await.expect("read");
        let held = self.c4().certificate(domain.name.as_str());
        stored.is_some_and(|stored| held.is_some_and(|held| held.sha256 == stored.summary.sha256))
    }

    /// Puts the world in order, asks for a recheck of everything, and sees each domain end up where it belongs.
    pub async fn settles(&mut self) {
        self.held = None;
        self.ca().down(false);
        self.c4().down(false);
        for which in 0..DOMAINS {
            for repaired in [
                Operation::C4Knows(which, true),
                Operation::C4Refuses(which, false),
                Operation::CaFindsInvalid(which, false),
                Operation::CaLimits(which, None),
                Operation::Command(which, Command::Recheck),
            ] {
                self.apply(repaired).await;
            }
        }
        let until = self.now() + SETTLED_WITHIN;
        loop {
            let next = self.next_due().await;
            self.pass(next.duration_since(self.now()).max(SignedDuration::from_secs(1))).await;
            self.check().await;
            let unsettled = self.unsettled().await;
            if unsettled.is_empty() {
                return;
            }
            assert!(self.now() < until, "not in order again: {unsettled:#?}");
        }
    }

    async fn next_due(&self) -> Timestamp {
        let mut next = self.now() + SignedDuration::from_hours(6);
        for which in 0..DOMAINS {
            let work = self.context.store.work(&name(which)).await.expect("read");
            next = work.iter().filter_map(|work| work.due_at).fold(next, Timestamp::min);
        }
        next
    }

    async fn unsettled(&self) -> Vec<Domain> {
        let mut unsettled = Vec::new();
        for which in 0..DOMAINS {
            let view = self.context.store.domain(&name(which)).await.expect("read");
            let Some(domain) = view.map(|view| view.domain) else {
                continue;
            };
            if !self.is_settled(&domain).await {
                unsettled.push(domain);
            }
        }
        unsettled
    }

    /// Success and C4 agrees; or a customer is named, who has something to do.
    async fn is_settled(&self, domain: &Domain) -> bool {
        let status = domain.status(self.now());
        let blames = domain.reason().and_then(|reason| reason.who());
        match status {
            Status::Success => self.c4_agrees(domain).await,
            Status::Failure | Status::Expired | Status::Pending => blames == Some(Who::Customer),
            Status::Discard | Status::Emergency => false,
        }
    }
}
