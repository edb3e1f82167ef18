//! The guard after a restore.

use domain::{Cause, Source, Work, WorkKind};
use store::RestoreGuard;

use crate::kit::{Case, add, at, live, name, schedule, update, work, write};

pub async fn the_guard_is_raised_once_and_released_once(store: Case) {
    assert_eq!(store.restore_guard().await.unwrap(), RestoreGuard::default());
    assert!(!write(&store, async |tx| tx.release_restore_guard(None).await).await, "it is down");
    assert!(store.at(1).raise_restore_guard(&name("shop")).await.unwrap());
    assert!(!store.at(2).raise_restore_guard(&name("mail")).await.unwrap(), "it is up");
    for (to, expected) in [("b", "b"), ("a", "b"), ("c", "c")] {
        write(&store, async |tx| tx.note_restore_compared(at(1), &name(to)).await).await;
        write(&store, async |tx| tx.note_restore_compared(at(0), &name("z")).await).await;
        let guard = store.restore_guard().await.unwrap();
        assert_eq!((guard.up_since(), guard.evidence.as_str()), (Some(at(1)), name("shop").as_str()));
        assert_eq!(guard.compared_to, name(expected).as_str(), "another copy was further");
    }
    assert!(!write(&store, async |tx| tx.release_restore_guard(Some(at(0))).await).await, "another one");
    assert!(write(store.at(3), async |tx| tx.release_restore_guard(Some(at(1))).await).await);
    let guard = store.restore_guard().await.unwrap();
    assert_eq!((guard.up_since(), guard.released_at), (None, Some(at(3))));
    assert!(store.at(4).raise_restore_guard(&name("mail")).await.unwrap(), "after the next restore");
    assert_eq!(store.restore_guard().await.unwrap().compared_to, "");
    assert!(write(&store, async |tx| tx.release_restore_guard(None).await).await);
}

pub async fn what_is_due_first_of_live_names_is_sampled(store: Case) {
    for (label, kind, due) in [
        ("late", WorkKind::Upload, 5),
        ("later", WorkKind::Issue, 7),
        ("latest", WorkKind::Upload, 9),
        ("early", WorkKind::Issue, 500),
        ("removed", WorkKind::Remove, 1),
    ] {
        let domain = add(&store, label).await;
        let held = live(&store, label, 900).await;
        update(&store, &domain.uploaded(held).unwrap()).await;
        schedule(&store, &work(label, kind, Some(at(due)))).await;
    }
    add(&store, "pending").await;
    schedule(&store, &work("pending", WorkKind::Issue, Some(at(0)))).await;
    let due = store.at(8).first_due_and_live(3).await.unwrap();
    let mut names: Vec<_> = due.iter().map(|view| view.domain.name.to_string()).collect();
    names.sort();
    assert_eq!(names, ["late", "later", "latest"].map(|label| name(label).to_string()));
    assert!(due.iter().all(|view| view.certificate.as_ref().unwrap().source == Source::C4));

    let page = store.listed_after(name("late").as_str(), 2).await.unwrap();
    let page: Vec<_> = page.iter().map(|view| view.domain.name.to_string()).collect();
    assert_eq!(page, ["later", "latest"].map(|label| name(label).to_string()));
    let known = store.known_names(&[name("late"), name("stranger")]).await.unwrap();
    assert_eq!(known, [name("late")]);
}

pub async fn a_comparison_is_due_at_once(store: Case) {
    let compare =
        |label: &str| Work { cause: Cause::Compare, ..work(label, WorkKind::Upload, Some(at(900))) };
    for label in ["compared", "uploaded", "nothing"] {
        add(&store, label).await;
    }
    schedule(&store, &compare("compared")).await;
    let upload = Work { cause: Cause::Retry, ..compare("uploaded") };
    schedule(&store, &upload).await;
    let names = ["compared", "uploaded", "nothing"].map(name);
    write(store.at(10), async |tx| tx.compare_now(&names).await).await;
    assert_eq!(store.work(&names[0]).await.unwrap()[0].due_at, Some(at(10)));
    assert_eq!(store.work(&names[1]).await.unwrap()[0].due_at, Some(at(900)), "its own time");
    assert!(store.work(&names[2]).await.unwrap().is_empty());
}
