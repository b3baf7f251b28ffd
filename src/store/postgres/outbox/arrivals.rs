//! Takes in what commits of events have left: makes lanes of it, and origins where there are none.

use std::collections::BTreeSet;

use futures::try_join;

use super::Turn;
use crate::store::postgres::session::{Failure, Params, Session};

/// Arrivals that are taken in at once: a round is to be short also where far more come than can be sent.
pub const AT_ONCE: i64 = 1000;

const TAKE: &str = "DELETE FROM arrivals WHERE key = ANY (ARRAY(SELECT key FROM arrivals ORDER BY key LIMIT $1))
     RETURNING webhook, task";

/// Origins that webhooks `$1` have and that are not there.
const ORIGINS: &str = "INSERT INTO origins (name)
     SELECT DISTINCT w.origin FROM unnest($1::bigint[]) AS a (webhook) JOIN webhooks AS w ON w.key = a.webhook
     WHERE NOT EXISTS (SELECT 1 FROM origins AS o WHERE o.name = w.origin)";

/// Lanes of webhooks `$1` about tasks `$2` that are not there, where something is pending: due at `$3`.
const LANES: &str = "INSERT INTO lanes (webhook, task, origin, created, due, retry, held)
     SELECT a.webhook, a.task, o.key, head.created, $3, head.tries > 0, w.state
     FROM unnest($1::bigint[], $2::bigint[]) AS a (webhook, task)
     JOIN webhooks AS w ON w.key = a.webhook
     JOIN origins AS o ON o.name = w.origin
     CROSS JOIN LATERAL (SELECT d.created, d.tries FROM deliveries AS d
        WHERE d.webhook = a.webhook AND d.task = a.task AND d.state = 0 ORDER BY d.sequence LIMIT 1) AS head
     WHERE EXISTS (SELECT 1 FROM tasks WHERE tasks.key = a.task)
       AND NOT EXISTS (SELECT 1 FROM lanes AS l WHERE l.task = a.task AND l.webhook = a.webhook)
     RETURNING origin";

/// What came for webhooks that were removed meanwhile is left to `Outbox::purge_deliveries`.
const OF_REMOVED: &str = "INSERT INTO removed (webhook)
     SELECT DISTINCT a.webhook FROM unnest($1::bigint[]) AS a (webhook)
     WHERE NOT EXISTS (SELECT 1 FROM webhooks AS w WHERE w.key = a.webhook)
     ON CONFLICT (webhook) DO NOTHING";

/// What came of tasks that were removed meanwhile goes.
const OF_NO_TASK: &str = "DELETE FROM deliveries USING unnest($1::bigint[], $2::bigint[]) AS a (webhook, task)
     WHERE deliveries.webhook = a.webhook AND deliveries.task = a.task
       AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.key = a.task)";

/// Takes in some arrivals; whether there may be more.
pub async fn take_in(session: &Session, turn: &mut Turn) -> Result<bool, Failure> {
    let taken = session.query(TAKE, &[&AT_ONCE]).await?;
    let pairs: BTreeSet<(i64, i64)> = taken.iter().map(|row| (row.get(0), row.get(1))).collect();
    if pairs.is_empty() {
        return Ok(false);
    }
    let (webhooks, tasks): (Vec<i64>, Vec<i64>) = pairs.into_iter().unzip();
    let (of_removed, of_no_task): (Params<'_>, Params<'_>) = (&[&webhooks], &[&webhooks, &tasks]);
    try_join!(session.execute(OF_REMOVED, of_removed), session.execute(OF_NO_TASK, of_no_task))?;
    make_lanes(session, turn, &webhooks, &tasks).await?;
    Ok(taken.len() >= usize::try_from(AT_ONCE).unwrap_or(usize::MAX))
}

/// Makes the lanes of webhooks about tasks that are not there, where something is pending; whether there were any.
pub async fn make_lanes(session: &Session, turn: &mut Turn, webhooks: &[i64], tasks: &[i64]) -> Result<bool, Failure> {
    session.execute(ORIGINS, &[&webhooks]).await?;
    let made = session.query(LANES, &[&webhooks, &tasks, &turn.now]).await?;
    turn.changed.extend(made.iter().map(|row| row.get::<_, i64>(0)));
    Ok(!made.is_empty())
}

#[cfg(test)]
pub const PLANNED: [&str; 5] = [TAKE, ORIGINS, LANES, OF_REMOVED, OF_NO_TASK];
