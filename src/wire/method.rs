//! JSON-RPC methods: which operation a name means, and which dialect a request is in.
use serde_json::Value;

use crate::task::Dialect;

/// An operation of A2A, whatever its dialect calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Sends a message, answers with the task or message.
    SendMessage,
    /// Sends a message, streams what happens.
    SendStreamingMessage,
    /// Reads one task.
    GetTask,
    /// Lists tasks.
    ListTasks,
    /// Cancels a task.
    CancelTask,
    /// Streams an existing task.
    SubscribeToTask,
    /// Adds a push notification config.
    CreatePushConfig,
    /// Reads a push notification config.
    GetPushConfig,
    /// Lists push notification configs.
    ListPushConfigs,
    /// Removes a push notification config.
    DeletePushConfig,
    /// Reads the card for authenticated callers.
    GetExtendedAgentCard,
}

/// What a JSON-RPC method name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// The operation.
    pub operation: Operation,
    /// The only dialect that has the name; none: 0.3 and PraisonAI share it.
    pub dialect: Option<Dialect>,
}

impl Operation {
    /// Its A2A 1.0 method name.
    pub fn name(self) -> &'static str {
        todo!()
    }

    /// Whether it answers with a stream.
    pub fn is_stream(self) -> bool {
        todo!()
    }
}

/// What a JSON-RPC method name means; none: no dialect has it.
pub fn method(name: &str) -> Option<Method> {
    let _ = name;
    todo!()
}

/// The older dialect whose marks a request bears, if any: 0.3's or PraisonAI's. Only for names that both have.
pub fn marks(operation: Operation, params: &Value) -> Option<Dialect> {
    let _ = (operation, params);
    todo!()
}
