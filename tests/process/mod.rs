//! What the tests of the real program share: its processes, whose output is read as it comes and which never outlive
//! their test, and a gateway among them.

#![allow(dead_code, reason = "each test file uses its part")]

#[path = "../database/mod.rs"]
pub mod database;

use std::{
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use a2a_gateway::proto::{
    a2a::{Message, Part, Role, part::Content},
    gateway::{SubmitTaskRequest, gateway_client::GatewayClient},
};
use tonic::transport::{Channel, Endpoint};

/// What no step of a test takes, on the busiest machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The program with arguments, without the caller's own settings of it.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_a2a-gateway"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("A2A_GATEWAY_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Finished {
    Process::spawn(&mut command(arguments)).finish()
}

/// A running program. Killed when dropped.
pub struct Process {
    child: Child,
    pub out: Lines,
    pub err: Lines,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// None: killed by a signal.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Process {
    /// Starts a program. An output that is not piped has no lines.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let out = child.stdout.take().map_or_else(|| Lines::of(std::io::empty()), Lines::of);
        let err = child.stderr.take().map_or_else(|| Lines::of(std::io::empty()), Lines::of);
        Self { child, out, err }
    }

    /// Waits for its end, which must come within the limit.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        let ended = [&mut self.out, &mut self.err].map(|lines| lines.drain(deadline));
        assert_eq!(ended, [true, true], "still running after {limit:?}; it said:\n{}{}", self.out.seen, self.err.seen);
        self.child.wait().unwrap()
    }

    /// The system's id of it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Finished {
        let code = self.wait(LIMIT).code();
        Finished { code, out: std::mem::take(&mut self.out.seen), err: std::mem::take(&mut self.err.seen) }
    }

    /// Sends it a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Kills it, as a crash does, and waits until it is gone.
    pub fn kill9(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// An output, read line by line as it comes.
pub struct Lines {
    coming: Receiver<String>,
    /// All that has been read.
    pub seen: String,
}

impl Lines {
    fn of(output: impl Read + Send + 'static) -> Self {
        let (lines, coming) = mpsc::channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut bytes = Vec::new();
            while output.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
                if lines.send(String::from_utf8_lossy(&bytes).into_owned()).is_err() {
                    return;
                }
                bytes.clear();
            }
        });
        Self { coming, seen: String::new() }
    }

    /// The next line that passes, which must come; lines before it are skipped.
    pub fn until(&mut self, what: &str, pass: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.next(deadline) {
                Ok(line) if pass(&line) => return line,
                Ok(_) => {}
                Err(error) => panic!("no {what} ({error}); it said:\n{}", self.seen),
            }
        }
    }

    /// All that has come.
    pub fn so_far(&mut self) -> &str {
        while self.next(Instant::now()).is_ok() {}
        &self.seen
    }

    fn next(&mut self, deadline: Instant) -> Result<String, RecvTimeoutError> {
        let line = self.coming.recv_timeout(deadline.saturating_duration_since(Instant::now()))?;
        self.seen.push_str(&line);
        Ok(line)
    }

    /// Reads to the end; false when it has not come by the deadline.
    fn drain(&mut self, deadline: Instant) -> bool {
        loop {
            match self.next(deadline) {
                Ok(_) => {}
                Err(error) => return error == RecvTimeoutError::Disconnected,
            }
        }
    }
}

/// A gateway that listens.
pub struct Gateway {
    pub child: Process,
    /// Its `host:port`.
    pub address: String,
    /// Its data directory.
    pub dir: PathBuf,
}

impl Gateway {
    /// Starts one on a free port.
    pub fn start(dir: &Path) -> Self {
        Self::start_at("127.0.0.1:0", dir, &[])
    }

    /// Starts one with more arguments.
    pub fn start_at(listen: &str, dir: &Path, arguments: &[&str]) -> Self {
        let data_dir = dir.to_str().unwrap();
        let mut command = command(&["serve", "--listen", listen, "--data-dir", data_dir]);
        for (key, value) in database::settings(dir) {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        Self::spawn(command.args(arguments), dir)
    }

    /// Starts one by a command whose data directory is `dir`.
    pub fn spawn(command: &mut Command, dir: &Path) -> Self {
        let mut child = Process::spawn(command);
        let line = child.err.until("start line", |line| line.contains("\"listening\""));
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = line["address"].as_str().unwrap().to_owned();
        Self { child, address, dir: dir.to_owned() }
    }

    /// Kills it, as a crash does.
    pub fn kill9(&mut self) {
        self.child.kill9();
    }

    /// Asks it to stop.
    pub fn term(&self) {
        self.child.signal("TERM");
    }

    /// Waits for its end, which must come within the limit.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        self.child.wait(limit)
    }

    /// A gRPC client with a connection of its own.
    pub async fn client(&self) -> GatewayClient<Channel> {
        connect(&self.address).await.unwrap()
    }
}

/// A gRPC client with a connection of its own.
pub async fn connect(address: &str) -> Result<GatewayClient<Channel>, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
    Ok(GatewayClient::new(endpoint.connect().await?))
}

/// An HTTP client that keeps to the loopback.
pub fn http() -> reqwest::Client {
    // Built without a provider of its own, reqwest wants one even where it speaks no TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A submit of a text to the default agent. `request_id` empty: not idempotent.
pub fn submit(text: &str, request_id: &str) -> SubmitTaskRequest {
    let part = Part { content: Some(Content::Text(text.to_owned())), ..Part::default() };
    let message = Message { role: Role::User.into(), parts: vec![part], ..Message::default() };
    SubmitTaskRequest { message: Some(message), request_id: request_id.to_owned(), ..SubmitTaskRequest::default() }
}

/// A blocking `SendMessage` of A2A 1.0 as JSON-RPC.
pub fn send_message(text: &str) -> serde_json::Value {
    let message = serde_json::json!({ "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": text }] });
    serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": { "message": message } })
}

/// The texts of parts.
pub fn texts(parts: &[Part]) -> Vec<&str> {
    let texts = parts.iter().map(|part| match &part.content {
        Some(Content::Text(text)) => text.as_str(),
        other => panic!("not a text: {other:?}"),
    });
    texts.collect()
}

/// What `slow: n` and `burst: n` make.
pub fn chunks(n: usize) -> Vec<String> {
    (1..=n).map(|i| format!("chunk {i}/{n}\n")).collect()
}

/// SplitMix64: numbers that only depend on the seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// Others, that depend on it only.
    pub fn fork(&mut self) -> Self {
        Self(self.below(u64::MAX))
    }
}

/// The seed of a test that kills at random: of `A2A_CRASH_SEED`, or else of the clock. Told, for the case of a failure.
pub fn seed() -> u64 {
    let time = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("A2A_CRASH_SEED").map_or_else(|_| time(), |seed| seed.parse().unwrap());
    eprintln!("A2A_CRASH_SEED={seed} kills at the same moments again");
    seed
}
