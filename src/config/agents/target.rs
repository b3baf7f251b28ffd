//! Where an agent is, as people write it: a URL, `host:port`, `echo:`, or a command.
//!
//! Nothing that may be secret is repeated in an error: no user information, no query, no command.

use http::Uri;

/// What a URL means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `echo:`, the built-in agent.
    Echo,
    /// An http or https URL; a bare `host:port` is one.
    Http(String),
    /// `grpc://` or `grpcs://`, as an http or https URL: calls go there over gRPC.
    Grpc(String),
}

const FORMS: &str = "must be a URL such as http://127.0.0.1:8001 or https://agents.example.com/writer, HOST:PORT, \
                     grpc://HOST:PORT or grpcs://HOST:PORT for gRPC, or echo:";

impl Target {
    /// Reads a URL. The error is a whole sentence about it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "echo:" {
            return Ok(Self::Echo);
        }
        if text.starts_with("exec:") {
            return Err("a command is written as command = [\"program\", \"argument\"]".to_owned());
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (http, grpc) = match scheme.to_ascii_lowercase().as_str() {
            "" | "http" => ("http", false),
            "https" => ("https", false),
            "grpc" => ("http", true),
            "grpcs" => ("https", true),
            _ => return Err(got(text, FORMS)),
        };
        let url = format!("{http}://{rest}");
        let uri = url.parse::<Uri>().ok().filter(|_| !rest.contains('#') && rest.is_ascii());
        let Some((uri, authority)) = uri.and_then(|uri| uri.authority().cloned().map(|authority| (uri, authority)))
        else {
            return Err(got(text, &hint(text)));
        };
        if authority.as_str().contains('@') {
            return Err("must not hold a user or a password: give them as headers or token".to_owned());
        }
        let host = authority.host();
        let port = authority.as_str().strip_prefix(host).unwrap_or_default();
        let port_is_good = port.is_empty() || authority.port_u16().is_some_and(|port| port != 0);
        if host.is_empty() || !port_is_good {
            return Err(got(text, FORMS));
        }
        if scheme.is_empty() && port.is_empty() {
            return Err(got(text, &hint(text)));
        }
        match grpc {
            false => Ok(Self::Http(url)),
            true if has_path(&uri) => Err(got(text, "must be grpc://HOST:PORT: gRPC URLs have no path")),
            true => Ok(Self::Grpc(url.trim_end_matches('/').to_owned())),
        }
    }
}

/// Whether a URL names more than a server, which gRPC cannot call.
pub(super) fn has_path(uri: &Uri) -> bool {
    uri.path().len() > 1 || uri.query().is_some()
}

/// What would be right, with a guess at what was meant.
fn hint(text: &str) -> String {
    let host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '/');
    if text.starts_with(['.', '/', '~']) || text.contains(char::is_whitespace) {
        format!("{FORMS}; a command is written as exec:COMMAND")
    } else if text.contains('.') && text.chars().all(host) {
        format!("{FORMS}; did you mean https://{text}?")
    } else {
        FORMS.to_owned()
    }
}

/// The text, without what may be secret in it, and what would be right.
fn got(text: &str, right: &str) -> String {
    let shown: String = text.chars().take_while(|c| !matches!(c, '?' | '#') && !c.is_whitespace()).take(60).collect();
    if shown.contains('@') {
        right.to_owned()
    } else {
        format!("got {:?}, {right}", if shown.len() < text.len() { format!("{shown}…") } else { shown })
    }
}

/// The words of a command line, split as a shell does.
pub(super) fn command_line(text: &str) -> Result<Vec<String>, String> {
    let words = shlex::split(text).ok_or("is no command line: a quote or a backslash is left open")?;
    checked_command(words)
}

/// A command that can be run.
pub(super) fn checked_command(words: Vec<String>) -> Result<Vec<String>, String> {
    match words.first() {
        None => Err("must be a command: a program and its arguments".to_owned()),
        Some(program) if program.is_empty() => Err("must name a program, not \"\"".to_owned()),
        Some(_) if words.iter().any(|word| word.contains('\0')) => Err("must not contain NUL".to_owned()),
        Some(_) => Ok(words),
    }
}
