//! CAs, servers and clients with keys of every type. All live as long as the test.

use std::process::Command;
use std::sync::LazyLock;

use postern_tls::crypto::key::SigningKey;
use postern_tls::crypto::suite::Authentication;
use postern_tls::pki::verify::Trust;
use postern_tls::{Identity, ServerConfig};
use rcgen::{
    CertificateParams, CertificateRevocationList, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa,
    KeyPair, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::clock;

/// A kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ECDSA P-256.
    P256,
    /// ECDSA P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA of 2048 bits.
    Rsa2048,
    /// RSA of 4096 bits.
    Rsa4096,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::P256, Self::P384, Self::Ed25519, Self::Rsa2048, Self::Rsa4096];

    /// Which suites of TLS 1.2 it goes with.
    pub fn authentication(self) -> Authentication {
        match self {
            Self::Rsa2048 | Self::Rsa4096 => Authentication::Rsa,
            _ => Authentication::Ecdsa,
        }
    }

    /// A new key; RSA keys are generated once, since that is slow.
    fn key_pair(self) -> KeyPair {
        static RSA: LazyLock<String> = LazyLock::new(|| rsa_key(2048));
        static LONG_RSA: LazyLock<String> = LazyLock::new(|| rsa_key(4096));
        let rsa = |pem: &str| KeyPair::from_pem_and_sign_algo(pem, &rcgen::PKCS_RSA_SHA256).unwrap();
        match self {
            Self::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(),
            Self::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
            // That of rcgen holds the public key as well (RFC 5958), which OpenSSL 3.0 does not read.
            Self::Ed25519 => KeyPair::from_pem(&openssl_key(&["-algorithm", "ED25519"])).unwrap(),
            Self::Rsa2048 => rsa(&RSA),
            Self::Rsa4096 => rsa(&LONG_RSA),
        }
    }
}

/// A certification authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its certificate in DER.
    pub der: &'static [u8],
    /// Its certificate in PEM.
    pub pem: String,
}

/// Somebody with a certificate and the key to it.
pub struct Party {
    /// The certificate alone, in DER.
    pub chain: [&'static [u8]; 1],
    /// The key.
    pub key: SigningKey,
    /// The same as PKCS#8 in DER.
    pub key_der: Vec<u8>,
    /// The certificate and the key in PEM.
    pub pem: [String; 2],
}

impl Authority {
    /// A CA with this name.
    pub fn new(kind: Kind, name: &str) -> &'static Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![
            rcgen::KeyUsagePurpose::KeyCertSign,
            rcgen::KeyUsagePurpose::CrlSign,
            rcgen::KeyUsagePurpose::DigitalSignature,
        ];
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, kind.key_pair()).unwrap();
        leak(Self {
            der: leak(issuer.der().to_vec()),
            pem: issuer.pem(),
            issuer,
        })
    }

    /// Vouches for `name`, a host's or a person's.
    pub fn issue(&self, kind: Kind, name: &str) -> &'static Party {
        self.issue_with(kind, name, |_| {})
    }

    /// Vouches for `name` with changes.
    pub fn issue_with(&self, kind: Kind, name: &str, change: impl FnOnce(&mut CertificateParams)) -> &'static Party {
        let mut params = CertificateParams::new([name.to_string()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::ExplicitNoCa;
        change(&mut params);
        let key = kind.key_pair();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        leak(Party {
            chain: [leak(certificate.der().to_vec())],
            key: SigningKey::from_der("PRIVATE KEY", &key.serialize_der()).unwrap(),
            key_der: key.serialize_der(),
            pem: [certificate.pem(), key.serialize_pem()],
        })
    }

    /// A revocation list, in DER and PEM, with this serial number.
    pub fn revoke(&self, serial: u64) -> (&'static [u8], String) {
        /// The year 4000.
        const FAR: u64 = 64_060_588_800;
        let list = self.list(serial, FAR);
        (leak(list.der().to_vec()), list.pem().unwrap())
    }

    /// The same in DER; the next list is due so many seconds after 1970 began.
    pub fn revoke_until(&self, serial: u64, next_update: u64) -> &'static [u8] {
        leak(self.list(serial, next_update).der().to_vec())
    }

    fn list(&self, serial: u64, next_update: u64) -> CertificateRevocationList {
        let time = |years| rcgen::date_time_ymd(years, 1, 1);
        let next_update = time(1970) + std::time::Duration::from_secs(next_update);
        let list = CertificateRevocationListParams {
            this_update: time(2020),
            next_update,
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![rcgen::RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: time(2020),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap()
    }

    /// Its certificate and its key in PEM.
    pub fn credentials(&self) -> [String; 2] {
        [self.pem.clone(), self.issuer.key().serialize_pem()]
    }

    /// Trust in this CA.
    pub fn trust(&self) -> &'static Trust<'static> {
        leak(Trust::new(leak([self.der])))
    }

    /// What rustls needs for trust in this CA.
    pub fn roots(&self) -> rustls::RootCertStore {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(self.der.to_vec())).unwrap();
        roots
    }
}

impl Party {
    /// What the engine needs.
    pub fn identity(&'static self) -> Identity<'static> {
        Identity::new(&self.chain, &self.key).unwrap()
    }

    /// A server with this identity.
    pub fn server(&'static self) -> ServerConfig<'static> {
        ServerConfig::new(leak([self.identity()]), clock()).unwrap()
    }

    /// What rustls needs.
    pub fn rustls(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificate = CertificateDer::from(self.chain[0].to_vec());
        (
            vec![certificate],
            PrivateKeyDer::try_from(self.key_der.clone()).unwrap(),
        )
    }
}

/// Keeps `value` for as long as the test runs.
pub fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// A CA and a server `localhost`, both with keys of this type, and a client `client.test`; made once.
pub fn of(kind: Kind) -> &'static World {
    type Worlds = [LazyLock<World, fn() -> World>; 5];
    static WORLDS: LazyLock<Worlds> = LazyLock::new(|| {
        [
            LazyLock::new(|| World::new(Kind::P256)),
            LazyLock::new(|| World::new(Kind::P384)),
            LazyLock::new(|| World::new(Kind::Ed25519)),
            LazyLock::new(|| World::new(Kind::Rsa2048)),
            LazyLock::new(|| World::new(Kind::Rsa4096)),
        ]
    });
    &WORLDS[kind as usize]
}

/// See [`of`].
pub struct World {
    /// The CA. That of RSA-4096 has a shorter key, as everything would take long.
    pub authority: &'static Authority,
    /// The server.
    pub server: &'static Party,
    /// The client.
    pub client: &'static Party,
}

impl World {
    fn new(kind: Kind) -> Self {
        let signer = if kind == Kind::Rsa4096 { Kind::Rsa2048 } else { kind };
        let authority = Authority::new(signer, &format!("Test CA {kind:?}"));
        Self {
            authority,
            server: authority.issue(kind, "localhost"),
            client: authority.issue(kind, "client.test"),
        }
    }
}

/// An RSA key in PEM, which ring cannot make.
fn rsa_key(bits: usize) -> String {
    openssl_key(&["-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")])
}

/// A key in PEM as openssl makes it.
fn openssl_key(arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(["genpkey", "-quiet"])
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run openssl: {error}; apt-get install openssl"));
    assert!(output.status.success(), "openssl genpkey");
    String::from_utf8(output.stdout).unwrap()
}
