//! Settings that are read again while the gateway runs.
//!
//! Only agents can change without a restart. What else has changed is named, compared with what the gateway runs with
//! and not with the last reading, so that it is named until the restart.

use super::{Agent, Config, Problems, Sources, reader::Values};

/// Reads the settings of the same sources again and again.
#[derive(Debug)]
pub struct Reloader {
    sources: Sources,
    running: Values,
}

/// What a new reading brought.
#[derive(Debug)]
pub struct Reloaded {
    /// The agents.
    pub agents: Vec<Agent>,
    /// The other settings that differ from those that the gateway runs with.
    pub needs_restart: Vec<&'static str>,
}

impl Reloader {
    /// Reads the settings for the first time.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(sources: Sources) -> Result<(Config, Self), Problems> {
        let (config, running) = Config::read(&sources)?;
        Ok((config, Self { sources, running }))
    }

    /// Reads them again.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn reload(&self) -> Result<Reloaded, Problems> {
        let (config, values) = Config::read(&self.sources)?;
        let changed = values.into_iter().filter(|(key, value)| self.running.get(key) != Some(value));
        Ok(Reloaded { agents: config.agents, needs_restart: changed.map(|(key, _)| key).collect() })
    }
}
