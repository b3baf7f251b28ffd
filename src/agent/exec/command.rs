//! Starting a command, and the turn's end of it.

use std::{env, io, process::Stdio, sync::Arc};

use tokio::{
    process::{ChildStdout, Command},
    sync::{oneshot, watch},
};
use tokio_util::sync::CancellationToken;

use super::{
    ExecSettings, Shared,
    group::Group,
    keeper::{self, Exit, Keeper, Pipes},
    output::{Chunk, End, Reader},
    tail::Tail,
};
use crate::agent::Turn;

/// Settings of the gateway come in variables of this prefix, secrets among them: commands do not get them.
const OWN_PREFIX: &[u8] = b"A2A_GATEWAY_";

/// A command that was started. Dropping it ends what is left of it, in the background.
#[derive(Debug)]
pub(super) struct Running {
    /// Taken by the drop only.
    stdout: Option<Reader<ChildStdout>>,
    exit: watch::Receiver<Option<Exit>>,
    tail: Arc<Tail>,
    end: CancellationToken,
    rest: Option<oneshot::Sender<ChildStdout>>,
}

impl Running {
    /// Starts the command for a turn. The error says why it cannot be started.
    pub fn start(shared: &Arc<Shared>, turn: &Turn, input: Vec<u8>) -> Result<Self, String> {
        let settings = &shared.settings;
        let cannot = |why: &str| format!("The command `{}` could not be started: {why}.", settings.program());
        let mut command = command(settings, turn).ok_or_else(|| cannot("no program is set"))?;
        let mut group = Group::spawn(&mut command).map_err(|error| cannot(&reason(settings, &error)))?;
        tracing::debug!(
            agent = settings.name,
            task = turn.task.id,
            process = group.child().id(),
            "a command was started"
        );
        let child = group.child();
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let stdout = stdout.ok_or_else(|| cannot("it has no standard output"))?;

        let (told, exit) = watch::channel(None);
        let (rest, rest_of_turn) = oneshot::channel();
        let (end, gone) = (CancellationToken::new(), CancellationToken::new());
        let tail = Arc::new(Tail::new(turn.task.id.clone()));
        shared.note(&turn.task.id, gone.clone());
        let keeper =
            Keeper { group, timeout: settings.timeout, grace: settings.grace, end: end.clone(), exit: told, gone };
        let pipes = Pipes { stdin, input, stderr, tail: tail.clone(), rest: rest_of_turn };
        shared.keepers.spawn(keeper::keep(keeper, pipes));
        let stdout = Reader::new(stdout, settings.output, settings.max_output);
        Ok(Self { stdout: Some(stdout), exit, tail, end, rest: Some(rest) })
    }

    /// The next piece of its output; not to be called after the last one.
    pub async fn chunk(&mut self) -> Chunk {
        match &mut self.stdout {
            Some(stdout) => stdout.next(&mut self.exit).await,
            None => Chunk { content: None, end: Some(End::Closed) },
        }
    }

    /// Waits until the program has ended; none: nobody knows, as the gateway stops.
    pub async fn exit(&mut self) -> Option<Exit> {
        self.exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit)
    }

    /// The last lines of what a command that has ended wrote to standard error.
    pub async fn last_words(&self) -> String {
        self.tail.text().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let (Some(stdout), Some(rest)) = (self.stdout.take(), self.rest.take()) {
            // Nobody takes it once nothing is left of the command.
            let _ = rest.send(stdout.into_inner());
        }
        self.end.cancel();
    }
}

/// The command for a turn; none: no program is set.
fn command(settings: &ExecSettings, turn: &Turn) -> Option<Command> {
    let (program, arguments) = settings.command.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(directory) = &settings.directory {
        command.current_dir(directory);
    }
    for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(OWN_PREFIX)) {
        command.env_remove(name);
    }
    command.envs(settings.environment.iter().map(|(name, value)| (name, value)));
    command.env("A2A_AGENT", &settings.name);
    command.env("A2A_TASK_ID", &turn.task.id);
    command.env("A2A_CONTEXT_ID", &turn.task.context_id);
    command.env("A2A_MESSAGE_ID", &turn.message.message_id);
    Some(command)
}

/// Why a command cannot be started. The system has one error for a program and for a folder that is not there.
fn reason(settings: &ExecSettings, error: &io::Error) -> String {
    if settings.directory.as_ref().is_some_and(|directory| !directory.is_dir()) {
        return "its working directory is not there".to_owned();
    }
    let text = error.to_string();
    let code = error.raw_os_error().map(|code| format!(" (os error {code})")).unwrap_or_default();
    text.strip_suffix(&code).unwrap_or(&text).to_owned()
}
