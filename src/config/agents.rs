//! Reads the agents: those of flags first, then those of the environment, then the tables of the file.
//!
//! A table is checked as a whole: every key of it, also of a kind that the agent turns out not to be, so that all that is
//! wrong is told at once. Values that may be secret are read without being repeated in an error.

mod a2a;
mod exec;
mod secret;
mod short;
mod table;
mod target;
mod tls;

pub(super) use secret::{Environment, read as read_secret, read_text, resolve};
pub(super) use short::split_list;

use std::cmp::Reverse;

use super::{
    agent::{Agent, AgentKind},
    reader::Reader,
    value::Value,
};
use short::Short;
use table::Table;

/// The key of all agents; those of flags and the environment are whole values of it.
pub(super) const KEY: &str = "agents";

/// The longest name, in bytes.
const MAX_NAME: usize = 64;

/// An agent and where it was named.
struct Found {
    place: usize,
    origin: String,
    agent: Agent,
}

/// All agents, the first being the default; without any, the built-in one.
pub(super) fn read(reader: &mut Reader, environment: &Environment) -> Vec<Agent> {
    reader.know(KEY);
    let mut found = Vec::new();
    // The layers are in their order, the lowest first; here the highest comes first, each in the order it was written.
    let mut shorts = shorts(reader);
    shorts.sort_by_key(|(place, _)| Reverse(reader.entry(*place).layer));
    let mut unnamed = 0;
    for (place, text) in shorts {
        found.extend(read_short(reader, place, &text, &mut unnamed));
    }
    for n in 0.. {
        let path = format!("{KEY}[{n}]");
        if reader.last(&path).is_none() {
            break;
        }
        found.extend(Table::new(reader, path, environment).read());
    }
    report_repeated(reader, &found);
    if found.is_empty() {
        return vec![Agent::new("echo".to_owned(), AgentKind::Echo)];
    }
    found.into_iter().map(|found| found.agent).collect()
}

/// The agents written in one word.
fn shorts(reader: &mut Reader) -> Vec<(usize, String)> {
    let mut shorts = Vec::new();
    for place in reader.places(KEY) {
        match &reader.entry(place).value {
            Value::Text(text) => shorts.push((place, text.clone())),
            Value::List(items) if items.is_empty() => {}
            _ => reader.wrong_at(place, "must be tables: [[agents]], each with a name and a url or command"),
        }
    }
    shorts
}

fn read_short(reader: &mut Reader, place: usize, text: &str, unnamed: &mut usize) -> Option<Found> {
    let short = Short::split(text);
    let mut origin = reader.entry(place).origin.clone();
    let name = match short.name {
        Some(name) => match checked_name(name) {
            Ok(name) => {
                origin = format!("{origin} {name}");
                name
            }
            Err(right) => {
                reader.wrong_at(place, format!("got the name {name:?}, {right}"));
                return None;
            }
        },
        None if text == "echo:" => "echo".to_owned(),
        None => {
            *unnamed += 1;
            if *unnamed == 1 { "agent".to_owned() } else { format!("agent-{unnamed}") }
        }
    };
    match short.agent(name) {
        Ok(agent) => Some(Found { place, origin, agent }),
        Err(right) => {
            reader.wrong_here(place, &origin, right);
            None
        }
    }
}

/// The name as it is, if it is one.
fn checked_name(text: &str) -> Result<String, String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    let good = (1..=MAX_NAME).contains(&text.len())
        && text.chars().all(inner)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let right = "must be 1 to 64 of a-z, 0-9, \".\", \"_\" and \"-\", beginning with a letter or digit";
    if good { Ok(text.to_owned()) } else { Err(right.to_owned()) }
}

fn report_repeated(reader: &mut Reader, found: &[Found]) {
    for (n, later) in found.iter().enumerate() {
        if let Some(earlier) = found[..n].iter().find(|earlier| earlier.agent.name == later.agent.name) {
            let text = format!("the name {} is taken by another agent (from {})", later.agent.name, earlier.origin);
            reader.wrong_here(later.place, &later.origin, text);
        }
    }
}

#[cfg(test)]
mod tests;
