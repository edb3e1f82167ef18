//! kill -9 at every step of the journal, by name, then a restart: the domain becomes Success, nothing is lost, and at
//! most one order too many is placed, only where the CA's answer to new-order was unstored at the kill.
//!
//! One system stands at many steps at the moment of the kill, each with another domain: scaled out, the next process waits for
//! the end of the leases, and for all domains that is the same half minute.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use sandbox::{ValidationResult, World, WorldOptions, handshake};
use serde_json::Value;
use tests::{
    Deserved, Mode, Postgres, RabbitMq, SslManager, Surroundings, certificate_and_key_belong_together,
    sha256_of_leaf, wait_for,
};
use tokio::task::JoinSet;

const LIMIT: Duration = Duration::from_mins(2);

/// Each step of an issuance and its upload, in the order in which work comes to them, and the orders that are placed if
/// everything is killed there.
const STEPS: &[(&str, u64)] = &[
    ("preflight-passed", 1),
    ("account-ready", 1),
    ("key-sealed", 1),
    ("order-created", 1),
    ("new-order-answered", 2),
    ("order-placed", 1),
    ("challenge-stored", 1),
    ("challenge-answered", 1),
    ("authorization-valid", 1),
    ("finalized", 1),
    ("certificate-downloaded", 1),
    ("certificate-stored", 1),
    ("upload-intent", 1),
    ("upload-sent", 1),
    ("upload-stored", 1),
];
const REMOVAL_STEPS: &[&str] = &["remove-intent", "remove-sent", "remove-stored"];
const REVOCATION_STEPS: &[&str] = &["revocation-due", "revocation-answered", "revocation-stored"];

tests::in_both_modes!(
    a_kill_at_each_step_loses_nothing_and_wastes_no_order,
    a_removal_survives_a_kill_at_each_of_its_steps,
    a_revocation_survives_a_kill_at_each_of_its_steps,
    an_order_that_expired_meanwhile_is_replaced_by_one,
    an_authorization_that_is_valid_already_is_used,
    nothing_of_a_past_life_lands_on_the_present_one
);

/// The domain that stands at a step.
fn name(step: &str) -> String {
    format!("{step}.example.com")
}

/// A system that is killed when a domain stands at each of its steps. Of each role there is one copy: all are killed.
struct Killed {
    world: World,
    manager: SslManager,
    steps: Vec<&'static str>,
}

impl Killed {
    async fn at(steps: &[&'static str], mode: Mode) -> Self {
        let world = World::start(WorldOptions::default()).await.unwrap();
        let surroundings = Surroundings::sandbox(&world);
        let manager = match mode {
            Mode::Embedded => SslManager::new(mode, &surroundings).await,
            Mode::Scaled => {
                let (postgres, rabbitmq) = tokio::join!(Postgres::shared(), RabbitMq::shared());
                SslManager::on(&surroundings, postgres, rabbitmq, 1).await
            }
        };
        world.edge.control().set_challenge_upstream(manager.responder());
        for step in steps {
            world.point_at_cdn(&name(step));
        }
        Self { world, manager, steps: steps.to_vec() }
    }

    fn run(&self, command: &str, step: &str, arguments: &[&str]) {
        let answer = self.manager.domain(&[&[command, &name(step)], arguments].concat());
        assert_eq!(answer.code, 0, "{command} at {step}: {}", answer.stderr);
    }

    async fn success(&mut self, step: &str) -> Value {
        self.manager.status(&name(step), "Success", LIMIT).await
    }

    async fn start_to_the_steps(&mut self) {
        self.manager.spawn(&[("SSL_MANAGER_STOP_AT", &self.steps.join(","))]);
        self.manager.ready().await;
    }

    /// Gives each domain this command, one after the other, so that each stops at another step, and pulls the plug. If a
    /// challenge is answered, not before the CA has looked: a CA that looks meanwhile finds nobody and ends the order, which
    /// is another case.
    async fn kill_after(&mut self, command: &str, arguments: &[&str]) {
        for step in self.steps.clone() {
            self.run(command, step, arguments);
            self.manager.stopped_at(step).await;
            if step == "challenge-answered" {
                wait_for("the CA's look", LIMIT, || {
                    let looks = self.world.ca.control().validations();
                    std::future::ready(if looks > 0 { Ok(()) } else { Err("none yet".to_owned()) })
                })
                .await;
            }
        }
        self.manager.process().kill_9();
    }

    /// Starts again and waits for Success, with everything where it belongs.
    async fn recovers(&mut self) {
        self.manager.start().await;
        for step in self.steps.clone() {
            let (shown, name) = (self.success(step).await, name(step));
            let held = self.world.c4.control().certificate(&name).unwrap();
            assert!(certificate_and_key_belong_together(&held.certificate_pem, &held.private_key_pem));
            assert_eq!(sha256_of_leaf(&held.certificate_pem), shown["certificate"]["sha256"]);
            let root = self.world.ca.issuing_root_pem();
            handshake(self.world.edge.https_addr(), &name, &root).await.unwrap();
        }
    }

    /// What was certified is what serves: no certificate was issued that nobody uses.
    async fn nothing_is_wasted(&mut self, orders: impl Fn(&str) -> u64) {
        let names: Vec<(String, u64)> = self.steps.iter().map(|step| (name(step), orders(step))).collect();
        let deserved: Vec<_> =
            names.iter().map(|(name, orders)| Deserved::success(name, *orders..=*orders)).collect();
        self.manager.assert_in_order(&self.world, &deserved).await;
        let issued = self.world.ca.control().certificates_issued();
        assert_eq!(issued, self.steps.len() as u64, "certificates issued");
    }

    /// How many entries of a kind the history of a domain has.
    fn history(&self, step: &str, kind: &str) -> usize {
        let history = self.manager.domain(&["history", &name(step)]).json;
        history.as_array().unwrap().iter().filter(|entry| entry["kind"] == kind).count()
    }
}

async fn a_kill_at_each_step_loses_nothing_and_wastes_no_order(mode: Mode) {
    let steps: Vec<&str> = STEPS.iter().map(|(step, _)| *step).collect();
    let mut killed = Killed::at(&steps, mode).await;
    killed.start_to_the_steps().await;
    killed.kill_after("add", &[]).await;
    killed.recovers().await;
    killed.nothing_is_wasted(|step| STEPS.iter().find(|(known, _)| *known == step).unwrap().1).await;
}

async fn a_removal_survives_a_kill_at_each_of_its_steps(mode: Mode) {
    let mut killed = Killed::at(REMOVAL_STEPS, mode).await;
    killed.start_to_the_steps().await;
    for step in REMOVAL_STEPS {
        killed.run("add", step, &[]);
        killed.success(step).await;
    }
    killed.kill_after("delete", &["--yes", "--remove-from-c4"]).await;
    killed.manager.start().await;
    for step in REMOVAL_STEPS {
        wait_for("the removal", LIMIT, || {
            let gone = killed.world.c4.control().certificate(&name(step)).is_none();
            std::future::ready(if gone { Ok(()) } else { Err(format!("still there, killed at {step}")) })
        })
        .await;
    }
}

/// Killed before the CA is asked, before its answer is stored, and after that: the compromised certificate is replaced, then
/// revoked, once.
async fn a_revocation_survives_a_kill_at_each_of_its_steps(mode: Mode) {
    let mut killed = Killed::at(REVOCATION_STEPS, mode).await;
    killed.start_to_the_steps().await;
    let mut first = Vec::new();
    for step in REVOCATION_STEPS {
        killed.run("add", step, &[]);
        first.push(killed.success(step).await["certificate"]["sha256"].as_str().unwrap().to_owned());
    }
    killed.kill_after("revoke", &["--reason", "key-compromise", "--yes"]).await;
    let held =
        |killed: &Killed, step: &str| killed.world.c4.control().certificate(&name(step)).unwrap().sha256;
    let replacements: Vec<String> = REVOCATION_STEPS.iter().map(|step| held(&killed, step)).collect();
    for (first, replacement) in first.iter().zip(&replacements) {
        assert_ne!(first, replacement, "replaced before");
    }
    killed.manager.start().await;
    for (step, replacement) in REVOCATION_STEPS.iter().zip(&replacements) {
        wait_for("the revocation", LIMIT, || {
            let seen = ["revocation_requested", "revoked"].map(|kind| killed.history(step, kind));
            let is_revoked = seen == [1, 1];
            std::future::ready(if is_revoked { Ok(()) } else { Err(format!("{seen:?}, killed at {step}")) })
        })
        .await;
        killed.success(step).await;
        assert_eq!(held(&killed, step), *replacement);
    }
    let revoked: BTreeSet<_> =
        killed.world.ca.control().revoked().into_iter().map(|one| (one.sha256, one.reason)).collect();
    assert_eq!(revoked, first.into_iter().map(|sha256| (sha256, Some(1))).collect());
    assert_eq!(killed.world.ca.control().revoked().len(), REVOCATION_STEPS.len());
}

/// A step that is added to the code without a case here fails this.
#[test]
fn every_step_of_the_code_has_a_case() {
    fn collect(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // The steps of the notifier have their cases in webhooks.rs.
            if path.is_dir() && !path.ends_with("notifier") {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let steps = text.split("checkpoint(\"").skip(1).filter_map(|rest| rest.split('"').next());
                found.extend(steps.map(str::to_owned));
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../services")), &mut found);
    let simulated: BTreeSet<String> = tests::STEPS.iter().map(|step| (*step).to_owned()).collect();
    assert_eq!(simulated, found, "steps of the simulation");
    let tested: BTreeSet<String> = STEPS
        .iter()
        .map(|(step, _)| step)
        .chain(REMOVAL_STEPS)
        .chain(REVOCATION_STEPS)
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, tested);
}

async fn an_order_that_expired_meanwhile_is_replaced_by_one(mode: Mode) {
    let mut killed = Killed::at(&["order-placed", "challenge-answered", "authorization-valid"], mode).await;
    killed.start_to_the_steps().await;
    killed.kill_after("add", &[]).await;
    killed.world.ca.control().expire_orders();
    killed.recovers().await;
    killed.nothing_is_wasted(|_| 2).await;
}

async fn an_authorization_that_is_valid_already_is_used(mode: Mode) {
    const STEP: &str = "order-placed";
    let mut killed = Killed::at(&[STEP], mode).await;
    killed.manager.start().await;
    killed.run("add", STEP, &[]);
    killed.success(STEP).await;
    killed.manager.process().terminate();
    assert!(killed.manager.process().exit(LIMIT).await.success());

    killed.start_to_the_steps().await;
    killed.kill_after("generate", &["--force"]).await;
    // A second look at the challenge would never end; the account's valid authorization must do.
    killed.world.ca.control().validation_result(&name(STEP), ValidationResult::Never);
    killed.manager.start().await;
    wait_for("the second certificate", LIMIT, || {
        let uploaded = killed.world.c4.control().puts(&name(STEP));
        std::future::ready(if uploaded == 2 { Ok(()) } else { Err(format!("{uploaded} uploads")) })
    })
    .await;
    what_c4_has_is_live(&mut killed, STEP).await;
    assert_eq!(killed.world.ca.control().orders_for(&name(STEP)), 2);
}

/// What C4 has is what we say is live: soon, for C4 has it before we know.
async fn what_c4_has_is_live(killed: &mut Killed, step: &str) {
    killed.success(step).await;
    wait_for("C4's certificate is the live one", LIMIT, || {
        let shown = killed.manager.domain(&["show", &name(step)]).json["certificate"]["sha256"].clone();
        let at_c4 = killed.world.c4.control().certificate(&name(step)).unwrap().sha256;
        std::future::ready(if shown == at_c4.as_str() {
            Ok(())
        } else {
            Err(format!("{shown}, not {at_c4}"))
        })
    })
    .await;
}

/// Each step has a system of its own here, because the second life comes to the same step; they run beside each other.
async fn nothing_of_a_past_life_lands_on_the_present_one(mode: Mode) {
    let mut running = JoinSet::new();
    for step in ["order-placed", "challenge-answered", "authorization-valid", "certificate-downloaded"] {
        running.spawn(a_past_life_stops_at(step, mode));
    }
    running.join_all().await;
}

async fn a_past_life_stops_at(step: &'static str, mode: Mode) {
    let mut killed = Killed::at(&[step], mode).await;
    // The process goes on serving its API while the issuance stands still at the step.
    killed.start_to_the_steps().await;
    killed.run("add", step, &[]);
    killed.manager.stopped_at(step).await;
    killed.run("delete", step, &["--yes"]);
    assert_eq!(killed.manager.domain(&["show", &name(step)]).code, 1);
    killed.run("add", step, &[]);
    // Killed between the CA's answer and its row, the second life would need a third order.
    killed.manager.stopped_again_or_success(step, &name(step)).await;
    killed.manager.process().kill_9();
    killed.recovers().await;
    // The first life's order is abandoned; the second has one of its own.
    assert_eq!(killed.world.ca.control().orders_for(&name(step)), 2, "{step}");
    assert_eq!(killed.history(step, "certificate_issued"), 1, "{step}");
}
