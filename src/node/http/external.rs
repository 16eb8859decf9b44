//! The address that a client called, which is not the one that arrives here if a proxy lies between: answers hold URLs,
//! and they have to work for the client.
//!
//! Only proxies that the settings trust are believed. `Forwarded`
//! ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)) and the customary `X-Forwarded-Proto`, `-Host`, `-Port` and
//! `-Prefix` are read; of several proxies the first counts, which is the one that the client called.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use super::connections::LocalAddress;
use crate::config::{HttpConfig, Network, PublicUrl};

/// Where a client reaches the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct External {
    /// Scheme, host and port.
    origin: String,
    /// What the proxy puts before the paths of the node; empty without one.
    prefix: String,
}

impl External {
    /// The URL of a path of the node, which begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin, self.prefix)
    }

    /// What comes before every path of the node: empty, or `/pe-node`.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// The settings that the address of a client's request depends on.
#[derive(Debug, Clone)]
pub(super) struct Addressing(Arc<Settings>);

#[derive(Debug)]
struct Settings {
    public_url: PublicUrl,
    trusted_proxies: Vec<Network>,
}

impl Addressing {
    pub(super) fn new(config: &HttpConfig) -> Self {
        let HttpConfig { public_url, trusted_proxies, .. } = config.clone();
        Self(Arc::new(Settings { public_url, trusted_proxies }))
    }

    fn trusts(&self, peer: Option<SocketAddr>) -> bool {
        peer.is_some_and(|peer| self.0.trusted_proxies.iter().any(|network| network.contains(peer.ip())))
    }

    /// The address that the client called, by what `peer` says.
    fn of(&self, headers: &HeaderMap, peer: Option<SocketAddr>, local: Option<SocketAddr>) -> External {
        let public = &self.0.public_url;
        let trusted = self.trusts(peer);
        let forwarded = if trusted { Forwarded::read(headers) } else { Forwarded::default() };
        if let Some(origin) = public.origin() {
            return External { origin: origin.to_owned(), prefix: public.prefix().to_owned() };
        }
        let scheme = forwarded.scheme.unwrap_or("http");
        let host = forwarded.host.or_else(|| text(headers, header::HOST).filter(|host| is_host(host)));
        let port = match (host, local) {
            // Who speaks to the node itself reached it at the port of this connection.
            (_, Some(local)) if !trusted => Some(local.port()),
            _ => forwarded.port,
        };
        let host = match (host, local) {
            (Some(host), _) if has_port(host) => host.to_owned(),
            (Some(host), _) => with_port(host, port, scheme),
            (None, Some(local)) => local.to_string(),
            (None, None) => "localhost".to_owned(),
        };
        External { origin: format!("{scheme}://{host}"), prefix: forwarded.prefix.unwrap_or_default().to_owned() }
    }
}

impl Addressing {
    /// Who sent the request: the client of a trusted proxy, where one passes it on. A client that such a proxy does not
    /// name has no address, and must not be taken for a program on the proxy's machine.
    fn caller(&self, headers: &HeaderMap, peer: SocketAddr) -> SocketAddr {
        const PASSED_ON: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "via"];
        if !self.trusts(Some(peer)) || !PASSED_ON.iter().any(|name| headers.contains_key(*name)) {
            return peer;
        }
        let named = clients(headers);
        // Each proxy adds who called it: from the last one back, the first address that is no proxy of ours is true.
        let client = named.iter().rev().find(|client| !self.trusts(Some(**client))).or(named.first());
        // Nobody is on this machine because a header says so.
        client.copied().filter(|client| !client.ip().to_canonical().is_loopback()).unwrap_or(UNKNOWN)
    }
}

/// The address of a client that is not known.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The clients that proxies name, the first one first.
fn clients(headers: &HeaderMap) -> Vec<SocketAddr> {
    let all = |name: HeaderName| {
        let lists = headers.get_all(name).into_iter().filter_map(|list| list.to_str().ok());
        lists.flat_map(|list| list.split(',')).collect::<Vec<_>>()
    };
    let named = |element: &str| {
        let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for")).map(|(_, value)| address(value))
    };
    let standard: Vec<SocketAddr> = all(header::FORWARDED).into_iter().filter_map(named).collect();
    if !standard.is_empty() {
        return standard;
    }
    all(HeaderName::from_static("x-forwarded-for")).into_iter().map(address).collect()
}

/// An address with or without port and quotes; names and obfuscated identifiers are unknown.
fn address(text: &str) -> SocketAddr {
    let text = text.trim().trim_matches('"');
    let alone = text.trim_start_matches('[').trim_end_matches(']').parse().map(|address: IpAddr| (address, 0).into());
    text.parse().or(alone).unwrap_or(UNKNOWN)
}

/// What a proxy says of the request that it passes on.
#[derive(Debug, Default)]
struct Forwarded<'a> {
    scheme: Option<&'static str>,
    host: Option<&'a str>,
    port: Option<u16>,
    prefix: Option<&'a str>,
}

impl<'a> Forwarded<'a> {
    fn read(headers: &'a HeaderMap) -> Self {
        let standard = text(headers, header::FORWARDED).and_then(|list| list.split(',').next()).unwrap_or_default();
        let parameter = |wanted: &str| {
            let mut pairs = standard.split(';').filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.trim().trim_matches('"'))
        };
        let customary = |name: &'static str| {
            text(headers, HeaderName::from_static(name)).and_then(|list| list.split(',').next()).map(str::trim)
        };
        Self {
            scheme: parameter("proto").or_else(|| customary("x-forwarded-proto")).and_then(scheme),
            host: parameter("host").or_else(|| customary("x-forwarded-host")).filter(|host| is_host(host)),
            port: customary("x-forwarded-port").and_then(|port| port.parse().ok()),
            prefix: customary("x-forwarded-prefix").map(|path| path.trim_end_matches('/')).filter(|path| is_path(path)),
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme))
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}

fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && !text.starts_with("//")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/.-_~%".contains(&byte))
}

/// True if a port follows the host; the colons of `[::1]` are none.
fn has_port(host: &str) -> bool {
    host.rsplit(']').next().is_some_and(|rest| rest.contains(':'))
}

fn with_port(host: &str, port: Option<u16>, scheme: &str) -> String {
    let usual = if scheme == "https" { 443 } else { 80 };
    match port {
        Some(port) if port != usual => format!("{host}:{port}"),
        _ => host.to_owned(),
    }
}

/// Gives a request the address that the client called, the client's own address, and the path that the routes know:
/// without the prefix of a proxy, doubled slashes, and a slash at the end. Redirects to a path of the node get the prefix.
pub(super) async fn located(State(addressing): State<Addressing>, mut request: Request<Body>, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let local = request.extensions().get::<LocalAddress>().map(|LocalAddress(local)| *local);
    let external = addressing.of(request.headers(), peer, local);
    if let Some(uri) = inner(request.uri(), external.prefix()) {
        *request.uri_mut() = uri;
    }
    // What compares the host with the origin of a page compares what the browser knows.
    let host = external.origin.split_once("://").map(|(_, host)| host.to_owned());
    if addressing.trusts(peer)
        && let Some(Ok(host)) = host.map(HeaderValue::try_from)
    {
        request.headers_mut().insert(header::HOST, host);
    }
    if let Some(peer) = peer {
        let caller = addressing.caller(request.headers(), peer);
        request.extensions_mut().insert(ConnectInfo(caller));
    }
    request.extensions_mut().insert(external.clone());
    let mut response = next.run(request).await;
    let target = text(response.headers(), header::LOCATION).filter(|target| target.starts_with('/'));
    if let Some(Ok(target)) = target.map(|target| HeaderValue::try_from(format!("{}{target}", external.prefix()))) {
        response.headers_mut().insert(header::LOCATION, target);
    }
    response
}

/// The address as the routes know it; `None` if it is that already.
fn inner(uri: &Uri, prefix: &str) -> Option<Uri> {
    let mut path = String::with_capacity(uri.path().len());
    for segment in uri.path().split('/').filter(|segment| !segment.is_empty()) {
        path.push('/');
        path.push_str(segment);
    }
    let within = path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let path = match within.unwrap_or(&path) {
        "" => "/",
        path => path,
    };
    if path == uri.path() {
        return None;
    }
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(format!("{path}{query}")).ok();
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1:50000";
    const CLIENT: &str = "192.168.1.7:50000";

    fn addressing(public_url: &str) -> Addressing {
        let settings = Settings {
            public_url: public_url.to_owned().try_into().expect("URL"),
            trusted_proxies: vec!["10.0.0.0/8".parse().expect("network")],
        };
        Addressing(Arc::new(settings))
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(header).collect()
    }

    /// The URL of `/dicomweb` for a request with these headers.
    fn url(public_url: &str, peer: &str, pairs: &[(&'static str, &'static str)]) -> String {
        let address = |text: &str| Some(text.parse().expect("address"));
        addressing(public_url).of(&headers(pairs), address(peer), address("172.16.0.2:8080")).url("/dicomweb")
    }

    #[test]
    fn who_calls_through_a_trusted_proxy_is_its_client() {
        for (peer, pairs, expected) in [
            (PROXY, vec![], PROXY),
            (PROXY, vec![("x-forwarded-for", "192.168.1.7")], "192.168.1.7:0"),
            // A client may say what it likes; what a trusted proxy adds comes after it.
            (PROXY, vec![("x-forwarded-for", "127.0.0.1, 192.168.1.7, 10.0.0.9")], "192.168.1.7:0"),
            (PROXY, vec![("x-forwarded-for", "10.0.0.3, 10.0.0.9")], "10.0.0.3:0"),
            (PROXY, vec![("forwarded", "for=\"[2001:db8::1]:4711\";proto=https")], "[2001:db8::1]:4711"),
            (PROXY, vec![("forwarded", "for=\"[2001:db8::1]\"")], "[2001:db8::1]:0"),
            (PROXY, vec![("forwarded", "for=_hidden")], "0.0.0.0:0"),
            (PROXY, vec![("x-forwarded-proto", "https")], "0.0.0.0:0"),
            (PROXY, vec![("x-forwarded-for", "127.0.0.1")], "0.0.0.0:0"),
            (PROXY, vec![("x-forwarded-for", "::ffff:127.0.0.1")], "0.0.0.0:0"),
            (CLIENT, vec![("x-forwarded-for", "127.0.0.1")], CLIENT),
        ] {
            let caller = addressing("").caller(&headers(&pairs), peer.parse().expect("address"));
            assert_eq!(caller.to_string(), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_client_without_a_proxy_gets_the_address_that_it_called() {
        for (headers, expected) in [
            (vec![("host", "node:8080")], "http://node:8080/dicomweb"),
            (vec![("host", "node")], "http://node:8080/dicomweb"),
            (vec![("host", "[::1]")], "http://[::1]:8080/dicomweb"),
            (vec![], "http://172.16.0.2:8080/dicomweb"),
            (vec![("host", "no de/<>")], "http://172.16.0.2:8080/dicomweb"),
            // Nobody trusts it.
            (
                vec![("host", "node:8080"), ("x-forwarded-host", "evil"), ("x-forwarded-prefix", "/evil")],
                "http://node:8080/dicomweb",
            ),
            (vec![("host", "node:8080"), ("forwarded", "host=evil;proto=https")], "http://node:8080/dicomweb"),
        ] {
            assert_eq!(url("", CLIENT, &headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_trusted_proxy_says_which_address_was_called() {
        let inner = ("host", "node:8080");
        for (headers, expected) in [
            (vec![("host", "pacs.example")], "http://pacs.example/dicomweb"),
            (vec![("host", "pacs.example"), ("x-forwarded-proto", "https")], "https://pacs.example/dicomweb"),
            (
                vec![
                    inner,
                    ("x-forwarded-proto", "HTTPS"),
                    ("x-forwarded-host", "pacs.example"),
                    ("x-forwarded-prefix", "/ai/"),
                ],
                "https://pacs.example/ai/dicomweb",
            ),
            (
                vec![
                    inner,
                    ("x-forwarded-host", "pacs.example"),
                    ("x-forwarded-port", "8443"),
                    ("x-forwarded-proto", "https"),
                ],
                "https://pacs.example:8443/dicomweb",
            ),
            (
                vec![
                    inner,
                    ("x-forwarded-host", "pacs.example"),
                    ("x-forwarded-port", "443"),
                    ("x-forwarded-proto", "https"),
                ],
                "https://pacs.example/dicomweb",
            ),
            (
                vec![inner, ("x-forwarded-host", "outer.example:9000, pacs.example"), ("x-forwarded-port", "8443")],
                "http://outer.example:9000/dicomweb",
            ),
            (
                vec![inner, ("forwarded", "for=192.0.2.60; Proto=https;host=\"pacs.example:8443\", for=10.0.0.1")],
                "https://pacs.example:8443/dicomweb",
            ),
            (
                vec![
                    inner,
                    ("x-forwarded-host", "<script>"),
                    ("x-forwarded-prefix", "//evil"),
                    ("x-forwarded-proto", "gopher"),
                ],
                "http://node:8080/dicomweb",
            ),
        ] {
            assert_eq!(url("", PROXY, &headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_public_url_that_is_set_counts_for_everybody() {
        for peer in [PROXY, CLIENT] {
            let headers = [("host", "node:8080"), ("x-forwarded-host", "other")];
            assert_eq!(url("https://pacs.example/ai", peer, &headers), "https://pacs.example/ai/dicomweb");
        }
    }

    #[test]
    fn paths_lose_prefix_and_superfluous_slashes() {
        for (path, prefix, expected) in [
            ("/dicomweb/studies/", "", "/dicomweb/studies"),
            ("//dicomweb//studies?PatientID=a//b/", "", "/dicomweb/studies?PatientID=a//b/"),
            ("/ai/dicomweb/studies", "/ai", "/dicomweb/studies"),
            ("/ai", "/ai", "/"),
            ("/ai/", "/ai", "/"),
            ("/air/x/", "/ai", "/air/x"),
            ("/dicomweb", "/ai", "/dicomweb"),
            ("/", "", "/"),
        ] {
            let uri: Uri = path.parse().expect("URI");
            assert_eq!(inner(&uri, prefix).unwrap_or(uri).to_string(), expected, "{path}");
        }
    }
}
