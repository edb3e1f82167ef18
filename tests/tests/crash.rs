//! kill -9 at every step of the journal, by name, then a restart: the domain becomes Success, nothing is lost, and at
//! most one order too many is placed, only where the CA's answer to new-order was unstored at the kill.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use sandbox::{ValidationResult, World, WorldOptions, handshake};
use tests::{Deserved, Mode, SslManager, Surroundings, certificate_and_key_belong_together, sha256_of_leaf};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";

async fn world(mode: Mode) -> (World, SslManager) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    (world, manager)
}

/// Adds the domain, waits until the process stands at `step`, and pulls the plug. Once its challenge is answered, not before
/// the CA has looked: a CA that looks meanwhile finds nobody and ends the order, which is another case.
async fn killed_at(world: &World, manager: &mut SslManager, step: &str) {
    manager.spawn(&[("SSL_MANAGER_STOP_AT", step)]);
    manager.ready().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.stopped_at(step).await;
    if step == "challenge-answered" {
        tests::wait_for("the CA's look", LIMIT, || {
            let looks = world.ca.control().validations();
            std::future::ready(if looks > 0 { Ok(()) } else { Err("none yet".to_owned()) })
        })
        .await;
    }
    manager.process().kill_9();
}

/// Starts again and waits for Success, with everything where it belongs.
async fn recovers(world: &World, manager: &mut SslManager) {
    manager.start().await;
    let shown = manager.status(NAME, "Success", LIMIT).await;
    let held = world.c4.control().certificate(NAME).unwrap();
    assert!(certificate_and_key_belong_together(&held.certificate_pem, &held.private_key_pem));
    assert_eq!(sha256_of_leaf(&held.certificate_pem), shown["certificate"]["sha256"]);
    handshake(world.edge.https_addr(), NAME, &world.ca.issuing_root_pem()).await.unwrap();
}

/// What was certified is what serves: no certificate was issued that nobody uses.
async fn nothing_is_wasted(world: &World, manager: &mut SslManager, orders: u64) {
    manager.assert_in_order(world, &[Deserved::success(NAME, orders..=orders)]).await;
    assert_eq!(world.ca.control().certificates_issued(), 1, "certificates issued");
}

macro_rules! steps {
    ($($test:ident => $step:literal, $orders:literal;)*) => {
        const STEPS: &[&str] = &[$($step),*];

        $(
            async fn $test(mode: Mode) {
                let (world, mut manager) = world(mode).await;
                killed_at(&world, &mut manager, $step).await;
                recovers(&world, &mut manager).await;
                nothing_is_wasted(&world, &mut manager, $orders).await;
            }
        )*

        tests::in_both_modes!(
            $($test,)*
            a_removal_survives_a_kill_at_each_of_its_steps, a_revocation_survives_a_kill_at_each_of_its_steps,
            an_order_that_expired_meanwhile_is_replaced_by_one,
            an_authorization_that_is_valid_already_is_used, nothing_of_a_past_life_lands_on_the_present_one
        );
    };
}

steps! {
    killed_after_preflight => "preflight-passed", 1;
    killed_with_an_account => "account-ready", 1;
    killed_with_a_sealed_key => "key-sealed", 1;
    killed_with_an_order_row => "order-created", 1;
    killed_before_the_orders_url_is_stored => "new-order-answered", 2;
    killed_with_an_orders_url => "order-placed", 1;
    killed_with_a_stored_challenge => "challenge-stored", 1;
    killed_with_an_answered_challenge => "challenge-answered", 1;
    killed_with_a_valid_authorization => "authorization-valid", 1;
    killed_after_finalize => "finalized", 1;
    killed_with_a_certificate_in_memory => "certificate-downloaded", 1;
    killed_with_a_stored_certificate => "certificate-stored", 1;
    killed_before_the_upload => "upload-intent", 1;
    killed_after_the_upload => "upload-sent", 1;
    killed_with_a_stored_upload => "upload-stored", 1;
}

const REMOVAL_STEPS: &[&str] = &["remove-intent", "remove-sent", "remove-stored"];

async fn a_removal_survives_a_kill_at_each_of_its_steps(mode: Mode) {
    for step in REMOVAL_STEPS {
        let (world, mut manager) = world(mode).await;
        manager.spawn(&[("SSL_MANAGER_STOP_AT", step)]);
        manager.ready().await;
        assert_eq!(manager.domain(&["add", NAME]).code, 0);
        manager.status(NAME, "Success", LIMIT).await;
        assert_eq!(manager.domain(&["delete", NAME, "--yes", "--remove-from-c4"]).code, 0);
        manager.stopped_at(step).await;
        manager.process().kill_9();
        manager.start().await;
        tests::wait_for("the removal", LIMIT, || {
            let gone = world.c4.control().certificate(NAME).is_none();
            std::future::ready(if gone { Ok(()) } else { Err(format!("still there, killed at {step}")) })
        })
        .await;
    }
}

const REVOCATION_STEPS: &[&str] = &["revocation-due", "revocation-answered", "revocation-stored"];

/// Killed before the CA is asked, before its answer is stored, and after that: the compromised certificate is replaced, then
/// revoked, once.
async fn a_revocation_survives_a_kill_at_each_of_its_steps(mode: Mode) {
    for step in REVOCATION_STEPS {
        let (world, mut manager) = world(mode).await;
        manager.spawn(&[("SSL_MANAGER_STOP_AT", step)]);
        manager.ready().await;
        assert_eq!(manager.domain(&["add", NAME]).code, 0);
        let first = manager.status(NAME, "Success", LIMIT).await["certificate"]["sha256"].clone();
        let revoke = ["revoke", NAME, "--reason", "key-compromise", "--yes"];
        assert_eq!(manager.domain(&revoke).code, 0);
        manager.stopped_at(step).await;
        let held = world.c4.control().certificate(NAME).unwrap();
        assert_ne!(first, held.sha256.as_str(), "{step}: replaced before");
        manager.process().kill_9();
        manager.start().await;
        tests::wait_for("the revocation", LIMIT, || {
            let history = manager.domain(&["history", NAME]).json;
            let of_kind = |kind: &str| {
                let entries = history.as_array().unwrap().iter();
                entries.filter(|entry| entry["kind"] == kind).count()
            };
            let seen = (of_kind("revocation_requested"), of_kind("revoked"));
            std::future::ready(if seen == (1, 1) {
                Ok(())
            } else {
                Err(format!("{seen:?}, killed at {step}"))
            })
        })
        .await;
        let revoked = world.ca.control().revoked();
        assert_eq!(revoked.len(), 1, "{step}");
        assert_eq!((first, revoked[0].reason), (revoked[0].sha256.as_str().into(), Some(1)));
        manager.status(NAME, "Success", LIMIT).await;
        assert_eq!(world.c4.control().certificate(NAME).unwrap().sha256, held.sha256);
    }
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
    let tested: BTreeSet<String> =
        STEPS.iter().chain(REMOVAL_STEPS).chain(REVOCATION_STEPS).map(ToString::to_string).collect();
    assert_eq!(found, tested);
}

async fn an_order_that_expired_meanwhile_is_replaced_by_one(mode: Mode) {
    for step in ["order-placed", "challenge-answered", "authorization-valid"] {
        let (world, mut manager) = world(mode).await;
        world.ca.control().validation_result(NAME, ValidationResult::Real);
        killed_at(&world, &mut manager, step).await;
        world.ca.control().expire_orders();
        recovers(&world, &mut manager).await;
        nothing_is_wasted(&world, &mut manager, 2).await;
    }
}

async fn an_authorization_that_is_valid_already_is_used(mode: Mode) {
    let (world, mut manager) = world(mode).await;
    manager.start().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
    manager.process().terminate();
    assert!(manager.process().exit(LIMIT).await.success());

    manager.spawn(&[("SSL_MANAGER_STOP_AT", "order-placed")]);
    manager.ready().await;
    assert_eq!(manager.domain(&["generate", NAME, "--force"]).code, 0);
    manager.stopped_at("order-placed").await;
    manager.process().kill_9();
    // A second look at the challenge would never end; the account's valid authorization must do.
    world.ca.control().validation_result(NAME, ValidationResult::Never);
    manager.start().await;
    tests::wait_for("the second certificate", LIMIT, || {
        let uploaded = world.c4.control().puts(NAME);
        std::future::ready(if uploaded == 2 { Ok(()) } else { Err(format!("{uploaded} uploads")) })
    })
    .await;
    recovers_running(&world, &mut manager).await;
    assert_eq!(world.ca.control().orders_for(NAME), 2);
}

/// What C4 has is what we say is live: soon, for C4 has it before we know.
async fn recovers_running(world: &World, manager: &mut SslManager) {
    manager.status(NAME, "Success", LIMIT).await;
    tests::wait_for("C4's certificate is the live one", LIMIT, || {
        let shown = manager.domain(&["show", NAME]).json["certificate"]["sha256"].clone();
        let at_c4 = world.c4.control().certificate(NAME).unwrap().sha256;
        std::future::ready(if shown == at_c4.as_str() {
            Ok(())
        } else {
            Err(format!("{shown}, not {at_c4}"))
        })
    })
    .await;
}

async fn nothing_of_a_past_life_lands_on_the_present_one(mode: Mode) {
    for step in ["order-placed", "challenge-answered", "authorization-valid", "certificate-downloaded"] {
        let (world, mut manager) = world(mode).await;
        // The process goes on serving its API while the issuance stands still at the step.
        manager.spawn(&[("SSL_MANAGER_STOP_AT", step)]);
        manager.ready().await;
        assert_eq!(manager.domain(&["add", NAME]).code, 0);
        manager.stopped_at(step).await;
        assert_eq!(manager.domain(&["delete", NAME, "--yes"]).code, 0);
        assert_eq!(manager.domain(&["show", NAME]).code, 1);
        assert_eq!(manager.domain(&["add", NAME]).code, 0);
        // Killed between the CA's answer and its row, the second life would need a third order.
        manager.stopped_again_or_success(step, NAME).await;
        manager.process().kill_9();
        recovers(&world, &mut manager).await;
        // The first life's order is abandoned; the second has one of its own.
        assert_eq!(world.ca.control().orders_for(NAME), 2, "{step}");
        let history = manager.domain(&["history", NAME]);
        let kinds: Vec<&str> =
            history.json.as_array().unwrap().iter().filter_map(|e| e["kind"].as_str()).collect();
        assert_eq!(
            kinds.iter().filter(|kind| **kind == "certificate_issued").count(),
            1,
            "{step}: {kinds:?}"
        );
    }
}
