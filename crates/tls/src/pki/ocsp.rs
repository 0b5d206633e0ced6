//! Parsing of OCSP responses (RFC 6960 §4.2), without verification.

use der::asn1::{GeneralizedTime, ObjectIdentifier};
use der::{Decode as _, Header, Reader as _, SliceReader, Tag};

use super::cert::{Name, algorithm, context, has_critical, octet_string, octets, outer, rest, sequence, serial};
use super::error::StapleFault;

/// The most certificates of a response that are read.
pub(super) const MAX_RESPONDER_CERTIFICATES: usize = 4;

/// id-pkix-ocsp-basic (§4.2.1).
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");

/// A BasicOCSPResponse, read from the DER of an OCSPResponse that is successful. All of it is well-formed but the
/// certificates.
pub(super) struct Response<'a> {
    /// The responder that it names as its signer.
    pub(super) responder: Responder<'a>,
    /// Whether it has a critical extension; none is supported.
    pub(super) critical: bool,
    /// The signed part, as DER.
    pub(super) tbs: &'a [u8],
    pub(super) signature_algorithm: &'a [u8],
    pub(super) signature: &'a [u8],
    /// The content of `responses`.
    answers: &'a [u8],
    /// The content of `certs`.
    certificates: &'a [u8],
}

/// ResponderID.
pub(super) enum Responder<'a> {
    /// By the subject of its certificate, in DER.
    Name(&'a [u8]),
    /// By the SHA-1 of its key.
    Key(&'a [u8]),
}

/// SingleResponse: the status of one certificate.
pub(super) struct Answer<'a> {
    /// The function of the two hashes.
    pub(super) algorithm: ObjectIdentifier,
    /// The hash of the issuer's name.
    pub(super) issuer_name: &'a [u8],
    /// The hash of the issuer's key.
    pub(super) issuer_key: &'a [u8],
    /// As [`super::cert::Certificate::serial`].
    pub(super) serial: &'a [u8],
    pub(super) status: Status,
    /// thisUpdate, in seconds since 1970.
    pub(super) this_update: u64,
    /// nextUpdate, in seconds since 1970.
    pub(super) next_update: Option<u64>,
    /// Whether it has a critical extension; none is supported.
    pub(super) critical: bool,
}

/// CertStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Good,
    Revoked {
        /// In seconds since 1970.
        at: u64,
        /// Its name in RFC 5280 §5.3.1, if the response states one.
        reason: Option<&'static str>,
    },
    /// The responder does not know the certificate.
    Unknown,
}

impl<'a> Response<'a> {
    /// Parses an OCSPResponse. `der` must contain nothing else.
    pub(super) fn from_der(der: &'a [u8]) -> Result<Self, StapleFault> {
        let malformed = |what| move |_: der::Error| StapleFault::Malformed(what);
        let (mut r, trailing) = outer(der).map_err(malformed("not a DER SEQUENCE"))?;
        if !trailing.is_empty() {
            return Err(StapleFault::Malformed("bytes after its end"));
        }
        match enumerated(&mut r).map_err(malformed("responseStatus"))? {
            0 => {}
            1 => return Err(StapleFault::Unsuccessful("malformedRequest")),
            2 => return Err(StapleFault::Unsuccessful("internalError")),
            3 => return Err(StapleFault::Unsuccessful("tryLater")),
            5 => return Err(StapleFault::Unsuccessful("sigRequired")),
            6 => return Err(StapleFault::Unsuccessful("unauthorized")),
            _ => return Err(StapleFault::Malformed("responseStatus")),
        }
        let (kind, basic) = response_bytes(r).map_err(malformed("responseBytes"))?;
        if kind != BASIC {
            return Err(StapleFault::UnsupportedKind);
        }
        let response = Self::basic(basic).map_err(malformed("BasicOCSPResponse"))?;
        for answer in response.answers() {
            answer?;
        }
        Ok(response)
    }

    fn basic(der: &'a [u8]) -> der::Result<Self> {
        let (mut basic, trailing) = outer(der)?;
        SliceReader::new(trailing)?.finish()?;
        let tbs = basic.tlv_bytes()?;
        let signature_algorithm = basic.tlv_bytes()?;
        let signature = octets(&mut basic)?;
        let certificates = match context(&mut basic, true, 0)? {
            Some(mut wrapper) => {
                let list = rest(&sequence(&mut wrapper)?)?;
                wrapper.finish()?;
                list
            }
            None => &[],
        };
        basic.finish()?;

        let (mut r, _) = outer(tbs)?;
        if let Some(mut version) = context(&mut r, true, 0)? {
            if u8::decode(&mut version)? != 0 {
                return Err(Tag::Integer.value_error().into());
            }
            version.finish()?;
        }
        let responder = Responder::read(&mut r)?;
        let _produced_at = time(&mut r)?;
        let answers = rest(&sequence(&mut r)?)?;
        let critical = critical_extensions(&mut r)?;
        r.finish()?;
        Ok(Self {
            responder,
            critical,
            tbs,
            signature_algorithm,
            signature,
            answers,
            certificates,
        })
    }

    /// The status of each certificate.
    pub(super) fn answers(&self) -> impl Iterator<Item = Result<Answer<'a>, StapleFault>> {
        let mut reader = SliceReader::new(self.answers).ok();
        core::iter::from_fn(move || {
            let unread = reader.as_mut().filter(|reader| !reader.is_finished())?;
            let answer = Answer::read(unread);
            if answer.is_err() {
                reader = None;
            }
            Some(answer.map_err(|_| StapleFault::Malformed("SingleResponse")))
        })
    }

    /// The first [`MAX_RESPONDER_CERTIFICATES`] certificates in it, in DER, unchecked.
    pub(super) fn certificates(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut reader = SliceReader::new(self.certificates).ok();
        core::iter::from_fn(move || reader.as_mut()?.tlv_bytes().ok()).take(MAX_RESPONDER_CERTIFICATES)
    }
}

impl<'a> Responder<'a> {
    fn read(reader: &mut SliceReader<'a>) -> der::Result<Self> {
        if let Some(mut name) = context(reader, true, 1)? {
            let responder = Self::Name(Name::read(&mut name)?.der);
            name.finish()?;
            return Ok(responder);
        }
        let mut key = context(reader, true, 2)?.ok_or_else(|| Tag::Sequence.value_error())?;
        let responder = Self::Key(octet_string(&mut key)?);
        key.finish()?;
        Ok(responder)
    }
}

impl<'a> Answer<'a> {
    fn read(reader: &mut SliceReader<'a>) -> der::Result<Self> {
        let mut r = sequence(reader)?;
        let mut id = sequence(&mut r)?;
        let (algorithm, _) = algorithm(id.tlv_bytes()?)?;
        let (issuer_name, issuer_key) = (octet_string(&mut id)?, octet_string(&mut id)?);
        let serial = serial(&mut id)?;
        id.finish()?;
        let status = Status::read(&mut r)?;
        let this_update = time(&mut r)?;
        let next_update = match context(&mut r, true, 0)? {
            Some(mut wrapper) => {
                let next = time(&mut wrapper)?;
                wrapper.finish()?;
                Some(next)
            }
            None => None,
        };
        let critical = critical_extensions(&mut r)?;
        r.finish()?;
        Ok(Self {
            algorithm,
            issuer_name,
            issuer_key,
            serial,
            status,
            this_update,
            next_update,
            critical,
        })
    }
}

impl Status {
    fn read(reader: &mut SliceReader<'_>) -> der::Result<Self> {
        if let Some(good) = context(reader, false, 0)? {
            good.finish()?;
            return Ok(Self::Good);
        }
        if let Some(unknown) = context(reader, false, 2)? {
            unknown.finish()?;
            return Ok(Self::Unknown);
        }
        let mut revoked = context(reader, true, 1)?.ok_or_else(|| Tag::Sequence.value_error())?;
        let at = time(&mut revoked)?;
        let reason = match context(&mut revoked, true, 0)? {
            Some(mut wrapper) => {
                let reason = enumerated(&mut wrapper)?;
                wrapper.finish()?;
                reason_name(reason)
            }
            None => None,
        };
        revoked.finish()?;
        Ok(Self::Revoked { at, reason })
    }
}

/// Parses ResponseBytes into its type and content.
fn response_bytes<'a>(mut response: SliceReader<'a>) -> der::Result<(ObjectIdentifier, &'a [u8])> {
    let mut wrapper = context(&mut response, true, 0)?.ok_or_else(|| Tag::Sequence.value_error())?;
    response.finish()?;
    let mut bytes = sequence(&mut wrapper)?;
    wrapper.finish()?;
    let content = (ObjectIdentifier::decode(&mut bytes)?, octet_string(&mut bytes)?);
    bytes.finish()?;
    Ok(content)
}

/// responseExtensions and singleExtensions: whether one is critical.
fn critical_extensions(reader: &mut SliceReader<'_>) -> der::Result<bool> {
    let Some(mut wrapper) = context(reader, true, 1)? else {
        return Ok(false);
    };
    let critical = has_critical(&mut sequence(&mut wrapper)?)?;
    wrapper.finish()?;
    Ok(critical)
}

/// An ENUMERATED of one byte.
fn enumerated(reader: &mut SliceReader<'_>) -> der::Result<u8> {
    let header = Header::decode(reader)?;
    header.tag().assert_eq(Tag::Enumerated)?;
    match reader.read_slice(header.length())? {
        &[value] => Ok(value),
        _ => Err(Tag::Enumerated.value_error().into()),
    }
}

/// A GeneralizedTime, in seconds since 1970.
fn time(reader: &mut SliceReader<'_>) -> der::Result<u64> {
    Ok(GeneralizedTime::decode(reader)?.to_unix_duration().as_secs())
}

/// CRLReason (RFC 5280 §5.3.1); `None` for "unspecified".
fn reason_name(reason: u8) -> Option<&'static str> {
    Some(match reason {
        1 => "keyCompromise",
        2 => "cACompromise",
        3 => "affiliationChanged",
        4 => "superseded",
        5 => "cessationOfOperation",
        6 => "certificateHold",
        8 => "removeFromCRL",
        9 => "privilegeWithdrawn",
        10 => "aACompromise",
        _ => return None,
    })
}
