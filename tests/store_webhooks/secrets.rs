//! What only receivers may know is encrypted on disk where a key is configured.

use std::fs;

use a2a_gateway::{proto::a2a::AuthenticationInfo, store::Keys};

use super::*;

fn secrets() -> Secrets {
    // Long ones lie on pages of their own.
    let credentials = "hidden-credentials ".repeat(400).trim_end().to_owned();
    Secrets {
        token: "hidden-token".into(),
        authentication: Some(AuthenticationInfo { scheme: "Bearer".into(), credentials }),
        signing: "whsec_hidden-signing".into(),
        previous_signing: vec![("whsec_hidden-before".into(), 9)],
    }
}

/// How often the secrets are found in the folder's files.
fn found(dir: &Path) -> usize {
    let files = fs::read_dir(dir).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let count = |bytes: Vec<u8>| bytes.windows(7).filter(|window| window == b"hidden-").count();
    files.map(count).sum()
}

fn keyed(dir: &Path, current: Option<u8>, older: &[u8]) -> Result<(Sqlite, Arc<Ear>), String> {
    let older: Vec<_> = older.iter().map(|key| [*key; 32]).collect();
    open(&SqliteSettings { keys: Keys::new(current.map(|key| [key; 32]), &older), ..SqliteSettings::new(dir) })
}

async fn read(store: &Sqlite, id: WebhookId) -> Secrets {
    store.webhook("me".into(), a2a_gateway::store::Which::Id(id)).await.unwrap().unwrap().secrets
}

#[tokio::test]
async fn secrets_are_readable_in_the_file_only_without_a_key() {
    for key in [None, Some(1)] {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = keyed(dir.path(), key, &[]).unwrap();
        let hook = Webhook { secrets: secrets(), ..of_agent("me", "a", "h") };
        store.put_webhook(hook.clone()).await.unwrap();
        let change = WebhookChange { token: Some("hidden-2".into()), ..change(&hook) };
        store.update_webhook("me".into(), change).await.unwrap();
        assert_eq!(found(dir.path()) > 0, key.is_none());
        assert_eq!(read(&store, hook.id).await.token, "hidden-2");
        store.close().await;
        assert_eq!(found(dir.path()) > 0, key.is_none());
    }
}

#[tokio::test]
async fn keys_are_replaced_when_the_store_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let hooks: Vec<_> = (0..3).map(|_| Webhook { secrets: secrets(), ..of_agent("me", "a", "h") }).collect();
    let (store, _) = keyed(dir.path(), None, &[]).unwrap();
    for hook in &hooks {
        store.put_webhook(hook.clone()).await.unwrap();
    }
    store.close().await;
    // From plain to a key, to another, to two more; the older ones are not needed afterwards.
    for (current, older) in [(Some(1), &[][..]), (Some(2), &[1]), (Some(2), &[]), (Some(3), &[9, 2]), (Some(3), &[])] {
        let (store, _) = keyed(dir.path(), current, older).unwrap();
        assert_eq!(found(dir.path()), 0, "{current:?}");
        for hook in &hooks {
            assert_eq!(read(&store, hook.id).await, secrets());
        }
        store.close().await;
    }
    for (current, older) in [(Some(2), &[][..]), (None, &[]), (Some(4), &[2])] {
        let error = keyed(dir.path(), current, older).err().unwrap();
        assert!(error.contains("encrypted with a key that is not configured"), "{error}");
    }
    // Nothing was changed, and the key can be given up.
    let (store, _) = keyed(dir.path(), None, &[3]).unwrap();
    assert_eq!(read(&store, hooks[0].id).await, secrets());
    store.close().await;
    assert!(found(dir.path()) > 0);
    keyed(dir.path(), None, &[]).unwrap();
}
