//! `headrace demo`: one row's way from MariaDB into the topic, Redis and the search index, under live load.
//!
//! ```text
//! private MariaDB --binlog--> source --> topic --> views --> private Redis
//!       ^   ^                                         `----> search index
//!   load    the row that is followed
//! ```
//! Everything lives in temporary directories and on free ports, and ends with the command, also by Ctrl-C.
//! The exit code is 0 only if, after the load, every row and column in Redis and the index equals MariaDB.
mod compare;
mod follow;
mod load;
mod programs;
mod shop;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use headrace_servers::{Database, Flavor, Redis};
use tempfile::TempDir;

use super::remote::Remote;
use crate::compose::{Server, stop_signal};
use crate::config::Config;
use follow::Follower;
use load::Load;
use shop::Shop;

/// Live load before each step: the views follow others' changes all the time.
const BETWEEN_STEPS: Duration = Duration::from_millis(1500);

/// The command.
#[derive(Debug, Args)]
#[command(after_help = "Example: make demo")]
pub(crate) struct Demo {
    /// The MariaDB server to start privately; `make demo` passes it.
    #[arg(long, value_name = "PATH")]
    mariadbd: PathBuf,
    /// The Redis server to start privately; `make demo` passes it.
    #[arg(long, value_name = "PATH")]
    redis_server: PathBuf,
}

/// What a demo leaves behind unless it is taken down, in the order of taking down.
struct Stage {
    server: Server,
    servers: Option<(Database, Redis)>,
    folder: TempDir,
}

impl Demo {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let stop = stop_signal()?;
        let mut stage = Stage {
            server: Server::default(),
            servers: None,
            folder: tempfile::tempdir()?,
        };
        let told = tokio::select! {
            told = self.tell(&mut stage) => told,
            () = stop => Err(anyhow::anyhow!("interrupted")),
        };
        let stopped = stage.server.stop().await;
        drop(stage.servers);
        stage.folder.close()?;
        told.and(stopped)
    }

    async fn tell(self, stage: &mut Stage) -> anyhow::Result<()> {
        let Stage {
            server,
            servers,
            folder,
        } = stage;
        let (database, redis) = servers.insert(self.start_servers().await?);
        let shop = Shop::open(&database.url("root"), &redis.url()).await?;
        println!(
            "MariaDB {} on port {}, {}",
            shop.version().await?,
            database.port(),
            redis_version(redis).await?
        );

        let begun = Instant::now();
        server
            .start(configure(folder, database, redis)?, false)
            .await?;
        let bootstrap = server.bootstrap().context("the broker listens")?;
        let http = server.http_address().context("http listens")?.to_string();
        println!("headrace on {bootstrap}, http://{http}/v1/views");
        let remote = Remote { http };
        let rows = shop.wait_for_snapshot(&remote).await?;
        println!(
            "snapshot: {rows} rows in the topics, in Redis and in the index after {} ms",
            begun.elapsed().as_millis()
        );

        let load = Load::start(&database.url("root"));
        println!(
            "live load: {} transactions a second on the same tables\n",
            load::PER_SECOND
        );
        let mut follower = Follower::open(&bootstrap, &shop, &remote).await?;
        let views = || server.views();
        for step in Shop::steps() {
            tokio::time::sleep(BETWEEN_STEPS).await;
            follower.follow(&step, &shop, &views).await?;
        }
        let changes = load.stop().await?;

        println!(
            "load stopped after {changes} row changes; comparing all rows and columns with MariaDB"
        );
        shop.mark_the_end(&remote).await?;
        let differences = compare::all(&shop, &remote).await?;
        if differences > 0 {
            bail!("{differences} differences between MariaDB and the views");
        }
        println!("equal");
        Ok(())
    }

    async fn start_servers(&self) -> anyhow::Result<(Database, Redis)> {
        let (mariadbd, redis_server) = (self.mariadbd.clone(), self.redis_server.clone());
        let start = move || -> anyhow::Result<_> {
            let programs = programs::beside(&mariadbd, "mariadbd", &["mariadb-install-db"])?;
            let database = Database::start_with(Flavor::MariaDb, programs.programs(), &[])?;
            let programs = programs::beside(&redis_server, "redis-server", &[])?;
            Ok((database, Redis::start_with(programs.programs(), &[])?))
        };
        tokio::task::spawn_blocking(start)
            .await?
            .context("starting MariaDB and Redis")
    }
}

/// The configuration that a user would write, in a file of its own.
fn configure(folder: &TempDir, database: &Database, redis: &Redis) -> anyhow::Result<Config> {
    let path = folder.path().join("headrace.toml");
    std::fs::write(
        &path,
        shop::configuration(&database.url("cdc"), &redis.url()),
    )?;
    Ok(Config::read(&path)?)
}

async fn redis_version(redis: &Redis) -> anyhow::Result<String> {
    let mut connection = redis::Client::open(redis.url())?
        .get_multiplexed_async_connection()
        .await?;
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(&mut connection)
        .await?;
    let version = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"))
        .unwrap_or("?");
    Ok(format!("Redis {version} on port {}", redis.port()))
}
