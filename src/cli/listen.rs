//! `listen`: a receiver of webhooks that checks each delivery and shows it, to try them with and to see what is sent.
//!
//! What it demands (`--secret`, `--token`, `--auth`) it answers 401 without. Without `--secret` it makes a secret for the
//! webhook that it tells how to create; deliveries of other webhooks are then taken, and shown as not verified.

mod check;
mod event;
mod receive;
mod show;

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
};

use clap::Args;
use http::StatusCode;
use tokio::{net::TcpListener, sync::mpsc};

use super::{
    Exit,
    client::Failure,
    print::{Screen, dim},
    secret::Given,
    text::now,
    watch::stopped,
};
use crate::task::webhook;
use check::Checks;
use receive::{Arrival, Reply};

/// Deliveries that may wait to be shown.
const WAITING: usize = 16;

/// Ids that are remembered, to tell repeated deliveries.
const REMEMBERED: usize = 100_000;

/// Arguments of `listen`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Secrets may be written as env:NAME or file:PATH.\n\n\
    Examples:\n  a2a-gateway listen\n  a2a-gateway listen --port 9001 --secret env:HOOK_SECRET --token env:HOOK_TOKEN\n  \
    a2a-gateway listen --status 503       see how the gateway tries again\n  \
    a2a-gateway listen --json | jq .event")]
pub(super) struct ListenArgs {
    /// Port to listen on at 127.0.0.1, or ADDRESS:PORT; 0: any free port
    #[arg(long, value_name = "PORT", default_value = "9000", value_parser = parse_address)]
    port: SocketAddr,
    /// Take only deliveries that are signed with this secret [default: make one, and take all]
    #[arg(long, value_name = "SECRET", value_parser = parse_signing)]
    secret: Option<Given>,
    /// Take only deliveries with this token
    #[arg(long, value_name = "SECRET", value_parser = Given::parse)]
    token: Option<Given>,
    /// Take only deliveries with this Authorization header, such as "Bearer xyz"
    #[arg(long, value_name = "SECRET", value_parser = Given::parse)]
    auth: Option<Given>,
    /// Answer this HTTP status to what is taken
    #[arg(long, value_name = "STATUS", default_value = "200", value_parser = parse_status)]
    status: StatusCode,
    /// Print JSON for programs, one object a delivery
    #[arg(long)]
    pub(super) json: bool,
}

/// Receives deliveries until Ctrl-C.
pub(super) async fn listen(args: ListenArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let cannot = |cause: io::Error| Failure::Listen { address: args.port, cause };
    let listener = TcpListener::bind(args.port).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let checks = Checks::new(args.secret, args.token, args.auth)
        .map_err(|problem| Failure::Usage(problem.message().to_owned()))?;
    screen.note(&greeting(address, &checks))?;
    receive(listener, &checks, args.status, args.json, screen, stopped()).await?;
    Ok(Exit::Stopped)
}

/// Shows what comes to the listener until `stop`.
async fn receive(
    listener: TcpListener,
    checks: &Checks,
    status: StatusCode,
    json: bool,
    screen: &mut Screen,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let (arrivals, mut arrived) = mpsc::channel(WAITING);
    let mut serving = pin!(receive::serve(listener, arrivals));
    let (mut stop, mut seen) = (pin!(stop), Seen::default());
    loop {
        let Arrival { delivery, answer } = tokio::select! {
            Some(arrival) = arrived.recv() => arrival,
            () = &mut serving => return Ok(()),
            () = &mut stop => return Ok(()),
        };
        let now = now();
        let reply = match &delivery {
            Ok(delivery) => {
                let findings = checks.check(delivery, now.seconds);
                let again = seen.before(delivery.id());
                let reply = if findings.refused() { Reply::refused(&findings) } else { Reply::taken(status) };
                let shown = show::Shown { delivery, findings: &findings, again, answered: reply.status, time: now };
                if json {
                    screen.json(&shown.json())?
                } else {
                    screen.block(&shown.text())?
                }
                reply
            }
            Err(problem) => {
                screen.note(&format!("{now}  {}", problem.words()))?;
                Reply::unread(*problem)
            }
        };
        // Who has gone away meanwhile will send it again.
        let _ = answer.send(reply);
    }
}

/// How to point a webhook at this receiver.
fn greeting(address: SocketAddr, checks: &Checks) -> String {
    let host = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let network = match host {
        IpAddr::V4(ip) if ip.is_loopback() => "127.0.0.0/8".to_owned(),
        IpAddr::V4(ip) => format!("{ip}/32"),
        IpAddr::V6(ip) => format!("{ip}/128"),
    };
    let url = format!("http://{}/", SocketAddr::new(host, address.port()));
    let create = format!("a2a-gateway webhook create --url {url}{}", checks.arguments());
    format!(
        "listening on {url}\n{}\n  {create}\n{}\n  a2a-gateway --webhook-allow {network}",
        dim("send it the events of the default agent's tasks (or --task ID, --agent NAME):"),
        dim("the gateway sends to this address only when it was started with:")
    )
}

/// How often each delivery has come.
#[derive(Default)]
struct Seen {
    counts: HashMap<String, u32>,
    order: VecDeque<String>,
}

impl Seen {
    /// How often it has come before. Counts this time.
    fn before(&mut self, id: &str) -> u32 {
        if id.is_empty() {
            return 0;
        }
        if let Some(count) = self.counts.get_mut(id) {
            *count = count.saturating_add(1);
            return *count - 1;
        }
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.counts.remove(&oldest);
        }
        self.order.push_back(id.to_owned());
        self.counts.insert(id.to_owned(), 1);
        0
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    port.or_else(|_| text.parse())
        .map_err(|_| "must be a port, or an address and a port such as 0.0.0.0:9000".to_owned())
}

fn parse_signing(text: &str) -> Result<Given, String> {
    let given = Given::parse(text)?;
    match webhook::signing_key(&given.value) {
        Ok(_) => Ok(given),
        Err(_) => Err("must be whsec_ and the base64 of 24 to 64 bytes".to_owned()),
    }
}

fn parse_status(text: &str) -> Result<StatusCode, String> {
    let status = text.parse().ok().filter(|status: &StatusCode| (200..600).contains(&status.as_u16()));
    status.ok_or_else(|| "must be an HTTP status from 200 to 599".to_owned())
}

#[cfg(test)]
mod tests;
