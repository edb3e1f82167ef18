//! Reads a PFX (PKCS #12, RFC 7292): certificates and keys under a password.
//!
//! The file's MAC is not checked. It proves that the file was not changed without the password; that is not needed
//! here, because a key is accepted only with the certificate that it matches.
//!
//! Why not crate `p12-keystore`, which writes our PFX files: its reader follows a circle of issuers for ever, and does
//! not bound the computation that a file can cause.

use zeroize::Zeroizing;

use crate::der::{
    CONTEXT_0, CONTEXT_0_PRIMITIVE, Element, Elements, INTEGER, OCTET_STRING, OID, SEQUENCE, only_sequence,
};
use crate::pbes2::{Locked, Opener};

/// 1.2.840.113549.1.7.1, `id-data`.
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// 1.2.840.113549.1.7.6, `id-encryptedData`.
const ENCRYPTED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x06];
/// 1.2.840.113549.1.12.10.1, below which the kinds of bags are.
const BAGS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01];
/// 1.2.840.113549.1.9.22.1, `x509Certificate`.
const X509: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
/// Bags in bags.
const MAX_DEPTH: usize = 4;

/// Why a PFX was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PfxProblem {
    /// Its structure is another: damaged, or BER where DER is usual.
    Structure,
    /// It could not be decrypted.
    Locked(Locked),
}

/// The content of a PFX.
#[derive(Default)]
pub(crate) struct Contents {
    /// DER, in the order of the file, which means nothing.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// PKCS #8, DER.
    pub(crate) keys: Vec<Zeroizing<Vec<u8>>>,
}

/// Whether the bytes begin as a PFX does.
pub(crate) fn is_pfx(der: &[u8]) -> bool {
    auth_safe(der).is_some()
}

/// Reads a PFX.
pub(crate) fn read(der: &[u8], opener: &mut Opener<'_>) -> Result<Contents, PfxProblem> {
    let mut contents = Contents::default();
    let safes = auth_safe(der).and_then(only_sequence).ok_or(PfxProblem::Structure)?;
    for safe in safes.children() {
        let mut parts = safe.children();
        match parts.expect(OID) {
            Some(DATA) => {
                let data = parts.enter(CONTEXT_0).and_then(|mut data| data.expect(OCTET_STRING));
                read_safe(data.ok_or(PfxProblem::Structure)?, opener, &mut contents, MAX_DEPTH)?;
            }
            Some(ENCRYPTED_DATA) => {
                let (algorithm, encrypted) = encrypted_data(parts).ok_or(PfxProblem::Structure)?;
                let data = opener.open(algorithm, encrypted).map_err(PfxProblem::Locked)?;
                // A wrong password that happens to leave right padding shows here.
                let wrong = |problem| match problem {
                    PfxProblem::Structure => PfxProblem::Locked(Locked::Password),
                    problem @ PfxProblem::Locked(_) => problem,
                };
                read_safe(&data, opener, &mut contents, MAX_DEPTH).map_err(wrong)?;
            }
            _ => return Err(PfxProblem::Structure),
        }
    }
    Ok(contents)
}

/// The `AuthenticatedSafe` (section 4.1).
fn auth_safe(der: &[u8]) -> Option<&[u8]> {
    let mut pfx = only_sequence(der)?.children();
    if pfx.expect(INTEGER)? != [3] {
        return None;
    }
    let mut info = pfx.enter(SEQUENCE)?;
    if info.expect(OID)? != DATA {
        return None;
    }
    info.enter(CONTEXT_0)?.expect(OCTET_STRING)
}

/// Algorithm and content of `EncryptedData` (RFC 5652 section 8).
fn encrypted_data(mut parts: Elements<'_>) -> Option<(Elements<'_>, &[u8])> {
    let mut data = parts.enter(CONTEXT_0)?.enter(SEQUENCE)?;
    data.expect(INTEGER)?;
    let mut info = data.enter(SEQUENCE)?;
    info.expect(OID)?;
    Some((info.enter(SEQUENCE)?, info.expect(CONTEXT_0_PRIMITIVE)?))
}

/// The bags of a `SafeContents` (section 4.2).
fn read_safe(
    data: &[u8],
    opener: &mut Opener<'_>,
    contents: &mut Contents,
    depth: usize,
) -> Result<(), PfxProblem> {
    let bags = only_sequence(data).ok_or(PfxProblem::Structure)?;
    for bag in bags.children() {
        let mut parts = bag.children();
        let kind = parts.expect(OID).and_then(|oid| oid.strip_prefix(BAGS));
        let value = parts.enter(CONTEXT_0).and_then(|mut value| value.next());
        let (Some(&[kind]), Some(value)) = (kind, value) else {
            // Another vendor's kind of bag.
            continue;
        };
        match kind {
            1 => contents.keys.push(Zeroizing::new(value.whole.to_vec())),
            2 => contents.keys.push(open_key(value, opener).map_err(PfxProblem::Locked)?),
            3 => contents.certificates.extend(certificate(value).map(<[u8]>::to_vec)),
            6 if depth > 0 => read_safe(value.whole, opener, contents, depth - 1)?,
            _ => {}
        }
    }
    Ok(())
}

/// A `CertBag` (section 4.2.3).
fn certificate(value: Element<'_>) -> Option<&[u8]> {
    let mut bag = value.children();
    if bag.expect(OID)? != X509 {
        return None;
    }
    bag.enter(CONTEXT_0)?.expect(OCTET_STRING)
}

/// Decrypts an `EncryptedPrivateKeyInfo` (RFC 5958 section 3).
fn open_key(value: Element<'_>, opener: &mut Opener<'_>) -> Result<Zeroizing<Vec<u8>>, Locked> {
    let mut parts = value.children();
    let (Some(algorithm), Some(encrypted)) = (parts.enter(SEQUENCE), parts.expect(OCTET_STRING)) else {
        return Err(Locked::Cipher);
    };
    let key = opener.open(algorithm, encrypted)?;
    if only_sequence(&key).is_none() {
        return Err(Locked::Password);
    }
    Ok(key)
}

/// Decrypts a PKCS #8 key.
pub(crate) fn open_pkcs8(der: &[u8], opener: &mut Opener<'_>) -> Result<Zeroizing<Vec<u8>>, Locked> {
    only_sequence(der).map_or(Err(Locked::Cipher), |value| open_key(value, opener))
}
