//! The decision on each vector that Wycheproof calls acceptable, by its flags.

use crate::files::Primitive;
use Decision::{Accept, Refuse};
use Primitive::{Ecdh, RsaPkcs1, RsaSigning, X25519};

/// What the engine has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Accept,
    Refuse,
}

/// The decisions, each with its reason.
const DECISIONS: &[(Primitive, &str, Decision, &str)] = &[
    (X25519, "Twist", Accept, "X25519 is defined for every u (RFC 7748 §5)"),
    (
        X25519,
        "NonCanonicalPublic",
        Accept,
        "must be accepted and reduced (RFC 7748 §5)",
    ),
    (
        X25519,
        "SpecialPublicKey",
        Accept,
        "a value like any other (RFC 7748 §5)",
    ),
    (X25519, "SmallPublicKey", Accept, "a value like any other (RFC 7748 §5)"),
    (
        X25519,
        "EdgeCaseShared",
        Accept,
        "a result like any other (RFC 7748 §5)",
    ),
    (
        X25519,
        "EdgeCaseMultiplication",
        Accept,
        "a computation like any other (RFC 7748 §5)",
    ),
    (X25519, "Ktv", Accept, "a known test vector"),
    (
        X25519,
        "LowOrderPublic",
        Refuse,
        "the result is all zero (RFC 7748 §6.1, RFC 8446 §7.4.2)",
    ),
    (
        X25519,
        "ZeroSharedSecret",
        Refuse,
        "must be refused (RFC 8446 §7.4.2, RFC 8422 §5.11)",
    ),
    (
        Ecdh,
        "CompressedPoint",
        Refuse,
        "uncompressed points only (RFC 8446 §4.2.8.2, RFC 8422 §5.1.2)",
    ),
    (
        Ecdh,
        "CompressedPublic",
        Refuse,
        "uncompressed points only (RFC 8446 §4.2.8.2, RFC 8422 §5.1.2)",
    ),
    (
        Ecdh,
        "InvalidAsn",
        Refuse,
        "where the encoding leaves a point, it is too long or off the curve (RFC 8446 §4.2.8.2)",
    ),
    (
        RsaPkcs1,
        "MissingNull",
        Refuse,
        "the one encoding of RFC 8017 §9.2 is compared (§8.2.2); RFC 5246 §4.7 would take this one too",
    ),
    (
        RsaSigning,
        "SmallPublicKey",
        Refuse,
        "the primes of these keys are not of equal length (FIPS 186-5 §A.1.1)",
    ),
];

/// The decision on a vector with these flags: refuse if one of them has to be refused. A flag without a decision is an
/// error.
pub fn decide<'a>(primitive: Primitive, flags: impl Iterator<Item = &'a str>) -> Result<Decision, String> {
    let mut decision = None;
    for flag in flags {
        let (.., new, _) = DECISIONS
            .iter()
            .find(|(of, name, ..)| (*of, *name) == (primitive, flag))
            .ok_or_else(|| format!("acceptable with the flag {flag}, on which there is no decision"))?;
        if decision != Some(Refuse) {
            decision = Some(*new);
        }
    }
    decision.ok_or_else(|| "acceptable without a flag".into())
}
