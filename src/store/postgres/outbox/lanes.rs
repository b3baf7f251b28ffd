//! Lanes: the pending deliveries of one webhook about one task, in their order (see SQLite's).

use std::collections::BTreeSet;

use tokio_postgres::Row;

use super::{Turn, head};
use crate::store::postgres::session::{Failure, Session};

/// Ends the claims of lanes `$1`: the next of each is due at `$3`, the claimed one, if it still is the head, at `$2`.
/// Lanes of which nothing is pending go.
const FREE: &str = concat!(
    "WITH heads AS MATERIALIZED (
        SELECT l.key AS lane, l.delivery, f.due, w.state, head.*,
            coalesce((SELECT o.key FROM origins AS o WHERE o.name = w.origin), l.origin) AS origin
        FROM unnest($1::bigint[], $2::bigint[]) AS f (lane, due)
        JOIN lanes AS l ON l.key = f.lane
        LEFT JOIN webhooks AS w ON w.key = l.webhook
        LEFT JOIN LATERAL ",
    head!(),
    " AS head ON true
    ), gone AS (
        DELETE FROM lanes USING heads WHERE lanes.key = heads.lane AND heads.key IS NULL
    )
    UPDATE lanes SET token = NULL, until = NULL, holder = NULL, delivery = NULL, failing = NULL, stood = NULL,
        probe = false, moved = false, due = CASE WHEN heads.key = heads.delivery THEN heads.due ELSE $3 END,
        retry = heads.tries > 0, created = heads.created, origin = heads.origin
    FROM heads WHERE lanes.key = heads.lane AND heads.key IS NOT NULL
    RETURNING lanes.key, lanes.origin, lanes.held = 0 AND lanes.due <= $3"
);

/// Ends the claims of lanes, with the time at which the claimed delivery of each is due if it still waits. Returns the
/// lanes whose head is due now.
pub async fn free(session: &Session, turn: &mut Turn, lanes: &[(i64, i64)]) -> Result<BTreeSet<i64>, Failure> {
    if lanes.is_empty() {
        return Ok(BTreeSet::new());
    }
    let (keys, due): (Vec<i64>, Vec<i64>) = lanes.iter().copied().unzip();
    let freed = session.query(FREE, &[&keys, &due, &turn.now]).await?;
    turn.changed.extend(freed.iter().map(|row| row.get::<_, i64>(1)));
    Ok(freed.iter().filter(|row| row.get(2)).map(|row| row.get(0)).collect())
}

const HOLD: &str = "UPDATE lanes SET held = h.state FROM unnest($1::bigint[], $2::bigint[]) AS h (webhook, state)
     WHERE lanes.webhook = h.webhook RETURNING origin";

/// Sets what webhooks' states mean for their lanes.
pub async fn hold(session: &Session, turn: &mut Turn, webhooks: &[(i64, i64)]) -> Result<(), Failure> {
    if webhooks.is_empty() {
        return Ok(());
    }
    let (keys, states): (Vec<i64>, Vec<i64>) = webhooks.iter().copied().unzip();
    note(turn, &session.query(HOLD, &[&keys, &states]).await?);
    Ok(())
}

const RESTART: &str = "UPDATE lanes SET origin = $2, due = least(due, $3) WHERE webhook = $1 AND token IS NULL
     RETURNING origin";

/// Makes the waiting lanes of a webhook due, for an origin; whether there are any. What is under way stays so, and goes
/// there later.
pub async fn restart(session: &Session, turn: &mut Turn, webhook: i64, origin: i64) -> Result<bool, Failure> {
    let waiting = session.query(RESTART, &[&webhook, &origin, &turn.now]).await?;
    note(turn, &waiting);
    turn.changed.insert(origin);
    Ok(!waiting.is_empty())
}

/// Notes that claims of a webhook are for a URL that it no longer has.
pub async fn moved(session: &Session, webhook: i64) -> Result<(), Failure> {
    let moved = "UPDATE lanes SET moved = true WHERE webhook = $1 AND token IS NOT NULL";
    session.execute(moved, &[&webhook]).await.map(drop)
}

/// Removes the lanes of webhooks, and claims with them.
pub async fn remove_of_webhooks(session: &Session, turn: &mut Turn, webhooks: &[i64]) -> Result<(), Failure> {
    let removed = "DELETE FROM lanes USING unnest($1::bigint[]) AS r (webhook) WHERE lanes.webhook = r.webhook
         RETURNING origin";
    note(turn, &session.query(removed, &[&webhooks]).await?);
    Ok(())
}

/// Removes the lanes of a task, and claims with them.
pub async fn remove_of_task(session: &Session, turn: &mut Turn, task: i64) -> Result<(), Failure> {
    note(turn, &session.query("DELETE FROM lanes WHERE task = $1 RETURNING origin", &[&task]).await?);
    Ok(())
}

fn note(turn: &mut Turn, origins: &[Row]) {
    turn.changed.extend(origins.iter().map(|row| row.get::<_, i64>(0)));
}

#[cfg(test)]
pub const PLANNED: [&str; 3] = [FREE, HOLD, RESTART];
