use super::*;
use std::format;
use std::vec::Vec;

type Ca = rcgen::CertifiedIssuer<'static, rcgen::KeyPair>;

fn list(issuer: &Ca, number: &[u8]) -> Vec<u8> {
    list_of_year(issuer, number, 2020)
}

fn list_of_year(issuer: &Ca, number: &[u8], year: i32) -> Vec<u8> {
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(year, 1, 1),
        next_update: rcgen::date_time_ymd(2120, 1, 1),
        crl_number: rcgen::SerialNumber::from_slice(number),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    list.signed_by(issuer).unwrap().der().to_vec()
}

#[test]
fn lists_of_one_ca_have_an_order_and_an_expiry() {
    let ca = |name: &str| {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap()
    };
    let (first, second) = (ca("first"), ca("second"));
    let numbers: [&[u8]; 5] = [&[9], &[0x80], &[1, 0], &[0xff; 8], &[1; 12]];
    let lists = numbers.map(|number| list(&first, number));
    let lists: Vec<_> = lists.iter().map(|list| Crl::from_der(list).unwrap()).collect();
    let shown = lists.iter().map(|list| format!("{}", list.number.unwrap()));
    assert_eq!(
        shown.collect::<Vec<_>>(),
        ["9", "128", "256", "18446744073709551615", "0x010101010101010101010101"]
    );
    for (at, list) in lists.iter().enumerate() {
        for (other_at, other) in lists.iter().enumerate() {
            assert_eq!(list.is_older_than(other), at < other_at);
        }
    }
    let other = list(&second, &[200]);
    assert!(!lists[0].is_older_than(&Crl::from_der(&other).unwrap()));
    // thisUpdate counts, and alone where the keys differ: then the numbers are of two series.
    let older = |[ours, theirs]: [(&_, u8, i32); 2]| {
        let [ours, theirs] = [ours, theirs].map(|(issuer, number, year)| list_of_year(issuer, &[number], year));
        Crl::from_der(&ours)
            .unwrap()
            .is_older_than(&Crl::from_der(&theirs).unwrap())
    };
    let renewed = ca("first");
    assert!(older([(&first, 9, 2020), (&first, 9, 2021)]));
    assert!(older([(&first, 10, 2020), (&first, 9, 2021)]));
    assert!(older([(&first, 8, 2021), (&first, 9, 2020)]));
    assert!(!older([(&renewed, 1, 2021), (&first, 9, 2020)]));
    assert!(older([(&renewed, 10, 2020), (&first, 9, 2021)]));
    // Each counts until its expiry, also without nextUpdate.
    for (next_update, date) in [(Some(Date(1_700_000_000)), "2023-11-14"), (None, "2020-01-31")] {
        let mut crl = Crl::from_der(&other).unwrap();
        crl.next_update = next_update;
        let expiry = crl.expiry();
        assert_eq!(format!("{expiry}"), date);
        assert!(crl.check_current(expiry.0 - 1).is_ok() && crl.check_current(expiry.0).is_err());
    }
}
