//! An authority that signs certificates, good ones and others, for tests of TLS.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

/// What a node's files hold, in PEM.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) cert: String,
    pub(crate) key: String,
    pub(crate) ca: String,
    pub(crate) crl: Option<String>,
}

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// What is unusual about a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Good,
    Expired,
    Early,
    /// For servers of web pages.
    ServerOnly,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for this name, with this number, and its key.
    pub(crate) fn sign(&self, name: &str, kind: Kind, serial: u64) -> Files {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        match kind {
            Kind::Good => {}
            Kind::Expired => params.not_after = date_time_ymd(2020, 1, 1),
            Kind::Early => params.not_before = date_time_ymd(2090, 1, 1),
            Kind::ServerOnly => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        }
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Files { cert, key: key.serialize_pem(), ca: self.pem.clone(), crl: None }
    }

    /// A good certificate.
    pub(crate) fn node(&self, name: &str) -> Files {
        self.sign(name, Kind::Good, 1)
    }

    /// A list that revokes the certificates with these numbers.
    pub(crate) fn revoke(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}
