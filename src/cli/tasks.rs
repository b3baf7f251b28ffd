//! `get`, `list` and `cancel`.

use clap::{Args, ValueEnum};

use super::{
    Exit,
    client::{Failure, Gateway, Target},
    print::{self, Screen, dim},
    text::{now, parse_when},
};
use crate::proto::{
    a2a::TaskState,
    gateway::{CancelTaskRequest, ListTasksRequest, TaskRecord},
    well_known::Timestamp,
};

/// The most tasks that the gateway puts on one page.
const PAGE: usize = 100;

/// Arguments of `get`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  a2a-gateway get 01980c0e-…\n  a2a-gateway get 01980c0e-… --history 0 --json")]
pub(super) struct GetArgs {
    /// The task's id
    id: String,
    /// Messages of history to show, the newest ones [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    history: Option<i32>,
    #[command(flatten)]
    pub(super) target: Target,
}

/// Arguments of `cancel`.
#[derive(Clone, Debug, Args)]
pub(super) struct CancelArgs {
    /// The task's id
    id: String,
    #[command(flatten)]
    pub(super) target: Target,
}

/// Arguments of `list`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  a2a-gateway list --state working,input-required\n  \
    a2a-gateway list --since 2h --all\n  a2a-gateway list --since 2026-01-02T03:04:05Z --json")]
pub(super) struct ListArgs {
    #[command(flatten)]
    filter: Filter,
    /// Only tasks whose status changed since: a duration (2h, 3d) or a time (2026-01-02T03:04:05Z)
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    since: Option<Timestamp>,
    /// At most this many tasks
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All tasks that match
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    #[command(flatten)]
    pub(super) target: Target,
}

/// Which tasks.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Filter {
    /// Only tasks of this agent
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(super) agent: String,
    /// Only tasks of this conversation
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub(super) context: String,
    /// Only tasks in one of these states
    #[arg(long, value_name = "STATE", value_delimiter = ',', ignore_case = true)]
    state: Vec<State>,
}

impl Filter {
    /// The states as the API has them.
    pub(super) fn states(&self) -> Vec<i32> {
        self.state.iter().map(|state| TaskState::from(*state).into()).collect()
    }
}

/// A task's state, as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    #[value(alias = "TASK_STATE_SUBMITTED")]
    Submitted,
    #[value(alias = "TASK_STATE_WORKING")]
    Working,
    #[value(aliases = ["input_required", "TASK_STATE_INPUT_REQUIRED"])]
    InputRequired,
    #[value(aliases = ["auth_required", "TASK_STATE_AUTH_REQUIRED"])]
    AuthRequired,
    #[value(alias = "TASK_STATE_COMPLETED")]
    Completed,
    #[value(alias = "TASK_STATE_FAILED")]
    Failed,
    #[value(aliases = ["cancelled", "TASK_STATE_CANCELED"])]
    Canceled,
    #[value(alias = "TASK_STATE_REJECTED")]
    Rejected,
}

impl From<State> for TaskState {
    fn from(state: State) -> Self {
        match state {
            State::Submitted => Self::Submitted,
            State::Working => Self::Working,
            State::InputRequired => Self::InputRequired,
            State::AuthRequired => Self::AuthRequired,
            State::Completed => Self::Completed,
            State::Failed => Self::Failed,
            State::Canceled => Self::Canceled,
            State::Rejected => Self::Rejected,
        }
    }
}

/// Shows one task.
pub(super) async fn get(args: GetArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut gateway = Gateway::connect(&args.target).await?;
    let record = gateway.get(&args.id, args.history).await?;
    show(&record, args.target.json, screen)
}

/// Cancels one task.
pub(super) async fn cancel(args: CancelArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut gateway = Gateway::connect(&args.target).await?;
    let answer = gateway.client.cancel_task(CancelTaskRequest { task_id: args.id, metadata: None }).await;
    let record = answer.map_err(|status| gateway.refused("cancel the task", status))?.into_inner();
    show(&record, args.target.json, screen)
}

fn show(record: &TaskRecord, json: bool, screen: &mut Screen) -> Result<Exit, Failure> {
    if json {
        screen.json(record)?
    } else {
        screen.block(&print::record(record, now()))?
    }
    Ok(Exit::Done)
}

/// Lists tasks.
pub(super) async fn list(args: ListArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut gateway = Gateway::connect(&args.target).await?;
    let limit = if args.all { usize::MAX } else { args.limit as usize };
    let mut request = ListTasksRequest {
        agent: args.filter.agent.clone(),
        context_id: args.filter.context.clone(),
        states: args.filter.states(),
        updated_after: args.since,
        // A table shows the last message; programs get it all.
        history_length: (!args.target.json).then_some(1),
        include_artifacts: args.target.json,
        ..ListTasksRequest::default()
    };
    let mut records = Vec::new();
    let mut count = 0;
    let total = loop {
        request.page_size = PAGE.min(limit - count) as i32;
        let answer = gateway.client.list_tasks(request.clone()).await;
        let mut page = answer.map_err(|status| gateway.refused("list the tasks", status))?.into_inner();
        count += page.tasks.len();
        if args.target.json {
            page.tasks.iter().try_for_each(|record| screen.json(record))?;
        } else {
            records.append(&mut page.tasks);
        }
        if count >= limit || page.next_page_token.is_empty() {
            break page.total_size;
        }
        request.page_token = page.next_page_token;
    };
    if args.target.json {
        return Ok(Exit::Done);
    }
    if records.is_empty() {
        screen.note(&dim("no tasks"))?;
    } else {
        screen.block(&print::records(&records, now()))?;
    }
    if i64::from(total) > count as i64 {
        screen.note(&dim(&format!("{count} of {total} tasks; --all shows all of them")))?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{
            follow::tests::{Script, Scripted, record},
            print::tests::screen,
        },
        proto::gateway::ListTasksResponse,
    };

    /// Lists from a scripted gateway with three pages of 60 tasks: what is shown, and which pages were asked for.
    async fn listed(limit: u32, all: bool, json: bool) -> (String, String, Vec<(i32, String)>) {
        let page = |next: &str| ListTasksResponse {
            tasks: vec![record(1, TaskState::Working); 60],
            next_page_token: next.to_owned(),
            total_size: 180,
        };
        let script = Script { list_tasks: [page("p2"), page("p3"), page("")].into(), ..Script::default() };
        let (scripted, address) = Scripted::start(script).await;
        let target = Target { gateway: address, json };
        let (mut screen, out, err) = screen(false);
        let args = ListArgs { filter: Filter::default(), since: None, limit, all, target };
        assert_eq!(list(args, &mut screen).await.unwrap(), Exit::Done);
        let asked = scripted.0.lock().unwrap().asked_pages.clone();
        (out.text(), err.text(), asked)
    }

    #[tokio::test]
    async fn lists_are_paged_up_to_the_limit() {
        let page = |size, token: &str| (size, token.to_owned());
        let (out, err, asked) = listed(120, false, false).await;
        assert_eq!((out.lines().count(), asked), (121, vec![page(100, ""), page(60, "p2")]));
        assert_eq!(err, "120 of 180 tasks; --all shows all of them\n");
        let (out, err, asked) = listed(20, true, true).await;
        assert_eq!((out.lines().count(), err.as_str()), (180, ""));
        assert_eq!(asked, [page(100, ""), page(100, "p2"), page(100, "p3")]);
    }

    #[test]
    fn every_state_has_its_usual_name() {
        for state in State::value_variants() {
            let name = crate::cli::text::state_name((*state).into());
            assert_eq!(State::from_str(name, false), Ok(*state));
            assert_eq!(State::from_str(TaskState::from(*state).as_str_name(), true), Ok(*state));
        }
    }
}
