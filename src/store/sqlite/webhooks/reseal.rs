//! At opening: every webhook's secrets are brought under the current key, or the store does not open.

use rusqlite::{Connection, params};

use crate::{
    store::{seal::Keys, sqlite::OpenError},
    task::WebhookId,
};

/// Brings secrets that are not as they would be written now into that form. Whether there were any.
///
/// # Errors
/// `Sealed` when no key opens one. Nothing of them was changed then.
pub fn reseal(connection: &mut Connection, keys: &Keys) -> Result<bool, OpenError> {
    // What was plain does not stay behind in unused parts of pages.
    connection.pragma_update(None, "secure_delete", true)?;
    let transaction = connection.transaction()?;
    let mut any = false;
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
            transaction
                .prepare_cached("UPDATE webhooks SET secrets = ?2 WHERE key = ?1")?
                .execute(params![key, sealed])?;
            any = true;
        }
    }
    transaction.commit()?;
    connection.pragma_update(None, "secure_delete", false)?;
    if any {
        tracing::info!("webhooks' secrets are now stored with the key that is configured");
        let _: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    }
    Ok(any)
}

fn piece(sql: &Connection, after: i64) -> rusqlite::Result<Vec<(i64, WebhookId, Vec<u8>)>> {
    let mut statement =
        sql.prepare_cached("SELECT key, id, secrets FROM webhooks WHERE key > ?1 ORDER BY key LIMIT 1000")?;
    statement.query_map([after], |row| Ok((row.get(0)?, WebhookId::from_bytes(row.get(1)?), row.get(2)?)))?.collect()
}
