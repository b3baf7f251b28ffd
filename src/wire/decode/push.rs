//! Push notification configs: one flat message in 1.0 and PraisonAI, nested once or twice elsewhere (WIRE 3.8, 9.2).

use super::reader::{Names, Object, Reader};
use crate::{
    proto::a2a::{AuthenticationInfo, TaskPushNotificationConfig},
    task::Dialect,
};

pub(super) const TASK_ID: Names = &["task_id", "taskId"];
const NESTED: [Names; 2] = [&["push_notification_config", "pushNotificationConfig"], &["config"]];

/// A config with its URL, which is required.
pub(super) fn config(object: &mut Object<'_>, reader: &mut Reader) -> TaskPushNotificationConfig {
    let config = fields(object, reader);
    reader.require(!config.url.is_empty(), object.path("url"), "is required");
    config
}

/// A config, its own fields before those of a config nested in it.
fn fields(object: &mut Object<'_>, reader: &mut Reader) -> TaskPushNotificationConfig {
    let mut config = TaskPushNotificationConfig {
        tenant: super::tenant(object, reader),
        task_id: object.string(TASK_ID, reader),
        id: object.string(&["id", "config_id", "configId"], reader),
        url: object.string(&["url"], reader),
        token: object.string(&["token"], reader),
        authentication: authentication(object, reader),
    };
    // 0.3's gRPC and REST name things by their place: tasks/{id}/pushNotificationConfigs/{id}.
    for names in [&["name"], &["parent"]] {
        let name = object.string(names, reader);
        fill(&mut config.task_id, || segment(&name, "tasks"));
        fill(&mut config.id, || segment(&name, "pushNotificationConfigs"));
    }
    for names in NESTED {
        let Some(value) = object.take(names) else { continue };
        let Some(mut nested) = Object::new(object.path(names[0]), value, reader) else { continue };
        let nested = fields(&mut nested, reader);
        fill(&mut config.task_id, || nested.task_id);
        fill(&mut config.id, || nested.id);
        fill(&mut config.url, || nested.url);
        fill(&mut config.token, || nested.token);
        config.authentication = config.authentication.or(nested.authentication);
    }
    config
}

/// How to authenticate: one scheme, or 0.3's list, of which the first counts. PraisonAI sends `{}` for none.
fn authentication(object: &mut Object<'_>, reader: &mut Reader) -> Option<AuthenticationInfo> {
    let value = object.take(&["authentication"])?;
    let mut object = Object::new(object.path("authentication"), value, reader)?;
    let mut info = AuthenticationInfo {
        scheme: object.string(&["scheme"], reader),
        credentials: object.string(&["credentials"], reader),
    };
    let schemes = object.strings(&["schemes"], reader);
    fill(&mut info.scheme, || schemes.into_iter().next().unwrap_or_default());
    (info != AuthenticationInfo::default()).then_some(info)
}

/// The ids of the task and the config that a request to read or remove a config names, either possibly empty.
///
/// 1.0 and PraisonAI say `taskId`, with `id` the config's; 0.3 says `id` for the task, `pushNotificationConfigId` for
/// the config.
pub(super) fn ids(object: &mut Object<'_>, reader: &mut Reader) -> (String, String) {
    let task_id = object.string(TASK_ID, reader);
    let config_id =
        object.string(&["push_notification_config_id", "pushNotificationConfigId", "configId", "config_id"], reader);
    let id = object.string(&["id"], reader);
    if task_id.is_empty() && reader.dialect() == Dialect::V03 {
        (id, config_id)
    } else {
        (task_id, if config_id.is_empty() { id } else { config_id })
    }
}

/// What the task and the config are called in a dialect's requests to read, list and remove configs.
pub fn push_id_fields(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::V1 | Dialect::Praison => ("task_id", "id"),
        Dialect::V03 => ("id", "push_notification_config_id"),
    }
}

fn fill(field: &mut String, value: impl FnOnce() -> String) {
    if field.is_empty() {
        *field = value();
    }
}

/// What follows `collection/` in a resource name.
fn segment(name: &str, collection: &str) -> String {
    let mut segments = name.split('/').skip_while(|segment| *segment != collection);
    segments.nth(1).unwrap_or_default().to_owned()
}
