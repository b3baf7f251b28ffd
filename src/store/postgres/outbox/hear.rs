//! Who hears of events: deliveries are written in the transaction of their events, and an arrival for each webhook and
//! task. Nothing else is written, so that commits do not wait for each other.

use std::sync::Arc;

use crate::{
    proto::a2a::{Role, stream_response::Payload},
    store::{
        Identity,
        postgres::{
            Shared,
            session::{Failure, Session},
        },
        rules::events_code,
    },
    task::{Event, Events},
};

/// Events of a task that were stored in this transaction.
pub struct Heard<'a> {
    /// The task's key.
    pub task: i64,
    /// Whose it is.
    pub identity: &'a Identity,
    /// Whether the task has webhooks of its own.
    pub own: bool,
    /// The events.
    pub events: &'a [Arc<Event>],
}

/// `$1` to `$4` are the tasks, where they have webhooks of their own with what those call them; `$5` to `$8` their events,
/// in order. True: some of what was written may be due at once. What stands behind others of its lane is not, unless the
/// first of them is under way: when that ends nobody may see what is written here. (The offsets have each task's webhooks
/// looked for, whatever the planner believes of the table.)
pub const HEAR: &str = "
    WITH ears AS MATERIALIZED (
        SELECT h.task, w.key, w.events, w.state
        FROM unnest($1::bigint[], $2::text[], $4::text[]) AS h (task, owner, id)
        CROSS JOIN LATERAL (SELECT * FROM webhooks AS o WHERE o.owner = h.owner AND o.task = h.id AND o.task <> ''
            AND o.task_key = h.task AND o.state <= 1 OFFSET 0) AS w
        UNION ALL
        SELECT h.task, w.key, w.events, w.state
        FROM unnest($1::bigint[], $2::text[], $3::text[]) AS h (task, owner, agent)
        CROSS JOIN LATERAL (SELECT * FROM webhooks AS o WHERE o.owner = h.owner AND o.agent = h.agent AND o.task = ''
            AND o.state <= 1 OFFSET 0) AS w
    ), written AS (
        INSERT INTO deliveries (webhook, task, sequence, created)
        SELECT ears.key, said.task, said.sequence, said.created
        FROM unnest($5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]) WITH ORDINALITY
             AS said (task, sequence, created, kind, place)
        JOIN ears ON ears.task = said.task AND ears.events & said.kind <> 0
        ORDER BY said.place, ears.key
        RETURNING webhook, task, created
    ), arrived AS (
        INSERT INTO arrivals (webhook, task, created)
        SELECT webhook, task, min(created) FROM written GROUP BY webhook, task
        RETURNING webhook, task
    )
    SELECT coalesce(bool_or(ears.state = 0
        AND (NOT EXISTS (SELECT 1 FROM deliveries AS before WHERE before.webhook = arrived.webhook
                            AND before.task = arrived.task AND before.state = 0)
            OR EXISTS (SELECT 1 FROM lanes WHERE lanes.task = arrived.task AND lanes.webhook = arrived.webhook
                            AND lanes.token IS NOT NULL))), false)
    FROM arrived JOIN ears ON ears.task = arrived.task AND ears.key = arrived.webhook";

/// Writes what webhooks are to hear of events, in the transaction of these. True: some of it may be due at once.
pub async fn hear(shared: &Shared, session: &Session, heard: &[Heard<'_>]) -> Result<bool, Failure> {
    let heard: Vec<_> = heard.iter().filter(|heard| !heard.events.is_empty()).collect();
    if heard.is_empty() || !shared.settings.webhooks_enabled {
        return Ok(false);
    }
    let tasks: Vec<i64> = heard.iter().map(|heard| heard.task).collect();
    let owners: Vec<&str> = heard.iter().map(|heard| &*heard.identity.owner).collect();
    let agents: Vec<&str> = heard.iter().map(|heard| &*heard.identity.agent).collect();
    let ids: Vec<Option<String>> = heard.iter().map(|heard| heard.own.then(|| heard.identity.id.to_string())).collect();
    let said = || heard.iter().flat_map(|heard| heard.events.iter().map(|event| (heard.task, event)));
    let of: Vec<i64> = said().map(|(task, _)| task).collect();
    let sequences: Vec<i64> = said().map(|(_, event)| event.sequence.cast_signed()).collect();
    let times: Vec<i64> = said().map(|(_, event)| event.time).collect();
    let kinds: Vec<i64> = said().map(|(_, event)| events_code(kind(event.payload()))).collect();
    let row = session.query_one(HEAR, &[&tasks, &owners, &agents, &ids, &of, &sequences, &times, &kinds]).await?;
    Ok(row.get(0))
}

/// What a webhook must want to hear of this: see [`Events::include`].
fn kind(payload: &Payload) -> Events {
    let none = Events { status: false, artifacts: false, messages: false };
    match payload {
        Payload::Task(_) | Payload::StatusUpdate(_) => Events { status: true, ..none },
        Payload::ArtifactUpdate(_) => Events { artifacts: true, ..none },
        Payload::Message(message) if message.role() == Role::Agent => Events { status: true, ..none },
        Payload::Message(_) => Events { messages: true, ..none },
    }
}
