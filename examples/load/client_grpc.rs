//! gRPC over raw HTTP/2 connections: the generated clients for calls, and a reader of event streams that costs little.
//!
//! The reader exists because a thousand watchers share two cores with the gateway: it takes each event's bytes from
//! the received buffer and leaves it to the caller what to decode.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use a2a_gateway::proto::{
    a2a::a2a_service_client::A2aServiceClient,
    gateway::{WatchTaskRequest, gateway_client::GatewayClient},
};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
    header::HeaderMap,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::net::TcpStream;
use tonic::body::Body;

use crate::Result;

/// Flow-control windows, in bytes, large enough never to be what limits a stream or a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 26;

/// A gRPC message is preceded by a compression flag and its length.
const FRAME_HEADER: usize = 5;

/// One HTTP/2 connection; clones share it.
#[derive(Clone)]
pub struct Connection {
    sender: SendRequest<Body>,
    origin: http::Uri,
}

impl Connection {
    /// Connects to a `host:port`.
    pub async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(connection);
        Ok(Self { sender, origin: format!("http://{address}").parse()? })
    }

    /// Connects several times.
    pub async fn open_many(address: &str, count: usize) -> Result<Vec<Self>> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(Self::open(address).await?);
        }
        Ok(connections)
    }

    /// A client of the A2A service on this connection.
    pub fn a2a(&self) -> A2aServiceClient<Self> {
        A2aServiceClient::with_origin(self.clone(), self.origin.clone())
    }

    /// A client of the gateway's own service on this connection.
    pub fn gateway(&self) -> GatewayClient<Self> {
        GatewayClient::with_origin(self.clone(), self.origin.clone())
    }

    /// Watches a task. Returns once the gateway has answered the call, which is before the first event.
    pub async fn watch(&self, request: &WatchTaskRequest) -> Result<EventStream> {
        let mut framed = BytesMut::with_capacity(FRAME_HEADER + request.encoded_len());
        framed.put_u8(0);
        framed.put_u32(u32::try_from(request.encoded_len())?);
        request.encode(&mut framed)?;
        let call = Request::post(format!("{}a2a.gateway.v1.Gateway/WatchTask", self.origin))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::new(Full::new(framed.freeze())))?;
        let mut sender = self.sender.clone();
        sender.ready().await?;
        let response = sender.send_request(call).await?;
        if response.headers().contains_key("grpc-status") {
            check_status(response.headers())?;
        }
        if !response.status().is_success() {
            return Err(format!("WatchTask: HTTP status {}", response.status()).into());
        }
        Ok(EventStream { body: response.into_body(), rest: BytesMut::new() })
    }
}

impl tower::Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}

/// The events of one watch, as the bytes that arrive.
pub struct EventStream {
    body: Incoming,
    rest: BytesMut,
}

impl EventStream {
    /// Waits for bytes and hands every event that is complete then to `on_event`. False once the stream has ended
    /// with status OK; any other end is an error.
    pub async fn next(&mut self, mut on_event: impl FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        let Some(frame) = self.body.frame().await else {
            return Err("the stream ended without a status".into());
        };
        match frame?.into_data() {
            Ok(data) => self.take_events(data, &mut on_event).map(|()| true),
            Err(frame) => {
                check_status(&frame.into_trailers().unwrap_or_default())?;
                if self.rest.is_empty() { Ok(false) } else { Err("the stream ended amid an event".into()) }
            }
        }
    }

    fn take_events(&mut self, mut data: Bytes, on_event: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(&data);
            data = self.rest.split().freeze();
        }
        while let Some(length) = message_length(&data)? {
            on_event(&data[FRAME_HEADER..FRAME_HEADER + length])?;
            data.advance(FRAME_HEADER + length);
        }
        self.rest.extend_from_slice(&data);
        Ok(())
    }
}

/// The length of the message that the buffer starts with, once all of it is there.
fn message_length(mut data: &[u8]) -> Result<Option<usize>> {
    if data.len() < FRAME_HEADER {
        return Ok(None);
    }
    if data.get_u8() != 0 {
        return Err("a compressed message was not asked for".into());
    }
    let length = data.get_u32() as usize;
    Ok((data.len() >= length).then_some(length))
}

fn check_status(headers: &HeaderMap) -> Result<()> {
    match tonic::Status::from_header_map(headers) {
        Some(status) if status.code() == tonic::Code::Ok => Ok(()),
        Some(status) => Err(status.into()),
        None => Err("the stream ended without a status".into()),
    }
}
