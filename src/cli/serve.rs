//! `serve`: settings, log, signals, and the gateway itself.

mod reload;

use std::{
    env,
    future::Future,
    io::{self, IsTerminal as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use clap::Args;
use owo_colors::OwoColorize as _;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::{Exit, fail};
use crate::{
    StartError,
    config::{Agent, AgentKind, Config, FILE_VARIABLE, Flag, Log, LogFormat, Problems, Reloader, Sources, Store},
};
use reload::Hangups;

/// Arguments of `serve`. Their values are checked with the rest of the settings, so that all errors come at once.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Agents (the first is the default; without any, the built-in echo agent):\n  \
    --agent http://127.0.0.1:8001                its name is agent, the next one's agent-2\n  \
    --agent writer=https://example.com/writer    with a name\n  \
    --agent maths=grpc://127.0.0.1:50051         called over gRPC, whatever its card says\n  \
    --agent 'count=exec:wc -w'                   a command: message in, answer out\n  \
    --agent echo=echo:                           the built-in agent\n\
    A2A_GATEWAY_AGENTS holds more of them, separated by spaces or newlines, and [[agents]]\n\
    in the settings file those that need more than a URL. SIGHUP reads agents again.\n\n\
    Settings come from the defaults, then the file, then A2A_GATEWAY_SECTION_KEY\n\
    variables, then flags. config.default.toml lists them all.\n\n\
    Exit codes:\n  0    stopped by SIGTERM or SIGINT\n  1    the gateway could not start\n  \
    2    wrong settings\n  130  stopped at once by a second signal")]
pub(super) struct ServeArgs {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE", env = FILE_VARIABLE, hide_env_values = true)]
    config: Option<PathBuf>,
    /// Agent to serve: a URL, or exec:COMMAND; may be repeated, and the first is the default [default: built-in echo]
    #[arg(long, value_name = "[NAME=]URL")]
    agent: Vec<String>,
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// PostgreSQL database to share with other gateways: a URL, env:NAME or file:PATH [default: SQLite in --data-dir]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Directory of the SQLite database [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// URL that clients reach the gateway at [default: derived from each request]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Address, network or host that webhooks may be sent to beyond the public internet; may be repeated
    #[arg(long, value_name = "NETWORK_OR_HOST")]
    webhook_allow: Vec<String>,
    /// Send webhooks to https URLs only
    #[arg(long)]
    webhook_https_only: bool,
    /// off, error, warn, info, debug, trace, or a list such as info,a2a_gateway::store=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// auto, text or json [default: auto: text on a terminal, json otherwise]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Any setting by its name, such as retention.settled=7d; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_setting)]
    set: Vec<(String, String)>,
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE, such as store.readers=4")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl ServeArgs {
    fn sources(&self, environment: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>) -> Sources {
        let named = [
            ("--listen", "server.listen", &self.listen),
            ("--database", "store.database", &self.database),
            ("--data-dir", "store.data_dir", &self.data_dir),
            ("--public-url", "server.public_url", &self.public_url),
            ("--log-level", "log.level", &self.log_level),
            ("--log-format", "log.format", &self.log_format),
        ];
        let named = named.into_iter().filter_map(|(name, key, value)| {
            Some(Flag { name: name.to_owned(), key: key.to_owned(), value: value.clone()? })
        });
        let allow = (!self.webhook_allow.is_empty()).then(|| Flag {
            name: "--webhook-allow".to_owned(),
            key: "webhooks.allow".to_owned(),
            value: self.webhook_allow.join(","),
        });
        let https_only = self.webhook_https_only.then(|| Flag {
            name: "--webhook-https-only".to_owned(),
            key: "webhooks.https_only".to_owned(),
            value: "true".to_owned(),
        });
        let free = self.set.iter().map(|(key, value)| Flag {
            name: format!("--set {key}"),
            key: key.clone(),
            value: value.clone(),
        });
        let agents = self.agent.iter().map(|agent| Flag {
            name: "--agent".to_owned(),
            key: "agents".to_owned(),
            value: agent.clone(),
        });
        let flags = free.chain(named).chain(allow).chain(https_only).chain(agents).collect();
        Sources { file: self.config.clone(), environment: environment.collect(), flags }
    }
}

/// Runs a gateway until it is told to stop.
pub(super) fn serve(args: &ServeArgs) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return fail(&format!("error: cannot start: {cause}\n"), Exit::Failed),
    };
    // Before all else: from here on a SIGHUP is a wish to reload, which must not end a gateway that just starts.
    let hangups = {
        let _context = runtime.enter();
        match Hangups::new() {
            Ok(hangups) => hangups,
            Err(cause) => return fail(&Stop::Signals(cause).report(), Exit::Failed),
        }
    };
    let (config, reloader) = match Reloader::load(args.sources(env::vars_os())) {
        Ok(loaded) => loaded,
        Err(problems) => return fail(&report(&problems), Exit::Usage),
    };
    let text = match config.log.format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    start_log(&config.log, text);
    let outcome = runtime.block_on(run(config, text, hangups, reloader));
    // The gateway has drained what it was to wait for; what is left must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => Exit::Done,
        Err(Stop::Start(StartError::Config(problems))) => fail(&report(&problems), Exit::Usage),
        Err(stop) => fail(&stop.report(), Exit::Failed),
    }
}

/// Why the gateway did not run.
enum Stop {
    Start(StartError),
    Signals(io::Error),
}

impl Stop {
    fn report(&self) -> String {
        match self {
            Self::Start(error) => format!("{} {error}\n", "error:".red().bold()),
            Self::Signals(cause) => format!("{} cannot take signals: {cause}\n", "error:".red().bold()),
        }
    }
}

async fn run(config: Config, text: bool, hangups: Hangups, reloader: Reloader) -> Result<(), Stop> {
    let shutdown = shutdown_signal().map_err(Stop::Signals)?;
    let reloads = reload::start(hangups, reloader);
    let agents = agents_line(&config.agents);
    let data = data_line(&config.store);
    let ready = move |address: SocketAddr| {
        if text {
            let program = env::args().next().unwrap_or_else(|| "a2a-gateway".to_owned());
            // A terminal that is gone is no reason not to serve.
            let _ = anstream::stderr().write_all(greeting(address, &agents, &data, &program).as_bytes());
        } else {
            let agents = if agents.is_empty() { "echo (built in)" } else { &agents };
            tracing::info!(%address, agents, data, version = env!("CARGO_PKG_VERSION"), "listening");
        }
    };
    crate::run(config, reloads, ready, shutdown).await.map_err(Stop::Start)
}

fn report(problems: &Problems) -> String {
    let count = match problems.0.len() {
        1 => "a setting is wrong".to_owned(),
        n => format!("{n} settings are wrong"),
    };
    let lines: String = problems.0.iter().map(|problem| format!("  {problem}\n")).collect();
    format!("{} {count}:\n{lines}", "error:".red().bold())
}

/// Entries go to standard error, so that standard output stays free. An entry that cannot be written is lost: telling
/// of it there, as the subscriber would, panics wherever something is logged.
fn start_log(log: &Log, text: bool) {
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(&log.level));
    let builder = builder.with_writer(io::stderr).log_internal_errors(false);
    let colour = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // Fails only when this process already has a log, which then is the one to use.
    let _ = if text { builder.with_ansi(colour).try_init() } else { builder.json().flatten_event(true).try_init() };
}

/// The agents and what they are; empty when there is none but the built-in one under its own name.
fn agents_line(agents: &[Agent]) -> String {
    if let [agent] = agents
        && agent.kind == AgentKind::Echo
        && agent.name == "echo"
    {
        return String::new();
    }
    let agents: Vec<_> = agents.iter().map(|agent| format!("{} ({})", agent.name, agent.target())).collect();
    agents.join(", ")
}

/// Where tasks are kept.
fn data_line(store: &Store) -> String {
    match &store.database {
        Some(database) => database.to_string(),
        None => std::path::absolute(&store.data_dir).unwrap_or_else(|_| store.data_dir.clone()).display().to_string(),
    }
}

/// What a person is told when the gateway listens.
fn greeting(address: SocketAddr, agents: &str, data: &str, program: &str) -> String {
    let local = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let local = SocketAddr::new(local, address.port());
    let gateway = if local.to_string() == "127.0.0.1:8080" { String::new() } else { format!(" --gateway {local}") };
    let lines = [
        ("JSON-RPC", format!("http://{local}/a2a")),
        ("gRPC", format!("{local}  (a2a.gateway.v1.Gateway, lf.a2a.v1.A2AService)")),
        ("Card", format!("http://{local}/.well-known/agent-card.json")),
        ("Health", format!("http://{local}/readyz  (metrics: /metrics)")),
        ("Agents", agents.to_owned()),
        ("Data", data.to_owned()),
        ("Try", format!("{program} send{gateway} \"Hello\"")),
    ];
    let lines = lines.iter().filter(|(_, value)| !value.is_empty());
    let lines: String = lines.map(|(name, value)| format!("  {}  {value}\n", format!("{name:<8}").dimmed())).collect();
    let title = format!("a2a-gateway {}", env!("CARGO_PKG_VERSION"));
    format!("{} listens on {address}; Ctrl-C stops it\n{lines}", title.bold())
}

/// Resolves at the first SIGTERM or SIGINT. The second one ends the process at once, with exit code 130.
fn shutdown_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut signals = Signals::new()?;
    let token = CancellationToken::new();
    let told = token.clone();
    tokio::spawn(async move {
        let name = signals.next().await;
        tracing::info!("{name}: shutting down; a second signal ends at once");
        token.cancel();
        signals.next().await;
        std::process::exit(i32::from(Exit::Stopped as u8));
    });
    Ok(told.cancelled_owned())
}

/// The signals that stop the gateway.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// The signal that stops the gateway.
#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> &'static str {
        let _ = self.0.recv().await;
        "Ctrl-C"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Problem;

    #[test]
    fn flags_are_settings_and_named_ones_win_over_set() {
        let args = ServeArgs {
            listen: Some("127.0.0.1:9".to_owned()),
            set: vec![parse_setting("server.listen=127.0.0.1:8").unwrap(), parse_setting("store.readers=3").unwrap()],
            ..ServeArgs::default()
        };
        let config = Config::load(&args.sources(std::iter::empty())).unwrap();
        assert_eq!(config.server.listen.port(), 9);
        assert_eq!(config.store.readers, 3);
        assert!(parse_setting("store.readers").is_err());
    }

    #[test]
    fn what_webhooks_may_be_sent_to_adds_up_over_its_flags() {
        let args = ServeArgs {
            webhook_allow: vec!["127.0.0.0/8".to_owned(), "hooks.test, *.hooks.test".to_owned()],
            webhook_https_only: true,
            ..ServeArgs::default()
        };
        let environment = [("A2A_GATEWAY_WEBHOOKS_ALLOW".into(), "10.0.0.0/8".into())];
        let config = Config::load(&args.sources(environment.into_iter())).unwrap();
        assert_eq!(config.webhooks.allow, ["127.0.0.0/8", "hooks.test", "*.hooks.test"]);
        assert!(config.webhooks.https_only);
        assert!(!Config::load(&ServeArgs::default().sources(std::iter::empty())).unwrap().webhooks.https_only);
    }

    #[test]
    fn wrong_flags_are_reported_together_by_their_names() {
        let args = ServeArgs {
            data_dir: Some(String::new()),
            log_level: Some("inof".to_owned()),
            set: vec![("log.lvel".to_owned(), "info".to_owned())],
            ..ServeArgs::default()
        };
        let problems = Config::load(&args.sources(std::iter::empty())).unwrap_err();
        let origins: Vec<_> = problems.0.iter().map(|problem| problem.origin.as_str()).collect();
        assert_eq!(origins, ["--set log.lvel", "--data-dir", "--log-level"]);
        let report = anstream::adapter::strip_str(&report(&problems)).to_string();
        assert!(
            report.starts_with(
                "error: 3 settings are wrong:\n  --set log.lvel: no such setting; did you mean log.level?\n"
            )
        );
        let one = Problems(vec![Problem { origin: "x".to_owned(), text: "y".to_owned() }]);
        assert!(super::report(&one).ends_with("a setting is wrong:\n  x: y\n"));
    }

    #[test]
    fn the_greeting_names_addresses_that_can_be_used() {
        let plain = |address: &str| {
            let text = greeting(address.parse().unwrap(), "", "/var/lib/a2a", "./a2a-gateway");
            anstream::adapter::strip_str(&text).to_string()
        };
        let text = plain("127.0.0.1:8080");
        assert!(text.contains("listens on 127.0.0.1:8080"), "{text}");
        assert!(text.contains("JSON-RPC  http://127.0.0.1:8080/a2a\n"), "{text}");
        assert!(text.contains("/var/lib/a2a\n") && text.ends_with("./a2a-gateway send \"Hello\"\n"), "{text}");
        assert!(plain("0.0.0.0:9000").ends_with("send --gateway 127.0.0.1:9000 \"Hello\"\n"));
        assert!(plain("[::]:9000").contains("http://[::1]:9000/a2a"));
        assert!(!text.contains("Agents"), "{text}");
    }

    #[test]
    fn the_greeting_lists_agents_without_what_may_be_secret() {
        let agents = |forms: &[&str]| {
            let agent = forms.iter().map(|form| (*form).to_owned()).collect();
            let args = ServeArgs { agent, ..ServeArgs::default() };
            agents_line(&Config::load(&args.sources(std::iter::empty())).unwrap().agents)
        };
        assert_eq!(agents(&[]), "");
        assert_eq!(agents(&["echo:"]), "");
        assert_eq!(agents(&["parrot=echo:"]), "parrot (built in)");
        let line = agents(&["writer=localhost:8001", "https://h/a?key=s3cret", "count=exec:wc -w s3cret"]);
        assert_eq!(line, "writer (http://localhost:8001), agent (https://h/a), count (runs wc)");
        let text = greeting("127.0.0.1:1".parse().unwrap(), &line, "/data", "a2a-gateway");
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.contains(&format!("\n  Agents    {line}\n")), "{text}");
    }
}
