//! Getting the message to the agent.

use std::time::Duration;

use super::fake::*;
use crate::{
    agent::{
        Agent as _,
        a2a::{Answer, CallError, Mode, OnLost},
    },
    error::ErrorKind,
    proto::a2a::TaskState,
    task::Dialect,
};

fn polled(on_lost: OnLost) -> Play {
    play(settings(Mode::Poll, on_lost), Dialect::V1, Mode::Poll)
}

fn streaming(on_lost: OnLost) -> Play {
    play(settings(Mode::Auto, on_lost), Dialect::V1, Mode::Stream)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn the_request_bears_the_agents_ids_and_says_how_it_waits() {
    for (mode, at_once) in [(Mode::Poll, true), (Mode::Blocking, false)] {
        let mut play = play(settings(mode, OnLost::Fail), Dialect::V1, mode);
        play.run(turn());
        let (request, reply) = play.sent().await;
        let sent = request.message.unwrap();
        assert_eq!((sent.task_id.as_str(), sent.context_id.as_str(), sent.message_id.as_str()), ("", "told", "m-1"));
        let configuration = request.configuration.unwrap();
        assert_eq!(configuration.return_immediately, at_once, "{mode:?}");
        assert_eq!(configuration.accepted_output_modes, ["text/plain"]);
        reply.send(Ok(Answer::Message(message("a-1", "pong")))).unwrap();
        assert_eq!(play.end().await, (vec!["sending".into(), "reply pong".into()], None));
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_cannot_be_reached_is_tried_until_patience_ends() {
    let mut play = polled(OnLost::Fail);
    play.run(turn());
    let mut times = Vec::new();
    let (words, error) = loop {
        tokio::select! {
            biased;
            (_, reply) = play.sent() => {
                times.push(play.elapsed());
                // Before each try the message is under way, and after it, certainly not.
                assert_eq!(play.told().await, "sending");
                reply.send(Err(unreached())).unwrap();
                assert_eq!(play.told().await, "not sent");
            }
            () = tokio::time::sleep(Duration::from_secs(20)) => break play.end().await,
        }
    };
    let error = error.unwrap();
    assert_eq!(error.text, "The agent could not be reached for 60s: connection refused");
    assert_eq!((words, error.refusal), (Vec::new(), None));
    // Pauses grow from 200 ms by half to 5 s, and the last try is when patience ends.
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses[..3], [ms(200), ms(300), ms(450)]);
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(5) + ms(1)), "{pauses:?}");
    assert!(times.len() > 15, "{times:?}");
    let last = *times.last().unwrap();
    assert!(last >= PATIENCE && last < PATIENCE + ms(10), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_comes_up_in_time_gets_the_message() {
    let mut play = polled(OnLost::Fail);
    play.run(turn());
    for _ in 0..3 {
        play.sent().await.1.send(Err(unreached())).unwrap();
    }
    play.sent().await.1.send(Ok(Answer::Task(task(TaskState::Completed)))).unwrap();
    let (words, error) = play.end().await;
    let tries = ["sending", "not sent"].repeat(3);
    assert_eq!(words[..6], tries[..]);
    assert_eq!(words[6..], ["sending", "known t/c", "completed"]);
    assert_eq!(error, None);
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_card_cannot_be_found_is_waited_for_and_never_called() {
    let mut play = unfound(settings(Mode::Auto, OnLost::Fail), "its card: connection refused");
    assert_eq!(play.agent.problem().unwrap(), "its card: connection refused");
    play.run(turn());
    let (words, error) = play.end().await;
    assert_eq!(words, [""; 0], "nothing was sent");
    assert_eq!(error.unwrap().text, "The agent could not be reached for 60s: its card: connection refused");
    let took = play.elapsed();
    assert!(took >= PATIENCE && took < PATIENCE + ms(10), "{took:?}");
    // A turn that has waited for its place as long as this does not wait again: others wait behind it.
    let late = crate::agent::Turn { queued: tokio::time::Instant::now() - PATIENCE, ..turn() };
    play.run(late);
    assert!(play.end().await.1.is_some());
    assert!(play.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_busy_agent_is_asked_again_when_it_says_and_not_in_a_hurry() {
    let mut play = polled(OnLost::Fail);
    play.run(turn());
    let mut last = Duration::ZERO;
    for (after, expected) in
        [(Some(Duration::from_secs(7)), Duration::from_secs(7)), (Some(Duration::ZERO), ms(200)), (None, ms(200))]
    {
        let (_, reply) = play.sent().await;
        last = play.elapsed();
        reply.send(Err(busy(after))).unwrap();
        let (_, again) = play.sent().await;
        let waited = play.elapsed() - last;
        assert!(waited >= expected && waited < expected + ms(10), "{after:?}: {waited:?}");
        // The next case begins with a try of its own.
        again.send(Err(busy(Some(ms(200))))).unwrap();
    }
    // One that wants to be left alone for a day is asked once more when patience ends.
    let (_, reply) = play.sent().await;
    assert!(play.elapsed() > last);
    reply.send(Err(busy(Some(Duration::from_secs(86_400))))).unwrap();
    let (_, reply) = play.sent().await;
    let at = play.elapsed();
    assert!(at >= PATIENCE && at < PATIENCE + ms(10), "{at:?}");
    reply.send(Err(busy(Some(Duration::from_secs(86_400))))).unwrap();
    let (words, error) = play.end().await;
    assert_eq!(error.unwrap().text, "The agent could not be reached for 60s: too many");
    assert_eq!(words, ["sending", "not sent"].repeat(words.len() / 2));
    assert!(play.elapsed() < PATIENCE + ms(10));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_stream_is_polled_from_then_on() {
    let mut play = streaming(OnLost::Fail);
    // Though the turn has waited for its place longer than an agent is waited for.
    play.run(crate::agent::Turn { queued: tokio::time::Instant::now() - 2 * PATIENCE, ..turn() });
    play.streamed().await.1.send(Err(refusal(ErrorKind::UnsupportedOperation))).map_err(drop).unwrap();
    let (request, reply) = play.sent().await;
    assert!(request.configuration.unwrap().return_immediately);
    reply.send(Ok(Answer::Task(task(TaskState::Completed)))).unwrap();
    let (words, error) = play.end().await;
    assert_eq!(words, ["sending", "not sent", "sending", "known t/c", "completed"]);
    assert_eq!((error, play.elapsed()), (None, Duration::ZERO));
    play.run(turn());
    play.sent().await.1.send(Ok(Answer::Message(message("a", "pong")))).unwrap();
    assert_eq!(play.end().await.1, None);
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_wants_streams_gets_the_refusal() {
    let mut play = play(settings(Mode::Stream, OnLost::Fail), Dialect::V1, Mode::Stream);
    play.run(turn());
    play.streamed().await.1.send(Err(refusal(ErrorKind::UnsupportedOperation))).map_err(drop).unwrap();
    let error = play.end().await.1.unwrap();
    assert_eq!(error.refusal, Some(ErrorKind::UnsupportedOperation));
    assert_eq!(error.text, "The agent refused the message: no");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_the_callers_where_a_caller_can_do_something() {
    use ErrorKind::*;
    let refused = |kind| CallError::Refused { kind, text: "no".into() };
    let cases = [
        (refused(Some(InvalidArgument)), Some(InvalidArgument), "The agent refused the message: no"),
        (refused(Some(ContentTypeNotSupported)), Some(ContentTypeNotSupported), "The agent refused the message: no"),
        (refused(Some(UnsupportedOperation)), Some(UnsupportedOperation), "The agent refused the message: no"),
        (refused(Some(InvalidAgentResponse)), Some(InvalidAgentResponse), "The agent failed: no"),
        (refused(Some(TaskNotFound)), None, "The agent refused the message: no"),
        (refused(None), None, "The agent failed: no"),
        (CallError::Malformed("<html>".into()), Some(InvalidAgentResponse), "The agent's answer is not A2A: <html>"),
    ];
    for (error, refusal, text) in cases {
        let mut play = polled(OnLost::Resend);
        play.run(turn());
        play.sent().await.1.send(Err(error.clone())).unwrap();
        let (words, told) = play.end().await;
        let told = told.unwrap();
        assert_eq!((words, told.text.as_str(), told.refusal), (vec!["sending".into()], text, refusal), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_fate_is_unknown_is_sent_again_only_where_that_is_allowed() {
    // The connection breaks before the answer, and a stream before it has named the task.
    for stream in [false, true] {
        for on_lost in [OnLost::Fail, OnLost::Resend] {
            let mut play = if stream { streaming(on_lost) } else { polled(on_lost) };
            play.run(turn());
            if stream {
                let (say, heard) = events();
                play.streamed().await.1.send(Ok(heard)).map_err(drop).unwrap();
                say.send(Err(lost())).unwrap();
            } else {
                play.sent().await.1.send(Err(lost())).unwrap();
            }
            if on_lost == OnLost::Fail {
                let (words, error) = play.end().await;
                let error = error.unwrap();
                assert!(error.text.ends_with("so its outcome is unknown: connection reset"), "{error}");
                assert_eq!((words, error.refusal), (vec!["sending".into()], None));
                continue;
            }
            if stream {
                let (say, heard) = events();
                play.streamed().await.1.send(Ok(heard)).map_err(drop).unwrap();
                say.send(Ok(event(TaskState::Completed))).unwrap();
                say.send(Err(lost())).unwrap();
            } else {
                play.sent().await.1.send(Ok(Answer::Task(task(TaskState::Completed)))).unwrap();
            }
            let (words, error) = play.end().await;
            assert_eq!(words, ["sending", "not sent", "sending", "known t/c", "completed"]);
            assert_eq!(error, None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_without_a_task_is_no_answer() {
    let mut play = streaming(OnLost::Resend);
    play.run(turn());
    let (say, heard) = events();
    play.streamed().await.1.send(Ok(heard)).map_err(drop).unwrap();
    drop(say);
    let error = play.end().await.1.unwrap();
    assert_eq!(error.refusal, Some(ErrorKind::InvalidAgentResponse));
    assert!(error.text.contains("stream ended"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_later_turn_whose_message_was_lost_is_looked_up_and_one_of_a_forgotten_task_fails() {
    let mut play = polled(OnLost::Resend);
    play.run(second_turn());
    let (request, reply) = play.sent().await;
    let sent = request.message.unwrap();
    assert_eq!((sent.task_id.as_str(), sent.context_id.as_str()), ("t", "c"));
    reply.send(Err(lost())).unwrap();
    play.got().await.1.send(Ok(task(TaskState::Completed))).unwrap();
    assert_eq!(play.end().await, (vec!["sending".into(), "completed".into()], None));

    play.run(second_turn());
    play.sent().await.1.send(Err(refusal(ErrorKind::TaskNotFound))).unwrap();
    let error = play.end().await.1.unwrap();
    assert_eq!(error.text, "The agent no longer knows the task; it may have restarted. It says: no");
}

#[tokio::test(start_paused = true)]
async fn what_a_call_met_is_the_agents_problem_until_it_answers() {
    let mut play = polled(OnLost::Fail);
    assert_eq!(play.agent.problem(), None);
    play.run(turn());
    play.sent().await.1.send(Err(unreached())).unwrap();
    let (_, reply) = play.sent().await;
    assert_eq!(play.agent.problem().unwrap(), "connection refused");
    // A refusal is an answer.
    reply.send(Err(refusal(ErrorKind::InvalidArgument))).unwrap();
    play.end().await;
    assert_eq!(play.agent.problem(), None);
}
