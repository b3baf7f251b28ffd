//! The card of a command.

use super::{ExecSettings, Input, Output};
use crate::proto::a2a::{AgentCapabilities, AgentCard, AgentSkill};

/// The card of an agent that runs a command.
pub(super) fn card(settings: &ExecSettings) -> AgentCard {
    let description = match settings.description.as_str() {
        "" => format!("Runs {}.", settings.program()),
        description => description.to_owned(),
    };
    let mut input_modes = vec!["text/plain".to_owned()];
    if settings.input == Input::Json {
        input_modes.push("application/json".to_owned());
    }
    AgentCard {
        name: settings.name.clone(),
        description: description.clone(),
        version: "1".into(),
        capabilities: Some(AgentCapabilities { streaming: Some(true), ..AgentCapabilities::default() }),
        default_input_modes: input_modes,
        default_output_modes: vec![media_type(settings.output).to_owned()],
        skills: vec![AgentSkill {
            id: "run".into(),
            name: settings.name.clone(),
            description,
            tags: vec!["command".into()],
            ..AgentSkill::default()
        }],
        ..AgentCard::default()
    }
}

/// What the command's artifacts are.
pub(super) fn media_type(output: Output) -> &'static str {
    match output {
        Output::Text => "text/plain",
        Output::Raw => "application/octet-stream",
    }
}
