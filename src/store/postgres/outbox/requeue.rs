//! Makes deliveries due again, in their place: a lane's order stays that of its events.

use std::collections::BTreeSet;

use tokio_postgres::Row;
use uuid::Uuid;

use super::{PENDING, Turn, arrivals, enter, head};
use crate::{
    store::{
        Redelivery, Requeued,
        postgres::{
            Shared,
            session::{Failure, Session},
        },
        rules::{REQUEUE_LOOKED_AT, REQUEUED_AT_ONCE},
    },
    task::{DeliveryId, WebhookId},
};

const RECEIVER: &str = "SELECT key, state FROM webhooks WHERE id = $1 AND owner = $2";
/// Ranges of an index that has both columns: by keys alone all webhooks' would be gone through.
const OF_WEBHOOK: &str = "SELECT key, task, state, created FROM deliveries
     WHERE (webhook, key) > ($1, $2) AND webhook <= $1 ORDER BY webhook, key LIMIT $3";
const FAILED_OF_WEBHOOK: &str = "SELECT key, task, state, created FROM deliveries
     WHERE (webhook, key) > ($1, $2) AND webhook <= $1 AND state = 2 ORDER BY webhook, key LIMIT $3";
const ONE: &str = "SELECT d.key, d.task, d.state, d.created FROM deliveries AS d
     WHERE d.webhook = $1 AND d.task = (SELECT t.key FROM tasks AS t WHERE t.id = $2) AND d.sequence = $3";

const REQUEUE: &str = "UPDATE deliveries AS d SET state = 0, settled = NULL, tries = 0
     FROM unnest($1::bigint[]) AS r (key) WHERE d.key = r.key";

/// Lanes of webhook `$1` about tasks `$2` whose head is one of the deliveries `$3`, and under way is not: they need not
/// wait as long as what waited already.
const SOONER: &str = concat!(
    "UPDATE lanes SET due = least(lanes.due, $4), retry = false, created = n.created
     FROM (SELECT l.key, head.created FROM unnest($2::bigint[]) AS c (task)
        JOIN lanes AS l ON l.task = c.task AND l.webhook = $1 AND l.token IS NULL
        CROSS JOIN LATERAL ",
    head!(),
    " AS head WHERE head.key = ANY($3)) AS n
     WHERE lanes.key = n.key RETURNING lanes.origin"
);

struct Found {
    key: i64,
    task: i64,
    state: i32,
    created: i64,
}

impl Found {
    fn read(row: &Row) -> Self {
        Self { key: row.get(0), task: row.get(1), state: row.get(2), created: row.get(3) }
    }
}

/// Whose deliveries they are: the webhook's key and state.
struct Receiver {
    webhook: i64,
    state: i64,
}

/// See `Webhooks::redeliver`. Also tells whether something became due.
pub async fn redeliver(
    shared: &Shared,
    session: &Session,
    owner: &str,
    wanted: &Redelivery,
) -> Result<(Requeued, bool), Failure> {
    let mut turn = enter(shared, session).await?;
    let id = match wanted {
        Redelivery::One(DeliveryId { webhook, .. }) | Redelivery::Many { webhook, .. } => *webhook,
    };
    let requeued = match receiver(session, owner, id).await? {
        None => Requeued::default(),
        Some(receiver) => match wanted {
            Redelivery::One(id) => one(session, &mut turn, &receiver, *id).await?,
            Redelivery::Many { .. } => many(session, &mut turn, &receiver, wanted).await?,
        },
    };
    Ok((requeued, turn.finish(session).await?))
}

async fn receiver(session: &Session, owner: &str, id: WebhookId) -> Result<Option<Receiver>, Failure> {
    let found = session.query_opt(RECEIVER, &[&Uuid::from_bytes(id.to_bytes()), &owner]).await?;
    Ok(found.map(|row| Receiver { webhook: row.get(0), state: row.get(1) }))
}

async fn one(session: &Session, turn: &mut Turn, receiver: &Receiver, id: DeliveryId) -> Result<Requeued, Failure> {
    let Ok(sequence) = i64::try_from(id.sequence) else { return Ok(Requeued::default()) };
    let found = session.query_opt(ONE, &[&receiver.webhook, &Uuid::from_bytes(id.task.to_bytes()), &sequence]).await?;
    let Some(found) = found.as_ref().map(Found::read) else { return Ok(Requeued::default()) };
    if found.state != PENDING {
        requeue(session, turn, receiver, &[found]).await?;
    }
    Ok(Requeued { count: 1, next: None })
}

async fn many(
    session: &Session,
    turn: &mut Turn,
    receiver: &Receiver,
    wanted: &Redelivery,
) -> Result<Requeued, Failure> {
    let Redelivery::Many { from, to, failed_only, after, .. } = wanted else { return Ok(Requeued::default()) };
    let query = if *failed_only { FAILED_OF_WEBHOOK } else { OF_WEBHOOK };
    let looked_at = i64::try_from(REQUEUE_LOOKED_AT).unwrap_or(i64::MAX);
    let found = session.query(query, &[&receiver.webhook, after, &looked_at]).await?;
    let (mut requeued, mut chosen) = (Requeued::default(), Vec::new());
    for (index, row) in found.iter().enumerate() {
        let delivery = Found::read(row);
        let key = delivery.key;
        if delivery.state != PENDING && (*from..*to).contains(&delivery.created) {
            chosen.push(delivery);
            requeued.count += 1;
        }
        let last = index + 1 == found.len();
        if requeued.count >= REQUEUED_AT_ONCE && !last || last && found.len() == REQUEUE_LOOKED_AT {
            requeued.next = Some(key);
            break;
        }
    }
    requeue(session, turn, receiver, &chosen).await?;
    Ok(requeued)
}

async fn requeue(session: &Session, turn: &mut Turn, receiver: &Receiver, all: &[Found]) -> Result<(), Failure> {
    if all.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = all.iter().map(|found| found.key).collect();
    let tasks: BTreeSet<i64> = all.iter().map(|found| found.task).collect();
    let tasks: Vec<i64> = tasks.into_iter().collect();
    session.execute(REQUEUE, &[&keys]).await?;
    let sooner = session.query(SOONER, &[&receiver.webhook, &tasks, &keys, &turn.now]).await?;
    turn.changed.extend(sooner.iter().map(|row| row.get::<_, i64>(0)));
    let made = arrivals::make_lanes(session, turn, &vec![receiver.webhook; tasks.len()], &tasks).await?;
    turn.due |= receiver.state == 0 && (made || !sooner.is_empty());
    Ok(())
}

#[cfg(test)]
pub const PLANNED: [&str; 6] = [RECEIVER, OF_WEBHOOK, FAILED_OF_WEBHOOK, ONE, REQUEUE, SOONER];
