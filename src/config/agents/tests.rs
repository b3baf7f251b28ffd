//! Agents from every source: what is understood, what is refused with which words, and that secrets stay secret.

use std::{fs, time::Duration};

use super::super::{
    agent::*,
    tests::{problems, sources},
    *,
};

fn load(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Vec<Agent>, Problems> {
    let flags: Vec<_> = flags.iter().map(|form| ("--agent", "agents", *form)).collect();
    let (_dir, sources) = sources(file, environment, &flags);
    Config::load(&sources).map(|config| config.agents)
}

fn agents(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Vec<Agent> {
    load(file, environment, flags).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The agent of a table with these lines besides its name and url.
fn a2a(lines: &str) -> A2aAgent {
    let file = format!("[[agents]]\nname = \"a\"\nurl = \"https://h/a\"\n{lines}\n");
    match agents(&file, &[("KEY", "k-1"), ("NOTHING", "")], &[]).remove(0).kind {
        AgentKind::A2a(agent) => agent,
        other => panic!("{other:?}"),
    }
}

fn exec(lines: &str) -> ExecAgent {
    let file = format!("[[agents]]\nname = \"a\"\n{lines}\n");
    match agents(&file, &[("KEY", "k-1")], &[]).remove(0).kind {
        AgentKind::Exec(agent) => agent,
        other => panic!("{other:?}"),
    }
}

/// The only problem of a table with these lines besides its name, without the file's name and line.
fn wrong(lines: &str) -> String {
    let found = problems(&format!("[[agents]]\nname = \"a\"\n{lines}\n"), &[("NOTHING", "")], &[]);
    assert_eq!(found.len(), 1, "{lines}: {found:?}");
    found[0].splitn(3, ':').nth(2).unwrap().trim_start().to_owned()
}

fn names(agents: &[Agent]) -> Vec<&str> {
    agents.iter().map(|agent| agent.name.as_str()).collect()
}

fn testdata(name: &str) -> String {
    format!("{}/src/config/agents/testdata/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn header(name: &str, value: &str) -> (String, Secret) {
    (name.to_owned(), Secret(value.to_owned()))
}

#[test]
fn without_agents_there_is_the_built_in_one() {
    let echo = Agent::new("echo".to_owned(), AgentKind::Echo);
    assert_eq!(Config::load(&Sources::default()).unwrap().agents, std::slice::from_ref(&echo));
    assert_eq!(agents("agents = []", &[("A2A_GATEWAY_AGENTS", " \n")], &[]), [echo]);
}

/// The example in the default file has every key: its values are the defaults, and it names none that is unknown.
#[test]
fn the_commented_example_is_right_when_uncommented_and_its_values_are_the_defaults() {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    let file: String = DEFAULTS.lines().map(uncomment).collect();
    let url = "http://127.0.0.1:8001".to_owned();
    let command = vec!["wc".to_owned(), "-w".to_owned()];
    let expected = [
        Agent::new("writer".to_owned(), AgentKind::A2a(A2aAgent::new(url, None))),
        Agent::new("count".to_owned(), AgentKind::Exec(ExecAgent::new(command))),
    ];
    assert_eq!(agents(&file, &[], &[]), expected);
    // Other sections may have keys of the same names.
    let example = &file[file.find("[[agents]]").unwrap()..];
    for key in super::a2a::KEYS.iter().chain(&super::exec::KEYS) {
        assert_eq!(example.matches(&format!("\n{key} = ")).count(), 1, "{key}");
    }
}

#[test]
fn defaults_are_what_is_documented() {
    let agent = a2a("");
    let times = [agent.connect_timeout, agent.request_timeout, agent.idle_timeout, agent.unreachable_timeout];
    assert_eq!(times.map(|time| time.as_secs()), [10, 30, 300, 60]);
    assert_eq!([agent.poll_interval, agent.card_refresh].map(|time| time.as_secs()), [5, 300]);
    assert_eq!((agent.max_message, agent.mode, agent.interface), (64 << 20, Mode::Auto, None));
    assert!(agent.prefer.is_empty() && agent.headers.is_empty() && agent.tls == Tls::default());
    let agent = exec("command = \"cat\"");
    assert_eq!((agent.input, agent.output), (ExecInput::Text, ExecOutput::Text));
    assert_eq!((agent.timeout, agent.grace, agent.max_output), (None, Duration::from_secs(5), 64 << 20));
    assert_eq!((agent.directory, agent.description, agent.environment.len()), (None, None, 0));
    let agent = &agents("[[agents]]\nname = \"a\"\nurl = \"h:1\"", &[], &[])[0];
    assert_eq!((agent.max_concurrency, agent.on_lost), (None, OnLost::Fail));
}

#[test]
fn every_key_is_read() {
    let file = "[[agents]]\nname = \"w.r-1_\"\nurl = \"https://h/a?b=c\"\nmode = \"blocking\"\nmax_concurrency = 4\n\
                on_lost = \"resend\"\nprefer = [\"grpc\", \"jsonrpc/0.3\", \"1.0\", \"praisonai\"]\ntoken = \"env:KEY\"\n\
                connect_timeout = \"1s\"\nrequest_timeout = \"2s\"\nidle_timeout = \"3s\"\nunreachable_timeout = \"0\"\n\
                poll_interval = \"5s\"\ncard_refresh = \"6s\"\nmax_message = \"7KiB\"\n\
                [agents.headers]\nX-B = \"2\"\nx-a = \"env:KEY\"\n\"X.c\" = \"\"\n";
    let [agent] = &agents(file, &[("KEY", "k-1")], &[])[..] else { panic!() };
    assert_eq!((&*agent.name, agent.max_concurrency, agent.on_lost), ("w.r-1_", Some(4), OnLost::Resend));
    let prefer = |binding, version| Preference { binding, version };
    let expected = A2aAgent {
        prefer: vec![
            prefer(Some(Binding::Grpc), None),
            prefer(Some(Binding::JsonRpc), Some(Version::V03)),
            prefer(None, Some(Version::V1)),
            prefer(None, Some(Version::PraisonAi)),
        ],
        headers: vec![
            header("x-b", "2"),
            header("x-a", "k-1"),
            header("x.c", ""),
            header("authorization", "Bearer k-1"),
        ],
        mode: Mode::Blocking,
        connect_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(3),
        unreachable_timeout: Duration::ZERO,
        poll_interval: Duration::from_secs(5),
        card_refresh: Duration::from_secs(6),
        max_message: 7 << 10,
        ..A2aAgent::new("https://h/a?b=c".to_owned(), None)
    };
    assert_eq!(agent.kind, AgentKind::A2a(expected));

    let agent = exec(
        "command = [\"sh\", \"-c\", \"echo $A\"]\ndirectory = \"/srv\"\nenvironment = { A = \"env:KEY\", B = \"plain\" }\n\
         input = \"json\"\noutput = \"raw\"\ntimeout = \"1m\"\ngrace = \"0\"\nmax_output = 2048\ndescription = \"Says A\"",
    );
    let expected = ExecAgent {
        directory: Some("/srv".into()),
        environment: vec![header("A", "k-1"), header("B", "plain")],
        input: ExecInput::Json,
        output: ExecOutput::Raw,
        timeout: Some(Duration::from_secs(60)),
        grace: Duration::ZERO,
        max_output: 2048,
        description: Some("Says A".to_owned()),
        ..ExecAgent::new(["sh", "-c", "echo $A"].map(str::to_owned).to_vec())
    };
    assert_eq!(agent, expected);
}

#[test]
fn interfaces_come_from_binding_and_version_or_from_the_url() {
    let of = |lines: &str| match agents(&format!("[[agents]]\nname = \"a\"\n{lines}"), &[], &[]).remove(0).kind {
        AgentKind::A2a(agent) => (agent.url, agent.interface.map(|of| (of.binding, of.version))),
        other => panic!("{other:?}"),
    };
    let url = |url: &str| url.to_owned();
    for (binding, version, expected) in [
        ("jsonrpc", "1.0", (Binding::JsonRpc, Version::V1)),
        ("rest", "0.3", (Binding::Rest, Version::V03)),
        ("jsonrpc", "praisonai", (Binding::JsonRpc, Version::PraisonAi)),
        ("", "praisonai", (Binding::JsonRpc, Version::PraisonAi)),
    ] {
        let lines = format!("url = \"http://h:1/x/\"\nbinding = \"{binding}\"\nversion = \"{version}\"");
        assert_eq!(of(&lines), (url("http://h:1/x/"), Some(expected)), "{lines}");
    }
    assert_eq!(of("url = \"h:1\""), (url("http://h:1"), None));
    assert_eq!(of("url = \"HTTP://[::1]:1/a\""), (url("http://[::1]:1/a"), None));
    let grpc = |version| Some((Binding::Grpc, version));
    assert_eq!(of("url = \"grpc://h:1/\""), (url("http://h:1"), grpc(Version::V1)));
    assert_eq!(of("url = \"grpcs://h:1\""), (url("https://h:1"), grpc(Version::V1)));
    assert_eq!(of("url = \"grpc://h:1\"\nversion = \"0.3\""), (url("http://h:1"), grpc(Version::V03)));
    assert_eq!(of("url = \"h:1\"\nbinding = \"grpc\"\nversion = \"0.3\""), (url("http://h:1"), grpc(Version::V03)));
}

#[test]
fn values_out_of_bounds_are_refused() {
    let url = "url = \"h:1\"\n";
    for (kind, key, low, high, bounds) in [
        (url, "connect_timeout", "99ms", "601s", "a duration from 100ms to 10m"),
        (url, "request_timeout", "99ms", "61m", "a duration from 100ms to 1h"),
        (url, "idle_timeout", "999ms", "31d", "a duration from 1s to 30days"),
        (url, "unreachable_timeout", "-1s", "31d", "a duration from 0s to 30days"),
        (url, "poll_interval", "99ms", "61m", "a duration from 100ms to 1h"),
        (url, "card_refresh", "0", "31d", "a duration from 1s to 30days"),
        (url, "max_message", "1023", "2GiB", "a size from 1KiB to 1GiB"),
        (url, "max_concurrency", "x", "1000001", "an integer from 1 to 1000000"),
        ("command = \"cat\"\n", "timeout", "99ms", "366d", "a duration from 100ms to "),
        ("command = \"cat\"\n", "grace", "-1s", "9s", "a duration from 0s to 8s"),
        ("command = \"cat\"\n", "max_output", "1023", "2GiB", "a size from 1KiB to 1GiB"),
    ] {
        for value in [low, high] {
            let said = wrong(&format!("{kind}{key} = \"{value}\""));
            let expected = format!("agents[0].{key}: got \"{value}\", must be {bounds}");
            assert!(said.starts_with(&expected), "{said}\n{expected}");
        }
    }
}

#[test]
fn wrong_values_are_told_with_what_is_right() {
    let word = "must be one of";
    for (lines, expected) in [
        ("url = \"h:1\"\nmode = \"push\"", format!("mode: got \"push\", {word} auto, stream, poll, blocking")),
        ("url = \"h:1\"\non_lost = true", format!("on_lost: got true, {word} fail, resend")),
        ("url = \"h:1\"\nversion = 1.0", format!("version: got a TOML float, {word} 1.0, 0.3, praisonai in quotes")),
        ("url = \"h:1\"\nbinding = \"soap\"", format!("binding: got \"soap\", {word} jsonrpc, grpc, rest in quotes")),
        ("command = \"cat\"\ninput = \"xml\"", format!("input: got \"xml\", {word} text, json")),
        ("command = \"cat\"\noutput = 1", format!("output: got 1, {word} text, raw")),
        (
            "url = \"h:1\"\nprefer = \"grpc\"",
            "prefer: got \"grpc\", must be an array of strings, such as [\"grpc\", \"jsonrpc/0.3\"]".to_owned(),
        ),
        (
            "url = \"h:1\"\nprefer = [\"grpc/praisonai\"]",
            "prefer: got a TOML array, \"grpc/praisonai\" in it must be a binding (jsonrpc, grpc, rest), a version (1.0, \
             0.3, praisonai), or both, as in jsonrpc/0.3"
                .to_owned(),
        ),
        ("url = 1", "url: must be text: a URL".to_owned()),
        ("command = [1]", "command: must be an array of strings, or one string".to_owned()),
        ("command = []", "command: must be a command: a program and its arguments".to_owned()),
        ("command = [\"\"]", "command: must name a program, not \"\"".to_owned()),
        ("command = \"sh -c 'x\"", "command: is no command line: a quote or a backslash is left open".to_owned()),
        ("command = \"cat\"\ndirectory = 1", "directory: got 1, must be a path".to_owned()),
        ("command = \"cat\"\ndescription = 1", "description: got 1, must be text".to_owned()),
        ("url = \"h:1\"\nheaders = \"X: s3cret\"", "headers: must be a table of names and texts".to_owned()),
        ("url = \"h:1\"\nheaders.x = 1", "headers.x: must be text".to_owned()),
        ("url = \"h:1\"\nheaders.\"x y\" = \"1\"", "headers.\"x y\": its name is not that of a header".to_owned()),
        ("url = \"h:1\"\nheaders.Host = \"1\"", "headers.Host: is a header that the gateway sets itself".to_owned()),
        (
            "url = \"h:1\"\nheaders.A2A-Extensions = \"urn:e\"",
            "headers.A2A-Extensions: cannot be set: callers say in it which extensions they ask for. Have them send it to \
             the gateway, which passes it on"
                .to_owned(),
        ),
        ("url = \"h:1\"\nheaders.x = \"a\\nb\"", "headers.x: its value cannot be sent in a header".to_owned()),
        (
            "url = \"h:1\"\nheaders = { x = \"1\", X = \"2\" }",
            "headers.X: the header is given twice: its name is the same in any case".to_owned(),
        ),
        ("url = \"h:1\"\ntoken = \"a b\"", "token: must be visible ASCII characters without spaces".to_owned()),
        ("url = \"h:1\"\ntoken = \"env:NOTHING\"", "token: the text that it stands for is empty".to_owned()),
        ("url = \"h:1\"\ntoken = \"env:GONE\"", "token: the environment variable GONE is not set".to_owned()),
        (
            "command = \"cat\"\nenvironment.\"A=B\" = \"1\"",
            "environment.\"A=B\": its name is not that of an environment variable".to_owned(),
        ),
        ("command = \"cat\"\nenvironment.A = \"a\\u0000\"", "environment.A: its value contains NUL".to_owned()),
    ] {
        assert_eq!(wrong(lines), format!("agents[0].{expected}"), "{lines}");
    }
    let said = wrong("url = \"h:1\"\ntoken = \"file:/nowhere/token\"");
    assert!(said.starts_with("agents[0].token: the file /nowhere/token cannot be read: "), "{said}");
}

#[test]
fn keys_that_do_not_go_together_are_told() {
    for (lines, expected) in [
        ("", ": needs a url (an agent that speaks A2A) or a command (a program to run)"),
        ("url = \"h:1\"\ncommand = \"cat\"", ".command: does not go together with url: an agent has one of them"),
        ("url = \"h:1\"\ngrace = \"1s\"", ".grace: grace is for agents with a command, and this one has a url"),
        (
            "url = \"h:1\"\nenvironment.A = \"1\"",
            ".environment.A: environment is for agents with a command, and this one has a url",
        ),
        ("command = \"cat\"\nmode = \"poll\"", ".mode: mode is for agents with a url, and this one has a command"),
        ("url = \"echo:\"\non_lost = \"fail\"", ".on_lost: on_lost means nothing to the built-in echo agent"),
        ("url = \"echo:\"\ntoken = \"x\"", ".token: token means nothing to the built-in echo agent"),
        (
            "url = \"h:1\"\nbinding = \"rest\"",
            ".binding: needs version beside it; to choose among the card's interfaces, use prefer",
        ),
        (
            "url = \"h:1\"\nversion = \"0.3\"",
            ".version: needs binding beside it; to choose among the card's interfaces, use prefer",
        ),
        (
            "url = \"h:1\"\nbinding = \"rest\"\nversion = \"praisonai\"",
            ".version: praisonai is spoken over jsonrpc only",
        ),
        ("url = \"grpc://h:1\"\nversion = \"praisonai\"", ".version: praisonai is spoken over jsonrpc only"),
        (
            "url = \"grpc://h:1\"\nbinding = \"rest\"\nversion = \"1.0\"",
            ".binding: must be \"grpc\" or left out: the url is a gRPC one",
        ),
        (
            "url = \"http://h:1/x\"\nbinding = \"grpc\"\nversion = \"1.0\"",
            ".url: has a path, which gRPC cannot call: with binding = \"grpc\" it must be a server's alone",
        ),
        (
            "url = \"grpc://h:1\"\nprefer = [\"grpc\"]",
            ".prefer: chooses among the card's interfaces, and here binding, version or the url name the one",
        ),
        (
            "url = \"h:1\"\ntoken = \"x\"\nheaders.Authorization = \"Basic x\"",
            ".token: does not go together with the header authorization, which it would be sent as",
        ),
    ] {
        assert_eq!(wrong(lines), format!("agents[0]{expected}"), "{lines}");
    }
}

#[test]
fn urls_are_understood_or_refused_with_help() {
    let right = "must be a URL such as http://127.0.0.1:8001 or https://agents.example.com/writer, HOST:PORT, \
                 grpc://HOST:PORT or grpcs://HOST:PORT for gRPC, or echo:";
    let refused = |url: &str| {
        let said = wrong(&format!("url = \"{url}\""));
        said.strip_prefix("agents[0].url: ").unwrap().to_owned()
    };
    for url in
        ["", "http://", "ftp://h:1", "h", "h:0", "h:70000", "http://h:x", "http://h:1/#x", "http://ä:1", "h:1,g:2"]
    {
        let said = refused(url);
        assert!(said.starts_with("got ") && said.ends_with(right), "{url}: {said}");
    }
    assert_eq!(refused("ftp://h:1"), format!("got \"ftp://h:1\", {right}"));
    assert_eq!(
        refused("agents.example.com/x"),
        format!("got \"agents.example.com/x\", {right}; did you mean https://agents.example.com/x?")
    );
    assert_eq!(refused("./agent.sh"), format!("got \"./agent.sh\", {right}; a command is written as exec:COMMAND"));
    assert_eq!(refused("grpc://h:1/x"), "got \"grpc://h:1/x\", must be grpc://HOST:PORT: gRPC URLs have no path");
    assert_eq!(refused("https://me:s3cret@h"), "must not hold a user or a password: give them as headers or token");
    assert_eq!(refused("exec:cat"), "a command is written as command = [\"program\", \"argument\"]");
}

#[test]
fn names_are_checked_and_unique() {
    let right = "must be 1 to 64 of a-z, 0-9, \".\", \"_\" and \"-\", beginning with a letter or digit";
    for name in ["", "-a", ".", "A", "a b", "a/b", "ä", &"x".repeat(65)] {
        let found = problems(&format!("[[agents]]\nname = \"{name}\"\nurl = \"h:1\""), &[], &[]);
        assert!(found.len() == 1 && found[0].starts_with("gateway.toml:2: agents[0].name: got "), "{found:?}");
        assert!(found[0].ends_with(right), "{found:?}");
        assert!(load("", &[], &[&format!("{name}=h:1")]).is_err(), "{name}");
    }
    assert_eq!(agents("", &[], &[&format!("{}=h:1", "x".repeat(64))])[0].name.len(), 64);
    assert_eq!(problems("[[agents]]\nurl = \"h:1\"", &[], &[]), ["gateway.toml:1: agents[0]: needs a name"]);

    let file = "[[agents]]\nname = \"a\"\nurl = \"h:1\"\n[[agents]]\nname = \"b\"\nurl = \"h:1\"\n[[agents]]\n\
                name = \"a\"\nurl = \"h:1\"\n";
    let found = problems(file, &[("A2A_GATEWAY_AGENTS", "b=h:2 agent=h:3")], &[("--agent", "agents", "h:4")]);
    assert_eq!(
        found,
        [
            "gateway.toml:5: agents[1].name: the name b is taken by another agent (from A2A_GATEWAY_AGENTS b)",
            "gateway.toml:8: agents[2].name: the name a is taken by another agent (from gateway.toml:2: agents[0].name)",
            "A2A_GATEWAY_AGENTS agent: the name agent is taken by another agent (from --agent)",
        ]
    );
}

#[test]
fn flags_come_before_the_environment_and_that_before_the_file() {
    let file = "[[agents]]\nname = \"f1\"\nurl = \"h:1\"\n[[agents]]\nname = \"f2\"\ncommand = \"cat\"\n";
    let environment = [("A2A_GATEWAY_AGENTS", "e1=h:2 http://h:3\ne2=exec:sh -c 'exit 1'\n")];
    let found = agents(file, &environment, &["x=h:4", "h:5", "h:6", "echo:"]);
    assert_eq!(names(&found), ["x", "agent", "agent-2", "echo", "e1", "agent-3", "e2", "f1", "f2"]);
    let command = ["sh", "-c", "exit 1"].map(str::to_owned).to_vec();
    assert_eq!(found[6].kind, AgentKind::Exec(ExecAgent::new(command)));
    assert_eq!(found[0].kind, AgentKind::A2a(A2aAgent::new("http://h:4".to_owned(), None)));
    assert_eq!(found[3].kind, AgentKind::Echo);
}

#[test]
fn wrong_short_forms_are_told_by_their_names() {
    let flags = ["A=h:1", "b=nowhere", "c=exec:", "exec:sh -c 's3cret", "d=ftp://h/?s3cret", "=h:1"];
    let flags = flags.map(|form| ("--agent", "agents", form));
    let found = problems("", &[("A2A_GATEWAY_AGENTS", "e=nowhere")], &flags);
    let starts = [
        "A2A_GATEWAY_AGENTS e: got \"nowhere\", must be a URL",
        "--agent: got the name \"A\", must be 1 to 64",
        "--agent b: got \"nowhere\", must be a URL",
        "--agent c: the text after exec: must be a command: a program and its arguments",
        "--agent: the text after exec: is no command line: a quote or a backslash is left open",
        "--agent d: got \"ftp://h/…\", must be a URL",
        "--agent: got the name \"\", must be 1 to 64",
    ];
    assert_eq!(found.len(), starts.len(), "{found:?}");
    for (line, start) in found.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn everything_wrong_in_tables_is_told_at_once_with_suggestions() {
    let file = "[[agents]]\nname = \"a\"\nurll = \"h:1\"\nurl = \"h\"\nmod = \"poll\"\npoll_interval = 5\nzzz = 1\n\n\
                [[agents]]\nname = \"B\"\ncommand = \"cat\"\nmaxoutput = 1\n[agents.headers]\nX-Key = \"env:GONE\"\n\
                [agents.header]\nX = \"s3cret\"\n";
    let starts = [
        "gateway.toml:3: agents[0].urll: no such setting; did you mean agents[0].url?",
        "gateway.toml:4: agents[0].url: got \"h\", must be a URL",
        "gateway.toml:5: agents[0].mod: no such setting; did you mean agents[0].mode?",
        "gateway.toml:6: agents[0].poll_interval: got 5, must be a duration",
        "gateway.toml:7: agents[0].zzz: no such setting; config.default.toml lists all settings",
        "gateway.toml:10: agents[1].name: got \"B\", must be 1 to 64",
        "gateway.toml:12: agents[1].maxoutput: no such setting; did you mean agents[1].max_output?",
        "gateway.toml:14: agents[1].headers.X-Key: the environment variable GONE is not set",
        "gateway.toml:14: agents[1].headers.X-Key: headers is for agents with a url, and this one has a command",
        "gateway.toml:16: agents[1].header.X: no such setting; did you mean agents[1].headers?",
    ];
    let found = problems(file, &[], &[]);
    for (line, start) in found.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}\n{start}");
    }
    assert_eq!(found.len(), starts.len(), "{found:?}");
}

#[test]
fn agents_that_are_no_array_of_tables_are_told_how_to_write_them() {
    let single = "no such setting; did you mean [[agents]]?";
    assert_eq!(problems("[agents]\nurl = \"h:1\"", &[], &[]), [format!("gateway.toml:2: agents.url: {single}")]);
    assert_eq!(
        problems("[[agent]]\nurl = \"h:1\"", &[], &[]),
        [format!("gateway.toml:1: agent[0]: {single}"), format!("gateway.toml:2: agent[0].url: {single}")]
    );
    let tables = "must be tables: [[agents]], each with a name and a url or command";
    for value in ["\"h:1\"", "[\"h:1\"]", "1"] {
        let found = problems(&format!("agents = {value}"), &[], &[]);
        assert_eq!(found, [format!("gateway.toml:1: agents: {tables}")]);
    }
    let found = problems("agents = [{ name = \"a\", url = \"h:1\" },\n \"s3cret\"]", &[], &[]);
    assert_eq!(found, ["gateway.toml:2: agents[1]: must be a table"]);
    let found = problems("", &[("A2A_GATEWAY_AGENT", "h:1")], &[("--set agents[0].url", "agents[0].url", "h:1")]);
    assert_eq!(
        found,
        [
            "A2A_GATEWAY_AGENT: no setting has this name; did you mean A2A_GATEWAY_AGENTS?",
            "--set agents[0].url: agents are set by --agent, by A2A_GATEWAY_AGENTS or in the settings file"
        ]
    );
}

#[test]
fn values_come_from_variables_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &[u8]| {
        fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).display().to_string()
    };
    for (text, value) in [("v\n", "v"), ("v\r\n", "v"), ("v\n\n", "v\n"), ("v", "v"), ("", "")] {
        let file = path("value", text.as_bytes());
        let agent = exec(&format!("command = \"cat\"\nenvironment.A = \"file:{file}\""));
        assert_eq!(agent.environment, [header("A", value)], "{text:?}");
    }
    assert_eq!(a2a("headers.x = \"env:NOTHING\"").headers, [header("x", "")]);
    assert_eq!(a2a("token = \"plain\"").headers, [header("authorization", "Bearer plain")]);
    let binary = path("binary", b"\xff");
    assert_eq!(
        wrong(&format!("url = \"h:1\"\ntoken = \"file:{binary}\"")),
        format!("agents[0].token: the file {binary} is not UTF-8 text")
    );
    let large = path("large", &vec![b'x'; (1 << 20) + 1]);
    assert_eq!(
        wrong(&format!("url = \"h:1\"\ntoken = \"file:{large}\"")),
        format!("agents[0].token: the file {large} is larger than 1MiB")
    );
}

#[test]
fn certificates_and_keys_are_read_and_checked() {
    let [certificate, key, other] = ["certificate.pem", "key.pem", "other-key.pem"].map(testdata);
    let tls = a2a(&format!("tls_ca = \"{certificate}\"\ntls_cert = \"{certificate}\"\ntls_key = \"{key}\"")).tls;
    assert_eq!(tls.ca.as_deref(), Some(&*fs::read(&certificate).unwrap()));
    let (chain, secret) = tls.identity.unwrap();
    assert_eq!((chain, secret.0), (fs::read(&certificate).unwrap(), fs::read_to_string(&key).unwrap()));

    let https = "url = \"https://h\"\n";
    for (lines, expected) in [
        (format!("{https}tls_ca = \"{key}\""), format!(".tls_ca: the file {key} holds no certificates in PEM")),
        (
            format!("{https}tls_cert = \"{certificate}\"\ntls_key = \"{other}\""),
            ".tls_key: the key is of a kind that cannot be used, or does not belong to tls_cert".to_owned(),
        ),
        (
            format!("{https}tls_cert = \"{certificate}\"\ntls_key = \"{certificate}\""),
            format!(".tls_key: the file {certificate} holds no private key in PEM (an encrypted one cannot be read)"),
        ),
        (
            format!("{https}tls_cert = \"{certificate}\""),
            ".tls_cert: needs tls_key, the certificate's private key, beside it".to_owned(),
        ),
        (
            format!("{https}tls_key = \"{key}\""),
            ".tls_key: needs tls_cert, the key's certificate, beside it".to_owned(),
        ),
        (
            format!("url = \"grpc://h:1\"\ntls_ca = \"{certificate}\""),
            ".tls_ca: means nothing here: calls go to the url, which is without TLS".to_owned(),
        ),
    ] {
        assert_eq!(wrong(&lines), format!("agents[0]{expected}"), "{lines}");
    }
    let said = wrong(&format!("{https}tls_ca = \"/nowhere/ca.pem\""));
    assert!(said.starts_with("agents[0].tls_ca: the file /nowhere/ca.pem cannot be read: "), "{said}");
}

/// Secrets written plainly, in right and wrong places, are in no error and in no `Debug`.
#[test]
fn secrets_are_never_shown() {
    let right = "[[agents]]\nname = \"a\"\nurl = \"h:1\"\ntoken = \"s3cret\"\nheaders.x = \"s3cret\"\n[[agents]]\n\
                 name = \"b\"\ncommand = \"cat\"\nenvironment = { A = \"env:A\", B = \"s3cret\" }\n";
    let (_dir, sources) = sources(right, &[("A", "s3cret")], &[]);
    let (config, reloader) = Reloader::load(sources.clone()).unwrap();
    let (shown, again) = (format!("{config:?}{reloader:?}{sources:?}"), reloader.reload().unwrap());
    assert!(shown.contains("[secret]") && !shown.contains("s3cret"), "{shown}");
    assert!(!format!("{again:?}").contains("s3cret"));

    let agent = "[[agents]]\nname = \"a\"\nurl = \"h:1\"\n";
    for lines in [
        "token = \"s3cret s3cret\"",
        "token = \"s3cret\\u0000\"",
        "token = { value = \"s3cret\" }",
        "token = [\"s3cret\"]",
        "token = s3cret",
        "token = \"s3cret",
        "token = \"a\"\ntoken = \"s3cret\"",
        "toke = \"s3cret\"",
        "headers = \"s3cret\"",
        "headers = [\"s3cret\"]",
        "headers = { host = \"s3cret\" }",
        "headers = { x = \"s3cret\\n\" }",
        "headers = { x = \"s3cret\", X = \"s3cret\" }",
        "headers = { x = [\"s3cret\"] }",
        "headers = { x = { y = \"s3cret\" } }",
        "headers = { x = s3cret }",
        "environment = { A = \"s3cret\" }",
        "command = [\"cat\", \"s3cret\"]",
        "command = \"cat 's3cret\"",
        "tls_key = [\"s3cret\"]",
        "[[agents]]\nname = \"b\"\nurl = \"https://me:s3cret@h\"",
        "[[agents]]\nname = \"b\"\nurl = \"me:s3cret@h\"",
        "[[agents]]\nname = \"b\"\nurl = \"x://me:s3cret@h\"",
        "[[agents]]\nname = \"b\"\nurl = \"x://h?s3cret\"",
    ] {
        let found = problems(&format!("{agent}{lines}\n"), &[("A2A_GATEWAY_AGENT_KEY", "s3cret")], &[]);
        assert!(found.len() > 1 && found.iter().all(|line| !line.contains("s3cret")), "{lines}: {found:?}");
    }
}
