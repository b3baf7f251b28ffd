//! The gateway of the moment, always at one address, and the trap that kills it.

use std::{
    net::Ipv4Addr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use rustix::process::{Pid, Signal};
use tokio::{
    net::TcpSocket,
    sync::{Notify, watch},
    task::block_in_place,
};

use crate::{process::Gateway, receiver::Receiver, work::Client};

/// What a gateway is started with: short times, so that much happens in a short life.
const SETTINGS: &[&str] = &[
    "--webhook-allow",
    "127.0.0.0/8",
    "--set",
    "webhooks.timeout=1s",
    "--set",
    "webhooks.schedule=100ms,100ms,150ms,150ms,200ms,200ms,200ms,200ms,200ms,200ms,200ms,200ms,200ms,200ms,200ms",
];

/// When to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A submit was acknowledged: its events are stored, and may not have been sent.
    Submitted,
    /// A request has arrived; it is not answered.
    Arrived,
    /// An answer was given that says that the delivery was taken.
    Taken,
    /// An answer was given that is to be followed by another attempt.
    Refused,
}

/// The moments of the kills, in turn; none: any time.
pub const MOMENTS: [Option<Moment>; 5] =
    [None, Some(Moment::Submitted), Some(Moment::Arrived), Some(Moment::Taken), Some(Moment::Refused)];

/// Kills the gateway at the n-th of some moments to come, in the thread that sees it.
#[derive(Default)]
pub struct Trap {
    set: Mutex<Option<(Moment, u64)>>,
    target: Mutex<Option<Pid>>,
    sprung: Notify,
    /// How many gateways were killed.
    generation: AtomicU64,
}

impl Trap {
    /// How many gateways were killed: at least that of the gateway that gave an answer which has just come.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Waits until the trap has killed, for so long.
    pub async fn wait(&self, moment: Moment, countdown: u64, patience: Duration) {
        *self.set.lock().unwrap() = Some((moment, countdown));
        // Whether it has or not: who waits kills then.
        let _ = tokio::time::timeout(patience, self.sprung.notified()).await;
        *self.set.lock().unwrap() = None;
    }

    /// It is the moment; whether it was the one to kill at.
    pub fn at(&self, moment: Moment) -> bool {
        let mut set = self.set.lock().unwrap();
        match &mut *set {
            Some((wanted, countdown)) if *wanted == moment => {
                *countdown -= 1;
                if *countdown > 0 {
                    return false;
                }
                *set = None;
                if let Some(pid) = *self.target.lock().unwrap() {
                    rustix::process::kill_process(pid, Signal::KILL).unwrap();
                }
                self.sprung.notify_one();
                true
            }
            _ => false,
        }
    }
}

/// The gateway of the moment.
pub struct Place {
    gateway: Gateway,
    /// Keeps the port while no gateway listens.
    _port: TcpSocket,
    trap: Arc<Trap>,
    over: watch::Sender<bool>,
    /// When gateways were killed: milliseconds since 1970 UTC.
    pub kills: Vec<i64>,
}

impl Place {
    pub fn start(dir: &Path, trap: &Arc<Trap>) -> Self {
        let port = TcpSocket::new_v4().unwrap();
        port.set_reuseaddr(true).unwrap();
        port.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = port.local_addr().unwrap().to_string();
        let gateway = launch(&address, dir, trap);
        Self { gateway, _port: port, trap: trap.clone(), over: watch::Sender::new(false), kills: Vec::new() }
    }

    pub fn client(&self) -> Client {
        Client::new(&self.gateway.address, self.trap.clone())
    }

    /// Tells when there will be no more kills.
    pub fn over(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }

    /// Kills the gateway, unless the trap has, and starts the next one once receivers have read all that it sent.
    pub async fn kill(&mut self, receivers: &[Receiver]) {
        *self.trap.target.lock().unwrap() = None;
        block_in_place(|| self.gateway.kill9());
        for receiver in receivers {
            receiver.next_generation().await;
        }
        self.trap.generation.fetch_add(1, Ordering::SeqCst);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        self.kills.push(now.as_millis() as i64);
        let Gateway { address, dir, .. } = &self.gateway;
        self.gateway = launch(address, dir, &self.trap);
    }

    /// There are no more kills.
    pub fn end(&self) {
        self.over.send_replace(true);
    }
}

fn launch(address: &str, dir: &Path, trap: &Trap) -> Gateway {
    let gateway = block_in_place(|| Gateway::start_at(address, dir, SETTINGS));
    *trap.target.lock().unwrap() = Pid::from_raw(gateway.child.id() as i32);
    gateway
}
