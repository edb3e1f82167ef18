//! The content of a pasted text or uploaded file: certificates and keys, in any container.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::blocks::{self, Block};
use crate::der::Elements;
use crate::key::PrivateKey;
use crate::kind::{DerKind, FileKind};
use crate::pasted_error::{Field, LockedKind, PastedError};
use crate::pbes2::{Locked, Opener};
use crate::pfx::{self, PfxProblem};
use crate::pkcs7;

/// Most bytes of each of the two texts or files; a long chain has a fifth of that.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// How certificates and keys stand together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// In the order of the text, each kind by itself.
    #[default]
    Text,
    /// PKCS #7: the order of the certificates means nothing.
    Set,
    /// PFX: neither does it here, and the key stands with them by right.
    Pfx,
}

/// The parsed content. It may hold keys, so it has no `Debug`.
#[derive(Default)]
pub(crate) struct Bundle {
    /// DER, in the order of the file. Not all of it can be parsed.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// DER of any encoding.
    pub(crate) keys: Vec<Zeroizing<Vec<u8>>>,
    /// A key was found that is encrypted, and stays so.
    pub(crate) has_encrypted_key: bool,
    pub(crate) shape: Shape,
    /// Something was found that is nothing of ours.
    pub(crate) has_unknown: bool,
    /// Something else that was found.
    pub(crate) foreign: Option<FileKind>,
}

impl Bundle {
    /// Reads PEM (RFC 7468), DER, or base64 alone; certificates, PKCS #7, PFX and private keys.
    pub(crate) fn read(field: Field, bytes: &[u8], opener: &mut Opener<'_>) -> Result<Self, PastedError> {
        if bytes.len() > MAX_BYTES {
            return Err(PastedError::TooLarge(field));
        }
        let mut bundle = Self::default();
        if let Some(kind) = DerKind::of(bytes) {
            bundle.add_der(kind, bytes, opener)?;
            return Ok(bundle);
        }
        let text = text_file::decode_lossy(bytes);
        if let Some(kind) = FileKind::of_file(bytes, &text) {
            bundle.foreign = Some(kind);
            return Ok(bundle);
        }
        let blocks = blocks::read(&text).map_err(|_| PastedError::NotPem(field))?;
        for block in &blocks {
            bundle.add_block(block, opener)?;
        }
        if blocks.is_empty() && !text.trim().is_empty() {
            let der = bare_base64(&text).ok_or(PastedError::NotPem(field))?;
            let kind = DerKind::of(&der).ok_or(PastedError::NotPem(field))?;
            bundle.add_der(kind, &der, opener)?;
        }
        Ok(bundle)
    }

    /// Whether it is a PFX.
    pub(crate) fn is_pfx(&self) -> bool {
        self.shape == Shape::Pfx
    }

    /// Whether there is a key in it, encrypted or not.
    pub(crate) fn has_key(&self) -> bool {
        self.has_encrypted_key || !self.keys.is_empty()
    }

    /// A known label of a block decides its kind; otherwise its bytes do.
    fn add_block(&mut self, block: &Block<'_>, opener: &mut Opener<'_>) -> Result<(), PastedError> {
        let kind = DerKind::of(&block.der);
        if let Some(kind) = FileKind::of_label(block.label()) {
            self.foreign = Some(kind);
        } else if block.is_certificate() && kind != Some(DerKind::Pkcs7) {
            self.certificates.push(block.der.to_vec());
        } else if block.is_trusted_certificate() {
            // OpenSSL's own: what it trusts the certificate for stands after it.
            let first = Elements(&block.der).next().map_or(&[][..], |first| first.whole);
            self.certificates.push(first.to_vec());
        } else if block.is_private_key() && block.is_encrypted() {
            self.add_encrypted_key(&block.der, opener)?;
        } else if block.is_private_key() {
            self.keys.push(block.der.clone());
        } else {
            match kind {
                // Parameters of an algorithm look like a key.
                Some(DerKind::PrivateKey) if PrivateKey::read(&block.der).is_none() => {
                    self.has_unknown = true;
                }
                Some(kind) => self.add_der(kind, &block.der, opener)?,
                None => self.has_unknown = true,
            }
        }
        Ok(())
    }

    fn add_der(&mut self, kind: DerKind, der: &[u8], opener: &mut Opener<'_>) -> Result<(), PastedError> {
        match kind {
            DerKind::Certificate => self.certificates.push(der.to_vec()),
            DerKind::Pkcs7 => {
                let certificates = pkcs7::certificates(der).unwrap_or_default();
                self.certificates.extend(certificates.into_iter().map(<[u8]>::to_vec));
                self.shape = Shape::Set;
            }
            DerKind::Pfx => self.add_pfx(der, opener)?,
            DerKind::PrivateKey => self.keys.push(Zeroizing::new(der.to_vec())),
            DerKind::EncryptedKey => self.add_encrypted_key(der, opener)?,
            DerKind::Foreign(kind) => self.foreign = Some(kind),
        }
        Ok(())
    }

    fn add_pfx(&mut self, der: &[u8], opener: &mut Opener<'_>) -> Result<(), PastedError> {
        let contents = pfx::read(der, opener).map_err(|problem| match problem {
            PfxProblem::Structure => PastedError::PfxUnreadable,
            PfxProblem::Locked(Locked::Password) if !opener.has_password() => PastedError::PfxPasswordMissing,
            PfxProblem::Locked(locked) => not_opened(LockedKind::Pfx, locked),
        })?;
        self.certificates.extend(contents.certificates);
        self.keys.extend(contents.keys);
        self.shape = Shape::Pfx;
        Ok(())
    }

    fn add_encrypted_key(&mut self, der: &[u8], opener: &mut Opener<'_>) -> Result<(), PastedError> {
        if !opener.has_password() || DerKind::of(der) != Some(DerKind::EncryptedKey) {
            self.has_encrypted_key = true;
            return Ok(());
        }
        let key = pfx::open_pkcs8(der, opener);
        self.keys.push(key.map_err(|locked| not_opened(LockedKind::PrivateKey, locked))?);
        Ok(())
    }
}

fn not_opened(kind: LockedKind, locked: Locked) -> PastedError {
    match locked {
        Locked::Password => PastedError::PasswordWrong(kind),
        Locked::Cipher => PastedError::OldEncryption(kind),
        Locked::TooCostly => PastedError::EncryptionTooCostly(kind),
    }
}

/// The bytes of a text that is base64 and nothing else: a block that lost its BEGIN and END lines.
fn bare_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    // Room for all of it from the start: growing would leave copies behind.
    let mut base64 = Zeroizing::new(String::with_capacity(text.len()));
    base64.extend(text.chars().filter(|c| !c.is_whitespace() && *c != '\u{feff}'));
    let mut der = Zeroizing::new(Vec::with_capacity(base64.len()));
    STANDARD.decode_vec(base64.as_bytes(), &mut der).ok()?;
    Some(der)
}
