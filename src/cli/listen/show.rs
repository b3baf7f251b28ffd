//! A delivery as people and programs see it. What the sender wrote is made harmless for people.

use http::StatusCode;
use owo_colors::OwoColorize as _;
use serde_json::{Value, json};

use super::{check::Findings, event, receive::Delivery};
use crate::{cli::text::one_line, proto::well_known::Timestamp, task::signature};

/// The header with the event's sequence.
const SEQUENCE: &str = "a2a-event-sequence";

/// The longest excerpt of what was said.
const EXCERPT: usize = 120;

/// A delivery, what was found of it, and what was answered.
pub(super) struct Shown<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) findings: &'a Findings,
    /// How often it has come before.
    pub(super) again: u32,
    pub(super) answered: StatusCode,
    /// When it came.
    pub(super) time: Timestamp,
}

impl Shown<'_> {
    /// For people: a line about the event, and what there is to say about the delivery below it.
    pub(super) fn text(&self) -> String {
        let Self { delivery, findings, again, answered, time } = self;
        let header = |name| one_line(delivery.header(name).unwrap_or_default(), 300);
        let body = serde_json::from_slice(&delivery.body).unwrap_or(Value::Null);
        let told = event::read(&body);
        let mut line = format!("{}  ", time.dimmed());
        match header(SEQUENCE) {
            sequence if sequence.is_empty() => {}
            sequence => line.push_str(&format!("{} ", format!("#{sequence}").bold())),
        }
        let mut below = Vec::new();
        match &told {
            Some(told) => {
                let words = [told.kind.to_owned(), one_line(&told.state, 40)];
                line.push_str(&words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "));
                let said = one_line(&told.text, EXCERPT);
                if !said.is_empty() {
                    line.push_str(&format!(": {said}"));
                }
                below.push(format!("task {}  ({})", one_line(&told.task, 300), told.form).dimmed().to_string());
            }
            None => {
                let text = one_line(&String::from_utf8_lossy(&delivery.body), EXCERPT);
                line.push_str(&format!("{} {text}", format!("{} bytes:", delivery.body.len()).dimmed()));
            }
        }
        match header(signature::ID) {
            id if id.is_empty() => below.push("no webhook-id".yellow().to_string()),
            id => below.push(format!("id {id}").dimmed().to_string()),
        }
        if *again > 0 {
            let times = if *again == 1 { "once".to_owned() } else { format!("{again} times") };
            below.push(format!("again: it has come {times} before").yellow().to_string());
        }
        below.push(verdict(findings));
        if findings.refused() || !answered.is_success() {
            below.push(format!("answered {answered}").red().to_string());
        }
        std::iter::once(line).chain(below.into_iter().map(|line| format!("  {line}"))).collect::<Vec<_>>().join("\n")
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let Self { delivery, findings, again, answered, time } = self;
        let header = |name| delivery.header(name);
        let body = serde_json::from_slice(&delivery.body)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&delivery.body)));
        let told = event::read(&body).map(|told| {
            json!({"form": told.form, "kind": told.kind, "state": told.state, "text": told.text, "taskId": told.task})
        });
        json!({
            "time": time,
            "id": header(signature::ID),
            "timestamp": header(signature::TIMESTAMP),
            "sequence": header(SEQUENCE).and_then(|number| number.parse::<u64>().ok()),
            "contentType": header("content-type"),
            "event": told,
            "verified": findings.verified(),
            "problems": findings.wrong(),
            "unchecked": findings.unchecked(),
            "again": again,
            "answered": answered.as_u16(),
            "body": body,
        })
    }
}

fn verdict(findings: &Findings) -> String {
    if findings.refused() {
        return format!("not verified: {}", findings.wrong().join("; ")).red().to_string();
    }
    let right = findings.right().join(", ");
    if findings.verified() {
        return format!("verified: {right}").green().to_string();
    }
    let right = if right.is_empty() { right } else { format!("verified: {right}; ") };
    format!("{right}not verified: {}", findings.unchecked().join("; ")).yellow().to_string()
}
