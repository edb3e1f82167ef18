//! Jobs over many names: they outlive the processes that they run in, colleagues see, follow and cancel them, and any
//! console shows any job. `JOB_NAMES` says how many names the large one has.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::{World, WorldOptions};
use serde_json::{Value, json};
use tests::{Console, Mode, SslManager, Subprocess, Surroundings, Visitor, free_port, wait_for};

const LIMIT: Duration = Duration::from_mins(3);

tests::in_both_modes!(a_job_outlives_the_api);

fn many() -> usize {
    std::env::var("JOB_NAMES").ok().and_then(|names| names.parse().ok()).unwrap_or(1000)
}

fn write(manager: &SslManager, names: &[String]) -> String {
    let path = manager.folder().join("names");
    std::fs::write(&path, names.join("\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

fn json(manager: &SslManager, arguments: &[&str], token: &str) -> Value {
    let answer = manager.run(&[&["--output", "json"], arguments].concat(), token);
    assert_eq!(answer.code, 0, "{arguments:?}: {answer:?}");
    serde_json::from_str(&answer.stdout).unwrap()
}

async fn until(
    manager: &SslManager,
    id: &str,
    token: &str,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    wait_for(what, LIMIT, || async {
        let shown = manager.run(&["--output", "json", "job", "show", id], token);
        let job: Value = serde_json::from_str(&shown.stdout).unwrap_or_default();
        if shown.code == 0 && holds(&job) { Ok(job) } else { Err(format!("{shown:?}")) }
    })
    .await
}

fn count(job: &Value, outcome: &str) -> u64 {
    job["counts"][outcome].as_u64().unwrap_or(0)
}

/// The role that does the work.
fn api(mode: Mode) -> &'static str {
    match mode {
        Mode::Embedded => "all",
        Mode::Scaled => "api",
    }
}

/// kill -9 while names are added, several times; each is added once, and the rubbish among them is told.
async fn a_job_outlives_the_api(mode: Mode) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    manager.start().await;
    let (lee, kim) = (manager.new_token("support"), manager.new_token("viewer"));
    let mut names: Vec<String> = (0..many()).map(|number| format!("d{number}.example.com")).collect();
    names.push("*.example.com".to_owned());
    names.push("D0.example.com.".to_owned());
    let file = write(&manager, &names);
    let job = json(&manager, &["job", "start", "add", "--file", &file, "--request-id", "r1"], &lee);
    let id = job["id"].as_str().unwrap().to_owned();
    let kills = 2;
    for killed in 1..=kills {
        let enough = killed * many() as u64 / 4;
        let job = until(&manager, &id, &kim, "some are added", |job| count(job, "done") >= enough).await;
        println!("killed with {} of {} names added", count(&job, "done"), many());
        manager.kill_role(api(mode));
        manager.start_again(api(mode));
        manager.ready().await;
    }
    let again = json(&manager, &["job", "start", "add", "--file", &file, "--request-id", "r1"], &lee);
    assert_eq!(again["id"], job["id"], "the same request is the same job");
    let watched = json(&manager, &["job", "watch", &id], &kim);
    assert_eq!((&watched["state"], &watched["owner"]), (&json!("done"), &json!("token:support")));
    assert_eq!(watched["counts"], json!({ "done": many(), "refused": 1, "repeated": 1 }));

    let lines = json(&manager, &["audit", "list", "--limit", "100000"], "");
    let mut added = BTreeMap::<&str, usize>::new();
    for line in lines.as_array().unwrap() {
        if line["call"] == "AddDomain" && line["outcome"] == "OK" {
            *added.entry(line["subject"].as_str().unwrap()).or_default() += 1;
        }
    }
    println!("{} names added, each once, {kills} kills", added.len());
    assert_eq!(added.len(), many());
    assert!(added.values().all(|times| *times == 1), "no name was added twice: {added:?}");

    let csv = manager.run(&["job", "lines", &id, "--outcome", "refused", "-o", "csv"], &kim);
    let row = csv.stdout.lines().nth(1).unwrap();
    let expected = format!("{},*.example.com,refused,NAME_IS_WILDCARD,", many() + 1);
    assert!(row.starts_with(&expected), "{row}");
}

/// Names that are deleted meanwhile, and a colleague who has seen enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_colleague_cancels_and_what_is_gone_is_told() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    manager.start().await;
    let lee = manager.new_token("support");
    let made = manager.run(&["token", "create", "--name", "kim", "--role", "support"], "");
    let kim = made.stdout.trim().to_owned();
    let names: Vec<String> = (0..200).map(|number| format!("d{number}.example.com")).collect();
    let file = write(&manager, &names);
    json(&manager, &["job", "start", "add", "--file", &file, "--wait"], &lee);
    assert_eq!(manager.domain(&["delete", "d7.example.com", "--yes"]).code, 0);
    let labelled =
        json(&manager, &["job", "start", "label", "--file", &file, "--customer", "4711", "--wait"], &lee);
    assert_eq!(labelled["counts"], json!({ "done": 199, "failed": 1 }));
    let id = labelled["id"].as_str().unwrap();
    let failed = json(&manager, &["job", "lines", id, "--outcome", "failed"], &lee);
    assert_eq!(
        (&failed[0]["name"], &failed[0]["code"]),
        (&json!("d7.example.com"), &json!("DOMAIN_NOT_FOUND"))
    );
    let of_customer = json(&manager, &["domain", "list", "--customer", "4711"], &lee);
    assert_eq!(of_customer.as_array().unwrap().len(), 199);

    let more: Vec<String> = (0..5000).map(|number| format!("more{number}.example.com")).collect();
    let file = write(&manager, &more);
    let job = json(&manager, &["job", "start", "add", "--file", &file], &lee);
    let id = job["id"].as_str().unwrap();
    let cancelled = json(&manager, &["job", "cancel", id], &kim);
    assert_eq!((&cancelled["state"], &cancelled["ended_by"]), (&json!("cancelled"), &json!("token:kim")));
    assert!(count(&cancelled, "waiting") > 0, "{cancelled}");
    let watched = manager.run(&["job", "watch", id], &lee);
    assert_eq!(watched.code, 1, "{watched:?}");
    assert!(watched.stderr.starts_with("CANCELLED: Cancelled by token:kim."), "{watched:?}");
    let left = json(&manager, &["job", "lines", id, "--outcome", "waiting"], &kim);
    assert!(left.as_array().unwrap().iter().all(|line| line["code"] == "CANCELLED"));
    let now = json(&manager, &["job", "show", id], &kim);
    assert!(
        count(&now, "done") < 5000 && now["counts"] == json(&manager, &["job", "show", id], &lee)["counts"]
    );
}

/// A console of its own before the API of `all`.
async fn apart(console: &Console) -> (Subprocess, String) {
    let port = free_port();
    let (url, listen) = (console.manager.endpoint(), format!("127.0.0.1:{port}"));
    let environment =
        [("SSL_MANAGER__CONSOLE__API__URL", url.as_str()), ("SSL_MANAGER__CONSOLE__LISTEN", &listen)];
    (console.manager.start_role("console", &environment).await, format!("http://{listen}"))
}

/// The page of a job at a console, once it shows that.
async fn shows(at: &Visitor, address: &str, text: &str) -> String {
    wait_for(text, LIMIT, || async {
        let page = at.get(address).await.body;
        if page.contains(text) { Ok(page) } else { Err(page) }
    })
    .await
}

/// Started at one console, which is killed, and read at another one, without a session that sticks.
#[tokio::test(flavor = "multi_thread")]
async fn any_console_shows_what_came_of_a_recheck() {
    let mut console = Console::start().await;
    let names: Vec<String> = (0..12).map(|number| format!("d{number}.example.com")).collect();
    let file = write(&console.manager, &names);
    let token = console.manager.new_token("support");
    json(&console.manager, &["job", "start", "add", "--file", &file, "--wait"], &token);
    for name in &names {
        console.manager.status(name, "Discard", LIMIT).await;
    }
    for name in &names[..3] {
        console.world.point_at_cdn(name);
    }
    let (mut first, first_url) = apart(&console).await;
    let (_second, second_url) = apart(&console).await;
    let cookie = console.visitor("support").await.cookie;
    let one = Visitor::new(first_url, cookie.clone());
    let two = Visitor::new(second_url, cookie);
    let csrf = one.csrf("/").await;
    let started = one.post("/", &[("csrf", &csrf), ("of", "all"), ("action", "recheck")]).await;
    assert_eq!(started.status, 303, "{started:?}");
    let address = started.location;
    first.kill_9();
    let page = shows(&two, &address, ": done").await;
    assert!(
        page.contains("<strong>3</strong> now work") && page.contains("<strong>9</strong> unchanged"),
        "{page}"
    );
    let csv = two.get(&format!("{address}/lines.csv?outcome=unchanged")).await.body;
    assert_eq!(csv.lines().count(), 1 + 9, "{csv}");
    assert!(csv.contains("is not set up in the CDN"), "a message for each customer: {csv}");
    let jobs = two.get("/jobs").await.body;
    assert!(jobs.contains("3 now work, 9 unchanged") && jobs.contains("user:support"), "{jobs}");
}
