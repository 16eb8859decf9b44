//! What every request passes: the address that its client called, a limit on the body where it is not a stream, CORS,
//! security headers, a log line, and problem details for what no route answers.

use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use super::external::{self, Addressing};
use super::problem::Problem;
use crate::config::HttpConfig;

/// A text in the settings that is no origin.
#[derive(Debug, thiserror::Error)]
#[error("http.allowed_origins: `{0}` is not an origin such as https://viewer.example")]
pub struct LayersError(String);

/// Security headers of every response. The dashboard sets a policy of its own.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

/// Puts the layers around the routes.
pub(crate) fn around(router: Router, config: &HttpConfig) -> Result<Router, LayersError> {
    let routes = router
        .fallback(|| async { Problem::NotFound("there is nothing at this address".to_owned()) })
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .layer(CompressionLayer::new().compress_when(is_text));
    let shared = routes.clone().layer(cors(&config.allowed_origins)?);
    // What comes before the routes can change the path that they see.
    Ok(Router::new()
        .fallback_service(shared)
        .layer(middleware::from_fn_with_state(routes, options))
        .layer(middleware::from_fn_with_state(Addressing::new(config), external::located))
        .layer(middleware::from_fn(secured)))
}

/// Answers what is offered at an address
/// ([RFC 9110 9.3.7](https://www.rfc-editor.org/rfc/rfc9110#name-options)). The question of a browser before a request
/// to another origin is an OPTIONS request too, and CORS answers that one.
async fn options(State(routes): State<Router>, request: Request<Body>, next: Next) -> Response {
    let preflight = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() != Method::OPTIONS || preflight {
        return next.run(request).await;
    }
    let response = match TowerToHyperService::new(routes).call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let allowed = response.headers().get(header::ALLOW).and_then(|value| value.to_str().ok());
    match allowed {
        Some(methods) if response.status() == StatusCode::METHOD_NOT_ALLOWED => {
            (StatusCode::NO_CONTENT, [(header::ALLOW, format!("{methods},OPTIONS"))]).into_response()
        }
        _ => response,
    }
}

/// Texts and JSON are worth the time of compression; pixels are not.
fn is_text(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.starts_with("text/") || content_type.ends_with("json") || content_type.ends_with("xml")
}

fn cors(allowed_origins: &[String]) -> Result<CorsLayer, LayersError> {
    let origin = |text: &String| {
        let known = text.starts_with("http://") || text.starts_with("https://");
        HeaderValue::from_str(text.trim_end_matches('/')).ok().filter(|_| known).ok_or(LayersError(text.clone()))
    };
    let origins = if allowed_origins.iter().any(|origin| origin == "*") {
        AllowOrigin::from(Any)
    } else {
        AllowOrigin::list(allowed_origins.iter().map(origin).collect::<Result<Vec<_>, _>>()?)
    };
    Ok(CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::OPTIONS])
        .allow_headers([header::ACCEPT, header::AUTHORIZATION, header::CONTENT_TYPE, header::RANGE])
        .expose_headers([
            header::CONTENT_TYPE,
            header::CONTENT_LENGTH,
            header::CONTENT_RANGE,
            header::LINK,
            header::WARNING,
        ]))
}

async fn secured(request: Request<Body>, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    // The path holds identifiers at most; the query may hold names.
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED && !response.headers().contains_key(header::CONTENT_TYPE) {
        response = Problem::MethodNotAllowed.into_response();
    }
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    // Answers hold patient data: no cache between here and the client keeps them.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
    let milliseconds = started.elapsed().as_millis() as u64;
    tracing::debug!(%method, path, status = response.status().as_u16(), milliseconds, "request");
    response
}
