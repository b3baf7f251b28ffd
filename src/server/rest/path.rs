//! What a path names: agent, version, tenant, and a place with its operations.
//!
//! Segments are told apart before they are decoded, and so is the operation that a task's segment ends with: an id may
//! hold a slash or a colon when they are encoded.

use http::Method;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::Form;
use crate::wire::method::Operation;

/// What cannot be a tenant in a path, as paths of the gateway begin so. An agent of such a name has its paths under
/// `/agents/{name}`.
const RESERVED: [&str; 10] =
    ["agents", "a2a", "praisonai", ".well-known", "healthz", "readyz", "metrics", "status", "openapi.json", "v1"];

const PUSH_CONFIGS: &str = "pushNotificationConfigs";

/// The places, with the names of ids in braces, in both versions.
const TEMPLATES: [&str; 8] = [
    "message:send",
    "message:stream",
    "tasks",
    "tasks/{id}",
    "tasks/{id}:cancel",
    "tasks/{id}:subscribe",
    "tasks/{id}/pushNotificationConfigs",
    "tasks/{id}/pushNotificationConfigs/{configId}",
];

/// Every place of a version, below what its paths begin with, with the names of ids in braces.
pub fn templates(form: Form) -> impl Iterator<Item = &'static str> {
    let card = match form {
        Form::V1 => "extendedAgentCard",
        Form::V03 => "card",
    };
    TEMPLATES.into_iter().chain([card])
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// The version.
    pub form: Form,
    /// The agent whose paths it is among; empty: the default one's.
    pub agent: String,
    /// The tenant; empty: none.
    pub tenant: String,
    /// The place.
    pub place: Place,
}

/// A place with operations. Ids are as callers wrote them.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    Send,
    Stream,
    Tasks,
    Task(String),
    Cancel(String),
    Subscribe(String),
    PushConfigs(String),
    PushConfig(String, String),
    Card,
}

/// Finds what a path names.
///
/// # Errors
/// When there is nothing, the version to say so in.
pub fn find(path: &str) -> Result<Target, Form> {
    let segments: Vec<_> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let (agent, segments) = match &*segments {
        ["agents", agent, rest @ ..] if !agent.is_empty() => (decoded(agent), rest),
        segments => (String::new(), segments),
    };
    let target = |form, tenant, place| Target { form, agent: agent.clone(), tenant, place };
    if let ["v1", rest @ ..] = segments {
        return Place::find(rest, Form::V03).map(|place| target(Form::V03, String::new(), place)).ok_or(Form::V03);
    }
    if let Some(place) = Place::find(segments, Form::V1) {
        return Ok(target(Form::V1, String::new(), place));
    }
    match segments {
        [tenant, rest @ ..] if is_tenant(tenant) => {
            Place::find(rest, Form::V1).map(|place| target(Form::V1, decoded(tenant), place)).ok_or(Form::V1)
        }
        _ => Err(Form::V1),
    }
}

fn is_tenant(segment: &str) -> bool {
    !segment.is_empty() && segment != "tasks" && !RESERVED.contains(&decoded(segment).as_str())
}

/// A segment as text; as it was sent when that is not UTF-8, which no name or id is.
fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8().map_or_else(|_| segment.to_owned(), Into::into)
}

impl Target {
    /// Writes what the path names into the parameters, where it counts before what they say.
    pub fn name(&self, params: &mut Value) {
        if params.is_null() {
            *params = Value::Object(Map::new());
        }
        let Some(params) = params.as_object_mut() else { return };
        if !self.tenant.is_empty() {
            params.insert("tenant".to_owned(), self.tenant.as_str().into());
        }
        match &self.place {
            Place::Task(id) | Place::Cancel(id) | Place::Subscribe(id) => {
                params.insert("id".to_owned(), id.as_str().into());
            }
            Place::PushConfigs(task) => {
                params.insert("task_id".to_owned(), task.as_str().into());
            }
            Place::Send | Place::Stream | Place::Tasks | Place::PushConfig(..) | Place::Card => {}
        }
    }
}

impl Place {
    fn find(segments: &[&str], form: Form) -> Option<Self> {
        let segments = match segments {
            // An id that is missing is told so; elsewhere a slash at the end makes no difference.
            [.., "tasks" | PUSH_CONFIGS, ""] => segments,
            [rest @ .., ""] => rest,
            segments => segments,
        };
        Some(match *segments {
            ["tasks"] => Self::Tasks,
            [one] => match (decoded(one).as_str(), form) {
                ("message:send", _) => Self::Send,
                ("message:stream", _) => Self::Stream,
                ("extendedAgentCard", Form::V1) | ("card", Form::V03) => Self::Card,
                _ => return None,
            },
            ["tasks", task] => {
                if let Some(id) = task.strip_suffix(":cancel") {
                    Self::Cancel(decoded(id))
                } else if let Some(id) = task.strip_suffix(":subscribe") {
                    Self::Subscribe(decoded(id))
                } else {
                    Self::Task(decoded(task))
                }
            }
            ["tasks", task, PUSH_CONFIGS] => Self::PushConfigs(decoded(task)),
            ["tasks", task, PUSH_CONFIGS, id] => Self::PushConfig(decoded(task), decoded(id)),
            _ => return None,
        })
    }

    /// The operation of a verb; none: the place has no such verb.
    pub fn operation(&self, verb: &Method) -> Option<Operation> {
        let reads = matches!(*verb, Method::GET | Method::HEAD);
        let gets = *verb == Method::GET;
        let posts = *verb == Method::POST;
        match self {
            Self::Send => posts.then_some(Operation::SendMessage),
            Self::Stream => posts.then_some(Operation::SendStreamingMessage),
            Self::Tasks => reads.then_some(Operation::ListTasks),
            Self::Task(_) => reads.then_some(Operation::GetTask),
            Self::Cancel(_) => posts.then_some(Operation::CancelTask),
            Self::Subscribe(_) => (gets || posts).then_some(Operation::SubscribeToTask),
            Self::PushConfigs(_) if posts => Some(Operation::CreatePushConfig),
            Self::PushConfigs(_) => reads.then_some(Operation::ListPushConfigs),
            Self::PushConfig(..) if *verb == Method::DELETE => Some(Operation::DeletePushConfig),
            Self::PushConfig(..) => reads.then_some(Operation::GetPushConfig),
            Self::Card => reads.then_some(Operation::GetExtendedAgentCard),
        }
    }

    /// Its verbs, as `Allow` lists them.
    pub fn allow(&self) -> &'static str {
        match self {
            Self::Send | Self::Stream | Self::Cancel(_) => "POST",
            Self::Tasks | Self::Task(_) | Self::Card => "GET, HEAD",
            Self::Subscribe(_) => "GET, POST",
            Self::PushConfigs(_) => "GET, HEAD, POST",
            Self::PushConfig(..) => "GET, HEAD, DELETE",
        }
    }

    /// The ids of the task and the config that it names; empty: it names none.
    pub fn into_ids(self) -> (String, String) {
        match self {
            Self::Send | Self::Stream | Self::Tasks | Self::Card => Default::default(),
            Self::Task(id) | Self::Cancel(id) | Self::Subscribe(id) | Self::PushConfigs(id) => (id, String::new()),
            Self::PushConfig(task, id) => (task, id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> (Form, String, String, Place) {
        let Target { form, agent, tenant, place } = find(path).unwrap_or_else(|_| panic!("nothing at {path}"));
        (form, agent, tenant, place)
    }

    #[test]
    fn every_path_is_found_at_the_root_for_a_tenant_and_for_an_agent() {
        let id = || "t-1".to_owned();
        for (path, place) in [
            ("message:send", Place::Send),
            ("message%3Asend", Place::Send),
            ("message:stream/", Place::Stream),
            ("tasks", Place::Tasks),
            ("tasks/t-1", Place::Task(id())),
            ("tasks/t-1/", Place::Task(id())),
            ("tasks/t-1:cancel", Place::Cancel(id())),
            ("tasks/t-1:subscribe", Place::Subscribe(id())),
            ("tasks/t-1/pushNotificationConfigs", Place::PushConfigs(id())),
            ("tasks/t-1/pushNotificationConfigs/c", Place::PushConfig(id(), "c".into())),
        ] {
            for (prefix, agent, tenant) in [
                ("/", "", ""),
                ("/acme/", "", "acme"),
                ("/two%20words%2Fand%20more/", "", "two words/and more"),
                ("/agents/echo/", "echo", ""),
                ("/agents/echo/acme/", "echo", "acme"),
                ("/agents/agents/", "agents", ""),
                ("/agents/tasks/", "tasks", ""),
                ("/agents/%FF/", "%FF", ""),
            ] {
                let expected = (Form::V1, agent.to_owned(), tenant.to_owned());
                let (form, agent, tenant, at) = found(&format!("{prefix}{path}"));
                assert_eq!(((form, agent, tenant), &at), (expected, &place), "{prefix}{path}");
            }
            for (prefix, agent) in [("/v1/", ""), ("/agents/echo/v1/", "echo"), ("/agents/v1/v1/", "v1")] {
                let (form, named, tenant, at) = found(&format!("{prefix}{path}"));
                assert_eq!((form, named.as_str(), tenant.as_str(), &at), (Form::V03, agent, "", &place));
            }
        }
        assert_eq!(found("/extendedAgentCard").3, Place::Card);
        assert_eq!(found("/acme/extendedAgentCard").3, Place::Card);
        assert_eq!(found("/v1/card").3, Place::Card);
    }

    #[test]
    fn ids_may_hold_anything_encoded() {
        for (segment, place) in [
            ("a%2Fb", Place::Task("a/b".into())),
            ("a%3Acancel", Place::Task("a:cancel".into())),
            ("a%3Acancel:cancel", Place::Cancel("a:cancel".into())),
            ("a:b", Place::Task("a:b".into())),
            ("%C3%A9%20+", Place::Task("é +".into())),
            ("%FF", Place::Task("%FF".into())),
            ("%zz", Place::Task("%zz".into())),
            (":cancel", Place::Cancel(String::new())),
            ("", Place::Task(String::new())),
        ] {
            assert_eq!(found(&format!("/tasks/{segment}")).3, place, "{segment}");
        }
        let missing = Place::PushConfig("t".into(), String::new());
        assert_eq!(found("/tasks/t/pushNotificationConfigs/").3, missing);
    }

    #[test]
    fn other_paths_are_none_and_the_gateways_own_are_no_tenants() {
        for path in [
            "/",
            "",
            "//tasks",
            "/nothing/here",
            "/tasks/t/nothing",
            "/tasks/t/pushNotificationConfigs/c/d",
            "/message:other",
            "/message/send",
            "/card",
            "/acme/card",
            "/acme/other/tasks",
            "/acme",
            "/agents/message:send",
            "/agents//tasks",
            "/agents/tasks",
            "/agents/echo",
            "/agents/echo/agents/tasks",
        ] {
            assert_eq!(find(path), Err(Form::V1), "{path}");
        }
        for name in RESERVED.into_iter().filter(|name| *name != "v1") {
            for place in ["message:send", "tasks", "extendedAgentCard"] {
                assert_eq!(find(&format!("/{name}/{place}")), Err(Form::V1), "{name}");
            }
        }
        assert_eq!(find("/%61gents/tasks"), Err(Form::V1));
        for path in ["/v1", "/v1/", "/v1/nothing", "/v1/acme/tasks", "/v1/extendedAgentCard", "/agents/echo/v1/x"] {
            assert_eq!(find(path), Err(Form::V03), "{path}");
        }
    }

    #[test]
    fn what_a_path_allows_is_what_it_does() {
        let verbs = [Method::GET, Method::HEAD, Method::POST, Method::DELETE, Method::PUT, Method::PATCH];
        for path in [
            "/message:send",
            "/message:stream",
            "/tasks",
            "/tasks/t",
            "/tasks/t:cancel",
            "/tasks/t:subscribe",
            "/tasks/t/pushNotificationConfigs",
            "/tasks/t/pushNotificationConfigs/c",
            "/extendedAgentCard",
        ] {
            let place = found(path).3;
            let does: Vec<_> =
                verbs.iter().filter(|verb| place.operation(verb).is_some()).map(Method::as_str).collect();
            assert_eq!(does.join(", "), place.allow(), "{path}");
        }
    }
}
