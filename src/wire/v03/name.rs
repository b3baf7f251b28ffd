//! Resource names: `tasks/{id}` and `tasks/{id}/pushNotificationConfigs/{id}`.

use crate::error::{Error, Result, shorten};

const TASKS: &str = "tasks/";
const CONFIGS: &str = "/pushNotificationConfigs";

/// A task's name.
pub fn task(id: &str) -> String {
    format!("{TASKS}{id}")
}

/// A push notification config's name.
pub fn push_config(task_id: &str, id: &str) -> String {
    format!("{TASKS}{task_id}{CONFIGS}/{id}")
}

/// The id of the task that `name` names; `field` is the request's field that holds it.
///
/// # Errors
/// `InvalidArgument` for anything but `tasks/{id}`.
pub fn read_task(field: &str, name: &str) -> Result<String> {
    match name.strip_prefix(TASKS) {
        Some(id) if !id.is_empty() && !id.contains('/') => Ok(id.to_owned()),
        _ => Err(Error::invalid(field, format!("must be tasks/{{id}}, not \"{}\"", shorten(name)))),
    }
}

/// The ids of the task and the config that `name` names.
///
/// # Errors
/// `InvalidArgument` for anything but `tasks/{id}/pushNotificationConfigs/{id}`.
pub fn read_push_config(field: &str, name: &str) -> Result<(String, String)> {
    split(name).filter(|(_, id)| !id.is_empty()).map(|(task, id)| (task.to_owned(), id.to_owned())).ok_or_else(|| {
        let right = "must be tasks/{id}/pushNotificationConfigs/{id}";
        Error::invalid(field, format!("{right}, not \"{}\"", shorten(name)))
    })
}

/// The id of the task whose configs `parent` names: with or without the collection's own name behind the task's.
///
/// # Errors
/// `InvalidArgument` for anything else.
pub fn read_parent(field: &str, parent: &str) -> Result<String> {
    read_task(field, parent.strip_suffix(CONFIGS).unwrap_or(parent))
}

/// The ids within a config's name, the config's possibly empty.
pub(super) fn split(name: &str) -> Option<(&str, &str)> {
    let (task, config) = name.strip_prefix(TASKS)?.split_once(CONFIGS)?;
    let id = config.strip_prefix('/').unwrap_or(config);
    (!task.is_empty() && !task.contains('/') && !id.contains('/')).then_some((task, id))
}
