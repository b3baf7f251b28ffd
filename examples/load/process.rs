//! The processes that are measured: the gateway and the bare echo, each a child with a port of its own.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Result, client_http::HttpConnection, database::Server};

/// How long a gateway may take to become ready, and a child to print its address.
const STARTUP_LIMIT: Duration = Duration::from_secs(30);

/// The PostgreSQL server whose databases all gateways use that name none, with `--postgres`.
static EVERYWHERE: OnceLock<Server> = OnceLock::new();

/// A PostgreSQL server of our own, as it is by default: what it has committed is on disk.
pub fn postgres() -> Result<Server> {
    Server::start(&["max_wal_size=4GB"]).ok_or_else(|| "PostgreSQL's server is not installed".into())
}

/// Has the gateways that are started from now on use PostgreSQL. The server ends with this process.
pub fn use_postgres() -> Result<()> {
    // Set once, at the start.
    let _ = EVERYWHERE.set(postgres()?);
    Ok(())
}

/// A gateway to measure. A child is killed, and its data removed, when this is dropped.
pub struct Gateway {
    /// Its `host:port`.
    pub address: String,
    /// From spawning it to its first `/readyz` with 200; none when it was running already.
    pub ready_after: Option<Duration>,
    child: Option<Running>,
}

struct Running {
    process: Guard,
    // Held for its destructor, which removes the directory after `process` has been killed: fields drop in order.
    _directory: TempDir,
}

/// Kills its process when dropped.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Gateway {
    /// The gateway at a URL, running already.
    pub fn running(url: &str) -> Result<Self> {
        let address = url.strip_prefix("http://").ok_or("--gateway must be an http:// URL")?;
        Ok(Self { address: address.trim_end_matches('/').to_owned(), ready_after: None, child: None })
    }

    /// Starts the release binary beside this one, on a free port, with an empty data directory.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same in front of an agent, which the gateway has found when this returns.
    pub async fn in_front_of(agent: &str) -> Result<Self> {
        Self::start_with(&["--agent", agent]).await
    }

    /// Starts one that may send webhooks to loopback addresses.
    pub async fn with_webhooks() -> Result<Self> {
        Self::start_with(&["--webhook-allow", "127.0.0.0/8"]).await
    }

    /// Starts one on a PostgreSQL database, which it may share with others.
    pub async fn on(database: &str) -> Result<Self> {
        Self::spawn(&["--database", database]).await
    }

    async fn start_with(options: &[&str]) -> Result<Self> {
        match EVERYWHERE.get() {
            Some(server) => Self::spawn(&[options, &["--database", &server.database().await]].concat()).await,
            None => Self::spawn(options).await,
        }
    }

    async fn spawn(options: &[&str]) -> Result<Self> {
        let directory = scratch_directory()?;
        let address = free_address()?;
        let log = directory.path().join("gateway.log");
        let mut command = Command::new(binary()?);
        command
            .args(["serve", "--listen", &address, "--data-dir"])
            .arg(directory.path().join("data"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        // Settings of whoever runs this must not change what is measured.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("A2A_GATEWAY_") {
                command.env_remove(name);
            }
        }
        let spawned = Instant::now();
        let mut process = Guard(command.spawn()?);
        while !is_ready(&address).await {
            let exited = process.0.try_wait()?;
            if exited.is_some() || spawned.elapsed() > STARTUP_LIMIT {
                let state = exited.map_or("is not ready".to_owned(), |status| format!("ended with {status}"));
                return Err(format!("the gateway {state}; its log ends:\n{}", tail(&log)).into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ready_after = Some(spawned.elapsed());
        Ok(Self { address, ready_after, child: Some(Running { process, _directory: directory }) })
    }

    /// The memory that its process holds now, in KiB; an error when it is not our child.
    pub fn resident_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process_id()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS line")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// The processor time that the threads of its process have taken so far; an error when it is not our child.
    pub fn processor_time(&self) -> Result<Duration> {
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.process_id()?))? {
            // A thread that has ended meanwhile did little: the ones that work stay.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            nanos += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    fn process_id(&self) -> Result<u32> {
        Ok(self.child.as_ref().ok_or("the process of a gateway that was running already is not known")?.process.0.id())
    }
}

/// The bare echo, as a child that ends with us.
pub struct BareEcho {
    /// Its `host:port`.
    pub address: String,
    _process: Guard,
}

impl BareEcho {
    /// Starts this same program as the bare echo.
    pub fn start() -> Result<Self> {
        let mut process = Guard(
            Command::new(std::env::current_exe()?)
                .arg("--bare-echo")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?,
        );
        let output = process.0.stdout.take().ok_or("the bare echo has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().to_owned();
        if address.is_empty() {
            return Err("the bare echo ended before it listened".into());
        }
        Ok(Self { address, _process: process })
    }
}

/// The median time that the disk below the data directories takes to make 4 KiB durable.
pub fn fsync_time() -> Result<Duration> {
    let directory = scratch_directory()?;
    let mut file = File::create(directory.path().join("probe"))?;
    let mut times = Vec::new();
    for _ in 0..101 {
        file.write_all(&[0; 4096])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}

/// A temporary directory on the disk that holds the build: the system's own may be memory, where fsync costs nothing.
fn scratch_directory() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("load-").tempdir_in(build_directory()?)?)
}

/// `target/<profile>`, of which this program is `examples/load`.
fn build_directory() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let directory = program.parent().and_then(Path::parent).ok_or("this program lies in no build directory")?;
    Ok(directory.to_owned())
}

/// The gateway's binary, built with the same profile as this program.
fn binary() -> Result<PathBuf> {
    let path = build_directory()?.join(format!("a2a-gateway{}", std::env::consts::EXE_SUFFIX));
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{} is missing: build it first with `cargo build --release`", path.display()).into())
}

/// An address that was free a moment ago.
fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Whether `/readyz` answers 200 now.
async fn is_ready(address: &str) -> bool {
    let Ok(mut connection) = HttpConnection::open(address).await else { return false };
    matches!(connection.get("/readyz").await, Ok(status) if status.is_success())
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
