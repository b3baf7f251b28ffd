//! A store with its database, and what tests do with it. Each contract test runs on both databases.

use a2a_gateway::store::{Database, Keys, Postgres, PostgresSettings, Sqlite, SqliteSettings, Store, Timekeeper};

use super::*;

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// Runs a test on each database: `NAME::sqlite` and `NAME::postgres`.
macro_rules! contract {
    ($name:ident) => {
        mod $name {
            #[tokio::test]
            async fn sqlite() {
                super::$name(super::Kind::Sqlite).await;
            }

            #[tokio::test]
            async fn postgres() {
                if crate::database::server().is_some() {
                    super::$name(super::Kind::Postgres).await;
                }
            }
        }
    };
}
pub(crate) use contract;

/// What tests set otherwise than usual.
#[derive(Clone, Debug)]
pub struct Options {
    pub per_task: usize,
    pub enabled: bool,
    pub keys: Keys,
    pub timekeeper: Timekeeper,
    pub lease: Duration,
    pub look: Duration,
    /// Of SQLite's file; 0: no limit.
    pub max_size: u64,
}

impl Default for Options {
    fn default() -> Self {
        let (timekeeper, long) = (Timekeeper::Asker, Duration::from_secs(600));
        Self { per_task: 32, enabled: true, keys: Keys::default(), timekeeper, lease: long, look: long, max_size: 0 }
    }
}

/// Where a store keeps everything.
pub enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(String),
}

impl Place {
    pub async fn new(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::Sqlite(tempfile::tempdir().unwrap()),
            Kind::Postgres => Self::Postgres(database::server().unwrap().database().await),
        }
    }

    /// A store on it.
    pub async fn open(&self, options: Options) -> Result<(Box<dyn Store>, Arc<Ear>), String> {
        let ear = Arc::new(Ear::default());
        let metrics = Arc::new(Metrics::default());
        let Options { per_task, enabled, keys, timekeeper, lease, look, max_size } = options;
        let store: Box<dyn Store> = match self {
            Self::Sqlite(dir) => {
                let settings = SqliteSettings::new(dir.path());
                let settings = SqliteSettings {
                    webhooks_per_task: per_task,
                    webhooks_enabled: enabled,
                    keys,
                    max_size,
                    ..settings
                };
                Box::new(Sqlite::open(&settings, ear.clone(), metrics).map_err(|error| error.to_string())?)
            }
            Self::Postgres(url) => {
                let settings = PostgresSettings::new(Database::parse(url, None).unwrap());
                let settings = PostgresSettings {
                    webhooks_per_task: per_task,
                    webhooks_enabled: enabled,
                    keys,
                    timekeeper,
                    lease,
                    look,
                    ..settings
                };
                let opened = Postgres::open(settings, ear.clone(), metrics).await;
                let store = opened.map_err(|error| error.to_string())?;
                // It looks once when it begins to hear of others.
                ear.told().await;
                Box::new(store)
            }
        };
        Ok((store, ear))
    }

    /// Changes it past the store. Returns how many rows the last statement changed.
    pub async fn execute(&self, statement: &str) -> u64 {
        match self {
            Self::Sqlite(dir) => {
                let file = rusqlite::Connection::open(dir.path().join("gateway.db")).unwrap();
                u64::try_from(file.execute(statement, []).unwrap()).unwrap()
            }
            Self::Postgres(url) => database::connect(url).await.execute(statement, &[]).await.unwrap(),
        }
    }

    /// Reads a number past the store.
    pub async fn number(&self, query: &str) -> i64 {
        match self {
            Self::Sqlite(dir) => {
                let file = rusqlite::Connection::open(dir.path().join("gateway.db")).unwrap();
                file.query_row(query, [], |row| row.get(0)).unwrap()
            }
            Self::Postgres(url) => database::connect(url).await.query_one(query, &[]).await.unwrap().get(0),
        }
    }
}

/// A store on a database of its own.
pub struct Rig {
    pub place: Place,
    pub store: Box<dyn Store>,
    pub ear: Arc<Ear>,
}

impl Rig {
    pub async fn new(kind: Kind) -> Self {
        Self::with(kind, Options::default()).await
    }

    pub async fn with(kind: Kind, options: Options) -> Self {
        let place = Place::new(kind).await;
        let (store, ear) = place.open(options).await.unwrap();
        Self { place, store, ear }
    }

    /// The same database, opened again.
    pub async fn again(self) -> Self {
        self.again_with(Options::default()).await
    }

    /// The same database, opened again with other settings.
    pub async fn again_with(self, options: Options) -> Self {
        self.store.close().await;
        drop(self.store);
        let (store, ear) = self.place.open(options).await.unwrap();
        Self { place: self.place, store, ear }
    }

    /// Rows of a table, read past the store.
    pub async fn rows(&self, table: &str) -> i64 {
        self.place.number(&format!("SELECT count(*) FROM {table}")).await
    }

    /// Changes rows past the store.
    pub async fn meddle(&self, statement: &str) {
        assert!(self.place.execute(statement).await > 0, "{statement}");
    }

    /// How often something became due since this was asked last.
    pub fn heard(&self) -> usize {
        self.ear.heard()
    }

    /// A task of the owner `me` with the agent `a`.
    pub async fn task(&self) -> Arc<Identity> {
        self.task_of("me", "a", Vec::new()).await
    }

    pub async fn task_of(&self, owner: &str, agent: &str, webhooks: Vec<Webhook>) -> Arc<Identity> {
        let identity = identity(owner, agent);
        self.create(&identity, webhooks).await.unwrap();
        identity
    }

    pub async fn create(&self, identity: &Arc<Identity>, webhooks: Vec<Webhook>) -> Result<Receipt, Error> {
        let new = NewTask {
            identity: identity.clone(),
            extensions: Vec::new(),
            event: submitted(identity),
            webhooks,
            request: None,
        };
        self.store.create(new).await
    }

    /// Appends an event of each kind in turn: `status`, `artifact`, `message`, `done`.
    pub async fn say(&self, task: &Arc<Identity>, after: u64, kinds: &[&str]) {
        self.store.append(append(task, after, kinds)).await.unwrap();
    }

    pub async fn webhook(&self, task: &Identity, host: &str) -> Webhook {
        self.store.put_webhook(webhook(task, host)).await.unwrap()
    }

    pub async fn dispatch(&self, round: Round) -> Claims {
        self.store.dispatch(round).await.unwrap()
    }

    /// Claims as much as there is.
    pub async fn claim(&self, now: i64) -> Vec<Claim> {
        self.dispatch(round(now)).await.claims
    }

    /// Records results and claims nothing.
    pub async fn record(&self, now: i64, results: Vec<Attempted>) -> Claims {
        self.dispatch(Round { results, take: 0, ..round(now) }).await
    }

    pub async fn deliveries(&self) -> Vec<Delivery> {
        let query = DeliveryQuery { owner: "me".into(), limit: 1000, ..DeliveryQuery::default() };
        self.store.deliveries(query).await.unwrap().deliveries
    }

    /// Sequences and states, oldest first.
    pub async fn states(&self) -> Vec<(u64, DeliveryState)> {
        let mut all: Vec<_> = self.deliveries().await.iter().map(|found| (found.id.sequence, found.state)).collect();
        all.reverse();
        all
    }

    pub async fn reload(&self, webhook: &Webhook) -> Webhook {
        let which = a2a_gateway::store::Which::Id(webhook.id);
        self.store.webhook(webhook.owner.clone(), which).await.unwrap().unwrap()
    }
}
