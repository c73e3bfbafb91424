//! Client certificates: making one for a user, and reading the user of one.
//!
//! As for kube-apiserver, the common name of the subject is the user, its organizations are the groups.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use tokio_rustls::server::TlsStream;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use yasna::models::ObjectIdentifier;
use yasna::tags::{TAG_GENERALIZEDTIME, TAG_UTCTIME};
use yasna::{DERWriter, Tag};

use super::tls::TlsError;
use crate::access::User;

const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const CLIENT_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];
const ECDSA_WITH_SHA256: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];

/// What a client shows, and proves to be its own.
pub(crate) struct ClientIdentity {
    certificate: Vec<u8>,
    key: KeyPair,
}

impl ClientIdentity {
    pub(crate) fn certificate_pem(&self) -> String {
        let lines: Vec<String> = STANDARD
            .encode(&self.certificate)
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            lines.join("\n")
        )
    }

    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

/// A certificate for the user, signed by `authority`, whose own certificate is `issuer`.
///
/// Written here because `rcgen` has no names with more than one organization.
pub(super) fn issue(
    issuer: &CertificateDer<'_>,
    authority: &KeyPair,
    user: &str,
    groups: &[&str],
) -> Result<ClientIdentity, TlsError> {
    let (_, issuer) =
        X509Certificate::from_der(issuer).map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
    let key = KeyPair::generate()?;
    let serial = digest(&SHA256, key.der_bytes());
    let content = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer
                .next()
                .write_tagged(Tag::context(0), |writer| writer.write_u8(2));
            writer.next().write_bigint_bytes(&serial.as_ref()[..16], true);
            write_algorithm(writer.next());
            writer.next().write_der(issuer.subject().as_raw());
            // As long as the authority, which ends with the process.
            writer.next().write_sequence(|writer| {
                write_time(writer.next(), TAG_UTCTIME, "750101000000Z");
                write_time(writer.next(), TAG_GENERALIZEDTIME, "40960101000000Z");
            });
            writer.next().write_sequence(|writer| {
                for group in groups {
                    write_attribute(writer.next(), ORGANIZATION, group);
                }
                write_attribute(writer.next(), COMMON_NAME, user);
            });
            writer.next().write_der(&key.subject_public_key_info());
            writer.next().write_tagged(Tag::context(3), |writer| {
                writer.write_sequence(|writer| write_usage(writer.next()))
            });
        });
    });
    let signature = authority.sign(&content)?;
    let certificate = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(&content);
            write_algorithm(writer.next());
            writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
        });
    });
    Ok(ClientIdentity { certificate, key })
}

fn write_algorithm(writer: DERWriter<'_>) {
    writer.write_sequence(|writer| write_oid(writer.next(), ECDSA_WITH_SHA256));
}

fn write_time(writer: DERWriter<'_>, tag: Tag, time: &str) {
    writer.write_tagged_implicit(tag, |writer| writer.write_bytes(time.as_bytes()));
}

fn write_attribute(writer: DERWriter<'_>, kind: &[u64], value: &str) {
    writer.write_set(|writer| {
        writer.next().write_sequence(|writer| {
            write_oid(writer.next(), kind);
            writer.next().write_utf8_string(value);
        });
    });
}

fn write_usage(writer: DERWriter<'_>) {
    let usage = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| write_oid(writer.next(), CLIENT_AUTH));
    });
    writer.write_sequence(|writer| {
        write_oid(writer.next(), EXTENDED_KEY_USAGE);
        writer.next().write_bytes(&usage);
    });
}

fn write_oid(writer: DERWriter<'_>, components: &[u64]) {
    writer.write_oid(&ObjectIdentifier::from_slice(components));
}

/// The user of the certificate that the client of a connection showed; the handshake has verified it.
pub(super) fn peer_user<S>(stream: &TlsStream<S>) -> Option<User> {
    user_of(stream.get_ref().1.peer_certificates()?.first()?)
}

fn user_of(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let subject = parsed.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    let groups = subject
        .iter_organization()
        .filter_map(|group| group.as_str().ok().map(str::to_owned));
    let fingerprint: String = digest(&SHA256, certificate)
        .as_ref()
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    let credential = vec![format!("X509SHA256={fingerprint}")];
    (!name.is_empty()).then(|| User {
        extra: [(
            "authentication.kubernetes.io/credential-id".to_owned(),
            credential,
        )]
        .into(),
        ..User::authenticated(name, groups)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, CertifiedIssuer};

    #[test]
    fn the_user_of_an_issued_certificate_is_the_one_it_was_issued_for() {
        let params = CertificateParams::new(Vec::new()).expect("no names");
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let identity =
            issue(authority.der(), authority.key(), "jane", &["ops", "net:admins"]).expect("issued");
        let user = user_of(&CertificateDer::from(identity.certificate)).expect("a user");
        assert_eq!(user.name, "jane");
        assert_eq!(user.groups, ["ops", "net:admins", "system:authenticated"]);
    }

    #[test]
    fn what_is_no_certificate_has_no_user() {
        assert_eq!(user_of(&CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])), None);
    }
}
