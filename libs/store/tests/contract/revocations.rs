//! Revocations and the certificates they are about.

use domain::{RevocationReason, RevocationState, Source};

use store::{Certificate, Revocation, Store};

use crate::kit::{Case, add, at, attempt, certificate, insert_certificate, is_conflict, name, write};

fn asked(certificate: &Certificate) -> Revocation {
    Revocation {
        certificate: certificate.id(),
        name: certificate.name.clone(),
        reason: RevocationReason::Superseded,
        state: RevocationState::Asked,
        requested_by: "token:ops".to_owned(),
        requested_at: at(1),
        waits_until: at(2),
        waiting_for: String::new(),
    }
}

async fn stored(store: &Store, label: &str) -> Certificate {
    let certificate = certificate(label, at(1000), Source::C4);
    insert_certificate(store, &certificate).await;
    certificate
}

/// A revocation comes back with every reason; it can be changed before its end and not after it.
pub async fn a_revocation_comes_back_and_ends_once(store: Case) {
    add(&store, "shop").await;
    add(&store, "other").await;
    let (first, second) = (stored(&store, "shop").await, stored(&store, "shop").await);
    let elsewhere = stored(&store, "other").await;
    write(&store, async |tx| tx.put_revocation(&asked(&elsewhere)).await).await;
    for reason in RevocationReason::ALL {
        let request = Revocation { reason, ..asked(&first) };
        let read = write(&store, async |tx| {
            tx.put_revocation(&request).await?;
            tx.revocation(first.id()).await
        })
        .await;
        assert_eq!(read, Some(request));
    }
    let none = write(&store, async |tx| tx.revocation(second.id()).await).await;
    assert_eq!(none, None);
    let later = Revocation { requested_at: at(3), ..asked(&second) };
    write(&store, async |tx| {
        tx.put_revocation(&later).await?;
        tx.note_revocation(second.id(), "not_pointed").await
    })
    .await;
    let all = store.revocations(&name("shop")).await.unwrap();
    let found: Vec<_> = all.iter().map(|one| (one.certificate, one.waiting_for.as_str())).collect();
    assert_eq!(found, [(first.id(), ""), (second.id(), "not_pointed")]);

    write(store.at(9), async |tx| {
        tx.end_revocation(first.id(), RevocationState::Revoked).await?;
        tx.end_revocation(second.id(), RevocationState::Refused).await
    })
    .await;
    store.at(10);
    let again = attempt(&store, async |tx| tx.end_revocation(first.id(), RevocationState::Revoked).await);
    assert!(is_conflict(again.await));
    attempt(&store, async |tx| assert!(is_conflict(tx.put_revocation(&asked(&first)).await))).await;
    attempt(&store, async |tx| assert!(is_conflict(tx.note_revocation(second.id(), "late").await))).await;
    // A revocation that was refused may be requested again.
    write(&store, async |tx| tx.put_revocation(&later).await).await;
    let read = store.certificate(&first.name, first.id()).await.unwrap().unwrap();
    assert_eq!((read.revoked_at, read.withdrawn, read.ends_at()), (Some(at(9)), true, at(9)));
}

/// A certificate is found by its hash among those of its own name only.
pub async fn a_certificate_is_found_by_its_hash(store: Case) {
    add(&store, "shop").await;
    add(&store, "other").await;
    let certificate = stored(&store, "shop").await;
    let sha256 = certificate.summary.sha256.as_str();
    let find = async |label: &str, sha256: &str| {
        let name = name(label);
        write(&store, async |tx| tx.certificate_by_sha256(&name, sha256).await).await
    };
    assert!(find("shop", sha256).await == Some(certificate.clone()));
    assert!(find("other", sha256).await.is_none());
    assert!(find("shop", &"0".repeat(64)).await.is_none());
}

/// A withdrawn certificate says so in every way in which it is read.
pub async fn a_withdrawn_certificate_says_so(store: Case) {
    add(&store, "shop").await;
    let certificate = stored(&store, "shop").await;
    let newest = async || {
        let name = name("shop");
        write(&store, async |tx| tx.newest_generated(&name, at(0)).await).await.unwrap().withdrawn
    };
    assert!(!newest().await);
    write(&store, async |tx| tx.put_revocation(&asked(&certificate)).await).await;
    assert!(newest().await);
    let read = store.certificate(&certificate.name, certificate.id()).await.unwrap().unwrap();
    assert_eq!((read.withdrawn, read.revoked_at, read.ends_at()), (true, None, at(1000)));
}
