//! The settings of agent cards: who may read extended ones, and what signs them all. Tokens and keys are never shown:
//! `Debug` hides them, and errors name the place only.

use std::sync::Arc;

use super::{
    Config,
    agent::Secret,
    agents::{Environment, read_secret, read_text},
    reader::Reader,
    value::Value,
};
use crate::jws::Key;

const TOKENS: &str = "cards.extended_tokens";
const KEYS: &str = "cards.signing_keys";

/// Who may read extended agent cards, and what signs all cards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cards {
    /// Who may read extended cards.
    pub access: ExtendedAccess,
    /// The first signs; all are published. Empty: cards are not signed.
    pub signing_keys: Vec<Arc<Key>>,
}

/// Who may read extended cards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtendedAccess {
    /// Who sends one of these bearer tokens; nobody when there are none.
    Tokens(Vec<Secret>),
    /// Who gets past the proxy in front.
    Proxy,
}

/// Reads the section. `environment`: the variables that `env:` means.
pub(super) fn read(r: &mut Reader, environment: &Environment) -> Option<Cards> {
    let lists = r.read_hidden(TOKENS, |v| {
        let right = "must be a list of tokens, each \"env:NAME\", \"file:PATH\" or the token itself";
        v.items().ok_or(right)?.iter().map(|item| tokens(item, environment)).collect::<Result<Vec<_>, String>>()
    })?;
    let proxy = r.read("cards.extended_trust_proxy", Value::boolean)?;
    let tokens: Vec<Secret> = lists.into_iter().flatten().collect();
    if let Some(place) = r.last(TOKENS).filter(|_| proxy && !tokens.is_empty()) {
        let text = "must be empty with cards.extended_trust_proxy, under which no token is asked for";
        r.wrong_at(place, text);
    }
    let access = if proxy { ExtendedAccess::Proxy } else { ExtendedAccess::Tokens(tokens) };
    let signing_keys = r.read_hidden(KEYS, |v| {
        let paths = v.list().ok_or("must be a list of files, each a private key in PEM")?;
        paths.iter().map(|path| key(path)).collect::<Result<Vec<_>, String>>()
    })?;
    Some(Cards { access, signing_keys })
}

/// The tokens that a value stands for.
fn tokens(value: &Value, environment: &Environment) -> Result<Vec<Secret>, String> {
    let text = read_secret(value, environment)?;
    let tokens: Vec<_> = text.split_whitespace().collect();
    if tokens.is_empty() {
        return Err("a token in it is empty".to_owned());
    }
    // RFC 6750, section 2.1.
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    if !tokens.iter().all(|token| token.chars().all(fits)) {
        return Err("a token in it has other characters than letters, digits and \"-._~+/=\"".to_owned());
    }
    Ok(tokens.into_iter().map(|token| Secret(token.to_owned())).collect())
}

fn key(path: &str) -> Result<Arc<Key>, String> {
    let key = Key::from_pem(&read_text(path)?).map_err(|problem| format!("the file {path} {problem}"))?;
    Ok(Arc::new(key))
}

/// Settings of cards that are right alone and wrong together with others.
pub(super) fn find_conflicts(config: &Config, reader: &mut Reader) {
    if let Some(place) = reader.last(KEYS).filter(|_| {
        !config.cards.signing_keys.is_empty()
            && config.server.public_url.is_none()
            && !reader.is_wrong("server.public_url")
    }) {
        let text = "needs server.public_url: without it each request says what URLs its card has, and what is signed must \
                    not be for others to choose";
        reader.wrong_at(place, text);
    }
    let nobody = matches!(&config.cards.access, ExtendedAccess::Tokens(tokens) if tokens.is_empty());
    if !nobody || reader.is_wrong(TOKENS) {
        return;
    }
    for n in 0.. {
        if reader.last(&format!("agents[{n}]")).is_none() {
            break;
        }
        let set = |place: &usize| reader.entry(*place).value.text().is_some_and(|path| !path.is_empty());
        if let Some(place) = reader.last(&format!("agents[{n}].extended_card")).filter(set) {
            reader.wrong_at(place, format!("needs {TOKENS}, or nobody may read the extended card"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{
        Sources,
        tests::{problems, sources},
    };

    const KEY: &str = include_str!("../jws/tests/ed25519.pem");

    fn read(file: &str, environment: &[(&str, &str)]) -> Config {
        let (_dir, sources) = sources(file, environment, &[]);
        Config::load(&sources).unwrap()
    }

    #[test]
    fn nothing_is_signed_and_nobody_may_read_extended_cards_by_default() {
        let cards = Config::load(&Sources::default()).unwrap().cards;
        assert_eq!(cards, Cards { access: ExtendedAccess::Tokens(Vec::new()), signing_keys: Vec::new() });
    }

    #[test]
    fn tokens_are_listed_or_named_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        fs::write(&path, "t-2\nt-3\n").unwrap();
        let file = format!("[cards]\nextended_tokens = [\"env:CARD\", \"file:{}\", \"t/4+=\"]\n", path.display());
        let cards = read(&file, &[("CARD", "t-1")]).cards;
        let tokens = ["t-1", "t-2", "t-3", "t/4+="].map(|token| Secret(token.into()));
        assert_eq!(cards.access, ExtendedAccess::Tokens(tokens.into()));
        assert!(!format!("{cards:?}").contains("t-"), "{cards:?}");
        assert_eq!(read("[cards]\nextended_trust_proxy = true\n", &[]).cards.access, ExtendedAccess::Proxy);
    }

    #[test]
    fn keys_and_extended_cards_are_read_from_their_files() {
        let dir = tempfile::tempdir().unwrap();
        let (key, card) = (dir.path().join("key.pem"), dir.path().join("card.json"));
        fs::write(&key, KEY).unwrap();
        fs::write(&card, r#"{"description": "For friends."}"#).unwrap();
        let file = format!(
            "[server]\npublic_url = \"https://gw.test\"\n[cards]\nextended_tokens = \"t\"\nsigning_keys = [\"{}\"]\n\
             [[agents]]\nname = \"a\"\nurl = \"echo:\"\nextended_card = \"{}\"\n[[agents]]\nname = \"b\"\nurl = \"echo:\"\n",
            key.display(),
            card.display()
        );
        let config = read(&file, &[]);
        assert_eq!(config.cards.signing_keys[0].algorithm(), "EdDSA");
        let has: Vec<_> = config.agents.iter().map(|agent| agent.extended_card.is_some()).collect();
        assert_eq!(has, [true, false]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_file_and_remedy() {
        let found = problems(
            "[cards]\nextended_tokens = [\"s3 cret\", \"s3c\\\"ret\"]\nextended_trust_proxy = 1\n\
             signing_keys = [\"/nowhere/key.pem\"]\n[[agents]]\nname = \"a\"\nurl = \"echo:\"\n\
             extended_card = \"/nowhere/card.json\"\n",
            &[],
            &[],
        );
        let expected = [
            "gateway.toml:2: cards.extended_tokens: a token in it has other characters",
            "gateway.toml:3: cards.extended_trust_proxy: got 1, must be true or false",
            "gateway.toml:4: cards.signing_keys: the file /nowhere/key.pem cannot be read: ",
            "gateway.toml:8: agents[0].extended_card: the file /nowhere/card.json cannot be read: ",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (line, start) in found.iter().zip(expected) {
            assert!(line.starts_with(start) && !line.contains("s3"), "{line}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (key, card) = (dir.path().join("key.pem"), dir.path().join("card.json"));
        fs::write(&key, KEY).unwrap();
        fs::write(&card, "{}").unwrap();
        let agent = format!("[[agents]]\nname = \"a\"\nurl = \"echo:\"\nextended_card = \"{}\"\n", card.display());
        let found = problems(&format!("[cards]\nsigning_keys = \"{}\"\n{agent}", key.display()), &[], &[]);
        assert_eq!(found.len(), 2, "{found:#?}");
        assert!(found[0].contains("cards.signing_keys: needs server.public_url: "), "{found:#?}");
        assert!(found[1].contains("agents[0].extended_card: needs cards.extended_tokens, or nobody"), "{found:#?}");
        let both = problems("[cards]\nextended_tokens = \"t\"\nextended_trust_proxy = true\n", &[], &[]);
        assert!(both.len() == 1 && both[0].contains("must be empty with cards.extended_trust_proxy"), "{both:#?}");
    }
}
