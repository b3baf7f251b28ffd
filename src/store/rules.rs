//! What both databases go by: how webhooks are changed, how things are written in rows, and for how long what holds. Times are
//! milliseconds.

use super::{Limits, WebhookChange};
use crate::{
    error::{Error, ErrorKind},
    task::{Events, Webhook, WebhookState},
};

/// Attempts that are kept of a delivery: the newest.
pub const KEPT_ATTEMPTS: u32 = 20;

/// A success is written this long after the one before, unless it ends a failure.
pub const SUCCESS_NOTED: i64 = 5000;

/// An attempt of a webhook that was to be disabled, and is not, is repeated after this long.
pub const RECONSIDERED: i64 = 10_000;

/// An origin that was reached within this time is not held to be dead for an attempt that failed.
pub const REACHED_LATELY: i64 = 600_000;

/// That an origin was reached is written this long after the time before, unless it says something new.
pub const REACH_NOTED: i64 = 1000;

/// An attempt that takes longer than this takes the places of four: a receiver that is quick may have more under way at
/// once than one that is slow.
pub const SLOW_OF_ORIGIN: i64 = 1000;

/// Rounds of several dispatchers may overtake each other by this much.
pub const TOLERANCE: i64 = 1000;

/// The most webhooks that an owner may have of tasks that do not exist.
pub const OF_NO_TASK: usize = 1000;

/// Webhooks of tasks that never were are kept this long, 30 days, where deliveries are for ever.
pub const OF_NO_TASK_KEPT: i64 = 30 * 86_400_000;

/// Deliveries that removing a webhook takes along at once.
pub const REMOVED_AT_ONCE: usize = 1000;

/// Deliveries that a redelivery looks at, and makes due, in one piece.
pub const REQUEUE_LOOKED_AT: usize = 2000;
pub const REQUEUED_AT_ONCE: u64 = 500;

/// Rows that one page of deliveries looks at: a page of few matches among many others is short, and the next one goes on
/// there.
pub const LIST_LOOKED_AT: usize = 10_000;

/// The most that is counted of what waits and what was given up, of a webhook; and of all, for metrics.
pub const COUNTED: i64 = 10_000;
pub const BACKLOG_COUNTED: i64 = 1_000_000;

/// A webhook after a change.
pub fn changed(existing: &Webhook, change: &WebhookChange) -> Webhook {
    let mut changed = existing.clone();
    changed.updated = change.now;
    if let Some((url, origin)) = &change.target {
        changed.url.clone_from(url);
        changed.origin.clone_from(origin);
    }
    changed.events = change.events.unwrap_or(changed.events);
    changed.payload = change.payload.unwrap_or(changed.payload);
    changed.state = change.state.unwrap_or(changed.state);
    if change.state == Some(WebhookState::Enabled) {
        changed.health.failing_since = None;
    }
    if let Some(token) = &change.token {
        changed.secrets.token.clone_from(token);
    }
    if let Some(authentication) = &change.authentication {
        changed.secrets.authentication.clone_from(authentication);
    }
    if let Some((secret, until)) = &change.signing {
        changed.secrets.rotate(secret.clone(), change.now, *until);
    }
    changed
}

/// A webhook after another of its name was stored: its id and what is known of its receiver stay, and so does its signing
/// secret where the other has none.
pub fn replaced(existing: &Webhook, webhook: &Webhook) -> Webhook {
    let (id, created, health) = (existing.id, existing.created, existing.health.clone());
    let mut changed = Webhook { id, created, health, ..webhook.clone() };
    if changed.secrets.signing.is_empty() {
        changed.secrets.signing.clone_from(&existing.secrets.signing);
        changed.secrets.previous_signing.clone_from(&existing.secrets.previous_signing);
    }
    changed
}

/// How a state is stored. Deliveries are written up to 1, and sent at 0.
pub fn state_code(state: WebhookState) -> i64 {
    match state {
        WebhookState::Enabled => 0,
        WebhookState::Paused => 1,
        WebhookState::Gone => 2,
        WebhookState::Failing => 3,
    }
}

/// See [`state_code`].
pub fn state_of(code: i64) -> WebhookState {
    match code {
        0 => WebhookState::Enabled,
        1 => WebhookState::Paused,
        2 => WebhookState::Gone,
        _ => WebhookState::Failing,
    }
}

/// How what a webhook hears of is stored: a bit for each kind.
pub fn events_code(events: Events) -> i64 {
    i64::from(events.status) | i64::from(events.artifacts) << 1 | i64::from(events.messages) << 2
}

/// See [`events_code`].
pub fn events_of(code: i64) -> Events {
    Events { status: code & 1 != 0, artifacts: code & 2 != 0, messages: code & 4 != 0 }
}

/// There are as many webhooks as there may be.
pub fn limit(most: usize, of: &str) -> Error {
    let message = format!("there are {most} webhooks of {of} already, as many as there may be: delete one first");
    Error::new(ErrorKind::WebhookLimit, message).with("limit", most)
}

/// How long a circuit is open that stands so after a failure, in milliseconds; none: it stays as it is. `open_for`: how
/// long it was last; 0: it is closed. `probe`: the attempt was a probe.
pub fn opens_for(limits: &Limits, failures: i64, open_for: i64, probe: bool) -> Option<i64> {
    let millis = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1);
    let longest = millis(limits.circuit_open_max).min(i64::MAX / 4);
    let open_for = match open_for {
        // Failures of attempts that were under way when it opened say nothing new.
        open_for if open_for > 0 && probe => open_for.saturating_mul(2),
        0 if failures >= i64::from(limits.circuit_failures.max(1)) => millis(limits.circuit_open),
        _ => return None,
    };
    Some(open_for.min(longest))
}
