//! Webhooks and deliveries as people read them. What receivers and callers wrote is made harmless first.

use owo_colors::{OwoColorize as _, Style};

use crate::{
    cli::text::{Cell, one_line, relative, table},
    proto::{
        gateway::{Delivery, DeliveryAttempt, DeliveryState, Webhook, WebhookEvent, WebhookPayload, WebhookState},
        well_known::Timestamp,
    },
};

/// One webhook, a field a line.
pub(super) fn webhook(webhook: &Webhook, now: Timestamp) -> String {
    let at = |time: Option<Timestamp>| time.map(|time| when(time, now));
    let scheme = webhook.authentication.as_ref().map(|given| format!("{} …", one_line(&given.scheme, 64)));
    let failure = webhook.last_failure_time.map(|time| {
        format!("{}: {}", when(time, now), one_line(&webhook.last_error, 500)).trim_end_matches(": ").to_owned()
    });
    let signed = match (webhook.is_signed, webhook.previous_secret_expire_time) {
        (false, _) => "no".to_owned(),
        (true, Some(until)) if until.millis() > now.millis() => {
            format!("yes, with the secret before, too, until {}", when(until, now))
        }
        (true, _) => "yes".to_owned(),
    };
    let lines = [
        ("Webhook", Some(one_line(&webhook.id, 300))),
        ("Name", Some(one_line(&webhook.name, 300)).filter(|name| *name != webhook.id)),
        ("URL", Some(one_line(&webhook.url, 2048))),
        ("State", Some(state(webhook))),
        ("Hears of", Some(format!("{} of {}", events(&webhook.events), scope(webhook)))),
        ("Payload", Some(payload(webhook.payload()).to_owned())),
        ("Signed", Some(signed)),
        ("Token", webhook.has_token.then(|| "yes".to_owned())),
        ("Auth", scheme),
        ("Created", at(webhook.create_time)),
        ("Updated", at(webhook.update_time)),
        ("Failing", at(webhook.failing_since).map(|since| format!("since {since}"))),
        ("Success", at(webhook.last_success_time)),
        ("Failure", failure),
        ("Pending", webhook.pending_deliveries.map(|count| count.to_string())),
        ("Given up", webhook.failed_deliveries.map(|count| count.to_string())),
    ];
    let lines = lines.into_iter().filter_map(|(name, value)| Some(line(name, &value?)));
    lines.collect()
}

/// The secret that was made for a webhook.
pub(super) fn secret(webhook: &Webhook) -> String {
    line("Secret", &one_line(&webhook.signing_secret, 200))
}

/// A webhook that was stored with a task.
pub(super) fn submitted(webhook: &Webhook) -> String {
    let id = format!("webhook {}", one_line(&webhook.id, 300));
    match one_line(&webhook.signing_secret, 200) {
        secret if secret.is_empty() => id.dimmed().to_string(),
        secret => format!("{} {secret} {}", format!("{id}, signing secret").dimmed(), "(not shown again)".dimmed()),
    }
}

/// Webhooks, one a line.
pub(super) fn webhooks(webhooks: &[Webhook], now: Timestamp) -> String {
    let rows = webhooks.iter().map(|webhook| {
        let (state, style) = state_word(webhook.state());
        let success = webhook.last_success_time.map(|time| relative(time, now));
        let failing = webhook.failing_since.map(|time| relative(time, now));
        [
            Cell(one_line(&webhook.id, 40), Style::new()),
            Cell(state.to_owned(), style),
            Cell(scope(webhook), Style::new()),
            Cell(success.unwrap_or_else(|| "never".to_owned()), Style::new().dimmed()),
            Cell(failing.unwrap_or_else(|| "-".to_owned()), Style::new().yellow()),
            Cell(one_line(&webhook.url, 200), Style::new()),
        ]
    });
    table(["WEBHOOK", "STATE", "HEARS OF", "LAST SUCCESS", "FAILING SINCE", "URL"], rows.collect())
}

/// A delivery, and its attempts below it.
pub(super) fn delivery(delivery: &Delivery, now: Timestamp) -> String {
    let (state, style) = match delivery.state() {
        DeliveryState::Pending => ("pending", Style::new().yellow()),
        DeliveryState::Delivered => ("delivered", Style::new().green()),
        DeliveryState::Failed => ("given up", Style::new().red()),
        DeliveryState::Unspecified => ("unknown", Style::new().dimmed()),
    };
    let event = delivery.event_time.map(|time| format!("  {}", when(time, now))).unwrap_or_default();
    let mut text = format!("{}  {}{}\n", one_line(&delivery.id, 300).bold(), state.style(style), event.dimmed());
    let (task, sequence) = (one_line(&delivery.task_id, 40), delivery.sequence);
    text.push_str(&format!("  {}\n", format!("#{sequence} of task {task}").dimmed()));
    let hidden = i64::from(delivery.attempt_count) - delivery.attempts.len() as i64;
    if hidden > 0 {
        text.push_str(&format!("  {}\n", format!("… {hidden} older attempts").dimmed()));
    }
    delivery.attempts.iter().for_each(|each| text.push_str(&format!("  {}\n", attempt(each))));
    if let Some(due) = delivery.next_attempt_time {
        text.push_str(&format!("  {} {}\n", "next attempt".dimmed(), when(due, now)));
    }
    text
}

fn attempt(attempt: &DeliveryAttempt) -> String {
    let status = match attempt.status {
        0 => "no answer".red().to_string(),
        status @ 200..300 => status.green().to_string(),
        status => status.red().to_string(),
    };
    let time = attempt.time.map(|time| time.to_string()).unwrap_or_default();
    let latency = attempt.latency.and_then(|latency| std::time::Duration::try_from(latency).ok());
    let mut text = format!("{:>2}. {time}  {status}", attempt.number);
    if let Some(latency) = latency {
        text.push_str(&format!("  {} ms", latency.as_millis()));
    }
    let address = one_line(&attempt.address, 100);
    if !address.is_empty() {
        text.push_str(&format!("  {address}"));
    }
    let error = one_line(&attempt.error, 500);
    if !error.is_empty() {
        text.push_str(&format!("  {}", error.red()));
    }
    let said = one_line(&attempt.response_excerpt, 200);
    if !said.is_empty() && !(200..300).contains(&attempt.status) {
        text.push_str(&format!("\n      {}", format!("answered: {said}").dimmed()));
    }
    text
}

fn line(name: &str, value: &str) -> String {
    format!("{}  {value}\n", format!("{name:<8}").dimmed())
}

fn when(time: Timestamp, now: Timestamp) -> String {
    format!("{time} ({})", relative(time, now))
}

fn state(webhook: &Webhook) -> String {
    let (word, style) = state_word(webhook.state());
    let why = match webhook.state() {
        WebhookState::Gone => ": the receiver answered 410 Gone; `webhook update --enable` sends again",
        WebhookState::Failing => ": every attempt failed for days; `webhook update --enable` sends again",
        WebhookState::Paused => ": deliveries wait; `webhook update --enable` sends them",
        WebhookState::Enabled | WebhookState::Unspecified => "",
    };
    format!("{}{why}", word.style(style))
}

fn state_word(state: WebhookState) -> (&'static str, Style) {
    match state {
        WebhookState::Enabled => ("enabled", Style::new().green()),
        WebhookState::Paused => ("paused", Style::new().yellow()),
        WebhookState::Gone => ("gone", Style::new().red()),
        WebhookState::Failing => ("failing", Style::new().red()),
        WebhookState::Unspecified => ("unknown", Style::new().dimmed()),
    }
}

fn scope(webhook: &Webhook) -> String {
    if webhook.task_id.is_empty() {
        format!("agent {}", one_line(&webhook.agent, 100))
    } else {
        format!("task {}", one_line(&webhook.task_id, 300))
    }
}

fn events(events: &[i32]) -> String {
    let word = |event: &i32| match WebhookEvent::try_from(*event) {
        Ok(WebhookEvent::Status) => "status",
        Ok(WebhookEvent::Artifact) => "artifacts",
        Ok(WebhookEvent::Message) => "messages",
        Ok(WebhookEvent::Unspecified) | Err(_) => "other events",
    };
    events.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn payload(payload: WebhookPayload) -> &'static str {
    match payload {
        WebhookPayload::A2a10 | WebhookPayload::Unspecified => "A2A 1.0",
        WebhookPayload::A2a03 => "A2A 0.3",
        WebhookPayload::Praisonai => "PraisonAI",
    }
}
