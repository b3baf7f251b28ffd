//! An HTTP/1.1 client that costs little: one keep-alive connection, one request at a time, no pool.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{Result, receiver::WEBHOOK_ID};

/// One connection.
pub struct HttpConnection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl HttpConnection {
    /// Connects to a `host:port`.
    pub async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: address.to_owned() })
    }

    /// Asks for a path and reads the whole answer; returns its status.
    pub async fn get(&mut self, path: &str) -> Result<StatusCode> {
        let request = Request::get(path).header(header::HOST, &self.host).body(Full::default())?;
        Ok(self.exchange(request).await?.0)
    }

    /// Posts an A2A 1.0 JSON-RPC request and returns the answer's body. A status other than 200 is an error.
    pub async fn call(&mut self, body: Bytes) -> Result<Bytes> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/a2a")
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .header("a2a-version", "1.0")
            .body(Full::new(body))?;
        let (status, answer) = self.exchange(request).await?;
        if status != StatusCode::OK {
            return Err(format!("HTTP status {status}: {}", String::from_utf8_lossy(&answer)).into());
        }
        Ok(answer)
    }

    /// Posts a delivery, as a webhook's sender does. A status other than 200 is an error.
    pub async fn deliver(&mut self, id: &str, body: Bytes) -> Result<()> {
        let request = Request::post("/")
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/a2a+json")
            .header(WEBHOOK_ID, id)
            .body(Full::new(body))?;
        match self.exchange(request).await?.0 {
            StatusCode::OK => Ok(()),
            status => Err(format!("HTTP status {status}").into()),
        }
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}
