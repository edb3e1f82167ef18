//! A preflight on demand: every step has its answer, and nothing is changed by asking.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use sandbox::{World, WorldOptions};
use serde_json::Value;
use tests::{Mode, SslManager, Surroundings};

tests::in_both_modes!(each_step_has_its_answer_and_nothing_changes);

/// `ready`, and the outcome of each step.
fn check(manager: &SslManager, name: &str) -> (bool, Vec<String>, Value) {
    let answer = manager.domain(&["check", name]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let steps = answer.json["steps"].as_array().unwrap();
    let told = steps
        .iter()
        .map(|step| format!("{} {}", step["step"].as_str().unwrap(), step["outcome"].as_str().unwrap()))
        .collect();
    (answer.json["ready"].as_bool().unwrap(), told, answer.json.clone())
}

async fn each_step_has_its_answer_and_nothing_changes(mode: Mode) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    manager.start().await;
    let name = "shop.example.com";

    let (ready, steps, whole) = check(&manager, name);
    assert!(!ready);
    assert_eq!(steps, ["c4 blocked", "dns not_asked", "caa not_asked", "challenge_path not_asked"]);
    assert_eq!(whole["steps"][0]["reason"]["code"], "unknown_to_c4");

    world.point_at_cdn(name);
    world.dns.control().set_cname(name, "elsewhere.example.net");
    let (_, steps, whole) = check(&manager, name);
    assert_eq!(steps, ["c4 fine", "dns blocked", "caa not_asked", "challenge_path not_asked"]);
    let needed = &whole["steps"][1]["reason"];
    assert_eq!(needed["code"], "not_pointed");
    assert!(needed["message"].as_str().unwrap().contains(world.cdn_target()), "{whole}");
    world.point_at_cdn(name);

    world.dns.control().set_caa("example.com", vec![(0, "issue", "other-ca.example")]);
    let (_, steps, whole) = check(&manager, name);
    assert_eq!(steps, ["c4 fine", "dns fine", "caa blocked", "challenge_path not_asked"]);
    assert!(whole["steps"][2]["found"].as_str().unwrap().contains("other-ca.example"), "{whole}");
    world.dns.control().set_caa("example.com", Vec::new());

    world.dns.control().servfail(name, true);
    let (ready, steps, _) = check(&manager, name);
    assert_eq!((ready, steps[1].as_str()), (false, "dns could_not_ask"));
    world.dns.control().servfail(name, false);

    // Nobody answers the challenge path yet.
    let (ready, steps, _) = check(&manager, name);
    assert!(!ready);
    assert_eq!(steps[..3], ["c4 fine", "dns fine", "caa fine"]);
    assert_ne!(steps[3], "challenge_path fine");

    world.edge.control().set_challenge_upstream(manager.responder());
    let (ready, steps, _) = check(&manager, "Shop.Example.Com.");
    assert!(ready);
    assert_eq!(steps, ["c4 fine", "dns fine", "caa fine", "challenge_path fine"]);

    let refused = manager.domain(&["show", name]);
    assert!(refused.stderr.starts_with("NOT_FOUND: "), "asking adds nothing: {}", refused.stderr);
    let refused = manager.domain(&["check", "*.example.com"]);
    assert!(refused.stderr.starts_with("INVALID_ARGUMENT: "), "{}", refused.stderr);
}
