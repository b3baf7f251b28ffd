//! Layers, precedence and the reporting of everything at once.

use std::{collections::HashSet, fs};

use super::{layers, *};

/// Sources with a settings file, which goes away with its directory.
pub(in crate::config) fn sources(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str, &str)],
) -> (tempfile::TempDir, Sources) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.toml");
    fs::write(&path, file).unwrap();
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let flag = |(name, key, value): &(&str, &str, &str)| Flag {
        name: (*name).to_owned(),
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    };
    let sources = Sources { file: Some(path), environment, flags: flags.iter().map(flag).collect() };
    (dir, sources)
}

/// The problems, one a line, without the directory of the file.
pub(in crate::config) fn problems(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str, &str)],
) -> Vec<String> {
    let (dir, sources) = sources(file, environment, flags);
    let dir = format!("{}/", dir.path().display());
    let problems = Config::load(&sources).unwrap_err().to_string();
    problems.lines().map(|line| line.replace(&dir, "")).collect()
}

/// An unread default would be "no such setting", a missing one "has no default": loading fails on either.
#[test]
fn the_default_file_holds_every_setting_and_no_other() {
    let config = Config::load(&Sources::default()).unwrap();
    assert_eq!(config.server.listen, ([127, 0, 0, 1], 8080).into());
    assert_eq!(config.server.public_url, None);
    assert_eq!(config.server.grpc_url, None);
    assert_eq!(config.server.max_body, 4 << 20);
    assert_eq!(config.store.max_size, None);
    assert_eq!(config.retention.settled, Some(Duration::from_secs(30 * 24 * 3600)));
    assert_eq!(config.tasks.default_timeout, None);
    assert_eq!(config.log, Log { level: "info".to_owned(), format: LogFormat::Auto });
}

#[test]
fn every_default_is_documented_and_has_a_variable_of_its_own() {
    let entries = layers::gather(&Sources::default()).entries;
    let names: HashSet<_> = entries.iter().map(|entry| layers::variable_name(&entry.key)).collect();
    assert_eq!(names.len(), entries.len());
    let lines: Vec<_> = DEFAULTS.lines().collect();
    let is_key = |line: &str| line.contains(" = ") && !line.starts_with("# ");
    for (n, line) in lines.iter().enumerate().filter(|(_, line)| is_key(line)) {
        // Agents' keys may share a comment.
        let comment = lines[..n].iter().rev().find(|line| !(line.starts_with('#') && is_key(line)));
        assert!(comment.is_some_and(|line| line.starts_with("# ")), "{line} has no comment before it");
    }
}

#[test]
fn later_layers_win() {
    let file =
        "[server]\nlisten = \"127.0.0.1:1\"\nmax_connections = 7\n[log]\nformat = \"json\"\n[store]\nreaders = 3";
    let environment = [
        ("A2A_GATEWAY_SERVER_LISTEN", "127.0.0.1:2"),
        ("A2A_GATEWAY_STORE_READERS", "4"),
        ("A2A_GATEWAY_SERVER_MERGED_CARD", "false"),
        ("A2A_GATEWAY_TASKS_DEFAULT_TIMEOUT", "90s"),
    ];
    let (_dir, sources) = sources(file, &environment, &[("--listen", "server.listen", "127.0.0.1:3")]);
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.server.listen.port(), 3);
    assert_eq!(config.store.readers, 4);
    assert_eq!(config.server.max_connections, 7);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.tasks.default_timeout, Some(Duration::from_secs(90)));
    assert!(!config.server.merged_card);
}

#[test]
fn everything_wrong_is_reported_at_once_with_its_place() {
    let file = "[server]\nlisten = 8080\nmax_bdy = \"1MiB\"\n\n[tasks]\nmax_running = 0\n[sever]\nlisten = \"x\"\n";
    let environment = [
        ("A2A_GATEWAY_STORE_READERS", "many"),
        ("A2A_GATEWAY_SERVER_LISTNE", "127.0.0.1:1"),
        ("A2A_GATEWAY_WHATEVER", "1"),
        ("PATH", "/bin"),
    ];
    let flags = [("--listen", "server.listen", "nowhere"), ("--set log.colour", "log.colour", "red")];
    let found = problems(file, &environment, &flags);
    let expected = [
        "A2A_GATEWAY_SERVER_LISTNE: no setting has this name; did you mean A2A_GATEWAY_SERVER_LISTEN?",
        "A2A_GATEWAY_WHATEVER: no setting has this name; config.default.toml lists all settings",
        "gateway.toml:2: server.listen: got 8080, must be an IP address and port, such as 127.0.0.1:8080, 0.0.0.0:8080 \
         or [::]:8080",
        "gateway.toml:3: server.max_bdy: no such setting; did you mean server.max_body?",
        "gateway.toml:6: tasks.max_running: got 0, must be an integer from 1 to 1000000",
        "gateway.toml:8: sever.listen: no such setting; did you mean server.listen?",
        "A2A_GATEWAY_STORE_READERS: got \"many\", must be an integer from 1 to 64",
        "--listen: got \"nowhere\", must be an IP address and port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080",
        "--set log.colour: no such setting; config.default.toml lists all settings",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_wrong_value_is_reported_even_when_it_is_overridden() {
    let found = problems("[store]\nreaders = 1000", &[("A2A_GATEWAY_STORE_READERS", "2")], &[]);
    assert_eq!(found, ["gateway.toml:2: store.readers: got 1000, must be an integer from 1 to 64"]);
}

#[test]
fn text_that_is_not_toml_and_missing_files_are_reported_with_the_rest() {
    let found = problems("[server]\nlisten = \n[store]\nreaders = 0\n", &[], &[]);
    assert!(found[0].starts_with("gateway.toml:2: not TOML: "), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("gateway.toml:4: store.readers: got 0")), "{found:?}");

    let sources = Sources { file: Some("/nowhere/gateway.toml".into()), ..Sources::default() };
    let missing = Config::load(&sources).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/gateway.toml: the settings file cannot be read: "), "{missing}");
}

#[test]
fn settings_of_types_that_none_has_are_reported() {
    let found = problems("server = 1\nwebhooks = []\n[log]\nlevel = 1.5\n[store.data_dir]\nx = 1", &[], &[]);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].starts_with("gateway.toml:1: server: no such setting"), "{found:?}");
    assert!(found[1].starts_with("gateway.toml:2: webhooks: no such setting"), "{found:?}");
    assert!(found[2].starts_with("gateway.toml:4: log.level: got a TOML float, must be off"), "{found:?}");
    assert_eq!(found[3], "gateway.toml:6: store.data_dir.x: no such setting; did you mean store.data_dir?");
}

#[test]
fn settings_that_conflict_are_reported_with_both_places() {
    let found = problems("[retention]\nsettled = \"1h\"", &[("A2A_GATEWAY_TASKS_REQUEST_ID_TTL", "2h")], &[]);
    assert_eq!(
        found,
        ["A2A_GATEWAY_TASKS_REQUEST_ID_TTL: tasks.request_id_ttl is \"2h\", which must not be longer than \
          retention.settled, which is \"1h\" (from gateway.toml:2: retention.settled): tasks would be removed while \
          their request ids are still promised to return them"]
    );
    let found = problems("[store]\nmax_size = \"16MiB\"\n[server]\nmax_body = \"17MiB\"", &[], &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("gateway.toml:4: server.max_body: server.max_body is \"17MiB\""), "{found:?}");
    // A setting that is wrong by itself is no conflict.
    assert_eq!(problems("[retention]\nsettled = \"1h\"\n[tasks]\nrequest_id_ttl = \"x\"", &[], &[]).len(), 1);
}

#[test]
fn variables_that_are_no_settings_are_left_alone() {
    let environment = [
        ("A2A_GATEWAY_URL", "http://elsewhere:8080"),
        ("A2A_GATEWAY_CONFIG", "x.toml"),
        ("A2A_GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("A2A_GATEWAY_SERVICE_PORT", "8080"),
        ("A2A_GATEWAY_SERVICE_PORT_GRPC", "8080"),
        ("A2A_GATEWAY_PORT", "tcp://10.0.0.1:8080"),
        ("A2A_GATEWAY_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("A2A_GATEWAY_METRICS_SERVICE_HOST", "10.0.0.2"),
    ];
    let (_dir, sources) = sources("", &environment, &[]);
    assert!(Config::load(&sources).is_ok());
    assert_eq!(problems("", &[("A2A_GATEWAY_PORT", "8080")], &[]).len(), 1);
}

#[test]
fn a_reload_reads_the_sources_again_and_names_what_needs_a_restart() {
    let file = "[store]\nreaders = 3\n[tasks]\ndefault_timeout = \"60s\"\n[[agents]]\nname = \"a\"\nurl = \"h:1\"\n";
    let (_dir, sources) = sources(file, &[], &[("--listen", "server.listen", "127.0.0.1:1")]);
    let path = sources.file.clone().unwrap();
    let (config, reloader) = Reloader::load(sources).unwrap();
    assert_eq!(config.agents[0].name, "a");

    let same = reloader.reload().unwrap();
    assert_eq!((same.agents, same.needs_restart.len()), (config.agents, 0));

    // The listener's flag still wins, and a minute is a minute.
    let changed = "[server]\nlisten = \"127.0.0.1:2\"\n[store]\nreaders = 4\n[tasks]\ndefault_timeout = \"1m\"\n[log]\n\
                   level = \"warn\"\n[[agents]]\nname = \"b\"\nurl = \"h:1\"\n";
    fs::write(&path, changed).unwrap();
    for _ in 0..2 {
        let new = reloader.reload().unwrap();
        assert_eq!(new.agents[0].name, "b");
        assert_eq!(new.needs_restart, ["log.level", "store.readers"]);
    }

    fs::write(&path, "[store]\nreaders = 0\n[[agents]]\nname = \"B\"\n").unwrap();
    assert_eq!(reloader.reload().unwrap_err().0.len(), 3);
}
