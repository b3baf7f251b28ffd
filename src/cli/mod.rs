//! The command line: `serve`, and the client commands over the gateway's gRPC API.

mod agents;
mod client;
mod follow;
mod listen;
mod print;
mod secret;
mod send;
mod serve;
mod tasks;
mod text;
mod transcript;
mod watch;
mod webhook;

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};

use client::{Failure, Target};
use print::Screen;

/// Durable tasks, resumable streams and one port for A2A agents.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "a2a-gateway",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Without a command the gateway is served.\n\n\
        Examples:\n  a2a-gateway                            serve on 127.0.0.1:8080, data in ./data\n  \
        a2a-gateway --listen 0.0.0.0:8080      serve to other machines\n  \
        a2a-gateway --agent http://host:8001   serve in front of an agent\n  \
        a2a-gateway send \"Hello\"               send a message and see the answer\n  \
        a2a-gateway watch 01980c0e-…           follow a task\n\n\
        `a2a-gateway COMMAND --help` tells more."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Run the gateway (what happens without a command)
    Serve(serve::ServeArgs),
    #[command(flatten)]
    Client(ClientCommand),
}

/// What is asked of a running gateway.
#[derive(Clone, Debug, Subcommand)]
enum ClientCommand {
    /// Send a message to an agent, and show what comes of it
    Send(send::SendArgs),
    /// Show a task
    Get(tasks::GetArgs),
    /// List tasks, most recently updated first
    List(tasks::ListArgs),
    /// Follow a task, or many
    Watch(watch::WatchArgs),
    /// Cancel a task
    Cancel(tasks::CancelArgs),
    /// Show an agent's card
    Card(agents::CardArgs),
    /// List the agents
    Agents(agents::AgentsArgs),
    /// Manage webhooks: where events are sent, what was sent, and sending it again
    Webhook(webhook::WebhookArgs),
    /// Receive webhooks here, check them and show them
    Listen(listen::ListenArgs),
}

/// How the program ends: its exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Exit {
    /// All went well.
    Done = 0,
    /// The request failed, or the gateway could not start.
    Failed = 1,
    /// The arguments or settings are wrong.
    Usage = 2,
    /// The task failed, was rejected or canceled.
    Unsuccessful = 3,
    /// The task waits for input or an authorization.
    NeedsInput = 4,
    /// Stopped by Ctrl-C.
    Stopped = 130,
}

/// Runs what the arguments ask for, and returns the program's exit code.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let exit = match cli.command {
        None => serve::serve(&cli.serve),
        Some(Command::Serve(args)) => serve::serve(&args),
        Some(Command::Client(command)) => client(command),
    };
    ExitCode::from(exit as u8)
}

fn client(command: ClientCommand) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return fail(&format!("error: cannot start: {cause}\n"), Exit::Failed),
    };
    match runtime.block_on(command.run()) {
        Ok(exit) => exit,
        Err(failure) => fail(&failure.report(), failure.exit()),
    }
}

impl ClientCommand {
    /// Whether output is for programs.
    fn json(&self) -> bool {
        let target: &Target = match self {
            Self::Send(args) => &args.target,
            Self::Get(args) => &args.target,
            Self::List(args) => &args.target,
            Self::Watch(args) => &args.target,
            Self::Cancel(args) => &args.target,
            Self::Card(args) => &args.target,
            Self::Agents(args) => &args.target,
            Self::Webhook(args) => return args.json(),
            Self::Listen(args) => return args.json,
        };
        target.json
    }

    async fn run(self) -> Result<Exit, Failure> {
        let screen = &mut Screen::standard(self.json());
        match self {
            Self::Send(args) => send::send(args, screen).await,
            Self::Get(args) => tasks::get(args, screen).await,
            Self::List(args) => tasks::list(args, screen).await,
            Self::Watch(args) => watch::watch(args, screen).await,
            Self::Cancel(args) => tasks::cancel(args, screen).await,
            Self::Card(args) => agents::card(args, screen).await,
            Self::Agents(args) => agents::agents(args, screen).await,
            Self::Webhook(args) => webhook::webhook(args, screen).await,
            Self::Listen(args) => listen::listen(args, screen).await,
        }
    }
}

/// Tells of a failure. When even standard error is gone, the exit code must do.
fn fail(report: &str, exit: Exit) -> Exit {
    let _ = anstream::stderr().write_all(report.as_bytes());
    exit
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("a2a-gateway").chain(line.split_whitespace()))
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_means_serve_with_its_flags() {
        assert!(parse("").unwrap().command.is_none());
        assert!(parse("--listen 127.0.0.1:1 --set store.readers=3 --log-format json").unwrap().command.is_none());
        assert!(matches!(parse("serve --listen 127.0.0.1:1 --data-dir x").unwrap().command, Some(Command::Serve(_))));
        assert!(parse("--listen 127.0.0.1:1 agents").is_err());
    }

    #[test]
    fn client_commands_are_understood() {
        for line in [
            "send hello world --agent echo --json",
            "send --stream x",
            "get t1 --history 0 --gateway localhost:1",
            "list --agent a --context c --state working,CANCELLED --state TASK_STATE_FAILED --since 2h --limit 5",
            "list --all",
            "watch t1 --after 0 --until-input",
            "watch --all --state failed --cursor abc",
            "cancel t1",
            "card --agent echo",
            "agents --json",
            "webhook create --url http://h/ --task t --events status,artifact --payload 0.3 --auth-scheme A --credentials c",
            "webhook create --url http://h/ --agent a --name n --token t --json",
            "webhook list --task t --all",
            "webhook get w",
            "webhook update w --pause --no-token --no-auth --events message",
            "webhook delete w",
            "webhook deliveries --webhook w --failed --from 2h --to 1h",
            "webhook deliveries --pending --all",
            "webhook redeliver d",
            "webhook redeliver --failed w --until 1h",
            "webhook redeliver --all w --since 2h",
            "listen",
            "listen --port 0 --token t --status 503 --json",
            "listen --port [::1]:9001",
            "send x --webhook http://h/ --webhook-token t",
        ] {
            let cli = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(matches!(cli.command, Some(Command::Client(_))), "{line}");
        }
    }

    #[test]
    fn impossible_arguments_are_refused() {
        for line in [
            "send",
            "get",
            "watch",
            "watch t1 --all",
            "watch t1 --cursor x",
            "watch --all --after 1",
            "get t1 --history -1",
            "list --limit 0",
            "list --all --limit 5",
            "list --state asleep",
            "list --since never",
            "webhook",
            "webhook create",
            "webhook create --url http://h/ --task t --agent a",
            "webhook create --url http://h/ --events all",
            "webhook create --url http://h/ --payload 2.0",
            "webhook create --url http://h/ --auth-scheme Bearer",
            "webhook create --url http://h/ --credentials x",
            "webhook create --url http://h/ --token file:/nowhere/x",
            "webhook update w --pause --enable",
            "webhook update w --token t --no-token",
            "webhook update w --auth-scheme a --credentials b --no-auth",
            "webhook deliveries --failed --pending",
            "webhook redeliver",
            "webhook redeliver d --failed w",
            "webhook redeliver d --since 2h",
            "webhook redeliver --all w",
            "listen --port x",
            "listen --secret whsec_short",
            "listen --status 99",
            "listen --status 600",
            "send x --webhook-token t",
            "fly",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
