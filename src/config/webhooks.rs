//! The settings of webhooks. Keys are never shown: `Debug` hides them, and errors name the place only.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    agents::{Environment, read_secret},
    reader::Reader,
    value::Value,
};
use crate::network::Allowed;

/// How webhooks are kept and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhooks {
    /// Whether clients can have webhooks.
    pub enabled: bool,
    /// What may be sent to beyond the public internet: IP addresses, networks, hosts' names and `*.example.com`, checked.
    pub allow: Vec<String>,
    /// Whether only https is sent to.
    pub https_only: bool,
    /// For one attempt, the answer's body included.
    pub timeout: Duration,
    /// The pauses between attempts; after the last one a delivery is given up. At least one.
    pub schedule: Vec<Duration>,
    /// Requests under way at once, those not counted that take longer than half a second.
    pub max_in_flight: usize,
    /// Requests under way at once that take longer.
    pub max_slow: usize,
    /// Requests under way at once to one origin (scheme, host and port).
    pub max_in_flight_per_origin: usize,
    /// How long every attempt must have failed before a webhook is disabled; none: it never is.
    pub disable_after: Option<Duration>,
    /// How long deliveries and their attempts are kept once delivered or given up; none: for ever.
    pub history: Option<Duration>,
    /// Webhooks of one task.
    pub per_task: usize,
    /// Encrypts what only receivers may know; none: it is stored as it is.
    pub secret_key: Option<SecretKey>,
    /// Keys that what is stored may still be encrypted with.
    pub previous_secret_keys: Vec<SecretKey>,
}

/// A key of 32 bytes, which must not be shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SecretKey(pub [u8; 32]);

/// Reads the section. `environment`: the variables that `env:` means.
pub(super) fn read(r: &mut Reader, environment: &Environment) -> Option<Webhooks> {
    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const CENTURY: Duration = Duration::from_secs(36_500 * 24 * 3600);

    Some(Webhooks {
        enabled: r.read("webhooks.enabled", Value::boolean)?,
        allow: r.read("webhooks.allow", allowed)?,
        https_only: r.read("webhooks.https_only", Value::boolean)?,
        timeout: r.read("webhooks.timeout", |v| v.duration(SECOND..=20 * SECOND))?,
        schedule: r.read("webhooks.schedule", |v| schedule(v, MS, 30 * DAY))?,
        max_in_flight: r.read("webhooks.max_in_flight", |v| v.integer(2..=10_000))?,
        max_slow: r.read("webhooks.max_slow", |v| v.integer(0..=100_000))?,
        max_in_flight_per_origin: r.read("webhooks.max_in_flight_per_origin", |v| v.integer(1..=10_000))?,
        disable_after: r.read("webhooks.disable_after", |v| v.duration_or_zero(SECOND..=CENTURY))?,
        history: r.read("webhooks.history", |v| v.duration_or_zero(SECOND..=CENTURY))?,
        per_task: r.read("webhooks.per_task", |v| v.integer(1..=1000))?,
        secret_key: r.read_hidden("webhooks.secret_key", |v| match v.text() {
            Some("") => Ok(None),
            _ => key(v, environment).map(Some),
        })?,
        previous_secret_keys: r.read_hidden("webhooks.previous_secret_keys", |v| {
            v.items().ok_or(KEYS)?.iter().map(|item| key(item, environment)).collect()
        })?,
    })
}

const KEYS: &str = "must be a list of keys, each \"env:NAME\", \"file:PATH\" or the base64 of 32 bytes";

fn allowed(value: &Value) -> Result<Vec<String>, String> {
    let right = "must be a list of IP addresses, networks and host names, such as \"127.0.0.0/8, *.example.com\"";
    let entries = value.list().ok_or(right)?;
    for entry in &entries {
        Allowed::parse(entry).map_err(|wrong| format!("{entry:?} in it {wrong}"))?;
    }
    Ok(entries)
}

fn schedule(value: &Value, shortest: Duration, longest: Duration) -> Result<Vec<Duration>, String> {
    let right = "must be a list of 1 to 50 durations, such as \"1s, 30s, 5m\"";
    let pauses = value.items().filter(|items| (1..=50).contains(&items.len())).ok_or(right)?;
    let pause = |item: &Value| item.duration(shortest..=longest).map_err(|right| format!("{item} in it {right}"));
    pauses.iter().map(pause).collect()
}

/// A key; errors do not repeat it.
fn key(value: &Value, environment: &Environment) -> Result<SecretKey, String> {
    let text = read_secret(value, environment)?;
    let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(SecretKey).ok_or_else(|| {
        "must be the base64 of 32 bytes, as \"openssl rand -base64 32\" prints it, or where to find it: \"env:NAME\" \
         or \"file:PATH\""
            .to_owned()
    })
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{
        Config, Reloader, Sources,
        tests::{problems, sources},
    };

    /// The base64 of 32 bytes, all of them `byte`.
    fn encoded(byte: u8) -> String {
        STANDARD.encode([byte; 32])
    }

    fn read(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str, &str)]) -> Webhooks {
        let (_dir, sources) = sources(file, environment, flags);
        Config::load(&sources).unwrap().webhooks
    }

    #[test]
    fn the_defaults_are_those_that_are_promised() {
        let webhooks = Config::load(&Sources::default()).unwrap().webhooks;
        let minutes = [1, 30].map(|n| Duration::from_secs(60 * n));
        let hours = [2, 5, 10, 14, 20, 24].map(|n| Duration::from_secs(3600 * n));
        let mut schedule: Vec<_> = [1, 5, 30].map(Duration::from_secs).into();
        schedule.extend([minutes[0] * 5, minutes[1]]);
        schedule.extend(hours);
        assert_eq!(webhooks.schedule, schedule);
        assert_eq!((webhooks.enabled, webhooks.https_only, webhooks.allow.len()), (true, false, 0));
        assert_eq!(webhooks.max_slow, 8192);
        assert_eq!((webhooks.max_in_flight, webhooks.max_in_flight_per_origin, webhooks.per_task), (512, 128, 32));
        assert_eq!(webhooks.timeout, Duration::from_secs(20));
        assert_eq!(webhooks.disable_after, Some(Duration::from_secs(5 * 24 * 3600)));
        assert_eq!(webhooks.history, Some(Duration::from_secs(30 * 24 * 3600)));
        assert_eq!((webhooks.secret_key, webhooks.previous_secret_keys.len()), (None, 0));
    }

    #[test]
    fn lists_are_arrays_or_text_with_commas_or_spaces() {
        let array = "[webhooks]\nallow = [\"127.0.0.0/8\", \"*.h.test\"]\nschedule = [\"1s\", \"2m\"]\n";
        let text = "[webhooks]\nallow = \"127.0.0.0/8, *.h.test\"\nschedule = \"1s 2m\"\n";
        for webhooks in [read(array, &[], &[]), read(text, &[], &[])] {
            assert_eq!(webhooks.allow, ["127.0.0.0/8", "*.h.test"]);
            assert_eq!(webhooks.schedule, [1, 120].map(Duration::from_secs));
        }
        let variable = ("A2A_GATEWAY_WEBHOOKS_ALLOW", "10.0.0.0/8,\n fd00::/8 ");
        assert_eq!(read(array, &[variable], &[]).allow, ["10.0.0.0/8", "fd00::/8"]);
        assert_eq!(read(array, &[variable], &[("--set", "webhooks.allow", "")]).allow.len(), 0);
    }

    #[test]
    fn keys_are_text_or_named_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, format!("{}\n", encoded(3))).unwrap();
        let file = format!(
            "[webhooks]\nsecret_key = \"env:HOOK_KEY\"\nprevious_secret_keys = [\"{}\", \"file:{}\"]\n",
            encoded(2),
            path.display()
        );
        let key = encoded(1);
        let webhooks = read(&file, &[("HOOK_KEY", key.as_str())], &[]);
        assert_eq!(webhooks.secret_key, Some(SecretKey([1; 32])));
        assert_eq!(webhooks.previous_secret_keys, [SecretKey([2; 32]), SecretKey([3; 32])]);
        let shown = format!("{webhooks:?}");
        assert!(shown.contains("secret_key: Some([secret])") && !shown.contains("1, 1"), "{shown}");
        assert_eq!(read("", &[("A2A_GATEWAY_WEBHOOKS_SECRET_KEY", key.as_str())], &[]).secret_key, webhooks.secret_key);
    }

    #[test]
    fn a_changed_key_needs_a_restart_and_is_not_shown() {
        let (_dir, sources) = sources(&format!("[webhooks]\nsecret_key = \"{}\"\n", encoded(1)), &[], &[]);
        let path = sources.file.clone().unwrap();
        let (_, reloader) = Reloader::load(sources).unwrap();
        assert_eq!(reloader.reload().unwrap().needs_restart.len(), 0);
        fs::write(&path, format!("[webhooks]\nsecret_key = \"{}\"\n", encoded(2))).unwrap();
        assert_eq!(reloader.reload().unwrap().needs_restart, ["webhooks.secret_key"]);
        let shown = format!("{reloader:?}");
        assert!(!shown.contains("1, 1") && !shown.contains(&encoded(1)), "{shown}");
    }

    #[test]
    fn what_is_wrong_is_reported_and_keys_by_their_names_only() {
        let short = STANDARD.encode([7; 31]);
        let file = format!(
            "[webhooks]\nallow = [\"127.0.0.1/8\"]\nschedule = []\ntimeout = \"21s\"\nper_task = 0\nsecret_key = \"{short}\"\n\
             previous_secret_keys = [\"s3cret\", 1]\nhistory = \"1ms\"\n"
        );
        let found = problems(
            &file,
            &[("A2A_GATEWAY_WEBHOOKS_SECRET_KEY", "env:NOWHERE")],
            &[("--webhook-allow", "webhooks.allow", "http://h")],
        );
        let expected = [
            "gateway.toml:2: webhooks.allow: got a TOML array, \"127.0.0.1/8\" in it has bits set behind its prefix",
            "gateway.toml:3: webhooks.schedule: got a TOML array, must be a list of 1 to 50 durations",
            "gateway.toml:4: webhooks.timeout: got \"21s\", must be a duration from 1s to 20s",
            "gateway.toml:5: webhooks.per_task: got 0, must be an integer from 1 to 1000",
            "gateway.toml:6: webhooks.secret_key: must be the base64 of 32 bytes",
            "gateway.toml:7: webhooks.previous_secret_keys: must be the base64 of 32 bytes",
            "gateway.toml:8: webhooks.history: got \"1ms\", must be a duration from 1s up",
            "A2A_GATEWAY_WEBHOOKS_SECRET_KEY: the environment variable NOWHERE is not set",
            "--webhook-allow: got \"http://h\", \"http://h\" in it must be an IP address, a network",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (line, start) in found.iter().zip(expected) {
            assert!(line.starts_with(start), "{line}");
            assert!(!line.contains(&short) && !line.contains("s3cret"), "{line}");
        }
        let found = problems("[webhooks]\nschedule = \"1s, 31d, x\"\n", &[], &[]);
        assert!(found[0].contains("\"31d\" in it must be a duration from 1ms to 30days"), "{found:?}");
    }
}
