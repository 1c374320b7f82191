//! A broker on a directory of its own, and a client that is no more than frames.
//!
//! The client sends what it is told in the version it is told, so that tests can say what a well-behaved
//! library never would.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use headrace_broker::clock::{Clock, SystemClock};
use headrace_broker::{Broker, BrokerConfig};
use headrace_protocol::Request;
use headrace_protocol::header::{decode_response_frame, encode_request_frame};
use headrace_storage::fs::MemoryDisk;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A clock that a test may move; it goes on by itself from there.
#[derive(Debug, Default)]
pub(crate) struct MovedClock(AtomicI64);

impl MovedClock {
    /// Moves it forwards (or back).
    pub(crate) fn advance(&self, by_ms: i64) {
        self.0.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for MovedClock {
    fn wall_ms(&self) -> i64 {
        SystemClock.wall_ms() + self.0.load(Ordering::Relaxed)
    }
}

/// A broker whose disk can be crashed under it, and whose clock can be moved.
pub(crate) struct Server {
    /// The broker.
    pub(crate) broker: Broker,
    /// Its clock.
    pub(crate) clock: Arc<MovedClock>,
    disk: MemoryDisk,
    config: BrokerConfig,
}

impl Server {
    /// Starts with default settings on an empty disk.
    pub(crate) async fn start() -> Server {
        Server::start_with(|_| {}).await
    }

    /// Starts with some settings of its own.
    pub(crate) async fn start_with(change: impl FnOnce(&mut BrokerConfig)) -> Server {
        let mut config = BrokerConfig {
            listen: "127.0.0.1:0".to_owned(),
            data: PathBuf::from("/data"),
            shards: Some(2),
            // records of 1970 are too old for the default retention: upkeep is done when a test asks for it
            upkeep_interval_ms: 3_600_000,
            ..BrokerConfig::default()
        };
        change(&mut config);
        Server::start_on(MemoryDisk::new(), config, Arc::default()).await
    }

    async fn start_on(disk: MemoryDisk, config: BrokerConfig, clock: Arc<MovedClock>) -> Server {
        let shared = Arc::new(disk.clone());
        let broker = Broker::start_on(config.clone(), shared, Arc::clone(&clock) as _);
        Server {
            broker: broker.await.unwrap(),
            clock,
            disk,
            config,
        }
    }

    /// Stops cleanly and starts again.
    pub(crate) async fn restart(self) -> Server {
        self.broker.shutdown().await.unwrap();
        Server::start_on(self.disk, self.config, self.clock).await
    }

    /// Loses power, with all that was not synced, and starts again.
    pub(crate) async fn crash(self) -> Server {
        Server::start_on(self.disk.crash(), self.config, self.clock).await
    }

    /// Starts again as after the end of the process alone: the page cache is what it was.
    pub(crate) async fn kill(self) -> Server {
        Server::start_on(self.disk.fork(), self.config, self.clock).await
    }

    /// What its clock says.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    /// The disk below.
    pub(crate) fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.broker.local_addr()).await
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(to: SocketAddr) -> Client {
        let stream = TcpStream::connect(to).await.unwrap();
        Client {
            stream,
            correlation_id: 0,
        }
    }

    /// Connects with hardly any room for what it does not read.
    pub(crate) async fn connect_narrowly(to: SocketAddr) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        Client {
            stream: socket.connect(to).await.unwrap(),
            correlation_id: 0,
        }
    }

    /// Sends a request; returns its correlation id.
    pub(crate) async fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.correlation_id += 1;
        let client_id = Some("test".into());
        let frame = encode_request_frame(self.correlation_id, client_id, version, request);
        self.send_raw(&frame.unwrap().concat()).await;
        self.correlation_id
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends bytes as they are; the broker may have closed the connection meanwhile.
    pub(crate) async fn send_quietly(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes).await);
    }

    /// Reads the next response, which must be to a request of this kind; gives its correlation id too.
    pub(crate) async fn receive<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        let frame = self.receive_raw().await.expect("a response");
        let (header, response) = decode_response_frame::<R>(frame, version).unwrap();
        (header.correlation_id, response)
    }

    /// Reads the next frame; `None` if the broker closed the connection.
    pub(crate) async fn receive_raw(&mut self) -> Option<Bytes> {
        let length = self.stream.read_i32().await.ok()?;
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut frame).await.ok()?;
        Some(frame.into())
    }

    /// Sends a request and reads its response.
    pub(crate) async fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let sent = self.send(version, request).await;
        let (answered, response) = self.receive::<R>(version).await;
        assert_eq!(answered, sent, "answered out of order");
        response
    }
}
