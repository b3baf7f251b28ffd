//! The keys of agents that are commands.

use std::time::Duration;

use super::table::Table;
use crate::config::agent::{ExecAgent, ExecInput, ExecOutput};

/// The keys that only such agents have.
pub(super) const KEYS: [&str; 8] =
    ["directory", "environment", "input", "output", "timeout", "grace", "max_output", "description"];

const INPUTS: [(&str, ExecInput); 2] = [("text", ExecInput::Text), ("json", ExecInput::Json)];

const OUTPUTS: [(&str, ExecOutput); 2] = [("text", ExecOutput::Text), ("raw", ExecOutput::Raw)];

/// Reads the keys; the result's own `command` is the caller's to fill.
pub(super) fn read(table: &mut Table<'_>) -> ExecAgent {
    const MS: Duration = Duration::from_millis(1);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    let defaults = ExecAgent::new(Vec::new());
    ExecAgent {
        command: defaults.command,
        directory: table
            .find("directory", |value| match value.text() {
                Some("") => Ok(None),
                _ => value.path().map(Some),
            })
            .flatten(),
        environment: table.secrets("environment", |name, value| {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err("its name is not that of an environment variable".to_owned());
            }
            if value.contains('\0') { Err("its value contains NUL".to_owned()) } else { Ok(()) }
        }),
        input: table.find("input", |value| value.choice(&INPUTS)).unwrap_or(defaults.input),
        output: table.find("output", |value| value.choice(&OUTPUTS)).unwrap_or(defaults.output),
        timeout: table.find("timeout", |value| value.duration_or_zero(100 * MS..=365 * DAY)).flatten(),
        grace: table.find("grace", |value| value.duration(Duration::ZERO..=8_000 * MS)).unwrap_or(defaults.grace),
        max_output: table.find("max_output", |v| v.size(1024..=1 << 30)).unwrap_or(defaults.max_output),
        description: table
            .find("description", |value| value.text().map(str::to_owned).ok_or("must be text".to_owned()))
            .filter(|text| !text.is_empty()),
    }
}
