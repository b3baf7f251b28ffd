//! Agent cards to JSON.
use crate::proto::a2a::AgentCard;

/// The pure A2A 1.0 card, signatures kept.
pub fn v1(card: &AgentCard) -> String {
    let _ = card;
    todo!()
}

/// One document that 1.0, 0.3 and PraisonAI clients can all read.
pub fn merged(card: &AgentCard, v03_url: &str) -> String {
    let _ = (card, v03_url);
    todo!()
}

/// The pure A2A 0.3 card.
pub fn v03(card: &AgentCard, url: &str) -> String {
    let _ = (card, url);
    todo!()
}

/// The PraisonAI card.
pub fn praisonai(card: &AgentCard, url: &str) -> String {
    let _ = (card, url);
    todo!()
}
