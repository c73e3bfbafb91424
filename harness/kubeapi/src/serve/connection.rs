//! From a listener to HTTP over TLS.
//!
//! Owns the sockets. The invariant: a connection ends with the server, gracefully, or is reset while the API is down.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::authorization::PeerUser;
use super::{Shared, certificates};
use crate::faults::Connection;

const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Between two tries to accept when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections until the server shuts down, then lets the open ones finish.
pub(crate) async fn accept(listener: TcpListener, tls: TlsAcceptor, router: Router, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => break,
            Some(_closed) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = shared.api.faults.connect();
                    let socket = Socket { stream, connection: connection.clone() };
                    let serving = serve(socket, tls.clone(), router.clone(), shared.shutdown.clone());
                    connections.spawn(async move {
                        tokio::select! {
                            biased;
                            () = connection.lost() => {}
                            () = serving => {}
                        }
                    });
                }
                Err(error) => {
                    debug!(%error, "accept connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn serve(socket: Socket, tls: TlsAcceptor, router: Router, shutdown: CancellationToken) {
    // Watch events are small and must not wait for more (RFC 896).
    let _best_effort = socket.stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE_DEADLINE, tls.accept(socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%error, "tls handshake"),
        Err(elapsed) => return debug!(%elapsed, "tls handshake"),
    };
    let router = match certificates::peer_user(&stream) {
        Some(user) => router.layer(Extension(PeerUser(Arc::new(user)))),
        None => router,
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "serve connection");
    }
}

/// A socket that is reset, not closed, when its connection is lost.
struct Socket {
    stream: TcpStream,
    connection: Connection,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.connection.is_lost() {
            // With nothing left to linger for, closing it resets the connection (socket(7)).
            let _best_effort = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
