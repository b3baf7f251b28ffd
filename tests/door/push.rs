//! Push notification configs on the A2A doors, each spoken and decoded strictly, answered in common values.

use std::sync::Arc;

use a2a_gateway::{
    agent::{Agent, Echo},
    engine::{Courier, Engine},
    proto::a2a::{
        AuthenticationInfo, DeleteTaskPushNotificationConfigRequest, GetTaskPushNotificationConfigRequest,
        ListTaskPushNotificationConfigsRequest, TaskPushNotificationConfig,
    },
    task::WebhookId,
};
use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Value, json};

use super::{
    Client, Dialect, Door, Events, Fault, Gateway, Seen, Send, grpc, grpc_v03,
    json::{Result, members},
};

/// A host that [`Postman`] does not go to, and what it says of it.
pub const REFUSED: (&str, &str) = ("http://metadata.test/x", "must not lead to 169.254.169.254, a private address");

/// A courier that goes anywhere but to [`REFUSED`], and has nothing under way.
pub struct Postman;

impl Courier for Postman {
    fn check<'a>(&'a self, url: &'a str) -> BoxFuture<'a, std::result::Result<(), String>> {
        let (refused, why) = REFUSED;
        async move { if url == refused { Err(why.to_owned()) } else { Ok(()) } }.boxed()
    }

    fn stop(&self, _webhook: WebhookId) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

impl Gateway {
    /// With the echo agent under these names, the first being the default; webhooks are on.
    pub async fn start_push(agents: &[&str]) -> (Self, Engine) {
        let agents = agents.iter().map(|name| ((*name).to_owned(), Arc::new(Echo) as Arc<dyn Agent>));
        Self::start_courier(agents.collect(), Some(Arc::new(Postman))).await
    }

    /// With the echo agent; webhooks are off.
    pub async fn start_without_push() -> Self {
        Self::start_courier(vec![("echo".into(), Arc::new(Echo))], None).await.0
    }
}

/// A config as a door shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hook {
    /// Empty where the door has none.
    pub id: String,
    pub task: String,
    pub url: String,
    pub token: String,
    /// Scheme and credentials.
    pub auth: Option<(String, String)>,
}

/// A config with all that there is.
pub fn hook(task: &str, id: &str) -> Hook {
    Hook {
        id: id.into(),
        task: task.into(),
        url: format!("https://hook.test/{id}"),
        token: format!("token-{id}"),
        auth: Some(("Bearer".into(), format!("secret-{id}"))),
    }
}

impl Hook {
    pub fn to_proto(&self) -> TaskPushNotificationConfig {
        let auth = self.auth.clone();
        TaskPushNotificationConfig {
            tenant: String::new(),
            id: self.id.clone(),
            task_id: self.task.clone(),
            url: self.url.clone(),
            token: self.token.clone(),
            authentication: auth.map(|(scheme, credentials)| AuthenticationInfo { scheme, credentials }),
        }
    }

    fn of_proto(config: TaskPushNotificationConfig) -> Self {
        let TaskPushNotificationConfig { tenant: _, id, task_id, url, token, authentication } = config;
        Self { id, task: task_id, url, token, auth: authentication.map(|info| (info.scheme, info.credentials)) }
    }

    /// As the dialect's clients send it: without a task, what comes with a message.
    pub fn to_json(&self, dialect: Dialect) -> Value {
        let mut inner = json!({"url": self.url});
        let put = |object: &mut Value, name: &str, text: &str| {
            if !text.is_empty() {
                object[name] = text.into();
            }
        };
        put(&mut inner, "token", &self.token);
        if let Some((scheme, credentials)) = &self.auth {
            inner["authentication"] = match dialect {
                Dialect::V03 => json!({"schemes": [scheme]}),
                Dialect::V1 | Dialect::Praison => json!({"scheme": scheme}),
            };
            put(&mut inner["authentication"], "credentials", credentials);
        }
        if dialect != Dialect::Praison {
            put(&mut inner, "id", &self.id);
        }
        match dialect {
            Dialect::V03 if !self.task.is_empty() => json!({"taskId": self.task, "pushNotificationConfig": inner}),
            _ => {
                put(&mut inner, "taskId", &self.task);
                inner
            }
        }
    }

    fn of_json(dialect: Dialect, value: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let inner = match dialect {
            Dialect::V1 => {
                members(value, &["id", "taskId", "url"], &["tenant", "token", "authentication"]);
                value
            }
            Dialect::V03 => {
                members(value, &["taskId", "pushNotificationConfig"], &[]);
                let inner = &value["pushNotificationConfig"];
                members(inner, &["id", "url"], &["token", "authentication"]);
                inner
            }
            Dialect::Praison => {
                // Its clients read all four, whatever was set.
                let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
                names.sort_unstable();
                assert_eq!(names, ["authentication", "taskId", "token", "url"], "{value}");
                value
            }
        };
        let auth = inner.get("authentication").filter(|auth| **auth != json!({})).map(|auth| match dialect {
            Dialect::V03 => {
                members(auth, &["schemes"], &["credentials"]);
                assert_eq!(auth["schemes"].as_array().unwrap().len(), 1);
                (text(&auth["schemes"][0]), text(&auth["credentials"]))
            }
            Dialect::V1 | Dialect::Praison => {
                members(auth, &["scheme"], &["credentials"]);
                (text(&auth["scheme"]), text(&auth["credentials"]))
            }
        });
        Self {
            id: text(&inner["id"]),
            task: text(&value["taskId"]),
            url: text(&inner["url"]),
            token: text(&inner["token"]),
            auth,
        }
    }

    /// As a door shows it that knows no config ids.
    pub fn seen_by(self, door: Door) -> Self {
        if door.is_praison() { Self { id: String::new(), ..self } } else { self }
    }
}

impl Door {
    /// The doors with operations on configs.
    pub const PUSH: [Self; 8] =
        [Self::A2aGrpc, Self::V1, Self::V03, Self::Praison, Self::PraisonOwn, Self::Rest, Self::Rest03, Self::Grpc03];
    /// Those where a task has several configs.
    pub const PUSH_A2A: [Self; 6] = [Self::A2aGrpc, Self::V1, Self::V03, Self::Rest, Self::Rest03, Self::Grpc03];
    /// Those whose lists have pages.
    pub const PUSH_PAGES: [Self; 3] = [Self::A2aGrpc, Self::V1, Self::Rest];
}

impl Client {
    fn push_method(&self, v1: &str, verb: &str) -> String {
        if self.door.is(Dialect::V1) { v1.to_owned() } else { format!("tasks/pushNotificationConfig/{verb}") }
    }

    pub async fn set_hook(&self, hook: &Hook) -> Result<Hook> {
        if self.door == Door::Grpc03 {
            return grpc_v03::set_hook(self, hook).await;
        }
        let Some(dialect) = self.door.dialect() else {
            let config = TaskPushNotificationConfig { tenant: self.tenant.clone(), ..hook.to_proto() };
            let answer = self.a2a().create_task_push_notification_config(self.named(config)).await;
            let config = answer.map_err(grpc::fault)?.into_inner();
            assert_eq!(config.tenant, self.tenant);
            return Ok(Hook::of_proto(config));
        };
        let method = self.push_method("CreateTaskPushNotificationConfig", "set");
        let config = self.call(&method, hook.to_json(dialect), dialect, &[]).await?;
        assert_eq!(config["tenant"].as_str().unwrap_or_default(), self.tenant);
        Ok(Hook::of_json(dialect, &config))
    }

    /// `id`: empty where the door has none, or leaves it open.
    pub async fn get_hook(&self, task: &str, id: &str) -> Result<Hook> {
        if self.door == Door::Grpc03 {
            return grpc_v03::get_hook(self, task, id).await;
        }
        let Some(dialect) = self.door.dialect() else {
            let tenant = self.tenant.clone();
            let get = GetTaskPushNotificationConfigRequest { tenant, task_id: task.into(), id: id.into() };
            let answer = self.a2a().get_task_push_notification_config(self.named(get)).await;
            return answer.map(|config| Hook::of_proto(config.into_inner())).map_err(grpc::fault);
        };
        let method = self.push_method("GetTaskPushNotificationConfig", "get");
        let config = self.call(&method, named(dialect, task, id), dialect, &[]).await?;
        Ok(Hook::of_json(dialect, &config))
    }

    /// The configs of a task; on PraisonAI's doors those of all tasks.
    pub async fn hooks(&self, task: &str) -> Result<Vec<Hook>> {
        let (hooks, next) = self.hook_page(task, 0, "").await?;
        assert_eq!(next, "");
        Ok(hooks)
    }

    /// A page of them, and the token of the next one.
    pub async fn hook_page(&self, task: &str, size: i32, token: &str) -> Result<(Vec<Hook>, String)> {
        if self.door == Door::Grpc03 {
            return grpc_v03::hooks(self, task).await;
        }
        let Some(dialect) = self.door.dialect() else {
            let list = ListTaskPushNotificationConfigsRequest {
                tenant: self.tenant.clone(),
                task_id: task.into(),
                page_size: size,
                page_token: token.into(),
            };
            let answer = self.a2a().list_task_push_notification_configs(self.named(list)).await;
            let list = answer.map_err(grpc::fault)?.into_inner();
            return Ok((list.configs.into_iter().map(Hook::of_proto).collect(), list.next_page_token));
        };
        let params = match dialect {
            Dialect::V1 if size == 0 => json!({"taskId": task}),
            Dialect::V1 => json!({"taskId": task, "pageSize": size, "pageToken": token}),
            Dialect::V03 => json!({"id": task}),
            Dialect::Praison => json!({}),
        };
        let method = self.push_method("ListTaskPushNotificationConfigs", "list");
        let list = self.call(&method, params, dialect, &[]).await?;
        let configs = match dialect {
            Dialect::V1 => {
                members(&list, &["configs", "nextPageToken"], &[]);
                &list["configs"]
            }
            Dialect::V03 => &list,
            Dialect::Praison => {
                members(&list, &["configs"], &[]);
                &list["configs"]
            }
        };
        let hooks = configs.as_array().unwrap().iter().map(|config| Hook::of_json(dialect, config));
        Ok((hooks.collect(), list.get("nextPageToken").map_or("", |next| next.as_str().unwrap()).to_owned()))
    }

    pub async fn drop_hook(&self, task: &str, id: &str) -> Result<()> {
        if self.door == Door::Grpc03 {
            return grpc_v03::drop_hook(self, task, id).await;
        }
        let Some(dialect) = self.door.dialect() else {
            let tenant = self.tenant.clone();
            let delete = DeleteTaskPushNotificationConfigRequest { tenant, task_id: task.into(), id: id.into() };
            let answer = self.a2a().delete_task_push_notification_config(self.named(delete)).await;
            return answer.map(drop).map_err(grpc::fault);
        };
        let method = self.push_method("DeleteTaskPushNotificationConfig", "delete");
        let answer = self.call(&method, named(dialect, task, id), dialect, &[]).await?;
        let expected = if dialect == Dialect::Praison { json!({"deleted": true}) } else { Value::Null };
        assert_eq!(answer, expected);
        Ok(())
    }

    /// Sends a message that brings a config, and answers with the task.
    pub async fn send_hook(&self, send: Send<'_>, hook: &Hook) -> Result<Seen> {
        if self.door == Door::Grpc03 {
            return grpc_v03::send_hook(self, &send, hook).await;
        }
        let Some(dialect) = self.door.dialect() else {
            let mut request = grpc::request(&send);
            request.configuration.as_mut().unwrap().task_push_notification_config = Some(hook.to_proto());
            let answer = self.a2a().send_message(self.named(request)).await.map_err(grpc::fault)?;
            return Ok(grpc::task(answer.into_inner()));
        };
        let params = self.with_hook(dialect, &send, hook);
        let answer = self.call(self.send_method(), params, dialect, &super::json::key(&send)).await?;
        let task = if dialect == Dialect::V1 { &answer["task"] } else { &answer };
        Ok(super::json::task(dialect, task))
    }

    /// Streams a message that brings a config.
    pub async fn stream_hook(&self, send: Send<'_>, hook: &Hook) -> Result<Events> {
        if self.door == Door::Grpc03 {
            return grpc_v03::stream_hook(self, &send, hook).await;
        }
        let Some(dialect) = self.door.dialect() else {
            let mut request = grpc::request(&send);
            request.configuration.as_mut().unwrap().task_push_notification_config = Some(hook.to_proto());
            let answer = self.a2a().send_streaming_message(self.named(request)).await;
            return answer.map(grpc::a2a_events).map_err(grpc::fault);
        };
        let method = if dialect == Dialect::V1 { "SendStreamingMessage" } else { "message/stream" };
        super::json::open(self, method, self.with_hook(dialect, &send, hook), dialect, &[]).await
    }

    fn with_hook(&self, dialect: Dialect, send: &Send<'_>, hook: &Hook) -> Value {
        let mut params = super::json::params(self, dialect, send);
        // PraisonAI's clients send none; what they would send is told from 0.3's by its name.
        let name = match dialect {
            Dialect::V1 => "taskPushNotificationConfig",
            Dialect::V03 => "pushNotificationConfig",
            Dialect::Praison => "pushNotification",
        };
        params["configuration"][name] = hook.to_json(dialect);
        params
    }
}

/// How the dialect's clients name a config.
fn named(dialect: Dialect, task: &str, id: &str) -> Value {
    match dialect {
        Dialect::V1 => json!({"taskId": task, "id": id}),
        Dialect::V03 if id.is_empty() => json!({"id": task}),
        Dialect::V03 => json!({"id": task, "pushNotificationConfigId": id}),
        Dialect::Praison => json!({"taskId": task}),
    }
}

/// Checks that there is no such config, as the door says it.
#[track_caller]
pub fn is_missing(fault: &Fault, id: &str) {
    fault.is(&super::kinds::TASK_NOT_FOUND);
    if fault.form == Some(Dialect::Praison) {
        assert_eq!(fault.message, "Config not found");
    } else {
        assert!(fault.message.contains(&format!("no push notification config {id}")), "{fault:?}");
        assert_eq!(fault.info.as_ref().unwrap().metadata["pushNotificationConfigId"], id);
    }
}
