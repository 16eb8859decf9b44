//! An unpacked build of the OHIF viewer, served under [`ROOT`] beside the DICOMweb interface that it reads.
//!
//! Builds are made for the root of a server. References to that root are changed on the way out; the files stay as they
//! are. The viewer's settings (`app-config.js`) are the node's own.

mod files;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use tokio_util::io::ReaderStream;

use crate::node::http::problem::Problem;
pub use files::ViewerError;
use files::{Files, Served};

/// Where the viewer is served.
const ROOT: &str = "/viewer";
/// The page of every address that is no file: the viewer has addresses of its own.
const INDEX: &str = "index.html";
/// The viewer's settings.
const SETTINGS: &str = "app-config.js";

/// What viewers do: scripts with WebAssembly, workers made of texts, styles in the page, and nothing from elsewhere.
const POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' \
                      'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: \
                      blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; frame-ancestors 'none'";

/// The viewer, ready to be served.
#[derive(Clone)]
pub struct Viewer(Arc<Files>);

impl Viewer {
    /// Lists the files of `viewer.directory`; `None` where that is empty. What is put there later is not served.
    pub fn open(directory: &std::path::Path) -> Result<Option<Self>, ViewerError> {
        if directory.as_os_str().is_empty() {
            return Ok(None);
        }
        Ok(Some(Self(Arc::new(Files::list(directory, INDEX)?))))
    }

    pub(super) fn router(self) -> Router {
        Router::new().route(ROOT, get(enter)).route("/viewer/{*path}", get(file)).with_state(self)
    }

    async fn serve(&self, path: &str, headers: &HeaderMap) -> Response {
        // Only what was listed at the start is ever opened: no path is built from a request.
        let Some(file) = self.0.get(path).or_else(|| self.0.get(INDEX).filter(|_| is_address(path))) else {
            return Problem::NotFound("the viewer has no such file".to_owned()).into_response();
        };
        if headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == file.tag()) {
            return (StatusCode::NOT_MODIFIED, file.headers(POLICY)).into_response();
        }
        match body(file).await {
            Ok(body) => (file.headers(POLICY), body).into_response(),
            Err(error) => {
                tracing::warn!(%error, file = path, "a file of the viewer cannot be read; was it replaced? restart the node");
                Problem::NotFound("the viewer has no such file".to_owned()).into_response()
            }
        }
    }
}

/// The list of studies. Links of other systems name the study at the same address: `/viewer?StudyInstanceUIDs=1.2.3`.
async fn enter(State(viewer): State<Viewer>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    match query.filter(|query| query.contains("StudyInstanceUID")) {
        Some(query) => Redirect::temporary(&format!("{ROOT}/viewer?{query}")).into_response(),
        None => viewer.serve(INDEX, &headers).await,
    }
}

async fn file(State(viewer): State<Viewer>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    if path == SETTINGS {
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/javascript"));
        return ([kind], include_str!("../../../deploy/ohif/app-config.js")).into_response();
    }
    viewer.serve(&path, &headers).await
}

/// True for an address of the viewer's own, such as `viewer` or `local/basic`; files have an extension.
fn is_address(path: &str) -> bool {
    !path.rsplit('/').next().unwrap_or_default().contains('.')
}

/// A file as it is, or a text whose references to the root of the server are changed.
async fn body(file: &Served) -> std::io::Result<Body> {
    if !file.names_root() {
        let opened = tokio::fs::File::open(file.path()).await?;
        return Ok(Body::from_stream(ReaderStream::with_capacity(opened, 64 << 10)));
    }
    let text = tokio::fs::read(file.path()).await?;
    Ok(match String::from_utf8(text) {
        Ok(text) => Body::from(moved(&text)),
        Err(other) => Body::from(other.into_bytes()),
    })
}

/// A page, script or style sheet of a build for `/`, as it must be under [`ROOT`].
fn moved(text: &str) -> String {
    [
        ("href=\"/", "href=\"/viewer/"),
        ("src=\"/", "src=\"/viewer/"),
        ("url(/", "url(/viewer/"),
        ("PUBLIC_URL=\"/\"", "PUBLIC_URL=\"/viewer/\""),
        ("PUBLIC_URL = '/'", "PUBLIC_URL = '/viewer/'"),
        // Where bundlers look for further parts.
        (".p = \"/\";", ".p = \"/viewer/\";"),
        (".p=\"/\"", ".p=\"/viewer/\""),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (from, to)| if text.contains(from) { text.replace(from, to) } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_to_the_root_of_the_server_are_moved_and_others_stay() {
        let page = "<script>window.PUBLIC_URL=\"/\"</script><script src=\"/app.js\"></script><a href=\"https://x/\">";
        let expected = "<script>window.PUBLIC_URL=\"/viewer/\"</script><script src=\"/viewer/app.js\"></script><a \
                        href=\"https://x/\">";
        assert_eq!(moved(page), expected);
        assert_eq!(moved("__webpack_require__.p = \"/\";"), "__webpack_require__.p = \"/viewer/\";");
        assert_eq!(moved("src:url(/a.woff2)"), "src:url(/viewer/a.woff2)");
        assert_eq!(moved("r.p=\"/\",a.p=1"), "r.p=\"/viewer/\",a.p=1");
    }

    #[test]
    fn addresses_of_the_viewer_have_no_extension() {
        for (path, expected) in [("viewer", true), ("local/basic", true), ("assets/a.png", false), ("1.2.3.js", false)]
        {
            assert_eq!(is_address(path), expected, "{path}");
        }
    }
}
