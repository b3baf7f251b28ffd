//! A dispatcher's round: what came of attempts is recorded, then what is due is claimed.
//!
//! Where the database's clock counts, the asker's is only translated: what it says is due later is due as much later by
//! the database's, and it is told of the next time by its own.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Turn, arrivals, claim, lanes, origins,
    record::{Recorded, record},
};
use crate::{
    error::Result,
    store::{
        Claims, Round,
        postgres::{
            Shared, Timekeeper,
            session::{Failure, Session},
        },
    },
};

/// Claims that end without a result: those whose time is over at `$1`, and those of processes that no longer live.
/// Processes are few, so that they are found one by one.
const ENDED: &str = "WITH RECURSIVE holders (id) AS (
        (SELECT holder FROM lanes WHERE token IS NOT NULL ORDER BY holder LIMIT 1)
        UNION ALL
        SELECT (SELECT holder FROM lanes WHERE token IS NOT NULL AND holder > holders.id ORDER BY holder LIMIT 1)
        FROM holders WHERE holders.id IS NOT NULL)
     SELECT key, due, origin, moved FROM lanes WHERE until <= $1
     UNION
     SELECT l.key, l.due, l.origin, l.moved FROM holders
     JOIN lanes AS l ON l.holder = holders.id AND l.token IS NOT NULL
     WHERE NOT EXISTS (SELECT 1 FROM replicas WHERE replicas.id = holders.id)";

const EXTEND: &str = "UPDATE lanes SET until = least(until, $2) + $1 WHERE until IS NOT NULL";

const NOTE: &str = "UPDATE meta SET value = CASE name WHEN 'round' THEN $1::bigint ELSE $2::bigint END
     WHERE name IN ('round', 'token')";

/// See `Outbox::dispatch`.
pub async fn dispatch(shared: &Shared, round: Round) -> Result<Claims> {
    let work = |session: Arc<Session>| {
        let round = &round;
        async move { turn(shared, &session, round).await }
    };
    let (claims, turn) = shared.outbox.run(work).await?;
    if shared.settings.timekeeper == Timekeeper::Asker {
        shared.told.store(turn.now, Ordering::Release);
    }
    if turn.due {
        shared.listener.due();
    }
    Ok(claims)
}

async fn turn(shared: &Shared, session: &Session, round: &Round) -> Result<(Claims, Turn), Failure> {
    let mut turn = Turn::begin(shared, session).await?;
    clock(shared, session, &mut turn, round).await?;
    let more = arrivals::take_in(session, &mut turn).await?;
    let mut recorded = record(session, &mut turn, round).await?;
    end(session, &mut turn, &mut recorded).await?;
    let due = lanes::free(session, &mut turn, &recorded.freed).await?;
    origins::measure(session, &std::mem::take(&mut turn.changed), &round.limits).await?;
    origins::tidy(session, &recorded.left).await?;
    let token = turn.token;
    let mut claims = claim::claim(shared, session, &mut turn, round).await?;
    claims.refused = recorded.refused;
    claims.next = claims.next.map(|next| next.saturating_sub(turn.offset));
    if more {
        claims.next = Some(round.now);
    }
    // What the limits keep back is not for another dispatcher either.
    let stopped = claims.claims.len() >= round.take;
    let mut of_results = round.results.iter().map(|result| result.ticket.lane).filter(|lane| due.contains(lane));
    turn.due |= stopped && !of_results.all(|lane| claims.claims.iter().any(|claim| claim.ticket.lane == lane));
    if turn.token != token || turn.now.abs_diff(turn.noted) >= 1000 {
        session.execute(NOTE, &[&turn.now, &turn.token]).await?;
    }
    Ok((claims, turn))
}

/// Takes the time, and does what its having been set means.
async fn clock(shared: &Shared, session: &Session, turn: &mut Turn, round: &Round) -> Result<(), Failure> {
    let before = turn.now;
    let mut forward = 0;
    match shared.settings.timekeeper {
        Timekeeper::Asker => {
            turn.tell_time(round.now);
            // What the clock would show, had it not been set back.
            let told = (round.jumped < 0).then(|| round.now.saturating_sub(round.jumped));
            turn.set_back = turn.set_back.max(told);
            // No further than time went on for the store: another dispatcher may have told of it already.
            forward = round.jumped.min(turn.now.saturating_sub(before));
        }
        Timekeeper::Database => {
            turn.tell_time(turn.database);
            turn.offset = turn.now.saturating_sub(round.now);
        }
    }
    if let Some(before) = turn.set_back {
        bring_forward(session, before, turn.now).await?;
        // What waited for a time may be due now.
        turn.due = true;
    }
    if forward > 0 {
        session.execute(EXTEND, &[&forward, &(i64::MAX - forward)]).await?;
        tracing::info!(milliseconds = forward, "the clock was set forward: attempts under way keep their time");
    }
    Ok(())
}

/// Ends the claims that end without a result.
async fn end(session: &Session, turn: &mut Turn, recorded: &mut Recorded) -> Result<(), Failure> {
    let ended = session.query(ENDED, &[&turn.now]).await?;
    if ended.is_empty() {
        return Ok(());
    }
    let with_result: std::collections::HashSet<i64> = recorded.freed.iter().map(|(lane, _)| *lane).collect();
    for row in ended {
        let (lane, due, origin): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        if with_result.contains(&lane) {
            continue;
        }
        recorded.freed.push((lane, due));
        turn.changed.insert(origin);
        if row.get(3) {
            recorded.left.insert(origin);
        }
    }
    Ok(())
}

/// The clock was set back: what was due later comes earlier by as much; what was due, is.
async fn bring_forward(session: &Session, before: i64, now: i64) -> Result<(), Failure> {
    // The order of times is kept, and so is what is derived from them.
    let moved = |column: &str| {
        format!(
            "{column} = CASE WHEN {column} > $1::bigint THEN {column} - ($1 - $2::bigint) WHEN {column} > $2 THEN $2
                ELSE {column} END"
        )
    };
    let lanes = format!("UPDATE lanes SET {}, {}", moved("due"), moved("until"));
    let columns = ["open_until", "fresh", "retry", "reached_at"].map(moved).join(", ");
    let origins = format!("UPDATE origins SET {columns}");
    for statement in [lanes, origins] {
        session.execute(&statement, &[&before, &now]).await?;
    }
    tracing::info!(
        milliseconds = before - now,
        "the clock was set back: deliveries that wait are due earlier by as much"
    );
    Ok(())
}

#[cfg(test)]
pub const PLANNED: [&str; 2] = [ENDED, EXTEND];
