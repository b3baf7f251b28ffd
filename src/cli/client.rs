//! The connection of the client commands to a gateway, and how its failures are told.

use std::{error::Error as StdError, io, net::SocketAddr, time::Duration};

use clap::Args;
use owo_colors::OwoColorize as _;
use tonic::{
    Code, Status,
    transport::{Channel, ClientTlsConfig, Endpoint},
};
use tonic_types::StatusExt as _;

use super::{
    Exit,
    text::{one_line, sanitize},
};
use crate::{
    config::URL_VARIABLE,
    proto::gateway::{GetTaskRequest, TaskRecord, gateway_client::GatewayClient},
};

const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// The largest answer that is taken: gRPC's own limit of 4 MiB would hide tasks with large artifacts.
const MAX_ANSWER: usize = 1 << 30;

/// Which gateway to ask, and how to show its answers.
#[derive(Clone, Debug, Args)]
pub(super) struct Target {
    /// The gateway's URL: http://HOST:PORT, https://HOST:PORT, or HOST:PORT
    #[arg(long, value_name = "URL", env = URL_VARIABLE, hide_env_values = true, default_value = DEFAULT_URL)]
    pub(super) gateway: String,
    /// Print JSON for programs (ProtoJSON, one object a line)
    #[arg(long)]
    pub(super) json: bool,
}

/// A gateway to ask. Cheap to clone; clones share one connection, which comes back by itself after a loss.
#[derive(Clone)]
pub(super) struct Gateway {
    pub(super) client: GatewayClient<Channel>,
    url: String,
}

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line asks for something impossible.
    Usage(String),
    /// There is no connection to the gateway.
    Unreachable { url: String, cause: Box<dyn StdError + Send + Sync> },
    /// The gateway, or the way to it, answered with an error.
    Refused { doing: String, url: String, status: Box<Status> },
    /// A failure that a person can do something about.
    Explained { failure: Box<Failure>, hint: String },
    /// A port cannot be listened on.
    Listen { address: SocketAddr, cause: io::Error },
    /// A file or standard input cannot be read.
    Input { what: String, cause: io::Error },
    /// The output cannot be written.
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(cause: io::Error) -> Self {
        Self::Output(cause)
    }
}

impl Gateway {
    /// Connects to the gateway.
    pub(super) async fn connect(target: &Target) -> Result<Self, Failure> {
        let url = complete_url(&target.gateway)?;
        let unreachable =
            |cause: tonic::transport::Error| Failure::Unreachable { url: url.clone(), cause: cause.into() };
        let mut endpoint = Endpoint::from_shared(url.clone())
            .map_err(unreachable)?
            .connect_timeout(Duration::from_secs(10))
            // For a call's answer or a stream's start: neither has to wait for an agent.
            .timeout(Duration::from_secs(30))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10));
        if url.starts_with("https:") {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots()).map_err(unreachable)?;
        }
        let channel = endpoint.connect().await.map_err(unreachable)?;
        Ok(Self { client: GatewayClient::new(channel).max_decoding_message_size(MAX_ANSWER), url })
    }

    /// Reads one task; `history`: as in the API.
    pub(super) async fn get(&mut self, id: &str, history: Option<i32>) -> Result<TaskRecord, Failure> {
        let request = GetTaskRequest { task_id: id.to_owned(), history_length: history };
        let answer = self.client.get_task(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.refused("read the task", status))
    }

    /// The failure of something that was asked of this gateway.
    pub(super) fn refused(&self, doing: &str, status: Status) -> Failure {
        Failure::Refused { doing: doing.to_owned(), url: self.url.clone(), status: Box::new(status) }
    }

    /// A command line for a person to go on with, at this gateway.
    pub(super) fn command(&self, arguments: &str) -> String {
        match self.url.as_str() {
            DEFAULT_URL => format!("a2a-gateway {arguments}"),
            url => format!("a2a-gateway {arguments} --gateway {url}"),
        }
    }
}

/// Adds the scheme if there is none, and refuses what is no address of a gateway.
fn complete_url(text: &str) -> Result<String, Failure> {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let good = url.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.path_and_query().is_none_or(|path| path == "/")
    });
    if good {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let right = "must be http://HOST:PORT, https://HOST:PORT or HOST:PORT, without a path";
    Err(Failure::Usage(format!("the gateway's URL is {:?}, but it {right}", sanitize(text))))
}

impl Failure {
    /// The exit code it leads to. A reader that has gone away (`| head`) is no failure.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            _ => Exit::Failed,
        }
    }

    /// What to tell the person: one line, one more for each wrong field that it does not name, and perhaps a hint.
    /// Empty when there is nothing to tell.
    pub(super) fn report(&self) -> String {
        let (line, more) = match self {
            Self::Explained { failure, hint } => return format!("{}  {hint}\n", failure.report()),
            Self::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe => return String::new(),
            Self::Usage(text) => (text.clone(), Vec::new()),
            Self::Input { what, cause } => (format!("cannot read {what}: {cause}"), Vec::new()),
            Self::Listen { address, cause } => {
                let taken = cause.kind() == io::ErrorKind::AddrInUse;
                let hint = taken.then(|| "something listens there already; choose another with --port".to_owned());
                (format!("cannot listen on {address}: {cause}"), hint.into_iter().collect())
            }
            Self::Output(cause) => (format!("cannot write the output: {cause}"), Vec::new()),
            Self::Unreachable { url, cause } => (
                format!("cannot reach the gateway at {url}: {}", root_cause(cause.as_ref())),
                start_hint(cause.as_ref(), url).into_iter().collect(),
            ),
            Self::Refused { doing, url, status } => (
                format!("cannot {doing}: {}", describe(status)),
                fields(status).into_iter().chain(status_hint(status, url)).collect(),
            ),
        };
        std::iter::once(format!("{} {line}\n", "error:".red().bold()))
            .chain(more.iter().map(|line| format!("  {line}\n")))
            .collect()
    }
}

/// What a status says, for a person: the gateway's words, or the cause when it never reached one.
pub(super) fn describe(status: &Status) -> String {
    let message = match status.source() {
        Some(source) => root_cause(source),
        None if status.message().is_empty() => format!("{} (no message)", status.code().description()),
        None => status.message().to_owned(),
    };
    one_line(&message, 2000)
}

/// The wrong fields that the message does not already name.
fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    violations
        .iter()
        .filter(|wrong| !(status.message().contains(&wrong.field) && status.message().contains(&wrong.description)))
        .map(|wrong| format!("{}: {}", one_line(&wrong.field, 200), one_line(&wrong.description, 2000)))
        .collect()
}

fn status_hint(status: &Status, url: &str) -> Option<String> {
    if let Some(source) = status.source() {
        return start_hint(source, url);
    }
    (status.code() == Code::Unimplemented).then(|| format!("is {url} an a2a-gateway?"))
}

/// A hint for the usual case of a gateway that has not been started.
fn start_hint(error: &(dyn StdError + 'static), url: &str) -> Option<String> {
    let refused = causes(error).any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::ConnectionRefused)
    });
    refused.then(|| format!("is a gateway running at {url}? start one with `a2a-gateway`"))
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The last of a chain of causes: libraries wrap it in words that help nobody.
fn root_cause(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, FieldViolation};

    use super::*;

    fn report(failure: &Failure) -> String {
        anstream::adapter::strip_str(&failure.report()).to_string()
    }

    fn refused(status: Status) -> Failure {
        Failure::Refused { doing: "send the message".to_owned(), url: DEFAULT_URL.to_owned(), status: Box::new(status) }
    }

    #[test]
    fn urls_are_completed_and_checked() {
        for (given, url) in [
            ("localhost:8080", "http://localhost:8080"),
            ("http://a.example/", "http://a.example"),
            ("https://a.example:1", "https://a.example:1"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(complete_url(given).unwrap(), url);
        }
        for bad in ["", "http://", "ftp://a", "http://a/path", "http://a?x", "a b"] {
            assert!(matches!(complete_url(bad), Err(Failure::Usage(_))), "{bad}");
        }
    }

    #[test]
    fn the_message_is_told_and_made_harmless() {
        let failure = refused(Status::not_found("Task not found: \u{1b}[2Jx"));
        assert_eq!(report(&failure), "error: cannot send the message: Task not found: x\n");
        assert_eq!(failure.exit(), Exit::Failed);
        assert_eq!(
            report(&refused(Status::unimplemented(""))),
            "error: cannot send the message: Operation is not implemented or not supported (no message)\n  \
             is http://127.0.0.1:8080 an a2a-gateway?\n"
        );
    }

    #[test]
    fn wrong_fields_are_told_once() {
        let violation = |field: &str, description: &str| FieldViolation::new(field, description);
        let details = ErrorDetails::with_bad_request(vec![
            violation("message.parts", "must not be empty"),
            violation("timeout", "must be at least 1 ms"),
        ]);
        let message = "message.parts must not be empty";
        let status = tonic::Status::with_error_details(Code::InvalidArgument, message, details);
        assert_eq!(
            report(&refused(status)),
            "error: cannot send the message: message.parts must not be empty\n  timeout: must be at least 1 ms\n"
        );
    }

    #[tokio::test]
    async fn a_refused_connection_gets_a_hint() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let target = Target { gateway: free.to_string(), json: false };
        let Err(failure) = Gateway::connect(&target).await else { panic!("nobody listens there") };
        let report = report(&failure);
        assert!(report.starts_with(&format!("error: cannot reach the gateway at http://{free}: ")), "{report}");
        assert!(report.ends_with(&format!("is a gateway running at http://{free}? start one with `a2a-gateway`\n")));
        assert_eq!(failure.exit(), Exit::Failed);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let failure = Failure::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!((failure.exit(), failure.report()), (Exit::Done, String::new()));
    }
}
