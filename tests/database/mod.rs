//! A PostgreSQL server of the tests' own: made from the distribution's package, reached by a socket in a folder of its own,
//! gone with the process that it was made for, however that ends.
//!
//! Where the server is not installed, tests that need it are left out, and say so once in each program. With
//! `A2A_TEST_POSTGRES=required` they fail instead.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    fs,
    io::Write as _,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Once, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio_postgres::{Client, NoTls};

/// What no step takes, on the busiest machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the server until its own input ends, which it does with the process that holds it; then nothing of it is left.
const KEEPER: &str = r#"
"$@" </dev/null >>log 2>&1 & server=$!
cat >/dev/null
kill -INT $server; wait $server
cd / && rm -rf "$FOLDER"
"#;

/// The server that the tests of one program share; none: it is not installed.
pub fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&["fsync=off", "full_page_writes=off"])).as_ref()
}

/// Whether tests that run over either database run over PostgreSQL.
pub fn on_postgres() -> bool {
    std::env::var_os("A2A_TEST_STORE").is_some_and(|store| store == "postgres")
}

/// Settings of a gateway whose data are in a directory, for tests that run over either database: with
/// `A2A_TEST_STORE=postgres` it has a PostgreSQL database of its own, the same again for the same directory.
pub fn settings(dir: &Path) -> Vec<(&'static str, String)> {
    if !on_postgres() {
        return Vec::new();
    }
    let server = server().expect("A2A_TEST_STORE=postgres needs PostgreSQL's server: apt-get install postgresql");
    // What a killed one worked on is to be taken over soon.
    vec![("store.database", server.database_of(dir)), ("store.lease", "1s".to_owned())]
}

/// A server.
pub struct Server {
    folder: PathBuf,
    programs: PathBuf,
    settings: Vec<String>,
    running: Running,
    databases: AtomicU32,
}

struct Running {
    keeper: Child,
    /// Once it is closed the keeper ends the server.
    input: Option<ChildStdin>,
}

/// Whom the server runs as: itself it refuses to be root.
#[derive(Clone, Copy)]
struct User {
    id: u32,
    group: u32,
}

impl Server {
    /// Makes and starts one with settings such as `fsync=off`. None: it is not installed.
    pub fn start(settings: &[&str]) -> Option<Self> {
        let Some(programs) = programs() else {
            let remedy =
                "PostgreSQL's server is not installed: tests that need it are left out (apt-get install postgresql)";
            let required = std::env::var_os("A2A_TEST_POSTGRES").is_some_and(|value| value == "required");
            assert!(!required, "{remedy}");
            static TOLD: Once = Once::new();
            // Not by `eprintln`, which is kept for tests that fail.
            TOLD.call_once(|| drop(writeln!(std::io::stderr(), "{remedy}")));
            return None;
        };
        let folder = tempfile::Builder::new().prefix("a2a-pg-").tempdir().unwrap().keep();
        if let Some(user) = user(&folder) {
            chown(&folder, Some(user.id), Some(user.group)).unwrap();
        }
        let mut made = program(&programs.join("initdb"), &folder);
        made.args(["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        let made = made.stdin(Stdio::null()).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let running = run(&programs, &folder, &settings);
        Some(Self { folder, programs, settings, running, databases: AtomicU32::new(0) })
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@/{database}?host={}", self.folder.display())
    }

    /// Makes an empty database; its URL.
    pub async fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let client = self.client("postgres").await;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        self.url(&name)
    }

    /// The database of a directory, made when there is none yet; its URL.
    fn database_of(&self, dir: &Path) -> String {
        fs::create_dir_all(dir).unwrap();
        let note = dir.join("database");
        if let Ok(name) = fs::read_to_string(&note) {
            return self.url(&name);
        }
        let name = format!("of_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut made = program(&self.programs.join("createdb"), &self.folder);
        made.arg("-h").arg(&self.folder).args(["-U", "postgres", &name]).stdin(Stdio::null());
        let until = std::time::Instant::now() + LIMIT;
        loop {
            let made = made.output().unwrap();
            if made.status.success() {
                break;
            }
            // It may not take connections yet.
            assert!(std::time::Instant::now() < until, "createdb: {}", String::from_utf8_lossy(&made.stderr));
            std::thread::sleep(Duration::from_millis(20));
        }
        fs::write(note, &name).unwrap();
        self.url(&name)
    }

    /// A connection to a database, once the server takes some.
    pub async fn client(&self, database: &str) -> Client {
        connect(&self.url(database)).await
    }

    /// Stops the server at once, as a crash does, and starts it again.
    pub fn crash(&mut self) {
        self.stop("QUIT");
        self.begin();
    }

    /// Stops the server with a signal: `INT` ends its connections, `QUIT` is a crash.
    pub fn stop(&mut self, signal: &str) {
        let pid = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        let until = std::time::Instant::now() + LIMIT;
        while Path::new("/proc").join(&pid).exists() && !ended(&pid) {
            assert!(std::time::Instant::now() < until, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts the server again after [`Server::stop`].
    pub fn begin(&mut self) {
        // The keeper of before must not take the folder with it.
        let _ = self.running.keeper.kill();
        let _ = self.running.keeper.wait();
        self.running = run(&self.programs, &self.folder, &self.settings);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.running.input.take());
        let _ = self.running.keeper.wait();
    }
}

/// Connects to a database, once its server takes connections.
pub async fn connect(url: &str) -> Client {
    let until = tokio::time::Instant::now() + LIMIT;
    loop {
        match tokio_postgres::connect(url, NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return client;
            }
            Err(error) => assert!(tokio::time::Instant::now() < until, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn run(programs: &Path, folder: &Path, settings: &[String]) -> Running {
    let mut keeper = program(Path::new("/bin/sh"), folder);
    keeper.args(["-c", KEEPER, "keeper"]).arg(programs.join("postgres")).args(["-D", "data"]);
    let socket = format!("unix_socket_directories={}", folder.display());
    let usual = ["listen_addresses=", &socket, "max_connections=300", "shared_buffers=64MB", "autovacuum_naptime=5s"];
    for setting in usual.into_iter().chain(settings.iter().map(String::as_str)) {
        keeper.args(["-c", setting]);
    }
    keeper.env("FOLDER", folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut keeper = keeper.spawn().unwrap();
    let input = keeper.stdin.take();
    Running { keeper, input }
}

/// A program of the server's user, in the server's folder, with a process group of its own: an interrupt at the keyboard is
/// for the tests.
fn program(path: &Path, folder: &Path) -> Command {
    let mut command = Command::new(path);
    command.current_dir(folder).process_group(0);
    if let Some(user) = user(folder) {
        command.uid(user.id).gid(user.group);
    }
    command
}

/// The user that the distribution's package makes, where the tests run as root.
fn user(folder: &Path) -> Option<User> {
    let owner = fs::metadata(folder).unwrap().uid();
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let account = accounts.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = account.split(':').skip(2);
    let user = User { id: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? };
    (owner == 0 || owner == user.id && is_root()).then_some(user)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

/// Whether a process is only waited for.
fn ended(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// Where the server's programs are: on the path, or where Debian puts them, the newest first.
fn programs() -> Option<PathBuf> {
    let on_path =
        std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let mut debians: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|it| it.path().join("bin")).collect();
    debians.sort();
    let mut places = debians.into_iter().rev().chain(on_path);
    places.find(|place| place.join("initdb").is_file() && place.join("postgres").is_file())
}
