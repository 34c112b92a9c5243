//! A node's certificate and key, and the authorities that it trusts.

use super::validity::expires;
use super::{Complaint, Pem};
use crate::wire::protection::Mark;
use crate::wire::{Certificate, Flaw};
use blake2::{Blake2s256, Digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, DnsName, PrivateKeyDer, ServerName, UnixTime,
};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    ServerConfig, SignatureScheme, version,
};
use std::fmt;
use std::sync::Arc;

/// Nothing else may speak over a connection of ours, nor we over one of theirs.
const ALPN: &[u8] = b"convoke/1";

/// Who a node is, and whom it trusts. Made once from files; a new one takes its place when they change.
pub struct Credentials {
    pub(super) name: String,
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
    mark: Mark,
    certificate: Certificate,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials of {}", self.name)
    }
}

impl Credentials {
    /// For the node of this name. What would be refused by every peer is refused here.
    pub fn new(name: &str, pem: &Pem<'_>) -> Result<Self, Complaint> {
        Self::made(name, pem, true)
    }

    /// What an honest node never has.
    #[cfg(test)]
    pub(crate) fn unchecked(name: &str, pem: &Pem<'_>) -> Result<Self, Complaint> {
        Self::made(name, pem, false)
    }

    /// Tells these files from others.
    pub(in crate::wire) fn mark(&self) -> Mark {
        self.mark
    }

    pub(in crate::wire) fn certificate(&self) -> Certificate {
        self.certificate.clone()
    }

    fn made(name: &str, pem: &Pem<'_>, checked: bool) -> Result<Self, Complaint> {
        if DnsName::try_from(name).is_err() {
            let text = format!(
                "with TLS the name of a node must be one that a certificate can bear: letters, digits, - and _, in parts \
                 of at most 63 with dots between them, the last not a number; {name:?} is not"
            );
            return Err(("name", text));
        }
        let provider = Arc::new(default_provider());
        let chain: Vec<CertificateDer<'_>> = all("tls.cert", "CERTIFICATE", pem.cert)?;
        let key = PrivateKeyDer::from_pem_slice(pem.key)
            .map_err(|e| ("tls.key", format!("there is no private key in it: {e:?}")))?;
        let certificate = certificate_of(&chain);
        let own = CertifiedKey::from_der(chain, key, &provider).map_err(|e| {
            (
                "tls.key",
                format!("it does not fit to the certificate in tls.cert, or is of an unknown kind: {e}"),
            )
        })?;
        let mut roots = RootCertStore::empty();
        for authority in all("tls.ca", "CERTIFICATE", pem.ca)? {
            let text = |e| format!("a certificate in it is not one of an authority: {e}");
            roots.add(authority).map_err(|e| ("tls.ca", text(e)))?;
        }
        let mut trust = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .clear_root_hint_subjects();
        if let Some(lists) = pem.crl {
            let lists: Vec<CertificateRevocationListDer<'_>> = all("tls.crl", "X509 CRL", lists)?;
            trust = trust.with_crls(lists);
        }
        let trust = trust.build().map_err(|e| ("tls.crl", format!("a list in it cannot be read: {e}")))?;
        if checked {
            check_own(name, &own, &*trust)?;
        }

        let versions = &[&version::TLS13];
        let own = Arc::new(SingleCertAndKey::from(own));
        let no = |e: Error| ("tls.cert", format!("TLS cannot be set up with it: {e}"));
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(no)?
            .with_client_cert_verifier(trust.clone())
            .with_cert_resolver(own.clone());
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(no)?
            .dangerous() // only in that no name is known yet: see `Trust`
            .with_custom_certificate_verifier(Arc::new(Trust(trust)))
            .with_client_cert_resolver(own);
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        let (client, server, mark) = (Arc::new(client), Arc::new(server), mark_of(pem));
        Ok(Self { name: name.to_owned(), client, server, mark, certificate })
    }
}

/// What is told of a chain, the node's own certificate first.
pub(super) fn certificate_of(chain: &[CertificateDer<'_>]) -> Certificate {
    let mut fingerprint = [0; 32];
    if let (Some(first), Some(suite)) = (chain.first(), TLS13_CHACHA20_POLY1305_SHA256.tls13()) {
        fingerprint.copy_from_slice(suite.common.hash_provider.hash(first).as_ref());
    }
    Certificate { fingerprint, expires: expires(chain) }
}

fn mark_of(pem: &Pem<'_>) -> Mark {
    let mut digest = Blake2s256::new();
    for file in [pem.cert, pem.key, pem.ca, pem.crl.unwrap_or_default()] {
        digest.update((file.len() as u64).to_le_bytes());
        digest.update(file);
    }
    let mut mark = Mark::default();
    mark.copy_from_slice(&digest.finalize()[..size_of::<Mark>()]);
    mark
}

/// Every section of one kind.
fn all<T: PemObject>(option: &'static str, kind: &str, pem: &[u8]) -> Result<Vec<T>, Complaint> {
    let found: Result<Vec<T>, _> = T::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err((option, format!("there is no -----BEGIN {kind}----- in it; it takes PEM"))),
        Err(e) => Err((option, format!("it is no PEM: {e:?}"))),
    }
}

/// What every peer would find fault with.
fn check_own(name: &str, own: &CertifiedKey, trust: &dyn ClientCertVerifier) -> Result<(), Complaint> {
    let Some((first, between)) = own.cert.split_first() else {
        return Err(("tls.cert", "there is no certificate in it".to_owned()));
    };
    trust.verify_client_cert(first, between, UnixTime::now()).map_err(|e| {
        let flaw = Flaw::of(&e);
        ("tls.cert", format!("other nodes would refuse this certificate: {}", flaw.text()))
    })?;
    if !is_valid_for(first, name) {
        let text = format!(
            "the certificate is not valid for the name of this node: it must bear the subject alternative name DNS:{name} \
             (option name)"
        );
        return Err(("tls.cert", text));
    }
    Ok(())
}

pub(super) fn is_valid_for(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(name) = DnsName::try_from(name) else { return false };
    ParsedCertificate::try_from(certificate)
        .is_ok_and(|certificate| verify_server_name(&certificate, &ServerName::DnsName(name)).is_ok())
}

/// The end that was dialled is judged as the one that dialled is: by who signed its certificate, whether that is still valid,
/// and not revoked. The name is checked when the peer has said it.
#[derive(Debug)]
struct Trust(Arc<dyn ClientCertVerifier>);

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.verify_client_cert(certificate, between, now).map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

impl Flaw {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::NoCertificatesPresented => Self::Missing,
            Error::InvalidCertificate(error) => match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::Early,
                CertificateError::Revoked => Self::Revoked,
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Issuer,
                CertificateError::UnknownRevocationStatus
                | CertificateError::ExpiredRevocationList
                | CertificateError::ExpiredRevocationListContext { .. } => Self::NoList,
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                    Self::Purpose
                }
                _ => Self::Other,
            },
            Error::InvalidCertRevocationList(_) => Self::NoList,
            _ => Self::Other,
        }
    }

    /// What a peer finds fault with; `None`: it is not about a certificate.
    pub(super) fn of_alert(alert: AlertDescription) -> Option<Self> {
        match alert {
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate => Some(Self::Missing),
            AlertDescription::CertificateExpired => Some(Self::Expired),
            AlertDescription::CertificateRevoked => Some(Self::Revoked),
            // The second: signed by another authority of the same name.
            AlertDescription::UnknownCA | AlertDescription::DecryptError => Some(Self::Issuer),
            AlertDescription::UnsupportedCertificate => Some(Self::Purpose),
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied => Some(Self::Other),
            _ => None,
        }
    }
}
