//! Whether a delivery is what it says: its signature, its token and its authorization.

use ring::hmac;

use super::receive::Delivery;
use crate::{
    cli::secret::Given,
    error::Result,
    task::{signature, webhook},
};

/// The headers that tokens come in: A2A's two spellings, and PraisonAI's.
const TOKENS: [&str; 3] = ["x-a2a-notification-token", "a2a-notification-token", "x-webhook-token"];

/// What deliveries are checked against.
pub(super) struct Checks {
    pub(super) secret: Given,
    /// Whether deliveries must be signed with it; otherwise it was made here, for a webhook that may yet be created.
    pub(super) demanded: bool,
    pub(super) token: Option<Given>,
    pub(super) auth: Option<Given>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is right.
    Right,
    /// It is not what was demanded.
    Wrong(String),
    /// It could not be checked, and need not be right.
    Unchecked(String),
}

/// What the checks of a delivery found: each by what was checked.
pub(super) struct Findings(Vec<(&'static str, Finding)>);

impl Checks {
    /// Checks against what is given. Without a secret one is made.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(super) fn new(secret: Option<Given>, token: Option<Given>, auth: Option<Given>) -> Result<Self> {
        let demanded = secret.is_some();
        let secret = match secret {
            Some(secret) => secret,
            None => Given::made(webhook::mint_signing()?),
        };
        Ok(Self { secret, demanded, token, auth })
    }

    /// The arguments with which a webhook is created that passes.
    pub(super) fn arguments(&self) -> String {
        let all = [("secret", Some(&self.secret)), ("token", self.token.as_ref()), ("auth", self.auth.as_ref())];
        let given = all.into_iter().filter_map(|(name, given)| Some((name, given?)));
        given.map(|(name, given)| format!(" --{name} {}", given.quoted())).collect()
    }

    /// Checks a delivery. `now`: seconds since 1970 UTC.
    pub(super) fn check(&self, delivery: &Delivery, now: i64) -> Findings {
        let mut all = vec![("signature", self.signature(delivery, now))];
        if let Some(token) = &self.token {
            all.push(("token", token_is(&token.value, delivery)));
        }
        if let Some(auth) = &self.auth {
            let finding = match delivery.header("authorization") {
                None => Finding::Wrong("there is no Authorization header".to_owned()),
                Some(sent) if same(sent, &auth.value) => Finding::Right,
                Some(_) => Finding::Wrong("the Authorization header is another".to_owned()),
            };
            all.push(("authorization", finding));
        }
        Findings(all)
    }

    fn signature(&self, delivery: &Delivery, now: i64) -> Finding {
        let header = |name| delivery.header(name);
        match signature::verify(&self.secret.value, header, &delivery.body, now, signature::TOLERANCE) {
            Ok(()) => Finding::Right,
            Err(why) if self.demanded => Finding::Wrong(why.to_string()),
            Err(signature::Why::Mismatch) => Finding::Unchecked("give its webhook's secret as --secret".to_owned()),
            Err(why) => Finding::Unchecked(why.to_string()),
        }
    }
}

impl Findings {
    /// Whether something that was demanded is not right.
    pub(super) fn refused(&self) -> bool {
        self.0.iter().any(|(_, finding)| matches!(finding, Finding::Wrong(_)))
    }

    /// Whether its sender is known by its signature, and all that was demanded is right.
    pub(super) fn verified(&self) -> bool {
        self.0.iter().all(|(_, finding)| *finding == Finding::Right)
    }

    /// What is right.
    pub(super) fn right(&self) -> Vec<&'static str> {
        self.0.iter().filter(|(_, finding)| *finding == Finding::Right).map(|(what, _)| *what).collect()
    }

    /// What is not as demanded, and why.
    pub(super) fn wrong(&self) -> Vec<String> {
        let wrong = self.0.iter().filter_map(|(what, finding)| match finding {
            Finding::Wrong(why) => Some(format!("{what}: {why}")),
            Finding::Right | Finding::Unchecked(_) => None,
        });
        wrong.collect()
    }

    /// What could not be checked, and why.
    pub(super) fn unchecked(&self) -> Vec<String> {
        let unchecked = self.0.iter().filter_map(|(what, finding)| match finding {
            Finding::Unchecked(why) => Some(format!("{what}: {why}")),
            Finding::Right | Finding::Wrong(_) => None,
        });
        unchecked.collect()
    }
}

/// A token comes in one header or more: each must be right.
fn token_is(token: &str, delivery: &Delivery) -> Finding {
    let mut sent = TOKENS.iter().filter_map(|name| delivery.header(name)).peekable();
    if sent.peek().is_none() {
        Finding::Wrong("there is no token header".to_owned())
    } else if sent.all(|sent| same(sent, token)) {
        Finding::Right
    } else {
        Finding::Wrong("it is another".to_owned())
    }
}

/// Whether two texts are the same, found out in a time that does not tell where they differ.
fn same(one: &str, other: &str) -> bool {
    // Their tags are compared, which are of one length. What key they are made with does not matter.
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"");
    hmac::verify(&key, other.as_bytes(), hmac::sign(&key, one.as_bytes()).as_ref()).is_ok()
}
