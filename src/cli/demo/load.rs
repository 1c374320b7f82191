//! Live load on the shop's tables: small transactions at a steady rate, all but the followed row.
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, TxOpts};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::shop::connect;

/// Transactions a second.
pub(super) const PER_SECOND: u32 = 200;
/// Rows inserted at most, so that one page of a search shows a whole table.
const INSERTS_MAX: u32 = 6_000;
/// Products and orders that exist before the load.
const PRODUCTS: u32 = 1_000;
const ORDERS: u32 = 2_000;

/// The running load.
pub(super) struct Load {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<u64>>,
}

impl Load {
    pub(super) fn start(mysql: &str) -> Load {
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(mysql.to_owned(), stop.clone()));
        Load { stop, task }
    }

    /// Ends the load; returns the row changes it made.
    pub(super) async fn stop(self) -> anyhow::Result<u64> {
        self.stop.cancel();
        self.task.await?
    }
}

async fn run(mysql: String, stop: CancellationToken) -> anyhow::Result<u64> {
    let mut connection = connect(&mysql).await?;
    let mut random = StdRng::seed_from_u64(20_260_101);
    let mut ticks = interval(Duration::from_secs(1) / PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut changes, mut inserts) = (0, 0);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return Ok(changes),
        }
        let statements = transaction(&mut random, &mut inserts);
        changes += execute(&mut connection, &statements).await?;
    }
}

/// One to three statements: orders placed, changed and cancelled, products sold.
fn transaction(random: &mut StdRng, inserts: &mut u32) -> Vec<String> {
    let product = random.random_range(1..=PRODUCTS);
    let order = random.random_range(1..=ORDERS + *inserts);
    let sold = format!(
        "UPDATE shop.products SET stock = stock - 1, changed = NOW(3) WHERE id = {product}"
    );
    match random.random_range(0..10) {
        0..=4 if *inserts < INSERTS_MAX => {
            *inserts += 1;
            let total = random.random_range(1..100_000);
            let placed = format!(
                "INSERT INTO shop.orders (product, quantity, total, weight, placed) \
                 VALUES ({product}, 1, {total} / 100, {total} / 3e0, NOW(6))"
            );
            vec![placed, sold]
        }
        5 | 6 => vec![format!("DELETE FROM shop.orders WHERE id = {order}")],
        7 => vec![format!(
            "UPDATE shop.products SET price = IF(price IS NULL, 9.99, NULL), note = CONCAT('price of ', NOW(6)) \
             WHERE id = {product}"
        )],
        _ => vec![
            format!("UPDATE shop.orders SET quantity = quantity % 90 + 1 WHERE id = {order}"),
            sold,
        ],
    }
}

async fn execute(connection: &mut Conn, statements: &[String]) -> anyhow::Result<u64> {
    let mut transaction = connection.start_transaction(TxOpts::default()).await?;
    let mut changes = 0;
    for statement in statements {
        transaction.query_drop(statement).await?;
        changes += transaction.affected_rows();
    }
    transaction.commit().await?;
    Ok(changes)
}
