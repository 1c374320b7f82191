//! Every row and column in MariaDB against Redis and the index.
use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use mysql_async::Row;
use mysql_async::prelude::Queryable as _;
use serde_json::Value;

use super::super::remote::Remote;
use super::shop::{Column, ORDERS, PRODUCTS, Shop, Table};

/// Differences shown; the rest is only counted.
const SHOWN_MAX: usize = 10;
/// Keys asked for in one SCAN step.
const SCAN_COUNT: usize = 1000;
/// The most that one search answers.
const PAGE: usize = 10_000;

/// Rows by id; the text of each column that is not NULL.
type Rows = BTreeMap<String, BTreeMap<&'static str, String>>;

/// Compares both tables with their views, prints what was compared; returns the number of differences.
pub(super) async fn all(shop: &Shop, remote: &Remote) -> anyhow::Result<usize> {
    let mut differences = 0;
    for table in [PRODUCTS, ORDERS] {
        let truth = in_database(shop, &table).await?;
        let cached = in_redis(shop, &table).await?;
        differences += report(&table, table.cache, &truth, &cached);
        let indexed = in_index(remote, &table).await?;
        differences += report(&table, table.search, &truth, &indexed);
    }
    Ok(differences)
}

fn report(table: &Table, view: &str, truth: &Rows, found: &Rows) -> usize {
    let mut differences = Vec::new();
    for (id, row) in truth {
        match found.get(id) {
            None => differences.push(format!("row {id} is missing")),
            Some(other) if other != row => {
                differences.push(format!("row {id} is {other:?}, MariaDB has {row:?}"));
            }
            Some(_) => {}
        }
    }
    for id in found.keys().filter(|id| !truth.contains_key(*id)) {
        differences.push(format!("row {id} is not in MariaDB"));
    }
    let verdict = if differences.is_empty() {
        "equal"
    } else {
        "DIFFERENT"
    };
    println!(
        "  {:<9} {} rows x {} columns  {view}: {verdict}",
        table.name,
        truth.len(),
        table.columns.len()
    );
    for difference in differences.iter().take(SHOWN_MAX) {
        println!("    {difference}");
    }
    differences.len()
}

async fn in_database(shop: &Shop, table: &Table) -> anyhow::Result<Rows> {
    let columns: Vec<_> = table
        .columns
        .iter()
        .map(|column| format!("CAST({} AS CHAR)", column.text))
        .collect();
    let select = format!("SELECT {} FROM shop.{}", columns.join(", "), table.name);
    let rows: Vec<Row> = shop.database().await.query(select).await?;
    let mut all = Rows::new();
    for row in rows {
        let mut shown = BTreeMap::new();
        for (at, column) in table.columns.iter().enumerate() {
            let value: Option<String> = row.get(at).context("a column of the SELECT")?;
            if let Some(value) = value {
                shown.insert(column.name, plain(column, value));
            }
        }
        all.insert(shown["id"].clone(), shown);
    }
    Ok(all)
}

async fn in_redis(shop: &Shop, table: &Table) -> anyhow::Result<Rows> {
    let mut redis = shop.redis();
    let mut all = Rows::new();
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor)
            .arg("MATCH")
            .arg(format!("{}*", table.prefix))
            .arg("COUNT")
            .arg(SCAN_COUNT);
        let (next, keys): (u64, Vec<String>) = scan.query_async(&mut redis).await?;
        for key in keys {
            let row = if table.json {
                let json: String = redis::cmd("GET").arg(&key).query_async(&mut redis).await?;
                of_json(table, &serde_json::from_str(&json)?)?
            } else {
                let fields: BTreeMap<String, String> = redis::cmd("HGETALL")
                    .arg(&key)
                    .query_async(&mut redis)
                    .await?;
                let column = |name: &str| table.columns.iter().find(|column| column.name == name);
                let known = |(name, value): (String, String)| {
                    let column = column(&name)
                        .with_context(|| format!("{key} has the unknown field {name}"))?;
                    Ok((column.name, plain(column, value)))
                };
                fields
                    .into_iter()
                    .map(known)
                    .collect::<anyhow::Result<_>>()?
            };
            all.insert(key[table.prefix.len()..].to_owned(), row);
        }
        cursor = next;
        if cursor == 0 {
            return Ok(all);
        }
    }
}

async fn in_index(remote: &Remote, table: &Table) -> anyhow::Result<Rows> {
    let answer = remote
        .get(&format!(
            "/v1/views/{}/search?q=&limit={PAGE}",
            table.search
        ))
        .await?;
    let hits = answer["hits"]
        .as_array()
        .context("a search answers with hits")?;
    let total = answer["total"]
        .as_u64()
        .and_then(|total| usize::try_from(total).ok());
    ensure!(
        total == Some(hits.len()),
        "one page of {PAGE} does not show all {total:?} documents"
    );
    let row = |hit: &Value| {
        let key = hit["key"].as_str().context("a hit has a key")?;
        Ok((key.to_owned(), of_json(table, &hit["fields"])?))
    };
    hits.iter().map(row).collect()
}

/// A row from its JSON, each column in its JSON type.
fn of_json(table: &Table, json: &Value) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let object = json.as_object().context("a row is a JSON object")?;
    let mut row = BTreeMap::new();
    for (name, value) in object {
        let column = table.columns.iter().find(|column| column.name == name);
        let column = column.with_context(|| format!("unknown column {name}"))?;
        let value = match value {
            Value::Null => continue,
            Value::Number(number) if column.number => number.to_string(),
            Value::String(text) if !column.number => text.clone(),
            other => anyhow::bail!("{name} is {other}, another JSON type"),
        };
        row.insert(column.name, plain(column, value));
    }
    Ok(row)
}

/// One text for equal numbers: a DOUBLE has many.
fn plain(column: &Column, value: String) -> String {
    if column.number && value.contains(['.', 'e', 'E']) {
        return value
            .parse::<f64>()
            .map(|number| number.to_string())
            .unwrap_or(value);
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(id: &str, total: &'static str) -> (String, BTreeMap<&'static str, String>) {
        (
            id.to_owned(),
            [("id", id.to_owned()), ("total", total.to_owned())].into(),
        )
    }

    #[test]
    fn a_missing_a_wrong_and_a_ghost_row_are_differences() {
        let truth: Rows = [order("1", "1.00"), order("2", "2.00"), order("3", "3.00")].into();
        assert_eq!(report(&ORDERS, "view", &truth, &truth.clone()), 0);
        let found: Rows = [order("2", "2.0"), order("3", "3.00"), order("4", "4.00")].into();
        assert_eq!(report(&ORDERS, "view", &truth, &found), 3);
    }

    #[test]
    fn a_column_missing_from_a_view_is_a_difference() {
        let truth: Rows = [order("1", "1.00")].into();
        let mut found = truth.clone();
        found.get_mut("1").unwrap().remove("total");
        assert_eq!(report(&ORDERS, "view", &truth, &found), 1);
    }

    #[test]
    fn a_value_of_another_json_type_is_an_error() {
        let good = json!({ "id": 1, "total": "1.00", "weight": 0.5, "placed": null });
        let row = of_json(&ORDERS, &good).unwrap();
        assert_eq!(
            row,
            [
                ("id", "1".into()),
                ("total", "1.00".into()),
                ("weight", "0.5".into())
            ]
            .into()
        );
        assert!(of_json(&ORDERS, &json!({ "total": 1.00 })).is_err());
        assert!(of_json(&ORDERS, &json!({ "id": "1" })).is_err());
        assert!(of_json(&ORDERS, &json!({ "unknown": 1 })).is_err());
    }
}
