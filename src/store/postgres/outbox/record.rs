//! Records what came of attempts: of the delivery, the webhook's health, the origin's circuit and the lane.
//!
//! All that the results are about is read at once. They are gone through in their order, each on top of what the ones
//! before it changed, and all that changed is written at once.

use std::collections::{BTreeSet, HashMap};

use futures::try_join;
use tokio_postgres::types::ToSql;

use super::{
    DELIVERED, FAILED, PENDING, Turn, lanes,
    origins::{self, Circuit, Ended},
    storable,
};
use crate::{
    store::{
        Attempt, Attempted, Limits, Round, Verdict,
        postgres::session::{Failure, Session},
        rules::{KEPT_ATTEMPTS, RECONSIDERED, SUCCESS_NOTED, state_code},
    },
    task::WebhookState,
};

/// Lanes `$1` that are claimed under the tokens `$2`, with all that their results change.
fn claimed() -> String {
    format!(
        "SELECT l.key, l.token, l.webhook, l.origin, l.delivery, l.moved, l.probe, l.failing, d.attempts,
            w.state, w.failing_since, w.last_success, {}
         FROM unnest($1::bigint[], $2::bigint[]) AS r (lane, token)
         JOIN lanes AS l ON l.key = r.lane AND l.token = r.token
         LEFT JOIN deliveries AS d
            ON d.key = l.delivery AND d.webhook = l.webhook AND d.task = l.task AND d.state = 0
         LEFT JOIN webhooks AS w ON w.key = l.webhook
         LEFT JOIN origins AS o ON o.key = l.origin",
        Circuit::COLUMNS
    )
}

struct Lane {
    token: i64,
    webhook: i64,
    origin: i64,
    delivery: Option<i64>,
    moved: bool,
    probe: bool,
    /// The webhook's `failing_since` at the time of the claim.
    failing: Option<i64>,
    /// Attempts of the delivery until now; none: it no longer waits.
    attempts: Option<i32>,
}

/// What a webhook's health is kept by.
#[derive(Clone, Default)]
struct Health {
    state: i64,
    failing_since: Option<i64>,
    last_success: Option<i64>,
    /// If it changed.
    last_failure: Option<i64>,
    last_error: Option<String>,
    disabled: Option<i64>,
    changed: bool,
}

/// What became of a delivery.
struct Settled<'a> {
    key: i64,
    state: i32,
    tries: i32,
    /// Its number, and what to keep of it.
    attempt: Option<(i32, &'a Attempt)>,
}

/// What the results of a round are about, and what they change.
#[derive(Default)]
struct Record<'a> {
    lanes: HashMap<i64, Lane>,
    webhooks: HashMap<i64, Health>,
    circuits: HashMap<i64, Circuit>,
    deliveries: Vec<Settled<'a>>,
    disabled: Vec<(i64, i64)>,
    /// Lanes whose claim ends, and when the claimed delivery is due if it still waits.
    freed: Vec<(i64, i64)>,
}

/// What recording changed.
#[derive(Default)]
pub struct Recorded {
    /// Results that were refused: their claims had been lost.
    pub refused: usize,
    /// Lanes whose claims are to end, and when the claimed delivery of each is due if it still waits.
    pub freed: Vec<(i64, i64)>,
    /// Origins that may be of no webhook any longer.
    pub left: BTreeSet<i64>,
}

/// Records the results of a round.
pub async fn record(session: &Session, turn: &mut Turn, round: &Round) -> Result<Recorded, Failure> {
    let mut recorded = Recorded::default();
    if round.results.is_empty() {
        return Ok(recorded);
    }
    let mut record = Record::load(session, &round.results).await?;
    for result in &round.results {
        match record.lanes.remove(&result.ticket.lane).filter(|lane| lane.token == result.ticket.token) {
            Some(lane) => {
                turn.changed.insert(lane.origin);
                if lane.moved {
                    recorded.left.insert(lane.origin);
                }
                let due = record.take(turn, &round.limits, result, &lane);
                record.freed.push((result.ticket.lane, due));
            }
            None => recorded.refused += 1,
        }
    }
    record.write(session, turn).await?;
    recorded.freed = record.freed;
    Ok(recorded)
}

impl<'a> Record<'a> {
    async fn load(session: &Session, results: &[Attempted]) -> Result<Self, Failure> {
        let lanes: Vec<i64> = results.iter().map(|result| result.ticket.lane).collect();
        let tokens: Vec<i64> = results.iter().map(|result| result.ticket.token).collect();
        let mut record = Self::default();
        for row in session.query(&claimed(), &[&lanes, &tokens]).await? {
            let lane = Lane {
                token: row.get(1),
                webhook: row.get(2),
                origin: row.get(3),
                delivery: row.get(4),
                moved: row.get(5),
                probe: row.get(6),
                failing: row.get(7),
                attempts: row.get(8),
            };
            if let Some(state) = row.get(9) {
                let health =
                    Health { state, failing_since: row.get(10), last_success: row.get(11), ..Health::default() };
                record.webhooks.insert(lane.webhook, health);
            }
            if let Some(circuit) = Circuit::read(&row, 12) {
                record.circuits.insert(lane.origin, circuit);
            }
            record.lanes.insert(row.get(0), lane);
        }
        Ok(record)
    }

    /// Takes one result. Returns when its delivery is due if it still waits.
    fn take(&mut self, turn: &Turn, limits: &Limits, result: &'a Attempted, lane: &Lane) -> i64 {
        let now = turn.now;
        let released = result.verdict == Verdict::Released;
        let health = self.webhooks.entry(lane.webhook).or_default();
        let (mut verdict, mut reconsidered) = (&result.verdict, false);
        if lane.moved && *verdict != Verdict::Delivered {
            // What a URL said that the webhook no longer has decides nothing, unless it took the delivery.
            verdict = &Verdict::Released;
        } else if *verdict == Verdict::Disable(WebhookState::Failing) {
            // The next attempt is judged by the health that the webhook has now.
            reconsidered = lane.failing.is_none() || health.failing_since != lane.failing;
        }
        let (state, tries) = match verdict {
            Verdict::Delivered => (DELIVERED, 1),
            Verdict::Disable(_) if reconsidered => (PENDING, 1),
            Verdict::Failed | Verdict::Disable(_) => (FAILED, 1),
            Verdict::Retry(_) => (PENDING, 1),
            Verdict::Released => (PENDING, 0),
        };
        let attempt = result.attempt.as_ref().filter(|_| !released);
        if let (Some(key), Some(attempts)) = (lane.delivery, lane.attempts)
            && (tries > 0 || attempt.is_some())
        {
            let attempt = attempt.map(|attempt| (attempts + 1, attempt));
            self.deliveries.push(Settled { key, state, tries, attempt });
        }
        match verdict {
            Verdict::Released => {}
            Verdict::Delivered => health.succeeded(now),
            Verdict::Retry(_) | Verdict::Failed | Verdict::Disable(_) => health.failed(result, now),
        }
        if let Verdict::Disable(to @ (WebhookState::Gone | WebhookState::Failing)) = verdict
            && !reconsidered
            && health.state <= 1
        {
            (health.state, health.disabled, health.changed) = (state_code(*to), Some(now), true);
            self.disabled.push((lane.webhook, health.state));
        }
        if let (Some(reached), Some(circuit)) = (result.reached, self.circuits.get_mut(&lane.origin)) {
            let ended = Ended { token: result.ticket.token, probe: lane.probe };
            circuit.note(turn, reached, ended, limits);
        }
        match verdict {
            Verdict::Retry(due) => turn.local(*due),
            _ if reconsidered => now.saturating_add(RECONSIDERED),
            _ => now,
        }
    }

    async fn write(&mut self, session: &Session, turn: &mut Turn) -> Result<(), Failure> {
        let circuits = std::mem::take(&mut self.circuits);
        let disabled = std::mem::take(&mut self.disabled);
        try_join!(
            write_deliveries(session, turn.now, &self.deliveries),
            write_attempts(session, &self.deliveries),
            write_health(session, &self.webhooks),
            origins::write(session, circuits.into_iter()),
        )?;
        lanes::hold(session, turn, &disabled).await
    }
}

impl Health {
    fn succeeded(&mut self, now: i64) {
        let noted = self.last_success.is_some_and(|at| now.saturating_sub(at).abs() < SUCCESS_NOTED);
        if self.failing_since.is_some() || !noted {
            (self.failing_since, self.last_success, self.changed) = (None, Some(now), true);
        }
    }

    fn failed(&mut self, result: &Attempted, now: i64) {
        self.failing_since = self.failing_since.or(result.blame.then_some(now));
        self.last_failure = Some(now);
        if let Some(attempt) = &result.attempt {
            self.last_error = Some(match attempt.error.as_str() {
                "" => format!("HTTP status {}", attempt.status),
                error => storable(error).into_owned(),
            });
        }
        self.changed = true;
    }
}

const DELIVERIES: &str = "UPDATE deliveries AS d
     SET state = s.state, settled = CASE WHEN s.state <> 0 THEN $5::bigint END, tries = d.tries + s.tries,
         attempts = d.attempts + s.attempts
     FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[]) AS s (key, state, tries, attempts)
     WHERE d.key = s.key AND d.state = 0";

async fn write_deliveries(session: &Session, now: i64, settled: &[Settled<'_>]) -> Result<(), Failure> {
    if settled.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = settled.iter().map(|it| it.key).collect();
    let states: Vec<i32> = settled.iter().map(|it| it.state).collect();
    let tries: Vec<i32> = settled.iter().map(|it| it.tries).collect();
    let attempts: Vec<i32> = settled.iter().map(|it| it.attempt.is_some().into()).collect();
    session.execute(DELIVERIES, &[&keys, &states, &tries, &attempts, &now]).await.map(drop)
}

const ATTEMPTS: &str = "INSERT INTO attempts (delivery, number, time, latency, status, address, error, excerpt)
     SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[], $5::integer[], $6::text[], $7::text[],
        $8::text[])
     ON CONFLICT (delivery, number) DO UPDATE SET time = excluded.time, latency = excluded.latency,
        status = excluded.status, address = excluded.address, error = excluded.error, excerpt = excluded.excerpt";

const OLD_ATTEMPTS: &str = "DELETE FROM attempts AS a USING unnest($1::bigint[], $2::integer[]) AS o (delivery, number)
     WHERE a.delivery = o.delivery AND a.number <= o.number";

async fn write_attempts(session: &Session, settled: &[Settled<'_>]) -> Result<(), Failure> {
    let made: Vec<_> = settled.iter().filter_map(|it| it.attempt.map(|(number, of)| (it.key, number, of))).collect();
    if made.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = made.iter().map(|(key, ..)| *key).collect();
    let numbers: Vec<i32> = made.iter().map(|(_, number, _)| *number).collect();
    let times: Vec<i64> = made.iter().map(|(.., of)| of.time).collect();
    let latencies: Vec<i64> = made.iter().map(|(.., of)| of.latency.into()).collect();
    let statuses: Vec<i32> = made.iter().map(|(.., of)| of.status.into()).collect();
    let addresses: Vec<_> = made.iter().map(|(.., of)| storable(&of.address)).collect();
    let errors: Vec<_> = made.iter().map(|(.., of)| storable(&of.error)).collect();
    let excerpts: Vec<_> = made.iter().map(|(.., of)| storable(&of.excerpt)).collect();
    let values: [&(dyn ToSql + Sync); 8] =
        [&keys, &numbers, &times, &latencies, &statuses, &addresses, &errors, &excerpts];
    session.execute(ATTEMPTS, &values).await?;
    let kept = i32::try_from(KEPT_ATTEMPTS).unwrap_or(i32::MAX);
    let old: Vec<(i64, i32)> = made.iter().map(|(key, number, _)| (*key, number - kept)).collect();
    let (keys, numbers): (Vec<i64>, Vec<i32>) = old.into_iter().filter(|(_, number)| *number > 0).unzip();
    if !keys.is_empty() {
        session.execute(OLD_ATTEMPTS, &[&keys, &numbers]).await?;
    }
    Ok(())
}

const HEALTH: &str = "UPDATE webhooks AS w
     SET failing_since = h.failing_since, last_success = h.last_success,
         last_failure = coalesce(h.last_failure, w.last_failure), last_error = coalesce(h.last_error, w.last_error),
         state = h.state, disabled = coalesce(h.disabled, w.disabled)
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[])
        AS h (key, failing_since, last_success, last_failure, last_error, state, disabled)
     WHERE w.key = h.key";

async fn write_health(session: &Session, webhooks: &HashMap<i64, Health>) -> Result<(), Failure> {
    let changed: Vec<_> = webhooks.iter().filter(|(_, health)| health.changed).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let column =
        |of: fn(&Health) -> Option<i64>| changed.iter().map(|(_, health)| of(health)).collect::<Vec<Option<i64>>>();
    let keys: Vec<i64> = changed.iter().map(|(key, _)| **key).collect();
    let (since, success, failure) =
        (column(|it| it.failing_since), column(|it| it.last_success), column(|it| it.last_failure));
    let errors: Vec<Option<&str>> = changed.iter().map(|(_, health)| health.last_error.as_deref()).collect();
    let (states, disabled) = (column(|it| Some(it.state)), column(|it| it.disabled));
    let values: [&(dyn ToSql + Sync); 7] = [&keys, &since, &success, &failure, &errors, &states, &disabled];
    session.execute(HEALTH, &values).await.map(drop)
}

#[cfg(test)]
pub fn planned() -> Vec<String> {
    let fixed = [DELIVERIES, ATTEMPTS, OLD_ATTEMPTS, HEALTH].map(str::to_owned);
    fixed.into_iter().chain([claimed()]).collect()
}
