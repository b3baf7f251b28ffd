//! Records what came of attempts: of the delivery, the webhook's health, the origin's circuit and the lane.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{DELIVERED, FAILED, PENDING, State, lanes::Claimed, origins, origins::Ended, round::Changes};
use crate::{
    store::{
        Attempt, Attempted, Limits, Verdict,
        rules::{KEPT_ATTEMPTS, RECONSIDERED, SUCCESS_NOTED},
        sqlite::webhooks::config,
    },
    task::WebhookState,
};

/// Records one result. False: its claim was lost.
pub fn record(
    state: &mut State,
    sql: &Connection,
    limits: &Limits,
    result: &Attempted,
    changes: &mut Changes,
) -> rusqlite::Result<bool> {
    let lane = sql
        .prepare_cached(
            "SELECT key, webhook, task, origin, delivery, moved, probe, failing FROM lanes WHERE key = ?1 AND token = ?2",
        )?
        .query_row([result.ticket.lane, result.ticket.token], |row| {
            let claimed = Claimed {
                lane: row.get(0)?,
                webhook: row.get(1)?,
                task: row.get(2)?,
                origin: row.get(3)?,
                delivery: row.get(4)?,
                moved: row.get(5)?,
            };
            Ok((claimed, row.get::<_, bool>(6)?, row.get(7)?))
        })
        .optional()?;
    let Some((claimed, probe, failing)) = lane else { return Ok(false) };
    let now = state.clock;
    let released = result.verdict == Verdict::Released;
    let verdict = match &result.verdict {
        // What a URL said that the webhook no longer has decides nothing, unless it took the delivery.
        verdict if claimed.moved && *verdict != Verdict::Delivered => &Verdict::Released,
        // The next attempt is judged by the health that the webhook has now.
        Verdict::Disable(WebhookState::Failing) if !fails_still(sql, claimed.webhook, failing)? => {
            &Verdict::Retry(now.saturating_add(RECONSIDERED))
        }
        verdict => verdict,
    };
    delivery(sql, claimed, verdict, result.attempt.as_ref().filter(|_| !released), now)?;
    match verdict {
        Verdict::Released => {}
        Verdict::Delivered => succeeded(sql, claimed.webhook, now)?,
        Verdict::Retry(_) | Verdict::Failed | Verdict::Disable(_) => {
            failed(sql, claimed.webhook, result, now)?;
        }
    }
    if let Verdict::Disable(to @ (WebhookState::Gone | WebhookState::Failing)) = verdict {
        config::disable(state, sql, claimed.webhook, *to)?;
    }
    if let Some(reached) = result.reached {
        let ended = Ended { token: result.ticket.token, probe };
        origins::note(state, sql, claimed.origin, reached, ended, limits)?;
    }
    let due = if let Verdict::Retry(due) = verdict { *due } else { now };
    changes.free(sql, claimed, due, now)?;
    Ok(true)
}

/// Whether a webhook has been failing since a time without a success, and without having been enabled again.
fn fails_still(sql: &Connection, webhook: i64, since: Option<i64>) -> rusqlite::Result<bool> {
    sql.prepare_cached("SELECT EXISTS (SELECT 1 FROM webhooks WHERE key = ?1 AND failing_since = ?2)")?
        .query_row(params![webhook, since], |row| row.get(0))
}

fn delivery(
    sql: &Connection,
    claimed: Claimed,
    verdict: &Verdict,
    attempt: Option<&Attempt>,
    now: i64,
) -> rusqlite::Result<()> {
    let (state, tries) = match verdict {
        Verdict::Delivered => (DELIVERED, 1),
        Verdict::Failed | Verdict::Disable(_) => (FAILED, 1),
        Verdict::Retry(_) => (PENDING, 1),
        Verdict::Released => (PENDING, 0),
    };
    if tries == 0 && attempt.is_none() {
        return Ok(());
    }
    let settled = (state != PENDING).then_some(now);
    let number: Option<u32> = sql
        .prepare_cached(
            "UPDATE deliveries SET state = ?4, settled = ?5, tries = tries + ?6, attempts = attempts + ?7
             WHERE key = ?1 AND webhook = ?2 AND task = ?3 AND state = 0 RETURNING attempts",
        )?
        .query_row(
            params![claimed.delivery, claimed.webhook, claimed.task, state, settled, tries, attempt.is_some()],
            |row| row.get(0),
        )
        .optional()?;
    if let (Some(number), Some(attempt)) = (number, attempt) {
        keep(sql, claimed.delivery, number, attempt)?;
    }
    Ok(())
}

fn keep(sql: &Connection, delivery: i64, number: u32, attempt: &Attempt) -> rusqlite::Result<()> {
    let Attempt { number: _, time, latency, status, address, error, excerpt } = attempt;
    sql.prepare_cached(
        "INSERT OR REPLACE INTO attempts (delivery, number, time, latency, status, address, error, excerpt)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![delivery, number, time, latency, status, address, error, excerpt])?;
    if number > KEPT_ATTEMPTS {
        sql.prepare_cached("DELETE FROM attempts WHERE delivery = ?1 AND number <= ?2")?
            .execute(params![delivery, number - KEPT_ATTEMPTS])?;
    }
    Ok(())
}

fn succeeded(sql: &Connection, webhook: i64, now: i64) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "UPDATE webhooks SET failing_since = NULL, last_success = ?2 WHERE key = ?1
            AND (failing_since IS NOT NULL OR last_success IS NULL OR abs(?2 - last_success) >= ?3)",
    )?
    .execute([webhook, now, SUCCESS_NOTED])?;
    Ok(())
}

fn failed(sql: &Connection, webhook: i64, result: &Attempted, now: i64) -> rusqlite::Result<()> {
    let error = result.attempt.as_ref().map(|attempt| match attempt.error.as_str() {
        "" => format!("HTTP status {}", attempt.status),
        error => error.to_owned(),
    });
    sql.prepare_cached(
        "UPDATE webhooks SET failing_since = coalesce(failing_since, iif(?4, ?2, NULL)), last_failure = ?2,
                last_error = coalesce(?3, last_error)
         WHERE key = ?1",
    )?
    .execute(params![webhook, now, error, result.blame])?;
    Ok(())
}
