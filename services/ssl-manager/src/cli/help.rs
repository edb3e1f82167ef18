//! Additions to `--help`: an example for each command; the global options are shown once, by `ssl-manager --help`.

use clap::{Arg, Command, CommandFactory};

use super::Cli;

const GLOBAL: &str = "--config, --output, --endpoint, --token-file, --ca-file: see `ssl-manager --help`";

/// Commands with lines that work as they stand.
const EXAMPLES: &[(&str, &[&str])] = &[
    ("all", &["ssl-manager all --config ssl-manager.toml"]),
    ("api", &["ssl-manager api --config api.toml"]),
    ("issuer", &["ssl-manager issuer --config issuer.toml"]),
    ("challenge-responder", &["ssl-manager challenge-responder --config responder.toml"]),
    ("scheduler", &["ssl-manager scheduler --config scheduler.toml"]),
    ("c4-uploader", &["ssl-manager c4-uploader --config uploader.toml"]),
    ("console", &["ssl-manager console --config console.toml"]),
    ("notifier", &["ssl-manager notifier --config notifier.toml"]),
    ("demo", &["ssl-manager demo", "ssl-manager demo --exit-when-settled"]),
    ("sandbox ca", &["ssl-manager sandbox ca --dns 127.0.0.1:14053 --http-port 14080"]),
    ("sandbox c4", &["ssl-manager sandbox c4 --c4-token-file c4.token --domains shop.example.com"]),
    ("sandbox dns", &["ssl-manager sandbox dns --domains shop.example.com --edge 127.0.0.1"]),
    ("health", &["ssl-manager health --wait 30 --config ssl-manager.toml"]),
    (
        "config check",
        &[
            "ssl-manager config check --config ssl-manager.toml",
            "ssl-manager config check --live --config ssl-manager.toml",
        ],
    ),
    ("config dump", &["ssl-manager config dump --config ssl-manager.toml"]),
    ("db migrate", &["ssl-manager db migrate --config ssl-manager.toml"]),
    (
        "token create",
        &[
            "export SSL_MANAGER_TOKEN=$(ssl-manager token create --name me --role admin --config ssl-manager.toml)",
        ],
    ),
    ("token list", &["ssl-manager token list --config ssl-manager.toml"]),
    ("token revoke", &["ssl-manager token revoke dashboard --config ssl-manager.toml"]),
    ("user create", &["ssl-manager user create --name lee --role support --password-file lee.txt"]),
    ("user list", &["ssl-manager user list --config ssl-manager.toml"]),
    ("user password", &["ssl-manager user password --name lee --password-file lee.txt"]),
    ("user sign-out", &["ssl-manager user sign-out lee", "ssl-manager user sign-out oidc:lee@example.net"]),
    ("user remove", &["ssl-manager user remove lee"]),
    ("keys rotate", &["ssl-manager keys rotate --config ssl-manager.toml"]),
    ("account list", &["ssl-manager account list --config ssl-manager.toml"]),
    ("account rollover", &["ssl-manager account rollover --issuer letsencrypt"]),
    ("account export", &["ssl-manager account export --issuer letsencrypt --file account.json"]),
    ("account import", &["ssl-manager account import --issuer letsencrypt --file account.json"]),
    ("audit verify", &["ssl-manager audit verify --config ssl-manager.toml"]),
    ("audit list", &["ssl-manager audit list --subject shop.example.com --limit 20"]),
    (
        "restore check",
        &[
            "ssl-manager restore check --config ssl-manager.toml",
            "ssl-manager restore check --names names.txt --output json",
        ],
    ),
    ("restore accept", &["ssl-manager restore accept --config ssl-manager.toml"]),
    ("pause", &["ssl-manager pause c4 --reason maintenance", "ssl-manager pause ca --issuer letsencrypt"]),
    ("resume", &["ssl-manager resume c4", "ssl-manager resume ca --issuer letsencrypt"]),
    ("paused", &["ssl-manager paused"]),
    (
        "webhook create",
        &[
            "ssl-manager webhook create --name ops --url https://hooks.example.net/ssl",
            "ssl-manager webhook create --name chat --url https://chat.example.net/x --format slack --kind emergency",
        ],
    ),
    ("webhook list", &["ssl-manager webhook list"]),
    ("webhook show", &["ssl-manager webhook show ops"]),
    (
        "webhook update",
        &[
            "ssl-manager webhook update ops --url https://hooks.example.net/new",
            "ssl-manager webhook update ops --renew-secret",
        ],
    ),
    ("webhook enable", &["ssl-manager webhook enable ops"]),
    ("webhook disable", &["ssl-manager webhook disable ops"]),
    ("webhook delete", &["ssl-manager webhook delete ops"]),
    ("webhook test", &["ssl-manager webhook test ops"]),
    ("webhook deliveries", &["ssl-manager webhook deliveries ops --limit 20"]),
    ("webhook redeliver", &["ssl-manager webhook redeliver 0198f2d4-0000-7000-8000-000000000001"]),
    (
        "domain add",
        &[
            "ssl-manager domain add shop.example.com --customer 4711",
            "ssl-manager domain add --file names.txt --label tier=gold",
        ],
    ),
    ("domain generate", &["ssl-manager domain generate shop.example.com"]),
    ("domain label", &["ssl-manager domain label shop.example.com --customer 4711 --remove tier"]),
    (
        "domain note",
        &["ssl-manager domain note shop.example.com ticket-4711", "ssl-manager domain note shop.example.com"],
    ),
    ("midnight", &["ssl-manager midnight", "ssl-manager midnight --day 2026-11-30 --csv"]),
    ("domain check", &["ssl-manager domain check shop.example.com"]),
    ("domain show", &["ssl-manager domain show shop.example.com"]),
    ("domain history", &["ssl-manager domain history shop.example.com"]),
    ("domain certificates", &["ssl-manager domain certificates shop.example.com"]),
    ("domain recheck", &["ssl-manager domain recheck shop.example.com"]),
    (
        "domain import",
        &[
            "ssl-manager domain import shop.example.com --certificate chain.pem --key key.pem",
            "ssl-manager domain import shop.example.com --certificate shop.pfx --password-file pw",
        ],
    ),
    ("domain rollback", &["ssl-manager domain rollback shop.example.com"]),
    ("domain summary", &["ssl-manager domain summary"]),
    ("domain overview", &["ssl-manager domain overview"]),
    (
        "domain list",
        &[
            "ssl-manager domain list --status Failure --who customer",
            "ssl-manager domain list --customer 4711 --label tier=gold",
            "ssl-manager domain list --at-risk --order attention",
            "ssl-manager domain list --search .example.com -o csv",
            "ssl-manager domain list --reason not_pointed",
            "ssl-manager domain list --attention-from -1d --order attention",
            "ssl-manager domain list --expires-before 7d -o name",
        ],
    ),
    ("domain watch", &["ssl-manager domain watch", "ssl-manager domain watch shop.example.com"]),
    ("domain delete", &["ssl-manager domain delete shop.example.com --yes"]),
    (
        "domain download",
        &[
            "ssl-manager domain download shop.example.com --chain chain.pem",
            "ssl-manager domain download shop.example.com --key - --reason \"new server\"",
        ],
    ),
    ("domain revoke", &["ssl-manager domain revoke shop.example.com --reason key-compromise"]),
    (
        "job start",
        &[
            "ssl-manager job start recheck --reason not_pointed --wait",
            "ssl-manager job start label --file names.txt --customer 4711",
        ],
    ),
    ("job list", &["ssl-manager job list"]),
    ("job show", &["ssl-manager job show 0190163d-8694-739b-aea5-966c26f8ad91"]),
    ("job lines", &["ssl-manager job lines 0190163d-8694-739b-aea5-966c26f8ad91 --outcome unchanged -o csv"]),
    ("job cancel", &["ssl-manager job cancel 0190163d-8694-739b-aea5-966c26f8ad91"]),
    ("job watch", &["ssl-manager job watch 0190163d-8694-739b-aea5-966c26f8ad91"]),
    ("man", &["ssl-manager man ~/.local/share/man/man1"]),
    ("completions", &["source <(ssl-manager completions bash)"]),
];

/// The command line as it is parsed: what is the same for every command is hidden from the help of each.
pub(super) fn command() -> Command {
    let command = Cli::command();
    let hidden: Vec<Arg> =
        command.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.clone().hide(true)).collect();
    command.mut_subcommands(|sub| {
        let path = sub.get_name().to_owned();
        with_example(sub.args(&hidden), &path)
    })
}

fn with_example(command: Command, path: &str) -> Command {
    let command = command.mut_subcommands(|sub| {
        let path = format!("{path} {}", sub.get_name());
        with_example(sub, &path)
    });
    let lines = EXAMPLES.iter().find(|(of, _)| *of == path).map_or(&[][..], |(_, lines)| lines);
    let mut help = if lines.is_empty() { vec![] } else { vec!["Example:"] };
    help.extend(lines);
    help.extend(["Options of every command:", GLOBAL]);
    command.after_help(help.join("\n  ").replace("\n  Options", "\nOptions"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command that does something, by its words.
    fn leaves(command: &Command, path: &str) -> Vec<(String, Command)> {
        let subs = command.get_subcommands().filter(|sub| sub.get_name() != "help");
        let below: Vec<_> =
            subs.flat_map(|sub| leaves(sub, format!("{path} {}", sub.get_name()).trim())).collect();
        if below.is_empty() { vec![(path.to_owned(), command.clone())] } else { below }
    }

    #[test]
    fn every_command_has_an_example_that_parses() {
        for (path, mut leaf) in leaves(&command(), "") {
            let help = leaf.render_long_help().to_string();
            assert!(help.contains("Example:\n"), "{path}: {help}");
            assert!(
                !help.contains("overrides it") && !help.contains("SSL_MANAGER_ENDPOINT"),
                "{path}: {help}"
            );
        }
        for (path, lines) in EXAMPLES {
            for line in *lines {
                let words = line.split_once("ssl-manager ").map(|(_, words)| words.replace('"', "")).unwrap();
                let words = words.replace("new server", "new").replace(')', "");
                assert!(words.starts_with(path), "{line}");
                let parsed = command().try_get_matches_from(format!("ssl-manager {words}").split(' '));
                assert!(parsed.is_ok(), "{line}: {parsed:?}");
            }
        }
    }

    #[test]
    fn the_options_of_every_command_are_told_by_the_first_help_alone() {
        let whole = command().render_long_help().to_string();
        for arg in Cli::command().get_arguments().filter(|arg| arg.is_global_set()) {
            let option = format!("--{}", arg.get_long().unwrap());
            assert!(whole.contains(&option) && GLOBAL.contains(&option), "{option}");
        }
    }
}
