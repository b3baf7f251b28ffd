//! Taking an agent's task to its end by reading it.

use std::time::Duration;

use super::fake::*;
use crate::{
    agent::{
        Turn,
        a2a::{Answer, CallError, Mode, OnLost},
    },
    error::ErrorKind,
    proto::a2a::{Artifact, Task, TaskState},
    task::{Dialect, Upstream},
};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn polled(on_lost: OnLost) -> Play {
    play(settings(Mode::Poll, on_lost), Dialect::V1, Mode::Poll)
}

/// A turn that was under way when the gateway stopped.
fn resumed() -> Turn {
    let upstream = Upstream { task_id: "t".into(), context_id: "c".into() };
    Turn { upstream, resumed: true, ..turn() }
}

#[tokio::test(start_paused = true)]
async fn a_resumed_turn_reads_the_task_and_sends_nothing() {
    let mut play = play(settings(Mode::Blocking, OnLost::Resend), Dialect::V1, Mode::Blocking);
    play.run(resumed());
    let (id, reply) = play.got().await;
    assert_eq!(id, "t");
    let artifacts = vec![Artifact { artifact_id: "a".into(), parts: question().parts, ..Artifact::default() }];
    reply.send(Ok(Task { artifacts, ..task(TaskState::Completed) })).unwrap();
    assert_eq!(play.end().await, (vec!["a = your name?".into(), "completed".into()], None));
}

#[tokio::test(start_paused = true)]
async fn polls_grow_rarer_until_something_changes() {
    let mut play = polled(OnLost::Fail);
    play.run(turn());
    play.sent().await.1.send(Ok(Answer::Task(task(TaskState::Submitted)))).unwrap();
    let mut times = Vec::new();
    let mut read = async |play: &mut Play, state| {
        let (_, reply) = play.got().await;
        times.push(play.elapsed());
        reply.send(Ok(task(state))).unwrap();
    };
    for _ in 0..16 {
        read(&mut play, TaskState::Submitted).await;
    }
    for _ in 0..3 {
        read(&mut play, TaskState::Working).await;
    }
    read(&mut play, TaskState::Completed).await;
    let (words, error) = play.end().await;
    assert_eq!(words, ["sending", "known t/c", "working", "completed"]);
    assert_eq!(error, None);
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let about = |n: usize, expected: Duration| {
        assert!(pauses[n] >= expected && pauses[n] < expected + ms(10), "{n}: {pauses:?}");
    };
    about(0, ms(100));
    about(1, ms(150));
    about(2, ms(225));
    about(14, POLL);
    // The read at 16 showed the task working.
    about(16, ms(100));
    about(17, ms(150));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_takes_long_to_read_is_read_less_often() {
    let mut play = polled(OnLost::Fail);
    play.run(resumed());
    let (_, reply) = play.got().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    reply.send(Ok(task(TaskState::Working))).unwrap();
    let read = play.elapsed();
    play.got().await.1.send(Ok(task(TaskState::Completed))).unwrap();
    let pause = play.elapsed() - read;
    assert!(pause >= Duration::from_secs(12) && pause < Duration::from_secs(13), "{pause:?}");
    assert_eq!(play.end().await.1, None);
}

#[tokio::test(start_paused = true)]
async fn a_lost_stream_is_taken_up_by_reading_and_repeats_nothing() {
    let mut play = play(settings(Mode::Auto, OnLost::Fail), Dialect::V1, Mode::Stream);
    for broken in [true, false] {
        play.run(turn());
        let (say, heard) = events();
        play.streamed().await.1.send(Ok(heard)).map_err(drop).unwrap();
        say.send(Ok(event(TaskState::Working))).unwrap();
        if broken {
            say.send(Err(lost())).unwrap();
        }
        drop(say);
        play.got().await.1.send(Ok(task(TaskState::Working))).unwrap();
        play.subscribed().await.1.send(Err(lost())).map_err(drop).unwrap();
        play.got().await.1.send(Ok(task(TaskState::Completed))).unwrap();
        assert_eq!(play.end().await, (["sending", "known t/c", "working", "completed"].map(Into::into).into(), None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_falls_silent_is_given_up_for_reading() {
    let mut play = play(settings(Mode::Auto, OnLost::Fail), Dialect::V1, Mode::Stream);
    play.run(turn());
    let (say, heard) = events();
    play.streamed().await.1.send(Ok(heard)).map_err(drop).unwrap();
    say.send(Ok(event(TaskState::Working))).unwrap();
    let (_, reply) = play.got().await;
    assert!(play.elapsed() >= IDLE && play.elapsed() < IDLE + ms(10), "{:?}", play.elapsed());
    assert!(say.is_closed(), "the silent stream is dropped");
    reply.send(Ok(task(TaskState::Completed))).unwrap();
    assert_eq!(play.end().await.1, None);
}

#[tokio::test(start_paused = true)]
async fn reads_that_fail_are_tried_again_until_patience_ends() {
    let mut play = polled(OnLost::Fail);
    play.run(resumed());
    // Being heard in between begins the patience anew.
    for error in [unreached(), lost(), busy(None), CallError::Refused { kind: None, text: "internal".into() }] {
        play.got().await.1.send(Err(error)).unwrap();
    }
    play.got().await.1.send(Ok(task(TaskState::Working))).unwrap();
    let heard = play.elapsed();
    assert_eq!(play.told().await, "working");
    let mut last = heard;
    let (words, error) = loop {
        tokio::select! {
            biased;
            (_, reply) = play.got() => {
                last = play.elapsed();
                reply.send(Err(unreached())).unwrap();
            }
            () = tokio::time::sleep(Duration::from_secs(20)) => break play.end().await,
        }
    };
    assert_eq!(words, [""; 0]);
    assert_eq!(error.unwrap().text, "The agent could not be reached for 60s: connection refused");
    let waited = last - heard;
    // It begins with the first read that fails, a poll's pause later.
    assert!(waited >= PATIENCE && waited < PATIENCE + ms(200), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_busy_agent_is_read_when_it_says_but_not_later_than_patience_allows() {
    let mut play = polled(OnLost::Fail);
    play.run(resumed());
    play.got().await.1.send(Err(busy(Some(Duration::from_secs(9))))).unwrap();
    let (_, reply) = play.got().await;
    assert!(play.elapsed() >= Duration::from_secs(9) && play.elapsed() < Duration::from_secs(10));
    reply.send(Err(busy(Some(Duration::from_secs(86_400))))).unwrap();
    let (_, reply) = play.got().await;
    assert!(play.elapsed() >= PATIENCE && play.elapsed() < PATIENCE + ms(10), "{:?}", play.elapsed());
    reply.send(Err(busy(Some(Duration::from_secs(86_400))))).unwrap();
    assert_eq!(play.end().await.1.unwrap().text, "The agent could not be reached for 60s: too many");
    assert!(play.elapsed() < PATIENCE + ms(10));
}

#[tokio::test(start_paused = true)]
async fn answers_that_cannot_be_followed_end_the_turn_with_a_text_that_helps() {
    let cases = [
        (refusal(ErrorKind::UnsupportedOperation), "does not let its tasks be read"),
        (CallError::Malformed("<html>".into()), "The agent's answer is not A2A: <html>"),
        (refusal(ErrorKind::TaskNotFound), "The agent no longer knows the task"),
    ];
    for (error, text) in cases {
        let mut play = polled(OnLost::Fail);
        play.run(resumed());
        play.got().await.1.send(Err(error)).unwrap();
        let error = play.end().await.1.unwrap();
        assert!(error.text.contains(text), "{error}");
        assert_eq!(error.refusal, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_task_is_begun_anew_where_that_is_allowed_but_not_for_ever() {
    let mut play = polled(OnLost::Resend);
    play.run(turn());
    for n in 0..4 {
        let (request, reply) = play.sent().await;
        let sent = request.message.unwrap();
        assert_eq!(sent.task_id, "", "a task of its own");
        assert_eq!(sent.context_id, if n == 0 { "told" } else { "c" }, "in the conversation that the agent named");
        reply.send(Ok(Answer::Task(Task { id: format!("t-{n}"), ..task(TaskState::Working) }))).unwrap();
        let (id, reply) = play.got().await;
        assert_eq!(id, format!("t-{n}"));
        reply.send(Err(refusal(ErrorKind::TaskNotFound))).unwrap();
    }
    let (words, error) = play.end().await;
    assert_eq!(words[..3], ["sending", "known t-0/c", "working"]);
    assert_eq!(words[3..], ["sending", "known t-1/c", "sending", "known t-2/c", "sending", "known t-3/c"]);
    assert!(error.unwrap().text.contains("no longer knows the task"));

    // Not a later turn: what led to it is forgotten, too.
    play.run(Turn { resumed: true, ..second_turn() });
    play.got().await.1.send(Err(refusal(ErrorKind::TaskNotFound))).unwrap();
    assert!(play.end().await.1.unwrap().text.contains("no longer knows the task"));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_says_when_to_read_and_nothing_else() {
    let mut play = play(settings(Mode::Auto, OnLost::Fail), Dialect::V1, Mode::Stream);
    play.run(resumed());
    play.got().await.1.send(Ok(task(TaskState::Working))).unwrap();
    let (id, reply) = play.subscribed().await;
    assert_eq!(id, "t");
    let (ring, bell) = events();
    reply.send(Ok(bell)).map_err(drop).unwrap();
    assert_eq!(play.told().await, "working");
    // No poll comes before it rings, and many rings are one read.
    tokio::time::sleep(Duration::from_secs(300)).await;
    let rung = play.elapsed();
    for _ in 0..5 {
        ring.send(Ok(event(TaskState::Completed))).unwrap();
    }
    let (_, reply) = play.got().await;
    let waited = play.elapsed() - rung;
    assert!(waited >= ms(100) && waited < ms(110), "{waited:?}");
    reply.send(Ok(task(TaskState::Working))).unwrap();
    // One that is silent for too long may be dead.
    let silent = play.elapsed();
    let (_, reply) = play.got().await;
    let waited = play.elapsed() - silent;
    assert!(waited >= IDLE && waited < IDLE + ms(10), "{waited:?}");
    reply.send(Ok(task(TaskState::Completed))).unwrap();
    assert_eq!(play.end().await, (vec!["completed".into()], None));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_its_subscriptions_at_once_is_read_more_and_more_rarely() {
    let mut play = play(settings(Mode::Auto, OnLost::Fail), Dialect::V1, Mode::Stream);
    play.run(resumed());
    let mut reads = 0;
    while play.elapsed() < Duration::from_secs(300) {
        match play.call().await {
            Call::Get(_, reply) => {
                reads += 1;
                reply.send(Ok(task(TaskState::Working))).unwrap();
            }
            Call::Subscribe(_, reply) => {
                // It shows the task, and closes.
                let (ring, bell) = events();
                ring.send(Ok(event(TaskState::Working))).unwrap();
                reply.send(Ok(bell)).map_err(drop).unwrap();
            }
            other => panic!("{}", other.word()),
        }
    }
    assert!(reads < 160, "{reads} reads in 5 minutes");
}

#[tokio::test(start_paused = true)]
async fn only_streaming_agents_of_a2a_1_0_are_subscribed_to() {
    for (dialect, mode) in [(Dialect::V03, Mode::Stream), (Dialect::Praison, Mode::Stream), (Dialect::V1, Mode::Poll)] {
        let mut play = play(settings(Mode::Auto, OnLost::Fail), dialect, mode);
        play.run(resumed());
        for _ in 0..4 {
            play.got().await.1.send(Ok(task(TaskState::Working))).unwrap();
        }
        play.got().await.1.send(Ok(task(TaskState::Completed))).unwrap();
        assert_eq!(play.end().await.1, None);
    }
    // One that refuses is asked once.
    let mut play = play(settings(Mode::Auto, OnLost::Fail), Dialect::V1, Mode::Stream);
    play.run(resumed());
    play.got().await.1.send(Ok(task(TaskState::Working))).unwrap();
    play.subscribed().await.1.send(Err(refusal(ErrorKind::UnsupportedOperation))).map_err(drop).unwrap();
    play.got().await.1.send(Ok(task(TaskState::Working))).unwrap();
    play.got().await.1.send(Ok(task(TaskState::Completed))).unwrap();
    assert_eq!(play.end().await.1, None);
}

#[tokio::test(start_paused = true)]
async fn the_question_of_the_turn_before_is_taken_for_an_answer_only_when_it_stays() {
    let shown = || {
        let mut task = task(TaskState::InputRequired);
        task.status.as_mut().unwrap().message = Some(question());
        task
    };
    let mut play = polled(OnLost::Fail);
    play.run(second_turn());
    play.sent().await.1.send(Ok(Answer::Task(shown()))).unwrap();
    for _ in 0..3 {
        play.got().await.1.send(Ok(shown())).unwrap();
    }
    play.got().await.1.send(Ok(task(TaskState::Completed))).unwrap();
    assert_eq!(play.end().await, (vec!["sending".into(), "completed".into()], None));

    play.run(second_turn());
    play.sent().await.1.send(Ok(Answer::Task(shown()))).unwrap();
    let begun = tokio::time::Instant::now();
    while begun.elapsed() <= Duration::from_secs(10) {
        play.got().await.1.send(Ok(shown())).unwrap();
    }
    play.got().await.1.send(Ok(shown())).unwrap();
    assert_eq!(play.end().await, (vec!["sending".into(), "input-required your name?".into()], None));
}
