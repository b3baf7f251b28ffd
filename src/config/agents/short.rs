//! Agents in one word: `[NAME=]URL`, `[NAME=]exec:COMMAND`, as flags and the environment give them.

use super::{
    super::agent::{A2aAgent, Agent, AgentKind, Binding, ExecAgent, Interface, Version},
    target::{Target, command_line},
};

/// An agent as it was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Short<'t> {
    pub(super) name: Option<&'t str>,
    target: &'t str,
}

impl<'t> Short<'t> {
    /// Tells a name from a URL that has an `=` of its own.
    pub(super) fn split(text: &'t str) -> Self {
        match text.split_once('=') {
            Some((name, target)) if !name.contains(|c: char| matches!(c, ':' | '/' | '?') || c.is_whitespace()) => {
                Self { name: Some(name), target }
            }
            _ => Self { name: None, target: text },
        }
    }

    /// What it is, with the default settings.
    pub(super) fn kind(&self) -> Result<AgentKind, String> {
        if let Some(line) = self.target.strip_prefix("exec:") {
            let command = command_line(line).map_err(|why| format!("the text after exec: {why}"))?;
            return Ok(AgentKind::Exec(ExecAgent::new(command)));
        }
        Ok(match Target::parse(self.target)? {
            Target::Echo => AgentKind::Echo,
            Target::Http(url) => AgentKind::A2a(A2aAgent::new(url, None)),
            Target::Grpc(url) => {
                let interface = Interface { binding: Binding::Grpc, version: Version::V1 };
                AgentKind::A2a(A2aAgent::new(url, Some(interface)))
            }
        })
    }

    /// An agent of this name.
    pub(super) fn agent(&self, name: String) -> Result<Agent, String> {
        self.kind().map(|kind| Agent::new(name, kind))
    }

    fn is_exec(&self) -> bool {
        self.target.starts_with("exec:")
    }
}

/// The agents of the environment variable, separated by white space; a command goes to the end of its line.
pub(in crate::config) fn split_list(text: &str) -> Vec<&str> {
    let mut forms = Vec::new();
    for line in text.lines() {
        let mut rest = line.trim();
        while !rest.is_empty() {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let end = if Short::split(&rest[..end]).is_exec() { rest.len() } else { end };
            forms.push(&rest[..end]);
            rest = rest[end..].trim_start();
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_urls() {
        for (text, name, target) in [
            ("a=http://h:1", Some("a"), "http://h:1"),
            ("Wr!=http://h:1", Some("Wr!"), "http://h:1"),
            ("=h:1", Some(""), "h:1"),
            ("http://h:1/?a=b", None, "http://h:1/?a=b"),
            ("h:1/x?a=b", None, "h:1/x?a=b"),
            ("exec:env A=b c", None, "exec:env A=b c"),
            ("a=exec:env A=b c", Some("a"), "exec:env A=b c"),
        ] {
            assert_eq!(Short::split(text), Short { name, target }, "{text}");
        }
    }

    #[test]
    fn a_list_is_split_at_white_space_and_a_command_takes_its_line() {
        let text = " a=http://h:1  http://h:2\n\n b=exec:sh -c 'x y' \r\nc=echo: d=exec:wc -l # e=echo:\n";
        assert_eq!(
            split_list(text),
            ["a=http://h:1", "http://h:2", "b=exec:sh -c 'x y'", "c=echo:", "d=exec:wc -l # e=echo:"]
        );
        assert!(split_list(" \n\t").is_empty());
    }
}
