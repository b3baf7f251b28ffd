//! `watch`: the events of one task, or of many, across lost connections.

use std::pin::pin;

use clap::Args;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{
    Exit,
    client::{Failure, Gateway, Target, describe},
    follow::{AllEvents, Follow, TaskEvents, Update, backoff, is_settled, state_after},
    print::{Screen, dim},
    tasks::Filter,
    text::one_line,
    transcript::{Transcript, line},
};
use crate::proto::{a2a::TaskState, gateway::WatchTasksRequest};

/// Arguments of `watch`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "The agent's text goes to standard output, everything else to standard error.\n\
    A lost connection is taken up again where it was, without gap or duplicate.\n\n\
    Exit codes:\n  0  completed\n  1  the request failed\n  2  wrong arguments\n  \
    3  the task failed, was rejected or canceled\n  4  the task waits for input (with --until-input)\n\n\
    Examples:\n  a2a-gateway watch 01980c0e-…\n  a2a-gateway watch 01980c0e-… --after 0 --json\n  \
    a2a-gateway watch --all --state failed,input-required")]
pub(super) struct WatchArgs {
    /// The task's id
    #[arg(required_unless_present = "all", conflicts_with_all = ["all", "cursor"])]
    id: Option<String>,
    /// Start with the event after this one; 0: the whole log [default: the task as it is, then what follows]
    #[arg(long, value_name = "N", conflicts_with = "all", value_parser = clap::value_parser!(i64).range(0..))]
    after: Option<i64>,
    /// Also end when the task waits for input or an authorization
    #[arg(long, conflicts_with = "all")]
    until_input: bool,
    /// Watch all tasks that match, without end
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
    /// With --all: resume after this point, as --json prints it [default: the unsettled tasks as they are]
    #[arg(long, requires = "all", default_value = "", hide_default_value = true)]
    cursor: String,
    #[command(flatten)]
    pub(super) target: Target,
}

/// When a watch of one task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    Settled,
    Interrupted,
}

/// How events are shown.
pub(super) enum View {
    /// As a person reads them.
    Text(Transcript),
    /// One JSON object a line.
    Json,
    /// Not at all: only the end matters.
    Quiet,
}

/// Watches one task or many.
pub(super) async fn watch(args: WatchArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let filtered = !(args.filter.agent.is_empty() && args.filter.context.is_empty() && args.filter.states().is_empty());
    if filtered && !args.all {
        return Err(Failure::Usage("--agent, --context and --state need --all".to_owned()));
    }
    let gateway = Gateway::connect(&args.target).await?;
    let Some(id) = args.id else {
        let request = WatchTasksRequest {
            states: args.filter.states(),
            agent: args.filter.agent,
            context_id: args.filter.context,
            cursor: args.cursor,
        };
        return watch_all(&gateway, request, args.target.json, screen).await;
    };
    let mut follow = Follow::new(TaskEvents::new(gateway.clone(), id.clone(), args.after), backoff);
    let mut view = if args.target.json { View::Json } else { View::Text(Transcript::default()) };
    let until = if args.until_input { Until::Interrupted } else { Until::Settled };
    let exit = watch_task(&gateway, &mut follow, until, &mut view, screen).await?;
    if exit == Exit::Stopped {
        let id = one_line(&id, 300);
        let position = follow.source.after.map(|after| format!(" --after {after}")).unwrap_or_default();
        screen.note(&dim(&format!("go on with: {}", gateway.command(&format!("watch {id}{position}")))))?;
    }
    Ok(exit)
}

/// Shows a task's events until its end; the exit code tells how it ended.
pub(super) async fn watch_task(
    gateway: &Gateway,
    follow: &mut Follow<TaskEvents>,
    until: Until,
    view: &mut View,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let mut stop = pin!(stopped());
    loop {
        let update = tokio::select! {
            update = follow.next() => update,
            () = &mut stop => return Ok(Exit::Stopped),
        };
        match update.map_err(|status| position_hint(gateway.refused("watch the task", status)))? {
            Update::Item(event) => {
                match view {
                    View::Text(transcript) => transcript.show(&event, screen)?,
                    View::Json => screen.json(&event)?,
                    View::Quiet => {}
                }
                let exit = state_after(&event).map_or(Exit::Done, exit_of);
                if until == Until::Interrupted && exit == Exit::NeedsInput {
                    return Ok(exit);
                }
            }
            Update::Lost { status, delay } => {
                let place = follow.source.after.map(|after| format!(" after #{after}")).unwrap_or_default();
                screen.note(&lost(&status, &place, delay))?;
            }
            Update::End => {
                screen.end_line()?;
                return Ok(follow.source.state.filter(|state| is_settled(*state)).map_or(Exit::Done, exit_of));
            }
        }
    }
}

async fn watch_all(
    gateway: &Gateway,
    request: WatchTasksRequest,
    json: bool,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let mut follow = Follow::new(AllEvents::new(gateway.clone(), request), backoff);
    let mut stop = pin!(stopped());
    loop {
        let update = tokio::select! {
            update = follow.next() => update,
            () = &mut stop => {
                let cursor = one_line(&follow.source.request.cursor, 2000);
                if !cursor.is_empty() {
                    let command = gateway.command(&format!("watch --all --cursor {cursor}"));
                    screen.note(&dim(&format!("go on, with the same filters: {command}")))?;
                }
                return Ok(Exit::Stopped);
            }
        };
        match update.map_err(|status| position_hint(gateway.refused("watch the tasks", status)))? {
            Update::Item(item) if json => screen.json(&item)?,
            Update::Item(item) => {
                if let Some(event) = &item.event {
                    screen.block(&line(event, &item.agent))?;
                }
            }
            Update::Lost { status, delay } => screen.note(&lost(&status, "", delay))?,
            Update::End => return Ok(Exit::Done),
        }
    }
}

/// The exit code that tells of a state.
pub(super) fn exit_of(state: TaskState) -> Exit {
    match state {
        TaskState::Failed | TaskState::Rejected | TaskState::Canceled => Exit::Unsuccessful,
        TaskState::InputRequired | TaskState::AuthRequired => Exit::NeedsInput,
        TaskState::Completed | TaskState::Submitted | TaskState::Working | TaskState::Unspecified => Exit::Done,
    }
}

fn lost(status: &Status, place: &str, delay: std::time::Duration) -> String {
    let delay = humantime::format_duration(delay);
    dim(&format!("connection lost ({}); resuming{place} in {delay}", describe(status)))
}

/// Adds to the error of a position that cannot be resumed from what a person can do about it.
fn position_hint(failure: Failure) -> Failure {
    let Failure::Refused { doing, url, status } = failure else { return failure };
    let info = status.get_details_error_info();
    let value = |name: &str| info.as_ref().and_then(|info| info.metadata.get(name).map(|value| one_line(value, 40)));
    let hint = match info.as_ref().map(|info| info.reason.as_str()) {
        Some("SEQUENCE_TRIMMED") => match value("floor") {
            Some(floor) => {
                format!("older events have been removed; the oldest position to resume from: --after {floor}")
            }
            None => "older events have been removed; leave --after out to start with the task as it is".to_owned(),
        },
        Some("CURSOR_TRIMMED") => {
            "events after the cursor have been removed; start again without --cursor, which shows the unsettled tasks \
             as they are"
                .to_owned()
        }
        _ => return Failure::Refused { doing, url, status },
    };
    Failure::Explained { failure: Box::new(Failure::Refused { doing, url, status }), hint }
}

/// Resolves when the person presses Ctrl-C.
pub(super) async fn stopped() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic::Code;
    use tonic_types::ErrorDetails;

    use super::*;
    use crate::{
        cli::{
            follow::tests::{Script, Scripted, at_once, status},
            print::tests::{said, screen},
        },
        proto::{a2a::Role, gateway::task_event::Event},
    };

    /// Watches a scripted task: the exit code, and what is on standard output and standard error.
    async fn watched(script: Script, until: Until, view: &mut View) -> (Exit, String, String) {
        let (_, gateway) = Scripted::serve(script).await;
        let (mut screen, out, err) = screen(false);
        let mut follow = Follow::new(TaskEvents::new(gateway.clone(), "t1".to_owned(), Some(1)), at_once);
        let exit = watch_task(&gateway, &mut follow, until, view, &mut screen).await.unwrap();
        (exit, out.text(), err.text())
    }

    #[tokio::test]
    async fn a_lost_connection_is_told_and_the_rest_is_shown_once() {
        let mut reply = status(2, TaskState::Working);
        reply.event = Some(Event::Message(said("m", Role::Agent, "Here it is")));
        let first = vec![Ok(reply), Err(Status::unavailable("going down\u{1b}[2J"))];
        let script = Script {
            watch_task: [Ok(first), Ok(vec![Ok(status(3, TaskState::Canceled))])].into(),
            ..Script::default()
        };
        let (exit, out, err) = watched(script, Until::Settled, &mut View::Text(Transcript::default())).await;
        assert_eq!((exit, out.as_str()), (Exit::Unsuccessful, "Here it is\n"));
        assert_eq!(err, "connection lost (going down); resuming after #2 in 0s\n#3 canceled\n");
    }

    #[tokio::test]
    async fn a_question_ends_the_watch_only_where_asked() {
        let script = || {
            let events = [TaskState::InputRequired, TaskState::Working, TaskState::Completed];
            let events = events.into_iter().zip(2..).map(|(state, sequence)| Ok(status(sequence, state)));
            Script { watch_task: [Ok(events.collect())].into(), ..Script::default() }
        };
        let (exit, out, _) = watched(script(), Until::Interrupted, &mut View::Json).await;
        assert_eq!((exit, out.lines().count()), (Exit::NeedsInput, 1));
        let (exit, out, err) = watched(script(), Until::Settled, &mut View::Json).await;
        assert_eq!((exit, out.lines().count(), err.as_str()), (Exit::Done, 3, ""));
        let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        assert_eq!(last["statusUpdate"]["status"]["state"], "TASK_STATE_COMPLETED");
        assert_eq!(last["sequence"], "4");
    }

    #[test]
    fn positions_that_are_gone_are_explained() {
        for (reason, metadata, hint) in [
            ("SEQUENCE_TRIMMED", [("floor", "41")], "the oldest position to resume from: --after 41\n"),
            ("CURSOR_TRIMMED", [("x", "y")], "shows the unsettled tasks as they are\n"),
        ] {
            let metadata: HashMap<_, _> =
                metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
            let details = ErrorDetails::with_error_info(reason, "a2a-gateway", metadata);
            let status = Box::new(Status::with_error_details(Code::OutOfRange, "gone", details));
            let failure = Failure::Refused { doing: "watch".to_owned(), url: String::new(), status };
            let report = position_hint(failure).report();
            assert!(report.contains("cannot watch: gone\n"), "{report}");
            assert!(report.ends_with(hint), "{report}");
        }
    }

    #[test]
    fn states_have_exit_codes() {
        let code = |state| exit_of(state) as u8;
        assert_eq!([TaskState::Completed, TaskState::Failed, TaskState::InputRequired].map(code), [0, 3, 4]);
        assert_eq!([TaskState::Rejected, TaskState::Canceled, TaskState::AuthRequired].map(code), [3, 3, 4]);
    }
}
