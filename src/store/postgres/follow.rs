//! Follows the feed for those of this process who watch many tasks: one reader for all of them.
//!
//! What is committed while an older transaction is under way is read when that has ended: until then the order of the two
//! is open.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{Shared, read};
use crate::error::Result;

/// How often it is looked although nothing was heard.
const LOOK: Duration = Duration::from_secs(1);
/// Until commits are looked at again whose place was open, at first and at most.
const AGAIN: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(50)];

/// Follows as long as it is polled.
pub async fn follow(shared: Arc<Shared>) {
    let mut position = None;
    let [soonest, latest] = AGAIN;
    let mut pause = soonest;
    let mut open = false;
    loop {
        if open {
            sleep(pause).await;
            pause = (pause * 2).min(latest);
        } else {
            pause = soonest;
            // An error: nothing was heard for a while.
            let _ = timeout(LOOK, shared.bus.committed.notified()).await;
        }
        if !shared.listener.follows() {
            (position, open) = (None, false);
            continue;
        }
        open = match catch_up(&shared, &mut position).await {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!(%error, "the feed cannot be read; trying again");
                true
            }
        };
    }
}

/// Tells what came after the position; whether there is more whose place is open.
async fn catch_up(shared: &Shared, position: &mut Option<u64>) -> Result<bool> {
    loop {
        let after = position.unwrap_or(i64::MAX.cast_unsigned());
        let base = shared.xid_base;
        let read = shared.readers.read(|session| async move { read::feed(&session, base, after).await });
        let read::Feed { page, open } = read.await?;
        match (page.commits.last(), &position) {
            (_, None) => {
                *position = Some(page.stable);
                shared.listener.passed(page.stable);
                return Ok(open);
            }
            (Some(last), _) => {
                *position = Some(last.position);
                shared.listener.ordered(page.commits);
            }
            (None, _) => return Ok(open),
        }
    }
}
