//! The connection to an agent: its card, kept fresh, and the link that the card leads to.
//!
//! One task looks for the card, reads it again when it is due, and keeps trying while the agent cannot be reached. Turns
//! wait for it here; they never look for themselves. A link is kept as long as the card offers the same, so that calls
//! under way and open connections are not disturbed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    discover::{Fetched, choose, discover, link},
    http::Client,
    link::{CallError, Link},
    settings::{Binding, Mode, Settings},
};
use crate::{
    proto::a2a::{AgentCapabilities, AgentCard},
    task::Dialect,
    wire::card::Offer,
};

/// Pauses between two looks for a card that could not be read.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// The same while a turn waits for it.
const RETRY_WAITED: Duration = Duration::from_secs(2);

/// How an agent is reached now.
#[derive(Clone)]
pub struct Route {
    pub settings: Arc<Settings>,
    pub link: Arc<dyn Link>,
    pub dialect: Dialect,
    /// How to run turns: never `Auto`.
    pub mode: Mode,
    offer: Offer,
}

/// What is known of an agent.
#[derive(Clone)]
struct Known {
    card: Arc<AgentCard>,
    /// Whether the card is the agent's, and not a placeholder.
    shown: bool,
    route: Result<Route, String>,
}

/// The connection to one agent.
pub struct Connection {
    shared: Arc<Shared>,
    _keeper: DropGuard,
}

struct Shared {
    known: watch::Sender<Known>,
    settings: watch::Sender<Arc<Settings>>,
    /// Rung by a turn that cannot reach the agent: the card may say something new.
    bell: Notify,
    /// What the last call met, when it did not reach the agent.
    unreached: Mutex<Option<String>>,
}

impl Connection {
    /// Begins to look for the agent.
    ///
    /// # Errors
    /// What is wrong with the settings, in words for an operator.
    pub fn open(settings: Settings) -> Result<Self, String> {
        Client::new(&settings)?;
        let card = Arc::new(placeholder(&settings.name));
        let shared = Arc::new(Shared {
            known: watch::Sender::new(Known {
                card,
                shown: false,
                route: Err("it has not been reached yet".to_owned()),
            }),
            settings: watch::Sender::new(Arc::new(settings)),
            bell: Notify::new(),
            unreached: Mutex::default(),
        });
        let end = CancellationToken::new();
        let (keeper, ended) = (shared.clone(), end.clone());
        tokio::spawn(async move { ended.run_until_cancelled_owned(keep(keeper)).await });
        Ok(Self { shared, _keeper: end.drop_guard() })
    }

    /// A connection that looks for nothing: the route is given.
    #[cfg(test)]
    pub fn given(settings: Settings, route: Result<(Arc<dyn Link>, Dialect, Mode), String>) -> Self {
        let card = Arc::new(placeholder(&settings.name));
        let settings = Arc::new(settings);
        let offer = Offer {
            url: settings.url.clone(),
            binding: "JSONRPC".to_owned(),
            dialect: Dialect::V1,
            tenant: String::new(),
        };
        let route = route.map(|(link, dialect, mode)| Route {
            settings: settings.clone(),
            link,
            dialect,
            mode,
            offer: Offer { dialect, ..offer },
        });
        let shared = Arc::new(Shared {
            known: watch::Sender::new(Known { card, shown: false, route }),
            settings: watch::Sender::new(settings),
            bell: Notify::new(),
            unreached: Mutex::default(),
        });
        Self { shared, _keeper: CancellationToken::new().drop_guard() }
    }

    /// Takes other settings for the agent of the same name. Calls under way go on with the old ones.
    ///
    /// # Errors
    /// What is wrong with them; the old ones stay.
    pub fn reconfigure(&self, settings: Settings) -> Result<(), String> {
        Client::new(&settings)?;
        self.shared.settings.send_if_modified(|now| {
            let changed = **now != settings;
            if changed {
                *now = Arc::new(settings);
            }
            changed
        });
        Ok(())
    }

    pub fn settings(&self) -> Arc<Settings> {
        self.shared.settings.borrow().clone()
    }

    pub fn card(&self) -> Arc<AgentCard> {
        self.shared.known.borrow().card.clone()
    }

    /// Whether the card is the agent's own.
    pub fn has_shown_card(&self) -> bool {
        self.shared.known.borrow().shown
    }

    /// Why the agent takes no tasks now.
    pub fn problem(&self) -> Option<String> {
        let route = self.shared.known.borrow().route.as_ref().err().cloned();
        route.or_else(|| self.shared.unreached().clone())
    }

    /// Notes what a call met.
    pub fn met<T>(&self, result: &Result<T, CallError>) {
        match result {
            Err(CallError::Unreached(text)) => {
                *self.shared.unreached() = Some(text.clone());
                self.shared.bell.notify_one();
            }
            // An answer, whatever it says.
            Ok(_) | Err(CallError::Refused { .. } | CallError::Malformed(_)) => *self.shared.unreached() = None,
            Err(CallError::Busy { .. } | CallError::Lost(_)) => {}
        }
    }

    /// The way to the agent as soon as there is one.
    ///
    /// # Errors
    /// Why there is none, when the time is up.
    pub async fn route(&self, until: Instant) -> Result<Route, String> {
        let mut known = self.shared.known.subscribe();
        loop {
            let problem = match &known.borrow_and_update().route {
                Ok(route) => return Ok(route.clone()),
                Err(problem) => problem.clone(),
            };
            // As long as somebody waits, the agent is looked for often.
            self.shared.bell.notify_one();
            let ring = (Instant::now() + RETRY_WAITED).min(until);
            match timeout_at(ring, known.changed()).await {
                Ok(Err(_)) => return Err(problem),
                Err(_) if Instant::now() >= until => return Err(problem),
                Ok(Ok(())) | Err(_) => {}
            }
        }
    }

    /// The agent does not do what its card says: turns are run in another way from here on, until its card changes.
    pub fn fall_back(&self, route: &Route, mode: Mode) {
        self.shared.known.send_if_modified(|known| match &mut known.route {
            Ok(now) if Arc::ptr_eq(&now.link, &route.link) && now.mode != mode => {
                now.mode = mode;
                true
            }
            _ => false,
        });
    }
}

impl Shared {
    fn unreached(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.unreached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for the card for as long as the connection lives.
async fn keep(shared: Arc<Shared>) {
    let mut changes = shared.settings.subscribe();
    loop {
        let settings = changes.borrow_and_update().clone();
        // It was made from the same settings when they were taken.
        let Ok(client) = Client::new(&settings) else { return };
        let keeper = Keeper { shared: shared.clone(), settings, client: Arc::new(client), fetched: None, misses: 0 };
        tokio::select! {
            () = keeper.run() => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// Keeps the card of one set of settings.
struct Keeper {
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    client: Arc<Client>,
    fetched: Option<Fetched>,
    /// Looks in a row that found nothing.
    misses: u32,
}

impl Keeper {
    async fn run(mut self) {
        let mut pause = RETRY.0;
        if let Some(interface) = self.settings.interface {
            self.take(None);
            if interface.binding == Binding::Grpc {
                // There is no card to be had from a gRPC port.
                return std::future::pending().await;
            }
        }
        loop {
            let looked = discover(&self.client, &self.settings, self.fetched.as_ref()).await;
            let waited = match looked {
                Ok(fetched) => {
                    *self.shared.unreached() = None;
                    let due = fetched.fresh_until;
                    self.misses = 0;
                    self.take(Some(&fetched));
                    self.fetched = Some(fetched);
                    pause = RETRY.0;
                    due
                }
                Err(error) => {
                    self.misses += 1;
                    self.miss(&error);
                    pause = (pause * 2).min(RETRY.1);
                    Instant::now() + pause
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(waited) => {}
                () = self.shared.bell.notified() => {
                    pause = pause.min(RETRY_WAITED);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Takes over what a card says. None: there is no card, and an interface is set.
    fn take(&self, fetched: Option<&Fetched>) {
        let name = &self.settings.name;
        let route = self.route(fetched);
        let before = self.shared.known.borrow().route.as_ref().map(|route| route.offer.clone()).map_err(Clone::clone);
        match (&before, &route) {
            (Err(_), Ok(route)) => {
                tracing::info!(agent = name, url = without_query(&route.offer.url), "the agent was found")
            }
            (Ok(old), Ok(new)) if *old != new.offer => {
                tracing::info!(agent = name, url = without_query(&new.offer.url), "the agent offers another interface");
            }
            (_, Err(problem)) => tracing::warn!(agent = name, problem, "the agent cannot be called"),
            (Ok(_), Ok(_)) => {}
        }
        let card = fetched.map_or_else(|| Arc::new(placeholder(name)), |fetched| Arc::new(fetched.card.card.clone()));
        self.shared.known.send_if_modified(|known| {
            let same = *known.card == *card && known.shown == fetched.is_some() && route_is_kept(&known.route, &route);
            if !same {
                *known = Known { card, shown: fetched.is_some(), route };
            }
            !same
        });
    }

    fn route(&self, fetched: Option<&Fetched>) -> Result<Route, String> {
        let settings = &self.settings;
        let offer = match (settings.interface, fetched) {
            (Some(interface), _) => Offer {
                url: settings.url.clone(),
                binding: match interface.binding {
                    Binding::JsonRpc => "JSONRPC",
                    Binding::Grpc => "GRPC",
                    Binding::Rest => "HTTP+JSON",
                }
                .to_owned(),
                dialect: interface.dialect,
                tenant: String::new(),
            },
            (None, Some(fetched)) => {
                let mut offers = fetched.card.offers.clone();
                let secret = !settings.headers.is_empty() && fetched.url.scheme() == "https";
                // A card that was read in secret must not lead the agent's credentials into the open.
                offers.retain(|offer| !secret || is_encrypted(&offer.url));
                choose(&offers, settings).cloned().ok_or_else(|| {
                    let names: Vec<_> = fetched.card.offers.iter().map(|offer| offer.binding.as_str()).collect();
                    let secretly = if secret { " with encryption, which its credentials need" } else { "" };
                    format!(
                        "its card offers no interface that the gateway speaks{secretly}; it offers: [{}]",
                        names.join(", ")
                    )
                })?
            }
            (None, None) => return Err("it has no card".to_owned()),
        };
        let streams =
            fetched.is_none_or(|fetched| fetched.card.card.capabilities.clone().unwrap_or_default().streaming());
        let mode = match settings.mode {
            // PraisonAI's agents stop answering everybody while they stream.
            Mode::Auto if streams && offer.dialect != Dialect::Praison => Mode::Stream,
            Mode::Auto => Mode::Poll,
            mode => mode,
        };
        let known = self.shared.known.borrow().route.clone();
        let link = match known {
            Ok(route) if route.offer == offer && Arc::ptr_eq(&route.settings, settings) => route.link,
            _ => link(&offer, settings, self.client.clone())?,
        };
        Ok(Route { settings: settings.clone(), link, dialect: offer.dialect, mode, offer })
    }

    /// The card could not be read: what was known stays, since the agent may serve calls nevertheless.
    fn miss(&self, error: &CallError) {
        let name = &self.settings.name;
        if self.fetched.is_some() || self.settings.interface.is_some() {
            tracing::debug!(agent = name, %error, "the card cannot be read again");
            match error {
                CallError::Unreached(text) => *self.shared.unreached() = Some(text.clone()),
                CallError::Refused { .. } | CallError::Malformed(_) => *self.shared.unreached() = None,
                CallError::Busy { .. } | CallError::Lost(_) => {}
            }
            return;
        }
        let problem = error.to_string();
        let told = self.shared.known.borrow().route.as_ref().is_err_and(|before| *before == problem);
        // An agent that starts together with the gateway is no news at once.
        if self.misses == 2 || (self.misses > 2 && !told) {
            tracing::warn!(agent = name, problem, "the agent cannot be reached; tasks for it wait");
        }
        if !told {
            self.shared.known.send_modify(|known| known.route = Err(problem));
        }
    }
}

fn route_is_kept(before: &Result<Route, String>, now: &Result<Route, String>) -> bool {
    match (before, now) {
        (Ok(before), Ok(now)) => Arc::ptr_eq(&before.link, &now.link),
        (Err(before), Err(now)) => before == now,
        _ => false,
    }
}

/// Whether calls to an interface's URL are encrypted. gRPC targets without a scheme are, where no port or 443 is named.
fn is_encrypted(url: &str) -> bool {
    match url.split_once("://") {
        Some((scheme, _)) => matches!(scheme, "https" | "grpcs"),
        None => {
            let host = url.split('/').next().unwrap_or_default();
            let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
            port.is_none_or(|port| port == "443")
        }
    }
}

/// Queries may hold keys.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// The card of an agent that has shown none.
fn placeholder(name: &str) -> AgentCard {
    AgentCard {
        name: name.to_owned(),
        description: "This agent has not shown its card yet.".to_owned(),
        version: "0".to_owned(),
        capabilities: Some(AgentCapabilities { streaming: Some(true), ..AgentCapabilities::default() }),
        default_input_modes: vec!["text/plain".to_owned()],
        default_output_modes: vec!["text/plain".to_owned()],
        ..AgentCard::default()
    }
}
