//! The identity of one server: a certificate authority and a certificate that live as long as it does.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa};
use rcgen::{KeyPair, KeyUsagePurpose};
use rustls::RootCertStore;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::TlsAcceptor;

use super::certificates::{self, ClientIdentity};

/// The names clients on this host use.
const NAMES: [&str; 3] = ["127.0.0.1", "::1", "localhost"];

/// Why no identity could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("make the server certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("configure tls")]
    Configuration(#[from] rustls::Error),
    #[error("configure the verification of client certificates")]
    Verifier(#[from] VerifierBuilderError),
}

/// Whose certificates are trusted, and what connections are accepted with.
pub(crate) struct Identity {
    pub(crate) authority: Authority,
    pub(crate) acceptor: TlsAcceptor,
}

/// What certificates are signed with.
#[derive(Debug)]
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Identity {
    pub(crate) fn generate(cluster: &str) -> Result<Self, TlsError> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority
            .distinguished_name
            .push(DnType::CommonName, format!("{cluster} kubeapi authority"));
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let mut server = CertificateParams::new(NAMES.map(str::to_owned))?;
        server
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &issuer)?;

        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone())?;
        // Named, so that it does not matter which provider the process has installed, or whether it has one.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Identity {
            authority: Authority(issuer),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }
}

impl Authority {
    /// What clients trust.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key, with which a client is the user, of these groups.
    pub(crate) fn client(&self, user: &str, groups: &[&str]) -> Result<ClientIdentity, TlsError> {
        certificates::issue(self.0.der(), self.0.key(), user, groups)
    }
}
