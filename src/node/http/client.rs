//! Every HTTP request of this program to somebody else begins here.

use std::sync::Once;

use reqwest::ClientBuilder;

/// A client with the cryptography that this program brings: ring, which builds with nothing but a C compiler.
pub fn builder() -> ClientBuilder {
    static PROVIDER: Once = Once::new();
    // Refused only where a provider was chosen before, which then serves as well.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder()
}
