//! The feed: the events of all tasks, in the order of the transactions that committed them.

use tokio_postgres::Row;

use super::{COLUMN_COUNT, COLUMNS, Header, clamped, number};
use crate::store::{
    Commit, FeedPage,
    codes::{PAGE_BYTES, PAGE_EVENTS},
    postgres::session::{Failure, Session},
    segment,
};

/// A piece of the feed.
pub struct Feed {
    pub page: FeedPage,
    /// Whether there are commits whose place is still open.
    pub open: bool,
}

/// What is before the oldest transaction under way stays as it is: none that comes to be is among it. Transactions of the
/// server's other databases are under way as well; they are looked up, and left out, where something waits for them. The last
/// columns are about the feed as a whole, the others about one segment, if there is any.
///
/// No place is told beyond what has been stored: ids of transactions that stored nothing may be given out again after a
/// crash.
pub(super) fn statement() -> String {
    format!(
        "WITH ends AS MATERIALIZED (
            SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + $2) << 20 AS oldest,
                   (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + $2) << 20 AS head),
         bounds AS MATERIALIZED (
            SELECT head, CASE WHEN EXISTS (SELECT 1 FROM segments WHERE position >= oldest)
                THEN coalesce((
                    SELECT (min(running.id::text::bigint) + $2) << 20
                    FROM pg_snapshot_xip(pg_current_snapshot()) AS running (id)
                    WHERE NOT EXISTS (
                        SELECT 1 FROM pg_stat_get_activity(NULL) AS elsewhere
                        JOIN pg_database ON pg_database.oid = elsewhere.datid AND datname <> current_database()
                        WHERE elsewhere.backend_xid::text::bigint = running.id::text::bigint & 4294967295)), head)
                ELSE oldest END AS horizon
            FROM ends)
         SELECT {COLUMNS}, page.position, page.first, page.data, least(bounds.horizon, stored.position + 1),
                least(bounds.head, stored.position + 1),
                (SELECT value FROM meta WHERE name = 'feed_floor'),
                EXISTS (SELECT 1 FROM segments WHERE position >= bounds.horizon)
         FROM bounds
         CROSS JOIN (SELECT greatest((SELECT max(position) FROM segments),
                                     (SELECT value FROM meta WHERE name = 'feed_floor')) AS position) AS stored
         LEFT JOIN LATERAL (
            SELECT task, position, first, data, sum(octet_length(data)) OVER
                   (ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes
            FROM (SELECT task, position, first, data FROM segments
                  WHERE position > $1 AND position < bounds.horizon ORDER BY position LIMIT {PAGE_EVENTS}) AS found
         ) AS page ON coalesce(page.bytes, 0) < {PAGE_BYTES}
         LEFT JOIN tasks ON tasks.key = page.task"
    )
}

/// See `Store::feed`. `base`: what is added to transactions' ids.
pub async fn feed(session: &Session, base: i64, after: u64) -> Result<Feed, Failure> {
    let rows = session.query(&statement(), &[&clamped(after), &base]).await?;
    let mut commits = rows.iter().filter_map(commit).collect::<Result<Vec<_>, _>>()?;
    commits.sort_unstable_by_key(|commit| commit.position);
    let bounds = rows.first();
    let bound = |at| bounds.map_or(0, |row| number(row, COLUMN_COUNT + at));
    let page =
        FeedPage { commits, head: bound(4).saturating_sub(1), stable: bound(3).saturating_sub(1), floor: bound(5) };
    Ok(Feed { page, open: bounds.is_some_and(|row| row.get(COLUMN_COUNT + 6)) })
}

/// The commit of a row; none: there is no segment in it.
fn commit(row: &Row) -> Option<Result<Commit, Failure>> {
    row.get::<_, Option<i64>>(0)?;
    let identity = Header::read(row).identity;
    let events = segment::decode(identity.id, number(row, COLUMN_COUNT + 1), 0, row.get(COLUMN_COUNT + 2));
    let position = number(row, COLUMN_COUNT);
    Some(events.map(|events| Commit { position, identity, events }).map_err(Failure::from))
}
