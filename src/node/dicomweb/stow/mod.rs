//! STOW-RS: storing objects
//! ([PS3.18 10.5](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.5.html)).

mod coding;
mod composition;
mod envelope;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod outcome;
mod pace;
mod upload;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::coding::{Coding, Gzip};
use self::envelope::{DICOM_JSON, Envelope};
use self::outcome::PartOutcome;
use self::pace::{PACE, paced};
use self::upload::{Intake, Upload};
use super::multipart::{MultipartError, Parser};
use super::request::Request;
use crate::dicom::bounded::Limits;
use crate::node::archive::Archive;
use crate::node::arrivals::StoreEvents;
use crate::node::http::{HttpResult, Problem};

/// How long the rest of a refused request is read, so that its sender can hear why.
const REST: Duration = Duration::from_secs(60);

/// The service.
#[derive(Clone)]
pub(super) struct Stow {
    intake: Intake,
    uploads: Arc<Semaphore>,
    maximum: usize,
}

impl Stow {
    /// The service over an archive; no more than `maximum_uploads` requests are served at a time.
    pub(super) fn new(archive: Archive, limits: Limits, events: Arc<dyn StoreEvents>, maximum_uploads: usize) -> Self {
        let intake = Intake::new(archive, limits, events);
        Self { intake, uploads: Arc::new(Semaphore::new(maximum_uploads)), maximum: maximum_uploads }
    }

    /// Serves one request from `address`.
    pub(super) async fn store(&self, request: &Request, address: SocketAddr, body: Body) -> HttpResult {
        let mut pieces = pin!(paced(body.into_data_stream(), PACE).fuse());
        let answer = self.answer(request, address, pieces.as_mut()).await;
        if let Err(problem) = &answer {
            tracing::warn!(%address, %problem, "a STOW-RS request is refused");
        }
        // Clients read the answer only when they have sent everything, but for those that wait to be told to go on.
        if answer.is_ok() || request.header(header::EXPECT).is_none() {
            let rest = async { while let Some(Ok(_)) = pieces.next().await {} };
            let _ = timeout(REST, rest).await;
        }
        answer
    }

    async fn answer(&self, request: &Request, address: SocketAddr, pieces: impl Pieces) -> HttpResult {
        let Envelope { form, boundary } = Envelope::of(request)?;
        let coding = Coding::of(request, self.intake.object_bytes())?;
        let parser = Parser::new(&boundary).map_err(|error| Problem::BadRequest(error.to_string()))?;
        let _permit = self.uploads.try_acquire().map_err(|_| {
            Problem::Overloaded(format!("{} uploads are being received, as many as http.maximum_uploads", self.maximum))
        })?;
        let mut upload = Upload::new(self.intake.clone(), form, parser, request.address.study.clone(), address);
        let received = receive(&mut upload, coding, pieces).await;
        let (mut outcomes, complete) = upload.finish().await;
        let stored = outcomes.iter().any(PartOutcome::is_stored);
        match received.and(complete.map_err(|error| Problem::BadRequest(error.to_string()))) {
            Err(problem) if !stored => return Err(problem),
            // Durable objects are acknowledged even if the request failed after them.
            Err(problem @ Problem::TooLarge(_)) => {
                tracing::warn!(%address, %problem, "the rest of a STOW-RS request is refused");
                outcomes.push(PartOutcome::left_out());
            }
            Err(_) if outcomes.iter().all(PartOutcome::is_stored) => outcomes.push(PartOutcome::cut_off()),
            Ok(()) if outcomes.is_empty() => return Err(Problem::BadRequest("the body has no part".to_owned())),
            _ => {}
        }
        let (status, response) = outcome::answer(&outcomes, &request.base);
        let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(DICOM_JSON))];
        Ok((status, content_type, response.to_string()).into_response())
    }
}

/// The body of a request.
trait Pieces: Stream<Item = Result<Bytes, Problem>> + Unpin {}

impl<S: Stream<Item = Result<Bytes, Problem>> + Unpin> Pieces for S {}

async fn receive(upload: &mut Upload, mut coding: Coding, mut pieces: impl Pieces) -> Result<(), Problem> {
    while let Some(piece) = pieces.next().await {
        match &mut coding {
            Coding::Identity => push(upload, &piece?).await?,
            Coding::Gzip(gzip) => expand(upload, gzip, &piece?).await?,
        }
    }
    match &mut coding {
        Coding::Identity => Ok(()),
        Coding::Gzip(gzip) => push(upload, &gzip.finish()?).await,
    }
}

async fn expand(upload: &mut Upload, gzip: &mut Gzip, bytes: &[u8]) -> Result<(), Problem> {
    for piece in Gzip::pieces(bytes) {
        push(upload, &gzip.expand(piece)?).await?;
    }
    Ok(())
}

async fn push(upload: &mut Upload, bytes: &[u8]) -> Result<(), Problem> {
    upload.push(bytes).await.map_err(|error| match error {
        MultipartError::Parts => Problem::TooLarge(error.to_string()),
        error => Problem::BadRequest(error.to_string()),
    })
}
