//! What an attempt's outcome means for its delivery, for its webhook and for the circuit of its origin.
//!
//! - 2xx: delivered, whatever became of the answer's body: the receiver has taken it.
//! - 410: given up, and the webhook is disabled.
//! - The payload itself is refused: two more attempts, each after the schedule's first pause, then given up. Lanes are
//!   ordered: one event that a receiver cannot read must not hold up the others, the task's final status among them.
//! - All else is tried again on the schedule, then given up. So is an address that may not be sent to: names resolve to
//!   other addresses tomorrow, and operators change their minds.
//! - A webhook whose every attempt has failed for long is disabled. One hiccup after a quiet time is not enough: the
//!   delivery must have been tried three times, or be given up.

use std::time::Duration;

use super::{
    Failure, Report,
    schedule::{Chance, RETRY_AFTER_MAX, Schedule},
};
use crate::{
    store::{Attempt, Attempted, Claim, Ticket, Verdict},
    task::WebhookState,
};

/// Attempts after the first of what a receiver refuses to read.
const REFUSED_RETRIES: u32 = 2;

/// Attempts of a delivery that must have failed before its webhook is disabled.
const DISABLE_TRIES: u32 = 3;

/// The longest error text that is kept, in characters.
const ERROR_MAX: usize = 300;

/// What is done about failures.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The pauses between attempts.
    pub schedule: Schedule,
    /// How long every attempt has to have failed until a webhook is disabled. None: it never is.
    pub disable_after: Option<Duration>,
}

/// An attempt: whose, and when it began and ended, in milliseconds since 1970 UTC.
#[derive(Clone, Copy, Debug)]
pub struct Tried<'a> {
    /// What was attempted.
    pub claim: &'a Claim,
    /// When it began.
    pub began: i64,
    /// Now.
    pub now: i64,
}

impl Policy {
    /// What comes of an attempt that was made.
    pub fn judge(&self, tried: Tried<'_>, report: Report, chance: &Chance) -> Attempted {
        let verdict = match report.status {
            200..300 => Verdict::Delivered,
            410 => Verdict::Disable(WebhookState::Gone),
            status => self.failed(tried, Pace::of(status), asked(&report), chance),
        };
        let error = if verdict == Verdict::Delivered { String::new() } else { explain(&report) };
        let attempt = Attempt {
            number: tried.claim.number,
            time: tried.began,
            latency: u32::try_from(report.latency.as_millis()).unwrap_or(u32::MAX),
            status: report.status,
            error,
            excerpt: report.excerpt,
            address: report.address,
        };
        let reached = reached(report.status, report.failure.as_ref());
        Attempted { ticket: tried.claim.ticket, verdict, attempt: Some(attempt), reached, blame: true }
    }

    /// What comes of an attempt that failed by a fault of the gateway's own: it is tried again on the schedule, so that
    /// a fault that stays neither spins nor lasts for ever.
    pub fn faulted(&self, tried: Tried<'_>, chance: &Chance) -> Attempted {
        let verdict = self.again(tried, Pace::Scheduled, Duration::ZERO, chance);
        without_answer(tried, verdict, "a fault of the gateway, whose log has the cause")
    }

    /// What comes of an attempt that the receiver failed.
    fn failed(&self, tried: Tried<'_>, pace: Pace, asked: Duration, chance: &Chance) -> Verdict {
        let verdict = self.again(tried, pace, asked, chance);
        let tried_enough = verdict == Verdict::Failed || tried.claim.tries.saturating_add(1) >= DISABLE_TRIES;
        if tried_enough && self.failing_for_long(tried) { Verdict::Disable(WebhookState::Failing) } else { verdict }
    }

    /// A retry, if there is one left.
    fn again(&self, tried: Tried<'_>, pace: Pace, asked: Duration, chance: &Chance) -> Verdict {
        let Tried { claim, now, .. } = tried;
        let pause = match pace {
            Pace::Scheduled => self.schedule.after(claim.tries, chance),
            Pace::Brief if claim.tries < REFUSED_RETRIES.min(self.schedule.retries()) => self.schedule.after(0, chance),
            Pace::Brief => None,
        };
        match pause {
            Some(pause) => Verdict::Retry(now.saturating_add(millis(pause.max(asked)))),
            None => Verdict::Failed,
        }
    }

    /// Whether every attempt has failed for longer than is allowed. The age of the delivery says nothing about that: it
    /// may have waited for a gateway that did not run.
    fn failing_for_long(&self, tried: Tried<'_>) -> bool {
        let (Some(limit), Some(since)) = (self.disable_after, tried.claim.webhook.health.failing_since) else {
            return false;
        };
        tried.now.saturating_sub(since) >= millis(limit)
    }
}

/// What comes of a delivery that no request can be made for.
pub fn unsendable(tried: Tried<'_>, why: &str) -> Attempted {
    without_answer(tried, Verdict::Failed, why)
}

/// What comes of a claim that was not used, or was broken off.
pub fn released(ticket: Ticket) -> Attempted {
    Attempted { ticket, verdict: Verdict::Released, attempt: None, reached: None, blame: false }
}

fn without_answer(tried: Tried<'_>, verdict: Verdict, error: &str) -> Attempted {
    let Tried { claim, began, now } = tried;
    let latency = u32::try_from(now.saturating_sub(began).max(0)).unwrap_or(u32::MAX);
    let attempt = Attempt { number: claim.number, time: began, latency, error: error.to_owned(), ..Attempt::default() };
    Attempted { ticket: claim.ticket, verdict, attempt: Some(attempt), reached: None, blame: false }
}

/// How retries follow each other.
#[derive(Clone, Copy)]
enum Pace {
    /// As scheduled.
    Scheduled,
    /// A few, soon.
    Brief,
}

impl Pace {
    /// The pace after a status: brief where the receiver refuses the payload itself.
    fn of(status: u16) -> Self {
        match status {
            400 | 405 | 406 | 411 | 413 | 414 | 415 | 422 | 431 => Self::Brief,
            _ => Self::Scheduled,
        }
    }
}

/// How long the receiver asks to be left alone.
fn asked(report: &Report) -> Duration {
    let asked = report.retry_after.filter(|_| matches!(report.status, 429 | 503));
    asked.unwrap_or_default().min(RETRY_AFTER_MAX)
}

/// Whether the origin was reached: by any answer that does not speak of an overload, or of a server behind it.
fn reached(status: u16, failure: Option<&Failure>) -> Option<bool> {
    match (status, failure) {
        (429, _) | (0, Some(Failure::Refused(_))) => None,
        (0 | 502..=504, _) => Some(false),
        _ => Some(true),
    }
}

/// What went wrong, in one line.
fn explain(report: &Report) -> String {
    let failure = report.failure.as_ref().map(Failure::text);
    let text = match (report.status, failure) {
        (0, Some(failure)) => failure.to_owned(),
        (0, None) => "no answer".to_owned(),
        (status, None) if (300..400).contains(&status) => format!("answered {status}: redirects are not followed"),
        (status, None) => format!("answered {status}"),
        (status, Some(failure)) => format!("answered {status}, then: {failure}"),
    };
    text.chars().take(ERROR_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Failure {
    /// The words for people.
    fn text(&self) -> &str {
        let (Self::Refused(text)
        | Self::Resolve(text)
        | Self::Connect(text)
        | Self::Tls(text)
        | Self::Timeout(text)
        | Self::Broken(text)) = self;
        text
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
