//! The certificates of a name as a list.

use std::sync::Arc;

use domain::{CertificateId, Source};

use super::{add, at, certificate, name, update, write};
use crate::{Certificate, CertificateRecord, Store};

fn record(certificate: &Certificate) -> CertificateRecord {
    CertificateRecord {
        summary: certificate.summary.clone(),
        created_at: certificate.created_at,
        uploaded_at: certificate.uploaded_at,
        has_key: certificate.sealed_key.is_some(),
        revoked_at: certificate.revoked_at,
        withdrawn: certificate.withdrawn,
    }
}

/// Newest first, of one name, in pages without a gap, also where several were made at the same moment; a name that was
/// deleted keeps its own.
pub async fn the_certificates_of_a_name_have_pages(store: Arc<dyn Store>) {
    let domain = add(&*store, "shop").await;
    add(&*store, "other").await;
    let of_other = certificate("other", at(500), Source::C4);
    write(&*store, async |tx| tx.insert_certificate(&of_other).await).await;
    let mut made = Vec::new();
    for (source, created_at) in
        [(Source::C4, 5), (Source::Text, 5), (Source::C4, 5), (Source::C4, 1), (Source::Text, 9)]
    {
        let mut certificate = certificate("shop", at(900), source);
        certificate.created_at = at(created_at);
        if source == Source::Text {
            certificate.sealed_key = None;
            certificate.uploaded_at = Some(at(created_at + 1));
        }
        write(&*store, async |tx| tx.insert_certificate(&certificate).await).await;
        made.push(record(&certificate));
    }
    update(&*store, &domain.delete(at(10)).expect("listed"), at(10)).await;
    let place = |record: &CertificateRecord| (record.created_at, record.summary.id);
    made.sort_by_key(|record| {
        let (at, id) = place(record);
        std::cmp::Reverse((at, CertificateId::as_uuid(id)))
    });
    for size in 1..=6 {
        let mut found: Vec<CertificateRecord> = Vec::new();
        loop {
            let after = found.last().map(place);
            let page = store.certificates(&name("shop"), after, size).await.expect("read");
            assert!(page.len() <= size as usize);
            let is_last = page.len() < size as usize;
            found.extend(page);
            if is_last {
                break;
            }
        }
        assert_eq!(found, made, "in pages of {size}");
    }
    let nobodys = store.certificates(&name("nobody"), None, 9).await.expect("read");
    assert_eq!(nobodys, []);
}
