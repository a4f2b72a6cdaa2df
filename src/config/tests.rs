//! How settings are resolved, and what is said of faulty ones.

use super::fault::Origin;
use super::setting::Kind;
use super::table::SETTINGS;
use super::*;
use clap::{Args, FromArgMatches};
use std::collections::BTreeSet;

fn file(text: &str) -> Option<SettingsFile> {
    Some(SettingsFile { path: "t.toml".into(), text: text.to_owned() })
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn faults(written: &Written) -> Vec<String> {
    resolve(written).unwrap_err().0.iter().map(ToString::to_string).collect()
}

fn faults_of_file(text: &str) -> Vec<String> {
    faults(&Written { file: file(text), ..Written::default() })
}

#[test]
fn nothing_written_gives_the_defaults() {
    let resolved = resolve(&Written::default()).unwrap();
    assert_eq!(resolved.config, Config::default());
    assert_eq!(resolved.origin("listen"), Origin::Default);
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let text = "engine = \"sled\"\ndata-dir = \"/a\"\nlisten = \"127.0.0.1:1\"\n";
    let mut written = Written {
        file: file(text),
        environment: variables(&[("TIDEGATE_DATA_DIR", "/b"), ("TIDEGATE_LISTEN", "127.0.0.1:2")]),
        flags: vec![("listen", "127.0.0.1:3".to_owned())],
    };
    let resolved = resolve(&written).unwrap();
    assert_eq!(resolved.config.listen.port(), 3);
    assert_eq!(resolved.config.sled.data_dir, PathBuf::from("/b"));
    assert_eq!(resolved.origin("engine"), Origin::File("t.toml".into(), 1));
    assert_eq!(resolved.origin("data-dir"), Origin::Environment("TIDEGATE_DATA_DIR".to_owned()));
    assert_eq!(resolved.origin("listen"), Origin::Flag("listen".to_owned()));
    written.flags.clear();
    assert_eq!(resolve(&written).unwrap().config.listen.port(), 2);
}

#[test]
fn groups_of_the_file_are_tables_or_dotted_keys() {
    let tables = "[http]\nmax-connections = 5\n[limits]\nbody-bytes = \"2MiB\"\n";
    let dotted = "http.max-connections = 5\nlimits.body-bytes = 2_097_152\n";
    for text in [tables, dotted] {
        let written = Written { file: file(text), ..Written::default() };
        let config = resolve(&written).unwrap().config;
        assert_eq!((config.http.max_connections, config.limits.body_bytes), (5, 2 << 20));
    }
}

#[test]
fn a_list_is_an_array_in_the_file_and_commas_elsewhere() {
    let environment = variables(&[("TIDEGATE_ALLOWED_HOSTS", "a.example, b.example")]);
    let from_file = file("allowed-hosts = [\"a.example\", \"b.example\"]");
    for written in [
        Written { environment, ..Written::default() },
        Written { file: from_file, ..Written::default() },
    ] {
        assert_eq!(
            resolve(&written).unwrap().config.http.allowed_hosts,
            ["a.example", "b.example"]
        );
    }
}

#[test]
fn all_faults_of_all_sources_are_reported_together() {
    let written = Written {
        file: file("\n[http]\nmax-conections = 5\nheader-timeout = 5\n"),
        environment: variables(&[
            ("TIDEGATE_ENGINE", "rocks"),
            ("TIDEGATE_LISTN", "x"),
            ("HOME", "/"),
        ]),
        flags: vec![("limits.topics", "0".to_owned())],
    };
    assert_eq!(
        faults(&written),
        [
            "t.toml:3: `http.max-conections`: is not a setting; did you mean `http.max-connections`?",
            "t.toml:4: `http.header-timeout`: \"5\" is not a duration such as 500ms, 5s, 10m, 1h or 7d",
            "TIDEGATE_ENGINE: `engine`: \"rocks\" is not one of sled, memory, kafka",
            "TIDEGATE_LISTN: names no setting; did you mean `TIDEGATE_LISTEN`?",
            "--limits-topics: `limits.topics`: 0 is out of bounds; allowed is 1 to 100000",
        ]
    );
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_its_line() {
    let found = faults_of_file("engine = \"sled\"\nlisten = \n");
    assert!(found.iter().any(|fault| fault.starts_with("t.toml:2: not TOML: ")), "{found:?}");
    let twice = faults_of_file("engine = \"sled\"\nengine = \"memory\"\n");
    assert!(twice.iter().any(|fault| fault.starts_with("t.toml:2: ")), "{twice:?}");
}

#[test]
fn a_value_of_the_wrong_kind_is_refused() {
    for (text, says) in [
        ("listen = 8080", "is not an IP address and a port"),
        ("engine = 1.5", "no setting is a number with a point"),
        ("insecure-listen-anywhere = \"yes\"", "is not true or false"),
        ("sled.roll-bytes = \"1MiB\"", "allowed is 4MiB to 64GiB"),
        ("sled.roll-bytes = \"big\"", "is not a size such as 64MiB"),
        ("sled.open-sealed = -1", "is not a whole number"),
        ("data-dir = \"\"", "it is empty"),
        ("log.format = 1979-05-27", "no setting is a date"),
        ("log = 5", "is not a setting"),
    ] {
        let found = faults_of_file(text);
        assert!(found.len() == 1 && found[0].contains(says), "{text}: {found:?}");
    }
}

#[test]
fn a_name_far_from_every_other_gets_no_guess() {
    let found = faults_of_file("colour = \"blue\"");
    assert_eq!(
        found,
        ["t.toml:1: `colour`: is not a setting; --print-config shows those there are"]
    );
}

#[test]
fn listening_beyond_loopback_needs_its_flag() {
    let mut written =
        Written { flags: vec![("listen", "0.0.0.0:8080".to_owned())], ..Written::default() };
    let found = faults(&written);
    assert!(found[0].starts_with("--listen: `listen`: 0.0.0.0:8080 can be reached"), "{found:?}");
    assert!(found[0].contains("--insecure-listen-anywhere"));
    written.flags.push(("insecure-listen-anywhere", "true".to_owned()));
    assert!(resolve(&written).is_ok());
    written.flags = vec![("listen", "[::1]:0".to_owned())];
    assert!(resolve(&written).is_ok());
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let found = faults_of_file("limits.inflight-bytes = \"1MiB\"\nlog.filter = \"a=b=c\"");
    assert!(
        found[0].starts_with("t.toml:1: `limits.inflight-bytes`: 1MiB is less than"),
        "{found:?}"
    );
    assert!(found[1].starts_with("t.toml:2: `log.filter`"), "{found:?}");
    for origin in ["*", "app.example", "https://app.example/", "https://", "file://x"] {
        let found = faults_of_file(&format!("http.cors-origins = [\"{origin}\"]"));
        assert!(found[0].contains("is no origin"), "{found:?}");
    }
    let origins = "http.cors-origins = [\"https://app.example\", \"http://[::1]:3000\"]";
    assert!(resolve(&Written { file: file(origins), ..Written::default() }).is_ok());
}

#[test]
fn an_accepted_loss_is_a_flag_and_nothing_that_stays() {
    let found = faults_of_file("accept-loss = true");
    assert!(found[0].contains("only the flag --accept-loss"), "{found:?}");
    let written = Written { flags: vec![("accept-loss", "true".to_owned())], ..Written::default() };
    assert!(resolve(&written).unwrap().config.sled.accept_loss);
}

#[test]
fn what_is_printed_is_read_back_the_same() {
    let written = Written {
        environment: variables(&[
            ("TIDEGATE_SLED_ROLL_BYTES", "8MiB"),
            ("TIDEGATE_ALLOWED_HOSTS", "a,b"),
        ]),
        ..Written::default()
    };
    let resolved = resolve(&written).unwrap();
    let printed = as_toml(&resolved);
    assert!(printed.contains("# TIDEGATE_SLED_ROLL_BYTES"), "{printed}");
    let again = Written { file: file(&printed), ..Written::default() };
    assert_eq!(resolve(&again).unwrap().config, resolved.config);
}

#[test]
fn no_two_settings_share_a_name_and_groups_stand_together() {
    let keys: BTreeSet<_> = SETTINGS.iter().map(|s| s.key).collect();
    let flags: BTreeSet<_> = SETTINGS.iter().map(|s| s.flag()).collect();
    let variables: BTreeSet<_> = SETTINGS.iter().map(|s| s.variable()).collect();
    assert_eq!([keys.len(), flags.len(), variables.len()], [SETTINGS.len(); 3]);
    let mut groups: Vec<_> = SETTINGS.iter().filter(|s| !s.flag_only).map(|s| s.group()).collect();
    groups.dedup();
    let distinct: BTreeSet<_> = groups.iter().collect();
    assert_eq!(groups.len(), distinct.len(), "{groups:?}");
}

#[test]
fn the_readme_lists_every_setting_with_its_default() {
    let readme = include_str!("../../README.md");
    let defaults = Config::default();
    let rows: Vec<_> = SETTINGS
        .iter()
        .map(|setting| {
            let shown = match setting.flag_only {
                true => format!("`--{}`", setting.flag()),
                false => format!("`{}`", setting.key),
            };
            let value = setting.written(&defaults);
            format!("| {shown} | {} | {} |", value.trim_matches('"'), setting.help)
        })
        .collect();
    let missing: Vec<_> = rows.iter().filter(|row| !readme.contains(row.as_str())).collect();
    assert!(
        missing.is_empty(),
        "README.md lacks:\n{missing:#?}\nthe whole table:\n{}",
        rows.join("\n")
    );
}

#[test]
fn every_default_lies_within_its_own_bounds() {
    let defaults = Config::default();
    for setting in SETTINGS {
        if matches!(setting.kind, Kind::List(_)) {
            continue;
        }
        let text = setting.written(&defaults);
        let text = text.trim_matches('"');
        assert_eq!(setting.set(&mut defaults.clone(), text), Ok(()), "{}", setting.key);
    }
}

#[test]
fn every_setting_is_a_flag_and_a_switch_needs_no_value() {
    let command = SettingFlags::augment_args(clap::Command::new("t"));
    let given = ["t", "--listen", "[::1]:9", "--http-max-connections=7", "--accept-loss"];
    let matches = command.clone().try_get_matches_from(given).unwrap();
    let flags = SettingFlags::from_arg_matches(&matches).unwrap();
    let expected = [("listen", "[::1]:9"), ("http.max-connections", "7"), ("accept-loss", "true")];
    assert_eq!(flags.values, expected.map(|(key, text)| (key, text.to_owned())));
    for setting in SETTINGS {
        assert!(command.get_arguments().any(|arg| arg.get_long() == Some(&setting.flag())));
    }
}

/// Settings of a build that has everything, so that what is wrong is theirs.
fn kafka_faults(environment: &[(&str, &str)]) -> Vec<String> {
    let brokers = [("TIDEGATE_ENGINE", "kafka"), ("TIDEGATE_KAFKA_BROKERS", "k:9092")];
    let all = [&brokers, environment].concat();
    let found = faults(&Written { environment: variables(&all), ..Written::default() });
    found.into_iter().filter(|fault| !fault.contains("this build has no")).collect()
}

#[test]
fn a_password_comes_by_the_environment_and_is_never_shown() {
    let written = Written {
        environment: variables(&[("TIDEGATE_KAFKA_SASL_PASSWORD", "hunter2")]),
        ..Written::default()
    };
    let resolved = resolve(&written).unwrap();
    assert_eq!(resolved.config.kafka.sasl_password.0, "hunter2");
    let shown = format!("{} {resolved:?}", as_toml(&resolved));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("sasl-password is set"));
    let flag = Written { flags: vec![("kafka.sasl-password", "x".into())], ..Written::default() };
    let line = Written { file: file("kafka.sasl-password = \"x\"\n"), ..Written::default() };
    for written in [flag, line] {
        assert!(faults(&written)[0].contains("never in a flag"), "{:?}", faults(&written));
    }
}

#[test]
fn a_mechanism_needs_a_name_and_one_password() {
    let plain = ("TIDEGATE_KAFKA_SASL_MECHANISM", "plain");
    let name = ("TIDEGATE_KAFKA_SASL_USERNAME", "me");
    let text = ("TIDEGATE_KAFKA_SASL_PASSWORD", "x");
    let path = ("TIDEGATE_KAFKA_SASL_PASSWORD_FILE", "/x");
    assert_eq!(kafka_faults(&[plain]).len(), 2);
    assert!(kafka_faults(&[plain, name, text, path])[0].contains("given twice"));
    let none =
        Written { environment: variables(&[("TIDEGATE_ENGINE", "kafka")]), ..Written::default() };
    assert!(faults(&none).iter().any(|fault| fault.contains("needs brokers")));
}

#[test]
fn an_advertised_address_is_one_that_can_be_called_and_its_host_is_allowed() {
    for bad in
        ["10.0.0.7:8080", "https://a:1", "http://", "http://a:b", "http://a:1/x", "http://a:0"]
    {
        let found = kafka_faults(&[("TIDEGATE_ADVERTISE", bad)]);
        assert!(found.iter().any(|fault| fault.contains("other gateways")), "{bad}: {found:?}");
    }
    let environment = variables(&[("TIDEGATE_ADVERTISE", "http://gw-1:8080/")]);
    let mut config = resolve(&Written { environment, ..Written::default() }).unwrap().config;
    config.allow_advertised();
    assert_eq!(config.http.allowed_hosts, ["gw-1"]);
}
