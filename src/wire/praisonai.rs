//! What only PraisonAI's dialect has: its texts and its names of stream events.
use crate::{error::Error, task::Event};

/// The text of an error in PraisonAI's words. `method` is the JSON-RPC method that was called.
pub fn error_message(error: &Error, method: &str) -> String {
    let _ = (error, method);
    todo!()
}

/// The SSE event name: `task.status` or `task.artifact`.
pub fn event_name(event: &Event) -> &'static str {
    let _ = event;
    todo!()
}
