//! One `[[agents]]` table of the settings file.

use super::{
    Found, a2a, checked_name, exec,
    secret::{self, Environment},
    target::{Target, checked_command, command_line},
};
use crate::{
    config::{
        agent::{A2aAgent, Agent, AgentKind, ExecAgent, OnLost, Secret},
        reader::Reader,
        value::Value,
    },
    wire::card::Overlay,
};

/// A table, whose keys are read one by one.
pub(super) struct Table<'r> {
    reader: &'r mut Reader,
    /// `agents[0]`.
    path: String,
    environment: &'r Environment,
}

/// What a table's url or command says.
enum Place {
    Url(Target),
    Command(Vec<String>),
}

impl<'r> Table<'r> {
    pub(super) fn new(reader: &'r mut Reader, path: String, environment: &'r Environment) -> Self {
        Self { reader, path, environment }
    }

    /// Reads the whole table. None: wrong, and told.
    pub(super) fn read(mut self) -> Option<Found> {
        self.reader.find_hidden(&self.path, Value::table)?;
        let name = self.find("name", |value| checked_name(value.text().unwrap_or_default()));
        if !self.has("name") {
            self.wrong_table("needs a name");
        }
        let max_concurrency = self.find("max_concurrency", |v| v.integer_or_zero(1..=1_000_000)).flatten();
        let words = [("fail", OnLost::Fail), ("resend", OnLost::Resend)];
        let on_lost = self.find("on_lost", |v| v.choice(&words)).unwrap_or(OnLost::Fail);
        let extended_card = self.file("extended_card", |path| {
            Overlay::parse(&secret::read_text(path)?).map_err(|problem| format!("the file {path} {problem}"))
        });
        let place = self.place();
        let target = match &place {
            Some(Place::Url(target)) => Some(target),
            _ => None,
        };
        let a2a = a2a::read(&mut self, target);
        let exec = exec::read(&mut self);
        let kind = self.kind(place?, a2a, exec);
        let place = self.place_of("name")?;
        let origin = self.reader.entry(place).origin.clone();
        Some(Found { place, origin, agent: Agent { name: name?, kind, max_concurrency, on_lost, extended_card } })
    }

    /// Reads `url` or `command`, whichever there is. None: wrong, and told.
    fn place(&mut self) -> Option<Place> {
        let url = self.find_hidden("url", |value| Target::parse(value.text().ok_or("must be text: a URL")?));
        let command = self.find_hidden("command", command);
        match (self.has("url"), self.has("command")) {
            (true, false) => url.map(Place::Url),
            (false, true) => command.map(Place::Command),
            (true, true) => {
                self.wrong("command", "does not go together with url: an agent has one of them");
                None
            }
            (false, false) => {
                self.wrong_table("needs a url (an agent that speaks A2A) or a command (a program to run)");
                None
            }
        }
    }

    /// What the agent is, after the keys of what it is not were refused.
    fn kind(&mut self, place: Place, a2a: A2aAgent, exec: ExecAgent) -> AgentKind {
        match place {
            Place::Url(Target::Echo) => {
                let keys = a2a::KEYS.iter().chain(&exec::KEYS).chain(&["on_lost"]);
                self.refuse(keys, "means nothing to the built-in echo agent");
                AgentKind::Echo
            }
            Place::Url(Target::Http(url) | Target::Grpc(url)) => {
                self.refuse(exec::KEYS.iter(), "is for agents with a command, and this one has a url");
                AgentKind::A2a(A2aAgent { url, ..a2a })
            }
            Place::Command(command) => {
                self.refuse(a2a::KEYS.iter(), "is for agents with a url, and this one has a command");
                AgentKind::Exec(ExecAgent { command, ..exec })
            }
        }
    }

    /// Reports keys that mean nothing here.
    fn refuse<'k>(&mut self, keys: impl Iterator<Item = &'k &'k str>, why: &str) {
        for key in keys {
            let member = self.reader.members(&self.key(key)).into_iter().next().map(|(_, key)| key);
            if let Some(place) = self.place_of(key).or_else(|| self.reader.last(&member?)) {
                self.reader.wrong_at(place, format!("{key} {why}"));
            }
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    fn place_of(&self, key: &str) -> Option<usize> {
        self.reader.last(&self.key(key))
    }

    /// Whether the key was given, rightly or wrongly.
    pub(super) fn has(&self, key: &str) -> bool {
        self.place_of(key).is_some()
    }

    /// Whether the key was given and is wrong by itself.
    pub(super) fn is_wrong(&self, key: &str) -> bool {
        self.reader.is_wrong(&self.key(key))
    }

    /// A value. None: not given, or wrong and told.
    pub(super) fn find<T>(&mut self, key: &str, parse: impl Fn(&Value) -> Result<T, String>) -> Option<T> {
        let key = self.key(key);
        self.reader.find(&key, parse)
    }

    /// As [`Table::find`], of a value that errors do not repeat.
    pub(super) fn find_hidden<T>(&mut self, key: &str, parse: impl Fn(&Value) -> Result<T, String>) -> Option<T> {
        let key = self.key(key);
        self.reader.find_hidden(&key, parse)
    }

    /// What the file named by a key holds. None: not given, empty, or wrong and told.
    pub(super) fn file<T>(&mut self, key: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.find_hidden(key, |value| match value.text() {
            Some("") => Ok(None),
            Some(path) => read(path).map(Some),
            None => Err("must be a path".to_owned()),
        })
        .flatten()
    }

    /// A text that may be secret. None: not given, empty, or wrong and told.
    pub(super) fn secret<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let environment = self.environment;
        self.find_hidden(key, |value| match (value.text(), secret::read(value, environment)?) {
            (Some(""), _) => Ok(None),
            (_, text) if text.is_empty() => Err("the text that it stands for is empty".to_owned()),
            (_, text) => parse(&text).map(Some),
        })
        .flatten()
    }

    /// A table of names and of texts that may be secret, in the order in which they were written.
    pub(super) fn secrets(
        &mut self,
        key: &str,
        check: impl Fn(&str, &str) -> Result<(), String>,
    ) -> Vec<(String, Secret)> {
        let environment = self.environment;
        let _: Option<()> = self.find_hidden(key, |_| Err("must be a table of names and texts".to_owned()));
        let mut secrets = Vec::new();
        for (name, key) in self.reader.members(&self.key(key)) {
            let value = self.reader.find_hidden(&key, |value| {
                let value = secret::read(value, environment)?;
                check(&name, &value).map(|()| Secret(value))
            });
            secrets.extend(value.map(|value| (name, value)));
        }
        secrets
    }

    /// Reports that a key, whose value is right by itself, is wrong here.
    pub(super) fn wrong(&mut self, key: &str, text: &str) {
        if let Some(place) = self.place_of(key) {
            self.reader.wrong_at(place, text);
        }
    }

    /// As [`Table::wrong`], of a member of a table within this one.
    pub(super) fn wrong_member(&mut self, key: &str, name: &str, text: &str) {
        let members = self.reader.members(&self.key(key));
        if let Some(place) = members.iter().find(|(known, _)| known == name).and_then(|(_, key)| self.reader.last(key))
        {
            self.reader.wrong_at(place, text);
        }
    }

    fn wrong_table(&mut self, text: &str) {
        if let Some(place) = self.reader.last(&self.path) {
            self.reader.wrong_at(place, text);
        }
    }
}

/// A program and its arguments: an array, or one text that is split as a shell does.
fn command(value: &Value) -> Result<Vec<String>, String> {
    match value.words() {
        Some(words) => checked_command(words),
        None => command_line(value.text().ok_or("must be an array of strings, or one string")?),
    }
}
