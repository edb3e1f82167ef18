//! Certificates: as they are stored, and those of a name as a list.

use domain::{CertificateId, Source, SuggestedWindow};
use store::{Certificate, CertificateRecord, Renewal};

use crate::kit::{
    Case, add, at, certificate, committing, fresh_uuid, insert_certificate, is_conflict, name, update, write,
};

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

/// The pages are newest first and without a gap, also where several certificates were made at the same moment; a deleted
/// name keeps its certificates.
pub async fn the_certificates_of_a_name_have_pages(store: Case) {
    let domain = add(&store, "shop").await;
    add(&store, "other").await;
    let of_other = certificate("other", at(500), Source::C4);
    insert_certificate(&store, &of_other).await;
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
        insert_certificate(&store, &certificate).await;
        made.push(record(&certificate));
    }
    update(store.at(10), &domain.delete(at(10)).unwrap()).await;
    let place = |record: &CertificateRecord| (record.created_at, record.summary.id);
    made.sort_by_key(|record| {
        let (at, id) = place(record);
        std::cmp::Reverse((at, CertificateId::as_uuid(id)))
    });
    for size in 1..=6 {
        let mut found: Vec<CertificateRecord> = Vec::new();
        loop {
            let after = found.last().map(place);
            let page = store.certificates(&name("shop"), after, size).await.unwrap();
            assert!(page.len() <= size as usize);
            let is_last = page.len() < size as usize;
            found.extend(page);
            if is_last {
                break;
            }
        }
        assert_eq!(found, made, "in pages of {size}");
    }
    assert_eq!(store.certificates(&name("never"), None, 9).await.unwrap(), []);
}

/// A certificate comes back with its chain and sealed key; the time of the first upload stays.
pub async fn certificates_come_back(store: Case) {
    add(&store, "shop").await;
    let mut kept = certificate("shop", at(500), Source::C4);
    insert_certificate(&store, &kept).await;
    write(store.at(3), async |tx| tx.mark_uploaded(kept.id()).await).await;
    write(store.at(9), async |tx| tx.mark_uploaded(kept.id()).await).await;
    let missing = CertificateId::from(fresh_uuid());
    assert!(is_conflict(committing(&store, async |tx| tx.mark_uploaded(missing).await).await));
    kept.uploaded_at = Some(at(3));
    assert_eq!(store.certificate(&kept.name, kept.id()).await.unwrap(), Some(kept));
    assert_eq!(store.certificate(&name("shop"), missing).await.unwrap(), None);
}

/// Of the generated certificates of a name that have not ended, the one that ends last.
pub async fn the_newest_generated_certificate_is_found(store: Case) {
    for label in ["shop", "other"] {
        add(&store, label).await;
    }
    let wanted = certificate("shop", at(300), Source::C4);
    for kept in [
        certificate("shop", at(200), Source::C4),
        wanted.clone(),
        certificate("shop", at(900), Source::Text),
        certificate("other", at(900), Source::C4),
    ] {
        insert_certificate(&store, &kept).await;
    }
    for (now, found) in [(0, Some(wanted)), (300, None)] {
        let newest = write(&store, async |tx| tx.newest_generated(&name("shop"), at(now)).await).await;
        assert_eq!(newest, found);
    }
}

/// The time of a renewal can be changed and comes back; one of a certificate that is not there is a conflict.
pub async fn a_renewal_point_comes_back(store: Case) {
    add(&store, "shop").await;
    let certificate = certificate("shop", at(900), Source::C4);
    insert_certificate(&store, &certificate).await;
    let window = SuggestedWindow { start: at(300), end: at(400) };
    for window in [Some(window), None] {
        let renewal = Renewal { at: at(350), window };
        write(&store, async |tx| tx.set_renewal(certificate.id(), renewal).await).await;
        let stored = store.certificate(&certificate.name, certificate.id()).await.unwrap().unwrap();
        assert_eq!(stored.renewal, Some(renewal));
    }
    let renewal = Renewal { at: at(350), window: None };
    let missing = CertificateId::from(fresh_uuid());
    assert!(is_conflict(committing(&store, async |tx| tx.set_renewal(missing, renewal).await).await));
}
