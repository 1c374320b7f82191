//! kill -9 of the binary, and a note of what it was doing at that moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::shop::Shop;
use super::{pause, wait_for};

/// How long a started binary may take until its snapshot is at work.
const STATE_TIMEOUT: Duration = Duration::from_mins(2);

/// What was going on at each kill.
#[derive(Debug, Default)]
pub struct Kills {
    pub snapshot: usize,
    pub stream: usize,
    pub apply: usize,
}

impl Kills {
    /// Starts the binary and kills it `delay` after its snapshot has begun, as its log says; false if the snapshot had ended
    /// by then.
    pub fn in_snapshot(&mut self, shop: &mut Shop, delay: Duration) -> bool {
        let before = shop.headrace.log().len();
        shop.headrace.spawn();
        let says = |shop: &Shop, what: &str| shop.headrace.log()[before..].contains(what);
        wait_for("a snapshot at work", STATE_TIMEOUT, || {
            says(shop, "attempt: snapshot").then_some(())
        });
        pause(delay);
        shop.headrace.kill();
        let met = !says(shop, "attempt: streaming");
        self.snapshot += usize::from(met);
        met
    }

    /// Starts the binary, calls `started`, and kills it at a random moment.
    pub fn later(&mut self, shop: &mut Shop, random: &mut StdRng, started: impl FnOnce(&Shop)) {
        shop.headrace.start();
        started(shop);
        pause(Duration::from_millis(random.random_range(50..2_500)));
        let behind = views_behind(shop);
        if shop.source_state() == "streaming" {
            self.stream += 1;
        }
        if behind {
            self.apply += 1;
        }
        shop.headrace.kill();
    }
}

/// Whether a view has records to apply at this moment.
fn views_behind(shop: &Shop) -> bool {
    let Some((200, body)) = shop.headrace.get("/v1/views") else {
        return false;
    };
    let views: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let text = views.to_string();
    text.split("\"lag_records\":")
        .skip(1)
        .any(|rest| !rest.starts_with('0') && !rest.starts_with("null"))
}

/// Deletes rows of `shop.bulk` one by one, all over the table.
#[derive(Debug)]
pub struct Deletes {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<usize>,
}

impl Deletes {
    /// Starts deleting among the keys `1..=rows`.
    pub fn start(shop: &Shop, rows: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let opts = mysql_async::Opts::from_url(&shop.load_url()).expect("a database URL");
        let thread = {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(async {
                    let mut random = StdRng::seed_from_u64(12);
                    let mut deleted = 0;
                    let mut connection = None;
                    while !stop.load(Ordering::Relaxed) {
                        if connection.is_none() {
                            connection = mysql_async::Conn::new(opts.clone()).await.ok();
                        }
                        let Some(open) = connection.as_mut() else {
                            pause(Duration::from_millis(50));
                            continue;
                        };
                        let id = random.random_range(1..=rows);
                        match open
                            .query_drop(format!("DELETE FROM shop.bulk WHERE id = {id}"))
                            .await
                        {
                            Ok(()) => deleted += 1,
                            Err(_) => connection = None,
                        }
                        pause(Duration::from_millis(2));
                    }
                    deleted
                })
            })
        };
        Self { stop, thread }
    }

    /// Stops, and gives the number of DELETE statements.
    pub fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the thread that deletes")
    }
}
