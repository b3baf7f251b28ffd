//! The configured agents, built, and changed when the settings are read again.
//!
//! An agent whose settings stay the same stays as it is, with its connections; an A2A agent whose settings change takes
//! them in place, so that tasks which wait for it find it.

use std::sync::Arc;

use futures::future::join_all;

use crate::{
    agent::{self, A2aAgent, Agent, Echo, Exec, ExecInput, ExecOutput, ExecSettings, a2a},
    config::{self, AgentKind},
    metrics::Metrics,
    task::Dialect,
};

/// The configured agents.
pub struct Fleet {
    metrics: Arc<Metrics>,
    members: Vec<Member>,
    /// Agents that run commands, as long as they may still have some.
    runners: Vec<Arc<Exec>>,
}

struct Member {
    config: config::Agent,
    built: Built,
}

#[derive(Clone)]
enum Built {
    Echo(Arc<Echo>),
    A2a(Arc<A2aAgent>),
    Exec(Arc<Exec>),
}

impl Fleet {
    /// Builds agents. A2A agents are looked for from now on. Within a tokio runtime.
    ///
    /// # Errors
    /// Which agent cannot be built, and why.
    pub fn new(agents: Vec<config::Agent>, metrics: Arc<Metrics>) -> Result<Self, String> {
        let mut fleet = Self { metrics, members: Vec::new(), runners: Vec::new() };
        fleet.replace(agents)?;
        Ok(fleet)
    }

    /// Changes the agents to these.
    ///
    /// # Errors
    /// Which agent cannot be built, and why; the others have been changed, and it stays as it was.
    pub fn replace(&mut self, agents: Vec<config::Agent>) -> Result<(), String> {
        let mut problems = Vec::new();
        let mut members = Vec::with_capacity(agents.len());
        for config in agents {
            let before = self.members.iter().find(|member| member.config.name == config.name);
            match self.build(&config, before) {
                Ok(built) => members.push(Member { config, built }),
                Err(problem) => {
                    problems.push(format!("agent {:?}: {problem}", config.name));
                    members.extend(before.map(|old| Member { config: old.config.clone(), built: old.built.clone() }));
                }
            }
        }
        for gone in &self.members {
            if !members.iter().any(|member| member.config.name == gone.config.name) {
                self.metrics.forget_agent(&gone.config.name);
            }
        }
        self.members = members;
        self.runners.retain(|exec| Arc::strong_count(exec) > 1);
        for member in &self.members {
            if let Built::Exec(exec) = &member.built
                && !self.runners.iter().any(|known| Arc::ptr_eq(known, exec))
            {
                self.runners.push(exec.clone());
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    /// By name, the default one first.
    pub fn agents(&self) -> Vec<(String, Arc<dyn Agent>)> {
        let agent = |built: &Built| -> Arc<dyn Agent> {
            match built {
                Built::Echo(agent) => agent.clone(),
                Built::A2a(agent) => agent.clone(),
                Built::Exec(agent) => agent.clone(),
            }
        };
        self.members.iter().map(|member| (member.config.name.clone(), agent(&member.built))).collect()
    }

    /// Waits until nothing is left of any command.
    pub async fn stopped(&self) {
        join_all(self.runners.iter().map(|exec| exec.stopped())).await;
    }

    fn build(&self, config: &config::Agent, before: Option<&Member>) -> Result<Built, String> {
        match (before, &config.kind) {
            (Some(before), _) if is_same(&before.config, config) => Ok(before.built.clone()),
            (Some(Member { built: Built::A2a(agent), .. }), AgentKind::A2a(settings)) => {
                agent.reconfigure(a2a_settings(config, settings))?;
                Ok(Built::A2a(agent.clone()))
            }
            (_, AgentKind::Echo) => Ok(Built::Echo(Arc::new(Echo))),
            (_, AgentKind::Exec(settings)) => Ok(Built::Exec(Arc::new(Exec::new(exec_settings(config, settings))))),
            (_, AgentKind::A2a(settings)) => {
                let agent = A2aAgent::new(a2a_settings(config, settings), self.metrics.clone())?;
                Ok(Built::A2a(Arc::new(agent)))
            }
        }
    }
}

/// Whether an agent can stay as it is. Its extended card is the doors' affair.
fn is_same(before: &config::Agent, now: &config::Agent) -> bool {
    let config::Agent { name, kind, max_concurrency, on_lost, extended_card: _ } = before;
    (name, kind, max_concurrency, on_lost) == (&now.name, &now.kind, &now.max_concurrency, &now.on_lost)
}

fn a2a_settings(agent: &config::Agent, settings: &config::A2aAgent) -> a2a::Settings {
    let binding = |binding| match binding {
        config::Binding::JsonRpc => a2a::Binding::JsonRpc,
        config::Binding::Grpc => a2a::Binding::Grpc,
        config::Binding::Rest => a2a::Binding::Rest,
    };
    let dialect = |version| match version {
        config::Version::V1 => Dialect::V1,
        config::Version::V03 => Dialect::V03,
        config::Version::PraisonAi => Dialect::Praison,
    };
    let secret = |secret: &config::Secret| a2a::Secret(secret.0.clone());
    let tls = &settings.tls;
    a2a::Settings {
        name: agent.name.clone(),
        url: settings.url.clone(),
        interface: settings
            .interface
            .map(|one| a2a::Interface { binding: binding(one.binding), dialect: dialect(one.version) }),
        prefer: settings
            .prefer
            .iter()
            .map(|one| a2a::Preference { binding: one.binding.map(binding), dialect: one.version.map(dialect) })
            .collect(),
        headers: settings.headers.iter().map(|(name, value)| (name.clone(), secret(value))).collect(),
        tls: a2a::Tls {
            ca: tls.ca.clone(),
            identity: tls.identity.as_ref().map(|(chain, key)| (chain.clone(), secret(key))),
        },
        mode: match settings.mode {
            config::Mode::Auto => a2a::Mode::Auto,
            config::Mode::Stream => a2a::Mode::Stream,
            config::Mode::Poll => a2a::Mode::Poll,
            config::Mode::Blocking => a2a::Mode::Blocking,
        },
        on_lost: on_lost(agent.on_lost),
        max_concurrency: agent.max_concurrency,
        connect_timeout: settings.connect_timeout,
        request_timeout: settings.request_timeout,
        idle_timeout: settings.idle_timeout,
        unreachable_timeout: settings.unreachable_timeout,
        poll_interval: settings.poll_interval,
        card_refresh: settings.card_refresh,
        max_message: settings.max_message,
    }
}

fn exec_settings(agent: &config::Agent, settings: &config::ExecAgent) -> ExecSettings {
    ExecSettings {
        name: agent.name.clone(),
        description: settings.description.clone().unwrap_or_default(),
        command: settings.command.clone(),
        directory: settings.directory.clone(),
        environment: settings.environment.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect(),
        input: match settings.input {
            config::ExecInput::Text => ExecInput::Text,
            config::ExecInput::Json => ExecInput::Json,
        },
        output: match settings.output {
            config::ExecOutput::Text => ExecOutput::Text,
            config::ExecOutput::Raw => ExecOutput::Raw,
        },
        timeout: settings.timeout,
        grace: settings.grace,
        max_concurrency: agent.max_concurrency,
        on_lost: on_lost(agent.on_lost),
        max_output: settings.max_output,
    }
}

fn on_lost(on_lost: config::OnLost) -> agent::a2a::OnLost {
    match on_lost {
        config::OnLost::Fail => a2a::OnLost::Fail,
        config::OnLost::Resend => a2a::OnLost::Resend,
    }
}
