//! The certificate authority of one run and the server certificate that it signs.
//!
//! Invariant: keys live in memory only and end with the Manager.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate was not made.
    #[error("make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// rustls did not take it.
    #[error("configure TLS")]
    Config(#[from] rustls::Error),
}

/// What a server needs, and what its clients need.
pub(super) struct Identity {
    /// For the listeners.
    pub(super) server: Arc<ServerConfig>,
    /// For clients to trust.
    pub(super) ca_pem: String,
}

/// Makes a certificate authority and a server certificate for loopback and these addresses.
pub(super) fn identity(addresses: &[IpAddr]) -> Result<Identity, TlsError> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.distinguished_name
        .push(DnType::CommonName, "pathproof SD-WAN Manager CA");
    let ca_key = KeyPair::generate()?;
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let issuer = Issuer::new(ca, ca_key);

    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(
        addresses
            .iter()
            .filter(|address| !address.is_unspecified())
            .map(ToString::to_string),
    );
    names.sort();
    names.dedup();
    let mut leaf = CertificateParams::new(names)?;
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.distinguished_name.push(DnType::CommonName, "vmanage");
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &issuer)?;

    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Identity {
        server: Arc::new(server),
        ca_pem,
    })
}
