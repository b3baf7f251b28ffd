//! What the engine does with agents beyond running them: places, replacement, refusals, cancels, their ids, restarts, and
//! limits to what they may say.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod cancels;
mod ids;
mod limits;
mod places;
mod refusals;
#[path = "../support/mod.rs"]
mod support;

use std::{path::Path, sync::Arc, time::Duration};

use a2a_gateway::{
    agent::{Agent, AgentError, Recovery, Update},
    engine::{Caller, Engine, From, Outcome, Reply, Settings, Submit, Until},
    error::{Error, ErrorKind},
    proto::{
        a2a::{Message, TaskState},
        well_known::{Kind, Struct, Value},
    },
    task::{Record, TaskId, Upstream},
};
use support::*;

fn me() -> Caller {
    Caller::default()
}

fn one(agent: Arc<dyn Agent>) -> Vec<(String, Arc<dyn Agent>)> {
    vec![("scripted".into(), agent)]
}

fn engine(dir: &Path, agent: Arc<dyn Agent>) -> Engine {
    start(dir, one(agent), Settings::default(), 0)
}

async fn begin(engine: &Engine, text: &str) -> TaskId {
    engine.submit(&me(), submit(text)).await.unwrap().record().id
}

/// The next message of a task.
fn more(id: TaskId, text: &str) -> Submit {
    Submit { message: Message { task_id: id.to_string(), ..message(text) }, ..submit("") }
}

async fn wait_for(engine: &Engine, id: TaskId, wanted: TaskState) -> Record {
    let mut watch = engine.watch(&me(), id, From::Snapshot, Until::Settled).await.unwrap();
    while let Some(event) = watch.next().await {
        if event.unwrap().state == wanted {
            return engine.get(&me(), id, None).await.unwrap();
        }
    }
    panic!("the task never was {wanted:?}");
}

async fn state_of(engine: &Engine, id: TaskId) -> TaskState {
    state(&engine.get(&me(), id, None).await.unwrap().task)
}

fn saying(state: TaskState, id: &str, text: &str) -> Update {
    Update::Status { state, message: Some(Message { message_id: id.into(), ..message(text) }), metadata: None }
}

fn known(task_id: &str, context_id: &str) -> Update {
    Update::Known(Upstream { task_id: task_id.into(), context_id: context_id.into() })
}

fn load(engine: &Engine) -> (u64, u64) {
    let agent = engine.agent("").unwrap();
    (agent.running, agent.queued)
}

/// A struct with a value so many levels deep.
fn deep(levels: usize) -> Struct {
    let mut inner = Struct::default();
    for _ in 0..levels {
        let value = Value { kind: Some(Kind::Struct(inner)) };
        inner = Struct { fields: [("deeper".to_owned(), value)].into_iter().collect() };
    }
    inner
}
