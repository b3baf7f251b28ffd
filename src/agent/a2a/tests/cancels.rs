//! Canceling at the agent.

use std::time::Duration;

use super::fake::*;
use crate::{
    agent::{
        Agent as _, AgentError,
        a2a::{CallError, Mode, OnLost},
    },
    error::ErrorKind,
    proto::a2a::{Task, TaskState},
    task::Dialect,
};

/// Cancels, answering each call as the test says, and tells the updates.
async fn cancel_with(answers: Vec<(&str, Result<Task, CallError>)>) -> Result<Vec<String>, AgentError> {
    let mut play = play(settings(Mode::Auto, OnLost::Fail), Dialect::V1, Mode::Stream);
    let canceling = tokio::spawn(play.agent.cancel(cancel("t")));
    for (expected, answer) in answers {
        match play.call().await {
            Call::Cancel(id, reply) | Call::Get(id, reply) => {
                assert_eq!(id, "t");
                reply.send(answer).unwrap_or_else(|_| panic!("{expected} was dropped"));
            }
            other => panic!("{} instead of {expected}", other.word()),
        }
    }
    let updates = canceling.await.unwrap()?;
    Ok(updates.iter().map(word).collect())
}

#[tokio::test(start_paused = true)]
async fn what_the_agent_says_to_a_cancel_is_told() {
    let canceled = cancel_with(vec![("cancel", Ok(task(TaskState::Canceled)))]).await;
    assert_eq!(canceled.unwrap(), ["canceled"]);
    let done = cancel_with(vec![("cancel", Ok(task(TaskState::Completed)))]).await;
    assert_eq!(done.unwrap(), ["completed"]);
    // It takes a while.
    let slow = vec![
        ("cancel", Ok(task(TaskState::Working))),
        ("get", Ok(task(TaskState::Working))),
        ("get", Ok(task(TaskState::Canceled))),
    ];
    assert_eq!(cancel_with(slow).await.unwrap(), ["working", "canceled"]);
    // It had settled before.
    let settled = vec![("cancel", Err(refusal(ErrorKind::TaskNotCancelable))), ("get", Ok(task(TaskState::Completed)))];
    assert_eq!(cancel_with(settled).await.unwrap(), ["completed"]);
    let stubborn = vec![("cancel", Err(refusal(ErrorKind::TaskNotCancelable))), ("get", Ok(task(TaskState::Working)))];
    assert_eq!(cancel_with(stubborn).await.unwrap_err().text, "no");
    // It knows nothing of it any more.
    assert_eq!(cancel_with(vec![("cancel", Err(refusal(ErrorKind::TaskNotFound)))]).await.unwrap(), [""; 0]);
    for error in [lost(), unreached(), refusal(ErrorKind::UnsupportedOperation)] {
        let text = error.to_string();
        assert_eq!(cancel_with(vec![("cancel", Err(error))]).await.unwrap_err().text, text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_the_agent_has_not_named_is_not_canceled_there() {
    let play = play(settings(Mode::Auto, OnLost::Fail), Dialect::V1, Mode::Stream);
    let unsent = crate::agent::Cancel { sent: false, ..cancel("") };
    assert_eq!(play.agent.cancel(unsent).await, Ok(Vec::new()));
    let unknown = play.agent.cancel(cancel("")).await.unwrap_err();
    assert_eq!(unknown.text, "it had not named the task yet, so that it could not be told");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_answer_or_goes_on_is_not_waited_for_long() {
    let mut silent = play(settings(Mode::Auto, OnLost::Fail), Dialect::V1, Mode::Stream);
    let canceling = tokio::spawn(silent.agent.cancel(cancel("t")));
    let _unanswered = silent.canceled().await;
    assert_eq!(canceling.await.unwrap().unwrap_err().text, "it did not cancel within 8s");
    assert_eq!(silent.elapsed(), Duration::from_secs(8));
    // One that cannot be reached at all.
    let gone = unfound(settings(Mode::Auto, OnLost::Fail), "connection refused");
    assert_eq!(gone.agent.cancel(cancel("t")).await.unwrap_err().text, "connection refused");
    assert!(gone.elapsed() < Duration::from_secs(9));
}
