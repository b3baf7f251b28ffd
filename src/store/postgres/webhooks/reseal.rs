//! At opening: every webhook's secrets are brought under the current key, or the store does not open.
//!
//! Most of the time there is nothing to do, and nobody waits. Else it has the outbox lock, and other processes that begin
//! find it done. A process with older keys alone no longer reads what was sealed anew: so a new key is given to all of
//! them, as an older one, before it is anyone's current one.

use uuid::Uuid;

use super::super::{
    OpenError,
    schema::OUTBOX_LOCK,
    session::{Failure, Session},
};
use crate::{store::Keys, task::WebhookId};

/// Webhooks that are looked at in one piece.
const AT_ONCE: i64 = 1000;

const PIECE: &str = "SELECT key, id, secrets FROM webhooks WHERE key > $1 ORDER BY key LIMIT $2";
const WRITE: &str =
    "UPDATE webhooks AS w SET secrets = n.secrets FROM unnest($1::bigint[], $2::bytea[]) AS n (key, secrets)
     WHERE w.key = n.key";

/// What resealing changed.
#[derive(Default)]
struct Changes {
    count: usize,
    were_plain: bool,
    are_plain: bool,
}

/// Brings secrets that are not as they would be written now into that form.
///
/// # Errors
/// `Sealed` when no key opens one. Nothing of them was changed then.
pub async fn reseal(session: &Session, keys: &Keys) -> Result<(), OpenError> {
    session.batch("BEGIN").await?;
    let changes = match all(session, keys).await {
        Ok(changes) => changes,
        Err(error) => {
            session.batch("ROLLBACK").await?;
            return Err(error);
        }
    };
    session.batch("COMMIT").await?;
    match changes.count {
        0 => {}
        webhooks if changes.are_plain => {
            tracing::warn!(webhooks, "no key is configured: webhook secrets are stored in plain text again");
        }
        webhooks => tracing::info!(webhooks, "webhook secrets are now stored under the key that is configured"),
    }
    if changes.were_plain {
        // Rows of before stay in the table's pages until then.
        erase(session).await;
    }
    Ok(())
}

async fn all(session: &Session, keys: &Keys) -> Result<Changes, OpenError> {
    let mut changes = Changes::default();
    let (mut after, mut locked) = (0_i64, false);
    loop {
        let piece = session.query(PIECE, &[&after, &AT_ONCE]).await?;
        let Some(last) = piece.last() else { return Ok(changes) };
        if !locked && !piece.iter().all(|row| keys.is_current(row.get(2))) {
            session.query(OUTBOX_LOCK, &[]).await?;
            locked = true;
            // It may have changed meanwhile.
            continue;
        }
        after = last.get(0);
        let (mut changed, mut secrets) = (Vec::new(), Vec::new());
        for row in &piece {
            let (key, id, stored): (i64, Uuid, &[u8]) = (row.get(0), row.get(1), row.get(2));
            let id = WebhookId::from_bytes(id.into_bytes());
            let opened = keys.open(id, stored).ok_or(OpenError::Sealed)?;
            if keys.is_current(stored) {
                continue;
            }
            let sealed = keys.seal(id, &opened).map_err(|_| OpenError::Randomness)?;
            changes.were_plain |= Keys::is_plain(stored);
            changes.are_plain |= Keys::is_plain(&sealed);
            changed.push(key);
            secrets.push(sealed);
        }
        if !changed.is_empty() {
            changes.count += changed.len();
            session.execute(WRITE, &[&changed, &secrets]).await?;
        }
    }
}

/// Clears the table's pages of what they held before. Backups and the write-ahead log keep it until they are gone.
async fn erase(session: &Session) {
    let erased: Result<(), Failure> = session.batch("VACUUM webhooks").await;
    if let Err(failure) = erased {
        tracing::warn!(?failure, "unused parts of the database may still hold webhook secrets in plain text");
    }
}
