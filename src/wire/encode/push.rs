//! Push notification configs, in answers (WIRE 3.8, 6.4): flat in 1.0 and PraisonAI's dialect, nested in 0.3.

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    view::{In, option, text},
    write,
};
use crate::{
    proto::a2a::{AuthenticationInfo, ListTaskPushNotificationConfigsResponse, TaskPushNotificationConfig},
    task::Dialect::{self, Praison, V1, V03},
};

/// A config, as the answer to a request that sets or reads it.
pub fn push_config(dialect: Dialect, config: &TaskPushNotificationConfig) -> Bytes {
    write(&In(dialect, config))
}

/// The answer to a list of configs. 0.3's is the bare array; only 1.0's has pages.
pub fn push_configs(dialect: Dialect, list: &ListTaskPushNotificationConfigsResponse) -> Bytes {
    write(&In(dialect, list))
}

/// The answer to a request that removes a config: A2A has nothing to say.
pub fn push_deleted(dialect: Dialect) -> Bytes {
    Bytes::from_static(if dialect == Praison { br#"{"deleted":true}"# } else { b"null" })
}

impl Serialize for In<'_, TaskPushNotificationConfig> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(dialect, config) = *self;
        let mut map = serializer.serialize_map(None)?;
        match dialect {
            V1 => {
                text(&mut map, "tenant", &config.tenant)?;
                text(&mut map, "id", &config.id)?;
                map.serialize_entry("taskId", &config.task_id)?;
                map.serialize_entry("url", &config.url)?;
                text(&mut map, "token", &config.token)?;
                option(&mut map, "authentication", authentication(dialect, config).as_ref())?;
            }
            V03 => {
                map.serialize_entry("taskId", &config.task_id)?;
                map.serialize_entry("pushNotificationConfig", &Inner(config))?;
            }
            // Its clients read all four, whatever was set.
            Praison => {
                map.serialize_entry("taskId", &config.task_id)?;
                map.serialize_entry("url", &config.url)?;
                let token = Some(&config.token).filter(|token| !token.is_empty());
                map.serialize_entry("token", &token)?;
                let none = AuthenticationInfo::default();
                let authentication = config.authentication.as_ref().unwrap_or(&none);
                map.serialize_entry("authentication", &In(dialect, authentication))?;
            }
        }
        map.end()
    }
}

/// What 0.3 nests.
struct Inner<'a>(&'a TaskPushNotificationConfig);

impl Serialize for Inner<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let config = self.0;
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "id", &config.id)?;
        map.serialize_entry("url", &config.url)?;
        text(&mut map, "token", &config.token)?;
        option(&mut map, "authentication", authentication(V03, config).as_ref())?;
        map.end()
    }
}

fn authentication(dialect: Dialect, config: &TaskPushNotificationConfig) -> Option<In<'_, AuthenticationInfo>> {
    config.authentication.as_ref().map(|authentication| In(dialect, authentication))
}

impl Serialize for In<'_, AuthenticationInfo> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(dialect, info) = *self;
        let mut map = serializer.serialize_map(None)?;
        match dialect {
            V1 => map.serialize_entry("scheme", &info.scheme)?,
            V03 => map.serialize_entry("schemes", &[&info.scheme])?,
            Praison => text(&mut map, "scheme", &info.scheme)?,
        }
        text(&mut map, "credentials", &info.credentials)?;
        map.end()
    }
}

impl Serialize for In<'_, ListTaskPushNotificationConfigsResponse> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(dialect, list) = *self;
        let configs = Configs(dialect, &list.configs);
        if dialect == V03 {
            return configs.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("configs", &configs)?;
        if dialect == V1 {
            map.serialize_entry("nextPageToken", &list.next_page_token)?;
        }
        map.end()
    }
}

struct Configs<'a>(Dialect, &'a [TaskPushNotificationConfig]);

impl Serialize for Configs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.1.iter().map(|config| In(self.0, config)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::decode;

    fn parsed(json: &Bytes) -> Value {
        serde_json::from_slice(json).unwrap()
    }

    fn full() -> TaskPushNotificationConfig {
        TaskPushNotificationConfig {
            tenant: "echo".into(),
            id: "c-1".into(),
            task_id: "t-7".into(),
            url: "https://hook.test/in?a=1".into(),
            token: "tk".into(),
            authentication: Some(AuthenticationInfo { scheme: "Bearer".into(), credentials: "s3cr3t".into() }),
        }
    }

    fn bare() -> TaskPushNotificationConfig {
        let (id, task_id, url) = ("c-1".into(), "t-7".into(), "http://h".into());
        TaskPushNotificationConfig { id, task_id, url, ..TaskPushNotificationConfig::default() }
    }

    #[test]
    fn a_config_has_each_dialects_shape() {
        let url = "https://hook.test/in?a=1";
        let single = json!({"scheme": "Bearer", "credentials": "s3cr3t"});
        for (dialect, whole, least) in [
            (
                V1,
                json!({"tenant": "echo", "id": "c-1", "taskId": "t-7", "url": url, "token": "tk", "authentication": single}),
                json!({"id": "c-1", "taskId": "t-7", "url": "http://h"}),
            ),
            (
                V03,
                json!({"taskId": "t-7", "pushNotificationConfig": {"id": "c-1", "url": url, "token": "tk",
                    "authentication": {"schemes": ["Bearer"], "credentials": "s3cr3t"}}}),
                json!({"taskId": "t-7", "pushNotificationConfig": {"id": "c-1", "url": "http://h"}}),
            ),
            (
                Praison,
                json!({"taskId": "t-7", "url": url, "token": "tk", "authentication": single}),
                json!({"taskId": "t-7", "url": "http://h", "token": null, "authentication": {}}),
            ),
        ] {
            assert_eq!(parsed(&push_config(dialect, &full())), whole);
            assert_eq!(parsed(&push_config(dialect, &bare())), least);
        }
    }

    #[test]
    fn a_config_reads_back_as_it_was() {
        for dialect in [V1, V03, Praison] {
            for config in [full(), bare()] {
                let read = decode::create_push_config(parsed(&push_config(dialect, &config)), dialect).unwrap();
                let tenant = if dialect == V1 { config.tenant.clone() } else { String::new() };
                let id = if dialect == Praison { String::new() } else { config.id.clone() };
                assert_eq!(read, TaskPushNotificationConfig { tenant, id, ..config }, "{dialect:?}");
            }
        }
        let generated: TaskPushNotificationConfig = serde_json::from_slice(&push_config(V1, &full())).unwrap();
        assert_eq!(generated, full());
    }

    #[test]
    fn a_scheme_alone_is_shown_without_credentials() {
        let info = AuthenticationInfo { scheme: "Negotiate".into(), credentials: String::new() };
        let config = TaskPushNotificationConfig { authentication: Some(info), ..bare() };
        let shown = |dialect| parsed(&push_config(dialect, &config));
        assert_eq!(shown(V1)["authentication"], json!({"scheme": "Negotiate"}));
        assert_eq!(shown(Praison)["authentication"], json!({"scheme": "Negotiate"}));
        assert_eq!(shown(V03)["pushNotificationConfig"]["authentication"], json!({"schemes": ["Negotiate"]}));
    }

    #[test]
    fn lists_and_removals_have_each_dialects_shape() {
        let list = |next: &str| ListTaskPushNotificationConfigsResponse {
            configs: vec![bare()],
            next_page_token: next.into(),
        };
        let one = |dialect| parsed(&push_config(dialect, &bare()));
        let empty = ListTaskPushNotificationConfigsResponse::default();
        let shown = |dialect, list: &_| parsed(&push_configs(dialect, list));
        assert_eq!(shown(V1, &list("p")), json!({"configs": [one(V1)], "nextPageToken": "p"}));
        assert_eq!(shown(V1, &empty), json!({"configs": [], "nextPageToken": ""}));
        assert_eq!(shown(V03, &list("")), json!([one(V03)]));
        assert_eq!(shown(V03, &empty), json!([]));
        assert_eq!(shown(Praison, &list("")), json!({"configs": [one(Praison)]}));
        assert_eq!(shown(Praison, &empty), json!({"configs": []}));
        let removed = [V1, V03, Praison].map(|dialect| parsed(&push_deleted(dialect)));
        assert_eq!(removed, [json!(null), json!(null), json!({"deleted": true})]);
    }
}
