//! Certificates and keys of our own configuration, in the same formats as pasted ones.

use zeroize::Zeroizing;

use crate::bundle::Bundle;
use crate::chain;
use crate::key;
use crate::pasted::{self, PastedFiles};
use crate::pasted_error::{Field, PastedError};
use crate::pbes2::Opener;
use crate::private_key::private_key_pem;

/// A server's certificate chain and key, as PEM that every TLS library reads. No `Debug`: the key is in it.
pub struct ServerIdentity {
    /// The leaf first.
    pub chain_pem: String,
    /// PKCS #8.
    pub private_key_pem: Zeroizing<String>,
}

/// Reads the certificate and the key of a server, and checks that they belong together. Names and dates are not looked at.
///
/// A key of a kind that only browsers refuse, such as Ed25519, is taken as it is.
pub fn server_identity(certificate: &[u8], private_key: &[u8]) -> Result<ServerIdentity, PastedError> {
    let files = PastedFiles { certificate, private_key, password: "" };
    let (certificates, key) = pasted::read(files)?;
    let mut chain = chain::parse(&certificates.ders).map_err(PastedError::Unparsable)?;
    let leaf = chain.first().ok_or(PastedError::NoCertificate)?;
    let pkcs8 = match key::check_kind(leaf.public_key()) {
        Err(PastedError::UnsupportedKey) => key,
        Ok(()) | Err(_) => pasted::key_of_leaf(&mut chain, &key, certificates.is_unordered)?,
    };
    Ok(ServerIdentity { chain_pem: chain::encode(&chain), private_key_pem: private_key_pem(&pkcs8) })
}

/// The certificates of a text or a file as PEM, encoded anew, if certificates are all that it holds. None if any block
/// of it is another thing, or cannot be read: then its kind is unknown, and it may be a key.
pub fn only_certificates(bytes: &[u8]) -> Option<String> {
    let bundle = Bundle::read(Field::Certificate, bytes, &mut Opener::new("")).ok()?;
    if bundle.has_key() || bundle.is_pfx() || bundle.foreign.is_some() || bundle.has_unknown {
        return None;
    }
    let chain = chain::parse(&bundle.certificates).ok()?;
    (!chain.is_empty()).then(|| chain::encode(&chain))
}
