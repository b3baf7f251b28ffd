//! Push notification configs, without a transport: webhooks as A2A's clients know them.
//!
//! A config is a webhook of one task, and its id is that webhook's name. What is sent has the form of the dialect that
//! the config was set in, and bears no signature, since A2A has no word for its secret.
//!
//! The older dialects have one config that is called as its task: in 0.3 what is meant where a request names none, in
//! PraisonAI's the only one, which its clients set without looking whether there is such a task.

use super::a2a::{A2a, Origin, in_a2a_names};
use crate::{
    engine::{NewWebhook, Scope, Signing, WebhookFilter, Which},
    error::{Error, ErrorKind, Result, shorten},
    proto::a2a::{
        DeleteTaskPushNotificationConfigRequest, GetTaskPushNotificationConfigRequest,
        ListTaskPushNotificationConfigsRequest, ListTaskPushNotificationConfigsResponse,
        TaskPushNotificationConfig as Config,
    },
    task::{
        Dialect, TaskId, Webhook,
        validate::{MAX_PAGE_SIZE, Violations},
    },
    wire::decode::push_id_fields,
};

/// The path of a config that comes with a message.
const INLINE: &str = "configuration.task_push_notification_config.";

/// The most pages of webhooks that are looked at for a list in a dialect that has no pages.
const MAX_PAGES: usize = 10;

impl A2a {
    /// Whether configs are offered, to a request for the agent that its path or metadata names.
    ///
    /// # Errors
    /// `PushNotificationNotSupported`; `AgentNotFound` when there is no such agent.
    pub fn offers_push(&self, origin: &Origin) -> Result<()> {
        self.agent(origin, String::new())?;
        if self.engine.offers_webhooks() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::PushNotificationNotSupported, "push notifications are not supported"))
    }

    /// Stores a config, or replaces the one of the same task and id. Answers with what is stored.
    pub async fn create_push(&self, origin: &Origin, mut config: Config) -> Result<Config> {
        self.offers_push(origin)?;
        let tenant = std::mem::take(&mut config.tenant);
        let agent = self.agent(origin, tenant.clone())?;
        let scope = match origin.dialect {
            Dialect::Praison => {
                let task = canonical(&config.task_id);
                self.check_named(origin, &agent, &task).await?;
                config.id.clone_from(&task);
                Scope::Named(task)
            }
            Dialect::V1 | Dialect::V03 => {
                let id = self.push_task(origin, &agent, "task_id", &config.task_id).await?;
                if origin.dialect == Dialect::V03 && config.id.is_empty() {
                    config.id = id.to_string();
                }
                Scope::Task(id)
            }
        };
        let new = webhook(config, scope, "", origin.dialect);
        let stored = self.engine.create_webhook(&origin.caller, new).await.map_err(in_a2a_names)?;
        Ok(shown(stored.webhook, tenant))
    }

    /// Reads a config. In 0.3 it may be left open which: the one called as the task, else the oldest.
    pub async fn get_push(&self, origin: &Origin, request: GetTaskPushNotificationConfigRequest) -> Result<Config> {
        let GetTaskPushNotificationConfigRequest { tenant, task_id, id } = request;
        let may_be_open = origin.dialect == Dialect::V03;
        let found = self.find_push(origin, &tenant, &task_id, &id, may_be_open).await?;
        found.map(|webhook| shown(webhook, tenant)).ok_or_else(|| not_found(origin.dialect, &task_id, &id))
    }

    /// Lists the configs of a task, oldest first: in 1.0 by pages; in PraisonAI's dialect those of all tasks.
    pub async fn list_push(
        &self,
        origin: &Origin,
        request: ListTaskPushNotificationConfigsRequest,
    ) -> Result<ListTaskPushNotificationConfigsResponse> {
        self.offers_push(origin)?;
        let ListTaskPushNotificationConfigsRequest { tenant, task_id, page_size, page_token } = request;
        let agent = self.agent(origin, tenant.clone())?;
        let mut filter = WebhookFilter::default();
        if origin.dialect == Dialect::Praison {
            filter.payload = Some(Dialect::Praison);
        } else {
            let (field, _) = push_id_fields(origin.dialect);
            filter.task = self.push_task(origin, &agent, field, &task_id).await?.to_string();
        }
        let (webhooks, next_page_token) = if origin.dialect == Dialect::V1 {
            let filter = WebhookFilter { page_size: (page_size != 0).then_some(page_size), page_token, ..filter };
            self.engine.webhooks(&origin.caller, filter).await.map_err(in_a2a_names)?
        } else {
            (self.all_push(origin, &agent, filter).await?, String::new())
        };
        let configs = webhooks.into_iter().map(|webhook| shown(webhook, tenant.clone())).collect();
        Ok(ListTaskPushNotificationConfigsResponse { configs, next_page_token })
    }

    /// Removes a config. One that is not there is an error in PraisonAI's dialect only.
    pub async fn delete_push(&self, origin: &Origin, request: DeleteTaskPushNotificationConfigRequest) -> Result<()> {
        let DeleteTaskPushNotificationConfigRequest { tenant, task_id, id } = request;
        let removed = match self.find_push(origin, &tenant, &task_id, &id, false).await? {
            Some(webhook) => self.engine.delete_webhook(&origin.caller, webhook.id).await?,
            None => false,
        };
        if removed || origin.dialect != Dialect::Praison {
            return Ok(());
        }
        Err(not_found(origin.dialect, &task_id, &id))
    }

    /// The webhook that a message brings as its config. `task`: the task that the message continues; empty: none.
    ///
    /// # Errors
    /// `PushNotificationNotSupported`, `InvalidArgument` when the config is for another task.
    pub(super) fn inline_push(&self, origin: &Origin, task: &str, mut config: Config) -> Result<NewWebhook> {
        self.offers_push(origin)?;
        if !config.task_id.is_empty() && canonical(&config.task_id) != canonical(task) {
            let problem = if task.is_empty() {
                "must be empty: the task has no id yet"
            } else {
                "must be empty or the id of the task that the message continues"
            };
            return Err(Error::invalid(format!("{INLINE}task_id"), problem));
        }
        if origin.dialect == Dialect::Praison {
            config.id.clear();
        }
        Ok(webhook(config, Scope::Inline, INLINE, origin.dialect))
    }

    /// The config that a request to read or remove one means; `may_be_open`: whether the request may leave it open which.
    async fn find_push(
        &self,
        origin: &Origin,
        tenant: &str,
        task_id: &str,
        id: &str,
        may_be_open: bool,
    ) -> Result<Option<Webhook>> {
        self.offers_push(origin)?;
        let agent = self.agent(origin, tenant.to_owned())?;
        let (task_field, id_field) = push_id_fields(origin.dialect);
        let mut violations = Violations::default();
        let (task, name) = if origin.dialect == Dialect::Praison {
            violations.id(task_field, task_id);
            (canonical(task_id), canonical(task_id))
        } else {
            violations.id(id_field, id);
            if id.is_empty() && !may_be_open {
                violations.add(id_field, "is required: the id of a push notification config");
            }
            (self.push_task(origin, &agent, task_field, task_id).await?.to_string(), id.to_owned())
        };
        violations.check()?;
        match self.engine.webhook(&origin.caller, Which::Task { task, name }).await {
            Ok(webhook) => Ok(Some(webhook).filter(|webhook| is_of(webhook, &agent))),
            Err(error) if error.kind() == ErrorKind::WebhookNotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The task that a request names in `field`.
    ///
    /// # Errors
    /// `InvalidArgument` naming the field; `TaskNotFound`, also of another agent's task.
    async fn push_task(&self, origin: &Origin, agent: &str, field: &str, text: &str) -> Result<TaskId> {
        let id = TaskId::parse(field, text)?;
        let record = self.engine.get(&origin.caller, id, Some(0)).await?;
        self.check_agent(agent, &record)?;
        Ok(id)
    }

    /// Checks that a task is not another agent's, if there is such a task.
    async fn check_named(&self, origin: &Origin, agent: &str, task: &str) -> Result<()> {
        let (false, Some(id)) = (agent.is_empty(), TaskId::known(task)) else { return Ok(()) };
        match self.engine.get(&origin.caller, id, Some(0)).await {
            Ok(record) => self.check_agent(agent, &record),
            Err(error) if error.kind() == ErrorKind::TaskNotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The first 1,000 webhooks that match, for lists without pages; in PraisonAI's dialect of them only the one of each
    /// task that its clients can name.
    async fn all_push(&self, origin: &Origin, agent: &str, filter: WebhookFilter) -> Result<Vec<Webhook>> {
        let listed = |webhook: &Webhook| {
            is_of(webhook, agent) && (origin.dialect != Dialect::Praison || webhook.name == webhook.task)
        };
        let mut all = Vec::new();
        let mut page_token = String::new();
        for _ in 0..MAX_PAGES {
            let page = WebhookFilter { page_size: Some(MAX_PAGE_SIZE), page_token, ..filter.clone() };
            let (webhooks, next) = self.engine.webhooks(&origin.caller, page).await?;
            all.extend(webhooks.into_iter().filter(listed));
            page_token = next;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(all)
    }
}

/// Whether a request for an agent sees a webhook: not one of another agent's task. One of a task that never was is
/// nobody's.
fn is_of(webhook: &Webhook, agent: &str) -> bool {
    agent.is_empty() || webhook.agent.is_empty() || *webhook.agent == *agent
}

/// A task's id in the one spelling that tasks have; other text as it is.
fn canonical(text: &str) -> String {
    TaskId::known(text).map_or_else(|| text.to_owned(), |id| id.to_string())
}

fn webhook(config: Config, scope: Scope, field: &str, payload: Dialect) -> NewWebhook {
    let Config { id, url, token, authentication, .. } = config;
    NewWebhook {
        field: field.to_owned(),
        scope,
        name: id,
        url,
        token,
        authentication,
        events: None,
        payload,
        signing: Signing::Unsigned,
    }
}

/// A webhook as a config. A2A shows callers their own secrets; a signing secret has no place in it.
fn shown(webhook: Webhook, tenant: String) -> Config {
    let Webhook { task, name, url, secrets, .. } = webhook;
    Config { tenant, id: name, task_id: task, url, token: secrets.token, authentication: secrets.authentication }
}

/// There is no such config: of A2A's errors that is TaskNotFound.
fn not_found(dialect: Dialect, task_id: &str, id: &str) -> Error {
    if dialect == Dialect::Praison {
        return Error::new(ErrorKind::WebhookNotFound, "Config not found");
    }
    let (task_id, id) = (shorten(task_id), shorten(id));
    let error = |text| Error::new(ErrorKind::TaskNotFound, text).with("taskId", &task_id);
    if id.is_empty() {
        return error(format!("task {task_id} has no push notification config"));
    }
    error(format!("task {task_id} has no push notification config {id}")).with("pushNotificationConfigId", id)
}
