//! Expensive chains: the cost of each verification is bounded.

use super::paths::{by, wrong};
use super::*;
use crate::pki::cert::MAX_RDNS;
use crate::pki::limits::MAX_SIGNATURES;

const TOO_COMPLEX: &str = "certificate takes more than 8 signature checks to verify";

/// A CA with a key of its own for each name, signed by another one that may come after it.
struct Knot {
    names: Vec<DistinguishedName>,
    keys: Vec<Vec<u8>>,
}

impl Knot {
    fn new(names: Vec<DistinguishedName>) -> Self {
        let keys = names.iter().map(|_| KeyPair::generate().unwrap().serialize_der());
        Self {
            keys: keys.collect(),
            names,
        }
    }

    fn params(&self, number: usize) -> CertificateParams {
        let mut params = ca_params("");
        params.distinguished_name = self.names[number].clone();
        params
    }

    fn key(&self, number: usize) -> KeyPair {
        KeyPair::try_from(&self.keys[number][..]).unwrap()
    }

    /// The certificate of one CA, signed by another.
    fn certificate(&self, number: usize, issuer: usize) -> Vec<u8> {
        let issuer = Issuer::new(self.params(issuer), self.key(issuer));
        let params = self.params(number);
        params.signed_by(&self.key(number), &issuer).unwrap().der().to_vec()
    }

    /// A leaf below the first, and the certificates of `edges`, each an issuer and a subject.
    fn chain(&self, edges: &[(usize, usize)]) -> Vec<Vec<u8>> {
        let first = CertifiedIssuer::self_signed(self.params(0), self.key(0)).unwrap();
        let mut chain = Vec::from([leaf(&first, |_| {})]);
        chain.extend(edges.iter().map(|&(number, issuer)| self.certificate(number, issuer)));
        chain
    }
}

fn refs(chain: &[Vec<u8>]) -> Vec<&[u8]> {
    chain.iter().map(|der| &der[..]).collect()
}

#[test]
fn loops_end() {
    let root = root(|_| {});
    let names = (0..9).map(|number| named(&std::format!("CA {number}")));
    let knot = Knot::new(names.collect());
    // Of one, two, three and nine; and nine times the same pair.
    let rings = [1, 2, 3, 9].map(|size| (0..size).map(|number| (number, (number + 1) % size)).collect());
    let pair: Vec<(usize, usize)> = (0..9).map(|number| (number % 2, 1 - number % 2)).collect();
    for edges in rings.into_iter().chain([pair]) {
        let chain = knot.chain(&edges);
        let (verdict, work) = by(&root, &refs(&chain));
        let text = verdict.unwrap_err();
        assert!(
            text == TOO_COMPLEX || text.starts_with("issuer unknown") || text.starts_with("more than 5 intermediate"),
            "{edges:?}: {text}"
        );
        assert!(work.signatures() <= MAX_SIGNATURES, "{edges:?}: {work:?}");
    }
    // The same certificate ten times, the leaf among them.
    let one = intermediate("One", &root, |_| {});
    let leaf = leaf(&one, |_| {});
    let mut chain = Vec::from([&leaf[..]; 5]);
    chain.extend([one.der().as_ref(); 5]);
    let (verdict, work) = by(&root, &chain);
    assert_eq!((verdict, work.signatures()), (Ok(()), 2));
}

/// Each of four CAs has signed each other one, up to ten certificates.
#[test]
fn graphs_of_all_edges_end() {
    let root = root(|_| {});
    let knot = Knot::new((0..4).map(|number| named(&std::format!("CA {number}"))).collect());
    let all = (0..16)
        .map(|edge| (edge / 4, edge % 4))
        .filter(|(one, other)| one != other);
    let chain = knot.chain(&all.take(9).collect::<Vec<_>>());
    assert_eq!(by(&root, &refs(&chain)).0, wrong(TOO_COMPLEX));
}

/// Names of maximum length that differ in the last byte.
#[test]
fn long_names_cost_no_signatures() {
    let long = |last: char| {
        let mut name = DistinguishedName::new();
        for number in 0..MAX_RDNS as u64 {
            let oid = [2, 5, 4, 100 + number];
            name.push(DnType::from_oid(&oid), std::format!("{}{last}", "x".repeat(200)));
        }
        name
    };
    let root = root(|params| params.distinguished_name = long('0'));
    let knot = Knot::new((1..10).map(|number| long((b'0' + number) as char)).collect());
    // The leaf's issuer is among them, and none of the others issued it.
    let edges: Vec<_> = (0..9).map(|number| (number, number)).collect();
    let chain = knot.chain(&edges);
    let sent: usize = chain.iter().map(Vec::len).sum();
    assert!(sent > 9 * 2 * 32 * 200, "{sent}");
    let (verdict, work) = by(&root, &refs(&chain));
    let text = verdict.unwrap_err();
    assert!(text.starts_with("issuer unknown: ") && text.len() < 200, "{text}");
    assert!(work.signatures() <= 2, "{work:?}");
    let mut name = long('0');
    name.push(DnType::CommonName, "one more");
    let one = intermediate("One", &root, |params| params.distinguished_name = name);
    let leaf = leaf(&one, |_| {});
    let (verdict, work) = by(&root, &[&leaf, one.der()]);
    assert_eq!(
        (verdict, work.signatures()),
        (wrong("certificate refused: its issuer has more than 32 parts"), 0)
    );
}

#[test]
fn many_names_are_read_once() {
    let root = root(|_| {});
    let names: Vec<String> = (0..2000).map(|number| std::format!("{number}.example")).collect();
    let sans = CertificateParams::new(names).unwrap().subject_alt_names;
    let leaf = leaf(&root, |params| params.subject_alt_names = sans);
    let anchors: [&[u8]; 1] = [root.der()];
    for mode in [Mode::Strict, Mode::Pinned] {
        let trust = Trust::new(&anchors).with_mode(mode);
        let verdict = |name| {
            let work = Work::default();
            let verdict = trust.verify_chain_counted(&[&leaf], server(name), CLOCK, &work);
            // Both rules verify the one signature.
            assert!(work.signatures() <= 2 && work.names() == 0, "{work:?}");
            verdict.map(drop)
        };
        assert_eq!(verdict("1999.example"), Ok(()));
        let text = verdict("2000.example").unwrap_err().to_string();
        assert!(text.starts_with("certificate does not match 2000.example: it is for 0.example, 1.example"));
        assert!(text.len() < 250, "{text}");
    }
}

/// An intermediate for each of `constraints`, the first by `root`, and a leaf with these names below all.
fn constrained(root: &Ca, constraints: Vec<NameConstraints>, names: Vec<String>) -> Vec<Vec<u8>> {
    let mut cas: Vec<Ca> = Vec::new();
    for (number, constraints) in constraints.into_iter().enumerate() {
        let issuer = cas.last().unwrap_or(root);
        let name = std::format!("Level {number}");
        let ca = intermediate(&name, issuer, |params| params.name_constraints = Some(constraints));
        cas.push(ca);
    }
    let names = CertificateParams::new(names).unwrap().subject_alt_names;
    let leaf = leaf(cas.last().unwrap(), |params| params.subject_alt_names = names);
    let mut chain = Vec::from([leaf]);
    chain.extend(cas.iter().map(|ca| ca.der().to_vec()));
    chain
}

fn permitted(count: usize, subtree: impl Fn(usize) -> GeneralSubtree) -> NameConstraints {
    NameConstraints {
        permitted_subtrees: (0..count).map(subtree).collect(),
        excluded_subtrees: Vec::new(),
    }
}

fn hosts(count: usize) -> Vec<String> {
    (0..count).map(|number| std::format!("{number}.example")).collect()
}

#[test]
fn name_constraints_do_not_multiply_with_names() {
    let root = root(|_| {});
    let dns = |number| GeneralSubtree::DnsName(std::format!("{number}.example"));
    // Each name is compared with each subtree, at most 250,000 times.
    let chain = constrained(&root, Vec::from([permitted(400, dns)]), hosts(400));
    assert_eq!(by(&root, &refs(&chain)).0, Ok(()));
    let too_many = "name constraints need more than 250000 comparisons";
    let chain = constrained(&root, Vec::from([permitted(600, dns)]), hosts(600));
    assert_eq!(by(&root, &refs(&chain)).0, wrong(too_many));
    // Five levels of them are added up.
    for (count, verdict) in [(200, Ok(())), (250, wrong(too_many))] {
        let levels = (0..5).map(|_| permitted(count, dns)).collect();
        assert_eq!(by(&root, &refs(&constrained(&root, levels, hosts(count)))).0, verdict);
    }
    // Subtrees of an unsupported form are read once, and so are the names.
    let mail = |number| GeneralSubtree::Rfc822Name(std::format!("{number}.example"));
    let chain = constrained(&root, Vec::from([permitted(400, mail)]), hosts(400));
    let anchors: [&[u8]; 1] = [root.der()];
    let work = Work::default();
    let verdict = Trust::new(&anchors).verify_chain_counted(&refs(&chain), ANY_SERVER, CLOCK, &work);
    assert_eq!((verdict.map(drop), work.names()), (Ok(()), 800));
}

/// A list of ten thousand certificates is hashed once for each verification that uses it.
#[test]
fn long_revocation_lists_are_hashed_once() {
    let root = root(|_| {});
    let serials: Vec<[u8; 4]> = (0..10_000_u32)
        .map(|number| (number + (1 << 24)).to_be_bytes())
        .collect();
    let serials: Vec<&[u8]> = serials.iter().map(|serial| &serial[..]).collect();
    let list = revocation::list(&root, &serials, |_| {});
    let anchors: [&[u8]; 1] = [root.der()];
    let crls: [&[u8]; 1] = [&list];
    let verdict = |serial: &[u8]| {
        let leaf = leaf(&root, |params| {
            params.serial_number = Some(SerialNumber::from(serial.to_vec()));
        });
        let work = Work::default();
        let trust = Trust::new(&anchors).with_crls(&crls);
        let verdict = trust.verify_chain_counted(&[&leaf], ANY_SERVER, CLOCK, &work).map(drop);
        let tbs = Certificate::from_der(&leaf).unwrap().tbs.len() + crl::Crl::from_der(&list).unwrap().tbs.len();
        assert_eq!((work.signatures(), work.hashed()), (2, tbs));
        verdict
    };
    assert_eq!(verdict(&[2, 0, 0, 0]), Ok(()));
    let revoked = verdict(serials[9_999]);
    assert!(matches!(revoked, Err(CertificateError::Revoked { .. })), "{revoked:?}");
    // It does not apply to other issuers, and is not hashed for them.
    let one = intermediate("One", &root, |_| {});
    let below = leaf(&one, |_| {});
    let work = Work::default();
    let trust = Trust::new(&anchors).with_crls(&crls);
    let verdict = trust.verify_chain_counted(&[&below, one.der()], ANY_SERVER, CLOCK, &work);
    assert_eq!((verdict.map(drop), work.signatures()), (Ok(()), 3));
}
