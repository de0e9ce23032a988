//! A client that says exactly what it is told to: for what official clients never do.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::servers::soon;

pub struct Raw {
    stream: BufReader<TcpStream>,
    pub info: serde_json::Value,
}

impl Raw {
    /// Connects and reads INFO.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the address accepts");
        let mut raw = Self { stream: BufReader::new(stream), info: serde_json::Value::Null };
        let line = raw.line().await;
        let json = line.strip_prefix("INFO ").expect("the first line is INFO");
        raw.info = serde_json::from_str(json).expect("INFO is JSON");
        raw
    }

    /// Connects, introduces itself with these members of CONNECT, and waits until that was processed.
    pub async fn join(address: SocketAddr, members: &str) -> Self {
        let mut raw = Self::open(address).await;
        raw.say(&format!("CONNECT {{{members}}}\r\n")).await;
        raw.flush().await;
        raw
    }

    /// A quiet client with headers and no-responders, as official ones are.
    pub async fn usual(address: SocketAddr) -> Self {
        Self::join(address, r#""verbose":false,"headers":true,"no_responders":true"#).await
    }

    pub async fn say(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).await.expect("the server reads");
    }

    /// Like [`Raw::say`], for when the server may close meanwhile.
    pub async fn try_say(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).await.is_ok()
    }

    /// Waits until all that was said is processed.
    pub async fn flush(&mut self) {
        self.say("PING\r\n").await;
        self.expect("PONG\r\n").await;
    }

    /// The next line without its end.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        soon("a line", self.stream.read_line(&mut line)).await.expect("a line can be read");
        line.trim_end().to_owned()
    }

    /// Reads exactly this.
    pub async fn expect(&mut self, text: &str) {
        let mut bytes = vec![0; text.len()];
        let read = soon(text, self.stream.read_exact(&mut bytes)).await;
        assert!(read.is_ok(), "the connection ended before {text:?}: {:?}", String::from_utf8_lossy(&bytes));
        assert_eq!(String::from_utf8_lossy(&bytes), text);
    }

    /// Reads to the end of the connection, however it ends, and says what came.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A reset ends a connection as well as an orderly close does.
        let _ = soon("the end of the connection", self.stream.read_to_end(&mut bytes)).await;
        bytes
    }

    /// Reads lines until one of them is this; fails if the connection ends before.
    pub async fn skip_to(&mut self, wanted: &str) {
        loop {
            let mut line = String::new();
            let count = soon(wanted, self.stream.read_line(&mut line)).await.expect("a line can be read");
            assert!(count > 0, "the connection ended before {wanted:?}");
            if line.trim_end() == wanted {
                return;
            }
        }
    }
}
