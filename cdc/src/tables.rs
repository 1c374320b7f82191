//! What the stream's table ids mean: for a captured table how to read its rows and what its records
//! look like, for any other only how to count its rows.
//!
//! The server repeats a table's map in every transaction; equal bytes keep the entry, so a plan is
//! made once per version of a table. A first sight of a captured version asks `information_schema`
//! once for what a map does not tell (defaults, MariaDB's UUID and INET).

use std::collections::{BTreeMap, HashMap};

use headrace_clients::change::SchemaId;

use crate::binlog::rows::Plan;
use crate::binlog::table_map::{Layout, TableMap};
use crate::config::TableName;
use crate::connection::Endpoint;
use crate::envelope::{Names, Shape};
use crate::error::SourceError;
use crate::publish::Publisher;
use crate::route::Routes;
use crate::schema::inspect::{key_names, no_primary_key, read_columns, schema_of};
use crate::schema::table::TableDef;

/// Table ids kept at most; the server gives a new one after each DDL and flush.
const ENTRIES_MAX: usize = 4096;

/// The tables the stream has named so far.
#[derive(Debug)]
pub(crate) struct Tables {
    routes: Routes,
    endpoint: Endpoint,
    source: String,
    connector: &'static str,
    entries: HashMap<u64, Entry>,
    /// What `information_schema` said, by route; forgotten when a statement changes the table.
    inspected: HashMap<usize, TableDef>,
    /// The primary keys that the topics' records have, by `database.table`.
    keys: BTreeMap<String, Vec<String>>,
}

#[derive(Debug)]
struct Entry {
    database: String,
    table: String,
    columns: Vec<u8>,
    meaning: Meaning,
}

/// What the rows of a table id are to us.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// Captured.
    Captured(Box<Captured>),
    /// Only counted.
    Other(Layout),
}

/// One version of a captured table.
#[derive(Debug)]
pub(crate) struct Captured {
    /// Its place among the routes.
    pub route: usize,
    /// How to read its rows.
    pub plan: Plan,
    /// How to write its records.
    pub shape: Shape,
    /// The schema its records name.
    pub schema: SchemaId,
}

impl Tables {
    /// Nothing seen yet. `keys` are the stored primary keys.
    pub(crate) fn new(
        routes: Routes,
        endpoint: Endpoint,
        source: &str,
        connector: &'static str,
        keys: BTreeMap<String, Vec<String>>,
    ) -> Tables {
        Tables {
            routes,
            endpoint,
            source: source.to_owned(),
            connector,
            entries: HashMap::new(),
            inspected: HashMap::new(),
            keys,
        }
    }

    /// The captured tables.
    pub(crate) fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Forgets every table id: a new file or connection names them anew.
    pub(crate) fn clear_ids(&mut self) {
        self.entries.clear();
    }

    /// Forgets what was inspected of a table that a statement has changed.
    pub(crate) fn forget(&mut self, database: &str, table: &str) {
        if let Some(route) = self.routes.find(database, table) {
            self.inspected.remove(&route);
        }
    }

    /// What a table id means.
    pub(crate) fn get(&self, table_id: u64) -> Option<&Meaning> {
        self.entries.get(&table_id).map(|entry| &entry.meaning)
    }

    /// Learns a table id; the schema of a new version is on the log before this returns.
    pub(crate) async fn learn(
        &mut self,
        map: &TableMap<'_>,
        publisher: &mut Publisher,
    ) -> Result<(), SourceError> {
        if let Some(entry) = self.entries.get(&map.table_id)
            && entry.columns == map.columns
            && entry.table == map.table
            && entry.database == map.database
        {
            return Ok(());
        }
        let meaning = match self.routes.find(map.database, map.table) {
            Some(route) => Meaning::Captured(Box::new(self.capture(route, map, publisher).await?)),
            None => Meaning::Other(map.layout()?),
        };
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.clear();
        }
        let entry = Entry {
            database: map.database.to_owned(),
            table: map.table.to_owned(),
            columns: map.columns.to_vec(),
            meaning,
        };
        self.entries.insert(map.table_id, entry);
        Ok(())
    }

    async fn capture(
        &mut self,
        route: usize,
        map: &TableMap<'_>,
        publisher: &mut Publisher,
    ) -> Result<Captured, SourceError> {
        let name = self.routes.all()[route].table.clone();
        if !self.inspected.contains_key(&route) {
            let mut connection = self.endpoint.connect().await?;
            let table = read_columns(&mut connection, &name).await?;
            connection.close().await;
            self.inspected.insert(route, table);
        }
        let plan = Plan::new(map, self.inspected.get(&route))?;
        self.check_key(&name, plan.table())?;
        let schema = schema_of(plan.table());
        let shape = Shape::new(
            Names {
                connector: self.connector,
                source: &self.source,
                database: &name.database,
                table: &name.table,
            },
            &schema,
        );
        let schema = publisher.publish_schema(&schema).await?;
        Ok(Captured {
            route,
            plan,
            shape,
            schema,
        })
    }

    /// Records are folded by key: under another key, old rows would stay for ever.
    fn check_key(&self, name: &TableName, table: &TableDef) -> Result<(), SourceError> {
        if table.primary_key.is_empty() {
            return Err(no_primary_key(name));
        }
        let key = key_names(table);
        match self.keys.get(&name.to_string()) {
            Some(stored) if *stored != key => Err(SourceError::definite(
                "primary-key-changed",
                format!(
                    "the primary key of table {name} was ({}) and is now ({})",
                    stored.join(", "),
                    key.join(", ")
                ),
                "records under the old key would stay in the topic; capture the table anew by a source of a new name",
            )),
            _ => Ok(()),
        }
    }
}
