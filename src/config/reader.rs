//! Reads settings from the layers and collects everything that is wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    hash::{DefaultHasher, Hash, Hasher as _},
};

use super::{
    Problem,
    layers::{Entry, Layers, unknown},
    suggest::nearest,
    value::Value,
};

/// Hands out settings by key; the highest layer wins.
pub(super) struct Reader {
    entries: Vec<Entry>,
    known: BTreeSet<String>,
    wrong: BTreeSet<String>,
    problems: Vec<(usize, Problem)>,
    values: Values,
}

/// Settings as they are in effect, to be compared.
pub(super) type Values = BTreeMap<&'static str, String>;

impl Reader {
    pub(super) fn new(layers: Layers) -> Self {
        let problems = layers.problems.into_iter().map(|problem| (0, problem)).collect();
        Self {
            entries: layers.entries,
            known: BTreeSet::new(),
            wrong: BTreeSet::new(),
            problems,
            values: Values::new(),
        }
    }

    /// The setting, checked in every layer that has it: that of the highest layer where it is right.
    pub(super) fn read<T: Debug>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let result = self.find(key, parse);
        self.note(key, result.as_ref().map(|value| format!("{value:?}")));
        result
    }

    /// As [`Reader::read`], of a value that must not be shown.
    pub(super) fn read_hidden<T: Hash>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let result = self.find_hidden(key, parse);
        let digest = |value: &T| {
            let mut hasher = DefaultHasher::new();
            value.hash(&mut hasher);
            hasher.finish().to_string()
        };
        self.note(key, result.as_ref().map(digest));
        result
    }

    /// Keeps a setting to be compared, or reports that it is nowhere.
    fn note(&mut self, key: &'static str, value: Option<String>) {
        match value {
            Some(value) => {
                self.values.insert(key, value);
            }
            None if self.wrong.contains(key) => {}
            None => {
                let text = "the setting has no default".to_owned();
                self.problems.push((0, Problem { origin: key.to_owned(), text }));
            }
        }
    }

    /// As [`Reader::read`], of a setting that need not be there.
    pub(super) fn find<T>(&mut self, key: &str, parse: impl Fn(&Value) -> Result<T, String>) -> Option<T> {
        self.find_hidden(key, |value| parse(value).map_err(|right| format!("got {value}, {right}")))
    }

    /// As [`Reader::find`], of a value that must not be shown: the error is all that is told.
    pub(super) fn find_hidden<T>(&mut self, key: &str, parse: impl Fn(&Value) -> Result<T, String>) -> Option<T> {
        self.know(key);
        let mut result = None;
        for place in self.places(key) {
            match parse(&self.entries[place].value) {
                Ok(value) => result = Some(value),
                Err(text) => self.wrong_at(place, text),
            }
        }
        result
    }

    /// A key that something reads.
    pub(super) fn know(&mut self, key: &str) {
        self.known.insert(key.to_owned());
    }

    /// Where a key stands, in the order of the layers.
    pub(super) fn places(&self, key: &str) -> Vec<usize> {
        let entries = self.entries.iter().enumerate();
        entries.filter(|(_, entry)| entry.key == key).map(|(place, _)| place).collect()
    }

    /// Where a key stands in the highest layer that has it.
    pub(super) fn last(&self, key: &str) -> Option<usize> {
        self.entries.iter().rposition(|entry| entry.key == key)
    }

    /// What stands at a place.
    pub(super) fn entry(&self, place: usize) -> &Entry {
        &self.entries[place]
    }

    /// Whether the key was reported.
    pub(super) fn is_wrong(&self, key: &str) -> bool {
        self.wrong.contains(key)
    }

    /// The members of a table: their names, and their keys, in the order in which they were written.
    pub(super) fn members(&self, table: &str) -> Vec<(String, String)> {
        let members = self.entries.iter().filter_map(|entry| {
            let name = member_name(entry.key.strip_prefix(table)?.strip_prefix('.')?)?;
            Some((name.to_owned(), entry.key.clone()))
        });
        members.collect()
    }

    /// Reports what is wrong at a place.
    pub(super) fn wrong_at(&mut self, place: usize, text: impl Into<String>) {
        let origin = self.entries[place].origin.clone();
        self.wrong_here(place, origin, text);
    }

    /// As [`Reader::wrong_at`], with a better name of the place.
    pub(super) fn wrong_here(&mut self, place: usize, origin: impl Into<String>, text: impl Into<String>) {
        self.wrong.insert(self.entries[place].key.clone());
        self.problems.push((place, Problem { origin: origin.into(), text: text.into() }));
    }

    /// Reports that two settings do not go together, unless one of them is wrong by itself.
    pub(super) fn conflict(&mut self, key: &'static str, relation: &str, other: &'static str, why: &str) {
        if self.wrong.contains(key) || self.wrong.contains(other) {
            return;
        }
        if let (Some(a), Some(b)) = (self.last(key), self.last(other)) {
            let (ours, theirs) = (&self.entries[a], &self.entries[b]);
            let text = format!(
                "{key} is {}, which {relation} {other}, which is {} (from {}): {why}",
                ours.value, theirs.value, theirs.origin
            );
            self.problems.push((a.max(b), Problem { origin: ours.origin.clone(), text }));
        }
    }

    /// Everything that is wrong, keys that nothing has read among it, in the order of the layers; and the settings.
    pub(super) fn finish(mut self) -> (Vec<Problem>, Values) {
        for (n, entry) in self.entries.iter().enumerate().filter(|(_, entry)| !self.known.contains(&entry.key)) {
            let text = unknown("no such setting", self.hint(&entry.key).as_deref());
            self.problems.push((n, Problem { origin: entry.origin.clone(), text }));
        }
        self.problems.sort_by_key(|(n, _)| *n);
        (self.problems.into_iter().map(|(_, problem)| problem).collect(), self.values)
    }

    /// The key that an unknown one most likely stands for. In a table of an array it is one of that table.
    fn hint(&self, key: &str) -> Option<String> {
        if key.starts_with("agents.") || key.starts_with("agent.") || key.starts_with("agent[") {
            return Some("[[agents]]".to_owned());
        }
        let known = self.known.iter().map(String::as_str);
        match key.find("].") {
            Some(end) => {
                let (table, name) = key.split_at(end + 2);
                nearest(name, known.filter_map(|key| key.strip_prefix(table))).map(|name| format!("{table}{name}"))
            }
            None => nearest(key, known.filter(|key| !key.contains('['))).map(str::to_owned),
        }
    }
}

/// A member's name without the quotes that it may have as a key; none: a member of a table within.
fn member_name(key: &str) -> Option<&str> {
    let quoted = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
    Some(quoted.unwrap_or(key)).filter(|name| !name.contains('"') && (quoted.is_some() || !name.contains(['.', '['])))
}
