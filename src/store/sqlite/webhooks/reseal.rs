//! At opening: every webhook's secrets are brought under the current key, or the store does not open.

use rusqlite::{Connection, params};

use crate::{
    store::{seal::Keys, sqlite::OpenError},
    task::WebhookId,
};

/// Brings secrets that are not as they would be written now into that form.
///
/// # Errors
/// `Sealed` when no key opens one. Nothing of them was changed then.
pub fn reseal(connection: &mut Connection, keys: &Keys) -> Result<(), OpenError> {
    let transaction = connection.transaction()?;
    let (mut changed, mut were_plain, mut are_plain) = (0_usize, false, false);
    let mut after = 0;
    loop {
        let piece = piece(&transaction, after)?;
        let Some((last, ..)) = piece.last() else { break };
        after = *last;
        for (key, id, stored) in &piece {
            let secrets = keys.open(*id, stored).ok_or(OpenError::Sealed)?;
            if keys.is_current(stored) {
                continue;
            }
            let sealed = keys.seal(*id, &secrets).map_err(|_| OpenError::Randomness)?;
            were_plain |= Keys::is_plain(stored);
            are_plain |= Keys::is_plain(&sealed);
            transaction
                .prepare_cached("UPDATE webhooks SET secrets = ?2 WHERE key = ?1")?
                .execute(params![key, sealed])?;
            changed += 1;
        }
    }
    transaction.commit()?;
    match changed {
        0 => {}
        _ if are_plain => {
            tracing::warn!(webhooks = changed, "no key is configured: webhook secrets are stored in plain text again");
        }
        _ => tracing::info!(webhooks = changed, "webhook secrets are now stored under the key that is configured"),
    }
    if were_plain && let Err(error) = erase(connection) {
        tracing::warn!(%error, "unused parts of the database may still hold webhook secrets in plain text");
    }
    Ok(())
}

/// Writes the file anew, once: unused parts of its pages, and the log beside it, would keep what was plain.
fn erase(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("VACUUM")?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn piece(sql: &Connection, after: i64) -> rusqlite::Result<Vec<(i64, WebhookId, Vec<u8>)>> {
    let mut statement =
        sql.prepare_cached("SELECT key, id, secrets FROM webhooks WHERE key > ?1 ORDER BY key LIMIT 1000")?;
    statement.query_map([after], |row| Ok((row.get(0)?, WebhookId::from_bytes(row.get(1)?), row.get(2)?)))?.collect()
}
