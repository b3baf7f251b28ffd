//! What only receivers may know is encrypted on disk where a key is configured.

use std::fs;

use a2a_gateway::{
    proto::a2a::AuthenticationInfo,
    store::{Keys, Store},
};

use super::{rig::Place, *};

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

/// How often the secrets are found: in the folder's files; or in the rows.
async fn found(place: &Place) -> usize {
    match place {
        Place::Sqlite(dir) => {
            let files = fs::read_dir(dir.path()).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
            let count = |bytes: Vec<u8>| bytes.windows(7).filter(|window| window == b"hidden-").count();
            files.map(count).sum()
        }
        Place::Postgres(_) => {
            let count = "SELECT count(*) FROM webhooks WHERE position('hidden-'::bytea IN secrets) > 0";
            usize::try_from(place.number(count).await).unwrap()
        }
    }
}

type Opened = (Box<dyn Store>, Arc<Ear>);

async fn keyed(place: &Place, current: Option<u8>, older: &[u8]) -> Result<Opened, String> {
    let older: Vec<_> = older.iter().map(|key| [*key; 32]).collect();
    let keys = Keys::new(current.map(|key| [key; 32]), &older);
    place.open(Options { keys, ..Options::default() }).await
}

async fn read(store: &dyn Store, id: WebhookId) -> Secrets {
    store.webhook("me".into(), a2a_gateway::store::Which::Id(id)).await.unwrap().unwrap().secrets
}

contract!(secrets_are_readable_in_the_database_only_without_a_key);
async fn secrets_are_readable_in_the_database_only_without_a_key(kind: Kind) {
    for key in [None, Some(1)] {
        let place = Place::new(kind).await;
        let (store, _) = keyed(&place, key, &[]).await.unwrap();
        let hook = Webhook { secrets: secrets(), ..of_agent("me", "a", "h") };
        store.put_webhook(hook.clone()).await.unwrap();
        let change = WebhookChange { token: Some("hidden-2".into()), ..change(&hook) };
        store.update_webhook("me".into(), change).await.unwrap();
        assert_eq!(found(&place).await > 0, key.is_none());
        assert_eq!(read(&*store, hook.id).await.token, "hidden-2");
        store.close().await;
        assert_eq!(found(&place).await > 0, key.is_none());
    }
}

contract!(keys_are_replaced_when_the_store_is_opened);
async fn keys_are_replaced_when_the_store_is_opened(kind: Kind) {
    let place = Place::new(kind).await;
    let hooks: Vec<_> = (0..3).map(|_| Webhook { secrets: secrets(), ..of_agent("me", "a", "h") }).collect();
    let (store, _) = keyed(&place, None, &[]).await.unwrap();
    for hook in &hooks {
        store.put_webhook(hook.clone()).await.unwrap();
    }
    store.close().await;
    // From plain to a key, to another, to two more; the older ones are not needed afterwards.
    for (current, older) in [(Some(1), &[][..]), (Some(2), &[1]), (Some(2), &[]), (Some(3), &[9, 2]), (Some(3), &[])] {
        let (store, _) = keyed(&place, current, older).await.unwrap();
        assert_eq!(found(&place).await, 0, "{current:?}");
        for hook in &hooks {
            assert_eq!(read(&*store, hook.id).await, secrets());
        }
        store.close().await;
    }
    for (current, older) in [(Some(2), &[][..]), (None, &[]), (Some(4), &[2])] {
        let error = keyed(&place, current, older).await.err().unwrap();
        assert!(error.contains("encrypted with a key that is not configured"), "{error}");
    }
    // Nothing was changed, and the key can be given up.
    let (store, _) = keyed(&place, None, &[3]).await.unwrap();
    assert_eq!(read(&*store, hooks[0].id).await, secrets());
    store.close().await;
    assert!(found(&place).await > 0);
    drop(keyed(&place, None, &[]).await.unwrap());
}
