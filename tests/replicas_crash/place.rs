//! Three gateways on one database, each always at one address, and what happens to them.

use std::{
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};

use tokio::{net::TcpSocket, task::block_in_place};

use crate::{
    agents::Agent,
    caller::Client,
    database::{Server, connect},
    process::{Gateway, LIMIT, Random},
};

/// How many gateways there are.
pub const REPLICAS: usize = 3;

/// Longer than the lease of these tests.
const LONG: Duration = Duration::from_secs(3);

/// The database that they share.
const DATABASE: &str = "postgres";

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A gateway is killed, and comes again after a while.
    Kill,
    /// A gateway stands still for longer than its lease, and then goes on as if nothing had been.
    Freeze,
    /// The server crashes, and comes again.
    Crash,
    /// The server ends all connections.
    Disconnect,
    /// A gateway is killed while another stands still.
    KillBeside,
    /// The server crashes while a gateway stands still.
    CrashBeside,
}

/// All that happens.
pub const FAULTS: [Fault; 6] =
    [Fault::Kill, Fault::Freeze, Fault::Crash, Fault::Disconnect, Fault::KillBeside, Fault::CrashBeside];

/// How gateways are started.
pub struct Settings<'s> {
    pub dir: &'s Path,
    pub agents: &'s [Agent],
    pub lease: &'s str,
}

/// The gateways and their database.
pub struct Place {
    pub server: Server,
    replicas: Vec<Replica>,
    arguments: Vec<String>,
    /// When something happened, and until when it lasted.
    pub faults: Vec<(Fault, Instant, Instant)>,
}

struct Replica {
    gateway: Gateway,
    /// Keeps the port while no gateway listens.
    _port: TcpSocket,
}

impl Place {
    pub async fn start(server: Server, settings: Settings<'_>) -> Self {
        let file = settings.dir.join("gateway.toml");
        let agents = settings.agents.iter().map(|Agent { name, url, .. }| {
            format!("[[agents]]\nname = {name:?}\nurl = {url:?}\npoll_interval = \"200ms\"\n\n")
        });
        std::fs::write(&file, agents.collect::<String>()).unwrap();
        let mut arguments: Vec<String> = vec!["--database".to_owned(), server.url(DATABASE)];
        if !settings.agents.is_empty() {
            arguments.extend(["--config".to_owned(), file.to_str().unwrap().to_owned()]);
        }
        arguments.extend(["--webhook-allow", "127.0.0.0/8"].map(str::to_owned));
        let lease = format!("store.lease={}", settings.lease);
        for set in [&*lease, "webhooks.timeout=2s", "webhooks.schedule=100ms,150ms,200ms,200ms,300ms,300ms,500ms,1s"] {
            arguments.extend(["--set".to_owned(), set.to_owned()]);
        }
        // The server takes connections from here on.
        drop(server.client(DATABASE).await);
        let replicas = (0..REPLICAS).map(|_| {
            let port = TcpSocket::new_v4().unwrap();
            port.set_reuseaddr(true).unwrap();
            port.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let address = port.local_addr().unwrap().to_string();
            Replica { gateway: launch(&address, settings.dir, &arguments), _port: port }
        });
        let replicas = replicas.collect();
        Self { server, replicas, arguments, faults: Vec::new() }
    }

    /// The gateways' addresses.
    pub fn addresses(&self) -> Vec<String> {
        self.replicas.iter().map(|replica| replica.gateway.address.clone()).collect()
    }

    /// A client of all gateways.
    pub fn client(&self, random: Random) -> Client {
        Client::new(&self.addresses(), random)
    }

    /// A client of one gateway only.
    pub fn client_of(&self, replica: usize) -> Client {
        Client::new(&self.addresses()[replica..=replica], Random(0))
    }

    /// Something for each of as many clients of all gateways as there are gateways.
    pub async fn each<T>(&self, make: impl AsyncFn(Client) -> T, random: &mut Random) -> Vec<T> {
        let mut made = Vec::new();
        for _ in 0..REPLICAS {
            made.push(make(self.client(random.fork())).await);
        }
        made
    }

    /// Lets it happen, and waits until it is over.
    pub async fn suffer(&mut self, fault: Fault, random: &mut Random) {
        let began = Instant::now();
        let victim = random.below(REPLICAS as u64) as usize;
        let other = (victim + 1 + random.below(REPLICAS as u64 - 1) as usize) % REPLICAS;
        // For longer than the lease, or not.
        let pause = if random.below(2) == 0 { LONG } else { Duration::from_millis(random.below(1000)) };
        match fault {
            Fault::Kill => {
                self.kill(victim);
                tokio::time::sleep(pause).await;
                self.launch(victim);
            }
            Fault::Freeze => {
                self.signal(victim, "STOP");
                tokio::time::sleep(LONG).await;
                self.signal(victim, "CONT");
            }
            Fault::Crash => self.crash().await,
            Fault::Disconnect => self.disconnect().await,
            Fault::KillBeside => {
                self.signal(victim, "STOP");
                self.kill(other);
                tokio::time::sleep(LONG).await;
                self.signal(victim, "CONT");
                self.launch(other);
            }
            Fault::CrashBeside => {
                self.signal(victim, "STOP");
                self.crash().await;
                tokio::time::sleep(LONG).await;
                self.signal(victim, "CONT");
            }
        }
        self.faults.push((fault, began, Instant::now()));
    }

    fn kill(&mut self, replica: usize) {
        block_in_place(|| self.replicas[replica].gateway.kill9());
    }

    fn launch(&mut self, replica: usize) {
        let Replica { gateway, .. } = &mut self.replicas[replica];
        *gateway = launch(&gateway.address, &gateway.dir, &self.arguments);
    }

    fn signal(&self, replica: usize, name: &str) {
        self.replicas[replica].gateway.child.signal(name);
    }

    /// Crashes the server, once it is there.
    async fn crash(&mut self) {
        drop(self.server.client(DATABASE).await);
        block_in_place(|| self.server.crash());
    }

    /// Ends all connections to the database.
    async fn disconnect(&self) {
        let client = self.server.client(DATABASE).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        client.query(end, &[]).await.unwrap();
    }

    /// Stops all gateways. Nothing of them is left in the database.
    pub async fn stop(&mut self) {
        for replica in &self.replicas {
            replica.gateway.term();
        }
        for replica in &mut self.replicas {
            let status = block_in_place(|| replica.gateway.wait(LIMIT));
            assert!(status.success(), "{status}");
        }
        let client = connect(&self.server.url(DATABASE)).await;
        let left = client.query_one("SELECT count(*) FROM replicas", &[]).await.unwrap();
        assert_eq!(left.get::<_, i64>(0), 0);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (number, replica) in self.replicas.iter_mut().enumerate() {
                eprintln!("gateway {number} said:\n{}", replica.gateway.child.err.so_far());
            }
            eprintln!("{:#?}", self.faults);
        }
    }
}

fn launch(address: &str, dir: &Path, arguments: &[String]) -> Gateway {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    block_in_place(|| Gateway::start_at(address, dir, &arguments))
}
