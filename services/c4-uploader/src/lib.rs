//! Uploads certificates to C4 and verifies them there.
