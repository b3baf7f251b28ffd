//! Request ids: each makes one task, in whichever process and batch it comes.

use std::collections::HashSet;

use futures::future::try_join;
use uuid::Uuid;

use super::{batch::Results, queue::Work};
use crate::{
    error::Error,
    store::{
        Identity, Receipt, Request,
        codes::Outcome,
        postgres::{
            read::{self, uuid},
            session::{Failure, Session},
        },
    },
};

/// How often a request id is looked at again that others remember and forget at the same time.
const TRIES: usize = 8;

const FORGET_EXPIRED: &str = "DELETE FROM requests USING unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
        AS asked (owner, agent, id, now)
     WHERE requests.owner = asked.owner AND requests.agent = asked.agent AND requests.id = asked.id
       AND requests.expires <= asked.now";

/// Waits for others that are about to remember the same.
const REMEMBER: &str = "INSERT INTO requests (owner, agent, id, digest, task, expires)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::uuid[], $6::bigint[])
     ON CONFLICT DO NOTHING RETURNING task";

const RECALL: &str = "SELECT asked.number, requests.digest, requests.task
     FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[]) AS asked (owner, agent, id, now, number)
     JOIN requests ON requests.owner = asked.owner AND requests.agent = asked.agent AND requests.id = asked.id
     WHERE requests.expires > asked.now";

const FORGET: &str = "DELETE FROM requests USING unnest($1::text[], $2::text[], $3::text[], $4::uuid[])
        AS refused (owner, agent, id, task)
     WHERE requests.owner = refused.owner AND requests.agent = refused.agent AND requests.id = refused.id
       AND requests.task = refused.task";

/// What has a request id, by its place in the batch.
struct Asked<'a> {
    number: usize,
    identity: &'a Identity,
    request: &'a Request,
    now: i64,
}

/// The columns of what has request ids.
struct Columns<'a> {
    owners: Vec<&'a str>,
    agents: Vec<&'a str>,
    ids: Vec<&'a str>,
    tasks: Vec<Uuid>,
    nows: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn of(asked: &[Asked<'a>]) -> Self {
        Self {
            owners: asked.iter().map(|asked| &*asked.identity.owner).collect(),
            agents: asked.iter().map(|asked| &*asked.identity.agent).collect(),
            ids: asked.iter().map(|asked| &*asked.request.id).collect(),
            tasks: asked.iter().map(|asked| uuid(asked.identity.id)).collect(),
            nows: asked.iter().map(|asked| asked.now).collect(),
        }
    }
}

fn asked<'a>(works: &[&'a Work], wanted: impl Fn(usize) -> bool) -> Vec<Asked<'a>> {
    let asked = works.iter().enumerate().filter(|(number, _)| wanted(*number));
    let asked = asked.filter_map(|(number, work)| {
        let now = match work {
            Work::Create(new) => new.event.time,
            Work::Append(append) => Outcome::of(append).now,
        };
        work.request().map(|request| Asked { number, identity: work.identity(), request, now })
    });
    let mut asked: Vec<_> = asked.collect();
    // Always in the same order: nobody waits for somebody who waits for it.
    asked.sort_unstable_by_key(|asked| (&asked.identity.owner, &asked.identity.agent, &asked.request.id));
    asked
}

/// Remembers the request ids of what is undecided; what they were used for decides the others.
pub async fn claim(session: &Session, works: &[&Work], results: &mut Results) -> Result<(), Failure> {
    let mut left = asked(works, |number| results[number].is_none());
    for _ in 0..TRIES {
        if left.is_empty() {
            return Ok(());
        }
        let Columns { owners, agents, ids, tasks, nows } = Columns::of(&left);
        let digests: Vec<&[u8]> = left.iter().map(|asked| &asked.request.digest[..]).collect();
        let expires: Vec<i64> = left.iter().map(|asked| asked.request.expires).collect();
        let (_, claimed) = try_join(
            session.execute(FORGET_EXPIRED, &[&owners, &agents, &ids, &nows]),
            session.query(REMEMBER, &[&owners, &agents, &ids, &digests, &tasks, &expires]),
        )
        .await?;
        let claimed: HashSet<Uuid> = claimed.iter().map(|row| row.get(0)).collect();
        left.retain(|asked| !claimed.contains(&uuid(asked.identity.id)));
        if left.is_empty() {
            return Ok(());
        }
        let Columns { owners, agents, ids, nows, .. } = Columns::of(&left);
        let numbers: Vec<i64> = (0_i64..).zip(&left).map(|(number, _)| number).collect();
        let recalled = session.query(RECALL, &[&owners, &agents, &ids, &nows, &numbers]).await?;
        for row in &recalled {
            let place = usize::try_from(row.get::<_, i64>(0)).unwrap_or(usize::MAX);
            let Some(asked) = left.get(place) else { continue };
            results[asked.number] = Some(read::used(row, 1)?.replay(&asked.request.digest).map(Receipt::Replayed));
        }
        left.retain(|asked| results[asked.number].is_none());
    }
    Err(Error::internal("remembering a request id", "others remember and forget it all the time").into())
}

/// Forgets the request ids of what was refused after all.
pub async fn forget(session: &Session, works: &[&Work], refused: &[usize]) -> Result<(), Failure> {
    let refused = asked(works, |number| refused.contains(&number));
    if refused.is_empty() {
        return Ok(());
    }
    let Columns { owners, agents, ids, tasks, .. } = Columns::of(&refused);
    session.execute(FORGET, &[&owners, &agents, &ids, &tasks]).await.map(drop)
}

#[cfg(test)]
pub const PLANNED: [&str; 4] = [FORGET_EXPIRED, REMEMBER, RECALL, FORGET];
