//! The sample configuration shows every setting, and bad settings are told apart.

use std::path::Path;

use domain::Role;
use runtime::config::{
    AcmeIssuer, ApiOidc, ConfigError, IssuerLimits, KeyAlgorithm, LimitNumber, LimitNumbers, OidcRole,
};
use runtime::{Config, RoleName};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ssl-manager.toml");

#[test]
fn the_sample_shows_every_setting_with_its_default() {
    let path = Path::new(SAMPLE);
    let sample = Config::read(Some(path)).unwrap();
    // There by choice only.
    let optional = ["api.tls", "api.oidc", "console.tls", "console.oidc"];
    for setting in sample.settings(Some(path)).unwrap() {
        // Tables in arrays are compared below.
        if !setting.key.starts_with("acme.issuers.") && !optional.contains(&setting.key.as_str()) {
            assert_eq!(setting.origin, SAMPLE, "{} is missing in the sample", setting.key);
        }
    }
    let mut expected = Config::default();
    expected.cdn.cname_targets = sample.cdn.cname_targets.clone();
    expected.c4.base_url.clone_from(&sample.c4.base_url);
    expected.c4.token_file.clone_from(&sample.c4.token_file);
    expected.acme.issuers = vec![AcmeIssuer {
        name: "letsencrypt".to_owned(),
        directory_url: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
        contact: vec!["mailto:ssl@example.net".to_owned()],
        ..AcmeIssuer::default()
    }];
    assert_eq!(sample, expected);
}

#[test]
fn limits_are_a_name_or_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.toml");
    let read = |limits: &str| {
        let text =
            format!("[[acme.issuers]]\nname = \"x\"\ndirectory_url = \"https://a/\"\nlimits = {limits}\n");
        std::fs::write(&path, text).unwrap();
        Config::read(Some(&path)).map(|config| config.acme.issuers[0].limits.clone())
    };
    assert_eq!(read("\"none\"").unwrap(), IssuerLimits::Named("none".into()));
    let IssuerLimits::Numbers(numbers) = read("{ new_orders = { count = 300, hours = 3 } }").unwrap() else {
        panic!("a table")
    };
    assert_eq!(numbers.new_orders, Some(LimitNumber { count: 300, hours: 3 }));
    assert_eq!(numbers.failed_authorizations, None);
    assert!(read("{ new_odrers = { count = 300, hours = 3 } }").is_err(), "misspelt");
}

#[test]
fn a_key_algorithm_is_one_of_four() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    let read = |word: &str| {
        std::fs::write(&path, format!("[issuer]\nkey_algorithm = \"{word}\"\n")).unwrap();
        Config::read(Some(&path)).map(|config| config.issuer.key_algorithm)
    };
    for (word, algorithm) in [
        ("p256", KeyAlgorithm::P256),
        ("p384", KeyAlgorithm::P384),
        ("rsa2048", KeyAlgorithm::Rsa2048),
        ("rsa4096", KeyAlgorithm::Rsa4096),
    ] {
        assert_eq!(read(word).unwrap(), algorithm);
    }
    assert_eq!(Config::default().issuer.key_algorithm, KeyAlgorithm::P256);
    for word in ["rsa1024", "P256", "ed25519", ""] {
        let told = runtime::chain(&read(word).unwrap_err());
        assert!(told.contains("rsa2048") && told.contains("key_algorithm"), "{told}");
    }
}

fn problems(change: impl FnOnce(&mut Config)) -> String {
    let mut config = Config::default();
    "https://c4.example.net".clone_into(&mut config.c4.base_url);
    config.c4.token = "secret".to_owned().into();
    config.cdn.cname_targets = vec!["cdn.example.net".to_owned()];
    assert!(config.validate(&RoleName::ALL).is_ok());
    change(&mut config);
    match config.validate(&RoleName::ALL) {
        Err(ConfigError::Invalid(problems)) => problems.join("; "),
        other => panic!("accepted: {other:?}"),
    }
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let issuer = |directory_url: &str| AcmeIssuer {
        name: "x".to_owned(),
        directory_url: directory_url.to_owned(),
        ..AcmeIssuer::default()
    };
    assert!(problems(|c| c.store.url = "mysql://x".into()).contains("store.url"));
    assert!(problems(|c| c.bus.url = "nats://x".into()).contains("bus.url"));
    assert!(problems(|c| c.api.listen = "0.0.0.0:50051".parse().unwrap()).contains("[api.tls]"));
    assert!(problems(|c| c.api.session_hours = 0).contains("session_hours"));
    assert!(problems(|c| c.c4.base_url.clear()).contains("c4.base_url"));
    assert!(problems(|c| c.c4.token_file = "/nowhere".into()).contains("both set"));
    assert!(problems(|c| c.cdn.cname_targets.clear()).contains("cdn.cname_targets"));
    assert!(problems(|c| c.acme.issuers = vec![issuer("http://ca.example/")]).contains("https://"));
    assert!(
        problems(|c| c.acme.issuers = vec![issuer("https://a/"), issuer("https://b/")]).contains("twice")
    );
    assert!(problems(|c| c.scheduler.time_zone = "Mars/Olympus".into()).contains("Mars/Olympus"));
    assert!(problems(|c| c.scheduler.recheck_at = "25:00".into()).contains("recheck_at"));
    assert!(problems(|c| c.cdn.edge_addresses = vec!["edge".into()]).contains("cdn.edge_addresses"));
    let limited = |limits| {
        problems(|c| {
            c.acme.issuers = vec![AcmeIssuer { limits, ..issuer("https://a/") }];
        })
    };
    assert!(limited(IssuerLimits::Named("lots".into())).contains("lots"));
    let nothing =
        LimitNumbers { new_orders: Some(LimitNumber { count: 0, hours: 3 }), ..LimitNumbers::default() };
    assert!(limited(IssuerLimits::Numbers(nothing)).contains("limits.new_orders"));
    assert!(problems(|c| c.issuer.max_in_flight = 0).contains("max_in_flight"));
    let both = problems(|c| {
        c.c4.base_url.clear();
        c.renewal.pre_expiry_days = 0;
    });
    assert!(both.contains("c4.base_url") && both.contains("pre_expiry_days"), "all at once: {both}");
    assert!(!problems(|c| c.c4.base_url.clear()).contains("secret"));
}

#[test]
fn beyond_loopback_without_tls_only_in_so_many_words() {
    let mut config = Config::default();
    config.api.listen = "0.0.0.0:50051".parse().unwrap();
    assert!(config.validate(&[RoleName::Api]).is_err());
    config.api.plain_text_beyond_loopback = true;
    assert!(config.validate(&[RoleName::Api]).is_ok());
}

#[test]
fn clients_by_certificate_are_told_apart_and_need_a_ca() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.toml");
    let check = |ca: &str, clients: &[(&str, &str, &str)]| {
        let file = path.display();
        let mut text = format!(
            "[api.tls]\ncertificate_file = \"{file}\"\nkey_file = \"{file}\"\nclient_ca_file = \"{ca}\"\n"
        );
        for (name, san, role) in clients {
            let entry = ["[[api.tls.clients]]", &format!("name = {name:?}\nsan = {san:?}\nrole = {role:?}")];
            text.push_str(&entry.join("\n"));
            text.push('\n');
        }
        std::fs::write(&path, text).unwrap();
        match Config::read(Some(&path)).and_then(|config| config.validate(&[RoleName::Api])) {
            Ok(()) => String::new(),
            Err(error) => runtime::chain(&error),
        }
    };
    let ca = path.display().to_string();
    assert_eq!(check(&ca, &[("a", "a.example", "viewer"), ("b", "b.example", "key-reader")]), "");
    assert!(check("", &[("a", "a.example", "viewer")]).contains("client_ca_file"));
    assert!(check(&ca, &[("a", "a.example", "root")]).contains("use viewer, support, key-reader or admin"));
    assert!(check(&ca, &[("a", "a.example", "viewer"), ("b", "a.example", "admin")]).contains("clients.1"));
    assert!(check(&ca, &[("", "a.example", "viewer")]).contains("clients.0"));
}

#[test]
fn a_provider_that_lets_nobody_or_anybody_in_is_refused() {
    let problems = |change: &dyn Fn(&mut ApiOidc)| {
        let mut config = Config::default();
        let mut settings = ApiOidc {
            issuer_url: "https://id.example.net".to_owned(),
            client_id: "ssl-manager".to_owned(),
            roles: vec![OidcRole { value: "a".to_owned(), role: Role::Viewer }],
            ..ApiOidc::default()
        };
        change(&mut settings);
        config.api.oidc = Some(settings);
        let checked = config.validate(&[RoleName::Api]);
        checked.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(problems(&|_| {}), "");
    assert!(problems(&|oidc| oidc.issuer_url.clear()).contains("api.oidc.issuer_url"));
    for bad in [
        "http://id.example.net",
        "https://id.example.net/?x=1",
        "https://id.example.net/#x",
        "id.example.net",
    ] {
        let said = problems(&|oidc| bad.clone_into(&mut oidc.issuer_url));
        assert!(said.contains("api.oidc.issuer_url"), "{bad}: {said}");
    }
    assert!(problems(&|oidc| oidc.client_id.clear()).contains("api.oidc.client_id"));
    assert!(problems(&|oidc| oidc.roles.clear()).contains("api.oidc.roles"));
    let twice = problems(&|oidc| oidc.roles.push(oidc.roles[0].clone()));
    assert!(twice.contains("has a role already"));
    assert!(
        problems(&|oidc| oidc.root_certificate_file = "/nowhere".into()).contains("root_certificate_file")
    );
}
