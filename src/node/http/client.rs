//! The client of every HTTP request that this program sends.

use std::sync::Once;

use reqwest::ClientBuilder;

/// A client with the cryptography that this program brings: ring, which builds with nothing but a C compiler.
pub fn builder() -> ClientBuilder {
    static PROVIDER: Once = Once::new();
    // This fails only if a provider was installed before. That one serves as well.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder()
}
