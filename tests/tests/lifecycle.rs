//! What happens to a certificate in its life: rechecked at midnight, forbidden, pasted, rolled back, served by the edges,
//! taken over by another CA.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, KeyPair};
use sandbox::{Ca, CaOptions, ValidationResult, World, WorldOptions};
use serde_json::Value;
use tests::{Mode, Pebble, SslManager, Surroundings};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";

tests::in_both_modes!(
    a_cname_that_is_mended_is_found_by_the_midnight_recheck,
    caa_that_forbids_us_is_told_with_the_record_to_add,
    a_challenge_path_that_does_not_lead_here_costs_no_order,
    pasted_and_generated_certificates_take_turns_without_a_gap,
    a_certificate_is_live_once_the_edges_serve_it,
    another_ca_takes_over_when_the_first_is_down
);

async fn running(mode: Mode, change: impl FnOnce(&World, &mut Surroundings)) -> (World, SslManager) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut surroundings = Surroundings::sandbox(&world);
    change(&world, &mut surroundings);
    let mut manager = SslManager::new(mode, &surroundings).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    manager.start().await;
    (world, manager)
}

/// Waits until the domain looks like that.
async fn shows(manager: &SslManager, what: &str, looks: impl Fn(&Value) -> bool) -> Value {
    tests::wait_for(what, LIMIT, || {
        let shown = manager.domain(&["show", NAME]).json;
        std::future::ready(if looks(&shown) { Ok(shown) } else { Err(shown.to_string()) })
    })
    .await
}

async fn reason(manager: &SslManager, code: &str) -> Value {
    shows(manager, code, |shown| shown["reason"]["code"] == code).await
}

/// A certificate of the customer's own with its key, in files.
struct Own {
    folder: tempfile::TempDir,
}

impl Own {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2125, 1, 1);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("own.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(folder.path().join("own.key"), key.serialize_pem()).unwrap();
        Self { folder }
    }

    fn import(&self, manager: &SslManager) -> tests::Answer {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let (certificate, key) = (file("own.pem"), file("own.key"));
        manager.domain(&["import", NAME, "--certificate", &certificate, "--key", &key])
    }
}

/// A time zone in which it is around noon, and the time of day there: tests must not run into a real midnight.
#[expect(clippy::disallowed_methods, reason = "the processes have the system's clock")]
fn noon() -> (String, jiff::civil::Time) {
    let now = Timestamp::now();
    let utc_hour = now.to_zoned(jiff::tz::TimeZone::UTC).hour();
    // The sign of these zones is the other way round.
    let zone = format!("Etc/GMT{:+}", utc_hour - 12);
    let zone = if zone == "Etc/GMT+0" { "Etc/GMT".to_owned() } else { zone };
    let local = now.in_tz(&zone).unwrap();
    (zone, local.time())
}

fn hh_mm_ss(time: jiff::civil::Time) -> String {
    time.strftime("%H:%M:%S").to_string()
}

async fn a_cname_that_is_mended_is_found_by_the_midnight_recheck(mode: Mode) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path(), world.edge.http_addr().port()).await;
    let mut surroundings = Surroundings::pebble(&pebble, &world);
    let (zone, time) = noon();
    let later = time.checked_add(SignedDuration::from_hours(4)).unwrap();
    surroundings.more_settings = format!(
        "[scheduler]\nrecheck_at = \"{}\"\ntime_zone = \"{zone}\"\nrecheck_spread_minutes = 0\n",
        hh_mm_ss(later)
    );
    let mut manager = SslManager::new(mode, &surroundings).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.start().await;
    world.point_at_cdn(NAME);

    // Pebble's nameserver answers with its own address: no CNAME leads to the CDN.
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    let failing = reason(&manager, "not_pointed").await;
    assert_eq!(failing["status"], "Failure");
    let message = failing["reason"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("set {NAME} as CNAME to {}", world.cdn_target())), "{message}");
    pebble.set_cname(NAME, world.cdn_target()).await;

    // Everything is down when midnight comes.
    manager.process().terminate();
    assert!(manager.process().exit(LIMIT).await.success());
    // Whole seconds, and not before the domain was put on the list.
    let midnight = noon().1.checked_add(SignedDuration::from_secs(1)).unwrap();
    manager.spawn(&[("SSL_MANAGER__SCHEDULER__RECHECK_AT", &hh_mm_ss(midnight))]);
    manager.ready().await;
    let mended = manager.status(NAME, "Success", LIMIT).await;
    let retry: Timestamp = failing["next_attempt_at"].as_str().unwrap().parse().unwrap();
    let certified: Timestamp = mended["certificate"]["not_before"].as_str().unwrap().parse().unwrap();
    assert!(certified < retry, "the midnight recheck came before the retry at {retry}");
}

async fn caa_that_forbids_us_is_told_with_the_record_to_add(mode: Mode) {
    let (world, mut manager) = running(mode, |_, _| {}).await;
    world.dns.control().set_caa("example.com", vec![(0, "issue", "other-ca.example")]);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    let shown = reason(&manager, "caa_forbids").await;
    assert_eq!((&shown["status"], &shown["reason"]["who"]), (&"Failure".into(), &"customer".into()));
    let message = shown["reason"]["message"].as_str().unwrap();
    assert!(message.contains("example.com. CAA 0 issue \"sandbox.example\""), "{message}");
    assert_eq!(world.ca.control().orders_placed(), 0);
    world.dns.control().set_caa("example.com", vec![(0, "issue", "sandbox.example")]);
    assert_eq!(manager.domain(&["recheck", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
}

async fn a_challenge_path_that_does_not_lead_here_costs_no_order(mode: Mode) {
    let (world, mut manager) = running(mode, |_, _| {}).await;
    world.edge.control().block_challenges(true);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    let shown = reason(&manager, "challenge_unreachable").await;
    assert_eq!(shown["status"], "Failure");
    assert_eq!(world.ca.control().orders_placed(), 0);
    world.edge.control().block_challenges(false);
    assert_eq!(manager.domain(&["recheck", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
    assert_eq!(world.ca.control().orders_placed(), 1);
}

async fn served(world: &World) -> Option<String> {
    sandbox::served_sha256(world.edge.https_addr(), NAME).await.unwrap()
}

/// Elsewhere generating for a domain that had a pasted certificate fails until somebody deletes it.
async fn pasted_and_generated_certificates_take_turns_without_a_gap(mode: Mode) {
    let (world, manager) = running(mode, |_, _| {}).await;
    let own = Own::new(NAME);
    let imported = own.import(&manager);
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    assert!(imported.stderr.contains("not_publicly_trusted"), "{}", imported.stderr);
    let pasted = shows(&manager, "the pasted one", |shown| shown["certificate"]["source"] == "text").await;
    assert_eq!((&pasted["status"], &pasted["source"]), (&"Success".into(), &"text".into()));
    assert_eq!(pasted["next_attempt_at"], Value::Null, "never renewed");
    assert_eq!(world.ca.control().orders_placed(), 0);

    // The direct way: the pasted one serves until the generated one is live.
    world.ca.control().validation_result(NAME, ValidationResult::Never);
    let asked = manager.domain(&["generate", NAME]).json;
    assert_eq!((&asked["status"], &asked["source"]), (&"Success".into(), &"c4".into()));
    assert_eq!(served(&world).await.as_deref(), pasted["certificate"]["sha256"].as_str());
    world.ca.control().validation_result(NAME, ValidationResult::Real);
    assert_eq!(manager.domain(&["recheck", NAME]).code, 0);
    let generated =
        shows(&manager, "the generated one", |shown| shown["certificate"]["source"] == "c4").await;
    assert_eq!(generated["status"], "Success");
    assert_eq!(served(&world).await.as_deref(), generated["certificate"]["sha256"].as_str());

    // Back to the pasted one, and forth again.
    assert_eq!(manager.domain(&["rollback", NAME]).code, 0);
    shows(&manager, "rolled back", |shown| shown["certificate"] == pasted["certificate"]).await;
    assert_eq!(served(&world).await.as_deref(), pasted["certificate"]["sha256"].as_str());

    // By way of a delete: the generated certificate is put back without an order.
    assert_eq!(manager.domain(&["delete", NAME, "--yes"]).code, 0);
    assert_eq!(manager.domain(&["generate", NAME]).code, 0);
    shows(&manager, "put back", |shown| shown["certificate"] == generated["certificate"]).await;
    assert_eq!(world.ca.control().orders_placed(), 1);

    let elsewhere = Own::new("other.example.com").import(&manager);
    assert_eq!(elsewhere.code, 1);
    assert!(elsewhere.stderr.contains("other.example.com, not for shop.example.com"), "{}", elsewhere.stderr);
}

async fn a_certificate_is_live_once_the_edges_serve_it(mode: Mode) {
    let (world, mut manager) = running(mode, |world, surroundings| {
        surroundings.edge_addresses = vec![world.edge.https_addr()];
    })
    .await;
    world.edge.control().lag(true);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    let waiting = shows(&manager, "verifying", |shown| shown["activity"] == "verifying_edges").await;
    assert_eq!((&waiting["status"], &waiting["certificate"]), (&"Pending".into(), &Value::Null));
    let message = waiting["reason"]["message"].as_str().unwrap();
    assert!(message.contains(&world.edge.https_addr().to_string()), "{message}");
    world.edge.control().lag(false);
    let live = manager.status(NAME, "Success", LIMIT).await;
    assert_eq!(served(&world).await.as_deref(), live["certificate"]["sha256"].as_str());
    assert_eq!(world.ca.control().orders_placed(), 1);
    assert_eq!(world.c4.control().puts(NAME), 1);
}

async fn another_ca_takes_over_when_the_first_is_down(mode: Mode) {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(WorldOptions::default()).await.unwrap();
    let second = Ca::start(CaOptions {
        dns: Some(world.dns.addr()),
        http_port: world.edge.http_addr().port(),
        ..CaOptions::default()
    })
    .await
    .unwrap();
    let root = folder.path().join("second.pem");
    std::fs::write(&root, second.api_root_pem()).unwrap();
    let mut surroundings = Surroundings::sandbox(&world);
    surroundings.more_settings = format!(
        "[[acme.issuers]]\nname = \"second\"\ndirectory_url = \"{}\"\nroot_certificate_file = \"{}\"\n",
        second.directory_url(),
        root.display()
    );
    let mut manager = SslManager::new(mode, &surroundings).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.start().await;
    world.ca.control().down(true);
    world.point_at_cdn(NAME);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
    assert_eq!((world.ca.control().orders_placed(), second.control().orders_placed()), (0, 1));

    // The first is preferred as soon as it works.
    world.ca.control().down(false);
    world.point_at_cdn("next.example.com");
    assert_eq!(manager.domain(&["add", "next.example.com"]).code, 0);
    manager.status("next.example.com", "Success", LIMIT).await;
    assert_eq!((world.ca.control().orders_placed(), second.control().orders_placed()), (1, 1));
}
