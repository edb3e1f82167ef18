//! Names every asset by its hash and compresses it, so that browsers keep it for a year and nothing is compressed twice.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// File, its content type, and the constant that holds its address.
const ASSETS: [(&str, &str, &str); 3] = [
    ("style.css", "text/css; charset=utf-8", "STYLE"),
    ("script.js", "text/javascript; charset=utf-8", "SCRIPT"),
    ("icon.svg", "image/svg+xml", "ICON"),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=assets");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut addresses = String::new();
    let mut table = String::new();
    for (file, content_type, constant) in ASSETS {
        let bytes = fs::read(Path::new("assets").join(file))?;
        let (stem, extension) = file.split_once('.').ok_or("no extension")?;
        let mut hash = String::new();
        for byte in &Sha256::digest(&bytes)[..8] {
            write!(hash, "{byte:02x}")?;
        }
        fs::write(out.join(file), &bytes)?;
        fs::write(out.join(format!("{file}.gz")), gzip(&bytes)?)?;
        fs::write(out.join(format!("{file}.br")), brotli(&bytes)?)?;
        writeln!(
            addresses,
            "/// Where `{file}` is.\npub(crate) const {constant}: &str = \"/assets/{stem}-{hash}.{extension}\";"
        )?;
        writeln!(
            table,
            "Asset {{ address: {constant}, content_type: \"{content_type}\", \
             plain: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\")), \
             gzip: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}.gz\")), \
             brotli: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}.br\")) }},"
        )?;
    }
    let text = format!("{addresses}\nconst ASSETS: &[Asset] = &[\n{table}];\n");
    fs::write(out.join("assets.rs"), text)?;
    Ok(())
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn brotli(mut bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressed = Vec::new();
    let parameters = brotli::enc::BrotliEncoderParams::default();
    brotli::BrotliCompress(&mut bytes, &mut compressed, &parameters)?;
    Ok(compressed)
}
