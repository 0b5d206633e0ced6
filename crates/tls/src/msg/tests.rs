//! Every message that is sent is read back with the same values.

use super::certificate::{
    self, CertificateRequestTls12, CertificateRequestTls13, CertificateTls12, CertificateTls13, CertificateVerify,
    parse_status,
};
use super::client_hello::{ClientHello, Offer};
use super::server_hello::{
    Answers, EncryptedExtensions, HelloRetryRequest, ServerHello, ServerHelloTls12, ServerHelloTls13, Tls12Answers,
};
use super::ticket::{TicketTls12, TicketTls13};
use super::tls12::{ClientKeyExchange, EcdhParams, ServerHelloDone, ServerKeyExchange};
use super::*;
use crate::config::Versions;
use crate::crypto::kx::{Group, KeyPair};
use crate::crypto::sign::SignatureScheme;
use crate::crypto::suite::{Authentication, CipherSuite};
use crate::pki::verify::DerList;
use crate::registry::ProtocolVersion;
use crate::support::Script;

/// The body of `message` as it is sent. Its header is right, and it is as long as it was counted to be.
fn body<M: Emit>(message: &M) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 14];
    let mut writer = Writer::new(&mut buffer);
    message.emit(&mut writer).unwrap();
    let whole = writer.since(0).unwrap();
    assert_eq!(whole.len(), message.encoded_len());
    let mut reader = Reader::new(whole, "message");
    assert_eq!(HandshakeType(reader.u8().unwrap()), M::KIND);
    let body = reader.vector24().unwrap();
    assert!(reader.is_empty());
    body.to_vec()
}

const RANDOM: [u8; 32] = [7; 32];
const SESSION_ID: &[u8] = &[8; 32];
const SCHEME: SignatureScheme = SignatureScheme::Ed25519;
const SIGNED: CertificateVerify<'_> = CertificateVerify {
    scheme: SCHEME.named(),
    signature: b"signature",
};

#[test]
fn client_hellos_come_back() {
    let pair = KeyPair::generate(Group::X25519, &mut Script(vec![3; 32]));
    for versions in [Versions::Both, Versions::Tls13, Versions::Tls12] {
        let offer = Offer {
            random: &RANDOM,
            session_id: SESSION_ID,
            versions,
            suites: &CipherSuite::ALL,
            groups: &Group::ALL,
            schemes: &SignatureScheme::ALL,
            server_name: Some("a.example"),
            protocols: &[b"h2", b"http/1.1"],
            record_size_limit: 4000,
            key_pairs: core::slice::from_ref(&pair),
            cookie: Some(b"cookie"),
            session_ticket: Some(b"ticket"),
            psk: Some((b"identity", 5, 32)),
        };
        let bytes = body(&offer);
        let hello = ClientHello::parse(&bytes).unwrap();
        assert_eq!(hello.legacy_version, ProtocolVersion::TLS12);
        assert_eq!((hello.random, hello.session_id), (&RANDOM, SESSION_ID));
        let suites = CipherSuite::ALL
            .iter()
            .filter(|suite| versions.contains(suite.version()));
        assert!(hello.cipher_suites.iter().eq(suites.map(|suite| suite.id())));
        assert_eq!(hello.server_name, Some(&b"a.example"[..]));
        assert!(hello.protocols.unwrap().iter().eq([&b"h2"[..], b"http/1.1"]));
        assert_eq!(hello.record_size_limit, Some(4000));
        let groups = Group::ALL.iter().filter(|group| versions.tls13() || group.in_tls12());
        assert!(
            hello
                .supported_groups
                .unwrap()
                .iter()
                .eq(groups.map(|group| group.id()))
        );
        let offered = |scheme: &&SignatureScheme| scheme.may_be_offered(versions.highest());
        let schemes = SignatureScheme::ALL.iter().filter(offered).map(|scheme| scheme.id());
        assert!(hello.signature_algorithms.unwrap().iter().eq(schemes));
        assert_eq!(hello.extended_master_secret, versions.tls12());
        assert_eq!(hello.renegotiation_info, versions.tls12().then_some(&[][..]));
        assert_eq!(hello.uncompressed_points, versions.tls12().then_some(true));
        assert_eq!(hello.session_ticket, versions.tls12().then_some(&b"ticket"[..]));
        assert_eq!(hello.psk_dhe_ke(), versions.tls13());
        let share = hello.key_shares.and_then(|shares| shares.get(Group::X25519.id()));
        assert_eq!(share.is_some(), versions.tls13());
        assert!(share.is_none_or(|share| share == pair.public_value().as_ref()));
        let psks: Vec<_> = hello.psks.into_iter().flat_map(|psks| psks.iter()).collect();
        let psk = (&b"identity"[..], &[0; 32][..]);
        assert_eq!(psks, if versions.tls13() { vec![psk] } else { vec![] });
    }
}

#[test]
fn server_hellos_come_back() {
    let suite = CipherSuite::Aes128GcmSha256;
    for psk in [None, Some(3)] {
        let bytes = body(&ServerHelloTls13 {
            random: &RANDOM,
            session_id: SESSION_ID,
            suite,
            key_share: (Group::X25519, &[9; 32]),
            psk,
        });
        let hello = ServerHello::parse(&bytes).unwrap();
        assert!(!hello.is_retry());
        assert_eq!(hello.version, ProtocolVersion::TLS12);
        assert_eq!(hello.selected_version, Some(ProtocolVersion::TLS13));
        assert_eq!((hello.random, hello.session_id), (&RANDOM, SESSION_ID));
        assert_eq!((hello.suite, hello.psk), (suite.id(), psk));
        assert_eq!(hello.key_share.unwrap()[..4], [0, 29, 0, 32]);
        assert_eq!(hello.only_tls12, None);
    }
    let bytes = body(&HelloRetryRequest {
        session_id: SESSION_ID,
        suite,
        group: Group::Secp256r1,
    });
    let hello = ServerHello::parse(&bytes).unwrap();
    assert!(hello.is_retry());
    assert_eq!(hello.key_share, Some(&[0, 23][..]));

    let answers = |tls12| Tls12Answers {
        extended_master_secret: tls12,
        renegotiation_info: tls12,
        session_ticket: tls12,
        ec_point_formats: tls12,
        common: Answers {
            protocol: tls12.then_some(b"h2"),
            record_size_limit: tls12.then_some(100),
            max_fragment_length: None,
            server_name: tls12,
        },
    };
    for all in [true, false] {
        let bytes = body(&ServerHelloTls12 {
            random: &RANDOM,
            session_id: &[],
            suite,
            answers: &answers(all),
        });
        let hello = ServerHello::parse(&bytes).unwrap();
        assert_eq!((hello.selected_version, hello.session_id), (None, &[][..]));
        assert_eq!(hello.tls12.extended_master_secret, all);
        assert_eq!((hello.tls12.renegotiation_info, hello.renegotiated), (all, false));
        assert_eq!(hello.tls12.session_ticket, all);
        assert_eq!(hello.tls12.common.protocol, all.then_some(&b"h2"[..]));
        assert_eq!(hello.tls12.common.record_size_limit, all.then_some(100));
        assert_eq!(hello.tls12.common.server_name, all);
    }
}

#[test]
fn encrypted_extensions_come_back() {
    for groups in [None, Some(&Group::ALL[..])] {
        let sent = Answers {
            protocol: Some(b"h2"),
            record_size_limit: Some(64),
            max_fragment_length: None,
            server_name: true,
        };
        let bytes = body(&EncryptedExtensions { groups, answers: &sent });
        let read = Answers::parse_encrypted_extensions(&bytes).unwrap();
        assert_eq!(read.protocol, sent.protocol);
        assert_eq!(read.record_size_limit, sent.record_size_limit);
        assert!(read.server_name);
    }
}

#[test]
fn certificates_come_back() {
    let chains: [&[&[u8]]; 3] = [&[], &[b"leaf"], &[b"leaf", b"issuer"]];
    for chain in chains {
        let bytes = body(&CertificateTls12 { chain: chain.into() });
        assert_eq!(certificate::parse_tls12(&bytes).unwrap()[..], *chain);
        for context in [&[][..], b"context"] {
            let bytes = body(&CertificateTls13 {
                context,
                chain: chain.into(),
            });
            let (read, staple) = certificate::parse_tls13(&bytes, context, false).unwrap();
            assert_eq!((&read[..], staple), (chain, None));
        }
    }
    assert_eq!(parse_status(&[1, 0, 0, 2, 4, 5]), Ok(&[4, 5][..]));
}

#[test]
fn requests_and_proofs_come_back() {
    let schemes = [SignatureScheme::EcdsaSecp256r1Sha256, SCHEME];
    let ids = schemes.map(SignatureScheme::id);
    let bytes = body(&CertificateRequestTls13 { schemes: &schemes });
    let request = certificate::parse_request_tls13(&bytes).unwrap();
    assert!(request.context.is_empty() && request.schemes.iter().eq(ids));
    let bytes = body(&CertificateRequestTls12 {
        schemes: schemes.into_iter(),
    });
    let request = certificate::parse_request_tls12(&bytes).unwrap();
    assert!(request.schemes.iter().eq(ids));
    assert!(request.allows(DerList::from(&[]), Authentication::Ecdsa));
    #[cfg(feature = "rsa")]
    assert!(request.allows(DerList::from(&[]), Authentication::Rsa));

    assert_eq!(CertificateVerify::parse(&body(&SIGNED)), Ok(SIGNED));
    let sent = Finished { verify_data: &[6; 12] };
    assert_eq!(Finished::parse(&body(&sent), 12), Ok(sent));
    for requested in [false, true] {
        let sent = KeyUpdate { requested };
        assert_eq!(KeyUpdate::parse(&body(&sent)), Ok(sent));
    }
}

#[test]
fn the_key_exchange_of_tls12_comes_back() {
    let mut buffer = [0; 80];
    let params = EcdhParams::encode(Group::Secp256r1, &[4; 65], &mut buffer).unwrap();
    let sent = ServerKeyExchange { params, signed: SIGNED };
    let bytes = body(&sent);
    assert_eq!(ServerKeyExchange::parse(&bytes), Ok(sent));
    let sent = ClientKeyExchange { public: &[4; 65] };
    assert_eq!(ClientKeyExchange::parse(&body(&sent)), Ok(sent));
    assert_eq!(ServerHelloDone::parse(&body(&ServerHelloDone)), Ok(ServerHelloDone));
}

#[test]
fn tickets_come_back() {
    let sent = TicketTls13 {
        lifetime: 7200,
        age_add: 0xdead_beef,
        nonce: b"nonce",
        ticket: b"ticket",
    };
    assert_eq!(TicketTls13::parse(&body(&sent)), Ok(sent));
    for ticket in [&b"ticket"[..], b""] {
        let sent = TicketTls12 { lifetime: 7200, ticket };
        assert_eq!(TicketTls12::parse(&body(&sent)), Ok(sent));
    }
}

#[test]
fn what_is_too_long_for_its_length_fits_nowhere() {
    let public = [0; 256];
    let sent = ClientKeyExchange { public: &public };
    assert_eq!(sent.encoded_len(), 4 + 1 + 256);
    assert_eq!(sent.emit(&mut Writer::new(&mut [0; 300])), Err(Full));
}
