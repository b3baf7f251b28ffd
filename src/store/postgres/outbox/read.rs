//! Deliveries as their owners read them, and what waits, for metrics.

use std::collections::HashMap;

use futures::try_join;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{DELIVERED, FAILED, PENDING, head};
use crate::{
    store::{
        Attempt, Backlog, Delivery, DeliveryPage, DeliveryQuery, DeliveryState,
        postgres::session::{Failure, Session},
        rules::{BACKLOG_COUNTED, KEPT_ATTEMPTS, LIST_LOOKED_AT},
    },
    task::{DeliveryId, TaskId, WebhookId},
};

/// Arrivals that are looked at for the oldest: it is among the first of them.
const FIRST_ARRIVALS: i64 = 1000;

/// The newest attempts of deliveries `$1`, at most `$2` of each, oldest first.
const ATTEMPTS: &str = "SELECT c.delivery, a.number, a.time, a.latency, a.status, a.address, a.error, a.excerpt
     FROM unnest($1::bigint[]) AS c (delivery)
     CROSS JOIN LATERAL (SELECT * FROM attempts WHERE attempts.delivery = c.delivery
        ORDER BY attempts.number DESC LIMIT $2) AS a
     ORDER BY c.delivery, a.number";

/// Of pending deliveries: the lane's due time, the delivery under way, what the webhook's state means for it, and the head.
/// What has not been taken in yet has no lane, and waits for nothing.
const DUE: &str = concat!(
    "SELECT l.delivery, lanes.due, lanes.delivery, coalesce(lanes.held, w.state), head.key
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS l (delivery, webhook, task)
     JOIN webhooks AS w ON w.key = l.webhook
     LEFT JOIN lanes ON lanes.task = l.task AND lanes.webhook = l.webhook
     CROSS JOIN LATERAL ",
    head!(),
    " AS head"
);

/// Whose a delivery is.
struct Receiver {
    id: WebhookId,
    owner: String,
}

/// A row of `deliveries` with what its conditions are about.
struct Found {
    key: i64,
    webhook: i64,
    task: i64,
    /// None: it was removed.
    receiver: Option<Receiver>,
    task_id: Option<TaskId>,
    sequence: u64,
    state: i32,
    created: i64,
    attempts: u32,
}

impl Found {
    fn read(row: &Row) -> Self {
        let id: Option<Uuid> = row.get(7);
        let owner: Option<String> = row.get(8);
        let receiver = id.zip(owner).map(|(id, owner)| Receiver { id: WebhookId::from_bytes(id.into_bytes()), owner });
        let task_id: Option<Uuid> = row.get(9);
        Self {
            key: row.get(0),
            webhook: row.get(1),
            task: row.get(2),
            sequence: row.get::<_, i64>(3).cast_unsigned(),
            state: row.get(4),
            created: row.get(5),
            attempts: u32::try_from(row.get::<_, i32>(6)).unwrap_or(0),
            receiver,
            task_id: task_id.map(|id| TaskId::from_bytes(id.into_bytes())),
        }
    }

    /// Which one it is, if it is wanted.
    fn id(&self, query: &DeliveryQuery) -> Option<DeliveryId> {
        let (Some(receiver), Some(task)) = (&self.receiver, self.task_id) else { return None };
        let wanted = receiver.owner == *query.owner
            && query.webhook.is_none_or(|webhook| webhook == receiver.id)
            && query.state.is_none_or(|state| state_code(state) == self.state)
            && query.from.is_none_or(|from| self.created >= from)
            && query.to.is_none_or(|to| self.created < to);
        wanted.then_some(DeliveryId { webhook: receiver.id, task, sequence: self.sequence })
    }
}

fn state_code(state: DeliveryState) -> i32 {
    match state {
        DeliveryState::Pending => PENDING,
        DeliveryState::Delivered => DELIVERED,
        DeliveryState::Failed => FAILED,
    }
}

fn state_of(code: i32) -> DeliveryState {
    match code {
        DELIVERED => DeliveryState::Delivered,
        FAILED => DeliveryState::Failed,
        _ => DeliveryState::Pending,
    }
}

/// The rows that a page may hold, newest first, by the narrowest index there is: ranges of both its columns, for by keys
/// alone all would be gone through. Whatever the index does not know is checked on each, so that a page's bound holds for
/// all that is looked at: also what was removed is a row here.
fn statement(query: &DeliveryQuery) -> String {
    let range = |column: &str, of: &str, and: &str| {
        format!("(p.{column}, p.key) < ({of}, $1) AND p.{column} >= {of}{and} ORDER BY p.{column} DESC, p.key DESC")
    };
    let page = if query.task.is_some() {
        range("task", "(SELECT t.key FROM tasks AS t WHERE t.id = $3)", "")
    } else if query.webhook.is_some() {
        let failed = if query.state == Some(DeliveryState::Failed) { " AND p.state = 2" } else { "" };
        range("webhook", "(SELECT w.key FROM webhooks AS w WHERE w.id = $3)", failed)
    } else {
        "p.key < $1 ORDER BY p.key DESC".to_owned()
    };
    format!(
        "SELECT d.key, d.webhook, d.task, d.sequence, d.state, d.created, d.attempts, w.id, w.owner, t.id
         FROM (SELECT * FROM deliveries AS p WHERE {page} LIMIT $2) AS d
         LEFT JOIN webhooks AS w ON w.key = d.webhook LEFT JOIN tasks AS t ON t.key = d.task
         ORDER BY d.key DESC"
    )
}

/// See `Webhooks::deliveries`.
pub async fn list(session: &Session, query: &DeliveryQuery) -> Result<DeliveryPage, Failure> {
    let (found, next) = find(session, query).await?;
    let keys: Vec<i64> = found.iter().map(|(_, found)| found.key).collect();
    let pending = || found.iter().map(|(_, found)| found).filter(|found| found.state == PENDING);
    let waiting: Vec<i64> = pending().map(|found| found.key).collect();
    let webhooks: Vec<i64> = pending().map(|found| found.webhook).collect();
    let tasks: Vec<i64> = pending().map(|found| found.task).collect();
    let lanes: [&(dyn ToSql + Sync); 3] = [&waiting, &webhooks, &tasks];
    let kept = i64::from(KEPT_ATTEMPTS);
    let told: [&(dyn ToSql + Sync); 2] = [&keys, &kept];
    let (told, lanes) = try_join!(session.query(ATTEMPTS, &told), session.query(DUE, &lanes))?;
    let mut attempts: HashMap<i64, Vec<Attempt>> = HashMap::new();
    for row in told {
        attempts.entry(row.get(0)).or_default().push(attempt(&row));
    }
    let due: HashMap<i64, &Row> = lanes.iter().map(|row| (row.get(0), row)).collect();
    let complete = |(id, found): (DeliveryId, Found)| Delivery {
        id,
        state: state_of(found.state),
        created: found.created,
        due: due.get(&found.key).and_then(|row| due_at(row, &found)),
        attempts: attempts.remove(&found.key).unwrap_or_default(),
        attempt_count: found.attempts,
    };
    Ok(DeliveryPage { deliveries: found.into_iter().map(complete).collect(), next })
}

/// The deliveries of a page, and the place to go on before, if there is more. Most pages take one look.
async fn find(session: &Session, query: &DeliveryQuery) -> Result<(Vec<(DeliveryId, Found)>, Option<i64>), Failure> {
    let statement = statement(query);
    let task = query.task.map(|id| Uuid::from_bytes(id.to_bytes()));
    let webhook = query.webhook.map(|id| Uuid::from_bytes(id.to_bytes()));
    let of = task.or(webhook);
    let mut before = query.before.unwrap_or(i64::MAX);
    let (mut found, mut looked_at) = (Vec::new(), 0);
    let mut look_at = query.limit.saturating_add(1);
    loop {
        // One more than there may be tells whether there are more.
        look_at = look_at.min(LIST_LOOKED_AT + 1 - looked_at);
        let limit = i64::try_from(look_at).unwrap_or(i64::MAX);
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&before, &limit];
        values.extend(of.as_ref().map(|of| of as &(dyn ToSql + Sync)));
        let rows = session.query(&statement, &values).await?;
        let all = rows.len() < look_at;
        for row in &rows {
            let delivery = Found::read(row);
            if found.len() >= query.limit || looked_at >= LIST_LOOKED_AT {
                return Ok((found, (looked_at > 0).then_some(before)));
            }
            looked_at += 1;
            before = delivery.key;
            if let Some(id) = delivery.id(query) {
                found.push((id, delivery));
            }
        }
        if all {
            return Ok((found, None));
        }
        look_at = look_at.saturating_mul(4);
    }
}

fn attempt(row: &Row) -> Attempt {
    Attempt {
        number: u32::try_from(row.get::<_, i32>(1)).unwrap_or(0),
        time: row.get(2),
        latency: u32::try_from(row.get::<_, i64>(3)).unwrap_or(u32::MAX),
        status: u16::try_from(row.get::<_, i32>(4)).unwrap_or(0),
        address: row.get(5),
        error: row.get(6),
        excerpt: row.get(7),
    }
}

/// When a pending delivery is due, if its turn has come.
fn due_at(row: &Row, found: &Found) -> Option<i64> {
    let (due, claimed): (Option<i64>, Option<i64>) = (row.get(1), row.get(2));
    let (held, head): (i64, i64) = (row.get(3), row.get(4));
    let turn = match claimed {
        Some(claimed) => Some(claimed),
        None if held > 0 => None,
        None => Some(head),
    };
    // What is due at once is so since the last round, which may have been before the event.
    turn.filter(|key| *key == found.key).map(|_| due.unwrap_or(found.created).max(found.created))
}

fn backlog_statement() -> String {
    let left = |state: i32| {
        format!(
            "(SELECT coalesce(sum((SELECT count(*) FROM deliveries AS d WHERE d.webhook = r.webhook AND d.state = {state})), 0)
              FROM removed AS r)::bigint"
        )
    };
    format!(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE state = 0 LIMIT {BACKLOG_COUNTED}) AS p), {},
            (SELECT count(*) FROM deliveries WHERE state = 2), {},
            (SELECT count(*) FROM origins WHERE open_for > 0),
            least((SELECT created FROM lanes WHERE held = 0 ORDER BY created LIMIT 1),
                (SELECT min(a.created) FROM
                    (SELECT webhook, created FROM arrivals ORDER BY key LIMIT {FIRST_ARRIVALS}) AS a
                 WHERE (SELECT w.state FROM webhooks AS w WHERE w.key = a.webhook) = 0))",
        left(PENDING),
        left(FAILED)
    )
}

/// See `Outbox::backlog`.
pub async fn backlog(session: &Session) -> Result<Backlog, Failure> {
    let row = session.query_one(&backlog_statement(), &[]).await?;
    let number = |at: usize| row.get::<_, i64>(at).cast_unsigned();
    Ok(Backlog {
        pending: number(0).saturating_sub(number(1)),
        oldest: row.get(5),
        failed: number(2).saturating_sub(number(3)),
        open_circuits: number(4),
    })
}

#[cfg(test)]
pub fn planned() -> Vec<String> {
    vec![ATTEMPTS.to_owned(), DUE.to_owned(), backlog_statement()]
}

#[cfg(test)]
pub fn planned_lists() -> Vec<String> {
    let webhook = Some(WebhookId::mint());
    let task = Some(TaskId::mint());
    let failed = Some(DeliveryState::Failed);
    let queries = [
        DeliveryQuery::default(),
        DeliveryQuery { webhook, ..DeliveryQuery::default() },
        DeliveryQuery { task, ..DeliveryQuery::default() },
        DeliveryQuery { webhook, task, ..DeliveryQuery::default() },
        DeliveryQuery { webhook, state: failed, ..DeliveryQuery::default() },
    ];
    queries.iter().map(statement).collect()
}
