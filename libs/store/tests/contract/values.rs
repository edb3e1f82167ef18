//! Every word of the domain is stored and comes back as it was.

use domain::{
    Activity, CaaFound, CaaRecord, Cause, CertificateId, EdgeBehind, EdgesBehind, Event, EventKind,
    HistoryEntry, HistoryKind, Reason, Role, Source, Status, Work, WorkKind,
};
use store::TokenRecord;

use crate::kit::{Case, add, at, fresh_uuid, name, schedule, update, with_facts, work, write};

/// Each reason of a domain, with text from outside: quotes, controls, other scripts.
#[expect(clippy::too_many_lines, reason = "a table")]
pub async fn every_reason_comes_back(store: Case) {
    let text = || "\"'\\ \u{1}\n<b>;-- ünï 域名 \u{1f512}".to_owned();
    let (problem, detail) = (text, text);
    let caa = || {
        let record = CaaRecord { flags: 128, tag: text(), value: text() };
        CaaFound::Records { records: vec![record; 2], more: 3 }
    };
    let reasons = [
        Reason::NotPointed {
            target: text(),
            addresses: Vec::new(),
            found: domain::Found::NoName,
            proxy: None,
        },
        Reason::PortMissing { missing: vec![80, 443] },
        Reason::CaaForbids { at: text(), found: caa(), wanted: text() },
        Reason::CdnCaaForbids { at: text(), found: CaaFound::Told(text()), wanted: text() },
        Reason::DnssecBroken { zone: text() },
        Reason::DnsBroken { zone: text(), nameservers: text(), since: Some(at(5)) },
        Reason::ChallengeUnreachable { found: text() },
        Reason::NotServed {
            behind: EdgesBehind {
                edges: vec![EdgeBehind { edge: text(), shows: text() }; 2],
                more: 3,
                asked: 7,
            },
        },
        Reason::UnknownToC4,
        Reason::ChallengeInvalid { problem: problem(), detail: detail() },
        Reason::ChallengeFailedAtEdge { problem: problem(), detail: detail() },
        Reason::ChallengeUnreachableElsewhere { detail: detail() },
        Reason::OrderRejected { problem: problem(), detail: detail() },
        Reason::IssuerRefusesUs { issuer: text(), problem: problem(), detail: detail(), url: text() },
        Reason::PausedByCa { detail: detail(), url: text() },
        Reason::PausedByOperator {
            pause: domain::Pause {
                target: domain::Outbound::Ca,
                issuer: "ca".into(),
                by: text(),
                since: at(4),
                reason: text(),
            },
        },
        Reason::CertificateRejected { detail: detail() },
        Reason::CaLimited {
            until: at(5),
            issuer: "ca".into(),
            limit: "new orders per account".into(),
            seconds_per_place: 36,
        },
        Reason::CaDown { detail: detail() },
        Reason::CouldNotAsk { detail: detail() },
        Reason::PastedEnds { at: at(6) },
        Reason::PastedEnded { at: at(7) },
        Reason::PastedLost { at: Some(at(8)) },
        Reason::PastedLost { at: None },
        Reason::WrongAaaa { found: vec!["2001:db8::1".parse().unwrap()], ours: Vec::new() },
        Reason::NotPointed {
            target: text(),
            addresses: vec!["192.0.2.1".parse().unwrap()],
            found: domain::Found::Addresses(vec!["2001:db8::1".parse().unwrap()]),
            proxy: Some(text()),
        },
        Reason::CdnCaaForbids { at: text(), found: caa(), wanted: text() },
        Reason::DnssecBroken { zone: text() },
        Reason::DnsBroken { zone: text(), nameservers: text(), since: None },
        Reason::ChallengeFailedAtEdge { problem: problem(), detail: detail() },
        Reason::UploadFailed { detail: detail() },
    ];
    let mut row = add(store.at(1), "shop").await;
    for reason in reasons {
        row = with_facts(row, |facts| {
            facts.block = Some(reason.clone());
            facts.upload_failing = Some(reason.clone());
        });
        row.waiting = Some(reason.clone());
        row = update(&store, &row).await;
        for kept in [row.block(), row.upload_failing(), row.waiting.as_ref()] {
            assert_eq!(kept, Some(&reason));
        }
    }
}

/// Each activity and source of a domain.
pub async fn every_activity_and_source_comes_back(store: Case) {
    let mut row = add(&store, "shop").await;
    for activity in Activity::ALL {
        for source in [Source::Text, Source::C4] {
            (row.activity, row.source) = (activity, source);
            row = update(&store, &row).await;
            assert_eq!((row.activity, row.source), (activity, source));
        }
    }
}

/// Each kind of history entry, with each status.
pub async fn every_kind_of_history_comes_back(store: Case) {
    let kinds = [
        HistoryKind::Added,
        HistoryKind::Generated,
        HistoryKind::Rechecked,
        HistoryKind::Deleted,
        HistoryKind::LabelsChanged,
        HistoryKind::HttpsOff,
        HistoryKind::HttpsOn,
        HistoryKind::KeyDownloaded,
        HistoryKind::Blocked,
        HistoryKind::CouldNotAsk,
        HistoryKind::UnknownToC4,
        HistoryKind::OrderPlaced,
        HistoryKind::OrderFailed,
        HistoryKind::CaWaiting,
        HistoryKind::CertificateIssued,
        HistoryKind::CertificateRejected,
        HistoryKind::CertificateUploaded,
        HistoryKind::UploadFailed,
        HistoryKind::DifferenceFound,
        HistoryKind::Paused,
        HistoryKind::AheadAtC4,
        HistoryKind::TakenOver,
        HistoryKind::NotUploadedAgain,
        HistoryKind::CertificateRemoved,
        HistoryKind::KeysDestroyed,
        HistoryKind::Expired,
        HistoryKind::RevocationRequested,
        HistoryKind::RevocationWaiting,
        HistoryKind::Revoked,
        HistoryKind::RevocationFailed,
    ];
    add(&store, "shop").await;
    for (kind, status) in kinds.into_iter().zip(Status::ALL.into_iter().cycle()) {
        let written = HistoryEntry {
            name: name("shop"),
            at: at(1),
            kind,
            actor: "token:dashboard".into(),
            status_from: Some(status),
            status_to: status,
            message: "it's \"so\" – ünï".into(),
            certificate_sha256: None,
        };
        write(&store, async |tx| {
            tx.append_history(written.clone());
            Ok(())
        })
        .await;
        let newest = store.history(&name("shop"), 1).await.unwrap();
        assert_eq!(newest, [written]);
    }
}

/// Each kind and cause of work.
pub async fn every_kind_and_cause_comes_back(store: Case) {
    add(&store, "shop").await;
    for kind in WorkKind::ALL {
        for (attempts, cause) in (0..).zip(Cause::ALL) {
            let written = Work {
                cause,
                attempts: attempts * 1_000_000,
                certificate: (attempts > 2).then(|| CertificateId::from(fresh_uuid())),
                ..work("shop", kind, (attempts % 2 == 0).then(|| at(5)))
            };
            schedule(&store, &written).await;
            let read = write(&store, async |tx| tx.work(&name("shop"), kind).await).await;
            assert_eq!(read, Some(written));
        }
    }
    assert_eq!(store.work(&name("shop")).await.unwrap().len(), WorkKind::ALL.len());
}

/// Each role of a token.
pub async fn every_role_comes_back(store: Case) {
    for (byte, role) in (1..).zip(Role::ALL) {
        let written = TokenRecord {
            name: role.to_string(),
            hash: [byte; 32],
            roles: role.into(),
            created_at: at(0),
            expires_at: None,
            last_used_at: Some(at(1)),
            revoked_at: Some(at(2)),
            mac: vec![byte],
        };
        write(&store, async |tx| tx.insert_token(&written).await).await;
        assert_eq!(store.token(&[byte; 32]).await.unwrap(), Some(written));
    }
}

/// Each event as a message.
pub async fn every_event_comes_back(store: Case) {
    let subject = fresh_uuid().to_string();
    let kinds = EventKind::WORDS.map(|word| EventKind::from_parts(word, &subject).expect(word));
    let sent = write(&store, async |tx| Ok(kinds.map(|kind| tx.publish(kind, &name("shop"), 7)))).await;
    let taken = store.take_messages(&EventKind::WORDS, 99, at(30)).await.unwrap();
    let taken: Vec<Event> = taken.into_iter().map(|message| message.event).collect();
    assert_eq!(taken, sent);
}
