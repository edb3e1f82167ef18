//! What may happen in a simulation: commands, deliveries, crashes, and an outside world that misbehaves.

use std::time::Duration;

use api::commands::CommandError;
use domain::{CertificateId, CertificateSummary, DomainName, Source, WorkKind};
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, KeyPair};
use sandbox::{C4Domain, CDN_TARGET, Endpoint, Nonsense, Refusal, ValidationResult};
use seal::Binding;
use store::Certificate;

use super::{Simulation, by};

/// The steps of the journal, in the order in which work comes to them.
pub const STEPS: [&str; 21] = [
    "order-created",
    "preflight-passed",
    "account-ready",
    "new-order-answered",
    "order-placed",
    "challenge-stored",
    "challenge-answered",
    "authorization-valid",
    "key-sealed",
    "finalized",
    "certificate-downloaded",
    "certificate-stored",
    "upload-intent",
    "upload-sent",
    "upload-stored",
    "remove-intent",
    "remove-sent",
    "remove-stored",
    "revocation-due",
    "revocation-answered",
    "revocation-stored",
];

const PASTED_LIVES: SignedDuration = SignedDuration::from_hours(60 * 24);

/// What somebody asks the API for.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// To put a name on the list.
    Add,
    /// A generated certificate.
    Generate {
        /// Even if there is a fresh one.
        force: bool,
    },
    /// A certificate of the customer's own.
    Import,
    /// The certificate before.
    RollBack,
    /// The next step now.
    Recheck,
    /// To take it off the list.
    Delete {
        /// And its certificate from C4.
        remove_from_c4: bool,
    },
}

/// What happens when work stands at a step.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// The process dies, with the commit before the step made and the one after it not.
    Crash,
    /// Somebody commands something; then the work goes on.
    Meanwhile(usize, Command),
}

/// One thing that may happen. Domains are numbered.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// Somebody asks for something.
    Command(usize, Command),
    /// Time passes, and everything that is due is carried out.
    Pass(SignedDuration),
    /// The scheduler looks once.
    Look,
    /// One message is handled.
    Handle,
    /// One message is put off, so that later ones overtake it.
    PutOff,
    /// A worker is told once more of work that it may long have done.
    Repeat(WorkKind, usize),
    /// The next work that comes to a step.
    At(&'static str, Then),
    /// The customer moves away, or back.
    Pointed(usize, bool),
    /// C4 answers 503, or works again.
    C4Down(bool),
    /// C4 forgets the domain with its certificate, or knows it.
    C4Knows(usize, bool),
    /// Somebody else removes the certificate.
    C4LosesCertificate(usize),
    /// C4 takes no certificate for the domain, or does again.
    C4Refuses(usize, bool),
    /// The next upload gets lost.
    C4DropsRequest(usize),
    /// The answer to the next upload gets lost.
    C4DropsAnswer(usize),
    /// The CA answers 503, or works again.
    CaDown(bool),
    /// The next request there gets lost.
    CaDropsRequest(Endpoint),
    /// The answer to the next request there gets lost.
    CaDropsAnswer(Endpoint),
    /// The next answer there makes no sense.
    CaTalksNonsense(Endpoint, Nonsense),
    /// The CA finds challenges of the domain wrong, or right again.
    CaFindsInvalid(usize, bool),
    /// The CA says rate limited, and for how long; or not any more.
    CaLimits(usize, Option<Duration>),
    /// Orders and authorizations that are not valid yet expire.
    CaForgetsOrders,
}

/// How many domains there are.
pub const DOMAINS: usize = 3;

/// A domain by its number.
pub(super) fn name(which: usize) -> DomainName {
    DomainName::parse(&format!("shop.customer{which}.com")).expect("a good name")
}

impl Simulation {
    /// Makes it happen.
    pub async fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Command(which, command) => self.command(which, command).await,
            Operation::Pass(time) => self.pass(time).await,
            Operation::Look => self.look().await,
            Operation::Handle => drop(self.handle().await),
            Operation::PutOff => self.put_off().await,
            Operation::Repeat(kind, which) => self.perform(kind, &name(which)).await,
            Operation::At(step, then) => self.held = Some((step, then)),
            outside => self.happens_outside(outside),
        }
    }

    fn happens_outside(&mut self, operation: Operation) {
        self.remember_outside(operation);
        let (c4, ca, dns) = (self.c4(), self.ca(), self.dns());
        match operation {
            Operation::Pointed(which, true) => dns.set_cname(name(which).as_str(), CDN_TARGET),
            Operation::Pointed(which, false) => dns.remove(name(which).as_str()),
            Operation::C4Down(down) => c4.down(down),
            Operation::C4Knows(which, true) => c4.put_domain(
                name(which).as_str(),
                C4Domain { ports: vec![80, 443], cname: CDN_TARGET.to_owned() },
            ),
            Operation::C4Knows(which, false) => c4.remove_domain(name(which).as_str()),
            Operation::C4LosesCertificate(which) => c4.remove_certificate(name(which).as_str()),
            Operation::C4Refuses(which, true) => {
                let refusal = Refusal::unprocessable("the zone is locked");
                c4.refuse(Some(name(which).as_str()), refusal);
            }
            Operation::C4Refuses(which, false) => c4.accept(Some(name(which).as_str())),
            Operation::C4DropsRequest(which) => c4.drop_request_once(name(which).as_str()),
            Operation::C4DropsAnswer(which) => c4.drop_answer_once(name(which).as_str()),
            Operation::CaDown(down) => ca.down(down),
            Operation::CaDropsRequest(endpoint) => ca.drop_request(endpoint),
            Operation::CaDropsAnswer(endpoint) => ca.drop_answer(endpoint),
            Operation::CaTalksNonsense(endpoint, nonsense) => ca.answer_nonsense(endpoint, nonsense),
            Operation::CaFindsInvalid(which, invalid) => {
                let result = if invalid { unreachable_from_ca() } else { ValidationResult::Valid };
                ca.validation_result(name(which).as_str(), result);
            }
            Operation::CaLimits(which, wait) => ca.rate_limit(Some(name(which).as_str()), wait),
            Operation::CaForgetsOrders => ca.expire_orders(),
            inside => unreachable!("{inside:?} does not happen outside"),
        }
    }

    async fn put_off(&self) {
        for message in self.take(1).await {
            let later = self.now() + SignedDuration::from_mins(1);
            let store = &self.context.store;
            store.delay_message(&message, later).await.expect("put off");
        }
    }

    /// Whatever the command says, it must say it as a command does: the store and the rules took it.
    pub(super) async fn command(&mut self, which: usize, command: Command) {
        let name = name(which);
        self.expect(&name, command);
        let (commands, by) = (&self.commands, by());
        let result = match command {
            Command::Add => commands.add(&name, &by).await.map(drop),
            Command::Generate { force } => commands.generate(&name, force, &by).await.map(drop),
            Command::Import => commands.import(self.pasted(&name).await, &by).await.map(drop),
            Command::RollBack => commands.roll_back(&name, &by).await.map(drop),
            Command::Recheck => commands.recheck(&name, &by).await.map(drop),
            Command::Delete { remove_from_c4 } => commands.delete(&name, remove_from_c4, &by).await.map(drop),
        };
        match result {
            Ok(()) | Err(CommandError::NotFound(_) | CommandError::NothingToRollBackTo { .. }) => {}
            Err(error) => panic!("{command:?} of {name}: {}", runtime::chain(&error)),
        }
    }

    /// A certificate of the customer's own.
    pub(super) async fn pasted(&self, name: &DomainName) -> Certificate {
        let now = self.now();
        let date = |at: Timestamp| {
            let at = std::time::SystemTime::from(at);
            rcgen::date_time_ymd(1970, 1, 1) + at.duration_since(std::time::UNIX_EPOCH).expect("after 1970")
        };
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_string()]).expect("a name");
        params.not_before = date(now - SignedDuration::from_hours(1));
        params.not_after = date(now + PASTED_LIVES);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let pasted = x509::check_pasted(&pem, &key.serialize_pem(), name, now).expect("a good paste");
        let context = &self.context;
        let id = CertificateId::new(&*context.clock, &*context.entropy);
        let keys = context.require_sealing_keys().expect("keys");
        let public_key = x509::leaf_public_key_sha256(&pasted.chain_pem).expect("a leaf");
        let sealed = keys.seal(&Binding::certificate(id, name), &public_key, &pasted.pkcs8).await;
        Certificate {
            summary: CertificateSummary {
                id,
                sha256: pasted.sha256,
                serial: pasted.serial,
                issuer: pasted.issuer,
                not_before: pasted.not_before,
                not_after: pasted.not_after,
                source: Source::Text,
                trust: Some(pasted.trust),
            },
            name: name.clone(),
            revision: 0,
            chain_pem: pasted.chain_pem,
            sealed_key: Some(sealed.expect("sealed")),
            created_at: now,
            uploaded_at: None,
            account: None,
            renewal: None,
            revoked_at: None,
            withdrawn: false,
        }
    }
}

fn unreachable_from_ca() -> ValidationResult {
    ValidationResult::Invalid {
        problem: "unauthorized".to_owned(),
        detail: "the answer is not what was expected".to_owned(),
    }
}
