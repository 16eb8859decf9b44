//! Who may change what the node holds, until it knows who its callers are: whoever calls from its own machine, and not
//! through a proxy, whose callers may be anybody.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::api::require_same_origin;
use crate::node::http::Problem;

/// A caller that may change what the node holds: on this machine, and no page of another origin. Whoever handles such a
/// request takes this, so that none is answered without the check.
pub(super) struct LocalCaller(pub(super) SocketAddr);

impl<State: Send + Sync> FromRequestParts<State> for LocalCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        require_same_origin(&parts.headers)?;
        let caller = ConnectInfo::<SocketAddr>::from_request_parts(parts, state).await;
        let ConnectInfo(caller) = caller.map_err(|_| Problem::Failed("find out who calls"))?;
        require_local(caller, &parts.headers)?;
        Ok(Self(caller))
    }
}

/// True of a caller on this machine.
pub(super) fn is_local(caller: SocketAddr, headers: &HeaderMap) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for"].iter().any(|name| headers.contains_key(*name));
    caller.ip().to_canonical().is_loopback() && !forwarded
}

/// Refuses a caller on another machine.
fn require_local(caller: SocketAddr, headers: &HeaderMap) -> Result<(), Problem> {
    if is_local(caller, headers) {
        return Ok(());
    }
    Err(Problem::Forbidden("this request is accepted from the node's own machine only".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_made_at_the_machine_and_not_through_a_proxy() {
        let allowed = |address: &str, header: Option<(&'static str, &str)>| {
            let headers = header.into_iter().map(|(name, value)| {
                (name.parse().expect("name"), value.parse::<axum::http::HeaderValue>().expect("value"))
            });
            require_local(address.parse().expect("address"), &headers.collect()).is_ok()
        };
        assert!(allowed("127.0.0.1:40000", None));
        assert!(allowed("[::ffff:127.0.0.1]:40000", None));
        assert!(!allowed("192.168.1.9:40000", None));
        assert!(!allowed("127.0.0.1:40000", Some(("x-forwarded-for", "192.168.1.9"))));
        assert!(!allowed("127.0.0.1:40000", Some(("forwarded", "for=192.168.1.9"))));
    }
}
