//! `agents` and `card`: what is behind the gateway.

use clap::Args;

use super::{
    Exit,
    client::{Failure, Gateway, Target},
    print::{self, Screen},
};
use crate::proto::gateway::{GetAgentCardRequest, ListAgentsRequest};

/// Arguments of `agents`.
#[derive(Clone, Debug, Args)]
pub(super) struct AgentsArgs {
    #[command(flatten)]
    pub(super) target: Target,
}

/// Arguments of `card`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  a2a-gateway card\n  a2a-gateway card --agent echo --json")]
pub(super) struct CardArgs {
    /// The agent's name [default: the gateway's default agent]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    agent: String,
    #[command(flatten)]
    pub(super) target: Target,
}

/// Lists the agents.
pub(super) async fn agents(args: AgentsArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut gateway = Gateway::connect(&args.target).await?;
    let answer = gateway.client.list_agents(ListAgentsRequest {}).await;
    let agents = answer.map_err(|status| gateway.refused("list the agents", status))?.into_inner().agents;
    if args.target.json {
        for agent in &agents {
            screen.json(agent)?;
        }
    } else {
        screen.block(&print::agents(&agents))?;
    }
    Ok(Exit::Done)
}

/// Shows an agent's card.
pub(super) async fn card(args: CardArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut gateway = Gateway::connect(&args.target).await?;
    let answer = gateway.client.get_agent_card(GetAgentCardRequest { agent: args.agent }).await;
    let card = answer.map_err(|status| gateway.refused("read the card", status))?.into_inner();
    if args.target.json {
        screen.json(&card)?
    } else {
        screen.block(&print::card(&card))?
    }
    Ok(Exit::Done)
}
