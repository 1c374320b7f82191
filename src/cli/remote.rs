//! The HTTP side of the command line: one question to a running server, one JSON answer.
//!
//! HTTP/1.0 on purpose: the answer then comes unchunked and ends with the connection.
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::exit::Unanswered;

/// Longest wait for an answer: a reset scans a whole Redis.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Largest answer taken.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Where the server's HTTP is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Remote {
    /// Address of the server's HTTP port.
    #[arg(long, default_value = "127.0.0.1:9644", value_name = "HOST:PORT")]
    pub(crate) http: String,
}

impl Remote {
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask("GET", path).await
    }

    pub(crate) async fn post(&self, path: &str) -> anyhow::Result<Value> {
        self.ask("POST", path).await
    }

    async fn ask(&self, method: &str, path: &str) -> anyhow::Result<Value> {
        let answer = tokio::time::timeout(TIMEOUT, self.exchange(method, path));
        let silent = |what: &str| Unanswered(format!("http://{}{path}: {what}", self.http));
        let answer = answer.await.with_context(|| silent("no answer"))?;
        let answer = answer.with_context(|| silent("is `headrace serve` running?"))?;
        judge(&answer).with_context(|| format!("http://{}{path}", self.http))
    }

    async fn exchange(&self, method: &str, path: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.http).await?;
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Length: 0\r\n\r\n",
            self.http
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut answer)
            .await?;
        Ok(answer)
    }
}

/// The body of a good answer; the server's own words of a bad one.
fn judge(answer: &[u8]) -> anyhow::Result<Value> {
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .context("not an HTTP answer")?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let status: u16 = head
        .split(' ')
        .nth(1)
        .and_then(|text| text.parse().ok())
        .context("not an HTTP answer")?;
    let body: Value = serde_json::from_slice(&answer[end + 4..]).unwrap_or(Value::Null);
    if (200..300).contains(&status) {
        return Ok(body);
    }
    let part = |name: &str| body["error"][name].as_str().map(str::to_owned);
    match (part("message"), part("hint")) {
        (Some(message), Some(hint)) => bail!("{message}; {hint}"),
        (Some(message), None) => bail!("{message}"),
        _ => bail!("status {status}"),
    }
}

/// One segment of a path, percent-encoded.
pub(crate) fn segment(text: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let encode = |byte: u8| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_answer_is_told_in_the_servers_words() {
        let answer = b"HTTP/1.0 404 Not Found\r\n\r\n{\"error\":{\"code\":\"x\",\"message\":\"no view\",\"hint\":\"try\"}}";
        assert_eq!(judge(answer).unwrap_err().to_string(), "no view; try");
        assert_eq!(
            judge(b"HTTP/1.0 500 Oops\r\n\r\n").unwrap_err().to_string(),
            "status 500"
        );
        assert!(judge(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
        assert!(judge(b"").is_err());
    }

    #[test]
    fn a_good_answer_is_its_body() {
        assert_eq!(
            judge(b"HTTP/1.1 200 OK\r\na: b\r\n\r\n[1]").unwrap(),
            serde_json::json!([1])
        );
    }

    #[test]
    fn a_path_segment_is_encoded() {
        assert_eq!(segment("a b/ä"), "a%20b%2F%C3%A4");
    }
}
