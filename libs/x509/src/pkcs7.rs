//! Certificates in PKCS #7 (RFC 2315, now CMS: RFC 5652), as CAs and Windows hand chains out: a signed message without a
//! message and without a signer.

use crate::der::{CONTEXT_0, Element, INTEGER, OID, SEQUENCE, only_sequence};

/// `id-signedData`, 1.2.840.113549.1.7.2.
pub(crate) const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// A SET.
const SET: u8 = 0x31;

/// The certificates, DER, in the order in which they stand, which means nothing. None where the bytes are another thing
/// or have no certificate.
pub(crate) fn certificates(der: &[u8]) -> Option<Vec<&[u8]>> {
    let mut message = only_sequence(der)?.children();
    if message.expect(OID)? != SIGNED_DATA {
        return None;
    }
    let mut signed = message.enter(CONTEXT_0)?.enter(SEQUENCE)?;
    signed.expect(INTEGER)?;
    signed.expect(SET)?;
    signed.expect(SEQUENCE)?;
    let certificates: Vec<&[u8]> = signed
        .enter(CONTEXT_0)?
        .filter(|choice: &Element<'_>| choice.tag == SEQUENCE)
        .map(|certificate| certificate.whole)
        .collect();
    (!certificates.is_empty()).then_some(certificates)
}
