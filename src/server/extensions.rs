//! The extensions of one request: which it asks for, and which of them are active, for its answer to say.
//!
//! Both names of the header (gRPC: metadata) are read on every door, in repeated lines and comma lists alike; the answer
//! bears the name that the request had. A send is answered with what is active for its turn, any other operation on a
//! task with those that it asks for and that are active for the task's turn.

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    engine::Engine,
    error::{Error, Result},
    task::{
        Dialect, Record,
        extensions::{MAX_EXTENSIONS, declared, is_uri},
    },
};

/// The name that A2A has for it since 1.0.
const NAME: HeaderName = HeaderName::from_static("a2a-extensions");
/// The name that 0.3 has for it.
const OLD_NAME: HeaderName = HeaderName::from_static("x-a2a-extensions");

/// The extensions of one request. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Extensions {
    asked: Arc<[String]>,
    names: Vec<HeaderName>,
    active: Arc<Mutex<Vec<String>>>,
}

impl Extensions {
    /// Reads what a request asks for. Entries that can be no URI are passed over. `dialect`: what the answer is named
    /// after when the request has no such header.
    ///
    /// # Errors
    /// `InvalidArgument` naming the header when there are too many.
    pub fn read(headers: &HeaderMap, dialect: Dialect) -> Result<Self> {
        let mut names: Vec<_> = [NAME, OLD_NAME].into_iter().filter(|name| headers.contains_key(name)).collect();
        let mut asked: Vec<String> = Vec::new();
        for value in names.iter().flat_map(|name| headers.get_all(name)) {
            let text = String::from_utf8_lossy(value.as_bytes());
            for uri in text.split(',').map(str::trim).filter(|uri| is_uri(uri)) {
                if asked.iter().any(|known| known == uri) {
                    continue;
                }
                if asked.len() == MAX_EXTENSIONS {
                    let problem = format!("must name at most {MAX_EXTENSIONS} extensions");
                    return Err(Error::invalid("A2A-Extensions", problem));
                }
                asked.push(uri.to_owned());
            }
        }
        if names.is_empty() {
            names.push(if dialect == Dialect::V1 { NAME } else { OLD_NAME });
        }
        Ok(Self { asked: asked.into(), names, active: Arc::default() })
    }

    /// What the request asks for.
    pub fn asked(&self) -> &[String] {
        &self.asked
    }

    /// Notes what is active for the turn of a message that was sent.
    pub fn note_turn(&self, engine: &Engine, record: &Record) {
        self.note(active(engine, record));
    }

    /// Notes what is active for a task that was asked about.
    pub fn note_task(&self, engine: &Engine, record: &Record) {
        if !self.asked.is_empty() {
            self.note(active(engine, record).filter(|uri| self.asked.contains(uri)));
        }
    }

    /// A batch is answered with what is active for any of its requests.
    fn note(&self, active: impl Iterator<Item = String>) {
        let mut noted = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        for uri in active {
            if !noted.contains(&uri) {
                noted.push(uri);
            }
        }
    }

    /// Writes what is active into the headers of the answer.
    pub fn write(&self, headers: &mut HeaderMap) {
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if active.is_empty() {
            return;
        }
        if let Ok(value) = HeaderValue::from_str(&active.join(", ")) {
            for name in &self.names {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// What is active for a task's turn, as far as its agent's card declares it: an agent that has shown none was only asked.
fn active(engine: &Engine, record: &Record) -> impl Iterator<Item = String> {
    let agent = if record.extensions.is_empty() { None } else { engine.agent(&record.agent).ok() };
    let declares = move |uri: &&String| {
        agent.as_ref().is_some_and(|agent| declared(&agent.card).iter().any(|extension| extension.uri == **uri))
    };
    record.extensions.iter().filter(declares).cloned().collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn written(extensions: &Extensions) -> HeaderMap {
        let mut headers = HeaderMap::new();
        extensions.write(&mut headers);
        headers
    }

    #[test]
    fn lists_and_lines_of_both_names_are_one_list() {
        let read = Extensions::read(
            &headers(&[
                ("a2a-extensions", "http://e/1 ,http://e/2,, two words"),
                ("a2a-extensions", "http://e/3"),
                ("x-a2a-extensions", "http://e/2, http://e/4"),
            ]),
            Dialect::V1,
        )
        .unwrap();
        assert_eq!(read.asked(), ["http://e/1", "http://e/2", "http://e/3", "http://e/4"]);
        let bytes = HeaderMap::from_iter([(NAME, HeaderValue::from_bytes(b"\xff, http://e/1").unwrap())]);
        assert_eq!(Extensions::read(&bytes, Dialect::V1).unwrap().asked(), ["http://e/1"]);
    }

    #[test]
    fn too_many_are_refused_by_name() {
        let many = |count: usize| (0..count).map(|n| format!("urn:{n}")).collect::<Vec<_>>().join(",");
        assert!(Extensions::read(&headers(&[("a2a-extensions", &many(MAX_EXTENSIONS))]), Dialect::V1).is_ok());
        let refused = Extensions::read(&headers(&[("x-a2a-extensions", &many(MAX_EXTENSIONS + 1))]), Dialect::V1);
        assert_eq!(refused.unwrap_err().field_violations()[0].field, "A2A-Extensions");
    }

    #[test]
    fn the_answer_bears_the_name_of_the_request() {
        let both = ["http://e/1".to_owned(), "http://e/2".to_owned()];
        for (dialect, name, expected) in [
            (Dialect::V1, Some("a2a-extensions"), NAME),
            (Dialect::V1, Some("x-a2a-extensions"), OLD_NAME),
            (Dialect::V03, Some("a2a-extensions"), NAME),
            (Dialect::V1, None, NAME),
            (Dialect::V03, None, OLD_NAME),
        ] {
            let lines: Vec<_> = name.map(|name| (name, "http://e/1")).into_iter().collect();
            let read = Extensions::read(&headers(&lines), dialect).unwrap();
            assert!(written(&read).is_empty());
            read.clone().note(both.clone().into_iter());
            read.note(both[..1].iter().cloned());
            let written = written(&read);
            assert_eq!((written.len(), &written[&expected]), (1, &HeaderValue::from_static("http://e/1, http://e/2")));
        }
    }
}
