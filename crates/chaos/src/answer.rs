//! An answer on its way to the client.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;

use crate::Length;
use crate::calls::part;

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An endless string is sent in pieces of so many bytes.
const PIECE: usize = 16 * 1024;

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Counts what goes to clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<AtomicU64>);

impl Meter {
    pub(crate) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Answer {
    /// A JSON answer of the proxy itself.
    pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { status, headers, body: body.into() }
    }

    pub(crate) fn with_body(self, body: Vec<u8>) -> Self {
        Self { body: body.into(), ..self }
    }

    fn response(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// All of it.
    pub(crate) fn whole(self, meter: &Meter) -> Response<Body> {
        meter.add(self.body.len());
        let body = Full::new(self.body).map_err(|never: Infallible| match never {}).boxed_unsync();
        Self::response(self.status, self.headers, body)
    }

    /// A part of it, then the connection ends.
    pub(crate) fn cut(mut self, percent: u8, length: Length, meter: &Meter) -> Response<Body> {
        let whole = self.body.len();
        self.body.truncate(part(whole, percent));
        match length {
            Length::OfTheRest => return self.whole(meter),
            Length::Whole => {
                self.headers.insert(CONTENT_LENGTH, HeaderValue::from(whole));
            }
            Length::Unknown => {}
        }
        meter.add(self.body.len());
        // The connection writes what it has when a body has nothing ready: without the pause in between, the error
        // would drop the part that was to be sent.
        let begin = stream::iter([Ok(Frame::data(self.body))]);
        let end = stream::once(async {
            tokio::task::yield_now().await;
            Err(io::Error::from(io::ErrorKind::ConnectionAborted))
        });
        Self::response(self.status, self.headers, BodyExt::boxed_unsync(StreamBody::new(begin.chain(end))))
    }

    /// `head`, then so many zeros, then `tail`, made while they are sent.
    pub(crate) fn enormous(
        (head, tail): (Vec<u8>, Vec<u8>),
        zeros: u64,
        announced: bool,
        meter: &Meter,
    ) -> Response<Body> {
        let Self { status, mut headers, .. } = Self::json(StatusCode::OK, Vec::new());
        if announced {
            let length = zeros.saturating_add((head.len() + tail.len()) as u64);
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let piece = Bytes::from_static(&[b'0'; PIECE]);
        let zeros = stream::unfold(zeros, move |left| {
            let next = piece.slice(..usize::try_from(left).map_or(PIECE, |left| left.min(PIECE)));
            std::future::ready((left > 0).then(|| (next.clone(), left.saturating_sub(next.len() as u64))))
        });
        let meter = meter.clone();
        let pieces = stream::iter([Bytes::from(head)]).chain(zeros).chain(stream::iter([Bytes::from(tail)]));
        let frames = pieces.map(move |piece| {
            meter.add(piece.len());
            Ok(Frame::data(piece))
        });
        Self::response(status, headers, BodyExt::boxed_unsync(StreamBody::new(frames)))
    }
}
