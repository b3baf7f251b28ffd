//! Which database: `[store] database` and what goes with it.

use std::path::PathBuf;

use super::{Store, agents::Environment, agents::read_secret, reader::Reader};
use crate::store::Database;

/// None when a default is missing or something is wrong. Some none: SQLite.
pub(super) fn read(r: &mut Reader, environment: &Environment) -> Option<Option<Database>> {
    let ca = r.read("store.database_ca", |v| match v.text() {
        Some("") => Ok(None),
        Some(path) => Ok(Some(PathBuf::from(path))),
        None => Err("must be the path of a file of certificates in PEM form".to_owned()),
    })?;
    let url = r.read_hidden("store.database", |v| match v.text() {
        Some("") => Ok(None),
        _ => {
            let url = read_secret(v, environment)?;
            // Here too, so that each layer's is checked.
            Database::parse(url.trim(), ca.as_deref()).map_err(|wrong| wrong.to_string())?;
            Ok(Some(url.trim().to_owned()))
        }
    })?;
    // It was right a moment ago.
    Some(url.and_then(|url| Database::parse(&url, ca.as_deref()).ok()))
}

/// Settings that are of SQLite alone.
pub(super) fn find_conflicts(store: &Store, reader: &mut Reader) {
    if store.database.is_some()
        && store.max_size.is_some()
        && let Some(place) = reader.last("store.max_size")
    {
        let text = "must be \"0\" where store.database is set: PostgreSQL's size is limited by its own means";
        reader.wrong_at(place, text);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{
        Config,
        tests::{problems, sources},
    };

    #[test]
    fn the_database_is_sqlite_unless_a_url_says_otherwise() {
        let (_dir, plain) = sources("", &[], &[]);
        let store = Config::load(&plain).unwrap().store;
        assert_eq!((store.database, store.writers, store.lease.as_secs()), (None, 4, 10));
        let file = "[store]\ndatabase = \"env:DB\"\n";
        let (_dir, named) = sources(file, &[("DB", "postgres://me:s3cret@h/x?sslmode=disable")], &[]);
        let store = Config::load(&named).unwrap().store;
        assert_eq!(store.database.as_ref().unwrap().to_string(), "postgres://h:5432/x");
        assert!(!format!("{store:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_url() {
        let file = "[store]\ndatabase = \"postgres://me:s3cret@/x\"\nlease = \"1ms\"\nwriters = 0\n";
        let found = problems(file, &[], &[("--database", "store.database", "mysql://me:s3cret@h")]);
        let starts = [
            "gateway.toml:2: store.database: must name a host",
            "gateway.toml:3: store.lease: got \"1ms\", must be a duration from 1s",
            "gateway.toml:4: store.writers: got 0, must be an integer from 1 to 64",
            "--database: must be a URL such as postgres://",
        ];
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        for (line, start) in found.iter().zip(starts) {
            assert!(line.starts_with(start) && !line.contains("s3cret"), "{line}");
        }
        let both = "[store]\ndatabase = \"postgres://me@h/x?sslmode=disable\"\nmax_size = \"1GB\"\n";
        assert!(problems(both, &[], &[])[0].contains("where store.database is set"));
        let missing = "[store]\ndatabase = \"postgres://me@h/x\"\ndatabase_ca = \"nowhere.pem\"\n";
        let found = problems(missing, &[], &[]);
        assert!(found[0].starts_with("gateway.toml:2: store.database: nowhere.pem cannot be read"), "{found:?}");
    }
}
