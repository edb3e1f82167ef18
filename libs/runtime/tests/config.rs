//! The sample configuration shows every setting, and bad settings are told apart.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use domain::{PreExpiry, Role};
use runtime::config::{
    AcmeIssuer, ApiOidc, ConfigError, IssuerLimits, KeyAlgorithm, LimitNumber, LimitNumbers, OidcRole,
};
use runtime::{Config, RoleName};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ssl-manager.toml");
/// Certificates and a key in many forms.
const PEOPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../x509/tests/data/people");

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
fn what_is_no_toml_is_told_by_file_and_line_without_its_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ssl-manager.toml");
    for (text, told) in [
        ("[c4]\ntoken = \"s3cret\"\ntoken = \"s3cret\"\n", "line 3, column 1: duplicate key: token"),
        ("[dns]\n[dns]\n", "line 2, column"),
        ("[c4]\ntoken = \"s3cret\n", "line 2, column"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Config::read(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("ssl-manager.toml, ") && error.contains(told), "{error}");
        assert!(!error.contains("s3cret") && error.lines().count() == 1, "{error}");
    }
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
fn pre_expiry_is_a_number_of_days_or_a_third_of_the_lifetime() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("renewal.toml");
    let read = |written: &str| {
        std::fs::write(&path, format!("[renewal]\npre_expiry_days = {written}\n")).unwrap();
        Config::read(Some(&path))
    };
    for (written, expected, shown) in [
        ("14", PreExpiry::Days(14), "14"),
        ("\"14\"", PreExpiry::Days(14), "14"),
        ("\"third\"", PreExpiry::Third, "third"),
    ] {
        let config = read(written).unwrap();
        assert_eq!(config.renewal.pre_expiry_days, expected, "{written}");
        let settings = config.settings(Some(&path)).unwrap();
        let setting = settings.iter().find(|setting| setting.key == "renewal.pre_expiry_days").unwrap();
        assert_eq!(setting.value.to_string().trim_matches('"'), shown);
    }
    for written in ["\"half\"", "-1", "70000", "1.5", "true", "[7]"] {
        let error = read(written).unwrap_err().to_string();
        assert!(error.contains("pre_expiry_days") || error.contains("third"), "{written}: {error}");
    }
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

fn read_with(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variable = |(name, value): &(&str, &str)| (format!("SSL_MANAGER__{name}"), (*value).to_owned());
    Config::read_with(None, variables.iter().map(variable))
}

/// What stands in the environment is text until its field says what it is.
#[test]
fn the_environment_gives_each_field_what_it_is() {
    for token in ["00123456", "true", "1e3", "0x10", "1.50", "-0"] {
        let config = read_with(&[("C4__TOKEN", token)]).unwrap();
        assert_eq!(config.c4.token.expose(), token);
    }
    let config = read_with(&[
        ("STORE__MAX_CONNECTIONS", "20"),
        ("PREFLIGHT__REHEARSAL", "false"),
        ("API__KEY_DOWNLOADS", "TRUE"),
        ("API__LISTEN", "127.0.0.1:1\r"),
        ("CONSOLE__OIDC__CLIENT_ID", "007"),
        ("CONSOLE__OIDC__SCOPES", ""),
        ("CDN__CNAME_TARGETS", " a.example.net , b.example.net,"),
        ("CDN__ADDRESSES", "192.0.2.0/24, 2001:db8::/32"),
        ("DNS__NAMESERVERS", "192.0.2.1:53"),
    ])
    .unwrap();
    assert_eq!(config.store.max_connections, 20);
    assert!(!config.preflight.rehearsal && config.api.key_downloads);
    assert_eq!(config.api.listen.port(), 1);
    let oidc = config.console.oidc.unwrap();
    assert_eq!((oidc.client_id.as_str(), oidc.scopes.len()), ("007", 0));
    assert_eq!(config.cdn.cname_targets, ["a.example.net", "b.example.net"]);
    assert_eq!(config.cdn.addresses.len(), 2);
    assert_eq!(config.dns.nameservers, ["192.0.2.1:53"]);
}

#[test]
fn a_wrong_word_is_answered_by_the_allowed_ones() {
    for (name, value, told) in [
        ("TELEMETRY__LOG_FORMAT", "xml", "\"xml\" is none of text, json"),
        ("ISSUER__KEY_ALGORITHM", "rsa", "is none of p256, p384, rsa2048, rsa4096"),
        ("PREFLIGHT__REHEARSAL", "maybe", "write true or false"),
        ("STORE__MAX_CONNECTIONS", "many", "max_connections"),
        ("CDN__ADDRESSES", "192.0.2.0/24,somewhere", "\"somewhere\": invalid IP address syntax"),
    ] {
        let problem = runtime::chain(&read_with(&[(name, value)]).unwrap_err());
        assert!(problem.contains(told), "{told} in {problem}");
    }
}

#[test]
fn a_file_from_windows_is_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "[cdn]\r\ncname_targets = [ \" a.example.net\" ]\r\n";
    let in_utf_16 = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    for bytes in [text.into(), ["\u{feff}", text].concat().into_bytes(), in_utf_16] {
        let bytes: Vec<u8> = bytes;
        std::fs::write(file.path(), bytes).unwrap();
        let config = Config::read(Some(file.path())).unwrap();
        assert_eq!(config.cdn.cname_targets, ["a.example.net"]);
        assert_eq!(
            config.settings(Some(file.path())).unwrap().len(),
            Config::default().settings(None).unwrap().len()
        );
    }
    std::fs::write(file.path(), b"\x80").unwrap();
    assert!(Config::read(Some(file.path())).unwrap_err().to_string().contains("not a text file"));

    std::fs::write(file.path(), "\u{feff}secret-1\r\n").unwrap();
    let mut config = Config::default();
    config.c4.token_file = file.path().to_owned();
    assert_eq!(*config.c4.bearer_token().unwrap(), "secret-1");
}

#[test]
fn tls_files_that_cannot_work_are_told_in_the_words_of_an_import() {
    let check = |certificate: &str, key: &str, ca: &str| {
        let path = |file: &str| if file.is_empty() { file.into() } else { Path::new(PEOPLE).join(file) };
        let mut config = Config::default();
        // As they are checked out.
        config.keys.open_secret_files = true;
        config.api.tls = Some(runtime::config::ApiTls {
            certificate_file: path(certificate),
            key_file: path(key),
            client_ca_file: path(ca),
            ..Default::default()
        });
        config.validate(&[RoleName::Api]).err().map(|error| error.to_string()).unwrap_or_default()
    };
    for certificate in ["leaf.pem", "leaf-and-intermediate.pem", "bom.pem", "leaf.der", "leaf.p7b"] {
        assert_eq!(check(certificate, "key.pem", "leaf.der"), "", "{certificate}");
    }
    for (certificate, key, ca, told) in [
        (
            "key.pem",
            "leaf.pem",
            "",
            "api.tls.certificate_file: certificate and private key are in each other's place",
        ),
        ("leaf.pem", "leaf.pem", "", "api.tls.key_file: the private key's text contains a certificate"),
        ("leaf.pem", "../test-p256.sec1.pem", "", "api.tls.key_file: the private key does not belong"),
        ("leaf.pfx", "key.pem", "", "api.tls.certificate_file: the file is a PFX (PKCS #12) with a password"),
        (
            "names-bom.txt",
            "key.pem",
            "",
            "api.tls.certificate_file: the certificate is not complete PEM text",
        ),
        ("leaf.pem", "key.pem", "key.pem", "api.tls.client_ca_file: it has no readable certificate"),
        ("", "", "", "api.tls.certificate_file: is missing; api.tls.key_file: is missing"),
        ("leaf.pem", "nowhere.pem", "", "api.tls.key_file: cannot read"),
    ] {
        let problem = check(certificate, key, ca);
        assert!(problem.contains(told), "{told} in {problem}");
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
    assert!(problems(|c| c.admin.drain_seconds = 301).contains("admin.drain_seconds: must be at most 300"));
    for days in [61, 90, u16::MAX] {
        let said = problems(|c| c.renewal.pre_expiry_days = PreExpiry::Days(days));
        assert!(said.contains("pre_expiry_days: must be from 1 to 60"), "{said}");
    }
    let said = problems(|c| c.console.listen = c.api.listen);
    assert!(said.contains("console.listen: ") && said.contains("is api.listen already"), "{said}");
    assert!(
        problems(|c| c.c4.base_url = "c4.example.net".into()).contains("c4.base_url: write http(s)://HOST")
    );
    assert!(problems(|c| c.acme.issuers = vec![issuer("https:///x y")]).contains("must be a URL"));
    let said = problems(|c| c.cdn.cname_targets = vec!["https://cdn.example.net".into()]);
    assert!(said.contains("is no domain name"), "{said}");
    let both = problems(|c| {
        c.c4.base_url.clear();
        c.renewal.pre_expiry_days = PreExpiry::Days(0);
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
        let mut text = format!(
            "[keys]\nopen_secret_files = true\n[api.tls]\ncertificate_file = \"{PEOPLE}/leaf.pem\"\nkey_file = \"{PEOPLE}/key.pem\"\nclient_ca_file = \"{ca}\"\n"
        );
        for (name, san, role) in clients {
            let entry =
                ["[[api.tls.clients]]", &format!("name = {name:?}\nsan = {san:?}\nroles = [{role:?}]")];
            text.push_str(&entry.join("\n"));
            text.push('\n');
        }
        std::fs::write(&path, text).unwrap();
        match Config::read(Some(&path)).and_then(|config| config.validate(&[RoleName::Api])) {
            Ok(()) => String::new(),
            Err(error) => runtime::chain(&error),
        }
    };
    let ca = format!("{PEOPLE}/leaf.pem");
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

/// Each in its setting, as who may run the process would find them; what is not read by a role is not looked at.
#[test]
fn files_with_secrets_that_others_can_read_are_refused_unless_a_setting_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, "secret").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let settings = |mode: u32| {
        let mut config = Config::default();
        "https://c4.example.net".clone_into(&mut config.c4.base_url);
        config.cdn.cname_targets = vec!["cdn.example.net".to_owned()];
        config.c4.token_file = file("token", mode);
        config.acme.issuers = vec![AcmeIssuer {
            name: "x".to_owned(),
            directory_url: "https://ca.example.net/directory".to_owned(),
            eab_key_id: "kid".to_owned(),
            eab_hmac_key_file: file("eab", mode),
            ..AcmeIssuer::default()
        }];
        config.console.api.client_certificate_file = file("client.pem", mode);
        config.console.api.client_key_file = file("client.key", mode);
        config.console.tls = Some(runtime::config::ConsoleTls {
            certificate_file: file("page.pem", mode),
            key_file: file("page.key", mode),
        });
        config
    };
    let told = |config: &Config, roles: &[RoleName]| {
        config.validate(roles).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let all = [
        "c4.token_file",
        "acme.issuers.0.eab_hmac_key_file",
        "console.api.client_key_file",
        "console.tls.key_file",
    ];
    for mode in [0o644, 0o604, 0o602] {
        let mut config = settings(mode);
        let problem = told(&config, &RoleName::ALL);
        for setting in all {
            assert!(problem.contains(&format!("{setting}: ")), "{setting} in {problem}");
        }
        assert!(problem.contains("run chmod 600") && problem.contains("page.key"), "{problem}");
        assert!(!problem.contains("client.pem") && !problem.contains("page.pem is"), "no secret: {problem}");
        assert!(!told(&config, &[RoleName::Console]).contains("token_file"), "another role's");
        config.keys.open_secret_files = true;
        assert!(!told(&config, &RoleName::ALL).contains("chmod"));
    }
    assert_eq!(told(&settings(0o600), &RoleName::ALL), "");
}

#[test]
fn a_support_contact_is_one_line() {
    for (contact, is_fine) in [
        ("ssl-help@example.net", true),
        ("the night desk, extension 4711", true),
        ("", true),
        ("a\nb", false),
        (&"x".repeat(201), false),
    ] {
        let mut config = Config::default();
        config.console.support_contact = contact.to_owned();
        let problems =
            config.validate(&[RoleName::Console]).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(!problems.contains("console.support_contact"), is_fine, "{contact}: {problems}");
    }
}
