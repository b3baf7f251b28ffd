//! Reads settings from the layers and collects everything that is wrong.

use std::collections::HashSet;

use super::{
    Problem,
    layers::{Entry, Layers, unknown},
    suggest::nearest,
    value::Value,
};

/// Hands out settings by key; the highest layer wins.
pub(super) struct Reader {
    entries: Vec<Entry>,
    known: HashSet<&'static str>,
    wrong: HashSet<&'static str>,
    problems: Vec<(usize, Problem)>,
}

impl Reader {
    pub(super) fn new(layers: Layers) -> Self {
        let problems = layers.problems.into_iter().map(|problem| (0, problem)).collect();
        Self { entries: layers.entries, known: HashSet::new(), wrong: HashSet::new(), problems }
    }

    /// The setting, checked in every layer that has it: that of the highest layer where it is right.
    pub(super) fn read<T>(&mut self, key: &'static str, parse: impl Fn(&Value) -> Result<T, String>) -> Option<T> {
        self.known.insert(key);
        let mut result = None;
        for (n, entry) in self.entries.iter().enumerate().filter(|(_, entry)| entry.key == key) {
            match parse(&entry.value) {
                Ok(value) => result = Some(value),
                Err(right) => {
                    let text = format!("got {}, {right}", entry.value);
                    self.problems.push((n, Problem { origin: entry.origin.clone(), text }));
                    self.wrong.insert(key);
                }
            }
        }
        if result.is_none() && !self.wrong.contains(key) {
            let text = "the setting has no default".to_owned();
            self.problems.push((0, Problem { origin: key.to_owned(), text }));
        }
        result
    }

    /// Reports that two settings do not go together, unless one of them is wrong by itself.
    pub(super) fn conflict(&mut self, key: &'static str, relation: &str, other: &'static str, why: &str) {
        if self.wrong.contains(key) || self.wrong.contains(other) {
            return;
        }
        let place = |key: &str| self.entries.iter().rposition(|entry| entry.key == key);
        if let (Some(a), Some(b)) = (place(key), place(other)) {
            let (ours, theirs) = (&self.entries[a], &self.entries[b]);
            let text = format!(
                "{key} is {}, which {relation} {other}, which is {} (from {}): {why}",
                ours.value, theirs.value, theirs.origin
            );
            self.problems.push((a.max(b), Problem { origin: ours.origin.clone(), text }));
        }
    }

    /// Everything that is wrong, keys that nothing has read among it, in the order of the layers.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        for (n, entry) in self.entries.iter().enumerate().filter(|(_, entry)| !self.known.contains(entry.key.as_str()))
        {
            let hint = nearest(&entry.key, self.known.iter().copied());
            let text = unknown("no such setting", hint);
            self.problems.push((n, Problem { origin: entry.origin.clone(), text }));
        }
        self.problems.sort_by_key(|(n, _)| *n);
        self.problems.into_iter().map(|(_, problem)| problem).collect()
    }
}
