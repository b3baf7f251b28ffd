//! The webhooks, and the receivers behind them: one that takes all, one that refuses at random, and one whose
//! connections break.

use std::sync::{Arc, Mutex};

use a2a_gateway::{
    proto::gateway::{NewWebhook, WebhookPayload},
    task::{Dialect, Events},
};

use crate::{
    place::{Moment, Trap},
    process::Random,
    receiver::{Answer, Receiver},
};

/// The receivers.
pub const RECEIVERS: usize = 3;
/// Webhooks that hear of all tasks.
pub const AGENT_WIDE: usize = 3;
/// After so many attempts a delivery is taken, so that all come to their end.
const PATIENT: usize = 4;
/// The secret of every webhook, so that each delivery can be verified.
pub const SECRET: &str = "whsec_c29tZSBzZWNyZXQgYnl0ZXMgZm9yIGEgdGVzdCE=";

/// A webhook, as the test knows it. Its path is its own.
#[derive(Clone, Debug)]
pub struct Hook {
    pub path: String,
    pub payload: Dialect,
    /// The task that it hears of; none: all.
    pub task: Option<String>,
    /// It hears of what comes after this event, at least.
    pub after: i64,
    pub new: NewWebhook,
}

impl Hook {
    /// One of a path at a receiver.
    pub fn new(path: String, url: &str, payload: Dialect) -> Self {
        let form = match payload {
            Dialect::V1 => WebhookPayload::A2a10,
            Dialect::V03 => WebhookPayload::A2a03,
            Dialect::Praison => WebhookPayload::Praisonai,
        };
        let new = NewWebhook {
            name: path.trim_start_matches('/').replace('/', "-"),
            url: format!("{url}{path}"),
            signing_secret: SECRET.to_owned(),
            payload: form.into(),
            ..NewWebhook::default()
        };
        Self { path, payload, task: None, after: 0, new }
    }

    pub fn events(&self) -> Events {
        Events::of(self.payload)
    }
}

/// The n-th of those that hear of all tasks.
pub fn agent_wide(n: usize, receivers: &[Receiver; RECEIVERS]) -> Hook {
    Hook::new(format!("/all/{n}"), &receivers[n].url(""), Dialect::V1)
}

/// Starts the receivers.
pub async fn receivers(random: &mut Random, trap: &Arc<Trap>) -> [Receiver; RECEIVERS] {
    let mut start = |odds: &'static [(u64, Fate)]| {
        let (trap, random) = (trap.clone(), Mutex::new(Random(random.below(u64::MAX))));
        Receiver::start(move |received| {
            if trap.at(Moment::Arrived) {
                return Answer::Reset;
            }
            let drawn = random.lock().unwrap().below(100);
            let fate = odds.iter().find(|(limit, _)| drawn < *limit).map_or(Fate::Taken, |(_, fate)| *fate);
            let fate = if received.attempt > PATIENT { Fate::Taken } else { fate };
            fate.answer(&trap)
        })
    };
    let steady = start(&[]);
    let moody = start(&[(15, Fate::Status(500)), (20, Fate::Status(404)), (25, Fate::Status(429))]);
    let broken = start(&[(8, Fate::Reset), (12, Fate::Part), (13, Fate::Silence)]);
    [steady.await, moody.await, broken.await]
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Taken,
    Status(u16),
    Reset,
    /// A success whose body breaks off.
    Part,
    Silence,
}

impl Fate {
    fn answer(self, trap: &Arc<Trap>) -> Answer {
        let (status, moment) = match self {
            Self::Taken => (200, Moment::Taken),
            Self::Status(status) => (status, Moment::Refused),
            Self::Reset => return Answer::Reset,
            Self::Part => return Answer::ResetAfter(200),
            Self::Silence => return Answer::Silence,
        };
        let trap = trap.clone();
        let then = Box::new(move || {
            trap.at(moment);
        });
        Answer::Then(Box::new(Answer::status(status)), then)
    }
}
